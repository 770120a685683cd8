"""The chain's one SQLite file: py-evm's key-value store, and the tx and log tables that make look-ups flat in height.

Everything of a block is held back in a `Buffer` that only the writer sees, and goes to disk in one commit.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB
from lru import LRU

FILE_NAME: Final = "chain.sqlite3"
CACHED_KEYS: Final = 16_384  # about 8 MB of trie nodes: the working set of a hub's few contracts
HASH_BYTES: Final = 32  # a key of this length is the hash of its value, so a cached copy can never be stale
PAGE_CACHE_KIB: Final = 1_024  # per connection; there is one for each reading thread
QUERY_WITHIN_S: Final = 5.0  # as long as a call; a wide search for a rare topic would hold its reader far longer
QUERY_LOOK_STEPS: Final = 100_000  # of SQLite's machine between looks at the clock: a few milliseconds
BUSY_TIMEOUT_S: Final = 5.0  # only the checkpoint of a closing process can hold the file

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tx (
  hash BLOB PRIMARY KEY, block INTEGER NOT NULL, idx INTEGER NOT NULL, sender BLOB NOT NULL,
  gas_used INTEGER NOT NULL, first_log INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS tx_block ON tx (block, idx);
CREATE TABLE IF NOT EXISTS log (
  block INTEGER NOT NULL, idx INTEGER NOT NULL, tx_idx INTEGER NOT NULL, tx_hash BLOB NOT NULL, address BLOB NOT NULL,
  t0 BLOB, t1 BLOB, t2 BLOB, t3 BLOB, data BLOB NOT NULL, block_hash BLOB NOT NULL,
  PRIMARY KEY (block, idx)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS log_address_topic ON log (address, t0, block);
CREATE INDEX IF NOT EXISTS log_address ON log (address, block);
CREATE INDEX IF NOT EXISTS log_topic ON log (t0, block);
CREATE INDEX IF NOT EXISTS log_block ON log (block_hash);
"""


@dataclass(frozen=True, slots=True)
class TxRow:
    """Where a mined transaction lies: block number, index in it, sender, its own gas, number of its first log."""

    hash: bytes
    block: int
    idx: int
    sender: bytes
    gas_used: int
    first_log: int


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log of a mined block; `idx` counts through the whole block."""

    block: int
    idx: int
    tx_idx: int
    tx_hash: bytes
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which logs: of one block, or of a range (inclusive); any of `addresses`; per position any of the topics."""

    first_block: int
    last_block: int
    block_hash: bytes | None = None
    addresses: tuple[bytes, ...] = ()
    topics: tuple[tuple[bytes, ...], ...] = ()


class QueryTooSlow(Exception):
    """A search took more than QUERY_WITHIN_S and was ended."""


class Database(BaseAtomicDB):
    """The committed state, readable from any thread; a thread gets its own connection on first use."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._threads = threading.local()
        self._cache: LRU[bytes, bytes] = LRU(CACHED_KEYS)
        connection = self.connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
            self._threads.connection = connection
        return connection

    def close(self) -> None:
        """Closes this thread's connection; the others end with their threads."""
        self.connection.close()
        del self._threads.connection

    # py-evm's view

    def __getitem__(self, key: bytes) -> bytes:
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        row = self.connection.execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        if len(key) == HASH_BYTES:
            self._cache[key] = value
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("only the writer's buffer takes writes")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("only the writer's buffer takes writes")

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Refused: see `Buffer`."""
        raise TypeError("only the writer's buffer takes writes")
        yield

    # the writer's one way to disk

    def commit(self, buffer: "Buffer", txs: Iterable[TxRow] = (), logs: Iterable[LogRow] = ()) -> None:
        """Writes a block whole: its keys, its transactions, its logs. Raises sqlite3.Error, having written nothing."""
        with self._transaction() as connection:
            self._write_keys(connection, buffer)
            connection.executemany(
                "INSERT INTO tx VALUES (?, ?, ?, ?, ?, ?)",
                [(t.hash, t.block, t.idx, t.sender, t.gas_used, t.first_log) for t in txs],
            )
            connection.executemany(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (g.block, g.idx, g.tx_idx, g.tx_hash, g.address, *_four(g.topics), g.data, g.block_hash)
                    for g in logs
                ],
            )
        buffer.clear()

    def forget_above(self, height: int, buffer: "Buffer") -> None:
        """Takes the rows of all blocks above `height` away, together with the buffer's keys: the revert hook."""
        with self._transaction() as connection:
            self._write_keys(connection, buffer)
            connection.execute("DELETE FROM tx WHERE block > ?", (height,))
            connection.execute("DELETE FROM log WHERE block > ?", (height,))
        buffer.clear()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @staticmethod
    def _write_keys(connection: sqlite3.Connection, buffer: "Buffer") -> None:
        written = [(key, value) for key, value in buffer.changes.items() if value is not None]
        deleted = [(key,) for key, value in buffer.changes.items() if value is None]
        connection.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", written)
        connection.executemany("DELETE FROM kv WHERE k = ?", deleted)

    # the tables

    def transaction(self, tx_hash: bytes) -> TxRow | None:
        """The mined transaction of that hash."""
        row = self.connection.execute("SELECT * FROM tx WHERE hash = ?", (tx_hash,)).fetchone()
        return None if row is None else TxRow(*row)

    def transactions(self, block: int) -> list[TxRow]:
        """All transactions of a block, in order."""
        rows = self.connection.execute("SELECT * FROM tx WHERE block = ? ORDER BY idx", (block,))
        return [TxRow(*row) for row in rows]

    def logs(self, query: LogQuery, limit: int) -> list[LogRow]:
        """The logs that match, in order, at most `limit`. Raises QueryTooSlow."""
        where, values = _condition(query)
        with self._leash() as connection:
            rows = connection.execute(
                f"SELECT * FROM log WHERE {where} ORDER BY block, idx LIMIT ?", (*values, limit)
            ).fetchall()
        return [
            LogRow(row[0], row[1], row[2], row[3], row[4], tuple(t for t in row[5:9] if t is not None), row[9], row[10])
            for row in rows
        ]

    @contextmanager
    def _leash(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, whose statement ends by its deadline."""
        connection, deadline = self.connection, self._clock() + QUERY_WITHIN_S
        connection.set_progress_handler(lambda: self._clock() > deadline, QUERY_LOOK_STEPS)
        try:
            yield connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise QueryTooSlow from error
        finally:
            connection.set_progress_handler(None, 0)


class Buffer(BaseAtomicDB):
    """The writer's view: committed state below, what the next block changes above it."""

    def __init__(self, below: Database) -> None:
        self._below = below
        self.changes: dict[bytes, bytes | None] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key not in self.changes:
            return self._below[key]
        value = self.changes[key]
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.changes[key] = value

    def __delitem__(self, key: bytes) -> None:
        self.changes[key] = None

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """py-evm's inner batches end here; the real one is `Database.commit`."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:
            yield batch

    def clear(self) -> None:
        """Forgets what was not committed."""
        self.changes.clear()


def _four(topics: Sequence[bytes]) -> tuple[bytes | None, ...]:
    return (*topics, None, None, None, None)[:4]


def _condition(query: LogQuery) -> tuple[str, list[bytes | int]]:
    values: list[bytes | int] = []
    if query.block_hash is not None:
        parts = ["block_hash = ?"]
        values.append(query.block_hash)
    else:
        parts = ["block BETWEEN ? AND ?"]
        values += [query.first_block, query.last_block]
    columns = [("address", query.addresses), *((f"t{i}", topics) for i, topics in enumerate(query.topics))]
    for column, wanted in columns:
        if wanted:
            parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    return " AND ".join(parts), values
