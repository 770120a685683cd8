"""Sign-in: named keys that end, partners' issuers, tokens that count once, accounts that end, and the audit log.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_sign_in"
down_revision = "0001_first_sale"
branch_labels = None
depends_on = None

# Keys of before had no name: their id is one.
NAMED = "name = id, slot = 0, created_by = 'command', holder = coalesce(platform_id, 'hub')"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        widen_on_sqlite()
    else:
        widen_on_postgresql()
    op.create_index("one_live_key_a_slot", "api_key", ["holder", "name", "slot"], unique=True, **UNREVOKED)
    create_tables()
    if op.get_bind().dialect.name == "sqlite":
        freeze_on_sqlite("audit_entry")
    else:
        op.execute(
            "CREATE TRIGGER audit_entry_frozen BEFORE UPDATE OR DELETE ON audit_entry "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )


def widen_on_postgresql() -> None:
    for column in key_columns():
        op.add_column("api_key", column)
    op.execute(f"UPDATE api_key SET {NAMED}")
    for name in ("name", "slot", "created_by", "holder"):
        op.alter_column("api_key", name, nullable=False)
    op.add_column("identity", integer("ended_at_us", nullable=True))


def widen_on_sqlite() -> None:
    """Made anew: SQLite adds columns behind the constraints, where no table of the hub has them."""
    op.execute("ALTER TABLE api_key RENAME TO api_key_before")
    op.create_table(
        "api_key",
        text("id"),
        text("kind"),
        text("platform_id", nullable=True),
        text("secret_hash"),
        text("scopes"),
        integer("is_development"),
        integer("created_at_us"),
        integer("revoked_at_us", nullable=True),
        *key_columns(is_new=False),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_api_key_platform_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
    )
    op.execute(
        "INSERT INTO api_key SELECT *, id, 0, NULL, NULL, 'command', coalesce(platform_id, 'hub') FROM api_key_before"
    )
    op.execute("DROP TABLE api_key_before")
    op.drop_index("ix_identity_user_id", "identity")
    op.execute("ALTER TABLE identity RENAME TO identity_before")
    op.create_table(
        "identity",
        text("id"),
        text("user_id"),
        text("issuer"),
        text("subject"),
        integer("verified_at_us"),
        integer("ended_at_us", nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_identity_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identity_issuer_subject"),
    )
    op.execute("INSERT INTO identity SELECT *, NULL FROM identity_before")
    op.execute("DROP TABLE identity_before")
    op.create_index("ix_identity_user_id", "identity", ["user_id"])


def freeze_on_sqlite(table: str) -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def create_tables() -> None:
    op.create_table(
        "trusted_issuer",
        text("id"),
        text("platform_id"),
        text("issuer"),
        text("audience"),
        text("algorithms"),
        text("subject_claim"),
        text("keys_url", nullable=True),
        text("keys_jwks", nullable=True),
        text("client_keys_url", nullable=True),
        text("client_keys_jwks", nullable=True),
        text("scopes"),
        text("state"),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_trusted_issuer_platform_id"),
        sa.PrimaryKeyConstraint("id", name="pk_trusted_issuer"),
        sa.UniqueConstraint("issuer", name="uq_trusted_issuer_issuer"),
    )
    op.create_index("ix_trusted_issuer_platform_id", "trusted_issuer", ["platform_id"])
    op.create_table(
        "exchanged_token",
        text("digest"),
        text("issuer_id"),
        integer("expires_at_us"),
        sa.PrimaryKeyConstraint("digest", name="pk_exchanged_token"),
    )
    op.create_index("ix_exchanged_token_expires_at_us", "exchanged_token", ["expires_at_us"])
    op.create_table(
        "audit_entry",
        text("id"),
        text("actor_kind"),
        text("actor"),
        text("platform_id", nullable=True),
        text("action"),
        text("subject_id"),
        text("detail"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_subject_id", "audit_entry", ["subject_id"])
    op.create_index("ix_audit_entry_time", "audit_entry", ["created_at_us", "id"])


def key_columns(*, is_new: bool = True) -> "list[sa.Column[str] | sa.Column[int]]":
    """What keys have since; `is_new`: filled before they may be demanded."""
    return [
        text("name", nullable=is_new),
        integer("slot", nullable=is_new),
        integer("expires_at_us", nullable=True),
        integer("last_used_at_us", nullable=True),
        text("created_by", nullable=is_new),
        text("holder", nullable=is_new),
    ]


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


UNREVOKED = {"sqlite_where": sa.text("revoked_at_us IS NULL"), "postgresql_where": sa.text("revoked_at_us IS NULL")}
