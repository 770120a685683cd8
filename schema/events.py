"""The log as types: one for each kind of event, the same in query, subscription and webhook."""

from typing import Annotated

import strawberry

from hub.domain import events as domain
from hub.domain.catalogue import ListingState
from hub.domain.disputes import DisputeState
from hub.domain.entitlements import EntitlementState, GrantSource, TokenState
from hub.domain.orders import ChainStatus, ChargeStatus, OrderStatus
from hub.domain.payments import AttemptState
from hub.domain.reconciliation import BreakKind
from hub.domain.refunds import RefundState
from resolvers import events, subjects
from resolvers.scalars import Instant
from schema.catalogue import Course, Listing
from schema.cost import FREE, PART_OF_THE_LOG
from schema.entitlements import Entitlement
from schema.fields import described, plain, relation, represents, resolved_by, streamed_by
from schema.money import Money
from schema.orders import Order

described(
    events.EventKind,
    "What happened.",
    {
        "ORDER_CREATED": "An order was made.",
        "ORDER_PAID": "An order's price is here.",
        "ORDER_MONEY_CHANGED": "Money came that does not pay the order.",
        "ORDER_CANCELED": "The buyer gave an order up.",
        "ORDER_EXPIRED": "An order's deadline passed unpaid.",
        "ORDER_REFUNDED": "Money of an order was given back, or that was reversed.",
        "ORDER_RECORDED": "The record of an order moved on chain.",
        "PAYMENT_ATTEMPT_CHANGED": "An attempt has another state.",
        "REFUND_CHANGED": "A refund has another state.",
        "PAYMENT_RECORDED": "A request has an end, and its leaf waits for a batch.",
        "ENTITLEMENT_GRANTED": "A right was given.",
        "ENTITLEMENT_REVOKED": "A right was taken back.",
        "ENTITLEMENT_SUSPENDED": "A source of a right is held back.",
        "ENTITLEMENT_RESUMED": "A source of a right stands again.",
        "ENTITLEMENT_TOKEN_CHANGED": "The token of a right was claimed or burned, or not any more: no platform's.",
        "DISPUTE_OPENED": "A charge is contested.",
        "DISPUTE_CHANGED": "A dispute has another state, amount or deadline.",
        "DISPUTE_DUE": "The deadline for evidence comes near, or has passed.",
        "LISTING_CHANGED": "A listing is new or has changed.",
        "MEMBER_LINKED": "A platform's member belongs to a user now.",
        "BREAK_OPENED": "Money differs from the books.",
    },
)

_NOW = ", as it is now; null if there is none or it is not yours to see."
_BUYER = "Who buys, under the name that the reader of this stream knows."


@strawberry.interface(description="Something happened to an order; its fields as they were then.")
class OrderEvent:
    order_id: strawberry.ID = plain("Which order.")
    number: str = plain("Its number.")
    listing_id: strawberry.ID = plain("What was bought.")
    external_id: str = plain("The platform's own id of the listing; empty where it has none.")
    buyer: str = plain(_BUYER)
    amount: Money = resolved_by(events.amount, "The order's total.")
    status: OrderStatus = plain("How far the order was.")
    charge_status: ChargeStatus = plain("How what had come compared with the total.")
    chain_status: ChainStatus = plain("How far its record was on chain.")


@represents(domain.OrderCreated)
@strawberry.type(description="An order was made.")
class OrderCreated(OrderEvent):
    pass


@represents(domain.OrderPaid)
@strawberry.type(description="An order's price is here.")
class OrderPaid(OrderEvent):
    pass


@represents(domain.OrderMoneyChanged)
@strawberry.type(
    description="Money came that does not pay the order: too little, too much, too late, another currency."
)
class OrderMoneyChanged(OrderEvent):
    pass


@represents(domain.OrderCanceled)
@strawberry.type(description="The buyer gave an order up.")
class OrderCanceled(OrderEvent):
    pass


@represents(domain.OrderExpired)
@strawberry.type(description="An order's deadline passed unpaid.")
class OrderExpired(OrderEvent):
    pass


@represents(domain.OrderRefunded)
@strawberry.type(description="Money of an order was given back, or that was reversed: see status.")
class OrderRefunded(OrderEvent):
    pass


@represents(domain.OrderRecorded)
@strawberry.type(description="The record of an order moved on chain.")
class OrderRecorded(OrderEvent):
    pass


@represents(domain.PaymentAttemptChanged)
@strawberry.type(description="An attempt has another state.")
class PaymentAttemptChanged:
    payment_attempt_id: strawberry.ID = plain("Which attempt.")
    order_id: strawberry.ID = plain("Of which order.")
    channel: str = plain("On which channel.")
    state: AttemptState = plain("What was known of it.")
    code: str | None = plain("The channel's own word, where it gave one.")


@represents(domain.RefundChanged)
@strawberry.type(description="A refund has another state.")
class RefundChanged:
    refund_id: strawberry.ID = plain("Which refund.")
    order_id: strawberry.ID = plain("Of which order.")
    channel: str = plain("By which channel.")
    amount: Money = resolved_by(events.amount, "How much.")
    state: RefundState = plain("What was known of it.")
    code: str | None = plain("The channel's own word, where it gave one.")


@represents(domain.PaymentRecorded)
@strawberry.type(description="A request has an end, and its leaf waits for a batch.")
class PaymentRecorded:
    leaf_id: strawberry.ID = plain("The leaf.")
    order_id: strawberry.ID = plain("Of which order.")


@strawberry.interface(description="Something happened to a right.")
class EntitlementEvent:
    entitlement_id: strawberry.ID = plain("Which right.")
    course_id: strawberry.ID = plain("To which course.")
    listing_id: strawberry.ID = plain("The listing of the reader's own platform; else the one that was bought.")
    external_id: str = plain("The platform's own id of that listing; empty where it has none.")
    buyer: str = plain(_BUYER)
    source: GrantSource = plain("Where the right comes from.")
    order_id: strawberry.ID | None = plain("The order, where it is the reader's to know.")
    state: EntitlementState = plain("Whether the right stood then.")


@represents(domain.EntitlementGranted)
@strawberry.type(description="A right was given: open the course.")
class EntitlementGranted(EntitlementEvent):
    pass


@represents(domain.EntitlementRevoked)
@strawberry.type(description="A right was taken back: close the course.")
class EntitlementRevoked(EntitlementEvent):
    pass


@represents(domain.EntitlementSuspended)
@strawberry.type(description="One of its sources is held back: close the course unless `state` is ACTIVE.")
class EntitlementSuspended(EntitlementEvent):
    pass


@represents(domain.EntitlementResumed)
@strawberry.type(description="A source that was held back, or ended by a refund or dispute, stands again: open it.")
class EntitlementResumed(EntitlementEvent):
    pass


@represents(domain.EntitlementTokenChanged)
@strawberry.type(
    description="The token of a right was claimed or burned on chain, or the chain took that back. Not told to "
    "platforms, which would know the wallet by the hour."
)
class EntitlementTokenChanged(EntitlementEvent):
    token_state: TokenState = plain("How far the token was then.")


@strawberry.interface(description="Something happened to a dispute; the selling platform's and operators' business.")
class DisputeEvent:
    dispute_id: strawberry.ID = plain("Which dispute.")
    order_id: strawberry.ID = plain("Of which order.")
    channel: str = plain("On which channel.")
    state: DisputeState = plain("How far it was.")
    amount: Money = resolved_by(events.amount, "What is contested.")
    reason: str | None = plain("The channel's own word for why, where it gave one.")
    evidence_due_at_us: Instant | None = plain("Until when evidence is taken.", name="evidenceDueAt")


@represents(domain.DisputeOpened)
@strawberry.type(description="A channel tells of a dispute for the first time.")
class DisputeOpened(DisputeEvent):
    pass


@represents(domain.DisputeChanged)
@strawberry.type(description="A dispute has another state, amount or deadline.")
class DisputeChanged(DisputeEvent):
    pass


@represents(domain.DisputeDue)
@strawberry.type(
    description="Nobody has answered a dispute, and its deadline comes near or has passed by the event's time."
)
class DisputeDue(DisputeEvent):
    pass


@represents(domain.ListingChanged)
@strawberry.type(description="A listing is new or has another price, title or state.")
class ListingChanged:
    listing_id: strawberry.ID = plain("Which listing.")
    platform_id: strawberry.ID = plain("On which platform.")
    course_id: strawberry.ID = plain("Of which course.")
    external_id: str = plain("The platform's own id of it.")
    state: ListingState = plain("Whether it was on sale.")


@represents(domain.MemberLinked)
@strawberry.type(description="A platform's member belongs to a user now.")
class MemberLinked:
    member_id: strawberry.ID = plain("Which member.")
    platform_id: strawberry.ID = plain("Of which platform.")
    external_id: str = plain("The platform's own id of the member.")
    buyer: str = plain("The user, under the name that the reader of this stream knows.")


@represents(domain.BreakOpened)
@strawberry.type(description="Money differs from the books and a person has to look.")
class BreakOpened:
    break_id: strawberry.ID = plain("Which difference.")
    break_kind: BreakKind = plain("What differs.")
    subject_id: strawberry.ID = plain("Of what.")
    order_id: strawberry.ID | None = plain("Of which order, where it is known.")
    detail: str = plain("In words.")


EventPayload = Annotated[
    OrderCreated
    | OrderPaid
    | OrderMoneyChanged
    | OrderCanceled
    | OrderExpired
    | OrderRefunded
    | OrderRecorded
    | PaymentAttemptChanged
    | RefundChanged
    | PaymentRecorded
    | EntitlementGranted
    | EntitlementRevoked
    | EntitlementSuspended
    | EntitlementResumed
    | EntitlementTokenChanged
    | DisputeOpened
    | DisputeChanged
    | DisputeDue
    | ListingChanged
    | MemberLinked
    | BreakOpened,
    strawberry.union("EventPayload", description="What happened, with the fields of its kind. Kinds may be added."),
]


@represents(domain.Logged, subjects.Shown)
@strawberry.type(description="One event of a stream. Delivered at least once over reconnects: deduplicate by id.")
class EventEnvelope:
    id: strawberry.ID = plain("Unique over all streams.")
    cursor: str = resolved_by(events.cursor, "Go on after this event with `after`.")
    kind: events.EventKind = plain("What happened.")
    occurred_at_us: Instant = plain("When it was recorded.", name="occurredAt")
    subject: strawberry.ID = plain("What it happened to.")
    subject_version: int = plain("Which version of the subject it made.")
    payload: EventPayload = resolved_by(events.payload, "The fields of its kind.", FREE)
    order: Order | None = resolved_by(subjects.order, f"The order that it is about{_NOW}")
    entitlement: Entitlement | None = resolved_by(subjects.entitlement, f"The right that it is about{_NOW}")
    course: Course | None = resolved_by(subjects.course, f"The course of that right or listing{_NOW}")
    listing: Listing | None = resolved_by(subjects.listing, f"The listing that it is about{_NOW}")


@represents(events.EventPageInfo)
@strawberry.type(description="Where a part of a stream stands.", directives=[FREE])
class EventPageInfo:
    has_next: bool = plain("Whether events follow.", name="hasNextPage")
    has_previous: bool = plain("Whether the part began after a cursor.", name="hasPreviousPage")
    start_cursor: str | None = plain("Cursor of the first event; null on an empty part.")
    end_cursor: str = plain("Go on with this one; also on an empty part.")


@strawberry.type(description="One event with its cursor.", directives=[FREE])
class EventEdge:
    cursor: str = resolved_by(events.cursor, "Go on after this event with `after`.")
    node: EventEnvelope = resolved_by(events.itself, "The event.")


@represents(events.EventPage)
@strawberry.type(description="Part of a stream, in order.", directives=[PART_OF_THE_LOG])
class EventConnection:
    edges: list[EventEdge] = plain("The events with their cursors.")
    rows: list[EventEnvelope] = plain("The events.", name="nodes")
    page_info: EventPageInfo = plain("Where this part stands.")


@represents(events.OrderUpdate)
@strawberry.type(description="An event of an order, and the order as it is now.")
class OrderUpdate:
    event: EventEnvelope = plain("What happened.")
    order: Order = relation("order", "The order as it is now.")


@strawberry.type
class EventQueries:
    events: EventConnection = resolved_by(
        events.events, "A part of a stream: your own, or for operators any. Absent `after` reads from the oldest."
    )


@strawberry.type
class EventSubscriptions:
    order_updated: OrderUpdate = streamed_by(
        events.order_updated, "What happens to one order of yours; absent `after` follows from now."
    )
    events: EventEnvelope = streamed_by(
        events.followed, "A stream from a cursor on and then live, in order and without gap."
    )
