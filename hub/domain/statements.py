"""账单: what a channel says it did in a day, one line for each movement of money."""

from dataclasses import dataclass
from enum import StrEnum


class LineKind(StrEnum):
    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    FEE = "FEE"
    PAYOUT = "PAYOUT"
    DISPUTE = "DISPUTE"
    SPLIT = "SPLIT"
    ADJUSTMENT = "ADJUSTMENT"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement. Amounts are minor units of `currency` and signed as we see them: money to us is positive, so a
    payment's gross is, a refund's gross and every fee are not. `net` is gross and fee together."""

    channel: str
    line_id: str  # unique in the channel's day
    kind: LineKind
    our_ref: str | None  # the attempt's key
    channel_ref: str | None
    refund_ref: str | None  # the refund's key
    gross_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    occurred_at_us: int
    raw: str  # the line as it came, without what only frames it
