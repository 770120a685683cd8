"""Nothing hangs on wake-ups: with every bus lost, others' events come by the poll, of which each process has one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from hub.domain.events import HUB_STREAM
from hub.entry import worker as module
from hub.entry.worker import Worker
from hub.flows.retention import DAY_US
from hub.ports import Hub
from hub.store.database import open_store
from hub.store.transactions import Store, Tx
from hub.wakeups.bus import BusWakeups
from tests.buses import open_bus
from tests.entry.test_worker import until, working
from tests.flows.benches import Bench
from tests.store.test_log import one_more
from tests.store.test_log_retention import read_all, tell
from tests.wakeups.test_every_bus import process
from tests.world import World


@asynccontextmanager
async def another(bench: Bench, url: str, wakeups: BusWakeups) -> AsyncIterator[Hub]:
    """Another process on the same database, which hears by its own poll and its own line to the bus."""
    store = await open_store(url, moved=lambda stream: wakeups.publish(stream, 0))
    try:
        yield replace(bench.hub, store=store, wakeups=wakeups)
    finally:
        await store.aclose()


async def follow(hub: Hub, seen: list[int]) -> None:
    """As every reader does: mark, stamp, read, wait."""
    while True:
        mark = hub.wakeups.mark(HUB_STREAM)
        await hub.store.stamp()
        async with hub.store.reading() as rx:
            events = await rx.events.read(HUB_STREAM, seen[-1] if seen else 0, 10)
        seen.extend(event.position for event in events)
        if not events:
            await hub.wakeups.wait(HUB_STREAM, mark)


@pytest.mark.parametrize("name", ["nats", "valkey"])
async def test_events_of_another_process_come_by_the_bus_and_without_it_by_the_poll(
    name: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(postgres_url)
    bench = Bench(store, World(store))
    order = await bench.world.order()
    seen: list[int] = []
    monkeypatch.setattr(module, "POLL_S", 60.0)  # at first the bus alone
    with open_bus(name) as bus:
        async with (
            process(bus, "one") as one,
            process(bus, "two") as two,
            another(bench, postgres_url, one) as writing,
            another(bench, postgres_url, two) as reading,
        ):
            worker = Worker(reading)
            polling = asyncio.create_task(worker._forever("poll", worker._poll))
            following = asyncio.create_task(follow(reading, seen))
            await until(lambda: waits(two))
            await writing.store.write(one_more, bench.world, order.id)
            await until(lambda: has(seen, 1))
            bus.stop()
            await until(lambda: both_lost(one, two))
            await writing.store.write(one_more, bench.world, order.id)
            await asyncio.sleep(0.3)
            assert seen == [1]  # nobody has told it
            worker.stop()
            await polling
            monkeypatch.setattr(module, "POLL_S", 0.2)
            worker = Worker(reading)
            worker._seen = 1  # what the last poll saw
            polling = asyncio.create_task(worker._forever("poll", worker._poll))
            await until(lambda: has(seen, 2))
            following.cancel()
            worker.stop()
            await asyncio.gather(following, polling, return_exceptions=True)
    await store.aclose()
    assert seen == [1, 2]


async def waits(wakeups: BusWakeups) -> bool:
    return wakeups.waiting > 0


async def has(seen: list[int], count: int) -> bool:
    return len(seen) >= count


async def both_lost(one: BusWakeups, two: BusWakeups) -> bool:
    return not one.figures.is_open and not two.figures.is_open


async def test_the_first_event_that_there_ever_is_is_found_by_the_poll(postgres_url: str) -> None:
    """It comes from a process whose wake-ups nobody hears, and the poll before it saw an empty log."""
    store, writing = await open_store(postgres_url), await open_store(postgres_url)
    bench = Bench(store, World(store))
    order = await World(writing, name="another").order()
    hub = bench.hub
    worker = Worker(hub)
    await worker._poll()
    mark = hub.wakeups.mark(HUB_STREAM)
    await writing.write(one_more, bench.world, order.id)
    await worker._poll()
    await asyncio.wait_for(hub.wakeups.wait(HUB_STREAM, mark), 1)
    await store.aclose()
    await writing.aclose()


async def test_who_waited_before_the_first_poll_looks_once_more(store: Store, world: World) -> None:
    hub = Bench(store, world).hub
    waiting = asyncio.create_task(hub.wakeups.wait("usr_1", hub.wakeups.mark("usr_1")))
    await asyncio.sleep(0)
    await Worker(hub)._poll()
    await asyncio.wait_for(waiting, 1)


async def test_an_idle_process_asks_as_little_whether_nobody_or_hundreds_follow(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the statements that it runs in three polls, whichever engine."""
    asked: list[str] = []
    store = await open_store(store_url, on_statement=asked.append)
    bench = Bench(store, World(store))
    monkeypatch.setattr(module, "POLL_S", 0.3)

    async def in_three_polls(followers: int) -> int:
        hub = bench.hub
        waiting = [asyncio.create_task(hub.wakeups.wait(f"usr_{n}", hub.wakeups.mark(""))) for n in range(followers)]
        asked.clear()
        worker = Worker(hub)
        for _ in range(3):
            await worker._poll()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return len(asked)

    assert await in_three_polls(0) == await in_three_polls(300) == 3
    await store.aclose()


# ---- the daily pruning -----------------------------------------------------------------------------------------------


async def test_the_worker_prunes_what_is_old_and_names_who_holds_back_more(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PRUNE_FIRST_S", 0.0)
    bench = Bench(store, world)
    await tell(store, world, 3, (HUB_STREAM, "plt_1"))
    await read_all(store)

    async def lag(tx: Tx) -> None:
        await tx.events.move("webhook:whe_1", 0, 3, "plt_1")

    await store.write(lag)
    world.clock.pass_us(31 * DAY_US)
    worker = Worker(bench.hub, keep_days=30)
    running = asyncio.create_task(worker._forever("log", worker._prune))
    await until(lambda: has_begun_at(store, 4))
    worker.stop()
    await asyncio.wait_for(running, 10)
    assert "webhook:whe_1 has not read event 4 of plt_1, which is due to leave the log" in caplog.text


async def has_begun_at(store: Store, position: int) -> bool:
    async with store.reading() as rx:
        return (await rx.events.head()).oldest >= position


async def test_a_worker_without_a_horizon_keeps_everything(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNE_FIRST_S", 0.01)
    await tell(store, world, 2)
    await read_all(store)
    world.clock.pass_us(100_000 * DAY_US)
    async with working(Bench(store, world).hub):
        await asyncio.sleep(0.3)
    assert not await has_begun_at(store, 2)
