"""Wallets, and what their owners were asked to sign.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012_wallets"
down_revision = "0011_replaced_transactions"
branch_labels = None
depends_on = None

IS_LINKED = sa.text("unlinked_at_us IS NULL")


def upgrade() -> None:
    op.create_table(
        "wallet",
        text("id"),
        text("user_id"),
        text("address"),
        text("nonce"),
        integer("linked_at_us"),
        integer("unlinked_at_us", nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_wallet_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_wallet"),
        sa.UniqueConstraint("nonce", name="uq_wallet_nonce"),
    )
    op.create_index("ix_wallet_user_id", "wallet", ["user_id"])
    op.create_index(
        "one_user_a_wallet", "wallet", ["address"], unique=True, sqlite_where=IS_LINKED, postgresql_where=IS_LINKED
    )
    op.create_table(
        "wallet_challenge",
        text("nonce"),
        text("user_id"),
        text("address"),
        integer("expires_at_us"),
        integer("used_at_us", nullable=True),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_wallet_challenge_user_id"),
        sa.PrimaryKeyConstraint("nonce", name="pk_wallet_challenge"),
    )
    op.create_index("ix_wallet_challenge_user_id", "wallet_challenge", ["user_id"])
    op.create_index("ix_wallet_challenge_expires_at_us", "wallet_challenge", ["expires_at_us"])


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
