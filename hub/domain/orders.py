"""M's paper: the Order, its PaymentIntent, and what both become when money arrives, time passes or the buyer cancels.

| from             | event                                        | to                  |
|------------------|----------------------------------------------|---------------------|
| –                | admitted, price above 0                      | AWAITING_PAYMENT    |
| –                | admitted, known price 0                      | PAID                |
| AWAITING_PAYMENT | one charge is exact, or parts cover the total | PAID                |
| AWAITING_PAYMENT | cancel, no live attempt                      | CANCELED            |
| AWAITING_PAYMENT | deadline, no live attempt                    | EXPIRED             |
| EXPIRED, CANCELED | late money covers it, and its merchant takes that | AWAITING_PAYMENT, and PAID at once |
| PAID, PARTIALLY_REFUNDED | part of the price is given back / all of what came | PARTIALLY_REFUNDED / REFUNDED |
| PARTIALLY_REFUNDED, REFUNDED | a refund is REVERSED                 | recomputed          |

The intent is one to one with its order and therefore lives in it. Its status is computed (`intent_status`), never set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hub.domain.money import Money
from hub.domain.payments import MAX_ATTEMPTS, AttemptState, IntentStatus, PaymentAttempt
from hub.domain.refusals import AttemptIsLive, PriceChanged, Refusal, StateConflict


class OrderStatus(StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    PAID = "PAID"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"


# The price was here: what has become of it since is refunds.
PAID_ONCE = frozenset({OrderStatus.PAID, OrderStatus.PARTIALLY_REFUNDED, OrderStatus.REFUNDED})


class ChargeStatus(StrEnum):
    NONE = "NONE"
    PARTIAL = "PARTIAL"
    FULL = "FULL"
    OVERCHARGED = "OVERCHARGED"
    LATE_PAYMENT = "LATE_PAYMENT"


class FulfilmentStatus(StrEnum):
    NONE = "NONE"
    FULFILLED = "FULFILLED"
    REVOKED = "REVOKED"


class ChainStatus(StrEnum):
    """How far the record of the order is on chain. Independent of access."""

    NOT_RECORDED = "NOT_RECORDED"
    QUEUED = "QUEUED"
    SUBMITTED = "SUBMITTED"
    CONFIRMED = "CONFIRMED"
    FINALIZED = "FINALIZED"
    REORGED = "REORGED"
    FAILED = "FAILED"


class PaymentAction(StrEnum):
    """What can be done about an order's money now: by its buyer, or (CAPTURE, VOID, REFUND) by its merchant."""

    PAY = "PAY"
    FOLLOW_NEXT_ACTION = "FOLLOW_NEXT_ACTION"
    CANCEL = "CANCEL"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"


# How long an order waits for its money, and how long one attempt stays payable.
PAY_WITHIN_US = 24 * 3600 * 1_000_000
ATTEMPT_WITHIN_US = 30 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """A purchase of one course. Price, agreement and parties are frozen when M admits it."""

    id: str
    number: str
    user_id: str
    platform_id: str
    merchant_id: str
    agreement_id: str
    listing_id: str
    course_id: str
    total: Money
    status: OrderStatus
    charge_status: ChargeStatus
    fulfilment_status: FulfilmentStatus
    chain_status: ChainStatus
    intent_id: str | None  # None for a total of 0: nothing is to be paid
    intent_status: IntentStatus | None
    attempts: int  # how many there have been
    received_minor: int  # all that came in the order's currency, late and surplus money included
    partial_minor: int  # of it, what came in movements smaller than the total
    has_exact: bool  # one movement was exactly the total
    has_conflict: bool  # we were told something other than we asked that no further money mends
    deadline_us: int
    paid_at_us: int | None
    closed_at_us: int | None
    version: int
    created_at_us: int
    refunded_minor: int = 0  # all that was given back, in the order's currency
    refund_reserved_minor: int = 0  # what refunds that are on their way will give back
    returned_minor: int = 0  # of what was given back, what came late or beyond the price: no part of the price

    due_minor: int | None = None  # what its merchant took of the money held for it, instead of the total
    wallet_id: str | None = None  # the buyer's, for which the right's token is to be

    @property
    def due(self) -> int:
        """What pays the order, in minor units."""
        return self.total.amount_minor if self.due_minor is None else self.due_minor

    @property
    def kept_minor(self) -> int:
        """What is here and promised to nobody: never negative."""
        return self.received_minor - self.refunded_minor - self.refund_reserved_minor

    @property
    def is_closed(self) -> bool:
        return self.status in (OrderStatus.EXPIRED, OrderStatus.CANCELED)

    @property
    def is_covered(self) -> bool:
        """The buyer has paid what was asked. Growing money keeps it true, whatever the order of arrival; what was, or
        is being, given back before does not count."""
        if self.total.amount_minor == 0:
            return True
        is_enough = self.has_exact or self.partial_minor >= self.due
        is_whole = self.kept_minor == self.received_minor
        return is_enough and (is_whole or self.kept_minor >= self.due)


def received(order: Order, money: Money) -> Order:
    """The order's sums after one more movement of money; money in another currency is none of the order's.

    A part may be completed by another. Too much at once, nothing, or another currency stays a conflict.
    """
    if money.currency != order.total.currency:
        return replace(order, has_conflict=True)
    is_partial = money.amount_minor < order.total.amount_minor
    return replace(
        order,
        received_minor=order.received_minor + money.amount_minor,
        partial_minor=order.partial_minor + (money.amount_minor if is_partial else 0),
        has_exact=order.has_exact or money == order.total,
        has_conflict=order.has_conflict or not 0 < money.amount_minor <= order.total.amount_minor,
    )


def settled(order: Order, attempts: Sequence[PaymentAttempt], now_us: int) -> Order:
    """The order with every status computed anew from its sums and its attempts."""
    status, paid_at = order.status, order.paid_at_us
    if status is OrderStatus.AWAITING_PAYMENT and order.is_covered:
        status, paid_at = OrderStatus.PAID, now_us
    if status in PAID_ONCE:
        status = _after_refunds(order)
    order = replace(order, status=status, paid_at_us=paid_at)
    return replace(
        order,
        charge_status=charge_status(order),
        intent_status=None if order.intent_id is None else intent_status(order, attempts),
    )


def _after_refunds(order: Order) -> OrderStatus:
    """What refunds have left of a paid order. What came beyond the price and went back is no part of it."""
    refunded = order.refunded_minor - order.returned_minor
    if refunded == 0:
        return OrderStatus.PAID
    return OrderStatus.REFUNDED if order.refunded_minor == order.received_minor else OrderStatus.PARTIALLY_REFUNDED


def charge_status(order: Order) -> ChargeStatus:
    """How what came compares with what was asked. Late or surplus money that went back is as if it had not come."""
    if order.is_closed and order.received_minor > order.refunded_minor:
        return ChargeStatus.LATE_PAYMENT
    came = order.received_minor - (order.refunded_minor if order.is_closed else order.returned_minor)
    if came == order.due:
        return ChargeStatus.FULL
    if came == 0:
        return ChargeStatus.NONE
    return ChargeStatus.PARTIAL if came < order.due else ChargeStatus.OVERCHARGED


def reopened(order: Order) -> Order:
    """A closed order whose late money covers it: it waits again, and `settled` finds it paid."""
    return replace(order, status=OrderStatus.AWAITING_PAYMENT, closed_at_us=None)


_PROGRESS: tuple[tuple[AttemptState, IntentStatus], ...] = (
    (AttemptState.AUTHORIZED, IntentStatus.REQUIRES_CAPTURE),
    (AttemptState.ACTION, IntentStatus.REQUIRES_ACTION),
    (AttemptState.SUBMITTED, IntentStatus.PROCESSING),
    (AttemptState.PENDING, IntentStatus.PROCESSING),
    (AttemptState.UNKNOWN, IntentStatus.PROCESSING),
)


def intent_status(order: Order, attempts: Sequence[PaymentAttempt]) -> IntentStatus:
    """The intent as the projection of its order and attempts."""
    if order.has_conflict or (order.partial_minor and order.received_minor != order.due):
        return IntentStatus.CONFLICTED
    if order.status in PAID_ONCE:
        return IntentStatus.SUCCEEDED
    if order.status is OrderStatus.CANCELED:
        return IntentStatus.CANCELED
    if order.status is OrderStatus.EXPIRED:
        return IntentStatus.EXPIRED
    if any(attempt.is_instructed for attempt in attempts):
        return IntentStatus.PROCESSING
    states = {attempt.state for attempt in attempts}
    for state, progress in _PROGRESS:
        if state in states:
            return progress
    return IntentStatus.FAILED if order.attempts >= MAX_ATTEMPTS else IntentStatus.REQUIRES_PAYMENT_METHOD


def may_be_paid(order: Order, expected: Money, live_attempt_id: str | None, now_us: int) -> Refusal | None:
    """Why a new attempt on this order is refused, if it is: cheapest guard first."""
    if order.status is not OrderStatus.AWAITING_PAYMENT:
        return StateConflict(order.status, "paymentCreate")
    if now_us >= order.deadline_us:
        return StateConflict(OrderStatus.EXPIRED, "paymentCreate")
    if expected != order.total:
        return PriceChanged(order.total.amount_minor, order.total.currency)
    if live_attempt_id is not None:
        return AttemptIsLive(live_attempt_id)
    if order.intent_status is not IntentStatus.REQUIRES_PAYMENT_METHOD:
        return StateConflict(str(order.intent_status), "paymentCreate")
    return None


# The intents that an end by time or by the buyer may close: the rest has money under way or in question.
_CLOSABLE = frozenset({IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.FAILED})


def may_be_closed(order: Order, attempts: Sequence[PaymentAttempt], event: str) -> Refusal | None:
    """Why an order cannot be canceled or expired, if it cannot."""
    if order.status is not OrderStatus.AWAITING_PAYMENT:
        return StateConflict(order.status, event)
    for attempt in attempts:
        if attempt.is_live:
            return AttemptIsLive(attempt.id)
    if order.intent_status not in _CLOSABLE:
        return StateConflict(str(order.intent_status), event)
    return None


def closed(order: Order, status: OrderStatus, now_us: int) -> Order:
    """The order EXPIRED or CANCELED; the caller has asked `may_be_closed`."""
    order = replace(order, status=status, closed_at_us=now_us)
    return replace(order, charge_status=charge_status(order), intent_status=intent_status(order, ()))


def allowed_actions(order: Order) -> tuple[PaymentAction, ...]:
    """What the API offers to a buyer: what the commands admit, where canceling first voids an attempt that waits."""
    if order.status is not OrderStatus.AWAITING_PAYMENT:
        return ()
    if order.intent_status is IntentStatus.REQUIRES_PAYMENT_METHOD:
        return (PaymentAction.PAY, PaymentAction.CANCEL)
    if order.intent_status is IntentStatus.REQUIRES_ACTION:
        return (PaymentAction.FOLLOW_NEXT_ACTION, PaymentAction.CANCEL)
    if order.intent_status in (IntentStatus.REQUIRES_CAPTURE, IntentStatus.FAILED):
        return (PaymentAction.CANCEL,)
    return ()


def merchant_actions(order: Order) -> tuple[PaymentAction, ...]:
    """What it offers to the merchant and to operators: held money is taken or let go, taken money given back."""
    is_held = order.intent_status is IntentStatus.REQUIRES_CAPTURE
    if order.status is OrderStatus.AWAITING_PAYMENT and is_held:
        return (PaymentAction.CAPTURE, PaymentAction.VOID)
    is_left = order.status in (OrderStatus.PAID, OrderStatus.PARTIALLY_REFUNDED) and order.received_minor > 0
    return (PaymentAction.REFUND,) if is_left else ()
