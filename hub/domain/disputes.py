"""Dispute 争议: the payer's bank wants money back. Its rank only rises, so a late warning never downgrades it.

EARLY_WARNING < NEEDS_RESPONSE < UNDER_REVIEW < WON, LOST, ACCEPTED, PREVENTED
"""

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.money import Money


class DisputeState(StrEnum):
    EARLY_WARNING = "EARLY_WARNING"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    WON = "WON"
    LOST = "LOST"
    ACCEPTED = "ACCEPTED"
    PREVENTED = "PREVENTED"


@dataclass(frozen=True, slots=True)
class DisputeWord:
    """What a channel said about a dispute: mapped and verified, never decided upon."""

    channel_ref: str  # the channel's id of the dispute
    state: DisputeState
    amount: Money
    reason: str | None
    evidence_due_at_us: int | None
    fee: Money | None = None  # what the channel takes for it, where it says so
