"""Leased, retryable work with external effects. A lease is only a delay: correctness hangs on the fence (attempts)."""

from sqlalchemy import Column, Index, Table, UniqueConstraint

from hub.store.metadata import Serial, integer, metadata, text

task = Table(
    "task",
    metadata,
    Column("id", Serial, primary_key=True),
    text("kind"),
    text("key"),
    text("body"),
    integer("attempts"),
    integer("run_at_us", nullable=True),
    integer("lease_until_us", nullable=True),
    text("owner", nullable=True),
    text("last_error", nullable=True),
    UniqueConstraint("kind", "key"),
)
Index("ix_task_due", task.c.run_at_us)
dead_task = Table(
    "dead_task",
    metadata,
    Column("id", Serial, primary_key=True),
    text("kind"),
    text("key"),
    text("body"),
    integer("attempts"),
    text("last_error", nullable=True),
    integer("died_at_us"),
)
