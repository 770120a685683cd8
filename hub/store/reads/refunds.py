"""Refunds as they are read: by the buyer whose money it is, the platform that sold, and operators."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, case, exists, false, literal_column, null, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain import checkout
from hub.domain.money import Money
from hub.domain.people import ViewerKind
from hub.domain.refunds import HUB
from hub.store.orders import order
from hub.store.payments import payment_attempt
from hub.store.reads.plans import Noun, ToOne, known
from hub.store.refunds import refund


@dataclass(frozen=True, slots=True)
class RefundRow:
    id: str
    order_id: str
    number: int
    amount_minor: int
    currency: str
    state: str
    reason: str | None
    requested_by: str
    sent_at_us: int | None
    channel_ref: str | None
    code: str | None
    unknown_since_us: int | None
    version: int
    created_at_us: int
    channel: str
    joined: dict[str, Any] = field(default_factory=dict)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def is_automatic(self) -> bool:
        return self.requested_by == HUB


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """The buyer sees where the money is, the seller what went back; an honouring platform sees neither."""
    if kind is ViewerKind.OPERATOR:
        return true()
    its = order.alias()
    if kind is ViewerKind.USER:
        return exists().where((its.c.id == alias.c.order_id) & (its.c.user_id == bindparam("viewer_user")))
    if kind is ViewerKind.PLATFORM:
        return exists().where((its.c.id == alias.c.order_id) & (its.c.platform_id == bindparam("viewer_platform")))
    return false()


def _channel(alias: FromClause, _kind: ViewerKind) -> ColumnElement[Any]:
    its = payment_attempt.alias()
    return select(its.c.channel).where(its.c.id == alias.c.attempt_id).scalar_subquery()


def _channel_ref(alias: FromClause, kind: ViewerKind) -> ColumnElement[Any]:
    """By that of a purchase on chain, which is public with its wallet, its seller would know the buyer's."""
    if kind is not ViewerKind.PLATFORM:
        return alias.c.channel_ref
    on_chain = _channel(alias, kind) == literal_column(f"'{checkout.CHANNEL}'")
    return case((on_chain, null()), else_=alias.c.channel_ref)


known(
    Noun(
        "refund",
        refund,
        RefundRow,
        visible,
        ones={"order": ToOne("order", lambda row, order: row.c.order_id == order.c.id)},
        computed={"channel": _channel, "channel_ref": _channel_ref},
    )
)
