"""Migrated databases: equal to what the tables say, on both engines, whoever migrates and however many at once."""

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from hub.domain.keys import ApiKey
from hub.domain.people import Identity, ViewerKind
from hub.store.database import open_store, sqlite_path
from hub.store.metadata import metadata
from hub.store.migrate import (
    SCRIPTS,
    BrokenReferences,
    configuration,
    connected,
    head,
    is_at_head,
    migrate,
    migrating,
    revision,
)
from hub.store.transactions import Store, Unavailable
from tests.servers import PostgresServer

# What a PostgreSQL database consists of, by name: columns, constraints, indexes, triggers, functions.
CATALOG = """
SELECT 'column', c.relname || '.' || a.attname,
       format_type(a.atttypid, a.atttypmod) || ' ' || a.attnum || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
       || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
UNION ALL SELECT 'constraint', conname,
       pg_get_constraintdef(oid) || CASE WHEN condeferrable THEN ' deferrable' ELSE '' END
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
SQLITE_CATALOG = "SELECT type, name, coalesce(sql, '') FROM sqlite_master"


async def create_all(url: str) -> None:
    async with migrating(url) as connection:
        await connection.run_sync(metadata.create_all)


async def catalog(url: str) -> dict[tuple[str, str], str]:
    """(kind, name) → definition of everything in the database but Alembic's own table."""
    statement = SQLITE_CATALOG if sqlite_path(url) else CATALOG
    async with connected(url) as connection:
        rows = (await connection.exec_driver_sql(statement)).fetchall()
    return {(kind, name): words(text) for kind, name, text in rows if "alembic_version" not in name}


def words(definition: str) -> str:
    """Without line breaks, and a table's constraints, which have names and no order, sorted."""
    columns, *constraints = " ".join(definition.split()).removesuffix(" )").split(", CONSTRAINT ")
    return ", CONSTRAINT ".join([columns, *sorted(constraints)])


async def test_migrated_and_created_databases_are_equal_on_postgresql(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as migrated, postgres_server.database() as created:
        await migrate(migrated)
        await create_all(created)
        found = await catalog(migrated)
        assert found == await catalog(created)
    kinds = [kind for kind, _ in found]
    assert {kind: kinds.count(kind) for kind in ("trigger", "function")} == {"trigger": 3, "function": 1}
    assert "CHECK ((amount_minor > 0))" in found["constraint", "ck_posting_positive"]
    assert "WHERE" in found["index", "one_live_attempt"]


async def test_migrated_and_created_databases_are_equal_on_sqlite(tmp_path: Path) -> None:
    migrated, created = f"sqlite:///{tmp_path}/migrated", f"sqlite:///{tmp_path}/created"
    await migrate(migrated)
    await create_all(created)
    found = await catalog(migrated)
    assert found == await catalog(created)
    assert [kind for kind, _ in found].count("trigger") == 7
    assert "CHECK (amount_minor > 0)" in found["table", "posting"]
    assert "WHERE" in found["index", "one_live_attempt"]


async def test_a_migrated_database_starts_with_the_rows_of_a_created_one(engine_url: str) -> None:
    await migrate(engine_url)
    async with connected(engine_url) as connection:
        heads = (await connection.exec_driver_sql("SELECT one, position, oldest FROM log_head")).fetchall()
    assert [tuple(row) for row in heads] == [(1, 0, 1)]


async def test_autogenerate_finds_nothing_left_to_migrate(store_url: str) -> None:
    def differences(ready: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_of_this_database}
        return compare_metadata(MigrationContext.configure(ready, opts=options), metadata)

    def is_of_this_database(_object: Any, name: str | None, *_: Any) -> bool:
        """SQLite's second key of an account, which revision 0005 drops on PostgreSQL alone."""
        return name != "uq_account_address_asset" or store_url.startswith("sqlite")

    async with connected(store_url) as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_names_the_revision_and_again_changes_nothing(engine_url: str) -> None:
    assert await revision(engine_url) is None
    assert await migrate(engine_url) == head()
    before = await catalog(engine_url)
    assert await migrate(engine_url) == await revision(engine_url) == head()
    assert await catalog(engine_url) == before


async def test_keys_and_accounts_of_the_first_release_come_along(engine_url: str) -> None:
    before = (
        "INSERT INTO platform VALUES ('plt_1', 'xue', 'Xue', 'CNY', 1)",
        "INSERT INTO user_ VALUES ('usr_1', 'ACTIVE', 1)",
        "INSERT INTO identity VALUES ('idn_1', 'usr_1', 'https://id.example', 's', 7)",
        "INSERT INTO api_key VALUES ('key_1', 'PLATFORM', 'plt_1', 'h', 'orders:read', 1, 5, NULL)",
        "INSERT INTO api_key VALUES ('key_2', 'OPERATOR', NULL, 'h', 'orders:read', 0, 6, 9)",
    )
    async with migrating(engine_url) as connection:
        await connection.run_sync(lambda ready: command.upgrade(configuration(ready), "0001_first_sale"))
        for statement in before:
            await connection.exec_driver_sql(statement)
    await migrate(engine_url)
    store = await open_store(engine_url)
    async with store.reading() as rx:
        keys = [await rx.keys.by_id(id_) for id_ in ("key_1", "key_2")]
        account = await rx.people.identity("https://id.example", "s")
    await store.aclose()
    assert keys == [
        ApiKey("key_1", ViewerKind.PLATFORM, "plt_1", "h", frozenset({"orders:read"}), True, 5, None, "key_1",
               created_by="command"),
        ApiKey("key_2", ViewerKind.OPERATOR, None, "h", frozenset({"orders:read"}), False, 6, 9, "key_2",
               created_by="command"),
    ]  # fmt: skip
    assert account == Identity("idn_1", "usr_1", "https://id.example", "s", 7)


async def test_processes_that_migrate_together_all_succeed(engine_url: str) -> None:
    assert await asyncio.gather(*(migrate(engine_url) for _ in range(4))) == [head()] * 4


async def test_readiness_asks_for_the_newest_revision(store: Store, tmp_path: Path) -> None:
    async with store.reading() as rx:
        assert await is_at_head(rx)
    empty = await open_store(f"sqlite:///{tmp_path}/empty")
    async with empty.reading() as rx:
        assert not await is_at_head(rx)
    await empty.aclose()


async def test_an_older_database_is_not_ready(sqlite_url: str) -> None:
    path = sqlite_path(sqlite_url)
    assert path is not None
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000_before'")
    raw.close()
    store = await open_store(sqlite_url)
    async with store.reading() as rx:
        assert not await is_at_head(rx)
    await store.aclose()


async def test_a_migration_that_leaves_rows_pointing_at_nothing_is_rolled_back(sqlite_url: str) -> None:
    async def orphan() -> None:
        async with migrating(sqlite_url) as connection:
            await connection.exec_driver_sql("INSERT INTO identity VALUES ('idn_1', 'usr_none', 'i', 's', 0, NULL)")

    with pytest.raises(BrokenReferences, match="1 rows, the first in identity"):
        await orphan()
    async with connected(sqlite_url) as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM identity")).scalar() == 0


async def test_a_migration_that_fails_leaves_nothing(engine_url: str) -> None:
    async def half_done() -> None:
        async with migrating(engine_url) as connection:
            await connection.run_sync(metadata.create_all)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await half_done()
    assert await catalog(engine_url) == {}


async def test_a_server_that_is_away_is_unavailable_and_the_password_stays_secret() -> None:
    with pytest.raises(Unavailable) as refused:
        await migrate("postgresql://hub:s3cret@127.0.0.1:1/hub")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/d", "sqlite:///:memory:", "sqlite:///", "hub.sqlite3"])
async def test_another_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="a database address is") as refused:
        await open_store(url)
    assert "s3cret" not in str(refused.value)


def test_revisions_have_readable_names_one_after_the_other() -> None:
    revisions = list(ScriptDirectory(str(SCRIPTS)).walk_revisions())[::-1]
    assert [Path(script.path).stem for script in revisions] == [script.revision for script in revisions]
    assert all(re.match(rf"{number:04}_[a-z_]+$", script.revision) for number, script in enumerate(revisions, 1))
