"""Outgoing webhooks: endpoints, deliveries and their attempts; tasks of one remote end become a pool.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003_webhooks"
down_revision = "0002_sign_in"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_endpoints()
    create_deliveries()
    if op.get_bind().dialect.name == "sqlite":
        make_tasks_anew_on_sqlite()
    else:
        op.add_column("task", text("pool", nullable=True))
    op.create_index("ix_task_pool", "task", ["pool"], **where("lease_until_us IS NOT NULL"))


def create_endpoints() -> None:
    op.create_table(
        "webhook_endpoint",
        text("id"),
        text("platform_id"),
        text("url"),
        text("document"),
        text("kinds", nullable=True),
        text("scopes"),
        text("state"),
        text("pause_reason", nullable=True),
        blob("sealed_secret"),
        blob("sealed_previous", nullable=True),
        integer("previous_until_us", nullable=True),
        integer("failing_since_us", nullable=True),
        integer("delivered_at_us", nullable=True),
        integer("version"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoint"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_webhook_endpoint_platform_id"),
    )
    op.create_index("ix_webhook_endpoint_platform_id", "webhook_endpoint", ["platform_id"])


def create_deliveries() -> None:
    op.create_table(
        "webhook_delivery",
        text("id"),
        text("endpoint_id"),
        text("platform_id"),
        text("event_id"),
        integer("position"),
        text("kind"),
        text("subject"),
        integer("subject_version"),
        integer("occurred_at_us"),
        text("event_body"),
        text("payload", nullable=True),
        text("state"),
        integer("attempts"),
        integer("failures"),
        integer("first_at_us", nullable=True),
        integer("next_at_us"),
        integer("delivered_at_us", nullable=True),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_delivery"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], name="fk_webhook_delivery_endpoint_id"),
        sa.UniqueConstraint("endpoint_id", "position", name="uq_webhook_delivery_endpoint_id_position"),
    )
    op.create_index(
        "webhook_delivery_pending", "webhook_delivery", ["endpoint_id", "subject", "position"],
        **where("state = 'PENDING'"),
    )  # fmt: skip
    op.create_index("webhook_delivery_listed", "webhook_delivery", ["platform_id", "created_at_us"])
    op.create_index("webhook_delivery_age", "webhook_delivery", ["created_at_us"])
    op.create_table(
        "webhook_attempt",
        text("delivery_id"),
        integer("number"),
        integer("at_us"),
        text("outcome"),
        integer("status", nullable=True),
        integer("latency_ms"),
        text("answer"),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_webhook_attempt"),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["webhook_delivery.id"], name="fk_webhook_attempt_delivery_id",
            ondelete="CASCADE",
        ),
    )  # fmt: skip


def make_tasks_anew_on_sqlite() -> None:
    """A column that SQLite adds stands after the constraints, and the table would differ from a new one."""
    op.drop_index("ix_task_due", "task")
    op.rename_table("task", "former_task")
    op.create_table(
        "task",
        sa.Column("id", sa.Integer(), nullable=False),
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
    )
    columns = "id, kind, key, body, attempts, run_at_us, lease_until_us, owner, last_error"
    op.execute(f"INSERT INTO task ({columns}) SELECT {columns} FROM former_task")
    op.drop_table("former_task")
    op.create_index("ix_task_due", "task", ["run_at_us"])


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def where(condition: str) -> dict[str, Any]:
    """A partial index, which both engines have."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
