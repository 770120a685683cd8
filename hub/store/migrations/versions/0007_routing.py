"""What merchants tell us to do with held money, the rules by which a channel is chosen, and channels that are stopped.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_routing"
down_revision = "0006_capture"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payment_attempt", sa.Column("instruction", sa.Text(), nullable=True))
    op.add_column("payment_attempt", sa.Column("instructed_minor", sa.BigInteger(), nullable=True))
    op.add_column("payment_attempt", sa.Column("instructed_at_us", sa.BigInteger(), nullable=True))
    op.add_column("payment_attempt", sa.Column("routing", sa.Text(), nullable=True))
    op.create_index("ix_payment_attempt_channel", "payment_attempt", ["channel", "created_at_us"])
    op.add_column("order_", sa.Column("due_minor", sa.BigInteger(), nullable=True))
    op.create_table(
        "routing_rule",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("platform_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("minimum_minor", sa.BigInteger(), nullable=True),
        sa.Column("maximum_minor", sa.BigInteger(), nullable=True),
        sa.Column("choices", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_routing_rule"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchant.id"], name="fk_routing_rule_merchant_id"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_routing_rule_platform_id"),
        sa.UniqueConstraint("merchant_id", "name", name="uq_routing_rule_merchant_id_name"),
    )
    op.create_table(
        "channel_state",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_channel_state"),
    )
