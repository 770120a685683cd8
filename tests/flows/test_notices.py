"""The inbox: each event once, whatever the number of deliveries and the moment at which they come."""

import asyncio
from copy import copy

import pytest

from hub.domain.ids import Draw
from hub.domain.money import Money
from hub.domain.orders import OrderStatus
from hub.domain.payments import AttemptState, PaymentAttempt, Result
from hub.flows import notices
from hub.ports import NoticeRefused, RawNotice
from tests.flows.benches import Bench
from tests.flows.scripted import PENDING, charged, delivery
from tests.world import SECOND_US


async def inbox(bench: Bench) -> list[tuple[str, str]]:
    return [(event, state) for event, state in await bench.rows("SELECT event_id, state FROM notice_inbox")]


async def test_event_twice_is_acknowledged_twice_and_applied_once(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    raw = delivery("evt-1", attempt.key, charged(attempt))
    acks = [await notices.receive(bench.hub, "sandbox", raw) for _ in range(2)]
    assert [ack.status for ack in acks] == [200, 200]
    assert await inbox(bench) == [("evt-1", "APPLIED")]
    assert await bench.balance(f"order:{order.id}:escrow") == 9900


async def test_event_fifty_times_at_once_is_one_row_and_one_effect(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    raw, rival = delivery("evt-1", attempt.key, charged(attempt)), bench.rival()
    acks = await asyncio.gather(*[
        notices.receive((rival if i % 2 else bench).hub, "sandbox", raw) for i in range(50)
    ])  # fmt: skip
    assert [ack.status for ack in acks] == [200] * 50
    assert await inbox(bench) == [("evt-1", "APPLIED")]
    assert await bench.balance(f"order:{order.id}:escrow") == 9900
    assert len(await bench.grants(order.user_id, order.course_id)) == 1
    assert (await bench.events(order.user_id)).count("ORDER_PAID") == 1


async def test_event_with_another_content_is_rejected_and_opens_a_break(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, PENDING))
    forged = delivery("evt-1", attempt.key, charged(attempt))
    for _ in range(2):
        with pytest.raises(NoticeRefused):
            await notices.receive(bench.hub, "sandbox", forged)
    assert await inbox(bench) == [("evt-1", "CONFLICTED")]
    [opened] = await bench.breaks()
    assert (opened.kind, opened.subject_id, opened.order_id) == ("STATUS", attempt.id, order.id)
    assert (await bench.order_now(order.id)).status is OrderStatus.AWAITING_PAYMENT


async def test_two_contents_of_one_event_at_the_same_moment_are_a_conflict(bench: Bench) -> None:
    for n in range(5):
        _, attempt = await bench.waiting(told=PENDING)
        two = [
            delivery(f"evt-{n}", attempt.key, told)
            for told in (charged(attempt), charged(attempt, amount=Money(1, "CNY")))
        ]
        told = await asyncio.gather(
            *[notices.receive(bench.hub, "sandbox", raw) for raw in two], return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in told) == ["Ack", "NoticeRefused"]
    assert {state for _, state in await inbox(bench)} == {"CONFLICTED"}
    assert (await bench.break_kinds()).count("STATUS") == 5


async def test_event_ids_of_two_channels_are_apart(bench: Bench) -> None:
    viewer = await bench.world.learner()
    bench.channel.then("create", PENDING)
    bench.other.then("create", PENDING)
    for channel in ("sandbox", "other"):
        answer = await bench.buy(viewer, await bench.world.listing(), channel, channel=channel)
        assert isinstance(answer.value, PaymentAttempt)
        await notices.receive(bench.hub, channel, delivery("evt-1", answer.value.key, charged(answer.value)))
    assert await inbox(bench) == [("evt-1", "APPLIED")] * 2
    assert await bench.rows("SELECT status FROM order_") == [("PAID",)] * 2


async def test_notice_of_another_channel_does_not_touch_the_attempt(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await notices.receive(bench.hub, "other", delivery("evt-1", attempt.key, charged(attempt)))
    assert await bench.states(order.id) == [AttemptState.PENDING]
    assert await inbox(bench) == [("evt-1", "WAITING")]


async def test_notice_before_the_create_call_has_returned_is_applied_once(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()

    async def slow(attempt: PaymentAttempt) -> Result:
        await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
        return charged(attempt)

    bench.channel.then("create", slow)
    answer = await bench.buy(viewer, listing)
    assert isinstance(answer.value, PaymentAttempt)
    assert answer.value.state is AttemptState.CHARGED
    assert await bench.rows("SELECT status, received_minor FROM order_") == [("PAID", 9900)]
    assert await bench.one("SELECT count(*) FROM leaf") == 1
    assert await bench.rows("SELECT kind FROM task") == []


async def test_answer_that_was_lost_after_its_notice_changes_nothing(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()

    async def cut(attempt: PaymentAttempt) -> Result:
        await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
        raise TimeoutError

    bench.channel.then("create", cut)
    answer = await bench.buy(viewer, listing)
    assert isinstance(answer.value, PaymentAttempt)
    assert answer.value.state is AttemptState.CHARGED
    bench.clock.pass_us(3600 * SECOND_US)
    assert await bench.work() == 0
    assert bench.channel.count("query") == 0


async def test_notice_before_its_order_is_kept_and_applied_when_it_is_there(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    bench.channel.then("create", PENDING)
    key = f"{number_after(bench, 2)}-1"  # the notice's own unit takes the first draw
    assert (await notices.receive(bench.hub, "sandbox", delivery("evt-1", key, PENDING))).status == 200
    answer = await bench.buy(viewer, listing)
    assert isinstance(answer.value, PaymentAttempt)
    assert answer.value.key == key
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await inbox(bench) == [("evt-1", "APPLIED")]


def number_after(bench: Bench, draws: int) -> str:
    """The number of an order that the n-th draw from now makes."""
    ahead = copy(bench)
    ahead._seeds = copy(bench._seeds)
    for _ in range(draws - 1):
        ahead.seed()
    return Draw(bench.clock.now_us(), ahead.seed(), bench.owner).order_number()


async def test_notice_for_an_order_that_never_comes_is_never_marked_done(bench: Bench) -> None:
    raw = delivery("evt-1", "TB0000000000000-1", PENDING)
    await notices.receive(bench.hub, "sandbox", raw)
    for _ in range(40):
        bench.clock.pass_us(3600 * SECOND_US)
        await bench.work()
    assert await bench.rows("SELECT state, tries FROM notice_inbox") == [("WAITING", 40)]
    assert await bench.rows("SELECT kind FROM task") == [(notices.APPLY,)]


async def test_notice_that_cannot_be_applied_waits_with_its_content(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    vault, bench.vault = bench.vault, BrokenVault()  # type: ignore[assignment]  # it has the one method that fails
    assert (await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))).status == 200
    assert await inbox(bench) == [("evt-1", "WAITING")]
    bench.vault = vault
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await inbox(bench) == [("evt-1", "APPLIED")]
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID


class BrokenVault:
    def order_key(self, _merchant_id: str, _number: str) -> bytes:
        raise AssertionError("a promise of ours is broken")


async def test_notice_that_is_not_provably_the_channels_leaves_nothing(bench: Bench) -> None:
    await bench.waiting(told=PENDING)
    with pytest.raises(NoticeRefused):
        await notices.receive(bench.hub, "sandbox", RawNotice({}, b"anything"))
    assert await inbox(bench) == []
    with pytest.raises(KeyError):
        await notices.receive(bench.hub, "stripe", RawNotice({}, b"anything"))
