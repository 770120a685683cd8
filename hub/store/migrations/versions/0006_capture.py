"""Attempts say whether their money is taken at once or when the hub says so; notices say of what refund or dispute.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006_capture"
down_revision = "0005_one_account_key"
branch_labels = None
depends_on = None


def upgrade() -> None:
    capture_method = sa.Column("capture_method", sa.Text(), nullable=False, server_default="AUTOMATIC")
    op.add_column("payment_attempt", capture_method)
    op.add_column("notice_inbox", sa.Column("refund_key", sa.Text(), nullable=True))
    op.add_column("notice_inbox", sa.Column("dispute", sa.Text(), nullable=True))
