"""What a payment channel may do besides: answer disputes."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hub.domain.disputes import Dispute, DisputeWord
from hub.domain.payments import PaymentAttempt, Result


@dataclass(frozen=True, slots=True)
class DisputeReply:
    """What a channel said to an answer. DONE: it was taken; DECLINED or REJECTED: it was not; else nobody knows yet."""

    result: Result
    word: DisputeWord | None = None  # what the dispute is now, where the channel says so


@runtime_checkable
class AnswersDisputes(Protocol):
    """What a channel can do besides, if its provider lets disputes be answered by its API: both may be repeated with
    the same dispute, whose `answer_key` is the channel's idempotency key. Raise as a Channel does: never."""

    async def submit_evidence(self, attempt: PaymentAttempt, dispute: Dispute, evidence: str) -> DisputeReply:
        """Send the merchant's evidence, once and for all."""

    async def accept_dispute(self, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
        """Give in: the money is the payer's."""
