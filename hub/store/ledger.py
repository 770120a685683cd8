"""The books: accounts with their balances, journal entries and postings that nobody can change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Table,
    UniqueConstraint,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from hub.domain.ledger import JournalEntry, ReferenceTaken, movements
from hub.store.frozen import freeze
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

# Account and balance are one row: every posting locks it anyway. One row per address and asset.
account = Table(
    "account",
    metadata,
    text("id", primary_key=True),  # address/asset
    text("address"),
    text("asset"),
    text("type"),
    integer("debits_posted"),
    integer("credits_posted"),
    integer("version"),
    # Of PostgreSQL's two unique indexes ON CONFLICT would watch one: there the id alone keeps accounts apart (0005).
    UniqueConstraint("address", "asset").ddl_if(dialect="sqlite"),
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


class Ledger:
    """`tx.ledger`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def post(self, entry: JournalEntry) -> None:
        """Write an entry and move the balances it touches. Raises ReferenceTaken."""
        if await self._rx.one(_ENTRY, str, **{name: getattr(entry, name) for name in _ENTRY_COLUMNS}) is None:
            raise ReferenceTaken(entry.reference)
        await self._rx.run_many(
            _MOVE,
            [
                {
                    "id": account_id(movement.address, movement.asset),
                    "address": movement.address,
                    "asset": movement.asset,
                    "type": movement.type,
                    "debits_posted": movement.debits,
                    "credits_posted": movement.credits,
                    "version": 1,
                }
                for movement in movements(entry)
            ],
        )
        await self._rx.run_many(
            _POST,
            [
                {
                    "entry_id": entry.id,
                    "seq": seq,
                    "debit_account": account_id(posting.debit, posting.asset),
                    "credit_account": account_id(posting.credit, posting.asset),
                    "asset": posting.asset,
                    "amount_minor": posting.amount_minor,
                }
                for seq, posting in enumerate(entry.postings)
            ],
        )

    async def entries_of(self, order_id: str) -> list[str]:
        """The ids of an order's journal entries, oldest first."""
        return await self._rx.many(_ENTRIES_OF, str, about=order_id)

    async def balances(self) -> list["Balance"]:
        """Every account with its sums, for `hub verify`."""
        return await self._rx.many(_BALANCES, Balance)

    async def folded(self) -> list["Balance"]:
        """The same sums from nothing but the postings."""
        return await self._rx.many(_FOLDED, Balance)


@dataclass(frozen=True, slots=True)
class Balance:
    account_id: str
    debits: int
    credits: int


def account_id(address: str, asset: str) -> str:
    return f"{address}/{asset}"


_ENTRY_COLUMNS = tuple(c.name for c in journal_entry.c)
_ENTRY = inserted(journal_entry).on_conflict_do_nothing().returning(journal_entry.c.id)
_POST = inserted(posting)
_upsert = inserted(account)
_MOVE = _upsert.on_conflict_do_update(
    index_elements=[account.c.id],
    set_={
        "debits_posted": account.c.debits_posted + _upsert.excluded.debits_posted,
        "credits_posted": account.c.credits_posted + _upsert.excluded.credits_posted,
        "version": account.c.version + literal_column("1"),
    },
)
_ENTRIES_OF = (
    select(journal_entry.c.id)
    .where(journal_entry.c.order_id == bindparam("about"))
    .order_by(journal_entry.c.recorded_at_us, journal_entry.c.id)
)
_BALANCES = select(account.c.id, account.c.debits_posted, account.c.credits_posted).order_by(account.c.id)
_sides = union_all(
    select(
        posting.c.debit_account.label("account"),
        posting.c.amount_minor.label("debit"),
        literal_column("0").label("credit"),
    ),
    select(posting.c.credit_account, literal_column("0"), posting.c.amount_minor),
).subquery("sides")
_FOLDED = (
    select(_sides.c.account, cast(func.sum(_sides.c.debit), BigInteger), cast(func.sum(_sides.c.credit), BigInteger))
    .group_by(_sides.c.account)
    .order_by(_sides.c.account)
)


# Entries and postings are corrected by new entries, never changed.
for _table in (journal_entry, posting):
    freeze(_table)
