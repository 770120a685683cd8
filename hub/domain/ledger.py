"""The books: accounts, postings that name both sides, entries that cannot fail to balance (handbook 02 §6).

LedgerFault                 no client can do anything about these: flows check before what a client may cause
├── EntryIsEmpty
├── AmountMustBePositive
├── SameAccount
├── UnknownAccount
├── ReferenceTaken          (raised by the store: the reference is a database constraint)
├── NotHeld                 more is to be given back than anybody holds
├── ReservationEnded        (raised by the store: a Reservation ends once)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hub.domain.money import CURRENCIES, Money, largest_remainder

HUB_FEES = "hub:fees"
ROUNDING = "rounding"  # must stay empty


class LedgerFault(Exception):
    """A broken promise of ours about the books."""


class EntryIsEmpty(LedgerFault):
    pass


class AmountMustBePositive(LedgerFault):
    pass


class SameAccount(LedgerFault):
    pass


class UnknownAccount(LedgerFault):
    pass


class ReferenceTaken(LedgerFault):
    pass


class NotHeld(LedgerFault):
    pass


class ReservationEnded(LedgerFault):
    pass


class AccountType(StrEnum):
    ASSET = "ASSET"
    LIABILITY = "LIABILITY"
    EQUITY = "EQUITY"
    INCOME = "INCOME"
    EXPENSE = "EXPENSE"


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount_minor` of one asset from the debit account to the credit account, both by address."""

    debit: str
    credit: str
    asset: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Postings that happen together under a reference that is used once."""

    id: str
    reference: str
    kind: str
    order_id: str | None
    postings: tuple[Posting, ...]
    effective_at_us: int
    recorded_at_us: int

    def __post_init__(self) -> None:
        if not self.postings:
            raise EntryIsEmpty(self.reference)
        for posting in self.postings:
            if type(posting.amount_minor) is not int or posting.amount_minor <= 0:  # a float is no amount, nor is True
                raise AmountMustBePositive(f"{self.reference}: {posting.amount_minor}")
            if posting.debit == posting.credit:
                raise SameAccount(f"{self.reference}: {posting.debit}")
            if posting.asset not in CURRENCIES:
                raise UnknownAccount(f"{self.reference}: no accounts in {posting.asset}")
            account_type(posting.debit), account_type(posting.credit)


@dataclass(frozen=True, slots=True)
class Movement:
    """What one entry does to one account: the sums of its debits and credits."""

    address: str
    asset: str
    type: AccountType
    debits: int
    credits: int


def clearing(channel: str) -> str:
    """What a channel has taken for us and not yet paid out (asset)."""
    return f"channel:{channel}:clearing"


def escrow(order_id: str) -> str:
    """What an order's buyer has paid and nobody has earned yet (liability)."""
    return f"order:{order_id}:escrow"


def suspense(channel: str) -> str:
    """Money that came by a channel and fits no order (liability); a Break says why."""
    return f"suspense:{channel}"


def payee_pending(payee: str) -> str:
    """What is owed to a creator, merchant or platform and not yet due (liability)."""
    return f"payee:{payee}:pending"


_TYPES: tuple[tuple[str, str, AccountType], ...] = (
    ("channel:", ":clearing", AccountType.ASSET),
    ("channel:", ":settled", AccountType.ASSET),
    ("order:", ":escrow", AccountType.LIABILITY),
    ("payee:", ":pending", AccountType.LIABILITY),
    ("suspense:", "", AccountType.LIABILITY),
    ("dispute:", "", AccountType.ASSET),
    ("cost:channel:", "", AccountType.EXPENSE),
)
_SINGLE: dict[str, AccountType] = {HUB_FEES: AccountType.INCOME, ROUNDING: AccountType.EQUITY}


def account_type(address: str) -> AccountType:
    """The type of an account of the chart; an address outside it is a fault."""
    if address in _SINGLE:
        return _SINGLE[address]
    for start, end, type_ in _TYPES:
        if address.startswith(start) and address.endswith(end) and len(address) > len(start) + len(end):
            return type_
    raise UnknownAccount(address)


def charge(order_id: str, channel: str, received: Money, order_currency: str) -> tuple[Posting, ...]:
    """The posting of what a channel really took: to the order's escrow, or to suspense in another currency.

    None for an amount of 0: a channel may say so, and an entry without postings is a fault.
    """
    if received.amount_minor == 0:
        return ()
    target = escrow(order_id) if received.currency == order_currency else suspense(channel)
    return (Posting(clearing(channel), target, received.currency, received.amount_minor),)


# ---- giving back -----------------------------------------------------------------------------------------------------


class ReservationState(StrEnum):
    """PENDING ends exactly once."""

    PENDING = "PENDING"
    POSTED = "POSTED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Postings that are promised: what they take is held by nobody else, until they are posted or given up."""

    id: str
    reference: str  # of what it is for; used once
    kind: str
    order_id: str
    postings: tuple[Posting, ...]
    state: ReservationState
    created_at_us: int
    ended_at_us: int | None


def held(postings: Iterable[Posting], reserved: Iterable[Posting], asset: str) -> dict[str, int]:
    """What each party still holds of an order, from the order's own postings, less what is promised already.

    Parties are the accounts that are ours to give from: escrow, suspense, payees and the hub's fee. In the order of
    their first posting, which is the order of the agreement's parties.
    """
    holds: dict[str, int] = {}
    for posting in postings:
        if posting.asset == asset:
            _add(holds, posting.credit, posting.amount_minor)
            _add(holds, posting.debit, -posting.amount_minor)
    for posting in reserved:
        if posting.asset == asset:
            _add(holds, posting.debit, -posting.amount_minor)
    return {address: amount for address, amount in holds.items() if amount > 0}


def _add(holds: dict[str, int], address: str, amount: int) -> None:
    if account_type(address) in _HOLDERS:
        holds[address] = holds.get(address, 0) + amount


_HOLDERS = frozenset({AccountType.LIABILITY, AccountType.INCOME})


def taken_from(holds: Mapping[str, int], amount: Money, target: str) -> tuple[Posting, ...]:
    """The postings that take `amount` back to `target`: what nobody has earned yet first, the rest from each holder by
    what it still holds (largest remainder, ties to the earlier party), so that no piece leaves anybody below 0.

    Raises NotHeld where all together hold less.
    """
    if amount.amount_minor > sum(holds.values()):
        raise NotHeld(f"{amount.amount_minor} of {sum(holds.values())} {amount.currency}")
    unreleased = {address: held_ for address, held_ in holds.items() if _is_unreleased(address)}
    first = min(amount.amount_minor, sum(unreleased.values()))
    earned = {address: held_ for address, held_ in holds.items() if address not in unreleased}
    parts = [*_parts(unreleased, first), *_parts(earned, amount.amount_minor - first)]
    return tuple(Posting(address, target, amount.currency, part) for address, part in parts if part)


def _is_unreleased(address: str) -> bool:
    return address.startswith(("order:", "suspense:"))


def _parts(holds: Mapping[str, int], amount: int) -> list[tuple[str, int]]:
    return list(zip(holds, largest_remainder(amount, [*holds.values()]), strict=True))


def mirrored(postings: Sequence[Posting]) -> tuple[Posting, ...]:
    """The same by its own parts, the other way."""
    return tuple(Posting(one.credit, one.debit, one.asset, one.amount_minor) for one in postings)


def movements(entry: JournalEntry) -> tuple[Movement, ...]:
    """What an entry does to each account it touches, in the order in which accounts are locked."""
    sums: dict[tuple[str, str], list[int]] = {}
    for posting in entry.postings:
        sums.setdefault((posting.debit, posting.asset), [0, 0])[0] += posting.amount_minor
        sums.setdefault((posting.credit, posting.asset), [0, 0])[1] += posting.amount_minor
    return tuple(
        Movement(address, asset, account_type(address), debits, credits)
        for (address, asset), (debits, credits) in sorted(sums.items())
    )


def fold(postings: Iterable[Posting]) -> dict[tuple[str, str], tuple[int, int]]:
    """(debits, credits) of every account and asset, from nothing but the postings."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for posting in postings:
        debits, credits = sums.get((posting.debit, posting.asset), (0, 0))
        sums[posting.debit, posting.asset] = (debits + posting.amount_minor, credits)
        debits, credits = sums.get((posting.credit, posting.asset), (0, 0))
        sums[posting.credit, posting.asset] = (debits, credits + posting.amount_minor)
    return sums
