"""An order's statuses are what its money and its attempts make of it, whatever came first."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.money import Money
from hub.domain.orders import (
    ChargeStatus,
    Order,
    OrderStatus,
    PaymentAction,
    allowed_actions,
    charge_status,
    closed,
    intent_status,
    may_be_closed,
    may_be_paid,
    received,
    settled,
)
from hub.domain.payments import MAX_ATTEMPTS, AttemptState, IntentStatus, PaymentAttempt
from hub.domain.refusals import AttemptIsLive, PriceChanged, StateConflict
from tests.domain.samples import HOUR_US, PRICE, attempt, order

S, C, I = OrderStatus, ChargeStatus, IntentStatus  # noqa: E741  # the tables below read better by initials
CHARGED = (attempt(state=AttemptState.CHARGED),)


def cny(*amounts: int) -> tuple[Money, ...]:
    return tuple(Money(amount, "CNY") for amount in amounts)


def after(start: Order, money: Sequence[Money], attempts: Sequence[PaymentAttempt] = CHARGED) -> Order:
    """The order as the flow makes it: settled after each movement."""
    for moved in money:
        start = settled(received(start, moved), attempts, now_us=7)
    return start


def statuses(made: Order) -> tuple[OrderStatus, ChargeStatus, IntentStatus | None]:
    return made.status, made.charge_status, made.intent_status


movements = st.lists(
    st.builds(Money, st.sampled_from((0, 1, 400, 590, 990, 991, 1980, 2**53)), st.sampled_from(("CNY", "CNY", "USD"))),
    max_size=6,
)


# ---- money -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        ((), (S.AWAITING_PAYMENT, C.NONE, I.REQUIRES_PAYMENT_METHOD)),
        (cny(990), (S.PAID, C.FULL, I.SUCCEEDED)),
        (cny(989), (S.AWAITING_PAYMENT, C.PARTIAL, I.CONFLICTED)),
        (cny(991), (S.AWAITING_PAYMENT, C.OVERCHARGED, I.CONFLICTED)),
        (cny(400, 590), (S.PAID, C.FULL, I.SUCCEEDED)),
        (cny(400, 400), (S.AWAITING_PAYMENT, C.PARTIAL, I.CONFLICTED)),
        (cny(590, 590), (S.PAID, C.OVERCHARGED, I.CONFLICTED)),
        (cny(990, 990), (S.PAID, C.OVERCHARGED, I.SUCCEEDED)),
        (cny(990, 1), (S.PAID, C.OVERCHARGED, I.CONFLICTED)),
        (cny(990, 991), (S.PAID, C.OVERCHARGED, I.CONFLICTED)),
        (cny(400, 1980), (S.AWAITING_PAYMENT, C.OVERCHARGED, I.CONFLICTED)),
        (cny(0), (S.AWAITING_PAYMENT, C.NONE, I.CONFLICTED)),
        ((Money(990, "USD"),), (S.AWAITING_PAYMENT, C.NONE, I.CONFLICTED)),
        ((Money(990, "USD"), *cny(990)), (S.PAID, C.FULL, I.CONFLICTED)),
        ((Money(1, "JPY"), *cny(400, 590)), (S.PAID, C.FULL, I.CONFLICTED)),
    ],
)
def test_what_came_makes_these_statuses_in_every_order(
    money: tuple[Money, ...], expected: tuple[OrderStatus, ChargeStatus, IntentStatus]
) -> None:
    for arrival in set(itertools.permutations(money)):
        assert statuses(after(order(), arrival)) == expected


@given(movements, st.data())
@settings(max_examples=250, deadline=None)
def test_every_arrival_of_the_same_money_ends_in_the_same_order(money: list[Money], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(money))
    at_once = order()
    for moved in money:
        at_once = received(at_once, moved)
    assert after(order(), money) == after(order(), shuffled)
    assert not money or after(order(), money) == settled(at_once, CHARGED, now_us=7)


@given(movements)
@example([Money(590, "CNY"), Money(590, "CNY"), Money(2**53, "CNY")])
@settings(max_examples=150, deadline=None)
def test_every_unit_of_the_currency_is_counted_and_paid_is_for_good(money: list[Money]) -> None:
    made = order()
    for moved in money:
        before, made = made, after(made, [moved])
        assert before.status is not S.PAID or made.status is S.PAID
    assert made.received_minor == sum(moved.amount_minor for moved in money if moved.currency == "CNY")
    parts = sum(moved.amount_minor for moved in money if moved.currency == "CNY" and moved.amount_minor < 990)
    assert (made.status is S.PAID) == (PRICE in money or parts >= 990)


@given(movements)
@settings(max_examples=150, deadline=None)
def test_access_is_never_given_below_the_price(money: list[Money]) -> None:
    made = after(order(), money)
    if made.received_minor < 990:
        assert made.status is S.AWAITING_PAYMENT
        assert made.paid_at_us is None


@pytest.mark.parametrize("status", [S.CANCELED, S.EXPIRED])
@pytest.mark.parametrize("money", [cny(990), cny(1), cny(990, 990), cny(2**53)])
def test_money_for_a_closed_order_is_shown_as_late_and_reopens_nothing(
    status: OrderStatus, money: tuple[Money, ...]
) -> None:
    late = after(closed(order(), status, now_us=5), money)
    assert (late.status, late.charge_status) == (status, C.LATE_PAYMENT)
    assert late.paid_at_us is None
    assert late.received_minor == sum(moved.amount_minor for moved in money)


def test_late_money_in_full_leaves_the_intent_closed_and_a_part_of_it_is_a_conflict() -> None:
    canceled = closed(order(), S.CANCELED, now_us=5)
    assert after(canceled, cny(990)).intent_status is I.CANCELED
    assert after(canceled, cny(989)).intent_status is I.CONFLICTED


def test_a_late_charge_pays_an_order_whose_tries_are_used_up() -> None:
    failed = order(attempts=MAX_ATTEMPTS, intent_status=I.FAILED)
    assert statuses(after(failed, cny(990))) == (S.PAID, C.FULL, I.SUCCEEDED)


def test_what_contradicts_itself_stays_in_conflict_beside_the_exact_sum() -> None:
    """One fact key with two contents: the flow marks it, and no amount can have mended it."""
    paid = after(order(), cny(990))
    assert intent_status(replace(paid, has_conflict=True), CHARGED) is I.CONFLICTED


def test_a_total_of_nothing_is_paid_in_full_without_an_intent() -> None:
    free = settled(order(total=Money(0, "CNY"), intent_id=None, intent_status=None), (), now_us=3)
    assert statuses(free) == (S.PAID, C.FULL, None)
    assert free.paid_at_us == 3


def test_the_moment_of_paying_is_kept_when_more_money_comes() -> None:
    paid = settled(received(order(), PRICE), CHARGED, now_us=7)
    assert settled(received(paid, PRICE), CHARGED, now_us=9).paid_at_us == 7


def test_a_status_is_never_kept_but_computed() -> None:
    wrong = order(charge_status=C.OVERCHARGED, intent_status=I.FAILED)
    assert statuses(settled(wrong, (), now_us=1)) == (S.AWAITING_PAYMENT, C.NONE, I.REQUIRES_PAYMENT_METHOD)


@pytest.mark.parametrize(
    ("status", "received_minor", "expected"),
    [
        (S.AWAITING_PAYMENT, 0, C.NONE),
        (S.AWAITING_PAYMENT, 989, C.PARTIAL),
        (S.PAID, 990, C.FULL),
        (S.PAID, 991, C.OVERCHARGED),
        (S.EXPIRED, 0, C.NONE),
        (S.EXPIRED, 1, C.LATE_PAYMENT),
        (S.CANCELED, 990, C.LATE_PAYMENT),
        (S.CANCELED, 5000, C.LATE_PAYMENT),
    ],
)
def test_the_charge_status_compares_what_came_with_the_total(
    status: OrderStatus, received_minor: int, expected: ChargeStatus
) -> None:
    assert charge_status(order(status=status, received_minor=received_minor)) is expected


# ---- the intent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (AttemptState.SUBMITTED, I.PROCESSING),
        (AttemptState.PENDING, I.PROCESSING),
        (AttemptState.UNKNOWN, I.PROCESSING),
        (AttemptState.ACTION, I.REQUIRES_ACTION),
        (AttemptState.AUTHORIZED, I.REQUIRES_CAPTURE),
        (AttemptState.DECLINED, I.REQUIRES_PAYMENT_METHOD),
        (AttemptState.REJECTED, I.REQUIRES_PAYMENT_METHOD),
        (AttemptState.NOT_SENT, I.REQUIRES_PAYMENT_METHOD),
        (AttemptState.VOIDED, I.REQUIRES_PAYMENT_METHOD),
        (AttemptState.EXPIRED, I.REQUIRES_PAYMENT_METHOD),
    ],
)
def test_the_intent_follows_the_live_attempt(state: AttemptState, expected: IntentStatus) -> None:
    ended = attempt(id="pat_0", state=AttemptState.DECLINED)
    for attempts in ([ended, attempt(state=state)], [attempt(state=state), ended]):
        assert intent_status(order(attempts=2), attempts) is expected


def test_the_last_allowed_try_ends_in_failed_and_only_when_it_is_over() -> None:
    used_up = order(attempts=MAX_ATTEMPTS)
    assert intent_status(used_up, [attempt(state=AttemptState.UNKNOWN)]) is I.PROCESSING
    assert intent_status(used_up, [attempt(state=AttemptState.DECLINED)]) is I.FAILED
    almost = order(attempts=MAX_ATTEMPTS - 1)
    assert intent_status(almost, [attempt(state=AttemptState.DECLINED)]) is I.REQUIRES_PAYMENT_METHOD


@pytest.mark.parametrize("status", [S.PAID, S.CANCELED, S.EXPIRED])
def test_an_order_that_is_over_decides_alone(status: OrderStatus) -> None:
    ends = {S.PAID: I.SUCCEEDED, S.CANCELED: I.CANCELED, S.EXPIRED: I.EXPIRED}
    for state in AttemptState:
        assert intent_status(order(status=status), [attempt(state=state)]) is ends[status]


# ---- commands ------------------------------------------------------------------------------------------------------


def pay(made: Order, expected: Money = PRICE, live: str | None = None, now_us: int = 0) -> object:
    return may_be_paid(made, expected, live, now_us)


def test_an_order_that_waits_may_be_paid_at_its_price() -> None:
    assert pay(order()) is None
    assert pay(order(), now_us=24 * HOUR_US - 1) is None


@pytest.mark.parametrize("status", [S.PAID, S.EXPIRED, S.CANCELED])
def test_an_order_that_is_over_is_not_paid_again(status: OrderStatus) -> None:
    assert pay(order(status=status)) == StateConflict(status, "paymentCreate")


def test_an_order_past_its_deadline_is_expired_before_the_task_says_so() -> None:
    assert pay(order(), now_us=24 * HOUR_US) == StateConflict("EXPIRED", "paymentCreate")


@pytest.mark.parametrize("expected", [Money(989, "CNY"), Money(990, "USD"), Money(0, "CNY")])
def test_another_amount_than_the_order_s_is_a_changed_price(expected: Money) -> None:
    assert pay(order(), expected) == PriceChanged(990, "CNY")


def test_a_second_try_waits_for_the_first() -> None:
    assert pay(order(intent_status=I.PROCESSING), live="pat_1") == AttemptIsLive("pat_1")


@pytest.mark.parametrize("intent", sorted(frozenset(I) - {I.REQUIRES_PAYMENT_METHOD}))
def test_an_intent_that_asks_for_no_method_takes_none(intent: IntentStatus) -> None:
    assert pay(order(intent_status=intent)) == StateConflict(intent, "paymentCreate")


@pytest.mark.parametrize("state", sorted(AttemptState))
def test_an_order_is_closed_only_when_no_attempt_may_still_take_money(state: AttemptState) -> None:
    tried = attempt(state=state)
    made = settled(order(attempts=1), [tried], now_us=1)
    refusal = may_be_closed(made, [attempt(id="pat_0", state=AttemptState.DECLINED), tried], "orderCancel")
    assert refusal == (AttemptIsLive("pat_1") if tried.is_live else None)


@pytest.mark.parametrize("money", [cny(1), cny(991), (Money(990, "USD"),)])
def test_an_order_with_money_in_question_is_not_closed(money: tuple[Money, ...]) -> None:
    assert may_be_closed(after(order(), money), CHARGED, "orderCancel") == StateConflict("CONFLICTED", "orderCancel")


@pytest.mark.parametrize("status", [S.PAID, S.EXPIRED, S.CANCELED])
def test_an_order_that_is_over_is_not_closed_again(status: OrderStatus) -> None:
    assert may_be_closed(order(status=status), (), "expire") == StateConflict(status, "expire")


@pytest.mark.parametrize(("status", "intent"), [(S.CANCELED, I.CANCELED), (S.EXPIRED, I.EXPIRED)])
def test_a_closed_order_says_when_and_takes_nothing_more(status: OrderStatus, intent: IntentStatus) -> None:
    made = closed(order(), status, now_us=5)
    assert statuses(made) == (status, C.NONE, intent)
    assert made.closed_at_us == 5
    assert made.is_closed
    assert isinstance(pay(made), StateConflict)
    assert allowed_actions(made) == ()


@given(
    st.lists(st.sampled_from(AttemptState), max_size=3).filter(
        lambda states: sum(attempt(state=state).is_live for state in states) <= 1
    ),
    movements,
    st.sampled_from((0, MAX_ATTEMPTS)),
    st.sampled_from((None, S.CANCELED, S.EXPIRED)),
)
@settings(max_examples=400, deadline=None)
def test_what_is_offered_is_what_the_guards_admit(
    states: list[AttemptState], money: list[Money], tries: int, end: OrderStatus | None
) -> None:
    attempts = [attempt(id=f"pat_{i}", state=state) for i, state in enumerate(states)]
    made = settled(after(order(attempts=tries + len(states)), money, attempts), attempts, now_us=1)
    if end and may_be_closed(made, attempts, "orderCancel") is None:
        made = closed(made, end, now_us=2)
    live = next((each.id for each in attempts if each.is_live), None)
    offered = allowed_actions(made)
    assert (PaymentAction.PAY in offered) == (pay(made, live=live) is None)
    has_page = live is not None and made.intent_status is I.REQUIRES_ACTION and made.status is S.AWAITING_PAYMENT
    assert (PaymentAction.FOLLOW_NEXT_ACTION in offered) == has_page
    # While an attempt waits for the buyer or for us, canceling is offered: the command voids it at its channel first.
    closable = may_be_closed(made, attempts, "orderCancel") is None
    voidable = made.status is S.AWAITING_PAYMENT and made.intent_status in (I.REQUIRES_ACTION, I.REQUIRES_CAPTURE)
    assert (PaymentAction.CANCEL in offered) == (closable or voidable)
