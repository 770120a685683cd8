"""Entitlements, their grants, and what platforms' access lists say: tables and repository."""

from sqlalchemy import ForeignKey, Index, Table, UniqueConstraint

from hub.domain.entitlements import LIVE_GRANTS
from hub.store.metadata import integer, metadata, text

entitlement = Table(
    "entitlement",
    metadata,
    text("id", primary_key=True),
    text("user_id", ForeignKey("user_.id")),
    text("course_id", ForeignKey("course.id"), index=True),
    text("state"),
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("user_id", "course_id"),
)
grant = Table(
    "grant_",
    metadata,
    text("id", primary_key=True),
    text("entitlement_id", ForeignKey("entitlement.id"), index=True),
    text("source"),
    text("source_ref"),  # '' where there is none: SQLite takes NULLs for distinct
    text("state"),
    integer("starts_at_us"),
    integer("ends_at_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
)
_is_live = grant.c.state.in_(sorted(LIVE_GRANTS))
Index(
    "one_live_grant",
    grant.c.entitlement_id,
    grant.c.source,
    grant.c.source_ref,
    unique=True,
    sqlite_where=_is_live,
    postgresql_where=_is_live,
)
platform_access = Table(
    "platform_access",
    metadata,
    text("entitlement_id", ForeignKey("entitlement.id"), primary_key=True),
    text("platform_id", ForeignKey("platform.id"), primary_key=True),
    text("state"),  # PENDING, OPEN, UNVERIFIED, UNSUPPORTED, REFUSED, CLOSED
    text("detail"),
    integer("version"),
    integer("updated_at_us"),
)
