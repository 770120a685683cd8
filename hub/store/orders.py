"""Orders with their payment intents: the table, and the repository that locks, admits and moves them."""

from sqlalchemy import ForeignKey, Index, Table

from hub.store.metadata import integer, metadata, text

order = Table(
    "order_",
    metadata,
    text("id", primary_key=True),
    text("number", unique=True),
    text("user_id", ForeignKey("user_.id")),
    text("platform_id", ForeignKey("platform.id")),
    text("merchant_id", ForeignKey("merchant.id")),
    text("agreement_id", ForeignKey("share_agreement.id")),
    text("listing_id", ForeignKey("listing.id")),
    text("course_id", ForeignKey("course.id")),
    integer("total_minor"),
    text("currency"),
    text("status"),
    text("charge_status"),
    text("fulfilment_status"),
    text("chain_status"),
    text("intent_id", unique=True, nullable=True),
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
)
Index("ix_order_user", order.c.user_id, order.c.created_at_us, order.c.id)
Index("ix_order_platform", order.c.platform_id, order.c.created_at_us, order.c.id)
Index("ix_order_created", order.c.created_at_us, order.c.id)
Index("ix_order_overdue", order.c.deadline_us, sqlite_where=order.c.status == "AWAITING_PAYMENT",
      postgresql_where=order.c.status == "AWAITING_PAYMENT")  # fmt: skip
