"""What is on sale where a contract has to know it first: offers on chain, kept up with the catalogue.

Buying is never held up by it: an order whose offer is not there yet is payable a little later, or on another channel.
"""

import logging
from typing import TYPE_CHECKING

from hub.domain.checkout import Sale
from hub.domain.events import HUB_STREAM, ListingChanged
from hub.domain.records import TransactionState
from hub.flows.records import token_id
from hub.flows.sending import settle_transaction, transacted
from hub.flows.tasks import move_on, skip
from hub.ports import ChainReceipt, ChainRefused, Hub, SellsOnChain, SignedTransaction

if TYPE_CHECKING:
    from hub.store.catalogue import Sold

log = logging.getLogger(__name__)

OFFERS = "offers"  # the consumer's name
AT_ONCE = 50  # listings of one look


async def publish(hub: Hub) -> bool:
    """Put what listings sell now on sale on chain; whether there is more to do at once. Raises ChainUnavailable.

    A call that no block holds yet is looked at again: the consumer moves on only when all of its listings stand.
    """
    sellers = [channel for channel in hub.channels.values() if isinstance(channel, SellsOnChain)]
    if not sellers:
        return False
    async with hub.store.reading() as rx:
        held, head = await rx.events.position_of(OFFERS), await rx.events.head()
        changed = await rx.events.read(HUB_STREAM, held, AT_ONCE, [ListingChanged.kind])
        if not changed:
            await skip(hub, OFFERS, held, head.position)
            return False
        sold = await rx.catalogue.sold(sorted({event.body["listing_id"] for event in changed}))
    for channel in sellers:
        for call in await channel.missing([_sale(hub, one) for one in sold]):
            try:
                receipt = await channel.checkout.carry_out(call)
            except ChainRefused as refused:
                log.warning("%s was refused, what it sells cannot be bought on chain: %s", call.purpose, refused)
                continue
            if receipt is None:
                return False
    await hub.store.write(move_on, OFFERS, held, changed[-1].position)
    return True


async def sale_of(hub: Hub, order_id: str) -> Sale | None:
    """What an order sells, by the ShareAgreement version that it froze; None: there is no such order."""
    async with hub.store.reading() as rx:
        sold = await rx.orders.sold_by(order_id)
    return None if sold is None else _sale(hub, sold)


async def carry_out(hub: Hub, purpose: str, contract: str, data: bytes, *, depth: int) -> ChainReceipt | None:
    """A call by the gateway: signed once, committed, sent until a block holds it. One that failed may be tried anew.

    None: come back, as its bytes may still take effect. So may those that a node refuses, and those that failed in a
    block less than `depth` deep, its own counted as one. Raises ChainRefused when nothing of it is signed.
    """
    await hub.chain.connect()

    async def sign(nonce: int) -> SignedTransaction:
        return await hub.chain.sign_call(contract, data, nonce)

    try:
        receipt = await transacted(hub, purpose, sign)
    except ChainRefused as refused:
        async with hub.store.reading() as rx:
            if await rx.anchors.transaction(purpose) is None:
                raise
        log.warning("%s was refused and may still get into a block: %s", purpose, refused)
        return None
    if receipt is None or (not receipt.is_ok and receipt.confirmations < depth):
        return None
    state = TransactionState.CONFIRMED if receipt.is_ok else TransactionState.FAILED
    await hub.store.write(settle_transaction, purpose, state)
    return receipt


def _sale(hub: Hub, sold: "Sold") -> Sale:
    shares = tuple((share.payee, share.bps) for share in sold.shares)
    return Sale(token_id(sold.course_id, hub.vault), sold.price, shares)
