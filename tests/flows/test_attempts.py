"""What becomes of attempts: late words, late money, too much and too little of it, and asking when nobody tells."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.money import Money
from hub.domain.orders import ChargeStatus, FulfilmentStatus, Order, OrderStatus
from hub.domain.payments import (
    RESEND_WITHIN_US,
    SEND_WITHIN_US,
    AttemptState,
    IntentStatus,
    Outcome,
    PaymentAttempt,
    Result,
    Stage,
)
from hub.domain.people import Viewer
from hub.domain.refusals import AttemptIsLive, Refusal, StateConflict
from hub.flows import attempt_facts, attempts, notices, orders, purchase, tasks
from hub.store.tasks import LEASE_US
from tests.flows.benches import Bench, disturbed, standing_still, taken_up
from tests.flows.scripted import (
    DECLINED,
    NEVER_SEEN,
    NOT_SENT,
    PENDING,
    REJECTED,
    UNKNOWN,
    authorised,
    charged,
    delivery,
    result,
)
from tests.world import DAY_US, SECOND_US

CNY = "CNY"


async def told(bench: Bench, attempt: PaymentAttempt, words: Result, event: str = "evt-1") -> None:
    await notices.receive(bench.hub, attempt.channel, delivery(event, attempt.key, words))


async def kinds(bench: Bench) -> list[str]:
    return [kind for [kind] in await bench.rows("SELECT kind FROM task ORDER BY kind")]


# ---- two attempts of one order ---------------------------------------------------------------------------------------


async def test_parallel_payments_over_two_channels_and_two_processes_make_one_live_attempt(bench: Bench) -> None:
    viewer, rival = await bench.world.learner(), bench.rival()
    order = await bench.order(viewer, await bench.world.listing())
    for channel in (bench.channel, bench.other):
        channel.then("create", *[PENDING] * 8)
    answers = await asyncio.gather(*[
        worker.pay(viewer, order, key=f"pay-{i}", channel=channel)
        for i in range(4)
        for worker in (bench, rival)
        for channel in ("sandbox", "other")
    ], return_exceptions=True)  # fmt: skip
    faults = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {type(fault).__name__ for fault in faults} <= {"InProgress", "IdempotencyConflict"}
    assert await bench.states(order.id) == [AttemptState.PENDING]
    assert len(bench.channel.calls) + len(bench.other.calls) == 1


async def test_second_attempt_is_refused_while_one_is_live_and_names_it(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=PENDING)
    answer = await bench.pay(viewer, order, key="pay-2", channel="other")
    assert answer.refusal == AttemptIsLive(attempt.id)
    assert bench.other.calls == []
    assert await bench.states(order.id) == [AttemptState.PENDING]


async def test_authorisation_after_a_decline_is_taken_up_and_asked_about(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=DECLINED)
    assert await kinds(bench) == []
    await told(bench, attempt, authorised(attempt))
    assert await bench.states(order.id) == [AttemptState.AUTHORIZED]
    assert (await bench.order_now(order.id)).intent_status is IntentStatus.REQUIRES_CAPTURE
    assert await kinds(bench) == [attempt_facts.RESOLVE]
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID


async def test_word_after_not_sent_is_asked_about(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=NOT_SENT)
    await told(bench, attempt, PENDING)
    assert await bench.states(order.id) == [AttemptState.PENDING]
    assert await kinds(bench) == [attempt_facts.RESOLVE]


async def test_word_at_the_moment_when_nothing_is_left_to_ask_is_asked_about(bench: Bench) -> None:
    order, attempt = await bench.waiting()
    bench.clock.pass_us(RESEND_WITHIN_US + SECOND_US)
    [task] = await bench.claimed()
    bench.channel.then("query", NEVER_SEEN)
    assert await attempts.resolve(bench.hub, task) is None
    assert await bench.states(order.id) == [AttemptState.NOT_SENT]
    await told(bench, attempt, PENDING)
    assert not await tasks.finish_task(bench.hub, task)
    assert await bench.states(order.id) == [AttemptState.PENDING]
    assert await kinds(bench) == [attempt_facts.RESOLVE]


async def slow_payment(bench: Bench, told: Result) -> tuple[Order, Callable[[], Awaitable[AttemptState]]]:
    """An order whose first call is given up by all but its own process; what lets that one go on, with its answer."""
    viewer, is_called, is_time = await bench.world.learner(), asyncio.Event(), asyncio.Event()
    order = await bench.order(viewer, await bench.world.listing())

    async def late(_: PaymentAttempt) -> Result:
        is_called.set()
        await is_time.wait()
        return told

    bench.channel.then("create", late)
    paying = asyncio.create_task(bench.pay(viewer, order))
    await is_called.wait()
    bench.clock.pass_us(LEASE_US + SECOND_US)

    async def goes_on() -> AttemptState:
        is_time.set()
        answer = await paying
        assert answer.value is not None
        return answer.value.state

    return order, goes_on


async def test_attempt_whose_task_an_earlier_answer_has_ended_is_not_sent_again(bench: Bench) -> None:
    order, first_goes_on = await slow_payment(bench, NOT_SENT)
    [task] = await bench.claimed()
    bench.channel.then("query", NEVER_SEEN).then("create", UNKNOWN)
    await disturbed(bench, attempts.send_again, before=first_goes_on).run(task)
    assert (await bench.states(order.id), await kinds(bench)) == ([AttemptState.NOT_SENT], [])
    assert bench.channel.count("create") == 1


@pytest.mark.parametrize("late", [NOT_SENT, UNKNOWN, REJECTED], ids=lambda told: str(told.outcome))
async def test_late_answer_to_an_earlier_call_says_nothing_of_a_later_one(bench: Bench, late: Result) -> None:
    """Three processes, each given up by the next: the second's answer comes while the third's call is under way."""
    order, _ = await bench.waiting(told=UNKNOWN)
    bench.channel.then("query", NEVER_SEEN, NEVER_SEEN)

    async def third_takes_over(_: PaymentAttempt) -> Result:
        bench.clock.pass_us(LEASE_US + SECOND_US)
        bench.channel.then("create", under_way)
        [again] = await bench.claimed()
        third.append(asyncio.create_task(bench.run(again)))
        await is_called.wait()
        return late

    async def under_way(_: PaymentAttempt) -> Result:
        is_called.set()
        await is_time.wait()
        return PENDING

    third: list[asyncio.Task[int | None]] = []
    is_called, is_time = asyncio.Event(), asyncio.Event()
    bench.channel.then("create", third_takes_over)
    bench.clock.pass_us(2 * SECOND_US)
    [task] = await bench.claimed()
    await bench.run(task)
    assert await bench.states(order.id) == [AttemptState.SUBMITTED]
    is_time.set()
    await third[0]
    assert (await bench.states(order.id), await kinds(bench)) == ([AttemptState.PENDING], [attempt_facts.RESOLVE])


async def test_late_denial_of_an_earlier_call_says_nothing_of_a_later_one(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=UNKNOWN)
    held = await bench.store.write(attempts.record_query, attempt, NEVER_SEEN, bench.hub.draw(), bench.vault)
    again, is_ours = await bench.store.write(attempts.send_again, held, None, bench.hub.draw(), bench.vault)
    assert (is_ours, again.calls) == (True, held.calls + 1)
    await bench.store.write(attempts.record_query, attempt, NEVER_SEEN, bench.hub.draw(), bench.vault)
    assert await bench.states(order.id) == [AttemptState.SUBMITTED]
    await told(bench, attempt, charged(attempt))
    await bench.store.write(attempts.record_query, attempt, NEVER_SEEN, bench.hub.draw(), bench.vault)
    assert await bench.break_kinds() == [], "it was true when it was said"


async def test_late_rejection_of_an_earlier_call_does_not_explain_what_became_of_a_later_one(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=UNKNOWN)
    await bench.store.write(attempts.record_query, attempt, NEVER_SEEN, bench.hub.draw(), bench.vault)
    [held] = await bench.attempts(order.id)
    again, _ = await bench.store.write(attempts.send_again, held, None, bench.hub.draw(), bench.vault)
    lost = replace(UNKNOWN, code="timeout")
    for known, answer in ((again, lost), (attempt, REJECTED)):
        await bench.store.write(attempts.record_answer, known, answer, bench.hub.draw(), bench.vault)
    [after] = await bench.attempts(order.id)
    assert (after.state, after.code) == (AttemptState.UNKNOWN, "timeout")


# ---- a process that stands still between writing a call down and making it -------------------------------------------


STILL_US = 2 * LEASE_US


@pytest.mark.parametrize("still_us", [SEND_WITHIN_US - 1, SEND_WITHIN_US, STILL_US])
async def test_call_that_is_late_is_written_down_anew_and_made_once(bench: Bench, still_us: int) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    answer = await disturbed(bench, purchase.open_attempt, after=standing_still(bench, still_us)).pay(viewer, order)
    assert answer.value is not None
    assert (answer.value.state, answer.value.calls) == (AttemptState.CHARGED, 1 if still_us < SEND_WITHIN_US else 2)
    assert (bench.channel.count("create"), await kinds(bench)) == (1, [])


async def test_late_call_that_others_have_taken_for_lost_is_not_made(bench: Bench) -> None:
    viewer, rival = await bench.world.learner(), bench.rival()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("query", NEVER_SEEN).then("create", REJECTED)

    async def others_go_on() -> None:
        bench.clock.pass_us(STILL_US)
        await rival.work()

    slow = disturbed(bench, purchase.open_attempt, after=others_go_on)
    for _ in ("now", "asked again"):
        answer = await slow.pay(viewer, order)
        assert answer.value is not None
        assert answer.value.state is AttemptState.REJECTED
    assert (bench.channel.count("create"), await kinds(bench)) == (1, [])


async def test_late_call_is_not_made_while_that_of_others_is_under_way(bench: Bench) -> None:
    viewer, rival, is_called, is_time = await bench.world.learner(), bench.rival(), asyncio.Event(), asyncio.Event()
    order = await bench.order(viewer, await bench.world.listing())
    working: list[asyncio.Task[int]] = []

    async def under_way(_: PaymentAttempt) -> Result:
        is_called.set()
        await is_time.wait()
        return PENDING

    async def others_go_on() -> None:
        bench.clock.pass_us(STILL_US)
        working.append(asyncio.create_task(rival.work()))
        await is_called.wait()

    bench.channel.then("query", NEVER_SEEN).then("create", under_way)
    answer = await disturbed(bench, purchase.open_attempt, after=others_go_on).pay(viewer, order)
    assert answer.value is not None
    assert (answer.value.state, answer.value.calls) == (AttemptState.SUBMITTED, 2)
    is_time.set()
    await working[0]
    assert (await bench.states(order.id), await kinds(bench)) == ([AttemptState.PENDING], [attempt_facts.RESOLVE])
    assert bench.channel.count("create") == 1


async def test_late_call_for_an_order_whose_time_is_over_is_not_made(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())

    async def stands_still() -> None:
        bench.clock.at_us = order.deadline_us

    await disturbed(bench, purchase.open_attempt, after=stands_still).pay(viewer, order)
    bench.channel.then("query", NEVER_SEEN)
    await bench.work()
    assert (bench.channel.count("create"), await bench.states(order.id)) == (0, [AttemptState.NOT_SENT])


async def test_late_answer_leaves_a_task_that_asks_anew_where_it_is(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("create", DECLINED)

    async def somebody_heard_of_money() -> None:
        [attempt] = await bench.attempts(order.id)

        async def ask_anew(tx: Any) -> None:
            body = {"attempt": attempt.id, attempt_facts.ANEW: True}
            await tx.tasks.again(attempt_facts.RESOLVE, attempt.id, body, bench.clock.now_us())

        await bench.store.write(ask_anew)

    await disturbed(bench, purchase.record_result, before=somebody_heard_of_money).pay(viewer, order)
    await bench.work()
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID


async def test_worker_that_stands_still_leaves_the_second_call_to_who_took_over(bench: Bench) -> None:
    order, _ = await bench.waiting(told=UNKNOWN)
    bench.channel.then("query", NEVER_SEEN, NEVER_SEEN).then("create", PENDING)
    bench.clock.pass_us(2 * SECOND_US)
    [task] = await bench.claimed()
    await disturbed(bench, attempts.send_again, after=taken_up(bench.rival(), STILL_US)).run(task)
    assert (await bench.states(order.id), await kinds(bench)) == ([AttemptState.PENDING], [attempt_facts.RESOLVE])
    assert bench.channel.count("create") == 2


async def test_authorisation_beside_a_live_attempt_is_voided(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    bench.other.then("create", PENDING)
    await bench.pay(viewer, order, key="pay-2", channel="other")
    await told(bench, first, authorised(first))
    assert await bench.states(order.id) == [AttemptState.DECLINED, AttemptState.PENDING]
    await bench.work()
    assert bench.channel.calls[-1] == ("void", first.key)
    assert await bench.states(order.id) == [AttemptState.VOIDED, AttemptState.PENDING]
    assert attempt_facts.VOID not in await kinds(bench)


async def authorised_after_another_has_paid(bench: Bench) -> Order:
    """An order that is paid, and whose first attempt, which was declined, holds money after all."""
    viewer = await bench.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    await bench.pay(viewer, order, key="pay-2", channel="other")
    await told(bench, first, authorised(first))
    return order


async def test_attempt_that_may_still_take_money_is_closed_until_its_channel_says_how_it_ended(bench: Bench) -> None:
    order = await authorised_after_another_has_paid(bench)
    bench.channel.then("void", NEVER_SEEN)
    await bench.work()
    assert (await bench.states(order.id))[0] is AttemptState.AUTHORIZED
    bench.clock.pass_us(DAY_US)
    await bench.work()
    assert (await bench.states(order.id))[0] is AttemptState.VOIDED
    assert attempt_facts.VOID not in await kinds(bench)


async def test_attempt_is_closed_by_a_process_that_has_its_channel(bench: Bench) -> None:
    order = await authorised_after_another_has_paid(bench)
    [task] = [one for one in await bench.claimed() if one.kind == attempt_facts.VOID]
    without = replace(bench.hub, channels={})
    assert await attempts.void(without, task) == bench.clock.now_us() + 60 * SECOND_US
    assert (await bench.states(order.id))[0] is AttemptState.AUTHORIZED


async def test_authorisation_on_an_order_that_is_paid_is_voided(bench: Bench) -> None:
    order = await authorised_after_another_has_paid(bench)
    await bench.work()
    assert await bench.states(order.id) == [AttemptState.VOIDED, AttemptState.CHARGED]
    assert (await bench.order_now(order.id)).intent_status is IntentStatus.SUCCEEDED


async def test_every_attempt_has_a_reference_of_its_own(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, _ = await bench.waiting(viewer, told=DECLINED)
    bench.channel.then("create", REJECTED)
    await bench.pay(viewer, order, key="pay-2")
    await bench.pay(viewer, order, key="pay-3")
    assert bench.channel.calls == [("create", f"{order.number}-{n}") for n in (1, 2, 3)]


# ---- money that is not what was asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "charge", "kind", "escrow"),
    [
        (Money(9899, CNY), ChargeStatus.PARTIAL, "AMOUNT", 9899),
        (Money(9901, CNY), ChargeStatus.OVERCHARGED, "AMOUNT", 9901),
        (Money(9900, "USD"), ChargeStatus.NONE, "CURRENCY", 0),
        (Money(0, CNY), ChargeStatus.NONE, "AMOUNT", 0),
    ],
)
async def test_money_other_than_asked_grants_nothing(
    bench: Bench, received: Money, charge: ChargeStatus, kind: str, escrow: int
) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await told(bench, attempt, charged(attempt, amount=received))
    after = await bench.order_now(order.id)
    assert (after.status, after.charge_status, after.intent_status) == (
        OrderStatus.AWAITING_PAYMENT, charge, IntentStatus.CONFLICTED,
    )  # fmt: skip
    assert await bench.grants(order.user_id, order.course_id) == []
    assert await bench.break_kinds() == [kind]
    assert await bench.balance(f"order:{order.id}:escrow") == escrow
    assert await bench.balance("suspense:sandbox", "USD") == (9900 if received.currency == "USD" else 0)
    await bench.assert_books_fold()


@pytest.mark.parametrize("received", [Money(1, CNY), Money(9900, "USD")])
async def test_authorised_for_something_else_is_in_conflict(bench: Bench, received: Money) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await told(bench, attempt, authorised(attempt, amount=received))
    assert (await bench.order_now(order.id)).intent_status is IntentStatus.CONFLICTED
    assert len(await bench.breaks()) == 1


async def test_one_key_with_two_contents_is_in_conflict_and_grants_nothing_more(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await told(bench, attempt, charged(attempt, amount=Money(1, CNY)), "evt-1")
    await told(bench, attempt, charged(attempt), "evt-2")
    after = await bench.order_now(order.id)
    assert (after.status, after.intent_status, after.received_minor) == (
        OrderStatus.AWAITING_PAYMENT, IntentStatus.CONFLICTED, 1,
    )  # fmt: skip
    assert await bench.grants(order.user_id, order.course_id) == []
    assert await bench.break_kinds() == ["AMOUNT"]


async def test_contradicted_payment_keeps_its_grant_and_shows_the_conflict(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=lambda a: charged(a))
    await told(bench, attempt, charged(attempt, amount=Money(1, CNY)))
    after = await bench.order_now(order.id)
    assert (after.status, after.intent_status) == (OrderStatus.PAID, IntentStatus.CONFLICTED)
    assert await bench.balance(f"order:{order.id}:escrow") == 9900
    assert len(await bench.grants(order.user_id, order.course_id)) == 1
    assert await bench.break_kinds() == ["AMOUNT"]


async def test_paid_twice_is_overcharged_with_one_grant_and_one_break(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    await bench.pay(viewer, order, key="pay-2", channel="other")
    for event in ("evt-1", "evt-2"):
        await told(bench, first, charged(first), event)
    after = await bench.order_now(order.id)
    assert (after.status, after.charge_status, after.received_minor) == (
        OrderStatus.PAID, ChargeStatus.OVERCHARGED, 19800,
    )  # fmt: skip
    assert await bench.balance(f"order:{order.id}:escrow") == 19800
    assert len(await bench.grants(order.user_id, order.course_id)) == 1
    assert await bench.break_kinds() == ["DUPLICATE"]


@pytest.mark.parametrize("status", [OrderStatus.CANCELED, OrderStatus.EXPIRED])
async def test_late_money_stays_in_escrow_without_a_grant(bench: Bench, status: OrderStatus) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=DECLINED)
    if status is OrderStatus.CANCELED:
        await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    else:
        bench.clock.pass_us(DAY_US)
        await orders.expire_orders(bench.hub)
    await told(bench, attempt, charged(attempt))
    after = await bench.order_now(order.id)
    assert (after.status, after.charge_status) == (status, ChargeStatus.LATE_PAYMENT)
    assert await bench.states(order.id) == [AttemptState.CHARGED]
    assert await bench.balance(f"order:{order.id}:escrow") == 9900
    assert await bench.grants(order.user_id, order.course_id) == []
    assert await bench.break_kinds() == ["LATE_PAYMENT"]
    assert "ORDER_MONEY_CHANGED" in await bench.events(order.user_id)


async def test_late_money_of_another_currency_is_in_suspense_with_one_break(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=DECLINED)
    await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    await told(bench, attempt, charged(attempt, amount=Money(9900, "USD")))
    assert (await bench.order_now(order.id)).charge_status is ChargeStatus.NONE
    assert await bench.balance("suspense:sandbox", "USD") == 9900
    assert await bench.break_kinds() == ["CURRENCY"]


async def test_late_money_on_an_open_order_pays_it(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=DECLINED)
    await told(bench, attempt, charged(attempt))
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID
    assert await bench.rows("SELECT is_superseded, token_id <> '0' FROM leaf ORDER BY generation") in (
        [(1, 0), (0, 1)],
        [(1, False), (0, True)],
    )
    assert await bench.breaks() == []


# ---- asking ----------------------------------------------------------------------------------------------------------


async def test_lost_answer_that_was_unpaid_goes_on_with_the_same_attempt(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=TimeoutError())
    bench.channel.then("query", result(Outcome.ACTION), charged)
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == [AttemptState.ACTION]
    bench.clock.pass_us(5 * SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == [AttemptState.CHARGED]
    assert [call for call in bench.channel.calls if call[0] == "create"] == [("create", attempt.key)]


async def test_attempt_that_never_arrived_is_sent_again_under_its_key(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=TimeoutError())
    bench.channel.then("query", NEVER_SEEN)
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    assert bench.channel.calls == [("create", attempt.key), ("query", attempt.key), ("create", attempt.key)]
    [paid] = await bench.attempts(order.id)
    assert (paid.state, paid.calls) == (AttemptState.CHARGED, 2)


async def test_attempt_that_never_arrived_is_not_sent_again_once_the_order_is_paid(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    bench.other.then("create", UNKNOWN)
    await bench.pay(viewer, order, key="pay-2", channel="other")
    await told(bench, first, charged(first))
    bench.other.then("query", NEVER_SEEN)
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == [AttemptState.CHARGED, AttemptState.NOT_SENT]
    assert bench.other.count("create") == 1
    assert (await bench.order_now(order.id)).received_minor == 9900


async def test_never_seen_is_not_believed_too_early(bench: Bench) -> None:
    bench.channel.capabilities = replace(bench.channel.capabilities, not_found_after_ms=60_000)
    order, _ = await bench.waiting(told=TimeoutError())
    bench.channel.then("query", *[NEVER_SEEN] * 9)
    for seconds in (2, 5, 15, 37):
        bench.clock.pass_us(seconds * SECOND_US)
        await bench.work()
        assert await bench.states(order.id) == [AttemptState.UNKNOWN]
    assert bench.channel.count("create") == 1
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == [AttemptState.CHARGED]
    assert bench.channel.count("create") == 2


async def test_one_over_which_processes_died_is_asked_about_again_by_its_age(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    bench.channel.then("query", PENDING)
    bench.clock.pass_us(61 * SECOND_US)
    await bench.die(times=6)
    [task] = await bench.claimed()
    assert await bench.run(task) == attempt.created_at_us + (2 + 5 + 15 + 60) * SECOND_US


async def test_unknown_stays_unknown_whatever_time_passes_and_opens_a_break_after_a_day(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=TimeoutError())
    bench.channel.then("query", *[UNKNOWN] * 100)
    for _ in range(26):
        bench.clock.pass_us(3600 * SECOND_US)
        await bench.work()
        assert await orders.expire_orders(bench.hub) == 0
    assert await bench.states(order.id) == [AttemptState.UNKNOWN]
    [opened] = await bench.breaks()
    assert (opened.kind, opened.subject_id, opened.order_id) == ("UNRESOLVED", attempt.id, order.id)
    cancel = await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    assert cancel.refusal == AttemptIsLive(attempt.id)
    assert bench.channel.count("create") == 1
    bench.channel.steps.clear()
    bench.clock.pass_us(3600 * SECOND_US)
    await bench.work()
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID


async def test_attempt_that_cannot_be_closed_is_shown_to_a_person_a_day_after_its_deadline(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=lambda a: authorised(a))
    bench.channel.then("void", *[DECLINED] * 100).then("query", *[DECLINED] * 100)
    for _ in range(24):
        bench.clock.pass_us(3600 * SECOND_US)
        await bench.work()
    assert await bench.breaks() == []
    bench.clock.pass_us(3600 * SECOND_US)
    await bench.work()
    [opened] = await bench.breaks()
    assert (opened.kind, opened.subject_id) == ("UNRESOLVED", attempt.id)


async def test_page_that_nobody_paid_is_voided_at_its_deadline(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=result(Outcome.ACTION))
    bench.channel.then("query", *[result(Outcome.ACTION)] * 100)
    for seconds in (2, 5, 15, 60, 300, 1418):
        bench.clock.pass_us(seconds * SECOND_US)
        await bench.work()
    assert await bench.states(order.id) == [AttemptState.VOIDED]
    assert bench.channel.calls[-1] == ("void", attempt.key)
    assert (await bench.order_now(order.id)).intent_status is IntentStatus.REQUIRES_PAYMENT_METHOD


async def test_void_that_meets_money_leaves_the_order_paid(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, _ = await bench.waiting(viewer, told=result(Outcome.ACTION))
    bench.channel.then("void", charged)
    answer = await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    assert answer.refusal == StateConflict(OrderStatus.PAID, "orderCancel")
    assert (await bench.order_now(order.id)).fulfilment_status is FulfilmentStatus.FULFILLED


async def test_channel_that_cannot_void_is_not_asked_to(bench: Bench) -> None:
    bench.channel.capabilities = replace(bench.channel.capabilities, can_void=False)
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=result(Outcome.ACTION))
    answer = await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    assert answer.refusal == AttemptIsLive(attempt.id)
    assert bench.channel.count("void") == 0


async def test_void_without_an_answer_cancels_nothing(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=result(Outcome.ACTION))
    bench.channel.then("void", UNKNOWN)
    answer = await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    assert answer.refusal == AttemptIsLive(attempt.id)
    assert await bench.states(order.id) == [AttemptState.ACTION]


async def test_two_workers_resolving_one_attempt_have_one_effect(bench: Bench) -> None:
    order, _ = await bench.waiting(told=TimeoutError())
    both = asyncio.Barrier(2)

    async def meet(attempt: PaymentAttempt) -> Result:
        await both.wait()
        return charged(attempt)

    bench.channel.then("query", meet, meet)
    bench.clock.pass_us(2 * SECOND_US)
    [task] = await bench.claimed()
    assert await bench.rival().claimed() == []
    await asyncio.gather(attempts.resolve(bench.hub, task), attempts.resolve(bench.rival().hub, task))
    assert bench.channel.count("query") == 2
    assert (await bench.order_now(order.id)).received_minor == 9900
    assert len(await bench.grants(order.user_id, order.course_id)) == 1
    assert (await bench.events(order.user_id)).count("ORDER_PAID") == 1


async def test_repeated_word_writes_no_history(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    before = await bench.rows("SELECT count(*) FROM event")
    for n in range(3):
        await told(bench, attempt, PENDING, f"evt-{n}")
    assert await bench.rows("SELECT count(*) FROM event") == before
    [after] = await bench.attempts(order.id)
    assert after.version == attempt.version


async def test_each_transition_leaves_one_history_row(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await told(bench, attempt, charged(attempt))
    assert await history(bench, attempt.id) == [("", "SUBMITTED"), ("SUBMITTED", "PENDING"), ("PENDING", "CHARGED")]
    assert await history(bench, order.id) == [("", "AWAITING_PAYMENT"), ("AWAITING_PAYMENT", "PAID")]


async def history(bench: Bench, subject_id: str) -> list[tuple[str, str]]:
    """(from, to) of every transition of a row, first to last."""
    kept = f"SELECT from_state, to_state FROM event WHERE stream = 'hub' AND subject = '{subject_id}'"
    return [(before, after) for before, after in await bench.rows(f"{kept} ORDER BY subject_version")]


# ---- commands that are not in the table ------------------------------------------------------------------------------


async def paid(bench: Bench, viewer: Viewer, order: Order) -> None:
    await bench.pay(viewer, order)


async def canceled(bench: Bench, viewer: Viewer, order: Order) -> None:
    await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")


async def overdue(bench: Bench, viewer: Viewer, order: Order) -> None:
    bench.clock.pass_us(DAY_US)


async def expired(bench: Bench, viewer: Viewer, order: Order) -> None:
    bench.clock.pass_us(DAY_US)
    assert await orders.expire_orders(bench.hub) == 1


@pytest.mark.parametrize(
    ("end", "status"),
    [(paid, "PAID"), (canceled, "CANCELED"), (overdue, "EXPIRED"), (expired, "EXPIRED")],
)
async def test_order_that_waits_for_no_money_is_not_paid(bench: Bench, end: object, status: str) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    await end(bench, viewer, order)  # type: ignore[operator]  # one of the four above
    before, calls = await bench.order_now(order.id), len(bench.channel.calls)
    answer = await bench.pay(viewer, order, key="pay-late")
    refusal: Refusal | None = answer.refusal
    assert refusal == StateConflict(status, "paymentCreate")
    assert await bench.order_now(order.id) == before
    assert len(bench.channel.calls) == calls
    again = await bench.pay(viewer, order, key="pay-late")
    assert (again.refusal, again.is_replay) == (refusal, True)


async def test_refunded_at_the_channel_counts_as_the_charge_that_it_was(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await told(bench, attempt, result(Outcome.DONE, Stage.REFUNDED, attempt.amount))
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID
