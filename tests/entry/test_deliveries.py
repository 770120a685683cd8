"""The worker delivers, and a receiver that does not answer holds up neither money nor other endpoints."""

import asyncio
from typing import Any

import pytest

from hub.domain.webhooks import Sent
from hub.entry import metrics
from hub.flows import webhooks
from hub.store.tasks import POOL_SIZE
from hub.store.transactions import Store
from tests.entry.test_worker import add_task, left, until, working
from tests.flows.benches import Bench
from tests.flows.scripted import DELIVERED, Post
from tests.world import World, partner


@pytest.fixture
def bench(store: Store, world: World) -> Bench:
    return Bench(store, world)


async def test_an_endpoint_that_never_answers_holds_up_nobody_else(bench: Bench) -> None:
    silent, quick = await bench.world.platform("silent"), await bench.world.platform("quick")
    for platform in (silent, quick):
        await webhooks.create_endpoint(
            bench.hub, partner(platform), url=f"https://{platform.slug}.example/", document="all"
        )
    gate, under_way, most = asyncio.Event(), 0, 0

    async def answer(post: Post) -> Sent:
        nonlocal under_way, most
        if "silent" in post.url:
            under_way += 1
            most = max(most, under_way)
            await gate.wait()
            under_way -= 1
        return DELIVERED

    bench.sender.says.extend([answer] * 100)
    learner = await bench.world.learner()
    for platform, orders in ((silent, 12), (quick, 3)):
        for number in range(orders):
            listing = await bench.world.listing(platform=platform, is_honoured=False)
            await bench.order(learner, listing, key=f"{platform.slug} {number}")
    await add_task(bench, "own")
    async with working(bench.hub):

        async def is_quick_done() -> Any:
            posted = [post for post in bench.sender.posts if "quick" in post.url]
            own = [key for key, _ in await left(bench) if key == "own"]
            return under_way >= POOL_SIZE and len(posted) == 3 and not own

        await until(is_quick_done, within_s=30)
        gate.set()

        async def is_all_done() -> bool:
            return len(bench.sender.posts) == 15 and await left(bench) == []

        await until(is_all_done, within_s=30)
    assert POOL_SIZE <= most <= 2 * POOL_SIZE - 1
    assert await bench.rows("SELECT DISTINCT state FROM webhook_delivery") == [("DELIVERED",)]


async def test_metrics_tell_what_waits_for_whom(bench: Bench) -> None:
    from hub.flows import deliveries

    platform = await bench.world.platform()
    made = await webhooks.create_endpoint(bench.hub, partner(platform), url="https://shop.example", document="all")
    assert made.value is not None
    await bench.order(await bench.world.learner(), await bench.world.listing(platform=platform))
    await deliveries.gather(bench.hub)
    bench.clock.pass_us(7_000_000)
    gauges = {gauge.name: list(gauge.values) for gauge in await metrics.measured(bench.hub)}
    labels = (("endpoint", made.value.id),)
    assert gauges["hub_webhook_pending"] == [(labels, 1)]
    assert gauges["hub_webhook_oldest_seconds"] == [(labels, 7.0)]
    assert gauges["hub_webhook_attempts"] == []
