"""The embedded engine: one writer thread with one connection, a FIFO queue before it, and group commit.

The driver's own transaction handling loses updates, so it is switched off (`isolation_level=None`) and every group
starts with BEGIN IMMEDIATE. Units of a group are savepoints; each caller is answered after the one COMMIT.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import aiosqlite

from hub.store.statements import SQLITE, Statements, json_list
from hub.store.transactions import (
    DatabaseFull,
    NestedWrite,
    RemoteWorkInUnit,
    Rx,
    StoreFault,
    Tx,
    Unavailable,
    Unit,
    nobody_told,
    run_hooks,
    running_unit,
)

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

# Units that may wait for the writer; beyond, callers are told to come back: memory is bounded.
MAX_QUEUED = 1024
# Units under one commit: beyond, the first of them would wait too long.
MAX_GROUP = 64
READERS = 4
BUSY_TIMEOUT_S = 60
# A unit that holds the only writer longer than this is worth a line in the log.
SLOW_UNIT_S = 0.1


def connect(path: Path, *, synchronous: str = "FULL", read_only: bool = False) -> sqlite3.Connection:
    """A connection with the settings that keep money: explicit transactions, WAL, foreign keys."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    for pragma in pragmas(synchronous=synchronous, read_only=read_only):
        connection.execute(pragma)
    return connection


def pragmas(*, synchronous: str, read_only: bool) -> list[str]:
    return [
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={synchronous}",
        "PRAGMA foreign_keys=ON",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA wal_autocheckpoint=1000",
        *(["PRAGMA query_only=ON"] if read_only else []),
    ]


class WriterConnection:
    """The writer's connection. Its methods finish without suspending, which is how the unit rule is enforced."""

    statements = Statements(SQLITE, json_list)

    def __init__(self, raw: sqlite3.Connection, on_statement: Callable[[str], None] | None) -> None:
        self.raw = raw
        self._on_statement = on_statement

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        if self._on_statement:
            self._on_statement(sql)
        return self.raw.execute(sql, parameters).fetchall()

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        if self._on_statement:
            self._on_statement(sql)
        return self.raw.execute(sql, parameters).rowcount

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if self._on_statement:
            self._on_statement(sql)
        self.raw.executemany(sql, rows)


class ReaderConnection:
    """One of the readers' connections."""

    statements = WriterConnection.statements

    def __init__(self, raw: aiosqlite.Connection, on_statement: Callable[[str], None] | None) -> None:
        self.raw = raw
        self._on_statement = on_statement

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        if self._on_statement:
            self._on_statement(sql)
        return cast("Sequence[Sequence[Any]]", await self.raw.execute_fetchall(sql, parameters))

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        raise StoreFault("a reading connection changes nothing")

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        raise StoreFault("a reading connection changes nothing")


@dataclass(eq=False, slots=True)
class Waiting:
    """One caller of `write`: what to run, and whom to tell."""

    start: Callable[[Tx], Coroutine[Any, Any, Any]]
    label: str
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    since: float = field(default_factory=time.perf_counter)
    value: Any = None
    error: BaseException | None = None
    hooks: list[Callable[[], None]] = field(default_factory=list)


class SqliteStore:
    """`Store` on one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "FULL",
        moved: Callable[[str], None] = nobody_told,
        on_statement: Callable[[str], None] | None = None,
        on_step: Callable[[str, str], None] | None = None,
    ) -> None:
        """`on_statement` sees every SQL text (tests, benchmarks); `on_step` is called with "before commit"
        and "after commit" and the unit's name (fail-points)."""
        self.path = path
        self._synchronous = synchronous
        self._moved = moved
        self._on_statement = on_statement
        self._on_step = on_step or (lambda _step, _unit: None)
        self._writer = WriterConnection(connect(path, synchronous=synchronous), on_statement)
        self._queue: deque[Waiting] = deque()
        self._has_work = threading.Condition()
        self._is_closing = False
        self._readers: asyncio.Queue[ReaderConnection] = asyncio.Queue()
        self._open_readers = 0
        self.groups = 0  # commits so far, for metrics
        self.units = 0
        self.waited_s = 0.0  # for the writer, over all units
        self._thread = threading.Thread(target=self._serve, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if running_unit.get() is not None:
            raise NestedWrite(f"{unit.__name__} inside {running_unit.get()}")
        loop = asyncio.get_running_loop()

        def start(tx: Tx) -> Coroutine[Any, Any, T]:
            return cast("Coroutine[Any, Any, T]", unit(tx, *args, **kwargs))

        waiting = Waiting(start, unit.__name__, loop, loop.create_future())
        with self._has_work:
            if self._is_closing:
                raise Unavailable("the database is closing")
            if len(self._queue) >= MAX_QUEUED:
                raise Unavailable(f"{MAX_QUEUED} writes are waiting already: try again in a moment")
            self._queue.append(waiting)
            self._has_work.notify()
        return cast("T", await waiting.future)

    @property
    def queued(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Rx]:
        connection = await self._borrow()
        try:
            yield Rx(connection)
        finally:
            self._readers.put_nowait(connection)

    async def stamp(self) -> None:
        """One writer stamps as it appends: there is nothing left to do."""

    async def aclose(self) -> None:
        with self._has_work:
            self._is_closing = True
            self._has_work.notify()
        await asyncio.to_thread(self._thread.join)
        while self._open_readers:
            await (await self._readers.get()).raw.close()
            self._open_readers -= 1
        self._writer.raw.close()

    async def _borrow(self) -> ReaderConnection:
        if self._readers.empty() and self._open_readers < READERS:
            self._open_readers += 1
            opening = asyncio.ensure_future(self._open_reader())
            opening.add_done_callback(self._opened)
            # Shielded: a caller who gives up must not leave a connection, and its thread, that nobody closes.
            await asyncio.shield(opening)
        return await self._readers.get()

    def _opened(self, opening: "asyncio.Future[ReaderConnection]") -> None:
        if opening.cancelled() or opening.exception() is not None:
            self._open_readers -= 1
        else:
            self._readers.put_nowait(opening.result())

    async def _open_reader(self) -> ReaderConnection:
        raw = await aiosqlite.connect(self.path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            for pragma in pragmas(synchronous=self._synchronous, read_only=True):
                await raw.execute(pragma)
        except BaseException:
            await raw.close()
            raise
        return ReaderConnection(raw, self._on_statement)

    # ---- the writer thread ---------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._has_work:
                while not self._queue and not self._is_closing:
                    self._has_work.wait()
                if not self._queue:
                    return
                group = [self._queue.popleft() for _ in range(min(MAX_GROUP, len(self._queue)))]
            group = [waiting for waiting in group if not waiting.future.cancelled()]
            if group:
                self._commit(group)
                _answer(group)

    def _commit(self, group: list[Waiting]) -> None:
        """Run the group under one commit; if the transaction itself breaks, each of its units alone."""
        if self._try_commit(group) or len(group) == 1:
            return
        for waiting in group:
            self._try_commit([waiting])

    def _try_commit(self, group: list[Waiting]) -> bool:
        raw = self._writer.raw
        try:
            raw.execute("BEGIN IMMEDIATE")
            for waiting in group:
                self._run_unit(waiting)
            for waiting in group:
                self._on_step("before commit", waiting.label)
            raw.execute("COMMIT")
        except BaseException as error:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            for waiting in group:
                waiting.value, waiting.hooks, waiting.error = None, [], _fault(error)
            return False
        for waiting in group:
            self._on_step("after commit", waiting.label)
        self.groups += 1
        self.units += len(group)
        return True

    def _run_unit(self, waiting: Waiting) -> None:
        """One unit in its savepoint: what it raises is its caller's alone, unless the transaction broke with it."""
        raw = self._writer.raw
        tx = Tx(self._writer, self._moved)
        began = time.perf_counter()
        self.waited_s += began - waiting.since
        raw.execute("SAVEPOINT unit")
        try:
            waiting.value = drive(self._unit(waiting, tx), waiting.label)
            waiting.error, waiting.hooks = None, tx.hooks
        except BaseException as error:  # a CancelledError too: the writer's thread outlives whatever a unit raises
            if not raw.in_transaction or _is_of_the_file(error):
                raise
            raw.execute("ROLLBACK TO unit")
            waiting.value, waiting.hooks, waiting.error = None, [], _fault(error)
        raw.execute("RELEASE unit")
        if time.perf_counter() - began > SLOW_UNIT_S:
            log.warning("unit %s held the writer for %.2f s", waiting.label, time.perf_counter() - began)

    @staticmethod
    async def _unit(waiting: Waiting, tx: Tx) -> Any:
        value = await waiting.start(tx)
        await tx.flush()
        return value


def drive(coroutine: Coroutine[Any, Any, T], label: str) -> T:
    """Run a unit that never suspends. One that awaits anything but its transaction does, and is refused.

    This is the only enforcement of the unit rule; PostgreSQL cannot see it, so every unit is tested here too.
    """
    token = running_unit.set(label)
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return cast("T", finished.value)
    finally:
        running_unit.reset(token)
        coroutine.close()
    raise RemoteWorkInUnit(f"{label} awaited something other than its transaction")


def _answer(group: list[Waiting]) -> None:
    """Tell every caller, by one hop per loop; a loop that is gone has nobody left to tell."""
    loops: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for waiting in group:
        loops.setdefault(waiting.loop, []).append(waiting)
    for loop, answered in loops.items():
        try:
            loop.call_soon_threadsafe(_tell, answered)
        except RuntimeError:
            log.warning("%d writes were committed after their caller's loop had closed", len(answered))


def _tell(answered: list[Waiting]) -> None:
    for waiting in answered:
        run_hooks(waiting.hooks)
        if waiting.future.done():
            continue
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.value)


def _is_of_the_file(error: BaseException) -> bool:
    """Disk full and I/O errors concern the whole group, whichever unit met them."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith(
        ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_READONLY")
    )


def _fault(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.OperationalError):
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return DatabaseFull("the database has no room: nothing was done; free space and try again")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Unavailable("the database is busy: nothing was done; try again")
        if name.startswith("SQLITE_READONLY"):
            return Unavailable("the database takes no writes: nothing was done")
    return error
