"""Rights that are on chain by themselves: batches of one, known by their order key.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020_settlements"
down_revision = "0019_wallet_of_an_order"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("anchor_batch", sa.Column("is_settlement", sa.BigInteger(), nullable=False, server_default="0"))
