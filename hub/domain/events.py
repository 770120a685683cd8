"""The hub's own record of a change, in the past tense: what happened, and to whom it is told under which names.

One fact is one row per stream: `hub`, the buyer's, the selling platform's, each honouring platform's. A platform's row
holds its own external id and its own name for the buyer, and nothing that it may not see. No personal field is ever
in a body. The `hub` row also holds the transition (from, to): it is the history of every machine.
"""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

from hub.domain.disputes import Dispute
from hub.domain.orders import Order

HUB_STREAM = "hub"


@dataclass(frozen=True, slots=True)
class Audience:
    """A stream and the names it may hold: of the buyer, of the listing there, and whether the order is its business."""

    stream: str
    buyer: str
    external_id: str
    listing_id: str
    sees_order: bool

    @property
    def is_platform(self) -> bool:
        return self.stream.startswith("plt_")


@dataclass(frozen=True, slots=True)
class Change:
    """The transition behind an event: both states, and what caused it (a mutation, a notice, a task, a fact)."""

    from_state: str
    to_state: str
    cause: str


@dataclass(frozen=True, slots=True)
class Event:
    """The root. `kind` is the GraphQL enum member; a change of fields makes a new kind."""

    kind: ClassVar[str] = ""

    def told_to(self, audience: Audience) -> "Event | None":
        """The event as this audience may see it, None if it may not."""
        raise NotImplementedError(self.kind)

    def body(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # plain values: nothing to copy


@dataclass(frozen=True, slots=True)
class OrderEvent(Event):
    """Of an order; told to whoever the order is business of."""

    order_id: str
    number: str
    listing_id: str
    external_id: str
    buyer: str
    amount_minor: int
    currency: str
    status: str
    charge_status: str
    chain_status: str

    @classmethod
    def of(cls, order: Order) -> Self:
        """The event of an order as it is now; each audience reads its own names into it."""
        return cls(
            order_id=order.id,
            number=order.number,
            listing_id=order.listing_id,
            external_id="",
            buyer="",
            amount_minor=order.total.amount_minor,
            currency=order.total.currency,
            status=order.status,
            charge_status=order.charge_status,
            chain_status=order.chain_status,
        )

    def told_to(self, audience: Audience) -> "OrderEvent | None":
        if not audience.sees_order:
            return None
        return replace(self, buyer=audience.buyer, external_id=audience.external_id)


@dataclass(frozen=True, slots=True)
class OrderCreated(OrderEvent):
    kind: ClassVar[str] = "ORDER_CREATED"


@dataclass(frozen=True, slots=True)
class OrderPaid(OrderEvent):
    kind: ClassVar[str] = "ORDER_PAID"


@dataclass(frozen=True, slots=True)
class OrderMoneyChanged(OrderEvent):
    """Money came that does not pay the order: too little, too much, too late, or in another currency."""

    kind: ClassVar[str] = "ORDER_MONEY_CHANGED"


@dataclass(frozen=True, slots=True)
class OrderCanceled(OrderEvent):
    kind: ClassVar[str] = "ORDER_CANCELED"


@dataclass(frozen=True, slots=True)
class OrderExpired(OrderEvent):
    kind: ClassVar[str] = "ORDER_EXPIRED"


@dataclass(frozen=True, slots=True)
class OrderRefunded(OrderEvent):
    """Money of the order was given back, or a refund of it was reversed: see status."""

    kind: ClassVar[str] = "ORDER_REFUNDED"


@dataclass(frozen=True, slots=True)
class OrderRecorded(OrderEvent):
    """The record of the order moved on chain: see chain_status."""

    kind: ClassVar[str] = "ORDER_RECORDED"


@dataclass(frozen=True, slots=True)
class PaymentAttemptChanged(Event):
    """An attempt has another state. The buyer's and the hub's business alone."""

    kind: ClassVar[str] = "PAYMENT_ATTEMPT_CHANGED"
    payment_attempt_id: str
    order_id: str
    channel: str
    state: str
    code: str | None

    def told_to(self, audience: Audience) -> "PaymentAttemptChanged | None":
        return None if audience.is_platform else self


@dataclass(frozen=True, slots=True)
class RefundChanged(Event):
    """A refund has another state. The business of the buyer, the selling platform and the hub."""

    kind: ClassVar[str] = "REFUND_CHANGED"
    refund_id: str
    order_id: str
    channel: str
    amount_minor: int
    currency: str
    state: str
    code: str | None

    def told_to(self, audience: Audience) -> "RefundChanged | None":
        return self if audience.sees_order else None


@dataclass(frozen=True, slots=True)
class PaymentRecorded(Event):
    """A request has an end and its leaf waits for the next batch. The hub's business alone."""

    kind: ClassVar[str] = "PAYMENT_RECORDED"
    leaf_id: str
    order_id: str

    def told_to(self, audience: Audience) -> "PaymentRecorded | None":
        return self if audience.stream == HUB_STREAM else None


@dataclass(frozen=True, slots=True)
class EntitlementEvent(Event):
    """Of a right; told to the buyer, the selling and each honouring platform. The order is the seller's business."""

    entitlement_id: str
    course_id: str
    listing_id: str
    external_id: str
    buyer: str
    source: str
    order_id: str | None
    state: str

    def told_to(self, audience: Audience) -> "EntitlementEvent | None":
        return replace(
            self,
            buyer=audience.buyer,
            external_id=audience.external_id,
            listing_id=audience.listing_id,
            order_id=self.order_id if audience.sees_order else None,
        )


@dataclass(frozen=True, slots=True)
class EntitlementGranted(EntitlementEvent):
    kind: ClassVar[str] = "ENTITLEMENT_GRANTED"


@dataclass(frozen=True, slots=True)
class EntitlementRevoked(EntitlementEvent):
    kind: ClassVar[str] = "ENTITLEMENT_REVOKED"


@dataclass(frozen=True, slots=True)
class EntitlementSuspended(EntitlementEvent):
    """One of its sources is held back: see `state` whether another one keeps it open."""

    kind: ClassVar[str] = "ENTITLEMENT_SUSPENDED"


@dataclass(frozen=True, slots=True)
class EntitlementResumed(EntitlementEvent):
    """A source that was held back, or had been ended by a refund or a dispute, stands again."""

    kind: ClassVar[str] = "ENTITLEMENT_RESUMED"


@dataclass(frozen=True, slots=True)
class EntitlementTokenChanged(EntitlementEvent):
    """A wallet has claimed the token of a right, it was burned, or the chain took that back: see token_state."""

    kind: ClassVar[str] = "ENTITLEMENT_TOKEN_CHANGED"
    token_state: str

    def told_to(self, audience: Audience) -> "EntitlementEvent | None":
        """No platform: whoever looks which wallet claimed in that minute would know its member's."""
        return None if audience.is_platform else EntitlementEvent.told_to(self, audience)


@dataclass(frozen=True, slots=True)
class DisputeEvent(Event):
    """Of a contested charge; the selling platform's and the hub's business."""

    dispute_id: str
    order_id: str
    channel: str
    state: str
    amount_minor: int
    currency: str
    reason: str | None
    evidence_due_at_us: int | None

    @classmethod
    def of(cls, dispute: Dispute) -> Self:
        return cls(
            dispute_id=dispute.id,
            order_id=dispute.order_id,
            channel=dispute.channel,
            state=dispute.state,
            amount_minor=dispute.amount.amount_minor,
            currency=dispute.amount.currency,
            reason=dispute.reason,
            evidence_due_at_us=dispute.evidence_due_at_us,
        )

    def told_to(self, audience: Audience) -> "DisputeEvent | None":
        is_seller = audience.is_platform and audience.sees_order
        return self if is_seller or audience.stream == HUB_STREAM else None


@dataclass(frozen=True, slots=True)
class DisputeOpened(DisputeEvent):
    """A channel tells of a dispute for the first time."""

    kind: ClassVar[str] = "DISPUTE_OPENED"


@dataclass(frozen=True, slots=True)
class DisputeChanged(DisputeEvent):
    """A dispute has another state, amount or deadline."""

    kind: ClassVar[str] = "DISPUTE_CHANGED"


@dataclass(frozen=True, slots=True)
class DisputeDue(DisputeEvent):
    """Nobody has answered, and the deadline for evidence comes near or has passed: compare it with the event's time."""

    kind: ClassVar[str] = "DISPUTE_DUE"


@dataclass(frozen=True, slots=True)
class ListingChanged(Event):
    """A platform's listing is new or has another price, title or state. Its platform's and the hub's business."""

    kind: ClassVar[str] = "LISTING_CHANGED"
    listing_id: str
    platform_id: str
    course_id: str
    external_id: str
    state: str

    def told_to(self, audience: Audience) -> "ListingChanged | None":
        return self if audience.stream in (HUB_STREAM, self.platform_id) else None


@dataclass(frozen=True, slots=True)
class MemberLinked(Event):
    """A platform's member belongs to a User now."""

    kind: ClassVar[str] = "MEMBER_LINKED"
    member_id: str
    platform_id: str
    external_id: str
    buyer: str

    def told_to(self, audience: Audience) -> "MemberLinked | None":
        return replace(self, buyer=audience.buyer) if audience.stream in (HUB_STREAM, self.platform_id) else None


@dataclass(frozen=True, slots=True)
class BreakOpened(Event):
    """Money differs from the books and a person has to look. The hub's business alone."""

    kind: ClassVar[str] = "BREAK_OPENED"
    break_id: str
    break_kind: str
    subject_id: str
    order_id: str | None
    detail: str

    def told_to(self, audience: Audience) -> "BreakOpened | None":
        return self if audience.stream == HUB_STREAM else None


EVENTS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        OrderCreated, OrderPaid, OrderMoneyChanged, OrderCanceled, OrderExpired, OrderRefunded, OrderRecorded,
        PaymentAttemptChanged, RefundChanged, PaymentRecorded, EntitlementGranted, EntitlementRevoked,
        EntitlementSuspended, EntitlementResumed, EntitlementTokenChanged, DisputeOpened, DisputeChanged, DisputeDue,
        ListingChanged, MemberLinked, BreakOpened,
    )
}  # fmt: skip


def from_body(kind: str, body: dict[str, Any]) -> Event:
    """The event that a stored body was; a kind that this release does not know is a fault."""
    type_ = EVENTS[kind]
    return type_(**{field.name: body[field.name] for field in fields(type_)})


class Logged(NamedTuple):
    """One row of the log as a stream's reader gets it. A tuple: a replay makes a hundred thousand of them."""

    id: str
    stream: str
    position: int
    kind: str
    subject: str
    subject_version: int
    occurred_at_us: int
    text: str  # the body as JSON, as it is stored: whoever splices it need not read it

    @property
    def body(self) -> dict[str, Any]:
        """Read anew each time."""
        body: dict[str, Any] = json.loads(self.text)
        return body

    @property
    def event(self) -> Event:
        return from_body(self.kind, self.body)
