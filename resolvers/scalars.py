"""Python's side of the scalars: values stay as the database holds them, the schema says how they are written."""

from typing import NewType

BigInt = NewType("BigInt", int)  # any size; a string in JSON
Decimal = NewType("Decimal", str)  # exact decimal text
Instant = NewType("Instant", int)  # microseconds since 1970, UTC; RFC 3339 in JSON
CurrencyCode = NewType("CurrencyCode", str)
Hex = NewType("Hex", bytes)  # 0x and lower-case digits in JSON
