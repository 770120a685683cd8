"""A database that was lent is as new for the next: its rows, its counters, its triggers, and nobody in it."""

import asyncpg
import pytest

from tests.databases import Lending


async def told(dsn: str, *statements: str) -> list[object]:
    connection = await asyncpg.connect(dsn)
    try:
        return [await connection.fetchval(statement) for statement in statements]
    finally:
        await connection.close()


TASKS = "SELECT count(*) FROM task"
ADD_TASK = """INSERT INTO task (kind, key, body, attempts, run_at_us) VALUES ('k', 'k', '{}', 0, 0)
RETURNING id"""
HEAD = "SELECT row_to_json(h)::text FROM log_head h"


async def test_a_lent_database_comes_back_with_the_migrations_rows_and_counters(migrated_postgres: Lending) -> None:
    with migrated_postgres.database() as first:
        [head, number] = await told(first, HEAD, ADD_TASK)
        await told(first, "DELETE FROM log_head")
        staying = await asyncpg.connect(first)
    with migrated_postgres.database() as second:
        assert second == first
        assert await told(second, TASKS, HEAD, ADD_TASK) == [0, head, number]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await staying.fetchval("SELECT 1")
    staying.terminate()


@pytest.mark.parametrize(
    "alteration",
    [
        "CREATE TABLE more (x int)",
        "ALTER TABLE task ADD COLUMN more int",
        "ALTER TABLE posting DISABLE TRIGGER ALL",
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
    ],
)
async def test_an_altered_database_is_not_lent_again(migrated_postgres: Lending, alteration: str) -> None:
    with migrated_postgres.database() as first:
        await told(first, alteration.format(name=first.rpartition("/")[2]))
    with migrated_postgres.database() as second:
        assert second != first
