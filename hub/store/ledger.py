"""The books: accounts with their balances, journal entries and postings that nobody can change."""

from sqlalchemy import CheckConstraint, ForeignKey, Table, UniqueConstraint

from hub.store.metadata import integer, metadata, text

# Account and balance are one row: every posting locks it anyway. One row per address and asset.
account = Table(
    "account",
    metadata,
    text("id", primary_key=True),  # address/asset
    text("address"),
    text("asset"),
    text("type"),
    integer("min_minor", nullable=True),
    integer("debits_posted"),
    integer("credits_posted"),
    integer("debits_pending"),
    integer("credits_pending"),
    integer("version"),
    UniqueConstraint("address", "asset"),
)
journal_entry = Table(
    "journal_entry",
    metadata,
    text("id", primary_key=True),
    text("reference", unique=True),
    text("kind"),
    text("order_id", ForeignKey("order_.id"), index=True, nullable=True),
    integer("effective_at_us"),
    integer("recorded_at_us"),
)
posting = Table(
    "posting",
    metadata,
    text("entry_id", ForeignKey("journal_entry.id"), primary_key=True),
    integer("seq", primary_key=True),
    text("debit_account", ForeignKey("account.id"), index=True),
    text("credit_account", ForeignKey("account.id"), index=True),
    text("asset"),
    integer("amount_minor", CheckConstraint("amount_minor > 0", name="positive")),
)
