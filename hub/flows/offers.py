"""What is on sale where a contract has to know it first: offers on chain, kept in line with the catalogue.

What listings sell now, and what orders sell that may still be paid, can be bought; nothing else can. Both sides are
looked at anew each time, so it does not matter who or what has made them differ. Buying is never held up by it: an
order whose offer is not there yet is payable a little later, or on another channel.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from hub.domain.checkout import Sale
from hub.domain.events import HUB_STREAM, ListingChanged
from hub.domain.records import TransactionState
from hub.domain.refunds import RefundState
from hub.flows.records import token_id
from hub.flows.tasks import move_on, skip
from hub.ports import ChainRefused, Checkout, Hub, SellsOnChain, SplitterCall

if TYPE_CHECKING:
    from hub.store.catalogue import Sold

log = logging.getLogger(__name__)

OFFERS = "offers"  # the consumer's name
NOT_GIVEN_BACK = (RefundState.FAILED, RefundState.CANCELED, RefundState.REVERSED)
AT_ONCE = 16  # transactions of one step that may wait for their blocks: nodes keep few of one sender's


async def keep_up(hub: Hub, *, is_due: bool) -> bool:
    """Compare what is on sale on chain with what should be, if a listing has changed or it `is_due`, and carry out the
    difference. False: it is not over, come back. Raises ChainUnavailable."""
    sellers = [channel for channel in hub.channels.values() if isinstance(channel, SellsOnChain)]
    if not sellers:
        return True
    async with hub.store.reading() as rx:
        held, head = await rx.events.position_of(OFFERS), await rx.events.head()
        has_changed = bool(await rx.events.read(HUB_STREAM, held, 1, [ListingChanged.kind]))
    counters = [(seller, one) for seller in sellers for one in (seller.checkout, *seller.checkout.former)]
    if (has_changed or is_due) and not all([await _brought_in_line(hub, *counter) for counter in counters]):
        return False
    if has_changed:
        await hub.store.write(move_on, OFFERS, head.position)
    else:
        await skip(hub, OFFERS, held, head.position)
    return True


async def _brought_in_line(hub: Hub, seller: SellsOnChain, counter: Checkout) -> bool:
    looked = await _differences(hub, seller, counter)
    if not looked:
        return True
    named = {call.purpose: await _generation(hub, counter, call) for step in looked for call in step[:AT_ONCE]}
    # Each has its name from before this second look: what another process has carried out meanwhile is not in it, and
    # what it is about to has the same name.
    for step in await _differences(hub, seller, counter):
        calls = [replace(call, purpose=named[call.purpose]) for call in step if call.purpose in named]
        done = [await _is_carried_out(counter, call) for call in calls]
        if not all(done) or len(done) < len(step):
            return False
    return True


async def _differences(hub: Hub, seller: SellsOnChain, counter: Checkout) -> Sequence[Sequence[SplitterCall]]:
    place = await counter.place()
    sold: list[Sold] = []
    async with hub.store.reading() as rx:
        if counter is seller.checkout:  # former ones sell what was shown, and nothing else
            sold = [*await rx.catalogue.on_sale(), *await rx.orders.payable(hub.clock.now_us())]
        attempts = await rx.payments.live_on(seller.code)
        told_open = await rx.chain_log.open_offers(place.chain_id, counter.splitter)
    sales = [_sale(hub, one) for one in sold]
    return await seller.differences(counter, sales, {bytes.fromhex(offer[2:]) for offer in told_open}, attempts)


async def _generation(hub: Hub, counter: Checkout, call: SplitterCall) -> str:
    """The first purpose of this call that has not ended. An offer may come back, go and come again: each time under a
    purpose of its own, so that each happens once, whoever carries it out."""
    async with hub.store.reading() as rx:
        for number in count():
            purpose = f"{call.purpose}:{counter.splitter}:{number}"
            held = await rx.anchors.transaction(purpose)
            if held is None or held.state is not TransactionState.CONFIRMED:
                break
    return purpose


async def _is_carried_out(counter: Checkout, call: SplitterCall) -> bool:
    try:
        return await counter.carry_out(call) is not None
    except ChainRefused as refused:
        log.warning("%s was refused, what is on sale on chain is not what should be: %s", call.purpose, refused)
        return True


async def sale_of(hub: Hub, order_id: str) -> Sale | None:
    """What an order sells, by the ShareAgreement version that it froze; None: there is no such order."""
    async with hub.store.reading() as rx:
        sold = await rx.orders.sold_by(order_id)
    return None if sold is None else _sale(hub, sold)


async def names_of(hub: Hub, channel: str, channel_ref: str) -> tuple[str | None, str | None]:
    """The keys of the attempt that a channel knows under its own reference, and of the refund that gives all of it back
    or has done so; None for what there is not."""
    async with hub.store.reading() as rx:
        attempt = await rx.payments.of_purchase(channel, channel_ref, 0)
        if attempt is None:
            return None, None
        refunds = [one for one in await rx.refunds.of_order(attempt.order_id) if one.attempt_id == attempt.id]
    stand = [one.key for one in refunds if one.state not in NOT_GIVEN_BACK]
    return attempt.key, stand[-1] if stand else None


def _sale(hub: Hub, sold: "Sold") -> Sale:
    shares = tuple((share.payee, share.bps) for share in sold.shares)
    return Sale(token_id(sold.course_id, hub.vault), sold.price, shares)
