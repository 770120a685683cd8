"""Bring a database to the newest revision: one transaction, one migrator at a time, whatever starts together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from hub.store.database import sqlite_path
from hub.store.sqlite import BUSY_TIMEOUT_S
from hub.store.transactions import Rx, StoreFault, Unavailable

# Any number that no other program on the same PostgreSQL database is likely to lock.
MIGRATION_LOCK = 0x746F6E67


class BrokenReferences(StoreFault):
    """A migration would leave rows that point at nothing: it was rolled back."""


async def migrate(url: str) -> str:
    """Upgrade the database at `url` to the newest revision, which is returned. Nothing to do is fine.

    All or nothing. Raises Unavailable if it cannot be reached, BrokenReferences, or what the database says.
    """
    async with migrating(url) as connection:
        await connection.run_sync(_upgrade)
    return head()


def _upgrade(connection: Connection) -> None:
    if _revision(connection) != head():  # as at nearly every start: Alembic would read each migration to see it
        command.upgrade(configuration(connection), "head")


async def revision(url: str) -> str | None:
    """The revision that the database at `url` is at; None: it was never migrated."""
    async with connected(url) as connection:
        return await connection.run_sync(_revision)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def is_at_head(rx: Rx) -> bool:
    """Whether this release may serve from the database: asked by readiness, on the store's own connections."""
    known = await rx.one(_KNOWN[rx.dialect], int)
    return bool(known) and await rx.one(_REVISION, str) == head()


@cache
def head() -> str:
    """The newest revision that this release knows; found once, by reading every migration."""
    newest = ScriptDirectory(str(SCRIPTS)).get_current_head()
    assert newest is not None
    return newest


@asynccontextmanager
async def migrating(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection in the one transaction of a migration, with every other migrator waiting."""
    async with connected(url) as connection:
        if connection.dialect.name == "postgresql":
            async with connection.begin():
                await connection.execute(_LOCK)
                yield connection
            return
        # Making a table anew drops the old one, which would fire ON DELETE; ends with this connection.
        await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        await connection.rollback()
        async with connection.begin():
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            broken = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).fetchall()
            if broken:
                raise BrokenReferences(f"{len(broken)} rows, the first in {broken[0][0]}")


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, built here: there is no alembic.ini to find or to miss."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """SQLAlchemy's connection to the database at `url`, for what alters or inspects tables. Raises Unavailable."""
    path = sqlite_path(url)

    async def connect() -> Any:
        if path is None:
            return await asyncpg.connect(url)
        return await aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)

    dialect = "postgresql+asyncpg://" if path is None else "sqlite+aiosqlite://"
    engine = create_async_engine(dialect, async_creator=connect, poolclass=NullPool)
    try:
        try:
            connection = await engine.connect()
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"the database cannot be reached: {type(error).__name__}") from error
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()


SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
_REVISION = text("SELECT version_num FROM alembic_version")
_KNOWN = {
    "sqlite": text("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"),
    "postgresql": text("SELECT (to_regclass('alembic_version') IS NOT NULL)::int"),
}
