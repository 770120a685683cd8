"""Refunds that nobody here asked for, what went back beyond what anybody held, and why a notice was left alone.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013_foreign_money"
down_revision = "0012_wallets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refund", sa.Column("excess_minor", sa.BigInteger(), nullable=False, server_default="0"))
    # A refusal of our call has a rank of its own now, below a success.
    op.execute("UPDATE refund SET heard_rank = heard_rank + 1 WHERE heard_rank >= 2")
    op.add_column("notice_inbox", sa.Column("charge_key", sa.Text(), nullable=True))
    op.add_column("notice_inbox", sa.Column("reason", sa.Text(), nullable=True))
    op.create_index(
        "ignored_notices", "notice_inbox", ["channel", "charge_key"],
        sqlite_where=sa.text("state = 'IGNORED'"), postgresql_where=sa.text("state = 'IGNORED'"),
    )  # fmt: skip
    op.create_table(
        "foreign_refund",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("heard_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "reference", name="pk_foreign_refund"),
        sa.ForeignKeyConstraint(["attempt_id"], ["payment_attempt.id"], name="fk_foreign_refund_attempt_id"),
    )
