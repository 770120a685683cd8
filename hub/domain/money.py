"""Money as integers in minor units, and the only rounding laws that exist (handbook 02 §7)."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# ISO 4217 codes that prices may be in, with the number of decimals of each. A code that is not here is refused.
CURRENCIES: dict[str, int] = {
    "AED": 2, "AUD": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2,
    "GBP": 2, "HKD": 2, "HUF": 2, "IDR": 2, "ILS": 2, "INR": 2, "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3, "MOP": 2,
    "MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PHP": 2, "PLN": 2, "SAR": 2, "SEK": 2, "SGD": 2, "THB": 2,
    "TND": 3, "TRY": 2, "TWD": 2, "USD": 2, "VND": 0, "ZAR": 2,
}  # fmt: skip

# No price is dearer: a JavaScript client that reads it as a number must not lose a unit.
MAX_PRICE_MINOR = 2**53
# What a 64-bit column holds.
MAX_MINOR = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, fen) of a known currency. Never negative."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if isinstance(self.amount_minor, bool) or not isinstance(self.amount_minor, int):
            raise TypeError("amount_minor is an integer number of minor units")
        if not 0 <= self.amount_minor <= MAX_MINOR:
            raise ValueError(f"amount_minor lies between 0 and {MAX_MINOR}")
        if self.currency not in CURRENCIES:
            raise ValueError(f"unknown currency {self.currency!r}: use an ISO 4217 code such as CNY or USD")

    @property
    def scale(self) -> int:
        """How many decimals the currency has: 2 for CNY, 0 for JPY, 3 for KWD."""
        return CURRENCIES[self.currency]

    @property
    def decimal(self) -> str:
        """The amount in major units as exact decimal text: '9.90'."""
        return decimal_text(self.amount_minor, self.scale)


def decimal_text(amount_minor: int, scale: int) -> str:
    """`amount_minor` units of 10**-scale as exact decimal text, always with `scale` decimals."""
    digits = str(abs(amount_minor)).rjust(scale + 1, "0")
    sign = "-" if amount_minor < 0 else ""
    return sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def from_decimal(text: str, currency: str) -> Money:
    """Decimal text in major units, such as "9.90", as exact minor units. Raises ValueError for anything else, and for
    more decimals than the currency has."""
    scale = CURRENCIES.get(currency, 0)
    told = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,3}))?", text)
    if told is None or len(told[2] or "") > scale:
        raise ValueError(f"{text!r} is no amount of {currency}: digits, and at most {scale} decimals")
    return Money(int(told[1] + (told[2] or "").ljust(scale, "0")), currency)


def reaches(sold: Iterable[Money], values: Iterable[Money]) -> bool:
    """Whether what was sold comes to one of these values, each in its own currency."""
    sums: Counter[str] = Counter()
    for money in sold:
        sums[money.currency] += money.amount_minor
    return any(sums[value.currency] >= value.amount_minor for value in values)


def largest_remainder(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` by integer `weights`: parts sum to it exactly, none is negative, a zero weight gets zero.

    The units left after flooring go to the largest remainders; ties go to the earlier party. Raises ValueError
    for a negative amount or weight, or when there is something to split and nobody to take it.
    """
    total = sum(weights)
    if amount < 0 or any(weight < 0 for weight in weights):
        raise ValueError("amounts and weights are not negative")
    if total == 0:
        if amount:
            raise ValueError("an amount needs at least one party with a weight")
        return [0] * len(weights)
    parts = [amount * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for i in by_remainder[: amount - sum(parts)]:
        parts[i] += 1
    return parts
