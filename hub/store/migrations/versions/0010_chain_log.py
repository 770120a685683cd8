"""What is read of a chain: a cursor for each, the blocks that matter, the events of known contracts.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_chain_log"
down_revision = "0009_disputes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chain_cursor",
        integer("chain_id"),
        integer("number"),
        text("hash"),
        integer("head_number"),
        integer("confirmed_number"),
        integer("final_number"),
        text("final_hash"),
        integer("halted_at_us", nullable=True),
        text("halt_reason", nullable=True),
        integer("version"),
        integer("moved_at_us"),
        sa.PrimaryKeyConstraint("chain_id", name="pk_chain_cursor"),
    )
    op.create_table(
        "chain_block",
        integer("chain_id"),
        integer("number"),
        text("hash"),
        text("parent_hash"),
        integer("mined_at_us"),
        sa.PrimaryKeyConstraint("hash", name="pk_chain_block"),
        sa.UniqueConstraint("chain_id", "number", name="uq_chain_block_chain_id_number"),
    )
    op.create_table(
        "chain_event",
        text("id"),
        integer("chain_id"),
        integer("block_number"),
        text("block_hash"),
        integer("log_index"),
        text("transaction_hash"),
        text("address"),
        text("name"),
        text("subject"),
        text("args"),
        sa.ForeignKeyConstraint(["block_hash"], ["chain_block.hash"], name="fk_chain_event_block_hash"),
        sa.PrimaryKeyConstraint("id", name="pk_chain_event"),
        sa.UniqueConstraint("block_hash", "log_index", name="uq_chain_event_block_hash_log_index"),
    )
    op.create_index("ix_chain_event_place", "chain_event", ["chain_id", "block_number", "log_index"])
    op.create_index("ix_chain_event_subject", "chain_event", ["subject", "name"])
    op.create_table(
        "chain_watch",
        integer("chain_id"),
        text("address"),
        integer("behind", nullable=True),
        sa.PrimaryKeyConstraint("chain_id", "address", name="pk_chain_watch"),
    )
    op.create_index("ix_anchor_batch_root", "anchor_batch", ["root"])


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
