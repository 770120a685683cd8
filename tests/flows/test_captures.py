"""Held money: taken once, all or part of it, or let go; and what is known when nobody answers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.money import Money
from hub.domain.orders import ChargeStatus, Order, OrderStatus, merchant_actions
from hub.domain.payments import (
    HOLD_WITHIN_US,
    UNRESOLVED_AFTER_US,
    AttemptState,
    CaptureMethod,
    IntentStatus,
    PaymentAttempt,
    Result,
)
from hub.domain.people import Viewer
from hub.domain.refusals import ChannelUnavailable, InvalidInput, NotFound, StateConflict
from hub.domain.requests import Answer, InProgress
from hub.flows import attempts, captures, instructions, notices
from hub.store.tasks import LEASE_US
from tests.flows.benches import Bench, disturbed, standing_still, taken_up
from tests.flows.scripted import (
    DECLINED,
    NEVER_SEEN,
    NOT_SENT,
    PENDING,
    REJECTED,
    UNKNOWN,
    VOIDED,
    authorised,
    charged,
    delivery,
)
from tests.world import SECOND_US, operator, partner

CNY = "CNY"
PART = Money(4_000, CNY)


@pytest.fixture
def holding(bench: Bench) -> Bench:
    """A bench whose channels hold money, and take part of it."""
    for channel in (bench.channel, bench.other):
        channel.capabilities = replace(channel.capabilities, can_authorize=True, can_capture_partly=True)
    return bench


async def held(bench: Bench) -> tuple[Order, PaymentAttempt, Viewer]:
    """An order whose money is held, and its merchant's platform."""
    listing = await bench.world.listing()
    bench.channel.then("create", authorised)
    bought = await bench.buy(await bench.world.learner(), listing, capture_method=CaptureMethod.MANUAL)
    assert isinstance(bought.value, PaymentAttempt)
    seller = partner(await bench.world.platform())
    return await bench.order_now(bought.value.order_id), bought.value, seller


async def capture(
    bench: Bench, viewer: Viewer, attempt: PaymentAttempt, amount: Money | None = None, key: str = "take-1"
) -> Answer[PaymentAttempt]:
    return await captures.capture(bench.hub, viewer, attempt_id=attempt.id, amount=amount, idempotency_key=key)


async def void(bench: Bench, viewer: Viewer, attempt: PaymentAttempt, key: str = "void-1") -> Answer[PaymentAttempt]:
    return await captures.void(bench.hub, viewer, attempt_id=attempt.id, idempotency_key=key)


async def hurry(bench: Bench) -> None:
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()


async def test_held_money_is_taken_whole(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    assert (order.status, order.intent_status) == (OrderStatus.AWAITING_PAYMENT, IntentStatus.REQUIRES_CAPTURE)
    assert [action.value for action in merchant_actions(order)] == ["CAPTURE", "VOID"]
    answer = await capture(holding, seller, attempt)
    assert answer.value is not None
    assert answer.value.state is AttemptState.CHARGED
    after = await holding.order_now(order.id)
    assert (after.status, after.charge_status, after.due_minor) == (OrderStatus.PAID, ChargeStatus.FULL, None)
    assert len(await holding.grants(order.user_id, order.course_id)) == 1
    assert await holding.balance(f"order:{order.id}:escrow") == 9_900
    assert await holding.rows("SELECT kind FROM task WHERE kind = 'resolve_attempt'") == []


async def test_part_of_it_pays_the_order_and_nothing_more_is_owed(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    await capture(holding, seller, attempt, PART)
    after = await holding.order_now(order.id)
    assert (after.status, after.charge_status, after.intent_status) == (
        OrderStatus.PAID, ChargeStatus.FULL, IntentStatus.SUCCEEDED,
    )  # fmt: skip
    assert (after.received_minor, after.due) == (4_000, 4_000)
    assert await holding.balance(f"order:{order.id}:escrow") == 4_000
    assert len(await holding.grants(order.user_id, order.course_id)) == 1
    assert await holding.break_kinds() == []
    await holding.assert_books_fold()


async def test_other_than_the_captured_part_is_a_conflict(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", lambda a: charged(a, amount=Money(3_999, CNY)))
    await capture(holding, seller, attempt, PART)
    after = await holding.order_now(order.id)
    assert (after.status, after.charge_status) == (OrderStatus.AWAITING_PAYMENT, ChargeStatus.PARTIAL)
    assert await holding.break_kinds() == ["AMOUNT"]


async def test_money_let_go_leaves_the_order_to_be_paid_otherwise(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    answer = await void(holding, seller, attempt)
    assert answer.value is not None
    assert answer.value.state is AttemptState.VOIDED
    after = await holding.order_now(order.id)
    assert (after.status, after.intent_status) == (OrderStatus.AWAITING_PAYMENT, IntentStatus.REQUIRES_PAYMENT_METHOD)
    assert holding.channel.captured == []


@pytest.mark.parametrize("is_done", [True, False], ids=["money moved", "nothing moved"])
async def test_lost_answer_to_a_capture_is_unknown_until_the_channel_shows_it(holding: Bench, is_done: bool) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", UNKNOWN)
    answer = await capture(holding, seller, attempt, PART)
    assert answer.value is not None
    assert answer.value.state is AttemptState.UNKNOWN
    asked = await holding.order_now(order.id)
    assert (asked.intent_status, merchant_actions(asked)) == (IntentStatus.PROCESSING, ())
    holding.channel.then("query", (lambda a: charged(a, amount=PART)) if is_done else authorised)
    await hurry(holding)
    assert await holding.states(order.id) == [AttemptState.CHARGED]
    assert holding.channel.captured == [PART] * (1 if is_done else 2)
    assert (await holding.order_now(order.id)).received_minor == 4_000
    assert await holding.balance(f"order:{order.id}:escrow") == 4_000
    assert await holding.break_kinds() == []


@pytest.mark.parametrize("is_done", [True, False], ids=["let go", "still held"])
async def test_lost_answer_to_a_void_is_unknown_until_the_channel_shows_it(holding: Bench, is_done: bool) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("void", UNKNOWN)
    await void(holding, seller, attempt)
    assert await holding.states(order.id) == [AttemptState.UNKNOWN]
    holding.channel.then("query", VOIDED if is_done else authorised)
    await hurry(holding)
    assert await holding.states(order.id) == [AttemptState.VOIDED]
    assert holding.channel.count("void") == (1 if is_done else 2)


async def test_notice_of_the_charge_before_the_lost_answer_counts_once(holding: Bench) -> None:
    order, attempt, seller = await held(holding)

    async def told_meanwhile(a: PaymentAttempt) -> Result:
        await notices.receive(holding.hub, "sandbox", delivery("evt-1", a.key, charged(a)))
        return UNKNOWN

    holding.channel.then("capture", told_meanwhile)
    answer = await capture(holding, seller, attempt)
    assert answer.value is not None
    assert answer.value.state is AttemptState.CHARGED
    await hurry(holding)
    assert (await holding.order_now(order.id)).received_minor == 9_900
    assert holding.channel.captured == [attempt.amount]


async def test_capture_that_never_left_is_sent_again_with_the_same_amount(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", NOT_SENT)
    answer = await capture(holding, seller, attempt, PART)
    assert answer.value is not None
    assert answer.value.state is AttemptState.AUTHORIZED
    holding.channel.then("query", authorised)
    await hurry(holding)
    assert holding.channel.captured == [PART, PART]
    assert (await holding.order_now(order.id)).status is OrderStatus.PAID


async def test_bank_that_does_not_pay_out_is_told_to_let_go_and_a_person_hears_of_it(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", DECLINED).then("query", authorised)
    await capture(holding, seller, attempt)
    assert await holding.break_kinds() == ["STATUS"]
    await hurry(holding)
    assert await holding.states(order.id) == [AttemptState.VOIDED]
    assert holding.channel.captured == [attempt.amount]


async def test_capture_that_the_channel_refuses_can_be_asked_for_anew(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", REJECTED)
    answer = await capture(holding, seller, attempt, PART)
    assert answer.value is not None
    assert (answer.value.state, answer.value.instruction) == (AttemptState.AUTHORIZED, None)
    await capture(holding, seller, attempt, key="take-2")
    assert (await holding.order_now(order.id)).received_minor == 9_900


async def test_capture_that_goes_on_at_the_channel_is_asked_about(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", PENDING)
    await capture(holding, seller, attempt)
    assert await holding.states(order.id) == [AttemptState.AUTHORIZED]
    await hurry(holding)
    assert (await holding.order_now(order.id)).status is OrderStatus.PAID


async def test_capture_that_nobody_ever_answers_is_a_persons_after_the_horizon(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", UNKNOWN).then("query", *[UNKNOWN] * 60)
    await capture(holding, seller, attempt)
    for _ in range(6):
        holding.clock.pass_us(UNRESOLVED_AFTER_US // 5)
        await holding.work()
    assert await holding.break_kinds() == ["UNRESOLVED"]
    assert await holding.states(order.id) == [AttemptState.UNKNOWN]


async def test_held_money_that_nobody_wants_is_let_go_in_time_and_not_before(holding: Bench) -> None:
    order, _attempt, _ = await held(holding)
    holding.channel.then("query", *[authorised] * 20)
    holding.clock.pass_us(HOLD_WITHIN_US - SECOND_US)
    await holding.work()
    assert await holding.states(order.id) == [AttemptState.AUTHORIZED]
    holding.clock.pass_us(SECOND_US)
    await holding.work()
    assert await holding.states(order.id) == [AttemptState.VOIDED]
    assert holding.channel.captured == []


async def test_two_captures_at_once_take_it_once(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    rival = holding.rival()
    answers: list[Any] = await asyncio.gather(*[
        capture(worker, seller, attempt, amount, key=f"take-{i}-{worker.owner}")
        for i, amount in enumerate((None, PART))
        for worker in (holding, rival)
    ], return_exceptions=True)  # fmt: skip
    done = [answer for answer in answers if isinstance(answer, Answer) and answer.refusal is None]
    assert len(done) == 1, answers
    assert len(holding.channel.captured) == 1
    after = await holding.order_now(order.id)
    assert after.received_minor == holding.channel.captured[0].amount_minor
    assert after.status is OrderStatus.PAID


async def test_the_same_key_again_is_answered_and_not_done(holding: Bench) -> None:
    _, attempt, seller = await held(holding)
    first = await capture(holding, seller, attempt)
    again = await capture(holding, seller, attempt)
    assert (again.is_replay, again.value) == (True, first.value)
    assert holding.channel.captured == [attempt.amount]


async def test_capture_whose_process_died_is_gone_on_with(holding: Bench) -> None:
    order, attempt, seller = await held(holding)

    async def dies(_attempt: PaymentAttempt) -> Result:
        raise asyncio.CancelledError

    holding.channel.then("capture", dies)
    with pytest.raises(asyncio.CancelledError):
        await capture(holding, seller, attempt)
    with pytest.raises(InProgress):
        await capture(holding.rival(), seller, attempt)
    holding.clock.pass_us(61 * SECOND_US)
    holding.channel.then("query", authorised)
    answer = await capture(holding.rival(), seller, attempt)
    assert answer.value is not None
    assert answer.value.state is AttemptState.CHARGED
    assert holding.channel.captured == [attempt.amount] * 2
    assert (await holding.order_now(order.id)).received_minor == 9_900


async def test_what_cannot_be_captured_is_refused_before_any_call(holding: Bench) -> None:
    _, attempt, seller = await held(holding)
    stranger = partner(await holding.world.platform("bo"))
    assert (await capture(holding, stranger, attempt)).refusal == NotFound("paymentAttemptId")
    for amount in (Money(9_901, CNY), Money(0, CNY), Money(9_900, "USD")):
        refusal = (await capture(holding, seller, attempt, amount, key=f"take {amount}")).refusal
        assert isinstance(refusal, InvalidInput), amount
    holding.channel.capabilities = replace(holding.channel.capabilities, can_capture_partly=False)
    refusal = (await capture(holding, operator(), attempt, PART)).refusal
    assert refusal == ChannelUnavailable("sandbox", "it captures all that it holds, or nothing")
    assert holding.channel.captured == []
    await capture(holding, seller, attempt, key="take-all")
    refusal = (await capture(holding, seller, attempt, key="take-again")).refusal
    assert refusal == StateConflict(AttemptState.CHARGED, "paymentCapture")


# ---- a process that stands still over a capture ----------------------------------------------------------------------


STILL_US = 2 * LEASE_US


@pytest.mark.parametrize("late", [REJECTED, DECLINED, UNKNOWN], ids=lambda told: str(told.outcome))
async def test_late_word_about_a_capture_does_not_undo_what_others_have_told_the_channel_since(
    holding: Bench, late: Result
) -> None:
    order, attempt, seller = await held(holding)
    holding.channel.then("capture", late, UNKNOWN).then("query", authorised)
    slow = disturbed(holding, instructions.record_instructed, before=taken_up(holding.rival(), STILL_US))
    await capture(slow, seller, attempt, PART)
    [after] = await holding.attempts(order.id)
    assert (after.state, after.instruction and after.instruction.amount) == (AttemptState.UNKNOWN, PART)
    assert holding.channel.captured == [PART, PART]
    holding.channel.then("query", lambda a: charged(a, amount=PART))
    holding.clock.pass_us(300 * SECOND_US)
    await holding.work()
    assert ((await holding.order_now(order.id)).status, await holding.break_kinds()) == (OrderStatus.PAID, [])


async def test_late_capture_that_is_not_wanted_any_more_is_not_made(holding: Bench) -> None:
    _, attempt, seller = await held(holding)
    rival = holding.rival()
    holding.channel.then("capture", REJECTED, UNKNOWN).then("query", authorised)

    async def others_go_on() -> None:
        await taken_up(rival, STILL_US)()
        await capture(rival, seller, attempt, PART, key="less")

    answer = await capture(disturbed(holding, captures.instruct, after=others_go_on), seller, attempt)
    assert answer.value is not None
    assert (answer.value.state, answer.value.instruction and answer.value.instruction.amount) == ("UNKNOWN", PART)
    assert holding.channel.captured == [attempt.amount, PART]


async def test_late_capture_that_is_still_wanted_is_made_once(holding: Bench) -> None:
    order, attempt, seller = await held(holding)
    await capture(disturbed(holding, captures.instruct, after=standing_still(holding, STILL_US)), seller, attempt)
    assert (holding.channel.captured, await holding.states(order.id)) == ([attempt.amount], [AttemptState.CHARGED])
    assert await holding.rows("SELECT kind FROM task WHERE kind = 'resolve_attempt'") == []


async def test_channel_that_holds_nothing_is_refused_before_there_is_an_attempt(bench: Bench) -> None:
    listing = await bench.world.listing()
    answer = await bench.buy(await bench.world.learner(), listing, capture_method=CaptureMethod.MANUAL)
    assert answer.refusal == ChannelUnavailable("sandbox", "it cannot hold money for its merchant to take later")
    assert bench.channel.calls == []


async def test_channel_that_denies_what_it_told_takes_no_right_away(bench: Bench) -> None:
    """Paid by the answer, unknown to a later query: a person looks, and the buyer keeps the course."""
    listing, viewer = await bench.world.listing(), await bench.world.learner()
    bought = await bench.buy(viewer, listing)
    assert isinstance(bought.value, PaymentAttempt)
    assert viewer.user_id is not None
    bench.channel.then("query", NEVER_SEEN)
    await attempts.ask_once(bench.hub, bench.channel, bought.value)  # type: ignore[arg-type]  # as much as is called
    assert await bench.break_kinds() == ["STATUS"]
    assert (await bench.order_now(bought.value.order_id)).status is OrderStatus.PAID
    assert [grant.state for grant in await bench.grants(viewer.user_id, listing.course_id)] == ["ACTIVE"]
    assert await bench.states(bought.value.order_id) == [AttemptState.CHARGED]
