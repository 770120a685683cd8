"""Refund 退款: money of a charge on its way back. Its amount is reserved in the books before the channel is asked.

captured - refunded - reserved >= amount, or there is no refund
"""

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.money import Money


class RefundState(StrEnum):
    REQUESTED = "REQUESTED"
    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    REVERSED = "REVERSED"  # it succeeded, and then failed after all


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of one charged attempt. `key` is our reference and the channel's idempotency key in one."""

    id: str
    order_id: str
    attempt_id: str
    number: int  # counts the attempt's refunds from 1
    key: str
    amount: Money
    state: RefundState
    reason: str | None
    requested_by: str  # a principal, or the hub itself for late and surplus money
    request_key: str | None
    calls: int  # how often it was sent; 0 before the first
    sent_at_us: int | None
    heard_rank: int
    heard_at_us: int | None
    heard_key: str
    channel_ref: str | None
    code: str | None
    unknown_since_us: int | None
    version: int
    created_at_us: int
