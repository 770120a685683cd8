"""Payment attempts and the facts that channels told us: tables, and the repository that opens and moves them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql.elements import BindParameter

from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.ids import Draw
from hub.domain.money import Money
from hub.domain.payments import (
    LIVE,
    AttemptState,
    CaptureMethod,
    Fact,
    FactKind,
    Instruction,
    InstructionKind,
    NextAction,
    Notice,
    Outcome,
    PaymentAttempt,
    Result,
    Source,
    Stage,
    charge_key,
    told_key,
)
from hub.store.facts import Heard, KnownFact, fact_table, keep_fact
from hub.store.metadata import Serial, blob, inserted, integer, is_one_of, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

payment_attempt = Table(
    "payment_attempt",
    metadata,
    text("id", primary_key=True),
    text("order_id", ForeignKey("order_.id")),
    integer("number"),
    text("channel"),
    text("key"),  # what the channel knows it by; never used twice
    integer("amount_minor"),
    text("currency"),
    text("state"),
    text("method", nullable=True),
    text("return_url", nullable=True),
    text("request_key", nullable=True),
    integer("calls"),
    integer("sent_at_us"),
    integer("expires_at_us"),
    integer("heard_rank"),
    integer("heard_at_us", nullable=True),
    text("heard_key"),
    text("channel_ref", nullable=True),
    text("code", nullable=True),
    text("decline", nullable=True),
    text("next_action", nullable=True),  # JSON
    integer("unknown_since_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
    text("capture_method", server_default="AUTOMATIC"),
    text("instruction", nullable=True),  # CAPTURE, VOID: what its merchant wants done with the held money
    integer("instructed_minor", nullable=True),
    integer("instructed_at_us", nullable=True),
    text("routing", nullable=True),  # JSON: why this channel; none where the buyer named it
    UniqueConstraint("order_id", "number"),
    UniqueConstraint("channel", "key"),
)
Index("ix_payment_attempt_channel", payment_attempt.c.channel, payment_attempt.c.created_at_us)
_is_live = payment_attempt.c.state.in_(sorted(LIVE))
Index(
    "one_live_attempt",
    payment_attempt.c.order_id,
    unique=True,
    sqlite_where=_is_live,
    postgresql_where=_is_live,
)
channel_fact = Table(
    "channel_fact",
    metadata,
    Column("id", Serial, primary_key=True),
    text("channel"),
    text("key"),
    text("source"),
    text("attempt_id", ForeignKey("payment_attempt.id"), index=True),
    text("kind"),
    integer("amount_minor", nullable=True),
    text("currency", nullable=True),
    integer("provider_at_us", nullable=True),
    integer("observed_at_us"),
    integer("call"),
    text("contradiction", nullable=True),  # another content under the same key, as first heard
    UniqueConstraint("channel", "key"),
)
notice_inbox = Table(
    "notice_inbox",
    metadata,
    text("id", primary_key=True),
    text("channel"),
    text("event_id"),
    blob("digest"),
    text("attempt_key"),
    text("kind"),
    text("result"),  # JSON: the verified, normalised content
    integer("received_at_us"),
    text("state"),  # WAITING, APPLIED, CONFLICTED, IGNORED
    integer("tries"),
    text("refund_key", nullable=True),  # of which refund it is
    text("dispute", nullable=True),  # JSON: what it says of a dispute
    text("charge_key", nullable=True),  # of the fact that tells its attempt, where our reference is not in it
    text("reason", nullable=True),  # why it is IGNORED
    UniqueConstraint("channel", "event_id"),
)
_is_ignored = notice_inbox.c.state == "IGNORED"
Index(
    "ignored_notices",
    notice_inbox.c.channel,
    notice_inbox.c.charge_key,
    sqlite_where=_is_ignored,
    postgresql_where=_is_ignored,
)


class Payments:
    """`tx.payments`: attempts change under their order's lock alone."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def insert(self, attempt: PaymentAttempt) -> bool:
        """Put the attempt there; False: another one of the order is live, says the database."""
        return await self._rx.one(_INSERT, str, **_columns(attempt)) is not None

    async def of_order(self, order_id: str) -> list[PaymentAttempt]:
        """All attempts of an order, first to last."""
        return await self._rx.many(_OF_ORDER, attempt_of, order_id=order_id)

    async def by_id(self, attempt_id: str) -> PaymentAttempt | None:
        return await self._rx.one(_BY_ID, attempt_of, attempt_id=attempt_id)

    async def live_on(self, channel: str) -> list[PaymentAttempt]:
        """Those of a channel that may still take the money."""
        return await self._rx.many(_LIVE_ON, attempt_of, channel_=channel)

    async def of_purchase(self, channel: str, channel_ref: str, since_us: int) -> PaymentAttempt | None:
        """The attempt whose money moved under a channel's own reference; or the one made since then that waits for it
        to move."""
        key = f"{FactKind.CAPTURED}/{channel_ref}"
        charged = await self._rx.one(_CHARGED_UNDER, attempt_of, channel_=channel, fact_key_=key)
        return charged or await self._rx.one(
            _WAITS_UNDER, attempt_of, channel_=channel, ref_=channel_ref, since=since_us
        )

    async def references(self, channel: str, attempt_ids: Sequence[str]) -> dict[str, str | None]:
        """The channel's own references of those of these attempts that are its."""
        pairs = await self._rx.many(
            _REFERENCES, lambda id_, ref: (id_, ref), channel_=channel, attempt_ids=list(attempt_ids)
        )
        return dict(pairs)

    async def update(self, attempt: PaymentAttempt) -> PaymentAttempt:
        """Store a new state under the next version, which is returned."""
        columns = _columns(attempt)
        mutable = {name: columns[name] for name in _MUTABLE}
        await self._rx.changed(_UPDATE, attempt_id=attempt.id, held_version=attempt.version, **mutable)
        return replace(attempt, version=attempt.version + 1)

    async def add_fact(self, attempt_id: str, fact: Fact) -> Heard:
        """As `keep_fact`."""
        return await keep_fact(self._rx, _FACT, attempt_id, fact)

    async def facts_of(self, attempt_ids: Sequence[str]) -> list[tuple[str, Fact, bool]]:
        """(attempt, fact, whether it was contradicted) of many attempts, for rebuilding their states."""
        return await self._rx.many(_FACTS, _fact_of, attempt_ids=list(attempt_ids))


class Notices:
    """`tx.notices`: the inbox. One row per channel and event id, whatever the number of deliveries."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def known(self, channel: str, notice: Notice) -> "KnownNotice":
        """What we have of this event id already, and which attempt its reference names, in one look."""
        row = await self._rx.one(
            _KNOWN_NOTICE, KnownNotice, channel_=channel, event_id_=notice.event_id, attempt_key_=notice.attempt_key,
            fact_key_=told_key(notice),
        )  # fmt: skip
        assert row is not None
        return row if notice.attempt_key else replace(row, attempt_id=row.fact_attempt_id)

    async def insert(self, channel: str, notice: Notice, state: str, draw: Draw) -> bool:
        """Keep it; False: the same event came in at the same moment and was first."""
        row = await self._rx.one(
            _KEEP, str, id=draw.id("ntc", channel, notice.event_id), channel=channel, event_id=notice.event_id,
            digest=notice.digest, attempt_key=notice.attempt_key, kind=notice.kind, result=result_text(notice.result),
            received_at_us=draw.now_us, state=state, tries=0, refund_key=notice.refund_key,
            dispute=None if notice.dispute is None else _dispute_text(notice.dispute),
            charge_key=None if notice.attempt_key else charge_key(notice.result), reason=None,
        )  # fmt: skip
        return row is not None

    async def waiting(self, notice_id: str) -> "WaitingNotice | None":
        """A kept notice whose order we did not know, and the attempt that its reference names by now."""
        waiting = await self._rx.one(_WAITING, _waiting, notice_id=notice_id)
        if waiting is None or waiting.attempt_id is not None or waiting.attempt_key:
            return waiting
        charge = await self._rx.one(_KNOWN, KnownFact, channel_=waiting.channel, key_=charge_key(waiting.result))
        return waiting if charge is None else replace(waiting, attempt_id=charge.subject_id)

    async def listed(self, order_id: str | None, limit: int) -> "list[KeptNotice]":
        """The newest notices, of one order's attempts or (None) all."""
        binds = {} if order_id is None else {"order_id": order_id}
        return await self._rx.many(_LISTED if order_id is None else _OF_ONE_ORDER, KeptNotice, most=limit, **binds)

    async def kept(self, notice_id: str) -> "KeptNotice | None":
        return await self._rx.one(_KEPT, KeptNotice, notice_id=notice_id)

    async def move(self, notice_id: str, state: str, reason: str | None = None) -> None:
        """`reason`: why it is IGNORED."""
        await self._rx.run(_MOVE_NOTICE, notice_id=notice_id, state_=state, reason_=reason)

    async def found_again(self, limit: int) -> list[str]:
        """Notices that were IGNORED as another's, and are about a charge that we know by now."""
        return await self._rx.many(_FOUND_AGAIN, str, most=limit)


@dataclass(frozen=True, slots=True)
class KnownNotice:
    """`id` None: the event is new. `attempt_id` None: its reference names nothing of ours yet. `fact_*`: what we were
    told under the key of its fact already, by whatever source."""

    id: str | None
    digest: bytes | None
    state: str | None
    attempt_id: str | None
    fact_attempt_id: str | None
    fact_amount_minor: int | None
    fact_currency: str | None
    fact_at_us: int | None

    def says_the_same(self, notice: Notice) -> bool:
        """Whether the notice tells nothing that is not known already, content and time included."""
        if self.fact_attempt_id is None or self.fact_attempt_id != self.attempt_id:
            return False
        if (notice.result.provider_at_us or -1) > (self.fact_at_us or -1):
            return False  # time decides between facts of one rank
        amount = notice.result.amount
        return self.fact_amount_minor is None or amount == Money(self.fact_amount_minor, self.fact_currency or "")


@dataclass(frozen=True, slots=True)
class KeptNotice:
    """A notice as operators see it, without its content."""

    id: str
    channel: str
    event_id: str
    attempt_key: str
    kind: str
    state: str
    tries: int
    received_at_us: int
    refund_key: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class WaitingNotice:
    id: str
    state: str
    channel: str
    attempt_key: str
    received_at_us: int
    attempt_id: str | None
    result: Result
    refund_key: str | None
    dispute: DisputeWord | None


def attempt_of(
    id_: str, order_id: str, number: int, channel: str, key: str, amount_minor: int, currency: str, state: str,
    method: str | None, return_url: str | None, request_key: str | None, calls: int, sent_at_us: int,
    expires_at_us: int, heard_rank: int, heard_at_us: int | None, heard_key: str, channel_ref: str | None,
    code: str | None, decline: str | None, next_action: str | None, unknown_since_us: int | None, version: int,
    created_at_us: int, capture_method: str, instruction: str | None, instructed_minor: int | None,
    instructed_at_us: int | None, routing: str | None,
) -> PaymentAttempt:  # fmt: skip
    """The domain's PaymentAttempt from a row, in the order of the table's columns."""
    return PaymentAttempt(
        id=id_, order_id=order_id, number=number, channel=channel, key=key, amount=Money(amount_minor, currency),
        state=AttemptState(state), method=method, return_url=return_url, request_key=request_key, calls=calls,
        sent_at_us=sent_at_us, expires_at_us=expires_at_us, heard_rank=heard_rank, heard_at_us=heard_at_us,
        heard_key=heard_key, channel_ref=channel_ref, code=code, decline=decline,
        next_action=None if next_action is None else NextAction(**orjson.loads(next_action)),
        unknown_since_us=unknown_since_us, version=version, created_at_us=created_at_us,
        capture_method=CaptureMethod(capture_method), routing=routing,
        instruction=None if instruction is None else Instruction(
            InstructionKind(instruction), Money(instructed_minor or 0, currency), instructed_at_us or 0
        ),
    )  # fmt: skip


def _columns(attempt: PaymentAttempt) -> dict[str, Any]:
    columns: dict[str, Any] = dict(zip(_PLAIN, _plain(attempt), strict=True))
    columns |= {
        "amount_minor": attempt.amount.amount_minor,
        "currency": attempt.amount.currency,
        "next_action": None if attempt.next_action is None else orjson.dumps(attempt.next_action).decode(),
    }
    told = attempt.instruction
    return columns | {
        "instruction": told and told.kind,
        "instructed_minor": told and told.amount.amount_minor,
        "instructed_at_us": told and told.at_us,
    }


def _fact_of(
    attempt_id: str, channel: str, key: str, source: str, kind: str, amount_minor: int | None, currency: str | None,
    provider_at_us: int | None, observed_at_us: int, call: int, contradiction: str | None,
) -> tuple[str, Fact, bool]:  # fmt: skip
    amount = None if amount_minor is None or currency is None else Money(amount_minor, currency)
    fact = Fact(channel, key, Source(source), FactKind(kind), observed_at_us, amount, provider_at_us, call)
    return attempt_id, fact, contradiction is not None


def result_text(result: Result) -> str:
    """A verified result as it is kept in the inbox."""
    return orjson.dumps(
        {**{f.name: getattr(result, f.name) for f in fields(result)}, "raw_digest": result.raw_digest.hex()},
        option=orjson.OPT_SORT_KEYS,
    ).decode()


def _result_of(body: str) -> Result:
    told = orjson.loads(body)
    return Result(**{
        **told,
        "outcome": Outcome(told["outcome"]),
        "stage": Stage(told["stage"]),
        "raw_digest": bytes.fromhex(told["raw_digest"]),
        "amount": told["amount"] and Money(**told["amount"]),
        "next_action": told["next_action"] and NextAction(**told["next_action"]),
    })  # fmt: skip


def _waiting(
    id_: str, state: str, channel: str, attempt_key: str, received_at_us: int, attempt_id: str | None, result: str,
    refund_key: str | None, dispute: str | None,
) -> WaitingNotice:  # fmt: skip
    word = None if dispute is None else _dispute_word(dispute)
    told = _result_of(result)
    return WaitingNotice(id_, state, channel, attempt_key, received_at_us, attempt_id, told, refund_key, word)


def _dispute_text(word: DisputeWord) -> str:
    return orjson.dumps(word, option=orjson.OPT_SORT_KEYS).decode()


def _dispute_word(body: str) -> DisputeWord:
    told = orjson.loads(body)
    return DisputeWord(**{
        **told,
        "state": DisputeState(told["state"]),
        "amount": Money(**told["amount"]),
        "fee": told["fee"] and Money(**told["fee"]),
    })  # fmt: skip


_c = payment_attempt.c
_MADE = ("amount_minor", "currency", "next_action", "instruction", "instructed_minor", "instructed_at_us")
_PLAIN = [c.name for c in _c if c.name not in _MADE]
_MUTABLE = (
    "state", "calls", "sent_at_us", "heard_rank", "heard_at_us", "heard_key", "channel_ref", "code", "decline",
    "next_action", "unknown_since_us", "instruction", "instructed_minor", "instructed_at_us",
)  # fmt: skip
_plain = attrgetter(*_PLAIN)
_INSERT = inserted(payment_attempt).on_conflict_do_nothing().returning(_c.id)
_OF_ORDER = select(payment_attempt).where(_c.order_id == bindparam("order_id")).order_by(_c.number)
_BY_ID = select(payment_attempt).where(_c.id == bindparam("attempt_id"))
_LIVE_ON = (
    select(payment_attempt)
    .where(_c.state.in_([literal_column(f"'{state}'") for state in sorted(LIVE)]))
    .where(_c.channel == bindparam("channel_"))
    .order_by(_c.id)
)
_WAITS_UNDER = (
    select(payment_attempt)
    .where((_c.channel == bindparam("channel_")) & (_c.created_at_us >= bindparam("since")))
    .where(_c.channel_ref == bindparam("ref_"))
    .limit(literal_column("1"))
)
_UPDATE = (
    update(payment_attempt)
    .where((_c.id == bindparam("attempt_id")) & (_c.version == bindparam("held_version")))
    .values(
        {
            **{name: bindparam(name, type_=_c[name].type) for name in _MUTABLE},
            "version": _c.version + literal_column("1"),
        }
    )
)
_f = channel_fact.c
_FACT = fact_table(channel_fact, _f.attempt_id)
_, _ADD_FACT, _KNOWN, _DATE, _CONTRADICT = _FACT
_CHARGED_UNDER = (
    select(payment_attempt)
    .join_from(payment_attempt, channel_fact, _f.attempt_id == _c.id)
    .where((_f.channel == bindparam("channel_")) & (_f.key == bindparam("fact_key_")))
)
_REFERENCES = select(_c.id, _c.channel_ref).where(
    (_c.channel == bindparam("channel_")) & is_one_of(_c.id, "attempt_ids")
)
_FACTS = (
    select(_f.attempt_id, _f.channel, _f.key, _f.source, _f.kind, _f.amount_minor, _f.currency, _f.provider_at_us,
           _f.observed_at_us, _f.call, _f.contradiction)
    .where(is_one_of(_f.attempt_id, "attempt_ids"))
    .order_by(_f.id)
)  # fmt: skip
_n = notice_inbox.c
_KEEP = inserted(notice_inbox).on_conflict_do_nothing().returning(_n.id)
_one_row = select(literal_column("1").label("one")).subquery("one_row")
_KNOWN_NOTICE = select(
    _n.id, _n.digest, _n.state, _c.id, _f.attempt_id, _f.amount_minor, _f.currency, _f.provider_at_us
).select_from(
    _one_row.outerjoin(notice_inbox, (_n.channel == bindparam("channel_")) & (_n.event_id == bindparam("event_id_")))
    .outerjoin(payment_attempt, (_c.channel == bindparam("channel_")) & (_c.key == bindparam("attempt_key_")))
    .outerjoin(channel_fact, (_f.channel == bindparam("channel_")) & (_f.key == bindparam("fact_key_")))
)
_WAITING = (
    select(_n.id, _n.state, _n.channel, _n.attempt_key, _n.received_at_us, _c.id, _n.result, _n.refund_key, _n.dispute)
    .join_from(notice_inbox, payment_attempt, (_c.channel == _n.channel) & (_c.key == _n.attempt_key), isouter=True)
    .where(_n.id == bindparam("notice_id"))
)
_shown = select(
    _n.id,
    _n.channel,
    _n.event_id,
    _n.attempt_key,
    _n.kind,
    _n.state,
    _n.tries,
    _n.received_at_us,
    _n.refund_key,
    _n.reason,
)
_newest = (_n.received_at_us.desc(), _n.id.desc())
_most: BindParameter[int] = bindparam("most", type_=BigInteger())
_KEPT = _shown.where(_n.id == bindparam("notice_id"))
_LISTED = _shown.order_by(*_newest).limit(_most)
_OF_ONE_ORDER = (
    _shown.join_from(notice_inbox, payment_attempt, (_c.channel == _n.channel) & (_c.key == _n.attempt_key))
    .where(_c.order_id == bindparam("order_id"))
    .order_by(*_newest)
    .limit(_most)
)
_MOVE_NOTICE = (
    update(notice_inbox)
    .where(_n.id == bindparam("notice_id"))
    .values(state=bindparam("state_"), reason=bindparam("reason_", type_=Text()), tries=_n.tries + literal_column("1"))
)
_FOUND_AGAIN = (
    select(_n.id)
    .join_from(notice_inbox, channel_fact, (_f.channel == _n.channel) & (_f.key == _n.charge_key))
    .where(_n.state == literal_column("'IGNORED'"))
    .order_by(_n.received_at_us, _n.id)
    .limit(_most)
)
