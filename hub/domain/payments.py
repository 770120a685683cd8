"""R 支付请求 and its attempts: what a channel can tell us, and the one reducer that turns it into a state.

A channel's words are facts, kept for ever. The state of an attempt is a projection of the *set* of its facts: the
greatest by (rank, provider time, key) wins, whatever the order of arrival. Our own words (NOT_SENT, UNKNOWN) count
only while the channel has said nothing. They, and that a call was rejected, are about one call: the latest, or nothing.

    captured > voided, lapsed > authorised > declined > rejected > pending, action      (> not sent, unknown: ours)
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate
from typing import Any, Literal

from hub.domain.disputes import DisputeWord
from hub.domain.money import Money


class Outcome(StrEnum):
    """What we KNOW after one call; never a boolean."""

    DONE = "DONE"
    PENDING = "PENDING"
    ACTION = "ACTION"
    DECLINED = "DECLINED"
    REJECTED = "REJECTED"  # refused before executing: ours to fix
    NOT_SENT = "NOT_SENT"  # provably never reached the provider
    UNKNOWN = "UNKNOWN"  # may or may not have executed


class Stage(StrEnum):
    """How far the money is. A query answered DONE with NONE says: the channel has nothing under this reference."""

    NONE = "NONE"
    AUTHORIZED = "AUTHORIZED"
    CHARGED = "CHARGED"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"


class CaptureMethod(StrEnum):
    """Whether a channel takes the money at once, or holds it until it is told to."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"


class InstructionKind(StrEnum):
    """What a merchant can have done with money that a channel holds."""

    CAPTURE = "CAPTURE"
    VOID = "VOID"


class AttemptState(StrEnum):
    SUBMITTED = "SUBMITTED"
    ACTION = "ACTION"
    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    CHARGED = "CHARGED"
    DECLINED = "DECLINED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    UNKNOWN = "UNKNOWN"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"


# May still take the money: at most one such attempt per order, by a partial unique index.
LIVE = frozenset({
    AttemptState.SUBMITTED, AttemptState.ACTION, AttemptState.PENDING, AttemptState.AUTHORIZED, AttemptState.UNKNOWN,
})  # fmt: skip
# The request has an end that is worth recording on chain.
ENDED = frozenset({
    AttemptState.CHARGED, AttemptState.DECLINED, AttemptState.REJECTED, AttemptState.VOIDED, AttemptState.EXPIRED,
})  # fmt: skip


class IntentStatus(StrEnum):
    REQUIRES_PAYMENT_METHOD = "REQUIRES_PAYMENT_METHOD"
    PROCESSING = "PROCESSING"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    REQUIRES_CAPTURE = "REQUIRES_CAPTURE"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    CONFLICTED = "CONFLICTED"


class FactKind(StrEnum):
    CAPTURED = "CAPTURED"
    VOIDED = "VOIDED"
    LAPSED = "LAPSED"
    AUTHORIZED = "AUTHORIZED"
    DECLINED = "DECLINED"
    REJECTED = "REJECTED"
    PENDING = "PENDING"
    ACTION = "ACTION"
    NOT_SENT = "NOT_SENT"
    UNKNOWN = "UNKNOWN"


class Source(StrEnum):
    """Where we heard it."""

    ANSWER = "ANSWER"
    NOTICE = "NOTICE"
    QUERY = "QUERY"
    STATEMENT = "STATEMENT"


RANK: dict[FactKind, int] = {
    FactKind.CAPTURED: 6,
    FactKind.VOIDED: 5,
    FactKind.LAPSED: 5,
    FactKind.AUTHORIZED: 4,
    FactKind.DECLINED: 3,
    FactKind.REJECTED: 2,
    FactKind.PENDING: 1,
    FactKind.ACTION: 1,
}
STATE_OF: dict[FactKind, AttemptState] = {
    FactKind.CAPTURED: AttemptState.CHARGED,
    FactKind.VOIDED: AttemptState.VOIDED,
    FactKind.LAPSED: AttemptState.EXPIRED,
    FactKind.AUTHORIZED: AttemptState.AUTHORIZED,
    FactKind.DECLINED: AttemptState.DECLINED,
    FactKind.REJECTED: AttemptState.REJECTED,
    FactKind.PENDING: AttemptState.PENDING,
    FactKind.ACTION: AttemptState.ACTION,
    FactKind.NOT_SENT: AttemptState.NOT_SENT,
    FactKind.UNKNOWN: AttemptState.UNKNOWN,
}

_S = AttemptState
_OPEN = frozenset({_S.SUBMITTED, _S.UNKNOWN, _S.ACTION, _S.PENDING, _S.NOT_SENT})
# The machine of 02 §3 as rows (from, fact, to); everything that is not here changes nothing.
TRANSITIONS: frozenset[tuple[AttemptState, FactKind, AttemptState]] = frozenset(
    row
    for froms, kind, to in (
        (_OPEN - {_S.ACTION}, FactKind.ACTION, _S.ACTION),
        (_OPEN - {_S.PENDING}, FactKind.PENDING, _S.PENDING),
        (_OPEN | {_S.DECLINED, _S.REJECTED}, FactKind.AUTHORIZED, _S.AUTHORIZED),
        (frozenset(_S) - {_S.CHARGED}, FactKind.CAPTURED, _S.CHARGED),
        (_OPEN | {_S.REJECTED}, FactKind.DECLINED, _S.DECLINED),
        (_OPEN, FactKind.REJECTED, _S.REJECTED),
        (frozenset({_S.SUBMITTED, _S.UNKNOWN}), FactKind.NOT_SENT, _S.NOT_SENT),
        (frozenset({_S.SUBMITTED}), FactKind.UNKNOWN, _S.UNKNOWN),
        (frozenset(_S) - {_S.CHARGED, _S.VOIDED}, FactKind.VOIDED, _S.VOIDED),
        (frozenset(_S) - {_S.CHARGED, _S.EXPIRED}, FactKind.LAPSED, _S.EXPIRED),
    )
    for row in ((from_, kind, to) for from_ in froms)
)

# Tries on one order before a person has to look: a limit on everything.
MAX_ATTEMPTS = 10
# Under one reference a write is not repeated after this: providers forget their keys after about a day.
RESEND_WITHIN_US = 24 * 3600 * 1_000_000
# A call that was written down is begun within this, or written down anew. A channel's "never saw it" is believed a
# minute after that at the earliest (`Capabilities.not_found_after_ms`).
SEND_WITHIN_US = 5 * 1_000_000
# When UNKNOWN attempts are asked about, after the call; then hourly until UNRESOLVED_AFTER_US.
QUERY_AFTER_S = (2, 5, 15, 60, 300)
QUERY_EVERY_S = 3600
UNRESOLVED_AFTER_US = 24 * 3600 * 1_000_000
# A channel that says "not so often" is obeyed up to this: nobody is left unasked for longer than by the schedule.
MOST_RETRY_AFTER_MS = QUERY_EVERY_S * 1_000
# How long held money waits for its merchant's word; banks let go of it after about a week by themselves.
HOLD_WITHIN_US = 6 * 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class NextAction:
    """What the buyer does next. `kind` redirect has `url`; qr has `data`; form and typed_data have `data` as JSON;
    client_secret has `data` for the provider's own library in the browser: Stripe's client secret, WeChat's JSAPI
    parameters as JSON."""

    kind: Literal["redirect", "qr", "form", "client_secret", "typed_data"]
    url: str | None = None
    data: str | None = None
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What `paymentCreate` asks. `expected` is an assertion, not an order; `method` a token of the channel."""

    order_id: str
    channel: str | None  # None: the hub chooses
    expected: Money
    idempotency_key: str
    method: str | None = None
    return_url: str | None = None
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    replaces: str | None = None  # the attempt that is to be closed first

    @property
    def normalised(self) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "orderId": self.order_id,
            "channel": self.channel,
            "expectedAmount": [self.expected.amount_minor, self.expected.currency],
            "method": self.method,
            "returnUrl": self.return_url,
        }
        # What came later stands in it only where it is used, so that requests of an earlier release stay the same.
        replaced = {} if self.replaces is None else {"replaces": self.replaces}
        return asked | captured_by(self.capture_method) | replaced


def captured_by(method: CaptureMethod) -> dict[str, Any]:
    """The part of a normalised request that says how its money is taken."""
    return {} if method is CaptureMethod.AUTOMATIC else {"captureMethod": method.value}


@dataclass(frozen=True, slots=True)
class Result:
    """What an adapter says after one call: mapped, verified where the channel signs, never decided upon."""

    outcome: Outcome
    stage: Stage
    raw_digest: bytes
    observed_at_us: int
    channel_ref: str | None = None
    movement_ref: str | None = None  # the channel's id of the money's movement, if it has one
    amount: Money | None = None  # always with AUTHORIZED, CHARGED and REFUNDED (of the charge): else nothing is known
    provider_at_us: int | None = None
    code: str | None = None  # the provider's own word for what went wrong
    decline: Literal["soft", "hard"] | None = None
    retry_after_ms: int | None = None
    next_action: NextAction | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A channel's later message, verified. It changes nothing by itself: `result` goes through the reducer."""

    event_id: str
    attempt_key: str  # our own reference, as the channel echoes it; of a refund or dispute: that of its payment
    # Or "": the channel does not echo it there, and `result.movement_ref` names the charge.
    result: Result
    digest: bytes  # over the verified, normalised content
    kind: str
    refund_key: str | None = None  # set: `result` is about this refund of ours, or another's by the channel's name
    dispute: DisputeWord | None = None  # set: it is about this dispute, and `result` says nothing of the payment


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that we were told about money. The amount is content, not key."""

    channel: str
    key: str
    source: Source
    kind: FactKind
    observed_at_us: int
    amount: Money | None = None
    provider_at_us: int | None = None
    call: int = 1  # about which call it is, where it is about one alone

    @property
    def rank(self) -> int:
        return RANK.get(self.kind, 0)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What is to become of held money, committed before the channel hears of it. The channel's key for it is made of
    the attempt's, and it never changes its amount: it may be asked again, and is done once."""

    kind: InstructionKind
    amount: Money
    at_us: int


@dataclass(frozen=True, slots=True)
class PaymentAttempt:
    """One try on one channel. `key` is the reference the channel gets; `heard_*` is the greatest fact so far."""

    id: str
    order_id: str
    number: int
    channel: str
    key: str
    amount: Money
    state: AttemptState
    method: str | None
    return_url: str | None
    request_key: str | None  # the idempotency key of the paymentCreate that made it
    calls: int  # how often the create was sent; 1 from the start
    sent_at_us: int
    expires_at_us: int  # after this we void and ask
    heard_rank: int
    heard_at_us: int | None
    heard_key: str
    channel_ref: str | None
    code: str | None
    decline: str | None
    next_action: NextAction | None
    unknown_since_us: int | None
    version: int
    created_at_us: int
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    instruction: Instruction | None = None
    routing: str | None = None  # why this channel, as JSON; None: it was named

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def may_be_confirmed_elsewhere(self) -> bool:
        """Whether the buyer's browser was, or may have been, given what confirms it at the provider."""
        return self.method is None or self.return_url is None

    @property
    def is_instructed(self) -> bool:
        """The channel was, or is about to be, told what to do with the money it holds, and it is not proven done."""
        return self.instruction is not None and self.is_live

    @property
    def due_at_us(self) -> int:
        """When it is closed at its channel if nothing came of it: money that waits for its merchant waits longer."""
        is_held = self.state is AttemptState.AUTHORIZED and self.capture_method is CaptureMethod.MANUAL
        return self.sent_at_us + HOLD_WITHIN_US if is_held else self.expires_at_us

    @property
    def is_settled(self) -> bool:
        """Nothing more is asked about it: it is not live, and not waiting to be sent again."""
        return self.state not in LIVE and self.state is not AttemptState.NOT_SENT


def fact_of(attempt: PaymentAttempt, result: Result, source: Source) -> Fact | None:
    """The fact in one result of create (ANSWER), query (QUERY) or a Notice; None where it says nothing new.

    A query that was not sent, refused, or lost says nothing. One that says "I never saw it" (DONE, NONE) is our own
    word NOT_SENT about the latest call; whether the channel may be believed is the caller's question. Money without
    its amount cannot be booked: as if the answer had been lost.
    """
    kind = _kind(result, source)
    if kind is None:
        return None
    return Fact(
        channel=attempt.channel,
        key=_key(kind, attempt.key, attempt.calls, result),
        source=source,
        kind=kind,
        observed_at_us=result.observed_at_us,
        amount=result.amount if kind in _WITH_AMOUNT else None,
        provider_at_us=result.provider_at_us,
        call=attempt.calls,
    )


def void_fact_of(attempt: PaymentAttempt, result: Result) -> Fact | None:
    """The fact in the answer to a capture or a void: only a confirmed end counts, everything else means ask again."""
    is_end = result.outcome is Outcome.DONE and result.stage not in (Stage.NONE, Stage.AUTHORIZED)
    return fact_of(attempt, result, Source.QUERY) if is_end else None


_WITH_AMOUNT = frozenset({FactKind.CAPTURED, FactKind.AUTHORIZED})
_BY_STAGE: dict[Stage, FactKind] = {
    Stage.AUTHORIZED: FactKind.AUTHORIZED,
    Stage.CHARGED: FactKind.CAPTURED,
    Stage.REFUNDED: FactKind.CAPTURED,
    Stage.VOIDED: FactKind.VOIDED,
    Stage.EXPIRED: FactKind.LAPSED,
}
_BY_OUTCOME: dict[Outcome, FactKind] = {
    Outcome.PENDING: FactKind.PENDING,
    Outcome.ACTION: FactKind.ACTION,
    Outcome.DECLINED: FactKind.DECLINED,
}
_OWN_BY_OUTCOME: dict[Outcome, FactKind] = {  # of a create alone
    Outcome.REJECTED: FactKind.REJECTED,
    Outcome.NOT_SENT: FactKind.NOT_SENT,
    Outcome.UNKNOWN: FactKind.UNKNOWN,
}


def _kind(result: Result, source: Source) -> FactKind | None:
    if result.outcome is Outcome.DONE:
        return _kind_done(result, source)
    kind = _BY_OUTCOME.get(result.outcome)
    if kind is None and source is Source.ANSWER:
        kind = _OWN_BY_OUTCOME[result.outcome]
    return kind


def _kind_done(result: Result, source: Source) -> FactKind | None:
    if result.stage is Stage.NONE and source is Source.QUERY:
        return FactKind.NOT_SENT
    kind = _BY_STAGE.get(result.stage)
    if kind is None or (kind in _WITH_AMOUNT and result.amount is None):
        return FactKind.UNKNOWN if source is Source.ANSWER else None
    return kind


def _key(kind: FactKind, attempt_key: str, call: int, result: Result) -> str:
    """One movement, one key, whoever tells it. What may repeat with another time has the time in it."""
    if kind in _OF_ONE_CALL:
        return f"{kind}/{attempt_key}/{call}"
    if kind in (FactKind.PENDING, FactKind.ACTION):
        return f"{kind}/{attempt_key}/{result.provider_at_us or ''}"
    return f"{kind}/{result.movement_ref or attempt_key}"


def told_key(notice: Notice) -> str | None:
    """The key of the fact in a notice, found without its attempt: whether we know it already is one look."""
    if not notice.attempt_key:
        return charge_key(notice.result)
    kind = _kind(notice.result, Source.NOTICE)
    return None if kind is None else _key(kind, notice.attempt_key, 0, notice.result)


def charge_key(result: Result) -> str | None:
    """The key of the fact that money came, by the channel's reference of that movement alone."""
    return f"{FactKind.CAPTURED}/{result.movement_ref}" if result.movement_ref else None


def reduce(attempt: PaymentAttempt, fact: Fact) -> PaymentAttempt:
    """The attempt after one more fact; the same object if the fact changes nothing. Monotone: any order, same end."""
    if is_of_another_call(attempt, fact):
        return attempt
    if fact.rank == 0:
        return _own_word(attempt, fact)
    heard = (attempt.heard_rank, _time(attempt.heard_at_us), attempt.heard_key)
    if (fact.rank, _time(fact.provider_at_us), fact.key) <= heard:
        return attempt
    return replace(
        attempt,
        state=STATE_OF[fact.kind],
        heard_rank=fact.rank,
        heard_at_us=fact.provider_at_us,
        heard_key=fact.key,
        unknown_since_us=None,
    )


def is_of_another_call(attempt: PaymentAttempt, fact: Fact) -> bool:
    """Whether a fact is about a call that is not the latest, and so says nothing of the attempt."""
    return fact.kind in _OF_ONE_CALL and fact.call != attempt.calls


_OF_ONE_CALL = frozenset({FactKind.NOT_SENT, FactKind.UNKNOWN, FactKind.REJECTED})


def _own_word(attempt: PaymentAttempt, fact: Fact) -> PaymentAttempt:
    if attempt.heard_rank:
        return attempt
    state = STATE_OF[fact.kind]
    if state is attempt.state or attempt.state is AttemptState.NOT_SENT:
        return attempt
    since = fact.observed_at_us if state is AttemptState.UNKNOWN else None
    return replace(attempt, state=state, unknown_since_us=since)


def _time(provider_at_us: int | None) -> int:
    return -1 if provider_at_us is None else provider_at_us


def is_as_asked(attempt: PaymentAttempt, fact: Fact) -> bool:
    """Whether a fact about money names the amount and currency that we asked for."""
    if fact.kind is FactKind.CAPTURED:
        return fact.amount == asked_amount(attempt)
    return fact.kind not in _WITH_AMOUNT or fact.amount == attempt.amount


def asked_amount(attempt: PaymentAttempt) -> Money:
    """What is to be taken: all of it, unless the merchant said less of what was held."""
    instruction = attempt.instruction
    is_capture = instruction is not None and instruction.kind is InstructionKind.CAPTURE
    return instruction.amount if instruction is not None and is_capture else attempt.amount


def instruction_told(attempt: PaymentAttempt, result: Result) -> PaymentAttempt:
    """An instructed attempt after an answer to its capture or void that is no proof of an end.

    A lost answer leaves it UNKNOWN, until the channel shows what it did. One that was refused stands no more. A bank
    that will not pay out what it holds is told to let go of it.
    """
    instruction = attempt.instruction
    if instruction is None or not attempt.is_live:
        return attempt
    if result.outcome is Outcome.UNKNOWN and attempt.state is AttemptState.AUTHORIZED:
        return replace(attempt, state=AttemptState.UNKNOWN, unknown_since_us=result.observed_at_us, code=result.code)
    if result.outcome is Outcome.REJECTED:
        return replace(reassured(attempt), instruction=None, code=result.code)
    if result.outcome is Outcome.DECLINED and instruction.kind is InstructionKind.CAPTURE:
        voided = Instruction(InstructionKind.VOID, attempt.amount, result.observed_at_us)
        return replace(reassured(attempt), instruction=voided, code=result.code)
    return attempt


def reassured(attempt: PaymentAttempt) -> PaymentAttempt:
    """UNKNOWN over a capture or void, and the channel shows that it still holds the money: nothing was done."""
    if attempt.state is not AttemptState.UNKNOWN or attempt.heard_rank != RANK[FactKind.AUTHORIZED]:
        return attempt
    return replace(attempt, state=AttemptState.AUTHORIZED, unknown_since_us=None)


def resent(attempt: PaymentAttempt, now_us: int) -> PaymentAttempt:
    """SUBMITTED: the same key and body once more, as one more call."""
    return replace(attempt, state=AttemptState.SUBMITTED, calls=attempt.calls + 1, sent_at_us=now_us)


def is_denied(attempt: PaymentAttempt, result: Result) -> bool:
    """The channel has told something of this attempt, and now says that it never saw it."""
    return attempt.heard_rank > 0 and result.outcome is Outcome.DONE and result.stage is Stage.NONE


def next_query_after_s(asked: int) -> int:
    """How long to wait before asking again, after having asked `asked` times."""
    return QUERY_AFTER_S[asked] if asked < len(QUERY_AFTER_S) else QUERY_EVERY_S


def next_query_at_us(asked: int, since_us: int, now_us: int) -> int:
    """When to ask again about what is open since then, after having asked `asked` times. A process that died while it
    asked counts too: so the age has a say, and what is young does not wait an hour for it."""
    soon_us = now_us + QUERY_AFTER_S[0] * 1_000_000
    ages = (since_us + age_s * 1_000_000 for age_s in accumulate(QUERY_AFTER_S))
    by_age_us = next((at_us for at_us in ages if at_us >= soon_us), now_us + QUERY_EVERY_S * 1_000_000)
    return min(by_age_us, now_us + next_query_after_s(asked) * 1_000_000)
