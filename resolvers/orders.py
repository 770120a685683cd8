"""M 商户管理 from the outside: orders, made, canceled and read."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, cast

import strawberry

from hub.domain import disputes, orders
from hub.domain.catalogue import is_storable
from hub.domain.disputes import DisputeState
from hub.domain.money import Money
from hub.domain.orders import Order, OrderStatus, PaymentAction
from hub.domain.payments import IntentStatus
from hub.domain.people import ViewerKind
from hub.domain.requests import Answer
from hub.flows import orders as flow_orders
from hub.flows import purchase
from resolvers.context import Info
from resolvers.errors import bad_input
from resolvers.inputs import MoneyInput, OrderStatusFilter, chosen, id_of, key, money
from resolvers.lookahead import Wanted, nested_list, wanted
from resolvers.paging import After, Before, First, Last, Page
from resolvers.payloads import Payload, told
from resolvers.reading import again, listed_page, one, one_by

if TYPE_CHECKING:
    from hub.store.reads import Row
    from hub.store.reads.orders import OrderRow
    from hub.store.reads.payments import PaymentAttemptRow


@strawberry.input(description="Which orders: all that are given must hold.")
class OrderFilter:
    status: OrderStatusFilter | None = strawberry.field(default=None, description="What their status is.")


async def order(
    info: Info,
    id: Annotated[strawberry.ID | None, strawberry.argument(description="Its id.")] = None,
    number: Annotated[str | None, strawberry.argument(description="Its number, as people read it out.")] = None,
) -> "Row | None":
    """One order, by id or number; null alike for unknown and not yours."""
    if (id is None) == (number is None):
        raise bad_input("give either id or number")
    if id is not None:
        return await one(info, "Order", "order", id)
    assert number is not None
    return await one_by(info, "order", {"number": number}) if is_storable(number) else None


async def all_orders(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    where: Annotated[OrderFilter | None, strawberry.argument(description="Which orders.")] = None,
) -> Page:
    """The orders that you may see, the newest first."""
    filters = {}
    if where is not None and where.status is not None:
        filters["status"] = chosen(where.status, "status")
    return await listed_page(
        info, "order", nested_list("orders", info.context.viewer), first, after, last, before, filters
    )


# ---- mutations ------------------------------------------------------------------------------------------------------

IdempotencyKey = Annotated[
    str,
    strawberry.argument(
        description="1 to 255 characters of your own: the same key with the same input is answered, never done, again."
    ),
]
ListingToBuy = Annotated[strawberry.ID, strawberry.argument(description="The listing to buy.")]
OrderId = Annotated[strawberry.ID, strawberry.argument(description="The order's id.")]
WalletToHold = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="A linked wallet of yours that the right's token is to be for, from its first record on chain: see "
        "walletLink. Shown on chain for good. Absent: a right without holder, see entitlementClaim. What is paid by "
        "stablecoin is the paying wallet's, until it is claimed for another."
    ),
]


async def order_create(
    info: Info,
    listing_id: ListingToBuy,
    idempotency_key: IdempotencyKey,
    expected_amount: Annotated[
        MoneyInput | None, strawberry.argument(description="The price that the buyer saw; another one is refused.")
    ] = None,
    wallet_id: WalletToHold = None,
) -> Payload:
    """Order a course at the listing's price of now."""

    async def flow() -> Answer[Order]:
        return await purchase.create_order(
            info.context.hub,
            info.context.viewer,
            listing_id=id_of("Listing", listing_id, "listingId"),
            expected=None if expected_amount is None else money(expected_amount, "expectedAmount"),
            idempotency_key=key(idempotency_key),
            wallet_id=None if wallet_id is None else id_of("Wallet", wallet_id, "walletId"),
        )

    return await _payload(info, await told(flow))


async def order_cancel(info: Info, order_id: OrderId, idempotency_key: IdempotencyKey) -> Payload:
    """Cancel an order that awaits its payment."""

    async def flow() -> Answer[Order]:
        return await flow_orders.cancel_order(
            info.context.hub,
            info.context.viewer,
            order_id=id_of("Order", order_id, "orderId"),
            idempotency_key=key(idempotency_key),
        )

    return await _payload(info, await told(flow))


async def _payload(info: Info, answer: Answer[Order]) -> Payload:
    shown: object = answer.value
    if answer.value is not None and not is_plain(wanted(info).below("order")):
        shown = await again(info, "order", "order", answer.value.id)
    return Payload({"order": shown}, answer.refusal, answer.is_replay)


# What the flow's own Order shows as well as a row does: its columns and values made of them.
_VALUES = ("total.", "received_amount.")
_OF_INTENT = frozenset(f"payment_intent.{name}" for name in ("id", "status", "allowed_actions", "__typename"))


def is_plain(want: Wanted) -> bool:
    """Whether the domain's Order has all that is wanted, so that it need not be read again."""
    return all(
        path == "payment_intent" or path in _OF_INTENT or path.startswith(_VALUES) or path in _COLUMNS
        for path in want.paths
    )


_COLUMNS = frozenset({
    "__typename", "id", "number", "status", "charge_status", "fulfilment_status", "chain_status", "total",
    "received_amount", "created_at", "paid_at", "deadline_at", "closed_at",
})  # fmt: skip


# ---- fields ---------------------------------------------------------------------------------------------------------


def received_amount(root: "strawberry.Parent[OrderRow]") -> Money:
    return Money(root.received_minor, root.total.currency)


def payment_intent(root: "strawberry.Parent[OrderRow]") -> "OrderRow | None":
    """The intent lives in its order; one of total 0 has none."""
    return None if root.intent_id is None else root


def allowed_actions(root: "strawberry.Parent[OrderRow]", info: Info) -> tuple[PaymentAction, ...]:
    """Computed from the conditions that the commands check; a row holds its states as text."""
    assert root.intent_status is not None
    states = SimpleNamespace(
        status=OrderStatus(root.status),
        intent_status=IntentStatus(root.intent_status),
        received_minor=root.received_minor,
    )
    is_buyer = info.context.viewer.kind is ViewerKind.USER
    actions = orders.allowed_actions if is_buyer else orders.merchant_actions
    return actions(cast("Order", states))


def attempts(root: "strawberry.Parent[OrderRow]") -> "list[PaymentAttemptRow]":
    found: list[PaymentAttemptRow] = root.joined["attempts"]
    return found


def unknown_since_us(root: "strawberry.Parent[OrderRow]") -> int | None:
    """Since when it is unknown what became of the money, if it is."""
    return next((attempt.unknown_since_us for attempt in attempts(root) if attempt.unknown_since_us), None)


def dispute_status(root: "strawberry.Parent[OrderRow]") -> DisputeState | None:
    """By the domain's own rule, from the disputes that the viewer may see."""
    return disputes.status_of(DisputeState(dispute.state) for dispute in root.joined["disputes"])
