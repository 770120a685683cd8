"""PostgreSQL behind a network that is late, cuts, resets or swallows: each caller hears the truth, in bounded time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from hub.domain.people import User, UserState
from hub.entry.worker import Worker
from hub.store import postgresql
from hub.store.database import open_store
from hub.store.transactions import CommitUnknown, Store, Tx, Unavailable
from tests.flows.benches import Bench
from tests.proxy import Proxy, faulty
from tests.store.programs import add_user
from tests.store.test_log import one_more
from tests.world import START_US, World


@asynccontextmanager
async def behind(dsn: str, spoil: Callable[[Proxy], None] = lambda _: None) -> AsyncIterator[tuple[Store, Proxy]]:
    """A store whose connections pass a proxy; `spoil` is called before each COMMIT of a unit `add_user`."""
    parts = urlsplit(dsn)
    assert parts.hostname is not None
    assert parts.port is not None

    def on_step(step: str, unit: str) -> None:
        if (step, unit) == ("before commit", "add_user"):
            spoil(proxy)

    async with faulty(parts.hostname, parts.port) as proxy:
        store = await open_store(dsn.replace(str(parts.port), str(proxy.port)), on_step=on_step)
        try:
            yield store, proxy
        finally:
            proxy.swallows = False
            proxy.reset()
            await store.aclose()


async def has(dsn: str, id_: str) -> bool:
    """Whether the user is there, asked past the proxy."""
    store = await open_store(dsn)
    async with store.reading() as rx:
        found = await rx.people.user(id_)
    await store.aclose()
    return found is not None


async def test_a_late_network_changes_nothing_but_the_time(postgres_url: str) -> None:
    async with behind(postgres_url) as (store, proxy):
        proxy.late_s = 0.01
        await asyncio.gather(*(store.write(add_user, f"usr_{number}") for number in range(10)))
    assert all([await has(postgres_url, f"usr_{number}") for number in (0, 9)])


async def test_a_connection_that_is_reset_within_a_unit_has_done_nothing(postgres_url: str) -> None:
    async with behind(postgres_url) as (store, proxy):

        async def unlucky(tx: Tx) -> None:
            await tx.people.add_user(User("usr_1", UserState.ACTIVE, START_US))
            proxy.reset()
            await tx.people.add_user(User("usr_2", UserState.ACTIVE, START_US))

        with pytest.raises(Unavailable, match="nothing was done"):
            await store.write(unlucky)
        assert not await has(postgres_url, "usr_1")
        await store.write(add_user, "usr_1")
        assert await has(postgres_url, "usr_1")


async def test_of_a_commit_whose_answer_is_cut_off_nobody_says_what_it_did(postgres_url: str) -> None:
    """It is there; only its caller's idempotency record may say so."""

    def cut(proxy: Proxy) -> None:
        proxy.cut_after = 0

    async with behind(postgres_url, cut) as (store, _):
        with pytest.raises(CommitUnknown):
            await store.write(add_user, "usr_1")
        assert await has(postgres_url, "usr_1")


async def test_of_a_commit_that_never_arrives_nobody_says_what_it_did_either(postgres_url: str) -> None:
    async with behind(postgres_url, Proxy.reset) as (store, _):
        with pytest.raises(CommitUnknown):
            await store.write(add_user, "usr_1")
        assert not await has(postgres_url, "usr_1")


async def test_a_network_that_swallows_everything_is_noticed_in_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_S", 0.5)
    monkeypatch.setattr(postgresql, "RELEASE_S", 0.2)
    monkeypatch.setattr(postgresql, "ACQUIRE_S", 1)
    async with behind(postgres_url) as (store, proxy):
        await store.write(add_user, "usr_1")
        proxy.swallows = True
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await store.write(add_user, "usr_2")
        with pytest.raises(Unavailable):
            await store.stamp()
        assert time.monotonic() - began < 10
        proxy.swallows = False
        proxy.reset()
        await store.write(add_user, "usr_3")
    assert not await has(postgres_url, "usr_2")
    assert await has(postgres_url, "usr_3")


async def test_worker_and_followers_go_on_while_connections_break_all_the_time(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    direct = await open_store(postgres_url)
    world = World(direct)
    order = await world.order()
    async with behind(postgres_url) as (store, proxy):
        bench = Bench(store, world)
        worker = Worker(bench.hub)
        working = asyncio.create_task(worker.run())
        seen: list[int] = []

        async def follow() -> None:
            while len(seen) < 20:
                try:
                    await store.stamp()
                    async with store.reading() as rx:
                        events = await rx.events.read("hub", seen[-1] if seen else 0, 5)
                except Unavailable:
                    continue
                seen.extend(event.position for event in events)
                await asyncio.sleep(0.01)

        following = asyncio.create_task(follow())
        for _ in range(20):
            await direct.write(one_more, world, order.id)
            proxy.reset()
            await asyncio.sleep(0.02)
        await asyncio.wait_for(following, 30)
        worker.stop()
        await asyncio.wait_for(working, 30)
    await direct.aclose()
    assert seen == list(range(1, 21))
    assert "failed and goes on" in caplog.text
