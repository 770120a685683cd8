"""Migrated PostgreSQL databases that are lent again and again: emptying one takes a tenth of making and dropping one.

A database goes back as it came: nobody is connected, the rows and counters are the migrations' own, and whatever else a
test may have altered (a trigger, a setting, a table) shows in the catalog's fingerprint, and then it is dropped.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from tests.servers import PostgresServer

T = TypeVar("T")

GONE_WITHIN_MS = 5_000  # who is still connected is sent away, as DROP DATABASE … WITH (FORCE) does
TRUNCATED_FROM_BYTES = 64 * 1024  # deleting leaves dead rows behind, which the next test would have to read over


class Lending:
    """Databases with one schema, made from a migrated one when none is free."""

    def __init__(self, server: PostgresServer, migrated_dsn: str) -> None:
        self._server, self._template = server, urlsplit(migrated_dsn).path.removeprefix("/")
        self._rows, self._fingerprint = _run(_as_migrated(migrated_dsn))
        self._free: list[str] = []
        self._made = ExitStack()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The DSN of a database as migrations leave it, for one test."""
        dsn = self._free.pop() if self._free else self._made.enter_context(self._new())
        yield dsn
        if _run(self._emptied(dsn)):
            self._free.append(dsn)

    @contextmanager
    def _new(self) -> Iterator[str]:
        with self._server.database(template=self._template) as dsn:
            yield dsn

    async def _emptied(self, dsn: str) -> bool:
        """Whether it is as new; one that is not is left alone until the end of the run."""
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(_SEND_AWAY)
            if await connection.fetchval(_FINGERPRINT) != self._fingerprint:
                return False
            await connection.execute(_EMPTY)
            await connection.execute(self._rows)
            return True
        finally:
            await connection.close()

    def close(self) -> None:
        self._made.close()


async def _as_migrated(dsn: str) -> tuple[str, str]:
    """SQL that puts the migrations' own rows back, and the fingerprint of the catalog."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = []
        for (table,) in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            held = await connection.fetchval(f'SELECT json_agg(t)::text FROM "{table}" t')
            if held is not None:
                literal = await connection.fetchval("SELECT quote_literal($1::text)", held)
                rows.append(f'INSERT INTO "{table}" SELECT * FROM json_populate_recordset(NULL::"{table}", {literal})')
        return ";".join(rows), await connection.fetchval(_FINGERPRINT)
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    with ThreadPoolExecutor(1) as thread:  # also from within a running event loop
        return thread.submit(asyncio.run, work).result()


_SEND_AWAY = f"""
SELECT pg_terminate_backend(pid, {GONE_WITHIN_MS}) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# Replicas fire no triggers, those that keep journal entries for ever among them, and check no foreign keys.
_EMPTY = f"""
DO $$
DECLARE t record;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR t IN SELECT oid, relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
    IF pg_relation_size(t.oid) > {TRUNCATED_FROM_BYTES} THEN
      EXECUTE format('TRUNCATE %I CASCADE', t.relname);
    ELSE
      EXECUTE format('DELETE FROM %I', t.relname);
    END IF;
  END LOOP;
  PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""
_FINGERPRINT = """
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
  SELECT concat('relation ', relname, relkind) FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat('column ', attrelid::regclass, ' ', attname, atttypid, attnotnull) FROM pg_attribute
    WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace) AND attnum > 0
  UNION ALL SELECT concat('trigger ', tgrelid::regclass, ' ', tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT concat('function ', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT concat('constraint ', conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT concat('setting ', setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS parts (part)
"""
