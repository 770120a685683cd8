"""Prefixed sortable ids, order numbers, and the Draw: all the time and chance that a unit needs, drawn beforehand."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

# Crockford's base 32 in lower case: no i, l, o, u to misread.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]  # ten bits a step: a sale makes two dozen ids

# Which kind of object an id names. The hub finds the type by the prefix; clients never parse it.
PREFIXES: dict[str, str] = {
    "usr": "User",
    "plt": "Platform",
    "mer": "Merchant",
    "crs": "Course",
    "lst": "Listing",
    "mem": "Member",
    "ord": "Order",
    "pin": "PaymentIntent",
    "pat": "PaymentAttempt",
    "rfn": "Refund",
    "rsv": "Reservation",
    "dsp": "Dispute",
    "ent": "Entitlement",
    "grt": "Grant",
    "anb": "AnchorBatch",
    "lef": "Leaf",
    "brk": "Break",
    "evt": "Event",
    "ntc": "Notice",
    "rul": "RoutingRule",
    "whe": "WebhookEndpoint",
    "whd": "WebhookDelivery",
    "jen": "JournalEntry",
    "sha": "ShareAgreement",
    "idn": "Identity",
    "wal": "Wallet",
    "key": "ApiKey",
    "iss": "TrustedIssuer",
    "aud": "AuditEntry",
}
ID_LENGTH = 26  # characters after the prefix and its underscore: 130 bits hold a 128-bit uuid7
MAX_IDEMPOTENCY_KEY = 255  # characters; what the field's other providers take


@dataclass(frozen=True, slots=True)
class Draw:
    """One moment and one seed. A unit that runs twice with the same Draw writes the same rows."""

    now_us: int  # microseconds since 1970, UTC
    seed: bytes  # 32 random bytes
    owner: str = "nobody"  # the process that draws: whose leases these are

    def id(self, prefix: str, *parts: object) -> str:
        """A uuid7 under `prefix`; the same `parts` give the same id, other parts another."""
        random = self.bytes(prefix, *parts)
        value = (self.now_us // 1000) << 80 | int.from_bytes(random[:10])
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return f"{prefix}_{base32(value, ID_LENGTH)}"

    def bytes(self, *parts: object) -> bytes:
        """32 bytes that nobody can guess without the seed, the same for the same `parts`."""
        return hashlib.sha256(self.seed + repr(parts).encode()).digest()

    def order_number(self) -> str:
        """What people read out: `TB` and 13 characters, 65 bits, no order in time."""
        text = base32(int.from_bytes(self.bytes("order number")[:9]) >> 7, 13)
        return f"TB{text}".upper()


def base32(value: int, length: int) -> str:
    """`value` in `length` characters of the alphabet, most significant first."""
    shifts = range(10 * ((length + 1) // 2) - 10, -1, -10)
    return "".join([PAIRS[value >> shift & 1023] for shift in shifts])[-length:]


def kind_of(id_: str) -> str | None:
    """The type that an id names, or None if it is not one of ours."""
    prefix, _, rest = id_.partition("_")
    if len(rest) != ID_LENGTH or any(c not in ALPHABET for c in rest):
        return None
    return PREFIXES.get(prefix)


def fingerprint(operation: str, normalised: dict[str, Any]) -> str:
    """SHA-256 of a mutation's input, defaults filled in and the key itself left out: equal inputs, equal text."""
    text = json.dumps([operation, normalised], sort_keys=True, separators=(",", ":"))  # ASCII: takes any text
    return hashlib.sha256(text.encode()).hexdigest()
