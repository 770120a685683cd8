"""Breaks: the table, and the repository that opens each difference once."""

from typing import TYPE_CHECKING

from sqlalchemy import Index, Table, literal_column, select

from hub.domain.reconciliation import Break, BreakKind, BreakState
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

break_ = Table(
    "break_",
    metadata,
    text("id", primary_key=True),
    text("kind"),
    text("subject_id"),
    text("order_id", nullable=True, index=True),
    text("state"),
    text("detail"),
    integer("created_at_us"),
)
Index(
    "one_open_break",
    break_.c.subject_id,
    break_.c.kind,
    unique=True,
    sqlite_where=break_.c.state == "OPEN",
    postgresql_where=break_.c.state == "OPEN",
)


class Breaks:
    """`tx.breaks`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def open(self, new: Break) -> bool:
        """False: this subject has an open Break of this kind, and it stays as it is."""
        return await self._rx.one(_OPEN, str, **{name: getattr(new, name) for name in _BREAK}) is not None

    async def listed(self) -> list[Break]:
        """All open ones, oldest first."""
        return await self._rx.many(_LISTED, break_of)


def break_of(
    id_: str, kind: str, subject_id: str, order_id: str | None, state: str, detail: str, created_at_us: int
) -> Break:
    return Break(id_, BreakKind(kind), subject_id, order_id, BreakState(state), detail, created_at_us)


_BREAK = tuple(c.name for c in break_.c)
_OPEN = inserted(break_).on_conflict_do_nothing().returning(break_.c.id)
_LISTED = select(break_).where(break_.c.state == literal_column("'OPEN'")).order_by(break_.c.created_at_us, break_.c.id)
