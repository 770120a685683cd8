"""Intents, attempts and channels."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain import payments as domain
from hub.domain.orders import PaymentAction
from hub.domain.payments import AttemptState, CaptureMethod, IntentStatus
from resolvers import orders, payments
from resolvers.scalars import Instant
from schema.connections import Node
from schema.cost import FREE, ONE_LIST, at_most
from schema.fields import changed_by, described, plain, relation, represents, resolved_by
from schema.money import Money
from schema.payloads import Payload

if TYPE_CHECKING:
    from schema.orders import Order

LazyOrder = Annotated["Order", strawberry.lazy("schema.orders")]


class NextActionKind(StrEnum):
    """What sort of step the buyer takes; the members are the domain's words."""

    REDIRECT = "redirect"
    QR = "qr"
    FORM = "form"
    CLIENT_SECRET = "client_secret"
    TYPED_DATA = "typed_data"


described(
    NextActionKind,
    "What sort of step the buyer takes.",
    {
        "REDIRECT": "Open `url`.",
        "QR": "Show `data` as a QR code.",
        "FORM": "Send the form in `data`, a JSON text, to `url`.",
        "CLIENT_SECRET": "Give `data` to the provider's library: Stripe's client secret, WeChat's JSAPI parameters.",
        "TYPED_DATA": "Let the wallet sign `data`, a JSON text.",
    },
)


@represents(domain.NextAction)
@strawberry.type(description="What the buyer does next.")
class NextAction:
    kind: NextActionKind = plain("What sort of step.")
    url: str | None = plain("Where to, for REDIRECT and FORM.")
    data: str | None = plain("What to show or send, for QR, FORM, CLIENT_SECRET and TYPED_DATA.")
    expires_at_us: Instant | None = plain("Until when it works, where the channel says so.", name="expiresAt")


@represents(payments.LastError)
@strawberry.type(description="Why an attempt did not take the money. A decline is data, not an error.")
class LastError:
    code: str = plain("The attempt's end: DECLINED, REJECTED, NOT_SENT, EXPIRED or VOIDED.")
    provider_code: str | None = plain("The channel's own word, where it gave one.")
    retryable: bool = plain("Whether another attempt, perhaps with another card, may succeed.")


@represents("PaymentAttemptRow", domain.PaymentAttempt)
@strawberry.type(
    description="One try to be paid on one channel. Its buyer and operators see it, and the selling platform if its "
    "captureMethod is MANUAL."
)
class PaymentAttempt(Node):
    number: int = plain("Counts the order's attempts from 1.")
    channel: str = plain("Code of the channel.")
    state: AttemptState = plain("What is known of it.")
    amount: Money = plain("What was asked.")
    capture_method: CaptureMethod = plain("Whether its money is taken at once, or when the merchant says so.")
    next_action: NextAction | None = plain("What the buyer does next; null if nothing.", costs=FREE)
    last_error: LastError | None = resolved_by(
        payments.last_error, "Why it did not take the money; null if it may yet.", FREE
    )
    sent_at_us: Instant = plain("When it was last sent.", name="sentAt")
    expires_at_us: Instant = plain("After this it is closed and the channel asked.", name="expiresAt")
    unknown_since_us: Instant | None = plain("Since when its end is unknown; null if it is known.", name="unknownSince")
    created_at_us: Instant = plain("When it was made.", name="createdAt")
    order: LazyOrder | None = relation("order", "Of which order.")


@strawberry.type(description="The wish to be paid for one order; its status follows from order and attempts.")
class PaymentIntent:
    intent_id: strawberry.ID = plain("Its id.", name="id")
    intent_status: IntentStatus = plain("How far it is.", name="status")
    attempts: list[PaymentAttempt] = resolved_by(
        orders.attempts, "All tries that you may see, the first first; at most 100.", at_most(100)
    )
    allowed_actions: list[PaymentAction] = resolved_by(
        orders.allowed_actions, "What you can do now: as its buyer, or for its merchant."
    )
    unknown_since_us: Instant | None = resolved_by(
        orders.unknown_since_us, "Since when it is unknown what became of the money.", ONE_LIST, name="unknownSince"
    )


@represents(payments.AmountsView)
@strawberry.type(description="What a channel takes in one currency, both ends included.")
class ChannelAmounts:
    minimum: Money = plain("At least.")
    maximum: Money = plain("At most.")


@represents(payments.ChannelView)
@strawberry.type(description="A payment channel of this hub.")
class Channel:
    code: str = plain("What `channel` takes.")
    amounts: list[ChannelAmounts] = plain("What it takes, by currency.", costs=FREE)
    is_test_only: bool = plain("Whether no real money moves.")
    methods: list[str] = plain("What `method` may be, or begin with before a colon; empty: a token of the provider.")
    can_void: bool = plain("Whether an unpaid attempt can be closed at the channel.")
    can_authorize: bool = resolved_by(payments.can_authorize, "Whether it takes captureMethod MANUAL.", FREE)
    can_capture_partly: bool = resolved_by(
        payments.can_capture_partly, "Whether part of held money can be taken; the rest is given back.", FREE
    )
    can_refund: bool = resolved_by(payments.can_refund, "Whether money can be given back.", FREE)
    can_refund_partly: bool = resolved_by(payments.can_refund_partly, "Whether part of it can.", FREE)
    has_disputes: bool = resolved_by(payments.has_disputes, "Whether payers' banks can ask for money back.", FREE)


@strawberry.type(description="What checkout came to.")
class CheckoutPayload(Payload):
    order: LazyOrder | None = relation("order", "The order; null if none was made.")
    payment_attempt: PaymentAttempt | None = relation(
        "payment_attempt", "The attempt; null if it was refused, and for a price of 0."
    )


@strawberry.type(description="What paymentCreate came to.")
class PaymentCreatePayload(Payload):
    payment_attempt: PaymentAttempt | None = relation("payment_attempt", "The attempt; null if it was refused.")


@strawberry.type(description="What became of held money.")
class PaymentCapturePayload(Payload):
    payment_attempt: PaymentAttempt | None = relation(
        "payment_attempt", "The attempt, UNKNOWN while nobody knows; null if it was refused."
    )
    order: LazyOrder | None = relation("order", "Its order.")


@strawberry.type(description="What became of held money.")
class PaymentVoidPayload(Payload):
    payment_attempt: PaymentAttempt | None = relation(
        "payment_attempt", "The attempt, UNKNOWN while nobody knows; null if it was refused."
    )
    order: LazyOrder | None = relation("order", "Its order.")


@strawberry.type
class PaymentQueries:
    channels: list[Channel] = resolved_by(
        payments.channels,
        "The payment channels of this hub, by code; or those that fit what is to be paid.",
        at_most(10),
    )


@strawberry.type
class PaymentMutations:
    checkout: CheckoutPayload = changed_by(
        payments.checkout,
        "Order and pay in one call. A known price of 0 is granted at once, without an attempt.",
        is_attempt=True,
    )
    payment_create: PaymentCreatePayload = changed_by(
        payments.payment_create,
        "Ask one channel to collect an order's money. A decline is an attempt, not an error.",
        is_attempt=True,
    )
    payment_capture: PaymentCapturePayload = changed_by(
        payments.payment_capture,
        "Take the money that an AUTHORIZED attempt holds, once. Of a part the rest is given back to the buyer, and the "
        "order is paid with the part.",
    )
    payment_void: PaymentVoidPayload = changed_by(
        payments.payment_void, "Let go of the money that an AUTHORIZED attempt holds: its order waits for another try."
    )
