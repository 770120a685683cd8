"""First sale: everything that selling one course, granting it and recording it on chain keeps.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001_first_sale"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_tables()
    op.execute("INSERT INTO log_head (one, position, oldest) VALUES (1, 0, 1)")
    if op.get_bind().dialect.name == "sqlite":
        give_positions_on_sqlite()
        freeze_the_books_on_sqlite()
    else:
        freeze_the_books_on_postgresql()


def give_positions_on_sqlite() -> None:
    """One writer: `append` gives positions at once, and the head moves with each row."""
    op.execute(
        "CREATE TRIGGER event_moves_head AFTER INSERT ON event WHEN NEW.position IS NOT NULL "
        "BEGIN UPDATE log_head SET position = NEW.position; END"
    )


def freeze_the_books_on_sqlite() -> None:
    """Corrections are new entries. Only RAISE(ABORT): another would end the whole group of units."""
    for table in ("journal_entry", "posting"):
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def freeze_the_books_on_postgresql() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in ("journal_entry", "posting"):
        op.execute(
            f"CREATE TRIGGER {table}_frozen BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )


def create_tables() -> None:
    op.create_table(
        "account",
        text("id"),
        text("address"),
        text("asset"),
        text("type"),
        integer("debits_posted"),
        integer("credits_posted"),
        integer("version"),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("address", "asset", name="uq_account_address_asset"),
    )
    op.create_table(
        "anchor_batch",
        text("id"),
        integer("first_position"),
        integer("last_position"),
        integer("count"),
        blob("root"),
        blob("data_hash"),
        integer("chain_id"),
        text("contract"),
        text("state"),
        text("transaction_hash", nullable=True),
        integer("block_number", nullable=True),
        integer("gas_used", nullable=True),
        integer("gas_price_wei", nullable=True),
        integer("version"),
        integer("created_at_us"),
        integer("confirmed_at_us", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_anchor_batch"),
        sa.UniqueConstraint("first_position", "last_position", name="uq_anchor_batch_first_position_last_position"),
    )
    op.create_table(
        "break_",
        text("id"),
        text("kind"),
        text("subject_id"),
        text("order_id", nullable=True),
        text("state"),
        text("detail"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_break_"),
    )
    op.create_index("ix_break__order_id", "break_", ["order_id"])
    op.create_index("one_open_break", "break_", ["subject_id", "kind"], unique=True, **where("state = 'OPEN'"))
    op.create_table(
        "chain_transaction",
        text("purpose"),
        integer("chain_id"),
        text("sender"),
        integer("nonce"),
        text("raw"),
        text("hash"),
        text("state"),
        integer("signed_at_us"),
        sa.PrimaryKeyConstraint("purpose", name="pk_chain_transaction"),
        sa.UniqueConstraint("chain_id", "sender", "nonce", name="uq_chain_transaction_chain_id_sender_nonce"),
    )
    op.create_table(
        "consumer",
        text("name"),
        text("stream"),
        integer("position"),
        sa.PrimaryKeyConstraint("name", "stream", name="pk_consumer"),
    )
    op.create_table(
        "contract",
        integer("chain_id"),
        text("address"),
        text("name"),
        text("code_hash"),
        integer("from_block"),
        integer("recorded_at_us"),
        sa.PrimaryKeyConstraint("chain_id", "address", name="pk_contract"),
    )
    op.create_table(
        "course",
        text("id"),
        text("kind"),
        text("title"),
        sa.Column("title_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        text("summary"),
        text("institution"),
        text("subject"),
        text("level"),
        text("language"),
        integer("version"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_course"),
    )
    op.create_index("ix_course_title_folded", "course", ["title_folded", "id"])
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
    )
    op.create_table(
        "event",
        serial("seq"),
        text("id"),
        integer("position", nullable=True),
        text("stream"),
        text("subject"),
        integer("subject_version"),
        text("kind"),
        text("body"),
        text("from_state", nullable=True),
        text("to_state", nullable=True),
        text("cause", nullable=True),
        integer("occurred_at_us"),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
        sa.UniqueConstraint("id", name="uq_event_id"),
        sa.UniqueConstraint("position", name="uq_event_position"),
        sa.UniqueConstraint(
            "stream", "subject", "subject_version", "kind", name="uq_event_stream_subject_subject_version_kind"
        ),
    )
    op.create_index("event_stream", "event", ["stream", "position"])
    op.create_index("event_unstamped", "event", ["seq"], **where("position IS NULL"))
    op.create_table(
        "log_head",
        integer("one", sa.CheckConstraint("one = 1", name=op.f("ck_log_head_single"))),
        integer("position"),
        integer("oldest"),
        sa.PrimaryKeyConstraint("one", name="pk_log_head"),
    )
    op.create_table(
        "notice_inbox",
        text("id"),
        text("channel"),
        text("event_id"),
        blob("digest"),
        text("attempt_key"),
        text("kind"),
        text("result"),
        integer("received_at_us"),
        text("state"),
        integer("tries"),
        sa.PrimaryKeyConstraint("id", name="pk_notice_inbox"),
        sa.UniqueConstraint("channel", "event_id", name="uq_notice_inbox_channel_event_id"),
    )
    op.create_table(
        "platform",
        text("id"),
        text("slug"),
        text("name"),
        text("currency"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_platform"),
        sa.UniqueConstraint("slug", name="uq_platform_slug"),
    )
    op.create_table(
        "request",
        text("principal"),
        text("operation"),
        text("key"),
        text("fingerprint"),
        text("state"),
        text("subject_id"),
        text("refusal", nullable=True),
        integer("lease_until_us"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("principal", "operation", "key", name="pk_request"),
    )
    op.create_table(
        "share_agreement",
        text("id"),
        text("merchant_id"),
        integer("version"),
        text("shares"),
        integer("created_at_us"),
        sa.PrimaryKeyConstraint("id", name="pk_share_agreement"),
        sa.UniqueConstraint("merchant_id", "version", name="uq_share_agreement_merchant_id_version"),
    )
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
        sa.PrimaryKeyConstraint("id", name="pk_task"),
        sa.UniqueConstraint("kind", "key", name="uq_task_kind_key"),
    )
    op.create_index("ix_task_due", "task", ["run_at_us"])
    op.create_table(
        "user_", text("id"), text("state"), integer("created_at_us"), sa.PrimaryKeyConstraint("id", name="pk_user_")
    )
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
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_api_key_platform_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
    )
    op.create_table(
        "entitlement",
        text("id"),
        text("user_id"),
        text("course_id"),
        text("state"),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name="fk_entitlement_course_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_entitlement_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_entitlement"),
        sa.UniqueConstraint("user_id", "course_id", name="uq_entitlement_user_id_course_id"),
    )
    op.create_index("ix_entitlement_course_id", "entitlement", ["course_id"])
    op.create_table(
        "identity",
        text("id"),
        text("user_id"),
        text("issuer"),
        text("subject"),
        integer("verified_at_us"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_identity_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identity_issuer_subject"),
    )
    op.create_index("ix_identity_user_id", "identity", ["user_id"])
    op.create_table(
        "member",
        text("id"),
        text("platform_id"),
        text("external_id"),
        text("user_id"),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_member_platform_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_member_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_member"),
        sa.UniqueConstraint("platform_id", "external_id", name="uq_member_platform_id_external_id"),
    )
    op.create_index("ix_member_user_id", "member", ["user_id"])
    op.create_table(
        "merchant",
        text("id"),
        text("platform_id"),
        text("name"),
        text("state"),
        text("agreement_id"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["agreement_id"], ["share_agreement.id"], name="fk_merchant_agreement_id"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_merchant_platform_id"),
        sa.PrimaryKeyConstraint("id", name="pk_merchant"),
        sa.UniqueConstraint("platform_id", name="uq_merchant_platform_id"),
    )
    op.create_table(
        "pairwise",
        text("user_id"),
        text("platform_id"),
        text("pairwise_id"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_pairwise_platform_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_pairwise_user_id"),
        sa.PrimaryKeyConstraint("user_id", "platform_id", name="pk_pairwise"),
        sa.UniqueConstraint("platform_id", "pairwise_id", name="uq_pairwise_platform_id_pairwise_id"),
    )
    op.create_table(
        "grant_",
        text("id"),
        text("entitlement_id"),
        text("source"),
        text("source_ref"),
        text("state"),
        integer("starts_at_us"),
        integer("ends_at_us", nullable=True),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["entitlement_id"], ["entitlement.id"], name="fk_grant__entitlement_id"),
        sa.PrimaryKeyConstraint("id", name="pk_grant_"),
    )
    op.create_index("ix_grant__entitlement_id", "grant_", ["entitlement_id"])
    op.create_index(
        "one_live_grant",
        "grant_",
        ["entitlement_id", "source", "source_ref"],
        unique=True,
        **where("state IN ('ACTIVE', 'PENDING', 'SUSPENDED')"),
    )
    op.create_table(
        "listing",
        text("id"),
        text("platform_id"),
        text("course_id"),
        text("merchant_id"),
        text("external_id"),
        text("title"),
        text("url"),
        integer("price_minor", nullable=True),
        text("currency", nullable=True),
        text("price_text"),
        integer("is_honoured"),
        text("state"),
        text("digest"),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name="fk_listing_course_id"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchant.id"], name="fk_listing_merchant_id"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_listing_platform_id"),
        sa.PrimaryKeyConstraint("id", name="pk_listing"),
        sa.UniqueConstraint("platform_id", "external_id", name="uq_listing_platform_id_external_id"),
    )
    op.create_index("ix_listing_course_id", "listing", ["course_id"])
    op.create_table(
        "platform_access",
        text("entitlement_id"),
        text("platform_id"),
        text("state"),
        text("detail"),
        integer("version"),
        integer("updated_at_us"),
        sa.ForeignKeyConstraint(["entitlement_id"], ["entitlement.id"], name="fk_platform_access_entitlement_id"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_platform_access_platform_id"),
        sa.PrimaryKeyConstraint("entitlement_id", "platform_id", name="pk_platform_access"),
    )
    op.create_table(
        "order_",
        text("id"),
        text("number"),
        text("user_id"),
        text("platform_id"),
        text("merchant_id"),
        text("agreement_id"),
        text("listing_id"),
        text("course_id"),
        integer("total_minor"),
        text("currency"),
        text("status"),
        text("charge_status"),
        text("fulfilment_status"),
        text("chain_status"),
        text("intent_id", nullable=True),
        text("intent_status", nullable=True),
        integer("attempts"),
        integer("received_minor"),
        integer("partial_minor"),
        integer("has_exact"),
        integer("has_conflict"),
        integer("deadline_us"),
        integer("paid_at_us", nullable=True),
        integer("closed_at_us", nullable=True),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["agreement_id"], ["share_agreement.id"], name="fk_order__agreement_id"),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name="fk_order__course_id"),
        sa.ForeignKeyConstraint(["listing_id"], ["listing.id"], name="fk_order__listing_id"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchant.id"], name="fk_order__merchant_id"),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name="fk_order__platform_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name="fk_order__user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_order_"),
        sa.UniqueConstraint("intent_id", name="uq_order__intent_id"),
        sa.UniqueConstraint("number", name="uq_order__number"),
    )
    op.create_index("ix_order_created", "order_", ["created_at_us", "id"])
    op.create_index("ix_order_overdue", "order_", ["deadline_us"], **where("status = 'AWAITING_PAYMENT'"))
    op.create_index("ix_order_platform", "order_", ["platform_id", "created_at_us", "id"])
    op.create_index("ix_order_user", "order_", ["user_id", "created_at_us", "id"])
    op.create_table(
        "journal_entry",
        text("id"),
        text("reference"),
        text("kind"),
        text("order_id", nullable=True),
        integer("effective_at_us"),
        integer("recorded_at_us"),
        sa.ForeignKeyConstraint(["order_id"], ["order_.id"], name="fk_journal_entry_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_journal_entry"),
        sa.UniqueConstraint("reference", name="uq_journal_entry_reference"),
    )
    op.create_index("ix_journal_entry_order_id", "journal_entry", ["order_id"])
    op.create_table(
        "payment_attempt",
        text("id"),
        text("order_id"),
        integer("number"),
        text("channel"),
        text("key"),
        integer("amount_minor"),
        text("currency"),
        text("state"),
        text("method", nullable=True),
        text("return_url", nullable=True),
        text("request_key", nullable=True),
        integer("calls"),
        integer("sent_at_us"),
        integer("expires_at_us"),
        integer("heard_rank"),
        integer("heard_at_us", nullable=True),
        text("heard_key"),
        text("channel_ref", nullable=True),
        text("code", nullable=True),
        text("decline", nullable=True),
        text("next_action", nullable=True),
        integer("unknown_since_us", nullable=True),
        integer("version"),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["order_id"], ["order_.id"], name="fk_payment_attempt_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_payment_attempt"),
        sa.UniqueConstraint("channel", "key", name="uq_payment_attempt_channel_key"),
        sa.UniqueConstraint("order_id", "number", name="uq_payment_attempt_order_id_number"),
    )
    op.create_index(
        "one_live_attempt",
        "payment_attempt",
        ["order_id"],
        unique=True,
        **where("state IN ('ACTION', 'AUTHORIZED', 'PENDING', 'SUBMITTED', 'UNKNOWN')"),
    )
    op.create_table(
        "channel_fact",
        serial("id"),
        text("channel"),
        text("key"),
        text("source"),
        text("attempt_id"),
        text("kind"),
        integer("amount_minor", nullable=True),
        text("currency", nullable=True),
        integer("provider_at_us", nullable=True),
        integer("observed_at_us"),
        integer("call"),
        text("contradiction", nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["payment_attempt.id"], name="fk_channel_fact_attempt_id"),
        sa.PrimaryKeyConstraint("id", name="pk_channel_fact"),
        sa.UniqueConstraint("channel", "key", name="uq_channel_fact_channel_key"),
    )
    op.create_index("ix_channel_fact_attempt_id", "channel_fact", ["attempt_id"])
    op.create_table(
        "leaf",
        text("id"),
        text("order_id"),
        text("attempt_id", nullable=True),
        integer("generation"),
        blob("order_key"),
        text("holder"),
        text("token_id"),
        integer("expiry"),
        text("request"),
        text("result"),
        blob("commitment"),
        blob("sealed_salt"),
        integer("is_superseded"),
        text("batch_id", nullable=True),
        integer("index_", nullable=True),
        integer("created_at_us"),
        sa.ForeignKeyConstraint(["attempt_id"], ["payment_attempt.id"], name="fk_leaf_attempt_id"),
        sa.ForeignKeyConstraint(["batch_id"], ["anchor_batch.id"], name="fk_leaf_batch_id"),
        sa.ForeignKeyConstraint(["order_id"], ["order_.id"], name="fk_leaf_order_id"),
        sa.PrimaryKeyConstraint("id", name="pk_leaf"),
        sa.UniqueConstraint("batch_id", "index_", name="uq_leaf_batch_id_index_"),
        sa.UniqueConstraint("order_id", "generation", name="uq_leaf_order_id_generation"),
    )
    op.create_index("ix_leaf_attempt", "leaf", ["attempt_id"])
    op.create_table(
        "posting",
        text("entry_id"),
        integer("seq"),
        text("debit_account"),
        text("credit_account"),
        text("asset"),
        integer("amount_minor", sa.CheckConstraint("amount_minor > 0", name=op.f("ck_posting_positive"))),
        sa.ForeignKeyConstraint(["credit_account"], ["account.id"], name="fk_posting_credit_account"),
        sa.ForeignKeyConstraint(["debit_account"], ["account.id"], name="fk_posting_debit_account"),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entry.id"], name="fk_posting_entry_id"),
        sa.PrimaryKeyConstraint("entry_id", "seq", name="pk_posting"),
    )
    op.create_index("ix_posting_credit_account", "posting", ["credit_account"])
    op.create_index("ix_posting_debit_account", "posting", ["debit_account"])


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def integer(name: str, *checks: sa.CheckConstraint, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), *checks, nullable=nullable)


def blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def serial(name: str) -> sa.Column[int]:
    """SQLite takes an INTEGER key alone for its rowid."""
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def where(condition: str) -> dict[str, Any]:
    """A partial index, which both engines have."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
