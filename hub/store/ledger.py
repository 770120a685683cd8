"""The books: accounts with their balances, journal entries and postings that nobody can change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
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
    update,
)

from hub.domain.ledger import (
    JournalEntry,
    Posting,
    ReferenceTaken,
    Reservation,
    ReservationEnded,
    ReservationState,
    movements,
)
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
# What refunds and disputes are going to take. Each ends once: see `end`, which changes no row but a PENDING one.
reservation = Table(
    "reservation",
    metadata,
    text("id", primary_key=True),
    text("reference", unique=True),
    text("kind"),
    text("order_id", ForeignKey("order_.id"), index=True),
    text("postings"),  # JSON
    text("state"),  # PENDING, POSTED, VOIDED
    integer("created_at_us"),
    integer("ended_at_us", nullable=True),
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

    async def reserve(self, new: Reservation) -> None:
        """Promise postings, under the order's lock. Raises ReferenceTaken."""
        if await self._rx.one(_RESERVE, str, **_reservation_columns(new)) is None:
            raise ReferenceTaken(new.reference)

    async def end(self, reference: str, state: ReservationState, now_us: int) -> Reservation:
        """POSTED or VOIDED, once and for all. Raises ReservationEnded if it is no longer PENDING, or was never made."""
        ended = await self._rx.one(_END, reservation_of, reference_=reference, state_=state, at_us=now_us)
        if ended is None:
            raise ReservationEnded(reference)
        return ended

    async def reservation(self, reference: str) -> Reservation | None:
        return await self._rx.one(_RESERVATION, reservation_of, reference_=reference)

    async def reservations(self, after_id: str, limit: int) -> list[Reservation]:
        """In the order of their ids, for `hub verify`."""
        return await self._rx.many(_RESERVATIONS, reservation_of, after_id=after_id, most=limit)

    async def postings_of(self, order_id: str) -> list[Posting]:
        """Every posting of an order's entries, oldest first: who holds what of its money follows from them."""
        return await self._rx.many(_POSTINGS_OF, _posting_of, about=order_id)

    async def postings_under(self, reference: str) -> tuple[Posting, ...]:
        """The postings of one entry; none if there is no such entry."""
        return tuple(await self._rx.many(_POSTINGS_UNDER, _posting_of, reference_=reference))

    async def reserved_of(self, order_id: str) -> list[Posting]:
        """What is promised of an order's money and not posted yet."""
        bodies = await self._rx.many(_RESERVED_OF, str, about=order_id)
        return [posting for body in bodies for posting in postings_in(body)]

    async def entries_of(self, order_id: str) -> list[str]:
        """The ids of an order's journal entries, oldest first."""
        return await self._rx.many(_ENTRIES_OF, str, about=order_id)

    async def references_of(self, order_id: str) -> list[str]:
        """What an order's journal entries are known by, oldest first."""
        return await self._rx.many(_REFERENCES_OF, str, about=order_id)

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


def reservation_of(
    id_: str, reference: str, kind: str, order_id: str, postings: str, state: str, created_at_us: int,
    ended_at_us: int | None,
) -> Reservation:  # fmt: skip
    return Reservation(
        id_, reference, kind, order_id, postings_in(postings), ReservationState(state), created_at_us, ended_at_us
    )


def _reservation_columns(new: Reservation) -> dict[str, Any]:
    columns = {name: getattr(new, name) for name in _RESERVATION_COLUMNS}
    return columns | {"postings": postings_text(new.postings)}


def postings_text(postings: Sequence[Posting]) -> str:
    return orjson.dumps([[one.debit, one.credit, one.asset, one.amount_minor] for one in postings]).decode()


def postings_in(body: str) -> tuple[Posting, ...]:
    return tuple(Posting(*columns) for columns in orjson.loads(body))


def _posting_of(debit_account: str, credit_account: str, asset: str, amount_minor: int) -> Posting:
    return Posting(debit_account.rpartition("/")[0], credit_account.rpartition("/")[0], asset, amount_minor)


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
_REFERENCES_OF = (
    select(journal_entry.c.reference)
    .where(journal_entry.c.order_id == bindparam("about"))
    .order_by(journal_entry.c.recorded_at_us, journal_entry.c.id)
)
_POSTINGS_OF = (
    select(posting.c.debit_account, posting.c.credit_account, posting.c.asset, posting.c.amount_minor)
    .join_from(posting, journal_entry, journal_entry.c.id == posting.c.entry_id)
    .where(journal_entry.c.order_id == bindparam("about"))
    .order_by(journal_entry.c.recorded_at_us, journal_entry.c.id, posting.c.seq)
)
_POSTINGS_UNDER = (
    select(posting.c.debit_account, posting.c.credit_account, posting.c.asset, posting.c.amount_minor)
    .join_from(posting, journal_entry, journal_entry.c.id == posting.c.entry_id)
    .where(journal_entry.c.reference == bindparam("reference_"))
    .order_by(posting.c.seq)
)
_r = reservation.c
_RESERVATION_COLUMNS = tuple(c.name for c in _r)
_RESERVE = inserted(reservation).on_conflict_do_nothing().returning(_r.id)
_is_pending = _r.state == literal_column("'PENDING'")
_END = (
    update(reservation)
    .where((_r.reference == bindparam("reference_")) & _is_pending)
    .values(state=bindparam("state_"), ended_at_us=bindparam("at_us"))
    .returning(*_r)
)
_RESERVATION = select(reservation).where(_r.reference == bindparam("reference_"))
_RESERVATIONS = (
    select(reservation)
    .where(_r.id > bindparam("after_id"))
    .order_by(_r.id)
    .limit(bindparam("most", type_=BigInteger()))
)
_RESERVED_OF = select(_r.postings).where((_r.order_id == bindparam("about")) & _is_pending).order_by(_r.id)
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
