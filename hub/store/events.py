"""The append-only log: one row per stream and fact, in the commit of the change, with dense positions."""

from sqlalchemy import CheckConstraint, Column, Index, Table, UniqueConstraint

from hub.store.metadata import Serial, integer, metadata, text

event = Table(
    "event",
    metadata,
    Column("seq", Serial, primary_key=True),
    text("id", unique=True),
    integer("position", unique=True, nullable=True),  # NULL until stamped (PostgreSQL)
    text("stream"),
    text("subject"),
    integer("subject_version"),
    text("kind"),
    text("body"),
    text("from_state", nullable=True),  # on the `hub` stream: the history of every machine
    text("to_state", nullable=True),
    text("cause", nullable=True),
    integer("occurred_at_us"),
    UniqueConstraint("stream", "subject", "subject_version", "kind"),
)
Index("event_stream", event.c.stream, event.c.position)
Index("event_unstamped", event.c.seq, sqlite_where=event.c.position.is_(None),
      postgresql_where=event.c.position.is_(None))  # fmt: skip
log_head = Table(
    "log_head",
    metadata,
    integer("one", CheckConstraint("one = 1", name="single"), primary_key=True),
    integer("position"),
    integer("oldest"),
)
consumer = Table(
    "consumer",
    metadata,
    text("name", primary_key=True),
    text("stream", primary_key=True),
    integer("position"),
)
