"""Dispute 争议: the payer's bank wants money back. Its rank only rises, so a late warning never downgrades it.

    EARLY_WARNING < NEEDS_RESPONSE < UNDER_REVIEW < WON, LOST, ACCEPTED, PREVENTED

What a channel says of it is kept for ever. The dispute is a projection of the *set* of these facts: the greatest by
(rank, provider time, key) tells its state, whatever the order of arrival; the ends have one rank, so of them time
decides. While it is open (NEEDS_RESPONSE, UNDER_REVIEW) its money is held and the right that it paid is suspended.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hub.domain.ledger import Posting, clearing, suspense, taken_from
from hub.domain.money import Money

if TYPE_CHECKING:
    from hub.domain.orders import Order
    from hub.domain.payments import Source


class DisputeState(StrEnum):
    EARLY_WARNING = "EARLY_WARNING"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    WON = "WON"
    LOST = "LOST"
    ACCEPTED = "ACCEPTED"
    PREVENTED = "PREVENTED"


_S = DisputeState
RANK: dict[DisputeState, int] = {
    _S.EARLY_WARNING: 1,
    _S.NEEDS_RESPONSE: 2,
    _S.UNDER_REVIEW: 3,
    _S.WON: 4,
    _S.LOST: 4,
    _S.ACCEPTED: 4,
    _S.PREVENTED: 4,
}
OPEN = frozenset({_S.NEEDS_RESPONSE, _S.UNDER_REVIEW})
TAKEN = frozenset({_S.LOST, _S.ACCEPTED})  # the money is gone
# The machine as rows (from, what the channel says, to): everything that is not here changes nothing. Between the ends
# the provider's time decides.
TRANSITIONS: frozenset[tuple[DisputeState, DisputeState, DisputeState]] = frozenset(
    (from_, told, told) for from_ in _S for told in _S if from_ is not told and RANK[told] >= RANK[from_]
)

# Characters of evidence: what the narrowest of the channels takes in one text.
MAX_EVIDENCE = 20_000
# How long before its deadline a dispute without evidence is warned of: two working days, for whoever has to find it.
WARN_BEFORE_US = 48 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class DisputeWord:
    """What a channel said about a dispute: mapped and verified, never decided upon."""

    channel_ref: str  # the channel's id of the dispute
    state: DisputeState
    amount: Money
    reason: str | None
    evidence_due_at_us: int | None
    fee: Money | None = None  # what the channel takes for it, where it says so


@dataclass(frozen=True, slots=True)
class DisputeFact:
    """One thing that a channel told us about a dispute. The same words of the same moment are one fact."""

    channel: str
    key: str
    source: "Source"
    word: DisputeWord
    provider_at_us: int | None
    observed_at_us: int

    @property
    def order(self) -> tuple[int, int, str]:
        """Facts are ordered by this, never by arrival."""
        time = -1 if self.provider_at_us is None else self.provider_at_us
        return RANK[self.word.state], time, self.key


def fact_of(
    channel: str, word: DisputeWord, source: "Source", provider_at_us: int | None, observed_at_us: int
) -> DisputeFact:
    content = hashlib.sha256(repr((word, provider_at_us)).encode()).hexdigest()[:16]
    return DisputeFact(
        channel, f"{word.state}/{word.channel_ref}/{content}", source, word, provider_at_us, observed_at_us
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What the facts of one dispute come to. `is_contradicted`: one state was told with two amounts."""

    state: DisputeState
    amount: Money
    reason: str | None
    evidence_due_at_us: int | None
    fee: Money | None
    is_contradicted: bool


def told_by(facts: Iterable[DisputeFact]) -> Told:
    """The projection: any order of arrival, doubled or not, gives the same."""
    words = [fact.word for fact in sorted(facts, key=lambda fact: fact.order)]
    amounts = {(word.state, word.amount) for word in words}
    return Told(
        state=words[-1].state,
        amount=words[-1].amount,
        reason=next((word.reason for word in reversed(words) if word.reason), None),
        evidence_due_at_us=next((word.evidence_due_at_us for word in reversed(words) if word.evidence_due_at_us), None),
        fee=next((word.fee for word in reversed(words) if word.fee), None),
        is_contradicted=len(amounts) > len({state for state, _ in amounts}),
    )


class Warned(StrEnum):
    """What was told about the deadline for evidence."""

    NO = "NO"
    BEFORE = "BEFORE"
    OVER = "OVER"


class AnswerKind(StrEnum):
    """What a merchant can say to a dispute."""

    EVIDENCE = "EVIDENCE"
    ACCEPT = "ACCEPT"


class AnswerState(StrEnum):
    """How far an answer is: on its way for as long as nobody knows, then taken or refused by the channel."""

    SUBMITTED = "SUBMITTED"
    TAKEN = "TAKEN"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class DisputeAnswer:
    """One answer. Its evidence is kept for as long as it may have to be sent again."""

    kind: AnswerKind
    state: AnswerState
    evidence: str | None
    code: str | None = None  # the channel's own word for why it was refused


@dataclass(frozen=True, slots=True)
class Dispute:
    """One contested charge. What was held, deducted and in excess is what the books show of it now."""

    id: str
    order_id: str
    attempt_id: str
    channel: str
    channel_ref: str
    state: DisputeState
    amount: Money
    reason: str | None
    evidence_due_at_us: int | None
    fee: Money | None
    held_minor: int  # the channel has taken it back for now
    deducted_minor: int  # lost by the parties to the order
    excess_minor: int  # lost beyond what the parties still held
    reservation: str | None  # reference of what is promised of the parties' money while it is open
    warned: Warned
    answer: "DisputeAnswer | None"  # the last one that was given
    answers: int  # how many were given
    version: int
    created_at_us: int

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def needs_answer(self) -> bool:
        """The channel waits for a response, and none is on its way or taken."""
        return bool(allowed_actions(self.state, None if self.answer is None else self.answer.state))

    @property
    def answer_key(self) -> str:
        """Our reference of the last answer, and the channel's idempotency key in one."""
        return f"{self.id}-{self.answers}"


class DisputeAction(StrEnum):
    """What a merchant can do with a dispute now."""

    SUBMIT_EVIDENCE = "SUBMIT_EVIDENCE"
    ACCEPT = "ACCEPT"


def allowed_actions(state: DisputeState, answered: AnswerState | None) -> tuple[DisputeAction, ...]:
    """What the commands admit: one answer, while the channel waits for it; another one after a refusal."""
    if state is not _S.NEEDS_RESPONSE or answered in (AnswerState.SUBMITTED, AnswerState.TAKEN):
        return ()
    return (DisputeAction.SUBMIT_EVIDENCE, DisputeAction.ACCEPT)


# Of several disputes an order shows the one that needs somebody most.
_PRESSING = (_S.NEEDS_RESPONSE, _S.UNDER_REVIEW, _S.LOST, _S.ACCEPTED, _S.EARLY_WARNING, _S.WON, _S.PREVENTED)


def status_of(states: Iterable[DisputeState]) -> DisputeState | None:
    """An order's `dispute_status` as the projection of its disputes."""
    return min(states, key=_PRESSING.index, default=None)


# ---- what was lost ---------------------------------------------------------------------------------------------------


def lost_minor(disputes: "Iterable[Dispute]", currency: str) -> int:
    """What lost disputes have taken of an order's money in its own currency."""
    return sum(one.deducted_minor + one.excess_minor for one in disputes if one.amount.currency == currency)


def ending(order: "Order", disputes: "Sequence[Dispute]") -> frozenset[str]:
    """Which lost disputes end the right that the order gave: all of them, unless they took no more than what had come
    beyond the price and is not given back. Then the price is still here, and what it paid for stands."""
    taken = [one for one in disputes if one.state in TAKEN]
    spare = order.received_minor - order.due - order.returned_minor
    is_spared = 0 < lost_minor(taken, order.total.currency) <= spare
    return frozenset(one.id for one in taken if not (is_spared and one.amount.currency == order.total.currency))


# ---- the books -------------------------------------------------------------------------------------------------------


def account(dispute_id: str) -> str:
    """What a channel has taken back and may yet return (asset)."""
    return f"dispute:{dispute_id}"


def cost(channel: str) -> str:
    """What a channel takes for its services (expense)."""
    return f"cost:channel:{channel}"


def opened(dispute_id: str, channel: str, amount: Money) -> tuple[Posting, ...]:
    """The channel takes the money back until it is decided."""
    return _posting(account(dispute_id), clearing(channel), amount)


def won(dispute_id: str, channel: str, amount: Money) -> tuple[Posting, ...]:
    """It gives it back."""
    return _posting(clearing(channel), account(dispute_id), amount)


def borne(dispute_id: str, amount: Money, holds: Mapping[str, int]) -> tuple[Posting, ...]:
    """What the parties lose of `amount`: at most what they still hold, which is captured less refunded less lost."""
    bearable = min(amount.amount_minor, sum(holds.values()))
    return taken_from(holds, Money(bearable, amount.currency), account(dispute_id)) if bearable else ()


def excess(dispute_id: str, channel: str, amount: Money, borne_minor: int) -> tuple[Posting, ...]:
    """What goes beyond that: nobody pays a second time, and a person has to look."""
    return _posting(suspense(channel), account(dispute_id), Money(amount.amount_minor - borne_minor, amount.currency))


def given_back(dispute_id: str, postings: Iterable[Posting]) -> tuple[Posting, ...]:
    """A loss undone by its own parts, from all postings of the order: who bore what gets that."""
    address, lost = account(dispute_id), dict[tuple[str, str], int]()
    for one in postings:
        if one.credit == address and not one.debit.endswith(":clearing"):
            lost[one.debit, one.asset] = lost.get((one.debit, one.asset), 0) + one.amount_minor
        if one.debit == address and not one.credit.endswith(":clearing"):
            lost[one.credit, one.asset] = lost.get((one.credit, one.asset), 0) - one.amount_minor
    return tuple(Posting(address, who, asset, part) for (who, asset), part in lost.items() if part)


def fee_charged(channel: str, before: Money | None, fee: Money | None) -> tuple[Posting, ...]:
    """The fee, or the correction of one that was told otherwise before."""
    taken = () if fee is None else _posting(cost(channel), clearing(channel), fee)
    undone = () if before is None else _posting(clearing(channel), cost(channel), before)
    return (*undone, *taken)


def _posting(debit: str, credit: str, amount: Money) -> tuple[Posting, ...]:
    return (Posting(debit, credit, amount.currency, amount.amount_minor),) if amount.amount_minor else ()
