"""Which right a leaf carries, and whose; salts in a table of their own, under a key of each person's.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014_claims"
down_revision = "0013_foreign_money"
branch_labels = None
depends_on = None

CARRIES = sa.text("grant_id IS NOT NULL AND is_superseded = 0")


def upgrade() -> None:
    op.add_column("leaf", text("grant_id", nullable=True))
    op.add_column("leaf", text("owner_id", nullable=True))
    # Of an order that has several, the newest that stands carries its right.
    op.execute(
        "UPDATE leaf SET grant_id = (SELECT g.id FROM grant_ g WHERE g.source = 'PURCHASE'"
        " AND g.source_ref = leaf.order_id)"
        " WHERE token_id <> '0' AND is_superseded = 0 AND generation = (SELECT max(l.generation) FROM leaf l"
        " WHERE l.order_id = leaf.order_id AND l.token_id <> '0' AND l.is_superseded = 0)"
    )
    op.create_index(
        "one_live_leaf", "leaf", ["grant_id"], unique=True, sqlite_where=CARRIES, postgresql_where=CARRIES
    )
    op.create_table(
        "person_key",
        text("user_id"),
        blob("wrapped"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_person_key_user_id"),
        sa.PrimaryKeyConstraint("user_id", name="pk_person_key"),
    )
    op.create_table(
        "salt",
        text("leaf_id"),
        text("user_id"),
        blob("sealed"),
        sa.ForeignKeyConstraint(["leaf_id"], ["leaf.id"], name="fk_salt_leaf_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_salt_user_id"),
        sa.PrimaryKeyConstraint("leaf_id", name="pk_salt"),
    )
    op.create_index("ix_salt_user_id", "salt", ["user_id"])


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)
