"""How long an event takes from its commit to a subscriber, while nothing else happens: within one process, and from one
process to another with each bus and with none.

The subscriber is the hub's own reader (`resolvers.events.Following`); the commit's moment is taken by the store's own
hook. The other process is this module again, which says the moment of each of its commits.

    python -m tests.bench.event_delay DSN WAKEUPS ORDER COUNT
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from hub.domain.events import HUB_STREAM, Logged
from hub.domain.people import ANONYMOUS
from hub.entry import wiring
from hub.entry.settings import read_settings
from hub.entry.worker import Worker
from hub.ports import Hub, Wakeups
from hub.store.database import open_store
from hub.store.migrate import migrate
from hub.store.transactions import Store
from hub.wakeups.bus import BusWakeups
from resolvers.events import Following
from tests.bench.figures import Figure
from tests.buses import open_bus
from tests.servers import open_postgres
from tests.store.test_log import one_more
from tests.world import World

EVENTS, QUICK_EVENTS = 400, 20
POLLED, QUICK_POLLED = 30, 3  # without a bus each takes about half a second
STARTED_WITHIN_S = 120.0
QUIET_S = 0.02  # between two events: nobody is busy with the last one any more
BAR = "at most 50 ms, aim 20 ms"


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    count, polled = (QUICK_EVENTS, QUICK_POLLED) if quick else (EVENTS, POLLED)
    with tempfile.TemporaryDirectory() as folder, open_postgres() as server, server.database() as dsn:
        sqlite = f"sqlite:///{folder}/hub.sqlite3"
        for url in (sqlite, dsn):
            await migrate(url)
        yield figure("event_delay_sqlite", await within(sqlite, count), "in one process, SQLite")
        yield figure("event_delay_postgres", await within(dsn, count), "in one process, PostgreSQL")
        for name in ("nats", "valkey"):
            with open_bus(name) as bus:
                delays = await across(dsn, bus.url, count)
            yield figure(f"event_delay_{name}", delays, f"from another process, PostgreSQL and {name}")
        delays = await across(dsn, "memory", polled)
        yield figure("event_delay_polled", delays, "from another process, PostgreSQL and no bus", bar="a second")


def figure(name: str, delays: list[float], how: str, bar: str = BAR) -> Figure:
    """The 99th percentile in milliseconds, beside the rest of the distribution."""
    told = sorted(delay * 1000 for delay in delays)
    p99 = told[min(len(told) - 1, int(len(told) * 0.99))]
    median = told[len(told) // 2]
    return Figure(
        name, p99, None, "ms p99", None, bar, {"ours": [told[0], median, told[-1]]}, {"events": len(told), "how": how}
    )


# ---- within one process ----------------------------------------------------------------------------------------------


async def within(url: str, count: int) -> list[float]:
    committed: list[float] = []
    seen: list[float] = []
    async with opened(url, "memory", committed) as (hub, store):
        world = World(store, name=f"in {url}")
        order = await world.order()
        async with subscribed(hub, seen):
            committed.clear()
            for number in range(count):
                await store.write(one_more, world, order.id)
                await until_seen(seen, number + 1)
                await asyncio.sleep(QUIET_S)
    return delays_of(committed, seen)


# ---- from another process --------------------------------------------------------------------------------------------


async def across(dsn: str, wakeups: str, count: int) -> list[float]:
    seen: list[float] = []
    async with opened(dsn, wakeups, []) as (hub, store):
        order = await World(store, name=f"across {wakeups}").order()
        async with subscribed(hub, seen):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.event_delay", dsn, wakeups, order.id, str(count),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), STARTED_WITHIN_S) == b"ready\n"
            for number in range(count):
                process.stdin.write(b"go\n")
                await until_seen(seen, number + 1)
                await asyncio.sleep(QUIET_S)
            said, _ = await process.communicate()
    return delays_of([float(line) for line in said.split()], seen)


async def write_on(dsn: str, wakeups: str, order_id: str, count: str) -> None:
    """The other process: one event per line that comes in, and at the end the moments of their commits."""
    committed: list[float] = []
    async with opened(dsn, wakeups, committed) as (_, store):
        world = World(store, name="another process")
        print("ready", flush=True)
        for _ in range(int(count)):
            await asyncio.to_thread(sys.stdin.readline)
            await store.write(one_more, world, order_id)
    print("\n".join(map(str, committed)))


# ---- both ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """As much of a hub as reading and polling ask for."""

    store: Store
    wakeups: Wakeups


@asynccontextmanager
async def opened(url: str, wakeups: str, committed: list[float]) -> AsyncIterator[tuple[Hub, Store]]:
    """A store with wake-ups and the process's poll; the moments of its commits are noted down."""

    def on_step(step: str, unit: str) -> None:
        if (step, unit) == ("after commit", "one_more"):
            committed.append(time.monotonic())

    bus = wiring._wakeups(read_settings({"HUB_WAKEUPS": wakeups}))
    store = await open_store(url, moved=lambda stream: bus.publish(stream, 0), on_step=on_step)
    hub = cast("Hub", Reading(store, bus))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(bus.aclose)
        stack.push_async_callback(store.aclose)
        while isinstance(bus, BusWakeups) and not bus.figures.is_open:  # noqa: ASYNC110  # a figure tells nobody
            await asyncio.sleep(0.01)
        worker = Worker(hub)
        polling = asyncio.create_task(worker._forever("poll", worker._poll))
        try:
            yield hub, store
        finally:
            worker.stop()
            await polling


@asynccontextmanager
async def subscribed(hub: Hub, seen: list[float]) -> AsyncIterator[None]:
    """A subscriber from now on, who notes when each event came."""

    async def as_it_is(logged: Logged) -> Logged:
        return logged

    async def follow(position: int) -> None:
        async for _ in cast("AsyncIterator[Any]", Following(hub, ANONYMOUS, HUB_STREAM, position, as_it_is)):
            seen.append(time.monotonic())

    await hub.store.stamp()
    async with hub.store.reading() as rx:
        head = await rx.events.head()
    following = asyncio.create_task(follow(head.position))
    await asyncio.sleep(0.1)  # it waits at the end of the log
    yield
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def until_seen(seen: list[float], count: int) -> None:
    async with asyncio.timeout(30):
        while len(seen) < count:  # noqa: ASYNC110  # the subscriber notes down and does nothing else
            await asyncio.sleep(0.0005)


def delays_of(committed: list[float], seen: list[float]) -> list[float]:
    """Seconds from each commit to its subscriber. Both clocks are the machine's monotonic one."""
    assert len(committed) == len(seen)
    return [came - was for was, came in zip(committed, seen, strict=True)]


if __name__ == "__main__":
    asyncio.run(write_on(*sys.argv[1:]))
