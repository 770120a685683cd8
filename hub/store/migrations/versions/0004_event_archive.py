"""The archive: where events go that every reader has seen and that are older than the log keeps.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004_event_archive"
down_revision = "0003_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_archive",
        integer("position"),
        text("id"),
        text("stream"),
        text("subject"),
        integer("subject_version"),
        text("kind"),
        text("body"),
        text("from_state", nullable=True),
        text("to_state", nullable=True),
        text("cause", nullable=True),
        integer("occurred_at_us"),
        sa.PrimaryKeyConstraint("position", name="pk_event_archive"),
    )


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)
