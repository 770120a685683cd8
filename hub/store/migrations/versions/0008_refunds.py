"""Refunds, what channels said of them, what the books promise to give back, and what merchants want of late money.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008_refunds"
down_revision = "0007_routing"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    for name in ("refunded_minor", "refund_reserved_minor", "returned_minor"):
        op.add_column("order_", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    create_refunds()
    create_facts()
    create_reservations()
    op.create_table(
        "merchant_policy",
        text("merchant_id"),
        text("late_money"),
        integer("updated_at_us"),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_merchant_policy"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchant.id"], name="fk_merchant_policy_merchant_id"),
    )


def create_refunds() -> None:
    op.create_table(
        "refund",
        text("id"),
        text("order_id"),
        text("attempt_id"),
        integer("number"),
        text("key"),
        integer("amount_minor"),
        text("currency"),
        text("state"),
        text("reason", nullable=True),
        text("requested_by"),
        text("request_key", nullable=True),
        integer("calls"),
        integer("sent_at_us", nullable=True),
        integer("heard_rank"),
        integer("heard_at_us", nullable=True),
        text("heard_key"),
        text("channel_ref", nullable=True),
        text("code", nullable=True),
        integer("unknown_since_us", nullable=True),
        integer("version"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_refund"),
        sa.ForeignKeyConstraint(["order_id"], ["order_.id"], name="fk_refund_order_id"),
        sa.ForeignKeyConstraint(["attempt_id"], ["payment_attempt.id"], name="fk_refund_attempt_id"),
        sa.UniqueConstraint("key", name="uq_refund_key"),
        sa.UniqueConstraint("attempt_id", "number", name="uq_refund_attempt_id_number"),
    )
    op.create_index("ix_refund_order_id", "refund", ["order_id"])


def create_facts() -> None:
    op.create_table(
        "refund_fact",
        sa.Column("id", SERIAL, nullable=False),
        text("channel"),
        text("key"),
        text("source"),
        text("refund_id"),
        text("kind"),
        integer("amount_minor", nullable=True),
        text("currency", nullable=True),
        integer("provider_at_us", nullable=True),
        integer("observed_at_us"),
        integer("call"),
        text("contradiction", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_refund_fact"),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name="fk_refund_fact_refund_id"),
        sa.UniqueConstraint("channel", "key", name="uq_refund_fact_channel_key"),
    )
    op.create_index("ix_refund_fact_refund_id", "refund_fact", ["refund_id"])


def create_reservations() -> None:
    op.create_table(
        "reservation",
        text("id"),
        text("reference"),
        text("kind"),
        text("order_id"),
        text("postings"),
        text("state"),
        integer("created_at_us"),
        integer("ended_at_us", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_reservation"),
        sa.ForeignKeyConstraint(["order_id"], ["order_.id"], name="fk_reservation_order_id"),
        sa.UniqueConstraint("reference", name="uq_reservation_reference"),
    )
    op.create_index("ix_reservation_order_id", "reservation", ["order_id"])


def text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
