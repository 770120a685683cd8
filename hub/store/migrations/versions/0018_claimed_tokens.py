"""Tokens that wallets have claimed, as the chain tells it.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018_claimed_tokens"
down_revision = "0017_offers_on_chain"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claimed_token",
        sa.Column("leaf_id", sa.Text(), nullable=False),
        sa.Column("claimed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("burned_at_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["leaf_id"], ["leaf.id"], name="fk_claimed_token_leaf_id"),
        sa.PrimaryKeyConstraint("leaf_id", name="pk_claimed_token"),
    )
