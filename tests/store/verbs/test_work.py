"""The log, tasks, and what is sent to partners."""

from dataclasses import replace

from sqlalchemy import select

from hub.domain.events import HUB_STREAM, Logged, OrderCreated
from hub.domain.webhooks import DeliveryState, EndpointState, Sent, SentOutcome, WebhookEndpoint
from hub.store.archive import Aged, Archive, Reader
from hub.store.events import Events, Head, Part
from hub.store.tasks import LeasedTask, Tasks
from hub.store.transactions import Store, Tx
from hub.store.webhooks import Webhooks, webhook_attempt
from tests.store.verbs.calls import left_out
from tests.world import START_US, World


async def test_events(store: Store, world: World, called: set[str]) -> None:
    listing = await world.listing()
    order = await world.order(listing)

    async def unit(tx: Tx) -> None:
        told = OrderCreated(order.id, order.number, listing.id, "", "", 9900, "CNY", "AWAITING_PAYMENT", "NONE", "NONE")
        audiences = await tx.orders.audiences(order)
        tx.events.append(order, told, audiences, world.draw())
        assert await tx.events.position_of("batcher") == 0
        await tx.events.move("batcher", 0, 3)
        assert await tx.events.position_of("batcher") == 3
        await tx.events.move("batcher", 0, 2, "plt_1")
        for position in (4, 7, 5):
            await tx.events.advance("seller", position)
        assert await tx.events.position_of("seller") == 7
        await tx.events.drop_consumer("seller", HUB_STREAM)
        assert await tx.events.position_of("batcher", "plt_1") == 2
        await tx.events.drop_consumer("batcher", "plt_1")
        assert [await tx.events.position_of("batcher", stream) for stream in ("plt_1", HUB_STREAM)] == [0, 3]

    await store.write(unit)
    await store.stamp()
    async with store.reading() as rx:
        assert (await rx.events.unstamped(), await rx.events.count_stamped()) == (0, 3)
        assert await rx.events.head() == Head(3, 1)
        assert sorted(await rx.events.streams_since(0)) == sorted([HUB_STREAM, order.user_id, order.platform_id])
        [logged] = await rx.events.read(HUB_STREAM, 0, 10)
        assert (logged.kind, logged.subject, logged.subject_version) == ("ORDER_CREATED", order.id, 1)
        assert await rx.events.read(HUB_STREAM, 0, 10, ["ORDER_PAID"]) == []
        assert await rx.events.follow(HUB_STREAM, 0, 10) == Part([logged], 1)
        assert await rx.events.follow(HUB_STREAM, 3, 10) == Part([], 1)
    assert left_out(Events, called) == set()


async def test_archive(store: Store, world: World, called: set[str]) -> None:
    listing = await world.listing()
    order = await world.order(listing)

    async def tell(tx: Tx) -> None:
        told = OrderCreated(order.id, order.number, listing.id, "", "", 9900, "CNY", "AWAITING_PAYMENT", "NONE", "NONE")
        tx.events.append(order, told, await tx.orders.audiences(order), world.draw())
        await tx.events.move("batcher", 0, 1)

    async def unit(tx: Tx) -> None:
        assert await tx.archive.oldest(2, 10) == [Aged(2, START_US), Aged(3, START_US)]
        [reader] = await tx.archive.readers()
        assert reader == Reader("batcher", HUB_STREAM, 1, None, None) or reader.next_at_us == START_US
        assert await tx.archive.newest() == 0
        assert not await tx.archive.take(2, 2)
        assert await tx.archive.take(1, 2)
        assert await tx.archive.newest() == 2
        assert [logged.position for logged in await tx.archive.read(1, 10)] == [2]
        gone = (await tx.archive.read(0, 1))[0].stream
        assert await tx.archive.has_taken(gone, 0)
        assert not await tx.archive.has_taken(gone, 2)
        assert await tx.events.head() == Head(3, 3)

    await store.write(tell)
    await store.stamp()
    await store.write(unit)
    assert left_out(Archive, called) == set()


async def test_tasks(store: Store, world: World, called: set[str]) -> None:
    draw = world.draw()

    async def put(tx: Tx) -> None:
        tx.tasks.add("anchor", "1-9", {"first": 1}, START_US)
        tx.tasks.lease("resolve", "pat_1", {}, draw)
        tx.tasks.lease("resolve", "pat_2", {}, draw)
        tx.tasks.add("webhook", "whe_1:ord_1", {}, START_US + 9, pool="whe_1")

    async def work(tx: Tx) -> None:
        assert await tx.tasks.due(START_US)
        [task] = await tx.tasks.claim(draw, 10)
        assert task == LeasedTask(1, "anchor", "1-9", {"first": 1}, 1, "worker-1")
        assert await tx.tasks.renew(task, draw)
        assert await tx.tasks.retry(task, START_US, "no answer", {"first": 2})
        [task] = await tx.tasks.claim(draw, 10)
        assert (task.body, task.attempts) == ({"first": 2}, 2)
        assert await tx.tasks.die(task, "no answer", START_US)
        assert [(row.is_dead, row.kind, row.last_error) for row in await tx.tasks.listed()] == [
            (0, "resolve", None), (0, "resolve", None), (0, "webhook", None), (1, "anchor", "no answer"),
        ]  # fmt: skip
        assert await tx.tasks.renew_inline("resolve", "pat_2", draw)
        other = replace(draw, owner="worker-2")
        assert not await tx.tasks.renew_inline("resolve", "pat_2", other)
        assert not await tx.tasks.let_go("resolve", "pat_2", other)
        tx.tasks.lease("resolve", "pat_3", {}, other)
        await tx.flush()
        assert await tx.tasks.let_go("resolve", "pat_3", other)
        assert await tx.tasks.put_back("resolve", "pat_1", {"again": 1}, START_US, world.draw())
        [task] = await tx.tasks.claim(draw, 10)
        assert task.body == {"again": 1}
        assert await tx.tasks.finish(task)
        assert await tx.tasks.reclaim_all() == 1
        assert await tx.tasks.drop("resolve", "pat_2")
        assert await tx.tasks.revive(1, START_US)
        assert not await tx.tasks.due(START_US, is_pooled=True)
        await tx.tasks.hurry("whe_1", START_US)
        assert await tx.tasks.due(START_US, is_pooled=True)
        [task] = await tx.tasks.claim(draw, 9, is_pooled=True)
        assert await tx.tasks.finish(task)
        tx.tasks.add("resolve", "pat_9", {}, START_US + 60_000_000)
        await tx.tasks.flush(tx)
        await tx.tasks.hasten("resolve", "pat_8", START_US)
        assert "pat_9" not in [task.key for task in await tx.tasks.claim(draw, 9)]
        await tx.tasks.hasten("resolve", "pat_9", START_US)
        [task] = await tx.tasks.claim(draw, 9)
        assert task.key == "pat_9"
        await tx.tasks.again("resolve", "pat_9", {}, START_US)
        assert not await tx.tasks.finish(task), "it was taken from its worker"
        [task] = await tx.tasks.claim(draw, 9)
        assert (task.key, task.attempts) == ("pat_9", 3)
        assert await tx.tasks.finish(task)
        await tx.tasks.again("resolve", "pat_10", {}, START_US)
        await tx.tasks.flush(tx)
        [task] = await tx.tasks.claim(draw, 9)
        assert task.key == "pat_10"
        assert await tx.tasks.finish(task)

    async def drop(tx: Tx) -> None:
        assert not await tx.tasks.drop_dead(1)

    for unit in (put, work, drop):
        await store.write(unit)
    assert left_out(Tasks, called) == set()


async def test_webhooks(store: Store, world: World, called: set[str]) -> None:
    platform = await world.platform()
    endpoint = WebhookEndpoint(
        "whe_1", platform.id, "https://shop.example/hook", "subscription { events { id } }", ("ORDER_PAID",),
        frozenset({"events:read"}), EndpointState.ACTIVE, None, b"sealed", None, None, None, None, 1, START_US,
    )  # fmt: skip
    first, second = [
        Logged(f"evt_{n}", platform.id, n, "ORDER_PAID", "ord_1", n, START_US, f'{{"number":{n}}}') for n in (1, 2)
    ]
    sent = Sent(SentOutcome.REFUSED, 12, 500, "no")

    async def unit(tx: Tx) -> None:
        assert await tx.webhooks.count_endpoints("plt_none") is None
        assert await tx.webhooks.count_endpoints(platform.id) == 0
        await tx.webhooks.add_endpoint(endpoint, 0)
        assert await tx.webhooks.count_endpoints(platform.id) == 1
        assert await tx.webhooks.lock_endpoint("whe_1") == await tx.webhooks.endpoint("whe_1") == endpoint
        assert await tx.webhooks.behind(1) == []
        await tx.webhooks.add_deliveries(endpoint, [first, second], world.draw())
        await tx.webhooks.add_deliveries(endpoint, [first], world.draw())
        assert await tx.webhooks.next_pending("whe_1", "ord_2") is None
        held = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert held is not None
        assert (held.event, held.payload, held.state) == (first, None, DeliveryState.PENDING)
        assert await tx.webhooks.keep_payload(held.id, "one") == "one"
        assert await tx.webhooks.keep_payload(held.id, "another") == "one"
        assert await tx.webhooks.keep_payload("whd_none", "one") == ""
        over = replace(held, state=DeliveryState.DELIVERED, attempts=1, delivered_at_us=START_US)
        await tx.webhooks.update_delivery(over)
        await tx.webhooks.add_attempt(over, sent, START_US)
        assert await tx.many(select(webhook_attempt.c.number), int) == [1]
        assert await tx.webhooks.pending_subjects("whe_1") == ["ord_1"]
        assert await tx.webhooks.waiting() == [("whe_1", 1, START_US)]
        assert (len(await tx.webhooks.strays(9)), await tx.webhooks.count_deliveries()) == (2, 2)
        later = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert later is not None
        await tx.webhooks.update_delivery(replace(later, failures=3, first_at_us=START_US, next_at_us=START_US + 9))
        await tx.webhooks.begin_anew("whe_1", START_US + 1)
        later = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert later is not None
        assert (later.event, later.failures, later.first_at_us, later.next_at_us) == (second, 0, None, START_US + 1)
        await tx.webhooks.reopen("whe_1", 0, START_US + 2)
        again = await tx.webhooks.next_pending("whe_1", "ord_1")
        assert again is not None
        assert (again.id, again.payload, again.delivered_at_us) == (held.id, "one", None)
        assert await tx.webhooks.prune(START_US + 1, 9) == 0
        await tx.webhooks.cancel_pending("whe_1")
        assert await tx.webhooks.pending_subjects("whe_1") == []
        assert await tx.webhooks.prune(START_US, 9) == 0
        assert [await tx.webhooks.has_old(before_us) for before_us in (START_US, START_US + 1)] == [False, True]
        assert [await tx.webhooks.prune(START_US + 1, 1) for _ in range(3)] == [1, 1, 0]
        assert await tx.many(select(webhook_attempt.c.number), int) == []
        await tx.webhooks.update_endpoint(replace(endpoint, state=EndpointState.DELETED, kinds=None))
        assert await tx.webhooks.lock_endpoint("whe_1") is None
        assert await tx.webhooks.count_endpoints(platform.id) == 0

    await store.write(unit)
    assert left_out(Webhooks, called) == set()


async def test_who_is_behind(store: Store, world: World) -> None:
    """An endpoint with events of its own stream before it, and one that others' events have left behind."""
    listing = await world.listing()
    order, quiet = await world.order(listing), await world.platform("quiet")
    endpoints = [
        WebhookEndpoint(
            f"whe_{platform_id}", platform_id, "", "", None, frozenset(), EndpointState.ACTIVE, None, b"s", None, None,
            None, None, 1, START_US,
        )
        for platform_id in (listing.platform_id, quiet.id)
    ]  # fmt: skip

    async def unit(tx: Tx) -> None:
        for endpoint in endpoints:
            await tx.webhooks.add_endpoint(endpoint, 0)
        told = OrderCreated(order.id, order.number, listing.id, "", "", 9900, "CNY", "AWAITING_PAYMENT", "NONE", "NONE")
        tx.events.append(order, told, await tx.orders.audiences(order), world.draw())

    await store.write(unit)
    await store.stamp()
    async with store.reading() as rx:
        assert await rx.webhooks.behind(4) == [(endpoints[0], 0, True)]
        assert sorted(await rx.webhooks.behind(3), key=repr) == sorted(
            [(endpoints[0], 0, True), (endpoints[1], 0, False)], key=repr
        )
