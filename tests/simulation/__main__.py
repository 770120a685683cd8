"""`python -m tests.simulation --orders N --seed S [--database URL]`: non-zero at the first broken invariant."""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hub.entry.verification import verified
from hub.store.database import open_store
from hub.store.migrate import migrate
from hub.store.transactions import Store
from tests.simulation.contests import AnsweredProvider
from tests.simulation.invariants import Broken, expect
from tests.simulation.lives import Life, arrivals, call_off
from tests.simulation.providers import MANNERS, Provider
from tests.simulation.town import Town

FOLD_EVERY = 1_000  # steps, and at the end: a full fold at each step would be quadratic
BUYERS_PER_ORDER = 0.5  # so that some buy the same course twice
ARRIVE_A_SECOND = 10.0
HORIZON_S = 30 * 3600  # after the last buyer: what is UNKNOWN for a day has become a Break by then
REST_WITHIN_S = 10 * 24 * 3600  # longer than anything waits: money that is held for its merchant, most of a week
PERSON_EVERY = 100  # of these steps, somebody looks at what no worker can end


@dataclass(slots=True)
class Report:
    """What a run went through."""

    orders: int
    seed: int
    steps: int = 0
    looks: int = 0
    took_s: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    @property
    def orders_a_second(self) -> float:
        return self.orders / self.took_s

    @property
    def text(self) -> str:
        """For a terminal: how much, how fast, where it all ended, and what it met."""
        lines = [
            f"{self.orders} orders in {self.took_s:.1f} s: {self.orders_a_second:.0f} a second; {self.steps} steps, "
            f"{self.looks} looks at an order, every invariant held (seed {self.seed})"
        ]
        lines.append("ended: " + ", ".join(f"{number} {name}" for name, number in sorted(self.states.items())))
        lines.append("met: " + ", ".join(f"{number} × {name}" for name, number in sorted(self.met.items())))
        return "\n".join(lines)


async def simulate(store: Store, *, orders: int, seed: int) -> Report:
    """Live through it all on a fresh migrated store. Raises Broken, or whatever the hub broke with."""
    began = time.perf_counter()
    town = Town(store, seed)
    providers = [(AnsweredProvider if one.can_be_answered else Provider)(one, town) for one in MANNERS]
    await town.build({provider.code: provider for provider in providers}, max(int(orders * BUYERS_PER_ORDER), 1))  # type: ignore[misc]  # as much of a channel as is called
    for number, at_s in enumerate(arrivals(town.chance("arrivals"), orders, ARRIVE_A_SECOND)):
        town.spawn(_arrive(town, number, at_s))
    town.spawn(_close(town, orders / ARRIVE_A_SECOND))
    while await town.step() and town.passed_s < orders / ARRIVE_A_SECOND + HORIZON_S:
        if town.steps % FOLD_EVERY == 0:
            await town.books.fold()
    await _come_to_rest(town, providers)
    await _judge(town, providers)
    met: Counter[str] = sum((provider.met for provider in providers), town.met)
    report = Report(orders, seed, town.steps, town.books.looks, time.perf_counter() - began, met)
    report.states = town.books.states()
    return report


async def _arrive(town: Town, number: int, at_s: float) -> None:
    await town.sleep(at_s)
    await Life(town, number).live()


async def _close(town: Town, after_s: float) -> None:
    await town.sleep(after_s)
    town.is_open = False


async def _come_to_rest(town: Town, providers: Sequence[Provider]) -> None:
    """Providers answer everything and nobody dies from now on; time passes until there is nothing left to do."""
    town.is_safe = True
    for provider in providers:
        provider.is_kind = True
    ends_s, began = town.passed_s + REST_WITHIN_S, town.steps
    while await town.step():
        if (town.steps - began) % PERSON_EVERY == 0:
            await call_off(town)
        if town.passed_s > ends_s:
            raise Broken(f"rest: tasks that do not come to an end: {await town.unfinished()}")
    await town.expired()


async def _judge(town: Town, providers: Sequence[Provider]) -> None:
    """All orders once more, everything folded, the hub's own checks, and the hub's books against the providers'."""
    everything = town.books.everything()
    for first in range(0, len(everything), 200):
        await town.books.look(everything[first : first + 200])
    await town.books.fold()
    for check in await verified(town.hubs[0], with_chain=False):
        expect(check.is_fine, f"hub verify: {check.name}", "; ".join(check.wrong[:3]))
    for order_id in everything:
        found = town.books.order(order_id)
        assert found is not None
        taken = sum(provider.taken_minor(found.number, found.total.currency) for provider in providers)
        theirs = [one for provider in providers for one in provider.shown(found.number)]
        mine = [f"{one.key} {one.state}" for one in town.books.attempts(order_id)]
        expect(found.received_minor == taken, "the providers' books", f"{found.number}: {theirs}, the hub has {mine}")
        back = sum(provider.given_back_minor(found.number, found.total.currency) for provider in providers)
        books = f"{found.number}: the providers gave back {back}, the hub {found.refunded_minor}"
        expect(found.refunded_minor == back, "the providers' books", books)
        live = [one.key for one in town.books.attempts(order_id) if one.is_live]
        expect(not live, "rest", f"{live} of {found.number} never ended")
    for provider in providers:
        for currency in ("CNY", "USD"):
            mine = town.books.balance(f"channel:{provider.code}:clearing/{currency}")
            theirs = provider.balance_minor(currency)
            expect(mine == theirs, "the providers' books", f"{provider.code} has {theirs} {currency}, the hub {mine}")


async def simulated(orders: int, seed: int, database: str | None) -> Report:
    """One simulation on an empty database, or on a SQLite file that is thrown away."""
    logging.disable(logging.ERROR)  # adapters that raise are faults of the simulation, each with a trace
    with tempfile.TemporaryDirectory(prefix="tongbao-simulation-") as folder:
        url = database or f"sqlite:///{folder}/simulation.sqlite3"
        await migrate(url)
        store = await open_store(url, synchronous="NORMAL")  # nobody pulls the plug here
        try:
            return await simulate(store, orders=orders, seed=seed)
        finally:
            await store.aclose()
            logging.disable(logging.NOTSET)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one simulation. Returns 1 at the first broken invariant; the seed is printed in any case."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Orders through every fault.")
    parser.add_argument("--orders", type=int, default=1_000, metavar="N", help="how many are bought (default: 1000)")
    parser.add_argument("--seed", type=int, metavar="S", help="what chance begins with (default: drawn and printed)")
    parser.add_argument("--database", metavar="URL", help="an empty one (default: a SQLite file)")
    parsed = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**9) if parsed.seed is None else parsed.seed
    print(f"simulation: {parsed.orders} orders, seed {seed}", flush=True)
    try:
        report = asyncio.run(simulated(parsed.orders, seed, parsed.database))
    except Exception as fault:
        print(f"broken by seed {seed} with {parsed.orders} orders: {type(fault).__name__}: {fault}", file=sys.stderr)
        traceback.print_exception(fault)
        return 1
    print(report.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
