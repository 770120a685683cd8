"""Which courses' rights may be handed on, and one live holder of what an order gave.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015_transfers"
down_revision = "0014_claims"
branch_labels = None
depends_on = None

OF_AN_ORDER = sa.text("state IN ('ACTIVE', 'PENDING', 'SUSPENDED') AND source IN ('PURCHASE', 'TRANSFER')")


def upgrade() -> None:
    op.create_table(
        "course_policy",
        sa.Column("course_id", sa.Text(), nullable=False),
        sa.Column("is_transferable", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name="fk_course_policy_course_id"),
        sa.PrimaryKeyConstraint("course_id", name="pk_course_policy"),
    )
    op.create_index("ix_grant_source_ref", "grant_", ["source_ref"])
    op.create_index(
        "one_live_holder", "grant_", ["source_ref"], unique=True, sqlite_where=OF_AN_ORDER,
        postgresql_where=OF_AN_ORDER,
    )  # fmt: skip
