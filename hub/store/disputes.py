"""Disputes and the facts that channels told us of them: tables, and the repository that opens and moves them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    cast,
    literal_column,
    select,
    update,
)

from hub.domain.disputes import (
    AnswerKind,
    AnswerState,
    Dispute,
    DisputeAnswer,
    DisputeFact,
    DisputeState,
    DisputeWord,
    Warned,
)
from hub.domain.money import Money
from hub.domain.payments import Source
from hub.store.metadata import Serial, inserted, integer, is_one_of, metadata, text
from hub.store.tasks import OpenEnd, open_end_of, with_task

if TYPE_CHECKING:
    from hub.store.transactions import Rx

dispute = Table(
    "dispute",
    metadata,
    text("id", primary_key=True),
    text("order_id", ForeignKey("order_.id"), index=True),
    text("attempt_id", ForeignKey("payment_attempt.id")),
    text("channel"),
    text("channel_ref"),
    text("state"),
    integer("amount_minor"),
    text("currency"),
    text("reason", nullable=True),
    integer("evidence_due_at_us", nullable=True),
    integer("fee_minor", nullable=True),
    text("fee_currency", nullable=True),
    integer("held_minor"),
    integer("deducted_minor"),
    integer("excess_minor"),
    text("reservation", nullable=True),
    text("warned"),
    text("answer", nullable=True),  # EVIDENCE, ACCEPT
    text("answer_state", nullable=True),
    text("answer_evidence", nullable=True),  # for as long as it may have to be sent again
    text("answer_code", nullable=True),
    integer("answers"),
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("channel", "channel_ref"),
)
Index("ix_dispute_created", dispute.c.created_at_us, dispute.c.id)
dispute_fact = Table(
    "dispute_fact",
    metadata,
    Column("id", Serial, primary_key=True),
    text("channel"),
    text("key"),
    text("source"),
    text("dispute_id", ForeignKey("dispute.id"), index=True),
    text("channel_ref"),
    text("state"),
    integer("amount_minor"),
    text("currency"),
    text("reason", nullable=True),
    integer("evidence_due_at_us", nullable=True),
    integer("fee_minor", nullable=True),
    text("fee_currency", nullable=True),
    integer("provider_at_us", nullable=True),
    integer("observed_at_us"),
    UniqueConstraint("channel", "key"),
)


class Disputes:
    """`tx.disputes`: they change under their order's lock alone."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def insert(self, new: Dispute) -> bool:
        """False: the channel's dispute of this reference is there already."""
        return await self._rx.one(_INSERT, str, **_columns(new)) is not None

    async def by_id(self, dispute_id: str) -> Dispute | None:
        return await self._rx.one(_BY_ID, dispute_of, dispute_id=dispute_id)

    async def by_ref(self, channel: str, channel_ref: str) -> Dispute | None:
        return await self._rx.one(_BY_REF, dispute_of, channel_=channel, channel_ref_=channel_ref)

    async def of_order(self, order_id: str) -> list[Dispute]:
        """All disputes of an order, the first first."""
        return await self._rx.many(_OF_ORDER, dispute_of, order_id=order_id)

    async def open_of(self, order_id: str) -> Dispute | None:
        """The order's first open dispute: while there is one, its money is not refunded."""
        return next((one for one in await self.of_order(order_id) if one.is_open), None)

    async def open_ends(self, kinds: Sequence[str]) -> list[OpenEnd]:
        """All whose answer nobody has taken or refused yet, by their answers' keys, and whether a Task of these kinds
        sees to each."""
        return await self._rx.many(_ANSWERING, open_end_of, kinds=list(kinds))

    async def update(self, changed: Dispute) -> Dispute:
        """Store a new state under the next version, which is returned."""
        columns = _columns(changed)
        mutable = {name: columns[name] for name in _MUTABLE}
        await self._rx.changed(_UPDATE, dispute_id=changed.id, held_version=changed.version, **mutable)
        return replace(changed, version=changed.version + 1)

    async def add_fact(self, dispute_id: str, fact: DisputeFact) -> bool:
        """Keep a fact for ever; False: the very same was told before."""
        word = fact.word
        row = await self._rx.one(
            _ADD_FACT, int, channel=fact.channel, key=fact.key, source=fact.source, dispute_id=dispute_id,
            channel_ref=word.channel_ref, state=word.state, amount_minor=word.amount.amount_minor,
            currency=word.amount.currency, reason=word.reason, evidence_due_at_us=word.evidence_due_at_us,
            **_fee(word.fee), provider_at_us=fact.provider_at_us, observed_at_us=fact.observed_at_us,
        )  # fmt: skip
        return row is not None

    async def facts_of(self, dispute_ids: Sequence[str]) -> list[tuple[str, DisputeFact]]:
        """(dispute, fact) of many disputes, as they were heard."""
        return await self._rx.many(_FACTS, _fact_of, dispute_ids=list(dispute_ids))

    async def of_orders(self, order_ids: Sequence[str]) -> list[Dispute]:
        """The disputes of many orders, for who looks at all of them."""
        return await self._rx.many(_OF_ORDERS, dispute_of, order_ids=list(order_ids))


def dispute_of(
    id_: str, order_id: str, attempt_id: str, channel: str, channel_ref: str, state: str, amount_minor: int,
    currency: str, reason: str | None, evidence_due_at_us: int | None, fee_minor: int | None, fee_currency: str | None,
    held_minor: int, deducted_minor: int, excess_minor: int, reservation: str | None, warned: str,
    answer: str | None, answer_state: str | None, answer_evidence: str | None, answer_code: str | None, answers: int,
    version: int, created_at_us: int,
) -> Dispute:  # fmt: skip
    """The domain's Dispute from a row, in the order of the table's columns."""
    return Dispute(
        id=id_, order_id=order_id, attempt_id=attempt_id, channel=channel, channel_ref=channel_ref,
        state=DisputeState(state), amount=Money(amount_minor, currency), reason=reason,
        evidence_due_at_us=evidence_due_at_us, fee=_money(fee_minor, fee_currency), held_minor=held_minor,
        deducted_minor=deducted_minor, excess_minor=excess_minor, reservation=reservation, warned=Warned(warned),
        answer=None if answer is None or answer_state is None else DisputeAnswer(
            AnswerKind(answer), AnswerState(answer_state), answer_evidence, answer_code
        ),
        answers=answers, version=version, created_at_us=created_at_us,
    )  # fmt: skip


def _fact_of(
    dispute_id: str, channel: str, key: str, source: str, channel_ref: str, state: str, amount_minor: int,
    currency: str, reason: str | None, evidence_due_at_us: int | None, fee_minor: int | None, fee_currency: str | None,
    provider_at_us: int | None, observed_at_us: int,
) -> tuple[str, DisputeFact]:  # fmt: skip
    word = DisputeWord(
        channel_ref, DisputeState(state), Money(amount_minor, currency), reason, evidence_due_at_us,
        _money(fee_minor, fee_currency),
    )  # fmt: skip
    return dispute_id, DisputeFact(channel, key, Source(source), word, provider_at_us, observed_at_us)


def _money(amount_minor: int | None, currency: str | None) -> Money | None:
    return None if amount_minor is None or currency is None else Money(amount_minor, currency)


def _fee(fee: Money | None) -> dict[str, Any]:
    return {
        "fee_minor": None if fee is None else fee.amount_minor,
        "fee_currency": None if fee is None else fee.currency,
    }


def _columns(made: Dispute) -> dict[str, Any]:
    columns = {name: getattr(made, name) for name in _PLAIN}
    money = {"amount_minor": made.amount.amount_minor, "currency": made.amount.currency}
    return columns | money | _fee(made.fee) | _answer(made.answer)


def _answer(given: DisputeAnswer | None) -> dict[str, Any]:
    if given is None:
        return dict.fromkeys(_ANSWER)
    return dict(zip(_ANSWER, (given.kind, given.state, given.evidence, given.code), strict=True))


_c = dispute.c
_MONEY = ("amount_minor", "currency", "fee_minor", "fee_currency")
_ANSWER = ("answer", "answer_state", "answer_evidence", "answer_code")
_PLAIN = [c.name for c in _c if c.name not in (*_MONEY, *_ANSWER)]
_MUTABLE = (
    "state", "reason", "evidence_due_at_us", "held_minor", "deducted_minor", "excess_minor", "reservation", "warned",
    "answers", *_MONEY, *_ANSWER,
)  # fmt: skip
_INSERT = inserted(dispute).on_conflict_do_nothing().returning(_c.id)
_BY_ID = select(dispute).where(_c.id == bindparam("dispute_id"))
_BY_REF = select(dispute).where((_c.channel == bindparam("channel_")) & (_c.channel_ref == bindparam("channel_ref_")))
_OF_ORDER = select(dispute).where(_c.order_id == bindparam("order_id")).order_by(_c.created_at_us, _c.id)
_answer_key = _c.id + literal_column("'-'") + cast(_c.answers, Text)
_ANSWERING = (
    with_task(_answer_key, _c.answer_state, _answer_key)
    .where(_c.answer_state == literal_column(f"'{AnswerState.SUBMITTED}'"))
    .order_by(_c.id)
)
_OF_ORDERS = select(dispute).where(is_one_of(_c.order_id, "order_ids")).order_by(_c.created_at_us, _c.id)
_UPDATE = (
    update(dispute)
    .where((_c.id == bindparam("dispute_id")) & (_c.version == bindparam("held_version")))
    .values(
        {
            **{name: bindparam(name, type_=_c[name].type) for name in _MUTABLE},
            "version": _c.version + literal_column("1"),
        }
    )
)
_f = dispute_fact.c
_ADD_FACT = inserted(dispute_fact).on_conflict_do_nothing().returning(_f.id)
_FACTS = (
    select(_f.dispute_id, _f.channel, _f.key, _f.source, _f.channel_ref, _f.state, _f.amount_minor, _f.currency,
           _f.reason, _f.evidence_due_at_us, _f.fee_minor, _f.fee_currency, _f.provider_at_us, _f.observed_at_us)
    .where(is_one_of(_f.dispute_id, "dispute_ids"))
    .order_by(_f.id)
)  # fmt: skip
