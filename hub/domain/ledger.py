"""The books: accounts, postings that name both sides, entries that cannot fail to balance (handbook 02 §6).

LedgerFault                 no client can do anything about these: flows check before what a client may cause
├── EntryIsEmpty
├── AmountMustBePositive
├── SameAccount
├── UnknownAccount
├── ReferenceTaken          (raised by the store: the reference is a database constraint)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hub.domain.money import CURRENCIES, Money

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
