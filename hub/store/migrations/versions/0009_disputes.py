"""Disputes, what channels said of them, and the causes for which a right is held back or ended.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_disputes"
down_revision = "0008_refunds"
branch_labels = None
depends_on = None

EMPTY = sa.text("''")


def upgrade() -> None:
    op.add_column("grant_", text("suspended_by", server_default=EMPTY))
    op.add_column("grant_", text("revoked_by", server_default=EMPTY))
    # Until now nobody but staff could end a right.
    op.execute("UPDATE grant_ SET revoked_by = 'staff' WHERE state = 'REVOKED'")
    op.create_table(
        "dispute",
        text("id"),
        text("order_id"),
        text("attempt_id"),
        text("channel"),
        text("channel_ref"),
        text("state"),
        integer("amount_minor"),
        text("currency"),
        text("reason", nullable=True),
        integer("evidence_due_at_us", nullable=True),
        integer("fee_minor", nullable=True),
        text("fee_currency", nullable=True),
        integer("held_minor"),
        integer("deducted_minor"),
        integer("excess_minor"),
        text("reservation", nullable=True),
        text("warned"),
        text("answer", nullable=True),
        text("answer_state", nullable=True),
        text("answer_evidence", nullable=True),
        text("answer_code", nullable=True),
        integer("answers"),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["order_id"], ["order_.id"], name="fk_dispute_order_id"),
        sa.ForeignKeyConstraint(["attempt_id"], ["payment_attempt.id"], name="fk_dispute_attempt_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dispute"),
        sa.UniqueConstraint("channel", "channel_ref", name="uq_dispute_channel_channel_ref"),
    )
    op.create_index("ix_dispute_order_id", "dispute", ["order_id"])
    op.create_index("ix_dispute_created", "dispute", ["created_at_us", "id"])
    op.create_table(
        "dispute_fact",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        text("channel"),
        text("key"),
        text("source"),
        text("dispute_id"),
        text("channel_ref"),
        text("state"),
        integer("amount_minor"),
        text("currency"),
        text("reason", nullable=True),
        integer("evidence_due_at_us", nullable=True),
        integer("fee_minor", nullable=True),
        text("fee_currency", nullable=True),
        integer("provider_at_us", nullable=True),
        integer("observed_at_us"),
        sa.ForeignKeyConstraint(["dispute_id"], ["dispute.id"], name="fk_dispute_fact_dispute_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dispute_fact"),
        sa.UniqueConstraint("channel", "key", name="uq_dispute_fact_channel_key"),
    )
    op.create_index("ix_dispute_fact_dispute_id", "dispute_fact", ["dispute_id"])


def text(name: str, *, nullable: bool = False, server_default: sa.TextClause | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, server_default=server_default)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
