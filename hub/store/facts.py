"""What channels tell of payments and refunds, kept for ever: a row for each thing told, and what contradicts it."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, Table, bindparam, select, update
from sqlalchemy.sql import ClauseElement

from hub.domain.payments import Fact
from hub.domain.refunds import RefundFact
from hub.store.metadata import inserted

if TYPE_CHECKING:
    from hub.store.transactions import Rx


class Heard(Enum):
    """What a fact was to the store."""

    NEW = "NEW"
    SAME = "SAME"
    CONTRADICTED = "CONTRADICTED"


async def keep_fact(rx: "Rx", table: "FactTable", subject_id: str, fact: Fact | RefundFact) -> Heard:
    """Keep a fact for ever. The same again is SAME, the same key with another content CONTRADICTED."""
    amount, currency = (None, None) if fact.amount is None else (fact.amount.amount_minor, fact.amount.currency)
    fresh = await rx.one(
        table.add, int, channel=fact.channel, key=fact.key, source=fact.source, **{table.subject: subject_id},
        kind=fact.kind, amount_minor=amount, currency=currency, provider_at_us=fact.provider_at_us,
        observed_at_us=fact.observed_at_us, call=fact.call, contradiction=None,
    )  # fmt: skip
    if fresh is not None:
        return Heard.NEW
    known = await rx.one(table.known, KnownFact, channel_=fact.channel, key_=fact.key)
    assert known is not None
    if (known.subject_id, known.amount_minor, known.currency) != (subject_id, amount, currency):
        told = f"{fact.source}: {amount} {currency} for {subject_id}"
        await rx.run(table.contradict, channel_=fact.channel, key_=fact.key, told=told)
        return Heard.CONTRADICTED
    if fact.provider_at_us is not None and fact.provider_at_us > (known.provider_at_us or -1):
        await rx.run(table.date, channel_=fact.channel, key_=fact.key, at_us=fact.provider_at_us)
    return Heard.SAME


@dataclass(frozen=True, slots=True)
class KnownFact:
    """What was told first under a key. `subject_id`: of which attempt or refund."""

    subject_id: str
    amount_minor: int | None
    currency: str | None
    provider_at_us: int | None


class FactTable(NamedTuple):
    """The statements over one table of facts; `subject` is the column that says what they are about."""

    subject: str
    add: ClauseElement
    known: ClauseElement
    date: ClauseElement
    contradict: ClauseElement


def fact_table(table: Table, subject: Column[Any]) -> FactTable:
    """Made once, where the table is."""
    told = table.c
    by_key = (told.channel == bindparam("channel_")) & (told.key == bindparam("key_"))
    return FactTable(
        subject=subject.name,
        add=inserted(table).on_conflict_do_nothing().returning(told.id),
        known=select(subject, told.amount_minor, told.currency, told.provider_at_us).where(by_key),
        date=update(table).where(by_key).values(provider_at_us=bindparam("at_us")),
        contradict=update(table).where(by_key & told.contradiction.is_(None)).values(contradiction=bindparam("told")),
    )
