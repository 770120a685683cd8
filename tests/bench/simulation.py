"""How many orders a second the simulation drives through every fault, its checks included (tests/simulation)."""

from collections.abc import AsyncIterator

from tests.bench.figures import Figure
from tests.simulation.__main__ import simulated

ORDERS, QUICK_ORDERS = 2_000, 30
SEED = 1


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    report = await simulated(QUICK_ORDERS if quick else ORDERS, SEED, None)
    yield Figure.of(
        "simulation", [report.orders_a_second], unit="orders/s", bar="10,000 in CI: at least 42", orders=report.orders,
        steps=report.steps, looks=report.looks, seed=SEED,
    )  # fmt: skip
