"""R 支付请求 from the outside: ask to be paid, alone or together with the order; and which channels there are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import AttemptState, CaptureMethod, PaymentAttempt, PaymentRequest
from hub.domain.requests import Answer
from hub.flows import captures, purchase, routing
from hub.ports import Capabilities
from resolvers.context import Info
from resolvers.errors import bad_input
from resolvers.inputs import MoneyInput, id_of, key, money, storable, web_address
from resolvers.lookahead import Wanted, wanted
from resolvers.orders import IdempotencyKey, ListingToBuy, OrderId, WalletToHold, is_plain
from resolvers.payloads import Payload, told
from resolvers.reading import again

if TYPE_CHECKING:
    from hub.store.reads.payments import PaymentAttemptRow

MAX_CODE = 64  # characters of a channel's code or a method's token

ChannelCode = Annotated[
    str | None,
    strawberry.argument(
        description="Code of a payment channel, at most 64 characters: see `channels`. If it is left out, the hub "
        "chooses by the merchant's rules, and goes on to another channel where nothing was done at the first."
    ),
]
Replaced = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="The order's attempt that waits for the buyer, to be closed at its channel first: for a buyer who "
        "changes the channel. While that channel does not confirm it, the new attempt is refused."
    ),
]
Expected = Annotated[
    MoneyInput, strawberry.argument(description="What the buyer saw: an assertion. Any other price is refused.")
]
Method = Annotated[
    str | None,
    strawberry.argument(description="The channel's own token of how to pay, if it takes one; at most 64 characters."),
]
ReturnUrl = Annotated[
    str | None,
    strawberry.argument(
        description="Where the channel's page sends the buyer back to: http or https, at most 2000 characters."
    ),
]


CaptureMethodChoice = Annotated[
    CaptureMethod,
    strawberry.argument(description="MANUAL: the merchant takes the money later; not every channel can hold it."),
]
HeldAttempt = Annotated[strawberry.ID, strawberry.argument(description="The AUTHORIZED attempt.")]


async def checkout(
    info: Info,
    listing_id: ListingToBuy,
    expected_amount: Expected,
    idempotency_key: IdempotencyKey,
    channel: ChannelCode = None,
    method: Method = None,
    return_url: ReturnUrl = None,
    capture_method: CaptureMethodChoice = CaptureMethod.AUTOMATIC,
    wallet_id: WalletToHold = None,
) -> Payload:
    """`orderCreate` and `paymentCreate` in one call, under one key."""

    async def flow() -> Answer[PaymentAttempt | Order]:
        request = purchase.CheckoutRequest(
            listing_id=id_of("Listing", listing_id, "listingId"),
            channel=None if channel is None else storable(channel, "channel", MAX_CODE),
            expected=money(expected_amount, "expectedAmount"),
            idempotency_key=key(idempotency_key),
            method=None if method is None else storable(method, "method", MAX_CODE),
            return_url=None if return_url is None else web_address(return_url, "returnUrl"),
            capture_method=capture_method,
            wallet_id=None if wallet_id is None else id_of("Wallet", wallet_id, "walletId"),
        )
        return await purchase.checkout(info.context.hub, info.context.viewer, request)

    return await _payload(info, await told(flow))


async def payment_create(
    info: Info,
    order_id: OrderId,
    expected_amount: Expected,
    idempotency_key: IdempotencyKey,
    channel: ChannelCode = None,
    method: Method = None,
    return_url: ReturnUrl = None,
    capture_method: CaptureMethodChoice = CaptureMethod.AUTOMATIC,
    replaces: Replaced = None,
) -> Payload:
    """Ask one channel to collect an order's money."""

    async def flow() -> Answer[PaymentAttempt]:
        request = PaymentRequest(
            order_id=id_of("Order", order_id, "orderId"),
            channel=None if channel is None else storable(channel, "channel", MAX_CODE),
            expected=money(expected_amount, "expectedAmount"),
            idempotency_key=key(idempotency_key),
            method=None if method is None else storable(method, "method", MAX_CODE),
            return_url=None if return_url is None else web_address(return_url, "returnUrl"),
            capture_method=capture_method,
            replaces=None if replaces is None else id_of("PaymentAttempt", replaces, "replaces"),
        )
        return await purchase.request_payment(info.context.hub, info.context.viewer, request)

    answer = await told(flow)
    return await _payload(info, Answer(answer.value, answer.refusal, answer.is_replay))


async def payment_capture(
    info: Info,
    payment_attempt_id: HeldAttempt,
    idempotency_key: IdempotencyKey,
    amount: Annotated[
        MoneyInput | None,
        strawberry.argument(description="How much of what is held, in its currency; all of it if left out."),
    ] = None,
) -> Payload:
    """Take held money, all or part of it."""

    async def flow() -> Answer[PaymentAttempt]:
        return await captures.capture(
            info.context.hub,
            info.context.viewer,
            attempt_id=id_of("PaymentAttempt", payment_attempt_id, "paymentAttemptId"),
            amount=None if amount is None else money(amount, "amount"),
            idempotency_key=key(idempotency_key),
        )

    answer = await told(flow)
    return await _payload(info, Answer(answer.value, answer.refusal, answer.is_replay))


async def payment_void(info: Info, payment_attempt_id: HeldAttempt, idempotency_key: IdempotencyKey) -> Payload:
    """Let go of held money."""

    async def flow() -> Answer[PaymentAttempt]:
        return await captures.void(
            info.context.hub,
            info.context.viewer,
            attempt_id=id_of("PaymentAttempt", payment_attempt_id, "paymentAttemptId"),
            idempotency_key=key(idempotency_key),
        )

    answer = await told(flow)
    return await _payload(info, Answer(answer.value, answer.refusal, answer.is_replay))


async def _payload(info: Info, answer: Answer[PaymentAttempt | Order]) -> Payload:
    """The attempt as the flow told it unless more is selected; the order read afresh, since the payment moved it."""
    want = wanted(info)
    value, attempt, order = answer.value, None, None
    if isinstance(value, PaymentAttempt):
        attempt = value if _is_plain(want.below("payment_attempt")) else await _attempt(info, value.id)
    if value is not None and "order" in want:
        is_order = isinstance(value, Order)
        order_id = value.id if isinstance(value, Order) else value.order_id
        order = value if is_order and is_plain(want.below("order")) else await again(info, "order", "order", order_id)
    return Payload({"payment_attempt": attempt, "order": order}, answer.refusal, answer.is_replay)


async def _attempt(info: Info, id_: str) -> object:
    return await again(info, "payment_attempt", "payment_attempt", id_)


def _is_plain(want: Wanted) -> bool:
    return "order" not in want


# ---- fields ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LastError:
    """Why an attempt did not take the money, as far as anybody said."""

    code: str
    provider_code: str | None
    retryable: bool


def last_error(root: "strawberry.Parent[PaymentAttemptRow]") -> LastError | None:
    """A decline is data. Another card may do unless the channel said hard; what was never sent may be sent again."""
    state = AttemptState(root.state)
    if state in (AttemptState.DECLINED, AttemptState.REJECTED):
        return LastError(state.value, root.code, state is AttemptState.DECLINED and root.decline != "hard")
    if state in (AttemptState.NOT_SENT, AttemptState.EXPIRED, AttemptState.VOIDED):
        return LastError(state.value, root.code, retryable=root.decline != "hard")
    return None


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A configured channel."""

    code: str
    amounts: list["AmountsView"]
    methods: list[str]
    capabilities: Capabilities

    @property
    def is_test_only(self) -> bool:
        return self.capabilities.is_test_only

    @property
    def can_void(self) -> bool:
        return self.capabilities.can_void


@dataclass(frozen=True, slots=True)
class AmountsView:
    """What a channel takes in one currency."""

    minimum: Money
    maximum: Money


async def channels(
    info: Info,
    order_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="Only those that can take what this order costs.")
    ] = None,
    listing_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="Only those that can take this listing's price.")
    ] = None,
    capture_method: CaptureMethodChoice = CaptureMethod.AUTOMATIC,
) -> list[ChannelView]:
    """The channels of this hub, by code; those that fit, if it is said what is to be paid."""
    if order_id is not None and listing_id is not None:
        raise bad_input("give either orderId or listingId")
    found = info.context.hub.channels
    fitting = sorted(found)
    if order_id is not None or listing_id is not None or capture_method is not CaptureMethod.AUTOMATIC:
        fitting = await routing.fitting(
            info.context.hub,
            info.context.viewer,
            routing.Wish(None, capture_method),
            order_id=order_id,
            listing_id=listing_id,
        )
    return [_channel_view(code, found[code].capabilities) for code in fitting]


def _channel_view(code: str, capabilities: Capabilities) -> ChannelView:
    amounts = [
        AmountsView(Money(amounts.minimum_minor, currency), Money(amounts.maximum_minor, currency))
        for currency, amounts in sorted(capabilities.currencies.items())
    ]
    return ChannelView(code, amounts, list(capabilities.methods), capabilities)


def can_authorize(root: strawberry.Parent[ChannelView]) -> bool:
    return root.capabilities.can_authorize


def can_capture_partly(root: strawberry.Parent[ChannelView]) -> bool:
    return root.capabilities.can_capture_partly


def can_refund(root: strawberry.Parent[ChannelView]) -> bool:
    return root.capabilities.can_refund


def can_refund_partly(root: strawberry.Parent[ChannelView]) -> bool:
    return root.capabilities.can_refund_partly


def has_disputes(root: strawberry.Parent[ChannelView]) -> bool:
    return root.capabilities.has_disputes
