"""What the chain's events mean for ours, and what it means when the chain takes one back.

Effects go by what an event is about (a root, an order key), never by its place: the same event in another block, told
again or read from the first block anew changes nothing twice. What cannot be taken back waits until its block is final.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.chain_log import REVOKING, ChainEvent, Cost, Depth, revokes
from hub.domain.events import Change, OrderRecorded
from hub.domain.ids import Draw
from hub.domain.orders import ChainStatus, FulfilmentStatus, Order
from hub.domain.records import AnchorBatch, BatchState, RecordedLeaf, TransactionState
from hub.flows import purchase_effects, token_effects
from hub.flows.breaks import tell_of_event
from hub.flows.entitlements import audiences_of, restore_grants_of, revoke_grants_of
from hub.flows.settled_otherwise import go_round, is_as_meant
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

STATES = {Depth.SEEN: BatchState.SUBMITTED, Depth.CONFIRMED: BatchState.CONFIRMED, Depth.FINAL: BatchState.FINALIZED}
STATUSES = {
    Depth.SEEN: ChainStatus.SUBMITTED,
    Depth.CONFIRMED: ChainStatus.CONFIRMED,
    Depth.FINAL: ChainStatus.FINALIZED,
}


async def stands(
    tx: "Tx", event: ChainEvent, was: Depth | None, depth: Depth, cost: Cost | None, draw: Draw, vault: Vault
) -> None:
    """The event has come to this depth from another, None where it is read for the first time: then `cost` is its
    transaction's."""
    is_new = depth >= Depth.CONFIRMED and (was is None or was < Depth.CONFIRMED)
    match event.name:
        case "Anchored":
            await _anchored(tx, event, depth, cost, draw, vault)
        case "Revoked" | "RootRevoked":
            await _revoked(tx, event, depth, draw, vault)
        case "Settled":
            is_recorded = await recorded(tx, event, depth, cost, draw, vault)
            await purchase_effects.settled(tx, event, depth, draw, vault, is_recorded=is_recorded)
        case "OrderRevoked" if depth >= Depth.CONFIRMED:
            if await _batch(tx, event) is not None:
                await _revoked(tx, event, depth, draw, vault)
            else:
                await purchase_effects.order_revoked(tx, event, depth, draw, vault)
        case "Claimed" if is_new:
            await token_effects.claimed(tx, event, draw, vault)
        case "TransferSingle" if is_new:
            await token_effects.burned(tx, event, draw, vault)


async def undone(tx: "Tx", event: ChainEvent, depth: Depth, draw: Draw, vault: Vault) -> None:
    """The chain has taken back the block of an event that had come to this depth."""
    match event.name:
        case "Anchored":
            await _unrecorded(tx, event, draw)
        case "Revoked" | "RootRevoked":
            await _unrevoked(tx, event, depth, draw, vault)
        case "Settled":
            if depth >= Depth.CONFIRMED:
                await token_effects.unclaimed(tx, event, draw, vault)
            await _unrecorded(tx, event, draw)
            await purchase_effects.unsettled(tx, event, draw, vault)
        case "Refunded":
            await purchase_effects.unrefunded(tx, event, draw)
        case "OrderRevoked" if await _batch(tx, event) is not None:
            await _unrevoked(tx, event, depth, draw, vault)
        case "OrderRevoked" if depth >= Depth.CONFIRMED:
            await purchase_effects.order_unrevoked(tx, event, draw, vault)
        case "Claimed" if depth >= Depth.CONFIRMED:
            await token_effects.unclaimed(tx, event, draw, vault)
        case "TransferSingle" if depth >= Depth.CONFIRMED:
            await token_effects.unburned(tx, event, draw, vault)


# ---- roots -----------------------------------------------------------------------------------------------------------


async def _anchored(
    tx: "Tx", event: ChainEvent, depth: Depth, cost: Cost | None, draw: Draw, vault: Vault
) -> None:  # fmt: skip
    if not await recorded(tx, event, depth, cost, draw, vault) and depth is Depth.FINAL:
        await tell_of_event(tx, event, "a root was anchored that is none of ours", draw)


async def recorded(
    tx: "Tx", event: ChainEvent, depth: Depth, cost: Cost | None, draw: Draw, vault: Vault
) -> bool:  # fmt: skip
    """Our batch, or settlement, that the event is about is on chain so deep. False: it is about none of ours."""
    batch = await _batch(tx, event)
    if batch is None:
        return False
    if batch.is_settlement and depth >= Depth.CONFIRMED:
        await _look_at_settled(tx, event, batch, draw, vault)
    state = STATES[depth]
    if batch.state in (BatchState.CONFIRMED, BatchState.FINALIZED) and state is not BatchState.FINALIZED:
        state = batch.state  # read anew, with what followed from it still in place
    after = replace(
        batch,
        state=state,
        chain_id=event.chain_id,
        contract=event.address,
        transaction_hash=event.transaction_hash,
        block_number=event.block_number,
    )
    if cost is not None:
        after = replace(after, gas_used=cost.gas_used, gas_price_wei=cost.gas_price_wei)
    if state.is_proven and batch.confirmed_at_us is None:
        after = replace(after, confirmed_at_us=draw.now_us)
    if after == batch:
        return True
    await tx.anchors.update_batch(after)
    if state.is_proven:
        await tx.chain_log.settle(batch.purpose, TransactionState.CONFIRMED)
    if state is not batch.state:
        await tell_orders(tx, batch.id, ChainStatus(state), draw)
    return True


async def _look_at_settled(tx: "Tx", event: ChainEvent, batch: AnchorBatch, draw: Draw, vault: Vault) -> None:
    for leaf in await tx.anchors.leaves_of_batch(batch.id):
        if await is_as_meant(tx, event, batch, leaf):
            await token_effects.given(tx, leaf, event, draw, vault)
        else:
            await tell_orders(tx, batch.id, ChainStatus.QUEUED, draw)  # while this leaf still stands for its order
            await go_round(tx, event, leaf, draw, vault)


async def _unrecorded(tx: "Tx", event: ChainEvent, draw: Draw) -> None:
    """Its Task sends the same bytes again."""
    batch = await _batch(tx, event)
    if batch is None or batch.block_number is None:
        return
    state = BatchState.REORGED if batch.state.is_proven else batch.state
    gone = replace(
        batch, state=state, block_number=None, gas_used=None, gas_price_wei=None, confirmed_at_us=None
    )  # fmt: skip
    await tx.anchors.update_batch(gone)
    await tx.chain_log.settle(batch.purpose, TransactionState.SENT)
    if state is not batch.state:
        await tell_orders(tx, batch.id, ChainStatus.REORGED, draw)
    key = f"{batch.first_position}-{batch.last_position}"
    await tx.tasks.again("anchor_batch", key, {"batch": batch.id}, draw.now_us)


async def _batch(tx: "Tx", event: ChainEvent) -> AnchorBatch | None:
    """Our batch that the event is about, held. The same root on another contract than we chose is somebody else's."""
    batch_id = await tx.chain_log.batch_of(bytes.fromhex(event.subject[2:]))
    batch = None if batch_id is None else await tx.anchors.lock_batch(batch_id)
    return batch if batch is not None and batch.contract in ("", event.address) else None


async def tell_orders(tx: "Tx", batch_id: str, status: ChainStatus, draw: Draw) -> None:
    """An order follows the leaf that stands for it, so a batch with an older one of its leaves does not move it."""
    await tx.orders.lock_all(sorted({leaf.order_id for leaf in await tx.anchors.leaves_of_batch(batch_id)}))
    moved = await tx.orders.recorded(await tx.anchors.shown_by(batch_id), status)
    parties = await tx.orders.parties([order.id for order in moved])
    for order in moved:
        change = Change("", status, batch_id)
        tx.events.append(order, OrderRecorded.of(order), parties[order.id], draw, change)


# ---- revocations -----------------------------------------------------------------------------------------------------


async def _revoked(tx: "Tx", event: ChainEvent, depth: Depth, draw: Draw, vault: Vault) -> None:
    """A right whose leaf somebody else has revoked has ended, and one that rests on the purchase under that key:
    whoever may revoke on chain has the last word."""
    if depth < Depth.CONFIRMED or await tx.chain_log.is_ours(event.transaction_hash):
        return
    batch = await _batch(tx, event)
    if batch is None:
        if depth is Depth.FINAL:
            await tell_of_event(tx, event, "a root was revoked that is none of ours", draw)
        return
    for leaf in await _meant(tx, event, batch):
        order = await tx.orders.lock(leaf.order_id)
        right = await tx.anchors.right_of_grant(leaf.order_id)
        if order is None or right is None:
            continue
        is_carried = right.id == leaf.id  # else by another leaf, which says the same purchase
        if is_carried or await purchase_effects.is_bought(tx, event, draw):
            audiences = await audiences_of(tx, order, vault)
            after = await revoke_grants_of(tx, order, cause(leaf), audiences, draw, is_leaf_revoked=is_carried)
            await _put(tx, order, after)
    if depth is Depth.FINAL:
        await tell_of_event(tx, event, f"leaves of {batch.id} were revoked by a transaction that is not ours", draw)


async def _unrevoked(tx: "Tx", event: ChainEvent, depth: Depth, draw: Draw, vault: Vault) -> None:
    """What we revoked is revoked again, and what had ended before others revoked it; a right that they had ended stands
    again, on the leaf that it had if that was the revoked one, else on a new one."""
    batch = await _batch(tx, event)
    if batch is None:
        return
    is_ours = await tx.chain_log.is_ours(event.transaction_hash)
    still = await _revoked_before(tx, event, batch)
    for leaf in await _meant(tx, event, batch):
        if not is_ours and leaf.id in still:
            continue
        if is_ours or await _has_ended(tx, event, leaf, depth, draw, vault):
            await tx.tasks.again("revoke_leaf", leaf.id, {"leaf": leaf.id}, draw.now_us)


async def _has_ended(
    tx: "Tx", event: ChainEvent, leaf: RecordedLeaf, depth: Depth, draw: Draw, vault: Vault
) -> bool:  # fmt: skip
    """Whether a leaf is to be revoked all the same, now that what others have revoked of it is taken back."""
    order = await tx.orders.lock(leaf.order_id)
    if order is None:
        return leaf.is_superseded
    if depth >= Depth.CONFIRMED:
        audiences = await audiences_of(tx, order, vault)
        right = await tx.anchors.right_of_grant(leaf.order_id)
        after, is_carried = order, right is not None and right.id == leaf.id
        for why in (cause(leaf), purchase_effects.cause(event)):  # a purchase may have been revoked before its batch
            after = await restore_grants_of(tx, after, why, audiences, draw, vault, has_leaf=is_carried)
        await _put(tx, order, after)
        order = after
    return leaf.is_superseded or order.fulfilment_status is FulfilmentStatus.REVOKED


async def _revoked_before(tx: "Tx", event: ChainEvent, batch: AnchorBatch) -> set[str]:
    """The leaves that an earlier event has revoked already. If that one is taken back too, its turn comes after."""
    told = [
        earlier
        for earlier in await tx.chain_log.about(event.subject, *REVOKING)
        if earlier.address == event.address and earlier.place < event.place
    ]
    return {leaf.id for earlier in told for leaf in await _meant(tx, earlier, batch)}


async def _meant(tx: "Tx", event: ChainEvent, batch: AnchorBatch) -> list[RecordedLeaf]:
    leaves = await tx.anchors.leaves_of_batch(batch.id)
    return [leaf for leaf in leaves if leaf.index is not None and revokes(event, leaf.index)]


def cause(leaf: RecordedLeaf) -> str:
    """Why a grant has ended whose leaf others have revoked."""
    return f"chain:{leaf.id}"


async def _put(tx: "Tx", before: Order, after: Order) -> None:
    if after != before:
        await tx.orders.update(after)
