"""Refunds, what channels said of them, and what merchants want done with late money: tables and repository."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)

from hub.domain.money import Money
from hub.domain.payments import PaymentAttempt, Source
from hub.domain.refunds import OPEN, LateMoney, Refund, Refundable, RefundFact, RefundFactKind, RefundState
from hub.store.catalogue import merchant
from hub.store.facts import Heard, fact_table, keep_fact
from hub.store.metadata import Serial, inserted, integer, is_one_of, metadata, text
from hub.store.payments import attempt_of, channel_fact, payment_attempt
from hub.store.tasks import OpenEnd, open_end_of, with_task

if TYPE_CHECKING:
    from hub.store.transactions import Rx

refund = Table(
    "refund",
    metadata,
    text("id", primary_key=True),
    text("order_id", ForeignKey("order_.id"), index=True),
    text("attempt_id", ForeignKey("payment_attempt.id")),
    integer("number"),
    text("key", unique=True),  # what the channel knows it by; never used twice
    integer("amount_minor"),
    text("currency"),
    text("state"),
    text("reason", nullable=True),
    text("requested_by"),
    text("request_key", nullable=True),
    integer("calls"),
    integer("sent_at_us", nullable=True),
    integer("heard_rank"),
    integer("heard_at_us", nullable=True),
    text("heard_key"),
    text("channel_ref", nullable=True),
    text("code", nullable=True),
    integer("unknown_since_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
    integer("excess_minor", server_default="0"),
    integer("is_surplus", server_default="0"),
    UniqueConstraint("attempt_id", "number"),
)
refund_fact = Table(
    "refund_fact",
    metadata,
    Column("id", Serial, primary_key=True),
    text("channel"),
    text("key"),
    text("source"),
    text("refund_id", ForeignKey("refund.id"), index=True),
    text("kind"),
    integer("amount_minor", nullable=True),
    text("currency", nullable=True),
    integer("provider_at_us", nullable=True),
    integer("observed_at_us"),
    integer("call"),
    text("contradiction", nullable=True),  # another content under the same key, as first heard
    UniqueConstraint("channel", "key"),
)
foreign_refund = Table(
    "foreign_refund",
    metadata,
    text("channel", primary_key=True),
    text("reference", primary_key=True),  # the channel's own, or what somebody else gave it
    text("attempt_id", ForeignKey("payment_attempt.id")),
    integer("amount_minor", nullable=True),
    text("currency", nullable=True),
    integer("heard_at_us"),
)
merchant_policy = Table(
    "merchant_policy",
    metadata,
    text("merchant_id", ForeignKey("merchant.id"), primary_key=True),
    text("late_money"),  # REFUND, REOPEN
    integer("updated_at_us"),
)


class Refunds:
    """`tx.refunds`: refunds change under their order's lock alone."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def insert(self, new: Refund) -> None:
        """A number of its attempt that is there already is a fault: numbers are given under the order's lock."""
        await self._rx.changed(_INSERT, **_columns(new))

    async def by_id(self, refund_id: str) -> Refund | None:
        return await self._rx.one(_BY_ID, refund_of, refund_id=refund_id)

    async def by_key(self, channel: str, key: str) -> Refund | None:
        """The refund that a channel knows by this key."""
        return await self._rx.one(_BY_KEY, refund_of, channel_=channel, key_=key)

    async def of_order(self, order_id: str) -> list[Refund]:
        """All refunds of an order, first to last."""
        return await self._rx.many(_OF_ORDER, refund_of, order_id=order_id)

    async def open_ends(self, kinds: Sequence[str]) -> list[OpenEnd]:
        """All that may still give money back, by their keys, and whether a Task of these kinds sees to each."""
        return await self._rx.many(_OPEN, open_end_of, kinds=list(kinds))

    async def with_attempt(self, refund_id: str) -> tuple[Refund, PaymentAttempt] | None:
        """A refund and the charge that it gives back, as an adapter takes them."""
        return await self._rx.one(_WITH_ATTEMPT, _refund_and_attempt, refund_id=refund_id)

    async def update(self, changed: Refund) -> Refund:
        """Store a new state under the next version, which is returned."""
        columns = _columns(changed)
        mutable = {name: columns[name] for name in _MUTABLE}
        await self._rx.changed(_UPDATE, refund_id=changed.id, held_version=changed.version, **mutable)
        return replace(changed, version=changed.version + 1)

    async def charges(self, order_id: str) -> list[Refundable]:
        """What each attempt of an order really took, per currency, and what of it went back: first to last."""
        return [charge for _, charge in await self._rx.many(_CHARGES, _refundable, order_id=order_id)]

    async def charges_of(self, order_ids: Sequence[str]) -> list[tuple[str, Refundable]]:
        """(order, charge) of many orders, likewise."""
        return await self._rx.many(_CHARGES_OF, _refundable, order_ids=list(order_ids))

    async def add_fact(self, refund_id: str, fact: RefundFact) -> Heard:
        """As `keep_fact`."""
        return await keep_fact(self._rx, _FACT, refund_id, fact)

    async def facts_of(self, refund_ids: Sequence[str]) -> list[tuple[str, RefundFact]]:
        """(refund, fact) of many refunds, for rebuilding their states."""
        return await self._rx.many(_FACTS, _fact_of, refund_ids=list(refund_ids))

    async def add_foreign(
        self, channel: str, reference: str, attempt_id: str, amount: Money | None, now_us: int
    ) -> bool:
        """A refund that nobody here has asked for; False: it was told before."""
        minor, currency = (None, None) if amount is None else (amount.amount_minor, amount.currency)
        row = await self._rx.one(
            _ADD_FOREIGN, str, channel=channel, reference=reference, attempt_id=attempt_id, amount_minor=minor,
            currency=currency, heard_at_us=now_us,
        )  # fmt: skip
        return row is not None

    async def page(self, after_id: str, limit: int) -> list[Refund]:
        """Refunds in the order of their ids, for whoever looks at all of them."""
        return await self._rx.many(_PAGE, refund_of, after_id=after_id, most=limit)

    async def seller_of(self, merchant_id: str) -> str | None:
        """The platform on which a merchant sells; None: there is no such merchant."""
        return await self._rx.one(_SELLER_OF, str, merchant_id_=merchant_id)

    async def late_money(self, merchant_id: str) -> LateMoney:
        """What a merchant wants done with money for a closed order; it goes back where nothing was said."""
        return await self._rx.one(_LATE_MONEY, LateMoney, merchant_id_=merchant_id) or LateMoney.REFUND

    async def set_late_money(self, merchant_id: str, wish: LateMoney, now_us: int) -> None:
        await self._rx.run(_SET_LATE_MONEY, merchant_id=merchant_id, late_money=wish, updated_at_us=now_us)


def refund_of(
    id_: str, order_id: str, attempt_id: str, number: int, key: str, amount_minor: int, currency: str, state: str,
    reason: str | None, requested_by: str, request_key: str | None, calls: int, sent_at_us: int | None,
    heard_rank: int, heard_at_us: int | None, heard_key: str, channel_ref: str | None, code: str | None,
    unknown_since_us: int | None, version: int, created_at_us: int, excess_minor: int, is_surplus: int,
) -> Refund:  # fmt: skip
    """The domain's Refund from a row, in the order of the table's columns."""
    return Refund(
        id=id_, order_id=order_id, attempt_id=attempt_id, number=number, key=key, amount=Money(amount_minor, currency),
        state=RefundState(state), reason=reason, requested_by=requested_by, request_key=request_key, calls=calls,
        sent_at_us=sent_at_us, heard_rank=heard_rank, heard_at_us=heard_at_us, heard_key=heard_key,
        channel_ref=channel_ref, code=code, unknown_since_us=unknown_since_us, version=version,
        created_at_us=created_at_us, excess_minor=excess_minor, is_surplus=bool(is_surplus),
    )  # fmt: skip


def _columns(one: Refund) -> dict[str, Any]:
    columns = {name: getattr(one, name) for name in _PLAIN}
    columns["is_surplus"] = int(one.is_surplus)
    return columns | {"amount_minor": one.amount.amount_minor, "currency": one.amount.currency}


def _refund_and_attempt(*columns: Any) -> tuple[Refund, PaymentAttempt]:
    width = len(refund.c)
    return refund_of(*columns[:width]), attempt_of(*columns[width:])


def _refundable(
    order_id: str, attempt_id: str, key: str, channel: str, currency: str, captured: int, refunded: int, reserved: int,
    refunds: int,
) -> tuple[str, Refundable]:  # fmt: skip
    return order_id, Refundable(attempt_id, key, channel, Money(captured, currency), refunded, reserved, refunds)


def _fact_of(
    refund_id: str, channel: str, key: str, source: str, kind: str, amount_minor: int | None, currency: str | None,
    provider_at_us: int | None, observed_at_us: int, call: int,
) -> tuple[str, RefundFact]:  # fmt: skip
    amount = None if amount_minor is None or currency is None else Money(amount_minor, currency)
    kind_ = RefundFactKind(kind)
    return refund_id, RefundFact(channel, key, Source(source), kind_, observed_at_us, amount, provider_at_us, call)


_c, _a, _f = refund.c, payment_attempt.c, refund_fact.c
_PLAIN = [c.name for c in _c if c.name not in ("amount_minor", "currency")]
_MUTABLE = (
    "state", "calls", "sent_at_us", "heard_rank", "heard_at_us", "heard_key", "channel_ref", "code",
    "unknown_since_us", "excess_minor",
)  # fmt: skip
_INSERT = inserted(refund)
_BY_ID = select(refund).where(_c.id == bindparam("refund_id"))
_with_its_attempt = select(refund).join_from(refund, payment_attempt, _a.id == _c.attempt_id)
_BY_KEY = _with_its_attempt.where((_a.channel == bindparam("channel_")) & (_c.key == bindparam("key_")))
_OF_ORDER = select(refund).where(_c.order_id == bindparam("order_id")).order_by(_c.created_at_us, _c.id)
_OPEN = (
    with_task(_c.key, _c.state, _c.id)
    .where(_c.state.in_([literal_column(f"'{state}'") for state in sorted(OPEN)]))
    .order_by(_c.id)
)
_WITH_ATTEMPT = (
    select(*_c, *_a).join_from(refund, payment_attempt, _a.id == _c.attempt_id).where(_c.id == bindparam("refund_id"))
)
_UPDATE = (
    update(refund)
    .where((_c.id == bindparam("refund_id")) & (_c.version == bindparam("held_version")))
    .values(
        {
            **{name: bindparam(name, type_=_c[name].type) for name in _MUTABLE},
            "version": _c.version + literal_column("1"),
        }
    )
)
_took = channel_fact.c


def _of_attempt(what: Any, *conditions: Any) -> Any:
    """A figure over the refunds of the attempt that the statement stands at."""
    return (
        select(cast(what, BigInteger))
        .where(and_(_c.attempt_id == _a.id, *conditions))
        .correlate(payment_attempt, channel_fact)
        .scalar_subquery()
    )


def _summed(*states: str) -> Any:
    is_so = _c.state.in_([literal_column(f"'{state}'") for state in states])
    return _of_attempt(
        func.coalesce(func.sum(_c.amount_minor), literal_column("0")), is_so, _c.currency == _took.currency
    )


_charged = (
    select(
        _a.order_id, _a.id, _a.key, _a.channel, _took.currency, cast(func.sum(_took.amount_minor), BigInteger),
        _summed("SUCCEEDED"), _summed(*sorted(OPEN)),
        _of_attempt(func.count(_c.id)),  # through all currencies: refunds of an attempt are numbered so
    )
    .join_from(payment_attempt, channel_fact, _took.attempt_id == _a.id)
    .where((_took.kind == literal_column("'CAPTURED'")) & (_took.amount_minor > literal_column("0")))
    .group_by(_a.order_id, _a.id, _a.key, _a.channel, _a.number, _took.currency)
    .order_by(_a.order_id, _a.number, _took.currency)
)  # fmt: skip
_CHARGES = _charged.where(_a.order_id == bindparam("order_id"))
_CHARGES_OF = _charged.where(is_one_of(_a.order_id, "order_ids"))
_FACT = fact_table(refund_fact, _f.refund_id)
_, _ADD_FACT, _KNOWN, _DATE, _CONTRADICT = _FACT
_ADD_FOREIGN = inserted(foreign_refund).on_conflict_do_nothing().returning(foreign_refund.c.reference)
_FACTS = (
    select(_f.refund_id, _f.channel, _f.key, _f.source, _f.kind, _f.amount_minor, _f.currency, _f.provider_at_us,
           _f.observed_at_us, _f.call)
    .where(is_one_of(_f.refund_id, "refund_ids"))
    .order_by(_f.id)
)  # fmt: skip
_PAGE = select(refund).where(_c.id > bindparam("after_id")).order_by(_c.id).limit(bindparam("most", type_=BigInteger()))
_SELLER_OF = select(merchant.c.platform_id).where(merchant.c.id == bindparam("merchant_id_"))
_LATE_MONEY = select(merchant_policy.c.late_money).where(merchant_policy.c.merchant_id == bindparam("merchant_id_"))
_set = inserted(merchant_policy)
_SET_LATE_MONEY = _set.on_conflict_do_update(
    index_elements=[merchant_policy.c.merchant_id],
    set_={"late_money": _set.excluded.late_money, "updated_at_us": _set.excluded.updated_at_us},
)
