"""What is on sale where a contract has to know it first: offers on chain, kept in line with the catalogue.

What listings sell now, and what orders sell that may still be paid, can be bought; nothing else can. Both sides are
looked at anew each time, so it does not matter who or what has made them differ. Buying is never held up by it: an
order whose offer is not there yet is payable a little later, or on another channel.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
REFUSED_FOR_US = 10_000_000  # less than lies between two comparisons, so that each tries again what was refused

Steps = Sequence[Sequence[SplitterCall]]


@dataclass(slots=True)
class Refusals:
    """The calls that contracts refused of late, as this process has seen it: left alone for a while, and then tried
    after those that were refused before them, or never."""

    _until_us: dict[str, dict[str, int]] = field(default_factory=dict)  # of each purpose, by splitter

    def keep(self, splitter: str, purpose: str, now_us: int) -> None:
        self._until_us.setdefault(splitter, {})[purpose] = now_us + REFUSED_FOR_US

    def admit(self, splitter: str, calls: Sequence[SplitterCall], now_us: int) -> list[SplitterCall]:
        """Those that may be tried now, in the order to try them in."""
        until_us = self._until_us.get(splitter, {})
        admitted = [call for call in calls if until_us.get(call.purpose, 0) <= now_us]
        return sorted(admitted, key=lambda call: until_us.get(call.purpose, 0))

    def forget_all_but(self, splitter: str, steps: Steps) -> None:
        """What nothing asks for any more is not kept for ever."""
        asked = {call.purpose for step in steps for call in step}
        held = self._until_us.get(splitter, {})
        self._until_us[splitter] = {purpose: until for purpose, until in held.items() if purpose in asked}


async def keep_up(hub: Hub, refusals: Refusals, *, is_due: bool) -> bool:
    """Compare what is on sale on chain with what should be, if a listing has changed or it `is_due`, and carry out the
    difference. False: it is not over, come back. Raises ChainUnavailable."""
    sellers = [channel for channel in hub.channels.values() if isinstance(channel, SellsOnChain)]
    if not sellers:
        return True
    async with hub.store.reading() as rx:
        held, head = await rx.events.position_of(OFFERS), await rx.events.head()
        has_changed = bool(await rx.events.read(HUB_STREAM, held, 1, [ListingChanged.kind]))
    counters = [(seller, one) for seller in sellers for one in (seller.checkout, *seller.checkout.former)]
    if (has_changed or is_due) and not all([await _brought_in_line(hub, *one, refusals) for one in counters]):
        return False
    if has_changed:
        await hub.store.write(move_on, OFFERS, head.position)
    else:
        await skip(hub, OFFERS, held, head.position)
    return True


async def _brought_in_line(hub: Hub, seller: SellsOnChain, counter: Checkout, refusals: Refusals) -> bool:
    """True: nothing is left but what was refused of late, which holds up nothing else."""
    looked = await _differences(hub, seller, counter)
    refusals.forget_all_but(counter.splitter, looked)
    admitted = [refusals.admit(counter.splitter, step, hub.clock.now_us()) for step in looked]
    named = {call.purpose: await _generation(hub, counter, call) for step in admitted for call in step[:AT_ONCE]}
    if not named:
        return True
    # Each has its name from before this second look: what another process has carried out meanwhile is not in it, and
    # what it is about to has the same name.
    for step in await _differences(hub, seller, counter):
        calls = [call for call in step if call.purpose in named]
        done = [await _is_carried_out(hub, counter, call, named[call.purpose], refusals) for call in calls]
        untried = [call for call in step if call.purpose not in named]
        if not all(done) or refusals.admit(counter.splitter, untried, hub.clock.now_us()):
            return False
    return True


async def _differences(hub: Hub, seller: SellsOnChain, counter: Checkout) -> Steps:
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
            held = await rx.chain_transactions.of_purpose(purpose)
            if held is None or held.state is not TransactionState.CONFIRMED:
                break
    return purpose


async def _is_carried_out(hub: Hub, counter: Checkout, call: SplitterCall, name: str, refusals: Refusals) -> bool:
    """Or refused: what is on sale is not what should be then, and nothing else waits for it."""
    try:
        return await counter.carry_out(replace(call, purpose=name)) is not None
    except ChainRefused as refused:
        log.warning("%s was refused, what is on sale on chain is not what should be: %s", name, refused)
        refusals.keep(counter.splitter, call.purpose, hub.clock.now_us())
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
