"""Breaks: the table, and the repository that opens each difference once."""

from sqlalchemy import Index, Table

from hub.store.metadata import integer, metadata, text

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
