"""Orders."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain import orders as domain
from hub.domain.disputes import DisputeState
from hub.domain.orders import ChainStatus, ChargeStatus, FulfilmentStatus, OrderStatus
from resolvers import anchors, orders, refunds
from resolvers.scalars import Instant
from schema.anchors import AnchorBatch, Proof, Receipt
from schema.catalogue import Course, Listing, Platform
from schema.connections import Connection, Node
from schema.cost import FREE, ONE_LIST, ONE_TREE
from schema.fields import BY_ID, changed_by, plain, relation, represents, resolved_by
from schema.money import Money
from schema.payloads import Payload
from schema.payments import PaymentIntent
from schema.people import User

if TYPE_CHECKING:
    from schema.disputes import Dispute
    from schema.entitlements import Entitlement
    from schema.refunds import Refund

LazyDispute = Annotated["Dispute", strawberry.lazy("schema.disputes")]
LazyRefund = Annotated["Refund", strawberry.lazy("schema.refunds")]
LazyEntitlement = Annotated["Entitlement", strawberry.lazy("schema.entitlements")]


@represents("OrderRow", domain.Order)
@strawberry.type(
    description="A purchase of one course: price and parties are fixed when it is made.", directives=[BY_ID]
)
class Order(Node):
    number: str = plain("What people read out.")
    status: OrderStatus = plain("How far it is.")
    charge_status: ChargeStatus = plain("How what came compares with the total.")
    fulfilment_status: FulfilmentStatus = plain("What became of the right it gives.")
    chain_status: ChainStatus = plain("How far its record is on chain.")
    total: Money = plain("The price, fixed.")
    received_amount: Money = resolved_by(orders.received_amount, "All that came, late and surplus money included.")
    created_at_us: Instant = plain("When it was made.", name="createdAt")
    paid_at_us: Instant | None = plain("When it was paid.", name="paidAt")
    deadline_us: Instant = plain("Until when it waits for its money.", name="deadlineAt")
    closed_at_us: Instant | None = plain("When it expired or was canceled.", name="closedAt")
    listing: Listing = relation("listing", "What was bought, as the platform lists it now.")
    course: Course = relation("course", "The course.")
    platform: Platform = relation("platform", "Where it was bought.")
    buyer: User | None = relation("buyer", "Who bought it.")
    payment_intent: PaymentIntent | None = resolved_by(
        orders.payment_intent, "The wish to be paid; null for a total of 0.", FREE
    )
    entitlement: LazyEntitlement | None = relation("entitlement", "The buyer's right to the course, once there is one.")
    anchor_batch: AnchorBatch | None = relation(
        "anchor_batch", "The batch that holds its record; null for a platform where its right is on chain by itself."
    )
    proof: Proof | None = resolved_by(
        anchors.proof, "Its inclusion proof; null unless the batch is CONFIRMED or FINALIZED.", ONE_TREE
    )
    receipt: Receipt | None = resolved_by(
        anchors.receipt, "The hub's signed word with the opening: the buyer's alone, null for everybody else.", FREE
    )
    refunded_amount: Money = resolved_by(refunds.refunded_amount, "All that was given back.", FREE)
    refundable: Money = resolved_by(
        refunds.refundable,
        "The most that one refundCreate may give back now: of one charge, less what is given back, on its way, or lost "
        "by disputes. 0 while a dispute is open, or where the channel gives nothing back.",
        ONE_LIST,
    )
    refunds: list[LazyRefund] = relation("refunds", "Its refunds, the oldest first; at most 100.", most=100)
    dispute_status: DisputeState | None = resolved_by(
        orders.dispute_status,
        "The state of the dispute that needs somebody most: for the selling platform and staff. Null for its buyer, "
        "who is not always the card's holder and hears from the bank, and where there is none.",
        ONE_LIST,
    )
    disputes: list[LazyDispute] = relation(
        "disputes", "Its disputes that you may see, the oldest first; at most 100.", most=100
    )


@strawberry.type(description="What orderCreate came to.")
class OrderCreatePayload(Payload):
    order: Order | None = relation("order", "The order; null if it was refused.")


@strawberry.type(description="What orderCancel came to.")
class OrderCancelPayload(Payload):
    order: Order | None = relation("order", "The order; null if it was refused.")


@strawberry.type
class OrderQueries:
    order: Order | None = resolved_by(orders.order, "One order, by id or number; null if it is not yours.")
    orders: Connection[Order] = resolved_by(orders.all_orders, "The orders that you may see, the newest first.")


@strawberry.type
class OrderMutations:
    order_create: OrderCreatePayload = changed_by(
        orders.order_create, "Order a course: number and price are fixed. A known price of 0 is granted at once."
    )
    order_cancel: OrderCancelPayload = changed_by(
        orders.order_cancel, "Cancel an order that awaits its payment; refused while an attempt is live."
    )
