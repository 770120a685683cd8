"""Orders as they are read: a learner's own, a platform's of its own listings, everything for an operator."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, case, false, literal_column, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.money import Money
from hub.domain.people import ViewerKind
from hub.store.anchors import leaf
from hub.store.metadata import is_one_of
from hub.store.orders import order
from hub.store.reads.plans import Noun, Sorting, ToMany, ToOne, known


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order with its payment intent, which lives in it."""

    id: str
    number: str
    user_id: str
    platform_id: str
    listing_id: str
    course_id: str
    total_minor: int
    currency: str
    status: str
    charge_status: str
    fulfilment_status: str
    chain_status: str
    intent_id: str | None
    intent_status: str | None
    attempts: int
    received_minor: int
    refunded_minor: int
    refund_reserved_minor: int
    deadline_us: int
    paid_at_us: int | None
    closed_at_us: int | None
    version: int
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """The buyer sees it, and the platform whose listing was bought; an honouring platform does not."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.USER:
        return alias.c.user_id == bindparam("viewer_user")
    if kind is ViewerKind.PLATFORM:
        return alias.c.platform_id == bindparam("viewer_platform")
    return false()


def last_leaf(row: FromClause, column: str) -> ColumnElement[Any]:
    """Of the leaf that stands for an order: the one with a right, else the newest that no other supersedes."""
    its = leaf.alias()
    has_right = case((its.c.token_id != literal_column("'0'"), literal_column("1")), else_=literal_column("0"))
    return (
        select(its.c[column])
        .where(
            (its.c.order_id == row.c.id) & (its.c.is_superseded == literal_column("0")) & its.c.owner_id.is_(None)
        )
        .order_by(has_right.desc(), its.c.generation.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )


def _child(column: str) -> Any:
    return lambda row, child: row.c[column] == child.c.id


known(
    Noun(
        "order",
        order,
        OrderRow,
        visible,
        ones={
            "listing": ToOne("listing", _child("listing_id")),
            "course": ToOne("course", _child("course_id")),
            "platform": ToOne("platform", _child("platform_id")),
            "buyer": ToOne("user", _child("user_id")),
            "entitlement": ToOne(
                "entitlement",
                lambda row, right: (right.c.user_id == row.c.user_id) & (right.c.course_id == row.c.course_id),
            ),
            "anchor_batch": ToOne("anchor_batch", lambda row, batch: batch.c.id == last_leaf(row, "batch_id")),
            "proof": ToOne("proof", lambda row, its: its.c.id == last_leaf(row, "id")),
            "receipt": ToOne("receipt", lambda row, its: its.c.id == last_leaf(row, "id")),
        },
        manys={
            "attempts": ToMany(
                "payment_attempt", "order_id", lambda row: row.id, Sorting(("number", "id"), is_descending=False)
            ),
            "refunds": ToMany("refund", "order_id", lambda row: row.id, Sorting(is_descending=False)),
            "disputes": ToMany("dispute", "order_id", lambda row: row.id, Sorting(is_descending=False)),
        },
        needs={"unknown_since": "attempts", "dispute_status": "disputes"},
        through=frozenset({"payment_intent"}),
        filters={
            "status": lambda alias, _kind: is_one_of(alias.c.status, "status"),
            "number": lambda alias, _kind: alias.c.number == bindparam("number"),
        },
    )
)
