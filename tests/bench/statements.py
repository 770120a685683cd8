"""One statement as the store runs it (rendered once) beside Core's own execution and beside the bare driver.

Nothing is committed while the clock runs: what differs is what happens to a statement before and after the database.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from hub.domain.orders import Order
from hub.store import orders
from hub.store.database import open_store
from hub.store.migrate import migrate
from hub.store.sqlite import WriterConnection, connect
from hub.store.transactions import Rx
from tests.bench.figures import Figure, interleaved
from tests.world import World

ROUNDS, STATEMENTS = 9, 2_000
QUICK_ROUNDS, QUICK_STATEMENTS = 1, 50
READ, CHANGE = orders._LOCK, orders._UPDATE  # an order of 26 columns, as a sale locks and moves it


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, statements = (QUICK_ROUNDS, QUICK_STATEMENTS) if quick else (ROUNDS, STATEMENTS)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        path = Path(folder) / "orders.sqlite3"
        order = await filled(path)
        async with opened(path, order) as sides:
            for verb in ("read", "change"):
                ours = timed(sides[verb, "rendered"], statements)
                for beside in ("Core", "Core on aiosqlite", "bare driver"):
                    yield await interleaved(
                        f"statement_{verb}_beside_{beside.replace(' ', '_').lower()}",
                        ours,
                        timed(sides[verb, beside], statements),
                        unit="statements/s",
                        rounds=rounds,
                        statements_a_round=statements,
                    )


async def filled(path: Path) -> Order:
    """A migrated file with one order in it."""
    await migrate(f"sqlite:///{path}")
    store = await open_store(f"sqlite:///{path}")
    order = await World(store).order()
    await store.aclose()
    return order


Once = Callable[[], Awaitable[Any]]


def timed(once: Once, statements: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        started = time.perf_counter()
        for _ in range(statements):
            await once()
        return statements / (time.perf_counter() - started)

    return measure


@asynccontextmanager
async def opened(path: Path, order: Order) -> AsyncIterator[dict[tuple[str, str], Once]]:
    """(verb, side) → one statement of it. Every side has a file of its own, and what it changes is no row."""
    columns = orders._columns(order)
    change = {name: columns[name] for name in orders._MUTABLE}
    change |= {"order_id": order.id, "held_version": -1}  # found by its id, and left as it is
    files = [path.with_suffix(f".{number}") for number in range(4)]
    for file in files:
        shutil.copyfile(path, file)
    raws = [connect(file) for file in files[:2]]
    engine = create_engine("sqlite://", creator=lambda: connect(files[2]), poolclass=StaticPool)
    slow_engine = create_async_engine(f"sqlite+aiosqlite:///{files[3]}", poolclass=StaticPool)
    core, slow = engine.connect(), await slow_engine.connect()
    try:
        rendered, bare, sides = (
            Rx(WriterConnection(raws[0], None)),
            Bare(raws[1], order, change),
            Core(core, order, change),
        )

        async def slow_read() -> Order:
            return orders.order_of(*(await slow.execute(READ, {"order_id": order.id})).one())

        async def slow_change() -> int:
            return (await slow.execute(CHANGE, change)).rowcount

        yield {
            ("read", "rendered"): lambda: rendered.one(READ, orders.order_of, order_id=order.id),
            ("change", "rendered"): lambda: rendered.run(CHANGE, **change),
            ("read", "Core"): sides.read,
            ("change", "Core"): sides.change,
            ("read", "Core on aiosqlite"): slow_read,
            ("change", "Core on aiosqlite"): slow_change,
            ("read", "bare driver"): bare.read,
            ("change", "bare driver"): bare.change,
        }
    finally:
        core.close()
        await slow.close()
        engine.dispose()
        await slow_engine.dispose()
        for raw in raws:
            raw.close()


@dataclass(frozen=True, slots=True)
class Core:
    """SQLAlchemy's own execution, on the same driver in the same thread: the least that Core costs."""

    connection: Any
    order: Order
    values: dict[str, Any]

    async def read(self) -> Order:
        return orders.order_of(*self.connection.execute(READ, {"order_id": self.order.id}).one())

    async def change(self) -> int:
        count: int = self.connection.execute(CHANGE, self.values).rowcount
        return count


class Bare:
    """Text and parameters by hand."""

    def __init__(self, raw: sqlite3.Connection, order: Order, values: dict[str, Any]) -> None:
        self._raw = raw
        statements = WriterConnection.statements
        self._read = statements.bound(READ, {"order_id": order.id})
        self._change = statements.bound(CHANGE, values)

    async def read(self) -> Order:
        return orders.order_of(*self._raw.execute(*self._read).fetchone())

    async def change(self) -> int:
        return self._raw.execute(*self._change).rowcount
