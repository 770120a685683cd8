"""The audit log as it is read: by operators."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, false, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.audit import audit_entry
from hub.store.metadata import is_one_of
from hub.store.reads.plans import Noun, ToOne, known


@dataclass(frozen=True, slots=True)
class AuditEntryRow:
    id: str
    actor_kind: str
    actor: str
    platform_id: str | None
    action: str
    subject_id: str
    detail: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible(_alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """Who of the staff did what is the staff's own business."""
    return true() if kind is ViewerKind.OPERATOR else false()


known(
    Noun(
        "audit_entry",
        audit_entry,
        AuditEntryRow,
        visible,
        ones={"platform": ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id)},
        filters={
            "actions": lambda alias, _kind: is_one_of(alias.c.action, "actions"),
            "actors": lambda alias, _kind: is_one_of(alias.c.actor, "actors"),
            "subjects": lambda alias, _kind: is_one_of(alias.c.subject_id, "subjects"),
            "platform": lambda alias, _kind: alias.c.platform_id == bindparam("platform"),
        },
    )
)
