"""The scale-out engine: a pool, one transaction per unit, and a rerun when the database asks for one."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import asyncpg

from hub.store.events import LOCK_HEAD, STAMP, UNSTAMPED
from hub.store.statements import POSTGRESQL, Statements
from hub.store.transactions import (
    CommitUnknown,
    DatabaseFull,
    NestedWrite,
    Rx,
    Tx,
    Unavailable,
    Unit,
    nobody_told,
    run_hooks,
    running_unit,
)

P = ParamSpec("P")
T = TypeVar("T")

# serialization_failure and deadlock_detected: the unit did nothing and is run again.
RERUN = frozenset({"40001", "40P01"})
# disk_full, out of memory.
FULL = frozenset({"53100", "53200"})
# A lock or an answer took too long, the server shuts down, has no connection left, or is a standby that takes no
# writes: nothing was done.
BUSY = frozenset({"55P03", "57014", "57P01", "57P02", "57P03", "53300", "25006"})
# How a connection ends under us. An InterfaceError may also be a parameter of the wrong type: ask `is_closed`.
GONE = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)
MAX_RUNS = 5
JITTER_MS = (5, 80)
POOL_MIN, POOL_MAX = 1, 16
ACQUIRE_S = 10
STATEMENT_TIMEOUT_MS, LOCK_TIMEOUT_MS = 15_000, 5_000
# The server ends a statement before that: without an answer by then the network swallows what is sent.
ANSWER_S = 20.0
RELEASE_S = 5.0  # a connection that is not clean again by then is let go


class PostgresqlConnection:
    statements = Statements(POSTGRESQL, list)

    def __init__(self, raw: Any, on_statement: Callable[[str], None] | None) -> None:
        self.raw = raw
        self._on_statement = on_statement

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        if self._on_statement:
            self._on_statement(sql)
        rows: Sequence[Sequence[Any]] = await self.raw.fetch(sql, *parameters)
        return rows

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        if self._on_statement:
            self._on_statement(sql)
        tag: str = await self.raw.execute(sql, *parameters)
        return int(tag.rpartition(" ")[2])

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if self._on_statement:
            self._on_statement(sql)
        await self.raw.executemany(sql, rows)


class PostgresqlStore:
    """`Store` on a PostgreSQL database."""

    def __init__(
        self,
        pool: Any,
        *,
        moved: Callable[[str], None] = nobody_told,
        on_statement: Callable[[str], None] | None = None,
        on_step: Callable[[str, str], None] | None = None,
    ) -> None:
        self._pool = pool
        self._moved = moved
        self._on_statement = on_statement
        self._on_step = on_step or (lambda _step, _unit: None)
        self.groups = 0
        self.units = 0
        self.reruns = 0  # units that the database asked to run again
        self.waited_s = 0.0  # for a connection, over all units
        self.queued = 0  # writes that have begun and are not answered yet
        self._next_stamp: asyncio.Task[None] | None = None
        self._stamping = asyncio.Lock()
        self._is_closing = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @classmethod
    async def connect(cls, dsn: str, **hooks: Any) -> "PostgresqlStore":
        """Open the pool. Raises Unavailable if the server cannot be reached."""
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=POOL_MIN,
                max_size=POOL_MAX,
                command_timeout=ANSWER_S,
                server_settings={
                    "timezone": "UTC",
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "lock_timeout": str(LOCK_TIMEOUT_MS),
                    "application_name": "tongbao",
                },
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from error
        return cls(pool, **hooks)

    async def write(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if running_unit.get() is not None:
            raise NestedWrite(f"{unit.__name__} inside {running_unit.get()}")
        if self._is_closing:
            raise Unavailable("the database is closing")
        self.queued += 1
        self._is_idle.clear()
        try:
            return await self._run(unit, *args, **kwargs)
        finally:
            self.queued -= 1
            if not self.queued:
                self._is_idle.set()

    async def _run(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        for run in range(1, MAX_RUNS + 1):
            try:
                return await self._once(unit, *args, **kwargs)
            except asyncpg.PostgresError as error:
                if error.sqlstate in FULL:
                    raise DatabaseFull("the database has no room: nothing was done") from error
                if error.sqlstate in BUSY:
                    raise Unavailable("the database is busy: nothing was done; try again") from error
                if error.sqlstate not in RERUN or run == MAX_RUNS:
                    raise
                self.reruns += 1
            await asyncio.sleep(random.uniform(*JITTER_MS) / 1000)  # two rivals must not meet again
        raise AssertionError("unreachable")

    async def _once(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        token = running_unit.set(unit.__name__)
        began = time.perf_counter()
        try:
            async with self._acquired() as raw:
                self.waited_s += time.perf_counter() - began
                transaction = raw.transaction()
                tx = Tx(PostgresqlConnection(raw, self._on_statement), self._moved)
                try:
                    await transaction.start()
                    value = await unit(tx, *args, **kwargs)
                    await tx.flush()
                    self._on_step("before commit", unit.__name__)
                except BaseException:
                    await _roll_back(transaction)
                    raise
                try:
                    await transaction.commit()
                except GONE as error:
                    raise CommitUnknown("the connection broke during COMMIT") from error
        finally:
            running_unit.reset(token)
        self._on_step("after commit", unit.__name__)
        self.groups += 1
        self.units += 1
        run_hooks(tx.hooks)
        return value

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Rx]:
        async with self._acquired() as raw:
            yield Rx(PostgresqlConnection(raw, self._on_statement))

    async def stamp(self) -> None:
        """All who ask while a stamping is under way share the next one, which sees what they have seen committed."""
        if self._next_stamp is None:
            self._next_stamp = asyncio.create_task(self._stamp(), name="stamp")
        await asyncio.shield(self._next_stamp)

    async def _stamp(self) -> None:
        """Two statements, because the second needs a snapshot taken after the lock; if another stamps, just read.

        Whoever lost the lock has read too soon: those streams are told of once more.
        """
        async with self._stamping:
            self._next_stamp = None
            async with self._acquired() as raw:
                connection = PostgresqlConnection(raw, None)  # no reader's statement: nobody counts them
                if not await connection.fetch(UNSTAMPED, ()):
                    return
                async with raw.transaction():
                    held = await connection.fetch(LOCK_HEAD, ())
                    moved = await connection.fetch(STAMP, (held[0][0],)) if held else ()
        for (stream,) in moved:
            self._moved(stream)

    async def aclose(self) -> None:
        self._is_closing = True
        await self._is_idle.wait()
        if self._next_stamp is not None:
            await asyncio.wait([self._next_stamp])
        await self._pool.close()

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        try:
            raw = await self._pool.acquire(timeout=ACQUIRE_S)
        except (*GONE, TimeoutError) as error:
            raise Unavailable("PostgreSQL cannot be reached: nothing was done; try again") from error
        try:
            yield raw
        except GONE as error:
            if isinstance(error, TimeoutError) or _is_gone(raw):
                raise Unavailable("the connection to PostgreSQL broke: nothing was done; try again") from error
            raise
        finally:
            await self._release(raw)

    async def _release(self, raw: Any) -> None:
        try:
            await self._pool.release(raw, timeout=RELEASE_S)
        except GONE:
            pass  # the pool has dropped it; whatever was done with it is known already


def _is_gone(raw: Any) -> bool:
    try:
        return bool(raw.is_closed())
    except asyncpg.InterfaceError:  # the pool has dropped it already
        return True


async def _roll_back(transaction: Any) -> None:
    try:
        await transaction.rollback()
    except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
        pass  # the connection is gone, and the transaction with it
