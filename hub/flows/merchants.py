"""M 商户管理: admits merchant, listing, price and buyer, and freezes what the order is about."""

from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.merchants import may_be_ordered
from hub.domain.money import Money
from hub.domain.orders import (
    PAY_WITHIN_US,
    ChainStatus,
    ChargeStatus,
    FulfilmentStatus,
    Order,
    OrderStatus,
)
from hub.domain.payments import IntentStatus
from hub.domain.refusals import ChannelUnavailable, NotFound, Refusal
from hub.domain.routing import NOTHING_NEW, StandingState
from hub.flows.wallets import held_wallet

if TYPE_CHECKING:
    from hub.store.transactions import Tx


async def admit(
    tx: "Tx",
    user_id: str,
    listing_id: str,
    expected: Money | None,
    draw: Draw,
    *,
    channel: str = "",
    wallet_id: str | None = None,
) -> Order | Refusal:
    """The new order, not stored yet, or why there is none. A known price of 0 is PAID from the start. `channel`: where
    it is to be paid at once, so that one which takes nothing new is refused by the same look. `wallet_id`: the buyer's
    wallet that the right's token is to be for."""
    admission = await tx.orders.admission(listing_id, user_id, channel)
    if admission is None:
        return NotFound("listingId")
    if refusal := may_be_ordered(admission, expected):
        return refusal
    listing, price = admission.listing, admission.listing.price
    assert price is not None
    is_free = price.amount_minor == 0
    if not is_free and admission.standing is not StandingState.RUNNING:
        return ChannelUnavailable(channel, NOTHING_NEW)
    if wallet_id is not None and await held_wallet(tx, user_id, wallet_id) is None:
        return NotFound("walletId")
    return Order(
        id=draw.id("ord"),
        number=draw.order_number(),
        user_id=user_id,
        platform_id=listing.platform_id,
        merchant_id=listing.merchant_id,
        agreement_id=admission.agreement_id,
        listing_id=listing.id,
        course_id=listing.course_id,
        total=price,
        status=OrderStatus.PAID if is_free else OrderStatus.AWAITING_PAYMENT,
        charge_status=ChargeStatus.FULL if is_free else ChargeStatus.NONE,
        fulfilment_status=FulfilmentStatus.FULFILLED if is_free else FulfilmentStatus.NONE,
        chain_status=ChainStatus.QUEUED if is_free else ChainStatus.NOT_RECORDED,
        intent_id=None if is_free else draw.id("pin"),
        intent_status=None if is_free else IntentStatus.REQUIRES_PAYMENT_METHOD,
        attempts=0,
        received_minor=0,
        partial_minor=0,
        has_exact=False,
        has_conflict=False,
        deadline_us=draw.now_us + PAY_WITHIN_US,
        paid_at_us=draw.now_us if is_free else None,
        closed_at_us=None,
        version=1,
        created_at_us=draw.now_us,
        wallet_id=wallet_id,
    )
