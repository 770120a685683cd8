"""The audit log: a table that only grows, and the repository that adds to it."""

from typing import TYPE_CHECKING

from sqlalchemy import Index, Table

from hub.domain.audit import AuditEntry
from hub.store.frozen import freeze
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

audit_entry = Table(
    "audit_entry",
    metadata,
    text("id", primary_key=True),
    text("actor_kind"),
    text("actor"),
    text("platform_id", nullable=True),
    text("action"),
    text("subject_id", index=True),
    text("detail"),  # JSON
    integer("created_at_us"),
)
Index("ix_audit_entry_time", audit_entry.c.created_at_us, audit_entry.c.id)
freeze(audit_entry)


class Audit:
    """`tx.audit`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def add(self, new: AuditEntry) -> None:
        await self._rx.changed(_ADD, **{name: getattr(new, name) for name in _ENTRY})


_ENTRY = tuple(c.name for c in audit_entry.c)
_ADD = inserted(audit_entry)
