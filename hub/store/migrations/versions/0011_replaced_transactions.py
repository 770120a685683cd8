"""Transactions that were signed again for the same nonce: whichever gets into a block is followed.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011_replaced_transactions"
down_revision = "0010_chain_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replaced_transaction",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("replaced_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_replaced_transaction"),
    )
    op.create_index("ix_replaced_transaction_nonce", "replaced_transaction", ["chain_id", "sender", "nonce"])
