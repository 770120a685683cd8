"""Disputes."""

import strawberry

from hub.domain.disputes import AnswerKind, AnswerState, DisputeAction, DisputeState
from resolvers import disputes
from resolvers.scalars import Instant
from schema.connections import Connection, Node
from schema.cost import FREE
from schema.fields import changed_by, plain, relation, represents, resolved_by
from schema.money import Money
from schema.orders import Order
from schema.payloads import Payload


@represents("DisputeRow")
@strawberry.type(
    description="A charge that the payer contests at the bank. The selling platform and operators see it."
)
class Dispute(Node):
    state: DisputeState = plain("How far it is.")
    channel: str = plain("Code of the channel.")
    channel_ref: str = plain("What the provider knows it by.", name="channelReference")
    amount: Money = plain("What is contested.")
    reason: str | None = plain("The channel's own word for why, where it gave one.")
    evidence_due_at_us: Instant | None = plain(
        "Until when the channel takes evidence; null where it named no deadline.", name="evidenceDueAt"
    )
    fee: Money | None = plain("What the channel takes for it, win or lose, where it said so.", costs=FREE)
    held_amount: Money = plain("What the channel holds of it now.", costs=FREE)
    lost_amount: Money = plain("What was lost by it.", costs=FREE)
    answered_by: AnswerKind | None = plain("What was answered last; null if nothing was, by this hub.")
    answer_state: AnswerState | None = plain("How far that answer is.")
    answer_code: str | None = plain("The channel's own word for why it refused that answer.")
    allowed_actions: list[DisputeAction] = plain("What the merchant can do now.")
    created_at_us: Instant = plain("When the hub first heard of it.", name="createdAt")
    order: Order | None = relation("order", "Of which order.")


@strawberry.type
class DisputeQueries:
    dispute: Dispute | None = resolved_by(disputes.dispute, "One dispute; null alike for unknown and not yours.")
    disputes: Connection[Dispute] = resolved_by(
        disputes.all_disputes, "The disputes that you may see, the newest first: for platforms and operators."
    )


@strawberry.type(description="What disputeSubmitEvidence came to.")
class DisputeSubmitEvidencePayload(Payload):
    dispute: Dispute | None = relation("dispute", "The dispute; null if there is none that is yours.")


@strawberry.type(description="What disputeAccept came to.")
class DisputeAcceptPayload(Payload):
    dispute: Dispute | None = relation("dispute", "The dispute; null if there is none that is yours.")


@strawberry.type
class DisputeMutations:
    dispute_submit_evidence: DisputeSubmitEvidencePayload = changed_by(
        disputes.dispute_submit_evidence,
        "Answer a dispute with evidence, once. Sent again until the channel is known to have taken or refused it.",
    )
    dispute_accept: DisputeAcceptPayload = changed_by(
        disputes.dispute_accept, "Give in to a dispute: the money is the payer's, for good."
    )
