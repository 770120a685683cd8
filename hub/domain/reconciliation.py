"""差异: a Break is late, surplus, conflicting or unresolved money, open and listed until somebody settles it."""

from dataclasses import dataclass
from enum import StrEnum


class BreakKind(StrEnum):
    AMOUNT = "AMOUNT"
    CURRENCY = "CURRENCY"
    STATUS = "STATUS"
    DUPLICATE = "DUPLICATE"
    LATE_PAYMENT = "LATE_PAYMENT"
    UNRESOLVED = "UNRESOLVED"
    CHAIN = "CHAIN"
    MISSING_LOCALLY = "MISSING_LOCALLY"


class BreakState(StrEnum):
    OPEN = "OPEN"


@dataclass(frozen=True, slots=True)
class Break:
    """One difference: unique by (subject, kind) while open. `detail` says in words what differs."""

    id: str
    kind: BreakKind
    subject_id: str
    order_id: str | None
    state: BreakState
    detail: str
    created_at_us: int
