"""What a purchase with a stablecoin is on chain: its terms, its names, its amounts. Names are hashes, so that what a
buyer pays for can be checked by anybody, and nothing else can be paid under the key that a hub waits for.

Bytes in, bytes out, as in `anchors`: `keccak` is handed in. The layouts are CheckoutSplitter's (contracts).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hub.domain.money import CURRENCIES, MAX_MINOR, Money

Keccak = Callable[[bytes], bytes]

CHANNEL = "stablecoin"  # whose payments are purchases on chain, by their buyers themselves
FULL_BPS = 10_000
MAX_PARTS = 16  # payees of a split: what the contract divides in one go
NO_TERM = 0  # seconds of a right without end
WAYS = ("permit", "authorization", "approve")  # how a wallet lets the contract take the coins

_ORDER_KEY = re.compile("0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Part:
    """A payee's address and basis points, of which a split has 10,000."""

    payee: bytes
    bps: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer's name stands for. `price` in units of the token, `term` in seconds (NO_TERM: without end)."""

    token: bytes
    price: int
    token_id: int
    term: int
    split_id: bytes

    @property
    def words(self) -> tuple[bytes, ...]:
        return _address(self.token), _number(self.price), _number(self.token_id), _number(self.term), self.split_id


@dataclass(frozen=True, slots=True)
class Purchase:
    """Which purchase of an offer: the hub's own word for it, who gets the right, the last second, and who pays."""

    reference: bytes
    to: bytes
    deadline: int
    payer: bytes

    @property
    def order_words(self) -> tuple[bytes, ...]:
        """What the contract calls its Order; the payer stands apart there."""
        return self.reference, _address(self.to), _number(self.deadline)


@dataclass(frozen=True, slots=True)
class Sale:
    """What an order sells, as its frozen ShareAgreement shares it: payee None is the hub's own fee."""

    token_id: int
    price: Money
    shares: tuple[tuple[str | None, int], ...]


@dataclass(frozen=True, slots=True)
class Wallet:
    """How and from which address a buyer pays: the `method` of a stablecoin attempt."""

    way: str
    address: bytes


def wallet_of(method: str | None) -> Wallet | None:
    """`permit:0x…`, `authorization:0x…` or `approve:0x…`; None for anything else."""
    way, _, address = (method or "").partition(":")
    if way not in WAYS or len(address) != 42 or not address.startswith("0x"):
        return None
    try:
        octets = bytes.fromhex(address[2:])
    except ValueError:
        return None
    return Wallet(way, octets) if any(octets) else None


def split_id(parts: Sequence[Part], keccak: Keccak) -> bytes:
    """The name of a split: keccak(abi.encode(parts))."""
    words = [_number(32), _number(len(parts))]
    for part in parts:
        words += [_address(part.payee), _number(part.bps)]
    return keccak(b"".join(words))


def offer_id(terms: Terms, keccak: Keccak) -> bytes:
    """The name of an offer: keccak(abi.encode(terms))."""
    return keccak(b"".join(terms.words))


def order_key(chain_id: int, splitter: bytes, offer: bytes, purchase: Purchase, keccak: Keccak) -> bytes:
    """The name of a purchase: what the contracts know it by."""
    place = _number(chain_id) + _address(splitter) + offer
    return keccak(place + b"".join(purchase.order_words) + _address(purchase.payer))


def order_key_in(reference: str | None) -> bytes | None:
    """The order key by which the channel refers to a purchase; None for anything else."""
    return bytes.fromhex(reference[2:]) if reference is not None and _ORDER_KEY.fullmatch(reference) else None


def parts_of(shares: Sequence[tuple[str | None, int]], address_of: Callable[[str | None], bytes | None]) -> list[Part]:
    """The split of an agreement: empty shares left out, shares of one address put together, in party order. Raises
    KeyError with a payee whose address is not known."""
    bps_by_address: dict[bytes, int] = {}
    for payee, bps in shares:
        if bps == 0:
            continue
        address = address_of(payee)
        if address is None:
            raise KeyError(payee)
        bps_by_address[address] = bps_by_address.get(address, 0) + bps
    return [Part(address, bps) for address, bps in bps_by_address.items()]


def units_of(money: Money, decimals: int) -> int | None:
    """Money in units of a token of so many decimals; None if it has no exact form there. Nothing is rounded."""
    if decimals >= money.scale:
        return money.amount_minor * _ten_to(decimals - money.scale)
    units, rest = divmod(money.amount_minor, _ten_to(money.scale - decimals))
    return None if rest else units


def money_of(units: int, currency: str, decimals: int) -> Money | None:
    """Units of a token as money; None if it has no exact form there, or is more than money can be."""
    scale = CURRENCIES[currency]
    if decimals <= scale:
        minor, rest = units * _ten_to(scale - decimals), 0
    else:
        minor, rest = divmod(units, _ten_to(decimals - scale))
    return None if rest or minor > MAX_MINOR else Money(minor, currency)


def _ten_to(exponent: int) -> int:
    return int("1" + "0" * exponent)


def _number(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address(address: bytes) -> bytes:
    return address.rjust(32, b"\0")
