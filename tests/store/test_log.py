"""The log: dense positions, nothing skipped, doubled or reordered, each party told its own and nothing else."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import text

from hub.domain.events import HUB_STREAM, Audience, Change, EntitlementGranted, Logged, OrderCreated, OrderMoneyChanged
from hub.domain.orders import Order
from hub.store.database import open_store
from hub.store.transactions import LostRow, Store, Tx
from tests.store.programs import running, start, told
from tests.world import World

HISTORY = text("SELECT stream, from_state, to_state, cause FROM event ORDER BY seq")
HUB = Audience(HUB_STREAM, "usr_1", "x1", "lst_1", sees_order=True)


def changed(order: Order) -> OrderMoneyChanged:
    return OrderMoneyChanged(order.id, order.number, order.listing_id, "x1", order.user_id, order.received_minor, "CNY",
                             "AWAITING_PAYMENT", "NONE", "NONE")  # fmt: skip


async def one_more(tx: Tx, world: World, order_id: str, streams: Iterable[str] = (HUB_STREAM,)) -> None:
    """Lock, change, append: the shape of every unit that tells of something."""
    held = await tx.orders.lock(order_id)
    assert held is not None
    held = await tx.orders.update(replace(held, received_minor=held.received_minor + 1))
    tx.events.append(held, changed(held), [replace(HUB, stream=stream) for stream in streams], world.draw())


async def read(store: Store, stream: str = HUB_STREAM) -> list[Logged]:
    await store.stamp()
    async with store.reading() as rx:
        return await rx.events.read(stream, 0, 5_000)


async def test_two_stampers_in_two_processes_with_writers_holding_on_lose_and_double_nothing(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    world, chance = World(store), random.Random(3)
    orders = [await world.order() for _ in range(6)]

    async def slow(tx: Tx, order_id: str, hold_s: float) -> None:
        await one_more(tx, world, order_id)
        await tx.flush()
        await asyncio.sleep(hold_s)  # written, and not committed: numbers are taken that nobody can see yet

    async def writer(order_id: str) -> None:
        for _ in range(25):
            await store.write(slow, order_id, chance.choice((0, 0.001, 0.03)))

    async with AsyncExitStack() as stack:
        readers = await asyncio.gather(
            *(stack.enter_async_context(running("follows", postgres_url, "150")) for _ in range(2))
        )
        for reader in readers:
            start(reader)
        await asyncio.gather(*(writer(order.id) for order in orders))
        seen = [await told(reader) for reader in readers]
    kept = [[event.position, event.id] for event in await read(store)]
    assert seen == [kept, kept]
    assert [position for position, _ in kept] == list(range(1, 151))
    await store.aclose()


async def test_events_of_a_subject_are_in_the_order_of_its_versions_in_every_stream(store: Store, world: World) -> None:
    orders = [await world.order() for _ in range(3)]
    streams = (HUB_STREAM, "usr_1", "plt_1")
    await asyncio.gather(*(store.write(one_more, world, orders[i % 3].id, streams) for i in range(60)))
    for stream in streams:
        events = await read(store, stream)
        for order in orders:
            assert [e.subject_version for e in events if e.subject == order.id] == list(range(2, 22))
            assert [e.body["amount_minor"] for e in events if e.subject == order.id] == list(range(1, 21))
    async with store.reading() as rx:
        assert (await rx.events.head()).position == await rx.events.count_stamped() == 180


async def test_a_unit_that_is_rolled_back_leaves_no_event_and_no_gap(store: Store, world: World) -> None:
    order = await world.order()

    async def fails(tx: Tx) -> None:
        await one_more(tx, world, order.id)
        await tx.flush()
        raise ZeroDivisionError

    await store.write(one_more, world, order.id)
    answers = await asyncio.gather(*(store.write(fails) for _ in range(5)), return_exceptions=True)
    await store.write(one_more, world, order.id)
    assert {type(answer) for answer in answers} == {ZeroDivisionError}
    assert [(event.position, event.subject_version) for event in await read(store)] == [(1, 2), (2, 3)]


async def test_a_second_event_of_the_same_version_and_kind_is_a_fault(store: Store, world: World) -> None:
    order = await world.order()

    async def twice(tx: Tx) -> None:
        tx.events.append(order, changed(order), [HUB], world.draw())
        tx.events.append(order, changed(order), [HUB], world.draw())

    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.write(twice)
    assert await read(store) == []


async def test_events_of_a_unit_keep_the_order_in_which_they_were_appended(store: Store, world: World) -> None:
    orders = [await world.order() for _ in range(5)]

    async def unit(tx: Tx) -> None:
        for order in reversed(orders):
            tx.events.append(order, changed(order), [HUB], world.draw())

    await store.write(unit)
    assert [event.subject for event in await read(store)] == [order.id for order in reversed(orders)]


async def test_a_reader_goes_on_after_its_position_and_sees_the_kinds_it_asked_for(store: Store, world: World) -> None:
    order = await world.order()
    for _ in range(3):
        await store.write(one_more, world, order.id)
    await store.stamp()
    async with store.reading() as rx:
        assert [event.position for event in await rx.events.read(HUB_STREAM, 1, 1)] == [2]
        assert [event.position for event in await rx.events.read(HUB_STREAM, 2, 9, ["ORDER_MONEY_CHANGED"])] == [3]
        assert await rx.events.read(HUB_STREAM, 3, 9) == []
        assert await rx.events.streams_since(2) == [HUB_STREAM]
        assert await rx.events.streams_since(3) == []


async def test_only_the_hubs_row_holds_the_history(store: Store, world: World) -> None:
    order = await world.order()

    async def unit(tx: Tx) -> None:
        audiences = [HUB, replace(HUB, stream="usr_1")]
        tx.events.append(order, changed(order), audiences, world.draw(), Change("A", "B", "notice"))

    await store.write(unit)
    async with store.reading() as rx:
        rows = await rx.many(HISTORY, lambda *columns: columns)
    assert rows == [(HUB_STREAM, "A", "B", "notice"), ("usr_1", None, None, None)]


async def test_a_sale_is_told_to_hub_buyer_seller_and_honourers_each_under_its_own_names(
    store: Store, world: World
) -> None:
    selling, honouring, closed, other = [await world.platform(slug) for slug in ("sell", "honour", "closed", "other")]
    buyer = await world.user(platforms=[selling, honouring, closed, other])
    course = await world.course()
    listing = await world.listing(platform=selling, course=course, external_id="s-1")
    await world.listing(platform=honouring, course=course, external_id="h-1")
    await world.listing(platform=closed, course=course, external_id="c-1", is_honoured=False)
    await world.listing(platform=other, external_id="o-1")
    order = await world.order(listing, buyer)

    async def sale(tx: Tx) -> None:
        audiences = await tx.orders.audiences(order)
        told = OrderCreated(order.id, order.number, listing.id, "s-1", buyer.id, 9900, "CNY", "PAID", "FULL", "NONE")
        right = EntitlementGranted("ent_1", course.id, listing.id, "s-1", buyer.id, "PURCHASE", order.id, "ACTIVE")
        tx.events.append(order, told, audiences, world.draw())
        tx.events.append(replace(order, id="ent_1"), right, audiences, world.draw())

    await store.write(sale)
    kinds = {
        stream: [event.kind for event in await read(store, stream)]
        for stream in (HUB_STREAM, buyer.id, selling.id, honouring.id, closed.id, other.id)
    }
    both = ["ORDER_CREATED", "ENTITLEMENT_GRANTED"]
    assert kinds == {
        HUB_STREAM: both, buyer.id: both, selling.id: both, honouring.id: ["ENTITLEMENT_GRANTED"], closed.id: [],
        other.id: [],
    }  # fmt: skip
    async with store.reading() as rx:
        assert await rx.events.count_stamped() == 7
    for platform, foreign in ((selling, ("h-1", honouring)), (honouring, ("s-1", selling))):
        bodies = orjson.dumps([event.body for event in await read(store, platform.id)]).decode()
        secrets = (buyer.id, foreign[0], world.pairwise(foreign[1], buyer.id))
        assert [secret for secret in secrets if secret in bodies] == []
        assert world.pairwise(platform, buyer.id) in bodies
    [right] = await read(store, honouring.id)
    assert (right.body["order_id"], right.body["external_id"]) == (None, "h-1")


@pytest.mark.parametrize("held", [0, 7])
async def test_of_8_consumers_that_move_at_once_one_moves_and_the_effects_of_the_others_go(
    store: Store, held: int
) -> None:
    async def move(tx: Tx, worker: int) -> None:
        tx.tasks.add("anchor", f"by {worker}", {}, 0)
        await tx.events.move("batcher", held, held + 5)

    async def arrive(tx: Tx) -> None:
        await tx.events.move("batcher", 0, held)

    if held:
        await store.write(arrive)
    answers = await asyncio.gather(*(store.write(move, i) for i in range(8)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["LostRow"] * 7 + ["NoneType"]
    async with store.reading() as rx:
        assert await rx.events.position_of("batcher") == held + 5
        assert [task.key for task in await rx.tasks.listed()] == [f"by {answers.index(None)}"]


async def test_a_consumer_that_is_not_where_it_says_moves_nothing(store: Store) -> None:
    async def move(tx: Tx, held: int, position: int) -> None:
        await tx.events.move("batcher", held, position)

    await store.write(move, 0, 3)
    with pytest.raises(LostRow):
        await store.write(move, 2, 4)
    async with store.reading() as rx:
        assert await rx.events.position_of("batcher") == 3
        assert await rx.events.position_of("another") == 0
