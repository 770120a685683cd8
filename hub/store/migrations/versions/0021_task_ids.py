"""Ids of tasks that SQLite gives once: it gave a new task the id of the last one that was done.

Who had lost the lease of a task that is gone could finish another's, if both had been claimed equally often.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021_task_ids"
down_revision = "0020_settlements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        make_tasks_anew()
        make_dead_tasks_anew()


def make_tasks_anew() -> None:
    op.drop_index("ix_task_due", "task")
    op.drop_index("ix_task_pool", "task")
    op.rename_table("task", "former_task")
    op.create_table(
        "task",
        serial("id"),
        text("kind"),
        text("key"),
        text("body"),
        integer("attempts"),
        integer("run_at_us", nullable=True),
        integer("lease_until_us", nullable=True),
        text("owner", nullable=True),
        text("last_error", nullable=True),
        text("pool", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_task"),
        sa.UniqueConstraint("kind", "key", name="uq_task_kind_key"),
        sqlite_autoincrement=True,
    )
    move("task", "id, kind, key, body, attempts, run_at_us, lease_until_us, owner, last_error, pool")
    op.create_index("ix_task_due", "task", ["run_at_us"])
    op.create_index("ix_task_pool", "task", ["pool"], sqlite_where=sa.text("lease_until_us IS NOT NULL"))


def make_dead_tasks_anew() -> None:
    """An operator names them by their ids."""
    op.rename_table("dead_task", "former_dead_task")
    op.create_table(
        "dead_task",
        serial("id"),
        text("kind"),
        text("key"),
        text("body"),
        integer("attempts"),
        text("last_error", nullable=True),
        integer("died_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_task"),
        sqlite_autoincrement=True,
    )
    move("dead_task", "id, kind, key, body, attempts, last_error, died_at_us")


def move(table: str, columns: str) -> None:
    op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM former_{table}")
    op.drop_table(f"former_{table}")


def serial(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)
