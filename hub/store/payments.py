"""Payment attempts and the facts that channels told us: tables, and the repository that opens and moves them."""

from sqlalchemy import ForeignKey, Index, Table, UniqueConstraint

from hub.domain.payments import LIVE
from hub.store.metadata import Serial, blob, integer, metadata, text
from sqlalchemy import Column

payment_attempt = Table(
    "payment_attempt",
    metadata,
    text("id", primary_key=True),
    text("order_id", ForeignKey("order_.id")),
    integer("number"),
    text("channel"),
    text("key"),  # what the channel knows it by; never used twice
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
    text("next_action", nullable=True),  # JSON
    integer("unknown_since_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("order_id", "number"),
    UniqueConstraint("channel", "key"),
)
_is_live = payment_attempt.c.state.in_(sorted(LIVE))
Index(
    "one_live_attempt",
    payment_attempt.c.order_id,
    unique=True,
    sqlite_where=_is_live,
    postgresql_where=_is_live,
)
channel_fact = Table(
    "channel_fact",
    metadata,
    Column("id", Serial, primary_key=True),
    text("channel"),
    text("key"),
    text("source"),
    text("attempt_id", ForeignKey("payment_attempt.id"), index=True),
    text("kind"),
    integer("amount_minor", nullable=True),
    text("currency", nullable=True),
    integer("provider_at_us", nullable=True),
    integer("observed_at_us"),
    integer("call"),
    text("contradiction", nullable=True),  # another content under the same key, as first heard
    UniqueConstraint("channel", "key"),
)
notice_inbox = Table(
    "notice_inbox",
    metadata,
    text("id", primary_key=True),
    text("channel"),
    text("event_id"),
    blob("digest"),
    text("attempt_key"),
    text("kind"),
    text("result"),  # JSON: the verified, normalised content
    integer("received_at_us"),
    text("state"),  # WAITING, APPLIED, CONFLICTED
    integer("tries"),
    UniqueConstraint("channel", "event_id"),
)
