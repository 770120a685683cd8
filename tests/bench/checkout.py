"""The use case `checkout` in process beside a bare loop of the very SQL that it ran, on files of the same kind.

The SQL with its parameters is taken down once from a run of ours. The bare loop is plain sqlite3 with as many commits
as ours makes for one caller: what a hand-written program of the same statements could do at the most.
"""

import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.ports import Hub
from hub.store.sqlite import SqliteStore, WriterConnection, connect
from tests.bench.figures import Figure, interleaved
from tests.bench.shop import Shop, buy, open_hub, open_shop

ROUNDS, ORDERS = 9, 200
QUICK_ROUNDS, QUICK_ORDERS = 1, 16
CALLERS = (1, 16)
MAX_STATEMENTS, MAX_COMMITS = 24, 3  # of the issue, a paid order


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, orders = (QUICK_ROUNDS, QUICK_ORDERS) if quick else (ROUNDS, ORDERS)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        shop = await open_shop(f"sqlite:///{folder}/shop.sqlite3", orders)
        units = await taken_down(shop)
        yield statements_of(units, orders)
        yield commits_of(units, orders)
        for callers in CALLERS:
            yield await interleaved(
                f"checkout_{callers}_callers" if callers > 1 else "checkout_1_caller",
                lambda callers=callers: ours(shop, callers),  # type: ignore[misc]  # the loop's own value
                lambda: bare(shop, units),
                unit="orders/s",
                rounds=rounds,
                bar="ratio at least 0.3, aim 0.5",
                orders_a_round=orders,
                against="plain sqlite3, the same statements, one commit a unit, synchronous FULL",
            )


# ---- both sides --------------------------------------------------------------------------------------------------


async def ours(shop: Shop, callers: int) -> float:
    """Orders a second, by so many callers at once."""
    copy = shop.copied("ours.sqlite3")
    async with open_hub(copy) as hub:
        started = time.perf_counter()
        await bought_by_all(hub, copy, callers)
        return len(copy.buyers) / (time.perf_counter() - started)


async def bought_by_all(hub: Hub, shop: Shop, callers: int) -> None:
    waiting = iter(shop.buyers)
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(_caller(hub, shop, waiting))


async def _caller(hub: Hub, shop: Shop, waiting: Iterator[Any]) -> None:
    for buyer in waiting:
        await buy(hub, shop, buyer)


async def bare(shop: Shop, units: "Sequence[Unit]") -> float:
    """Orders a second of the same statements by hand."""
    copy = shop.copied("bare.sqlite3")
    raw = connect(copy.path)
    started = time.perf_counter()
    for unit in units:
        raw.execute("BEGIN IMMEDIATE")
        for statement in unit.statements:
            statement.run(raw)
        raw.execute("COMMIT")
    taken = time.perf_counter() - started
    raw.close()
    return len(copy.buyers) / taken


# ---- what ours says to the database ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the driver got it; `rows` for many at once."""

    sql: str
    parameters: Sequence[Any]
    is_many: bool = False

    def run(self, raw: Any) -> None:
        if self.is_many:
            raw.executemany(self.sql, self.parameters)
        else:
            raw.execute(self.sql, self.parameters).fetchall()

    @property
    def name(self) -> str:
        """Verb and first table, as `insert order_`; what stands in brackets is not looked at."""
        outer = self.sql
        while outer != (outer := _BRACKETS.sub("", outer)):
            pass
        verb = outer.split(maxsplit=1)[0]
        table = re.search(r"\b(?:INTO|FROM|UPDATE)\s+(\w+)", outer)
        return f"{verb.lower()} {table[1] if table else outer}"


_BRACKETS = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Unit:
    """What one unit said between BEGIN and COMMIT."""

    label: str
    statements: tuple[Statement, ...]


@dataclass
class Dictation:
    """Takes down everything that a store's writer says, unit by unit. For one caller: a group is then one unit."""

    units: list[Unit] = field(default_factory=list)
    said: list[Statement] = field(default_factory=list)

    def on_step(self, step: str, unit: str) -> None:
        if step == "before commit":
            self.units.append(Unit(unit, tuple(self.said)))
            self.said = []

    def listen_to(self, store: SqliteStore) -> None:
        store._writer = _TakenDown(store._writer.raw, self.said_by)

    def said_by(self, statement: Statement) -> None:
        self.said.append(statement)


class _TakenDown(WriterConnection):
    def __init__(self, raw: Any, tell: Any) -> None:
        super().__init__(raw, None)
        self._tell = tell

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
        self._tell(Statement(sql, parameters))
        return await super().fetch(sql, parameters)

    async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
        self._tell(Statement(sql, parameters))
        return await super().execute(sql, parameters)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._tell(Statement(sql, rows, is_many=True))
        await super().execute_many(sql, rows)


async def taken_down(shop: Shop) -> list[Unit]:
    """The units of one caller buying everything once."""
    dictation = Dictation()
    copy = shop.copied("taken-down.sqlite3")
    async with open_hub(copy, on_step=dictation.on_step) as hub:
        assert isinstance(hub.store, SqliteStore)
        dictation.listen_to(hub.store)
        await bought_by_all(hub, copy, 1)
    return dictation.units


def statements_of(units: Sequence[Unit], orders: int) -> Figure:
    """How many statements a paid order takes, and which."""
    said = [statement for unit in units for statement in unit.statements]
    first = units[: len(units) // orders]
    return Figure(
        "checkout_statements",
        len(said) / orders,
        None,
        "SQL statements an order",
        bar=f"at most {MAX_STATEMENTS}",
        detail={unit.label: _counted([statement.name for statement in unit.statements]) for unit in first},
    )


def commits_of(units: Sequence[Unit], orders: int) -> Figure:
    """How often a paid order of one caller commits."""
    return Figure(
        "checkout_commits", len(units) / orders, None, "commits an order", bar=f"at most {MAX_COMMITS}",
        detail={"units": ", ".join(unit.label for unit in units[: len(units) // orders])},
    )  # fmt: skip


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{times} × {name}" if times > 1 else name for name, times in Counter(names).items())
