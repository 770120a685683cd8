"""Several processes on one PostgreSQL: subscribers move from one that dies to another and see each event once.

The log itself says what there was to see; a subscriber knows nothing but its last cursor.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import WebSocketException

from hub.domain.requests import REQUEST_LEASE_US
from hub.entry.demo_client import Client, DemoFailed
from tests.buses import open_bus
from tests.entry.hubs import CHECKOUT, House, Process, Serving, Sold, put_on_sale, reached, until
from tests.servers import open_postgres

EVENTS = "subscription($after: String) { events(after: $after) { id cursor } }"
DEAD = (httpx.HTTPError, DemoFailed, WebSocketException, OSError)  # what a client sees of a hub that dies
SELLER = "lumen"
# What a client is ready to wait for one answer: two processes in turn may die over its request, each of which leaves a
# lease behind it, and then somebody has to answer.
PATIENCE_S = 2 * REQUEST_LEASE_US / 1_000_000 + 10
# A log so long that nobody has read it before the killed process is gone.
OLD = 1_500


@dataclass
class Town:
    """Hubs on one database, of which any may die, and a partner who knows all their addresses."""

    house: House
    environ: dict[str, str]
    hubs: list[Serving] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)
    seller: str = ""  # the partner's key
    operator: str = ""

    @property
    def alive(self) -> list[Serving]:
        return [hub for hub in self.hubs if hub.code is None]

    async def open(self, count: int, **how: Any) -> None:
        """So many hubs more."""
        self.hubs += [await self.house.serve(**{"HUB_PORT": "0", **self.environ}, **how) for _ in range(count)]

    async def import_old(self) -> None:
        """A catalogue of OLD courses of the partner's: as many events of its stream."""
        columns = "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level"
        rows = [f"{n},Old {n},https://example.org/{n},True,20,1,1,1,All Levels,1,2017-01-18T20:58:58Z,Crafts"
                for n in range(OLD)]  # fmt: skip
        path = self.house.data.with_name("old.csv")
        path.write_text("\n".join([f"{columns},content_duration,published_timestamp,subject", *rows, ""]))
        code, said = await self.house.command("import", str(path), "--platform", SELLER, "--format", "udemy")
        assert code == 0, said

    async def put(self, names: list[str]) -> list[Sold]:
        """The partner puts courses on sale, one after the other, each at whichever hub answers."""
        return [await self.anywhere(number, put_on_sale, name) for number, name in enumerate(names)]

    async def anywhere(self, number: int, ask: Any, *arguments: Any, token: str | None = None) -> Any:
        """What a hub answers: the next one's if the first dies. A client repeats itself with the same key."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            hub = self.alive[number % len(self.alive)]
            try:
                async with Client(hub.origin, token or self.seller) as client:
                    return await ask(client, *arguments)
            except DEAD:
                if time.monotonic() > deadline:
                    raise
                number += 1
                await asyncio.sleep(0.1)

    async def log(self) -> list[str]:
        """The ids of all events of the partner's stream, in order."""
        rows = await self.house.rows(
            "SELECT e.id FROM event e JOIN platform p ON e.stream = p.id"
            f" WHERE p.slug = '{SELLER}' AND e.position IS NOT NULL ORDER BY e.position"
        )
        return [id_ for (id_,) in rows]


@dataclass
class Subscriber:
    """Follows the partner's stream at one hub, and at another one when that dies: all it has is its cursor."""

    town: Town
    number: int = 0  # at which hub it begins
    ids: list[str] = field(default_factory=list)
    cursor: str = ""
    moved_after: list[int] = field(default_factory=list)  # how many events it had at each move
    at: Serving | None = None

    async def follow(self) -> None:
        while True:
            self.at = self.town.alive[(self.number + len(self.moved_after)) % len(self.town.alive)]
            try:
                async with (
                    Client(self.at.origin, self.town.seller) as client,
                    client.subscribe(EVENTS, {"after": self.cursor}) as events,
                ):
                    async for data in events:
                        self.ids.append(data["events"]["id"])
                        self.cursor = data["events"]["cursor"]
            except DEAD:
                pass
            self.moved_after.append(len(self.ids))
            await asyncio.sleep(0.05)

    async def has(self, count: int, within_s: float = 60) -> None:
        """Until it has seen so many."""

        async def look() -> bool:
            return len(self.ids) >= count

        await until(look, within_s=within_s, every_s=0.002, what=f"{count} events")


@asynccontextmanager
async def town(
    data: Path, database: str | None, *, hubs: int, workers: int = 0, wakeups: str = "memory", **how: Any
) -> AsyncIterator[Town]:
    """A node of its own keeps the chain, so that it dies with nobody; `how` is how each hub is begun."""
    house = House(data, database)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        await stack.enter_async_context(house.node_kept())
        here = Town(house, {"HUB_WAKEUPS": wakeups})
        await here.open(hubs, **how)
        here.seller = await house.token("partner", platform=SELLER)
        here.operator = await house.token("operator")
        here.workers = [await house.begin("worker", **here.environ) for _ in range(workers)]
        yield here


async def buy(client: Client, sold: Sold) -> str:
    """One sale, whose key is the listing's own: the order's id."""
    bought = await client.mutate(CHECKOUT, sold.bought(sold.listing_id))
    return str(bought["order"]["id"])


async def is_recorded(client: Client, order_id: str) -> None:
    """Until the order is paid, and confirmed on chain."""
    await reached(client, order_id, status="PAID", chainStatus="FINALIZED", within_s=120)


@asynccontextmanager
async def following(*subscribers: Subscriber) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.follow()) for one in subscribers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def assert_all_seen(here: Town, *subscribers: Subscriber) -> None:
    """Everybody has seen what the log has: nothing left out, nothing twice, in order."""
    expected = await here.log()
    await asyncio.gather(*(one.has(len(expected)) for one in subscribers))
    assert [one.ids == expected for one in subscribers] == [True] * len(subscribers)


@pytest.mark.timeout(300)
async def test_subscribers_move_from_a_killed_hub_to_another_and_miss_and_repeat_nothing(
    postgres_dsn: str, tmp_path: Path
) -> None:
    """One is killed in the middle of a replay; what comes then is written at the other, and a worker goes on. Their
    bus is away all the time, which each says once."""
    async with town(tmp_path / "data", postgres_dsn, hubs=2, workers=1, wakeups="nats://127.0.0.1:1") as here:
        await here.import_old()
        moving, staying = Subscriber(here), Subscriber(here, number=1)
        async with following(moving, staying):
            await moving.has(5)
            await here.hubs[0].kill()
            await here.put([f"new {number}" for number in range(5)])
            await asyncio.gather(*(one.has(OLD + 5) for one in (moving, staying)))
            await assert_all_seen(here, moving, staying)
        assert 5 <= moving.moved_after[0] <= OLD  # all that was old may have been on its way already
        assert staying.moved_after == []
        assert here.workers[0].code is None
        assert [one.said.count("the wake-up bus is away") for one in (here.hubs[1], here.workers[0])] == [1, 1]


# ---- for longer, and with everything ---------------------------------------------------------------------------------


@contextmanager
def bus_url(name: str) -> Iterator[str]:
    if name == "memory":
        yield "memory"
        return
    with open_bus(name) as bus:
        yield bus.url


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bus", ["memory", "nats", "valkey"])
async def test_any_process_killed_at_random_while_all_is_live(bus: str, tmp_path: Path) -> None:
    """Hubs and workers die and are replaced for half a minute, in which courses are put on sale and sold."""
    seed = int(os.environ.get("HUB_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
    print(f"HUB_TEST_SEED={seed}")  # noqa: T201  # the seed is for whoever reads a failure
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        url = stack.enter_context(bus_url(bus))
        database = stack.enter_context(stack.enter_context(open_postgres(durable=True)).database())
        here = await stack.enter_async_context(town(tmp_path / "data", database, hubs=2, workers=1, wakeups=url))
        subscribers = [Subscriber(here, number=number) for number in range(4)]
        await stack.enter_async_context(following(*subscribers))
        learner = await here.house.token("learner")
        sold: list[str] = []
        is_over = False

        async def sell() -> None:
            number = 0
            while not is_over:
                number += 1
                [listed] = await here.put([f"course {number}"])
                sold.append(await here.anywhere(number, buy, listed, token=learner))

        selling = asyncio.create_task(sell())
        deaths = 0
        began = time.monotonic()  # a busy machine may take longer to sell three
        while time.monotonic() < began + (30 if len(sold) >= 3 else 150):
            await asyncio.sleep(chance.uniform(0.1, 2.0))
            if chance.random() < 0.3:
                await here.workers.pop().kill()
                here.workers.append(await here.house.begin("worker", **here.environ))
            else:
                victim = chance.choice(here.hubs)
                await victim.kill()
                here.hubs.remove(victim)
                await here.open(1)
            deaths += 1
        is_over = True
        await selling
        print(f"{deaths} deaths over {len(sold)} sales")  # noqa: T201  # how much of it there was
        for order_id in sold:
            await here.anywhere(0, is_recorded, order_id, token=learner)
        await assert_all_seen(here, *subscribers)
        assert deaths >= 3
        assert len(sold) >= 3
        await here.house.verified()


# ---- the same with one process and with four -------------------------------------------------------------------------

# Seconds by which every process's clock is ahead, in turn: further than a lease lasts, and back again.
AHEAD_S = (0, 60, 5, 90, 30)
FOR_S = 0.7


def jumping() -> None:
    """In a hub's process: its wall clock jumps forth and back for as long as it runs."""
    from hub.entry import wiring

    def now_us(_clock: wiring.SystemClock) -> int:
        now = time.time()
        return int((now + AHEAD_S[int(now / FOR_S) % len(AHEAD_S)]) * 1_000_000)

    setattr(wiring.SystemClock, "now_us", now_us)  # noqa: B010  # mypy takes a plain assignment for a mistake


async def scenario(here: Town) -> dict[str, Any]:
    """Twelve sales at all hubs in turn, half of them at once, and what that came to, without ids and times."""
    subscriber = Subscriber(here)
    async with following(subscriber):
        learner = await here.house.token("learner")
        courses = await here.put([f"course {number}" for number in range(12)])
        orders = [await here.anywhere(n, buy, sold, token=learner) for n, sold in enumerate(courses[:6])]
        at_once = (here.anywhere(n, buy, sold, token=learner) for n, sold in enumerate(courses[6:]))
        orders += await asyncio.gather(*at_once)
        await asyncio.gather(*(here.anywhere(0, is_recorded, order_id, token=learner) for order_id in orders))
        await assert_all_seen(here, subscriber)
    told = {
        # An attempt may be UNKNOWN on its way, where a clock jumped or a machine was slow.
        "events": "SELECT CASE WHEN stream = 'hub' THEN 'hub' ELSE substr(stream, 1, 3) END AS s, kind, count(*)"
        """ FROM event WHERE NOT (kind = 'PAYMENT_ATTEMPT_CHANGED' AND body LIKE '%"UNKNOWN"%')"""
        " GROUP BY s, kind ORDER BY s, kind",
        "orders": "SELECT status, charge_status, received_minor, count(*) FROM order_ GROUP BY 1, 2, 3",
        "attempts": "SELECT state, count(*) FROM payment_attempt GROUP BY state",
        "grants": "SELECT state, count(*) FROM grant_ GROUP BY state",
        "leaves": "SELECT count(*) FROM leaf",
        "books": "SELECT sum(debits_posted), sum(credits_posted) FROM account",
    }
    found: dict[str, Any] = {name: [tuple(map(str, row)) for row in await here.house.rows(sql)]
                             for name, sql in told.items()}  # fmt: skip
    found["movements"] = sorted(status for _, status in here.house.movements())
    await here.house.verified()
    return found


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_one_process_and_four_come_to_the_same_while_every_clock_jumps(tmp_path: Path) -> None:
    results = {}
    async with town(tmp_path / "sqlite", None, hubs=1, spoil=jumping) as here:
        results["sqlite"] = await scenario(here)
    with open_postgres() as server:
        for name, hubs, workers in (("one", 1, 0), ("four", 3, 1)):
            with server.database() as database:
                async with town(tmp_path / name, database, hubs=hubs, workers=workers, spoil=jumping) as here:
                    results[name] = await scenario(here)
    assert results["one"]["orders"] == [("PAID", "FULL", "4900", "12")]
    assert results["one"]["movements"] == ["succeeded"] * 12
    assert results["sqlite"] == results["one"] == results["four"]
