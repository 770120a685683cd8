"""Refund 退款: money of a charge on its way back. Its amount is reserved in the books before the channel is asked.

captured - refunded - reserved >= amount, or there is no refund

What a channel says of a refund is a fact, kept for ever, and the state is a projection of the *set* of facts: `failed`
outranks `succeeded`, and both together, in any order, are REVERSED. Our own words count only while the channel has said
nothing: NOT_SENT is REQUESTED again, with the same key. They, and `rejected`, are about one call: the latest, or
nothing.

    failed, canceled > succeeded > rejected > pending      (> not sent, unknown: ours)

`rejected` is a refusal of our call, and FAILED for as long as the channel does not prove that the money moved.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hub.domain.disputes import Dispute, lost_minor
from hub.domain.ledger import Posting, clearing, suspense, taken_from
from hub.domain.money import MAX_MINOR, Money
from hub.domain.orders import PAID_ONCE, Order, OrderStatus, charge_status, settled
from hub.domain.payments import RESEND_WITHIN_US, Outcome, PaymentAttempt, Result, Source, Stage
from hub.domain.refusals import (
    ChannelUnavailable,
    DisputeOpen,
    NotRefundable,
    RefundExceeds,
    Refusal,
    StateConflict,
)


class RefundState(StrEnum):
    REQUESTED = "REQUESTED"
    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    REVERSED = "REVERSED"  # it succeeded, and then failed after all


class RefundFactKind(StrEnum):
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    SUCCEEDED = "SUCCEEDED"
    REJECTED = "REJECTED"  # our call was refused before it was done: said of the call, not of the money
    PENDING = "PENDING"
    NOT_SENT = "NOT_SENT"
    UNKNOWN = "UNKNOWN"


_S, _K = RefundState, RefundFactKind
# Still on its way: its Reservation is PENDING.
OPEN = frozenset({_S.REQUESTED, _S.SUBMITTED, _S.PENDING, _S.UNKNOWN})
RANK: dict[RefundFactKind, int] = {_K.FAILED: 4, _K.CANCELED: 4, _K.SUCCEEDED: 3, _K.REJECTED: 2, _K.PENDING: 1}
STATE_OF: dict[RefundFactKind, RefundState] = {
    _K.FAILED: _S.FAILED,
    _K.CANCELED: _S.CANCELED,
    _K.SUCCEEDED: _S.SUCCEEDED,
    _K.REJECTED: _S.FAILED,
    _K.PENDING: _S.PENDING,
    _K.NOT_SENT: _S.REQUESTED,
    _K.UNKNOWN: _S.UNKNOWN,
}
_ENDED_BADLY = frozenset({_S.FAILED, _S.CANCELED})
# The machine of 02 §3 as rows (from, fact, to); everything that is not here changes nothing. Our own commands beside
# it: REQUESTED becomes SUBMITTED (`submitted`) or CANCELED (`may_be_canceled`).
TRANSITIONS: frozenset[tuple[RefundState, RefundFactKind, RefundState]] = frozenset(
    row
    for froms, kind, to in (
        (OPEN - {_S.PENDING}, _K.PENDING, _S.PENDING),
        (OPEN, _K.SUCCEEDED, _S.SUCCEEDED),
        (OPEN, _K.REJECTED, _S.FAILED),
        (OPEN | {_S.CANCELED}, _K.FAILED, _S.FAILED),
        (OPEN | {_S.FAILED}, _K.CANCELED, _S.CANCELED),
        (_ENDED_BADLY, _K.SUCCEEDED, _S.REVERSED),
        (_ENDED_BADLY, _K.SUCCEEDED, _S.SUCCEEDED),  # where our call alone was refused, or we had called it off
        (frozenset({_S.SUCCEEDED}), _K.FAILED, _S.REVERSED),
        (frozenset({_S.SUCCEEDED}), _K.CANCELED, _S.REVERSED),
        (frozenset({_S.SUBMITTED}), _K.UNKNOWN, _S.UNKNOWN),
        (frozenset({_S.SUBMITTED, _S.UNKNOWN}), _K.NOT_SENT, _S.REQUESTED),
    )
    for row in ((from_, kind, to) for from_ in froms)
)
# Refunds of one charge: a limit on everything.
MAX_REFUNDS = 50
# Characters of the reason: what every channel takes.
MAX_REASON = 80
# The code of a refund that no channel took within a day: its key is not used again, and another refund has another.
NOT_SENT_IN_TIME = "not_sent_in_time"
# Who asks for the refund of late and surplus money.
HUB = "hub"


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of one charged attempt. `key` is our reference and the channel's idempotency key in one."""

    id: str
    order_id: str
    attempt_id: str
    number: int  # counts the attempt's refunds from 1
    key: str
    amount: Money
    state: RefundState
    reason: str | None
    requested_by: str  # a principal, or the hub itself for late and surplus money
    request_key: str | None
    calls: int  # how often it was sent; 0 before the first
    sent_at_us: int | None
    heard_rank: int
    heard_at_us: int | None
    heard_key: str
    channel_ref: str | None
    code: str | None
    unknown_since_us: int | None
    version: int
    created_at_us: int
    excess_minor: int = 0  # of what went back: what nobody held any more, and suspense has given
    is_surplus: bool = False  # it gives back what came late, beyond the price or before it: no part of the price

    @property
    def is_open(self) -> bool:
        """It may still take the money: its amount stays reserved."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class RefundFact:
    """One thing that we were told about a refund. The amount is content, not key."""

    channel: str
    key: str
    source: Source
    kind: RefundFactKind
    observed_at_us: int
    amount: Money | None = None  # of SUCCEEDED alone
    provider_at_us: int | None = None
    call: int = 1  # about which call it is, where it is about one alone

    @property
    def rank(self) -> int:
        return RANK.get(self.kind, 0)


# ---- what a result says ----------------------------------------------------------------------------------------------

_BY_OUTCOME: dict[Outcome, RefundFactKind] = {
    Outcome.PENDING: _K.PENDING,
    Outcome.ACTION: _K.PENDING,
    Outcome.DECLINED: _K.FAILED,
}
_OWN_BY_OUTCOME: dict[Outcome, RefundFactKind] = {  # of the call that asks for it alone
    Outcome.REJECTED: _K.REJECTED,
    Outcome.NOT_SENT: _K.NOT_SENT,
    Outcome.UNKNOWN: _K.UNKNOWN,
}


def fact_of(refund: Refund, channel: str, result: Result, source: Source) -> RefundFact | None:
    """The fact in one result of refund (ANSWER), query_refund (QUERY) or a Notice; None where it says nothing new.

    "I never saw it" (a query's DONE with NONE) is our own word NOT_SENT about the latest call; whether the channel may
    be believed is the caller's question. Success without an amount cannot be booked: as if the answer had been lost.
    """
    kind = _kind(result, source)
    if kind is None:
        return None
    return RefundFact(
        channel=channel,
        key=_key(kind, refund, result),
        source=source,
        kind=kind,
        observed_at_us=result.observed_at_us,
        amount=result.amount if kind is _K.SUCCEEDED else None,
        provider_at_us=result.provider_at_us,
        call=refund.calls,
    )


def _kind(result: Result, source: Source) -> RefundFactKind | None:
    if result.outcome is not Outcome.DONE:
        kind = _BY_OUTCOME.get(result.outcome)
        return _OWN_BY_OUTCOME[result.outcome] if kind is None and source is Source.ANSWER else kind
    if result.stage is Stage.REFUNDED and result.amount is not None:
        return _K.SUCCEEDED
    if result.stage is Stage.VOIDED:
        return _K.CANCELED
    if result.stage is Stage.NONE and source is Source.QUERY:
        return _K.NOT_SENT
    return _K.UNKNOWN if source is Source.ANSWER else None


def _key(kind: RefundFactKind, refund: Refund, result: Result) -> str:
    """A refund is one movement, known by our own key. What may repeat with another time has the time in it."""
    if kind in _OF_ONE_CALL:
        return f"{kind}/{refund.key}/{refund.calls}"
    if kind is _K.PENDING:
        return f"{kind}/{refund.key}/{result.provider_at_us or ''}"
    return f"{kind}/{refund.key}"


# ---- the reducer -----------------------------------------------------------------------------------------------------


def reduce(refund: Refund, fact: RefundFact) -> Refund:
    """The refund after one more fact; the same object if the fact changes nothing. Monotone: any order, same end.

    A success over another amount than was asked moves nothing: it is a Break, and the money stays reserved.
    """
    if is_of_another_call(refund, fact):
        return refund
    if fact.rank == 0:
        return _own_word(refund, fact)
    if fact.amount is not None and fact.amount != refund.amount:
        return refund
    is_called_off = refund.state is _S.CANCELED and not refund.heard_rank  # by us: until its money has moved, or failed
    if is_called_off and fact.rank < RANK[_K.SUCCEEDED]:
        return refund
    is_greater = _place(fact) > (refund.heard_rank, _time(refund.heard_at_us), refund.heard_key)
    after = replace(
        refund,
        state=_state(refund, fact, is_greater=is_greater),
        heard_rank=fact.rank if is_greater else refund.heard_rank,
        heard_at_us=fact.provider_at_us if is_greater else refund.heard_at_us,
        heard_key=fact.key if is_greater else refund.heard_key,
        unknown_since_us=None,
    )
    return refund if after == refund else after


def is_of_another_call(refund: Refund, fact: RefundFact) -> bool:
    """Whether a fact is about a call that is not the latest, and so says nothing of the refund."""
    return fact.kind in _OF_ONE_CALL and fact.call != refund.calls


_OF_ONE_CALL = frozenset({_K.NOT_SENT, _K.UNKNOWN, _K.REJECTED})


def _state(refund: Refund, fact: RefundFact, *, is_greater: bool) -> RefundState:
    has_succeeded = refund.state in (_S.SUCCEEDED, _S.REVERSED) or fact.kind is _K.SUCCEEDED
    has_failed = max(refund.heard_rank, fact.rank) == RANK[_K.FAILED]
    if has_succeeded and has_failed:
        return _S.REVERSED
    return STATE_OF[fact.kind] if is_greater else refund.state


def _own_word(refund: Refund, fact: RefundFact) -> Refund:
    if refund.heard_rank or refund.state not in (_S.SUBMITTED, _S.UNKNOWN):
        return refund
    state = STATE_OF[fact.kind]
    if state is refund.state:
        return refund
    return replace(refund, state=state, unknown_since_us=fact.observed_at_us if state is _S.UNKNOWN else None)


def _place(fact: RefundFact) -> tuple[int, int, str]:
    return fact.rank, _time(fact.provider_at_us), fact.key


def _time(provider_at_us: int | None) -> int:
    return -1 if provider_at_us is None else provider_at_us


def is_as_asked(refund: Refund, fact: RefundFact) -> bool:
    """Whether a success names the amount and currency that we asked to give back."""
    return fact.amount is None or fact.amount == refund.amount


# ---- commands --------------------------------------------------------------------------------------------------------


def submitted(refund: Refund, now_us: int) -> Refund:
    """SUBMITTED: the same key and body, as one more call."""
    return replace(refund, state=_S.SUBMITTED, calls=refund.calls + 1, sent_at_us=now_us, unknown_since_us=None)


def may_be_canceled(refund: Refund) -> Refusal | None:
    """Why a refund cannot be called off, if it cannot: only what no channel has yet can."""
    return None if refund.state is _S.REQUESTED else StateConflict(refund.state, "refundCancel")


def is_too_old(refund: Refund, now_us: int) -> bool:
    """Whether it was tried in vain for so long that its key is not sent again: providers forget keys after a day."""
    return refund.state is _S.REQUESTED and refund.calls > 0 and now_us - refund.created_at_us > RESEND_WITHIN_US


def given_up(refund: Refund) -> Refund:
    """CANCELED, by us: no channel has had it, and none is asked under this key again."""
    return replace(refund, state=_S.CANCELED, code=NOT_SENT_IN_TIME)


@dataclass(frozen=True, slots=True)
class Refundable:
    """A charged attempt with what it took of one currency, and what of that is given back or promised to be."""

    attempt_id: str
    attempt_key: str
    channel: str
    captured: Money
    refunded_minor: int
    reserved_minor: int
    refunds: int  # of the attempt, in whatever currency: the next one's number follows from them
    held_minor: int = MAX_MINOR  # what the parties to the order hold of all its money, where that was looked at
    lost_minor: int = 0  # what the payer's bank took back of it, likewise

    @property
    def left(self) -> Money:
        """What can still be given back of it."""
        left = self.captured.amount_minor - self.refunded_minor - self.reserved_minor - self.lost_minor
        return Money(max(min(left, self.held_minor), 0), self.captured.currency)


def may_be_refunded(
    charge: Refundable | None,
    amount: Money,
    *,
    has_channel: bool,
    can_refund: bool,
    can_refund_partly: bool,
    open_dispute_id: str | None,
) -> Refusal | None:
    """Why giving `amount` of this charge back is refused, if it is: cheapest guard first."""
    if charge is None:
        return NotRefundable("nothing was charged for it")
    if open_dispute_id is not None:
        return DisputeOpen(open_dispute_id)
    if not has_channel or not can_refund:
        reason = "it gives no money back" if has_channel else "it is not configured here"
        return ChannelUnavailable(charge.channel, reason)
    if charge.refunds >= MAX_REFUNDS:
        return NotRefundable(f"it has {MAX_REFUNDS} refunds already")
    if amount.currency != charge.captured.currency or not 0 < amount.amount_minor <= charge.left.amount_minor:
        return RefundExceeds(charge.left.amount_minor, charge.left.currency)
    if amount != charge.captured and not can_refund_partly:
        return ChannelUnavailable(charge.channel, "it gives charges back as a whole only")
    return None


def chosen(charges: Sequence[Refundable], amount: Money | None) -> tuple[Refundable | None, Money | None]:
    """Which charge a refund is of, and how much: the latest that has all of `amount` left; without one, all that is
    left of the latest that has anything. Where none has enough it is the one with the most."""
    latest_first = [*reversed(charges)]
    if amount is None:
        charge = next((one for one in latest_first if one.left.amount_minor), latest_first[0] if charges else None)
        return charge, None if charge is None else charge.left
    fitting = [one for one in latest_first if one.left.currency == amount.currency]
    enough = next((one for one in fitting if one.left.amount_minor >= amount.amount_minor), None)
    most = max(fitting or latest_first, key=lambda one: one.left.amount_minor, default=None)
    return enough or most, amount


# ---- what went back after its promise was given up -------------------------------------------------------------------


def parts_now(
    promised: Sequence[Posting], holds: Mapping[str, int], amount: Money, channel: str
) -> tuple[tuple[Posting, ...], int]:
    """The postings of money that has gone back although its promise was given up, and how much of it nobody held any
    more: as it was promised where everybody still holds that, else of what is held; suspense gives the rest."""
    if promised and all(holds.get(one.debit, 0) >= one.amount_minor for one in promised):
        return tuple(promised), 0
    bearable = min(amount.amount_minor, sum(holds.values()))
    target = clearing(channel)
    parts = taken_from(holds, Money(bearable, amount.currency), target) if bearable else ()
    excess = amount.amount_minor - bearable
    beyond = (Posting(suspense(channel), target, amount.currency, excess),) if excess else ()
    return (*parts, *beyond), excess


def most_refundable(
    charges: Sequence[Refundable], disputes: Sequence[Dispute], able: Callable[[Refundable], bool], kept_minor: int,
    currency: str,
) -> int:  # fmt: skip
    """The most that one refund of an order may be, in its currency: of one charge, of what lost disputes have left of
    it and the parties hold (`kept_minor`: received less given back and promised), and nothing while one is open."""
    if any(one.is_open for one in disputes):
        return 0
    own = [one for one in disputes if one.amount.currency == currency]
    held = max(kept_minor - sum(one.deducted_minor for one in own), 0)
    left = [
        replace(charge, held_minor=held, lost_minor=lost_minor(_of(charge, own), currency))
        for charge in charges
        if charge.captured.currency == currency
    ]
    return max((charge.left.amount_minor for charge in left if able(charge)), default=0)


def _of(charge: Refundable, disputes: Sequence[Dispute]) -> list[Dispute]:
    return [one for one in disputes if one.attempt_id == charge.attempt_id]


# ---- the order's figures ---------------------------------------------------------------------------------------------


def refunded(order: Order, refunds: Sequence[Refund], attempts: Sequence[PaymentAttempt], now_us: int) -> Order:
    """The order with its figures and statuses computed anew from all its refunds. None of them pays an order: one
    that awaits its payment goes on awaiting it."""
    own = [one for one in refunds if one.amount.currency == order.total.currency]
    given = [one for one in own if one.state is _S.SUCCEEDED]
    order = replace(
        order,
        refunded_minor=_sum(given),
        refund_reserved_minor=_sum([one for one in own if one.is_open]),
        returned_minor=_sum([one for one in given if one.is_surplus]),
    )
    if order.status is OrderStatus.AWAITING_PAYMENT:
        return replace(order, charge_status=charge_status(order))
    return settled(order, attempts, now_us)


def _sum(refunds: Sequence[Refund]) -> int:
    """What they take of the order's money."""
    return sum(one.amount.amount_minor - one.excess_minor for one in refunds)


# ---- late and surplus money ------------------------------------------------------------------------------------------


class LateMoney(StrEnum):
    """What becomes of money for an order that is closed already."""

    REFUND = "REFUND"
    REOPEN = "REOPEN"


def excess_minor(order: Order, refunds: Sequence[Refund], lost_minor: int = 0) -> int:
    """What came and nobody had asked for, less what of it is given back, on its way back, or taken by lost disputes
    (`lost_minor`, of the order's currency): all that is left with a closed order, and what a paid one received beyond
    its price."""
    kept = order.kept_minor - lost_minor
    if order.is_closed:
        return max(kept, 0)
    if order.status not in PAID_ONCE:
        return 0
    back = _sum([one for one in refunds if one.is_surplus and (one.is_open or one.state is _S.SUCCEEDED)])
    return max(min(order.received_minor - order.due - back - lost_minor, kept), 0)


def surplus_charge(charges: Sequence[Refundable], refunds: Sequence[Refund]) -> Refundable | None:
    """Which charge gives surplus money back: the latest that has any, and whose channel has not refused that before:
    what failed once waits for a person, what was never sent may be tried again."""
    ended = [one for one in refunds if one.is_surplus and not one.is_open and one.state is not _S.SUCCEEDED]
    refused = {one.attempt_id for one in ended if one.code != NOT_SENT_IN_TIME}
    return next((one for one in reversed(charges) if one.left.amount_minor and one.attempt_id not in refused), None)
