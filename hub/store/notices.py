"""The inbox of what channels bring unasked: the table, and the repository that keeps and finds notices."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import (
    BigInteger,
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
    NextAction,
    Notice,
    Outcome,
    Result,
    Stage,
    charge_key,
    told_key,
)
from hub.store.facts import KnownFact, fact_table
from hub.store.metadata import blob, inserted, integer, metadata, text
from hub.store.payments import channel_fact, payment_attempt

if TYPE_CHECKING:
    from hub.store.transactions import Rx

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
            digest=notice.digest, attempt_key=notice.attempt_key, kind=notice.kind, result=_result_text(notice.result),
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


def _result_text(result: Result) -> str:
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


_c, _f = payment_attempt.c, channel_fact.c
_KNOWN = fact_table(channel_fact, _f.attempt_id).known
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
