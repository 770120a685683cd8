"""How scalars are written: big integers and exact decimals as strings, times in RFC 3339 UTC. Nothing is a Float."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import strawberry
from strawberry.types.scalar import ScalarDefinition

from resolvers.scalars import BigInt, CurrencyCode, Decimal, Hex, Instant

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,77})")  # 78 digits: a uint256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _whole(value: object) -> int:
    """An integer from a string of digits or from a JSON integer; never from a float."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise ValueError("BigInt is a whole number, best as a string of digits")


def _code(value: object) -> str:
    if isinstance(value, str) and len(value) <= 12:
        return value
    raise ValueError("CurrencyCode is a short text such as CNY")


def rfc3339(at_us: int) -> str:
    """Microseconds since 1970 as `2026-01-02T03:04:05.000006Z`."""
    second, fraction = divmod(at_us, 1_000_000)
    return f"{_second(second)}.{fraction:06}Z"


@lru_cache(maxsize=4096)  # what is read together mostly happened together
def _second(since_1970: int) -> str:
    return (_EPOCH + timedelta(seconds=since_1970)).isoformat(timespec="seconds").removesuffix("+00:00")


def _never(value: object) -> object:
    raise ValueError("this scalar is for output")


SCALARS: dict[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of any size, written as a string of digits.",
        serialize=str,
        parse_value=_whole,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="An exact decimal number, written as a string such as 9.90.",
        serialize=str,
        parse_value=_never,
    ),
    Instant: strawberry.scalar(
        name="DateTime",
        description="A moment in UTC as RFC 3339 with microseconds and Z.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=rfc3339,
        parse_value=_never,
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description="An ISO 4217 currency code such as CNY or USD.",
        specified_by_url="https://www.iso.org/iso-4217-currency-codes.html",
        serialize=str,
        parse_value=_code,
    ),
    Hex: strawberry.scalar(
        name="Hex",
        description="Bytes as 0x and lower-case hexadecimal digits.",
        serialize=lambda value: f"0x{value.hex()}",
        parse_value=_never,
    ),
}
