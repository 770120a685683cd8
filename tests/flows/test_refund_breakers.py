"""A channel that does not answer refunds is left alone with them, by one probe at a time; and with nothing else."""

import asyncio
from dataclasses import fields, replace
from functools import cached_property

import pytest

from hub.domain.breakers import OPEN_AFTER, OPEN_FIRST_US, BreakerState
from hub.domain.orders import Order
from hub.domain.people import Viewer
from hub.domain.refunds import Refund, RefundState
from hub.flows import refund_sending, refunds
from hub.flows.refunds import RefundRequest
from hub.ports import Hub
from tests.flows.benches import Bench
from tests.flows.scripted import NEVER_SEEN, UNKNOWN, given_back
from tests.world import SECOND_US, operator


class Process(Bench):
    """A bench of one process, which remembers what its breakers have seen."""

    @cached_property
    def hub(self) -> Hub:
        return super().hub


@pytest.fixture
def shop(bench: Bench) -> Process:
    for channel in (bench.channel, bench.other):
        channel.capabilities = replace(channel.capabilities, can_refund=True, can_refund_partly=True)
    return Process(**{one.name: getattr(bench, one.name) for one in fields(bench)})


async def sold(shop: Process, viewer: Viewer, number: int, channel: str = "sandbox") -> Order:
    """A paid order of one learner, who buys as many courses as there are numbers."""
    order = await shop.order(viewer, await shop.world.listing(price_minor=1000), f"order {number}")
    await shop.pay(viewer, order, f"pay {number}", channel=channel)
    return order


async def given(shop: Process, order: Order) -> Refund:
    answer = await refunds.request(shop.hub, operator(), RefundRequest(order.id, None, "regret", f"back {order.id}"))
    assert answer.value is not None, answer.refusal
    return answer.value


async def opened(shop: Process, viewer: Viewer) -> list[Refund]:
    """So many refunds were lost that the breaker of refunds is open."""
    shop.channel.then("refund", *[UNKNOWN] * OPEN_AFTER)
    lost = [await given(shop, await sold(shop, viewer, number)) for number in range(OPEN_AFTER)]
    assert [one.state for one in lost] == [RefundState.UNKNOWN] * OPEN_AFTER
    return lost


async def test_an_open_breaker_sends_no_refund_and_keeps_it_for_later(shop: Process) -> None:
    viewer = await shop.world.learner()
    orders = [await sold(shop, viewer, number) for number in range(100, 103)]
    elsewhere = await sold(shop, viewer, 103, channel="other")
    await opened(shop, viewer)

    left_alone = await given(shop, orders[0])
    assert (left_alone.state, left_alone.code) == (RefundState.REQUESTED, "breaker_open")
    assert shop.channel.count("refund") == OPEN_AFTER
    assert (await given(shop, elsewhere)).state is RefundState.SUCCEEDED, "another channel's breaker is its own"
    assert (await sold(shop, viewer, 104)).id, "and so is that of another class of calls"
    states = shop.hub.breakers.states(shop.clock.now_us())
    assert {key for key, state in states.items() if state is not BreakerState.CLOSED} == {("sandbox", "refund")}
    assert shop.hub.breakers.refused == {("sandbox", "refund"): 1}

    shop.clock.pass_us(OPEN_FIRST_US + SECOND_US)
    await shop.work()
    async with shop.store.reading() as rx:
        found = await rx.refunds.by_id(left_alone.id)
    assert found is not None
    assert found.state is RefundState.SUCCEEDED, "sent under the same key once the channel answers"
    assert shop.channel.calls.count(("refund", left_alone.key)) == 1


async def test_one_refund_at_a_time_probes_a_channel_whose_breaker_is_half_open(shop: Process) -> None:
    viewer = await shop.world.learner()
    orders = [await sold(shop, viewer, number) for number in range(100, 106)]
    await opened(shop, viewer)
    shop.clock.pass_us(OPEN_FIRST_US)
    probed, answered = asyncio.Event(), asyncio.Event()

    async def slow(refund: Refund) -> object:
        probed.set()
        await answered.wait()
        return given_back(refund)

    shop.channel.then("refund", slow)  # type: ignore[arg-type]  # a script's step takes the refund that it answers
    first = asyncio.ensure_future(given(shop, orders[0]))
    await asyncio.wait_for(probed.wait(), 10)
    others = await asyncio.gather(*(given(shop, order) for order in orders[1:]))
    assert [(one.state, one.code) for one in others] == [(RefundState.REQUESTED, "breaker_open")] * 5
    assert shop.channel.count("refund") == OPEN_AFTER + 1

    answered.set()
    assert (await first).state is RefundState.SUCCEEDED
    shop.clock.pass_us(OPEN_FIRST_US + SECOND_US)
    await shop.work()
    assert shop.channel.count("refund") == OPEN_AFTER + 6
    assert await shop.rows("SELECT DISTINCT state FROM refund") == [("SUCCEEDED",)]


async def test_a_probe_that_is_lost_leaves_the_channel_alone_for_twice_as_long(shop: Process) -> None:
    viewer = await shop.world.learner()
    orders = [await sold(shop, viewer, number) for number in range(100, 103)]
    await opened(shop, viewer)
    shop.clock.pass_us(OPEN_FIRST_US)
    shop.channel.then("refund", UNKNOWN)

    assert (await given(shop, orders[0])).state is RefundState.UNKNOWN
    shop.clock.pass_us(2 * OPEN_FIRST_US - 1)
    assert (await given(shop, orders[1])).code == "breaker_open"
    shop.clock.pass_us(1)
    assert (await given(shop, orders[2])).state is RefundState.SUCCEEDED


async def test_an_open_breaker_keeps_no_query_of_a_refund_from_the_truth(shop: Process) -> None:
    viewer = await shop.world.learner()
    lost = await opened(shop, viewer)
    shop.channel.then("query_refund", *[UNKNOWN] * (OPEN_AFTER + 1), NEVER_SEEN)

    for _ in range(OPEN_AFTER + 1):
        assert (await refund_sending.ask_once(shop.hub, lost[0])).state is RefundState.UNKNOWN
    denied = await refund_sending.ask_once(shop.hub, lost[0])
    assert (denied.state, denied.code) == (RefundState.REQUESTED, "breaker_open"), "asked, but not sent again"
    assert (await refund_sending.ask_once(shop.hub, lost[1])).state is RefundState.SUCCEEDED
    assert shop.channel.count("query_refund") == OPEN_AFTER + 3
    assert ("sandbox", "query_refund") not in shop.hub.breakers.states(shop.clock.now_us())
