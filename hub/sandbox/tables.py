"""The peers' own SQLite file: payments, notices, platforms, saved answers and armed faults.

One connection, used from the server's event loop alone. A transaction holds no `await`, so requests never interleave
inside one, and each lasts microseconds: WAL with synchronous NORMAL survives a killed process, and a sandbox owes no
durability beyond that.
"""

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub.sandbox.definitions import define

FILE_NAME = "sandbox.sqlite"
ANSWER_KEPT_S = 24 * 60 * 60  # the life of an answer saved under an idempotency key, as Stripe has it
ID_LENGTH = 24  # hex digits, 96 bits


class Tables:
    """The open file. Every method is synchronous and belongs to the event loop's thread."""

    def __init__(self, directory: Path, id_key: str) -> None:
        """Open, or create, the file in `directory`; ids are drawn from `id_key`. Raises sqlite3.Error."""
        self._id_key = id_key.encode()
        self._connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        define(self._connection)
        self._connection.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, or none of it. No `await` inside, and no second transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a failed COMMIT may have ended it already
                self._connection.execute("ROLLBACK")
            raise

    def one(self, statement: str, **values: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        row: sqlite3.Row | None = self._connection.execute(statement, values).fetchone()
        return row

    def all(self, statement: str, **values: Any) -> list[sqlite3.Row]:
        """Every row, in the statement's order; the statement carries its own LIMIT."""
        return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, **values: Any) -> int:
        """The number of rows changed. Raises sqlite3.IntegrityError when a constraint refuses."""
        return self._connection.execute(statement, values).rowcount

    def insert(self, table: str, **values: Any) -> None:
        """One row. Raises sqlite3.IntegrityError when a constraint refuses."""
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)

    def draw_id(self, prefix: str) -> str:
        """A new id `<prefix>_<24 hex>`: unguessable without the key, and the same in the next run of the same seed."""
        row = self.one(
            "INSERT INTO counter (name, value) VALUES (:name, 1) "
            "ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            name=prefix,
        )
        assert row is not None
        digest = hmac.new(self._id_key, f"{prefix} {row['value']}".encode(), hashlib.sha256).hexdigest()
        return f"{prefix}_{digest[:ID_LENGTH]}"

    def setting(self, name: str) -> str | None:
        """A value that outlives a restart, or None."""
        row = self.one("SELECT value FROM setting WHERE name = :name", name=name)
        return None if row is None else str(row["value"])

    def keep_setting(self, name: str, value: str) -> None:
        self.run(
            "INSERT INTO setting (name, value) VALUES (:name, :value) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name=name,
            value=value,
        )

    def forget_old_answers(self, now: int) -> int:
        """Drop the saved answers whose day is over at `now` (unix seconds); gives how many."""
        return self.run("DELETE FROM answer WHERE at < :oldest", oldest=now - ANSWER_KEPT_S)
