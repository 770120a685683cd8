"""One address, one database: which engine HUB_DATABASE names, and the store opened on it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from hub.store.postgresql import PostgresqlStore
from hub.store.sqlite import SqliteStore
from hub.store.transactions import Store, Unavailable, nobody_told

SQLITE_SCHEME = "sqlite:///"
POSTGRESQL_SCHEMES = ("postgresql://", "postgres://")


async def open_store(
    url: str,
    *,
    synchronous: str = "FULL",
    moved: Callable[[str], None] = nobody_told,
    on_statement: Callable[[str], None] | None = None,
    on_step: Callable[[str, str], None] | None = None,
) -> Store:
    """The store at `url`: `sqlite:///path` or `postgresql://…`. Migrate it first (hub.store.migrate).

    `synchronous` (FULL or NORMAL) is SQLite's; `moved(stream)` is told after commits; `on_statement` and `on_step` are
    for tests and fail-points. Raises ValueError for another address, Unavailable if the database cannot be opened.
    """
    path = sqlite_path(url)
    if path is None:
        return await PostgresqlStore.connect(url, moved=moved, on_statement=on_statement, on_step=on_step)
    try:
        return SqliteStore(path, synchronous=synchronous, moved=moved, on_statement=on_statement, on_step=on_step)
    except sqlite3.OperationalError as error:
        raise Unavailable(f"the database file cannot be opened: {error}") from error


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite address, None for PostgreSQL. Raises ValueError for neither; never repeats a password."""
    if url.startswith(POSTGRESQL_SCHEMES):
        return None
    path = url.removeprefix(SQLITE_SCHEME)
    if path in (url, "", ":memory:"):  # in memory every connection would have a database of its own
        raise ValueError("a database address is sqlite:///path or postgresql://user@host/name")
    return Path(path)
