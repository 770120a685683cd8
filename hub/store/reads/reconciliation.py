"""Breaks as they are read: by operators."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, false, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.reads.plans import Noun, ToOne, known
from hub.store.reconciliation import break_


@dataclass(frozen=True, slots=True)
class BreakRow:
    id: str
    kind: str
    subject_id: str
    order_id: str | None
    state: str
    detail: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible(_alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """The books are the operator's."""
    return true() if kind is ViewerKind.OPERATOR else false()


known(
    Noun(
        "break",
        break_,
        BreakRow,
        visible,
        ones={"order": ToOne("order", lambda row, order: row.c.order_id == order.c.id)},
        filters={"state": lambda alias, _kind: alias.c.state == bindparam("state")},
    )
)
