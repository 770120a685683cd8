"""The wallet that a buyer chose at checkout, for the right that the order will give.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019_wallet_of_an_order"
down_revision = "0018_claimed_tokens"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_", sa.Column("wallet_id", sa.Text(), nullable=True))
