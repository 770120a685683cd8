"""Which refunds are no part of the price: until now those that the hub itself asked for, now also what was asked back
before the order was paid.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016_surplus_refunds"
down_revision = "0015_transfers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refund", sa.Column("is_surplus", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE refund SET is_surplus = 1 WHERE requested_by = 'hub'")
