"""What the chain tells of single orders that the contract has settled: a purchase that one of ours waits for, or a
stranger's; that somebody with a role has revoked one; and what it means when the chain takes that back.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from hub.domain import checkout
from hub.domain.chain_log import ChainEvent, Depth
from hub.domain.events import Audience
from hub.domain.ids import Draw
from hub.domain.orders import Order
from hub.domain.payments import AttemptState, PaymentAttempt
from hub.domain.reconciliation import BreakKind
from hub.domain.refunds import Refund, RefundState
from hub.flows.attempt_facts import ANEW, RESOLVE
from hub.flows.breaks import open_break, tell_of_event, tell_of_lost_purchase
from hub.flows.entitlements import (
    audiences_of,
    restore_grants_of,
    resume_grants_of,
    revoke_grants_of,
    suspend_grants_of,
)
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

MoveGrants = Callable[["Tx", Order, str, list[Audience], Draw], Awaitable[Order]]
# An attempt lives for half an hour; what was settled later than this after it was made nobody waits for.
WAITED_FOR_US = 24 * 3600 * 1_000_000


async def settled(
    tx: "Tx", event: ChainEvent, depth: Depth, draw: Draw, vault: Vault, *, is_recorded: bool
) -> None:  # fmt: skip
    """A buyer's own transaction may have bought what one of our attempts waits for: it is asked about at once, and its
    channel decides, even of one that had ended without money by then, as by the word of a node that lagged. A purchase
    that nobody here waits for is a stranger's, with money of their own; a settlement without one was signed by a key
    of ours, and is ours if `is_recorded`, whoever has brought it."""
    attempt = await tx.payments.of_purchase(checkout.CHANNEL, event.subject, draw.now_us - WAITED_FOR_US)
    if attempt is None:
        if depth is Depth.FINAL and not is_recorded and not await _is_known(tx, event):
            await tell_of_event(tx, event, "an order was settled by a transaction that is not ours", draw)
        return
    if attempt.state is AttemptState.CHARGED:
        if depth >= Depth.CONFIRMED:
            await _move_bought(tx, attempt, resume_grants_of, draw, vault)
        return
    if attempt.is_settled:
        await tx.tasks.again(RESOLVE, attempt.id, {"attempt": attempt.id, ANEW: True}, draw.now_us)
        if depth is Depth.FINAL:
            await tell_of_lost_purchase(tx, attempt, draw)
    else:
        await tx.tasks.hasten(RESOLVE, attempt.id, draw.now_us)


async def unsettled(tx: "Tx", event: ChainEvent, draw: Draw, vault: Vault) -> None:
    """A purchase that was taken for paid is gone, in a block deeper than its channel waits for: what it gave is held
    back until it is in a block again, and a person is told. Its money stays in the books until that person decides."""
    attempt = await tx.payments.of_purchase(checkout.CHANNEL, event.subject, draw.now_us - WAITED_FOR_US)
    if attempt is not None:
        await purchase_gone(tx, attempt, event.subject, draw, vault)


async def purchase_gone(tx: "Tx", attempt: PaymentAttempt, key: str, draw: Draw, vault: Vault) -> None:
    """Likewise, however that came to be known."""
    if attempt.state is not AttemptState.CHARGED:
        return
    effect = "no right rests on it"
    if await _gives_right(tx, attempt):
        await _move_bought(tx, attempt, suspend_grants_of, draw, vault)
        effect = "its right is held back"
    detail = f"the chain has taken back purchase {key}, which had paid {attempt.key}: {effect}"
    await open_break(tx, BreakKind.CHAIN, attempt.id, attempt.order_id, detail, draw)


async def unrefunded(tx: "Tx", event: ChainEvent, draw: Draw) -> None:
    """What was taken for given back is with its payees again: a person decides whether to give it back once more."""
    attempt = await tx.payments.of_purchase(checkout.CHANNEL, event.subject, draw.now_us - WAITED_FOR_US)
    if attempt is not None:
        await refund_gone(tx, attempt, event.subject, draw)


async def refund_gone(tx: "Tx", attempt: PaymentAttempt, key: str, draw: Draw) -> None:
    """Likewise, however that came to be known."""
    for refund in await _given_back(tx, attempt):
        detail = f"the chain has taken back refund {refund.key} of purchase {key}: its right has ended all the same"
        await open_break(tx, BreakKind.CHAIN, refund.id, refund.order_id, detail, draw)


async def _is_known(tx: "Tx", event: ChainEvent) -> bool:
    """Whether we have settled it ourselves, or a splitter of ours has sold it at an offer that we have made."""
    if await tx.chain_log.is_ours(event.transaction_hash):
        return True
    sold = await tx.chain_log.about(event.subject, "Purchased")
    return any([await _is_our_offer(tx, sale) for sale in sold if sale.transaction_hash == event.transaction_hash])


async def _is_our_offer(tx: "Tx", sale: ChainEvent) -> bool:
    """Whether what was open then was opened by us. Whoever has the seller's key can open offers at any price."""
    opened = [
        made
        for made in await tx.chain_log.about(sale.args["offerId"], "OfferSet")
        if (made.chain_id, made.address) == (sale.chain_id, sale.address) and made.place < sale.place
    ]
    return bool(opened) and await tx.chain_log.is_ours(opened[-1].transaction_hash)


async def order_revoked(tx: "Tx", event: ChainEvent, depth: Depth, draw: Draw, vault: Vault) -> None:
    """A right that a purchase gave has ended, as with a refund that another of the splitter's refunders has made: its
    record is to end too. What became of the money its channel tells."""
    if await tx.chain_log.is_ours(event.transaction_hash):
        return
    attempt = await tx.payments.of_purchase(checkout.CHANNEL, event.subject, draw.now_us - WAITED_FOR_US)
    what = "an order" if attempt is None else f"a purchase for {attempt.order_id}, which its right does not rest on,"
    if attempt is not None and await _gives_right(tx, attempt):
        await _move_bought(tx, attempt, revoke_grants_of, draw, vault, cause(event))
        what = f"the right of {attempt.order_id}"
    if depth is Depth.FINAL:
        await tell_of_event(tx, event, f"{what} was revoked by a transaction that is not ours", draw)


async def order_unrevoked(tx: "Tx", event: ChainEvent, draw: Draw, vault: Vault) -> None:
    told = await tx.chain_log.about(event.subject, event.name)
    if any(earlier.address == event.address and earlier.place < event.place for earlier in told):
        return
    attempt = await tx.payments.of_purchase(checkout.CHANNEL, event.subject, draw.now_us - WAITED_FOR_US)
    if attempt is not None:
        await _move_bought(tx, attempt, partial(restore_grants_of, vault=vault), draw, vault, cause(event))


async def is_bought(tx: "Tx", event: ChainEvent, draw: Draw) -> bool:
    """Whether what the event is about is a purchase that a right rests on, whoever has that now."""
    attempt = await tx.payments.of_purchase(checkout.CHANNEL, event.subject, draw.now_us - WAITED_FOR_US)
    return attempt is not None and await _gives_right(tx, attempt)


async def _gives_right(tx: "Tx", attempt: PaymentAttempt) -> bool:
    """Whether the right of its order is there by this purchase: it may have been paid for otherwise, before or since,
    and it may have moved on to another wallet or person. The order is held from now on, as what says so changes with it
    alone."""
    await tx.orders.lock(attempt.order_id)
    now, rights = await tx.payments.by_id(attempt.id), await tx.anchors.rights_of(attempt.order_id)
    paid_by = [leaf.attempt_id for leaf in rights if leaf.attempt_id is not None]
    if now is None or now.state is not AttemptState.CHARGED or paid_by[-1:] != [attempt.id]:
        return False
    return not await _given_back(tx, attempt)


async def _given_back(tx: "Tx", attempt: PaymentAttempt) -> list[Refund]:
    refunds = await tx.refunds.of_order(attempt.order_id)
    return [one for one in refunds if one.attempt_id == attempt.id and one.state is RefundState.SUCCEEDED]


async def _move_bought(
    tx: "Tx", attempt: PaymentAttempt, move: MoveGrants, draw: Draw, vault: Vault, cause: str | None = None
) -> None:
    """The right that a purchase gave, for a cause: by default, that the chain does not hold the purchase."""
    order = await tx.orders.lock(attempt.order_id)
    assert order is not None, attempt.order_id
    after = await move(tx, order, cause or f"chain:{attempt.id}", await audiences_of(tx, order, vault), draw)
    if after != order:
        await tx.orders.update(after)


def cause(event: ChainEvent) -> str:
    """Why a grant has ended whose purchase others have revoked before it had a batch."""
    return f"chain:{event.subject}"
