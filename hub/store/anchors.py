"""Leaves, batches and chain transactions: what is recorded on chain, and how far it has got."""

from sqlalchemy import ForeignKey, Index, Table, UniqueConstraint

from hub.store.metadata import blob, integer, metadata, text

anchor_batch = Table(
    "anchor_batch",
    metadata,
    text("id", primary_key=True),
    integer("first_position"),
    integer("last_position"),
    integer("count"),
    blob("root"),
    blob("data_hash"),
    integer("chain_id"),
    text("contract"),
    text("state"),  # QUEUED, SUBMITTED, CONFIRMED, FAILED
    text("transaction_hash", nullable=True),
    integer("block_number", nullable=True),
    integer("gas_used", nullable=True),
    integer("gas_price_wei", nullable=True),
    integer("version"),
    integer("created_at_us"),
    integer("confirmed_at_us", nullable=True),
    UniqueConstraint("first_position", "last_position"),
)
leaf = Table(
    "leaf",
    metadata,
    text("id", primary_key=True),
    text("order_id", ForeignKey("order_.id")),
    text("attempt_id", ForeignKey("payment_attempt.id"), nullable=True),
    integer("generation"),  # counts the leaves of an order
    blob("order_key"),
    text("holder"),  # the `to` of the leaf: the zero address in this release
    text("token_id"),  # decimal text of a uint256; '0' where nothing is granted
    integer("expiry"),
    text("request"),  # canonical JSON
    text("result"),  # canonical JSON
    blob("commitment"),
    blob("sealed_salt"),
    integer("is_superseded"),  # a later leaf tells the end of the same request; this one is to be revoked
    text("batch_id", ForeignKey("anchor_batch.id"), nullable=True),
    integer("index_", nullable=True),
    integer("created_at_us"),
    UniqueConstraint("order_id", "generation"),
    UniqueConstraint("batch_id", "index_"),
)
Index("ix_leaf_attempt", leaf.c.attempt_id)
# Signed, stored, then sent. One row per purpose; one that is not replaced per nonce.
chain_transaction = Table(
    "chain_transaction",
    metadata,
    text("purpose", primary_key=True),  # anchor:<root> | revoke:<root>:<word>:<leaf>
    integer("chain_id"),
    text("sender"),
    integer("nonce"),
    text("raw"),
    text("hash"),
    text("state"),  # SIGNED, SENT, CONFIRMED, FAILED
    integer("signed_at_us"),
    UniqueConstraint("chain_id", "sender", "nonce"),
)
contract = Table(
    "contract",
    metadata,
    integer("chain_id", primary_key=True),
    text("address", primary_key=True),
    text("name"),
    text("code_hash"),
    integer("from_block"),
    integer("recorded_at_us"),
)
