"""Platforms, merchants, courses and listings: tables and the repository of what is sold."""

from sqlalchemy import ForeignKey, Index, Table, UniqueConstraint

from hub.store.metadata import integer, metadata, text

platform = Table(
    "platform",
    metadata,
    text("id", primary_key=True),
    text("slug", unique=True),
    text("name"),
    text("currency"),
    integer("created_at_us"),
)
share_agreement = Table(
    "share_agreement",
    metadata,
    text("id", primary_key=True),
    text("merchant_id"),
    integer("version"),
    text("shares"),  # JSON: [[payee or null, bps], …] in party order
    integer("created_at_us"),
    UniqueConstraint("merchant_id", "version"),
)
merchant = Table(
    "merchant",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id"), unique=True),
    text("name"),
    text("state"),
    text("agreement_id", ForeignKey("share_agreement.id")),
    integer("created_at_us"),
)
course = Table(
    "course",
    metadata,
    text("id", primary_key=True),
    text("kind"),
    text("title"),
    text("title_folded"),  # casefolded, for search
    text("summary"),
    text("institution"),
    text("subject"),
    text("level"),
    text("language"),
    integer("version"),
    integer("created_at_us"),
)
Index("ix_course_title_folded", course.c.title_folded, course.c.id)
listing = Table(
    "listing",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id")),
    text("course_id", ForeignKey("course.id"), index=True),
    text("merchant_id", ForeignKey("merchant.id")),
    text("external_id"),
    text("title"),
    text("url"),
    integer("price_minor", nullable=True),  # NULL: unknown
    text("currency", nullable=True),
    text("price_text"),
    integer("is_honoured"),
    text("state"),
    text("digest"),  # of what the source said, so that importing the same again changes nothing
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("platform_id", "external_id"),
)
