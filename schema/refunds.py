"""Refunds, and what merchants want done with late money."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.refunds import LateMoney, RefundState
from resolvers import refunds
from resolvers.refunds import RefundHolder
from resolvers.scalars import Instant
from schema.connections import Node
from schema.cost import FREE, at_most
from schema.fields import changed_by, described, plain, relation, represents, resolved_by
from schema.money import Money
from schema.payloads import Payload

if TYPE_CHECKING:
    from schema.orders import Order

LazyOrder = Annotated["Order", strawberry.lazy("schema.orders")]

described(
    RefundState,
    "How far money is on its way back.",
    {
        "REQUESTED": "Promised in the books, and not at the channel yet: it can be called off.",
        "SUBMITTED": "Being sent to the channel.",
        "PENDING": "The channel works on it.",
        "UNKNOWN": "It is not known whether the channel took it; the hub keeps asking.",
        "SUCCEEDED": "Given back.",
        "FAILED": "The channel said no: its money is free again.",
        "CANCELED": "Called off: its money is free again.",
        "REVERSED": "It was given back, and came back after all.",
    },
)
described(
    RefundHolder,
    "Who gives a part of a refund back.",
    {
        "ESCROW": "Money of the order that nobody has earned yet.",
        "SUSPENSE": "Money that fits no order, such as of another currency.",
        "PAYEE": "A creator, merchant or platform: `payeeId` says which.",
        "HUB": "The hub, of its own fee.",
    },
)
described(
    LateMoney,
    "What becomes of money for an order that is closed already.",
    {
        "REFUND": "It goes back by itself.",
        "REOPEN": "It pays the order after all, if it is enough and the buyer has not got the course otherwise.",
    },
)


@represents("RefundRow")
@strawberry.type(
    description="Money of an order on its way back. Its buyer, the platform that sold and operators see it."
)
class Refund(Node):
    number: int = plain("Counts the refunds of its charge from 1.")
    channel: str = plain("Code of the channel that gives it back.")
    channel_ref: str | None = plain(
        "What the provider knows it by; null for a platform where that is a purchase on chain.", name="channelReference"
    )
    state: RefundState = plain("What is known of it.")
    amount: Money = plain("How much.")
    reason: str | None = plain("What was said when it was asked for.")
    is_automatic: bool = plain("Whether the hub gave it back by itself: late or surplus money.")
    code: str | None = plain("The channel's own word for what is wrong, where it gave one.")
    sent_at_us: Instant | None = plain("When it was last sent.", name="sentAt")
    unknown_since_us: Instant | None = plain("Since when its end is unknown; null if it is known.", name="unknownSince")
    created_at_us: Instant = plain("When it was asked for.", name="createdAt")
    order: LazyOrder | None = relation("order", "Of which order.")


@represents(refunds.RefundPart)
@strawberry.type(description="What one party gives back.", directives=[FREE])
class RefundPart:
    holder: RefundHolder = plain("Who.")
    payee_id: strawberry.ID | None = plain("Which payee, for PAYEE.")
    amount: Money = plain("How much.")


@represents(refunds.RefundPlan)
@strawberry.type(description="What a refund takes from whom.", directives=[FREE])
class RefundPlan:
    parts: list[RefundPart] = plain("Who gives back how much: parts that add up to the refund.", costs=at_most(100))


@strawberry.type(description="What refundCreate came to.")
class RefundCreatePayload(Payload):
    refund: Refund | None = relation("refund", "The refund; null if it was refused, and for a dry run.")
    plan: RefundPlan | None = relation("plan", "What it takes from whom, also of a dry run; null if it was refused.")


@strawberry.type(description="What refundCancel came to.")
class RefundCancelPayload(Payload):
    refund: Refund | None = relation("refund", "The refund; null if there is none.")


@strawberry.type(description="What merchantPolicySet came to.")
class MerchantPolicySetPayload(Payload):
    late_money: LateMoney | None = relation("late_money", "What becomes of late money; null if it was refused.")


@strawberry.type
class RefundQueries:
    refund: Refund | None = resolved_by(refunds.refund, "One refund; null alike for unknown and not yours.")


@strawberry.type
class RefundMutations:
    refund_create: RefundCreatePayload = changed_by(
        refunds.refund_create,
        "Give money of an order back, at once. What the channel refuses is a refund that FAILED, not an error.",
    )
    refund_cancel: RefundCancelPayload = changed_by(refunds.refund_cancel, "Call off a refund that no channel has yet.")
    merchant_policy_set: MerchantPolicySetPayload = changed_by(
        refunds.merchant_policy_set, "Say what becomes of money that comes for a closed order of this merchant."
    )
