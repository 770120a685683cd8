"""Payment attempts and the facts that channels told us: tables, and the repository that opens and moves them."""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    bindparam,
    literal_column,
    select,
    update,
)

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
    PaymentAttempt,
    Source,
)
from hub.store.facts import Heard, fact_table, keep_fact
from hub.store.metadata import Serial, inserted, integer, is_one_of, metadata, text
from hub.store.tasks import OpenEnd, open_end_of, with_task

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
_is_live = payment_attempt.c.state.in_([literal_column(f"'{state}'") for state in sorted(LIVE)])
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

    async def open_ends(self, kinds: Sequence[str]) -> list[OpenEnd]:
        """All that may still take the money, by their keys, and whether a Task of these kinds sees to each."""
        return await self._rx.many(_LIVE, open_end_of, kinds=list(kinds))

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
_LIVE = with_task(_c.key, _c.state, _c.id).where(_is_live).order_by(_c.id)
_LIVE_ON = (
    select(payment_attempt)
    .where(_is_live)
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
