"""Rights that have ended, on chain: one bit a leaf, and one transaction for all bits of a word that wait for it.

Access has ended in the hub long before; this is for those who ask the contract. A bit is never taken back, but the
block that holds it may be: a Task ends once that block is read, and flows/indexing.py asks for it again should it go.
"""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from hub.domain import anchors
from hub.domain.chain_log import REVOKING, revokes
from hub.domain.records import AnchorBatch, KeyRole, RecordedLeaf, TransactionState
from hub.flows import indexing
from hub.flows.sending import Sign, settle_transaction, transacted
from hub.ports import Hub, SignedTransaction

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask

LOOK_AGAIN_US = 1_000_000
REFUSED_AGAIN_US = 60_000_000  # a paused or impoverished revoker needs a person
KIND = "revoke_leaf"  # the key of such a Task is the leaf's id


async def revoke_leaf(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one leaf that no longer stands: its bit on chain, once its batch is there."""
    async with hub.store.reading() as rx:
        [leaf] = await rx.anchors.leaves([task.body["leaf"]])
        batch = await rx.anchors.batch(leaf.batch_id) if leaf.batch_id else None
    if batch is None or leaf.index is None or not batch.state.is_proven:
        return hub.clock.now_us() + LOOK_AGAIN_US
    await hub.chain.connect()
    purpose = await _under_way(hub, batch, leaf.index)
    # What is signed is followed to its end all the same: its nonce is taken, and its row waits to be settled.
    if purpose is None and await _is_revoked(hub, batch, leaf.index):
        return await _handed_over(hub, batch, leaf.index)
    receipt = await transacted(
        hub, purpose or _purpose(batch, leaf), _signer(hub, batch, leaf.index), by=KeyRole.REVOKER
    )
    if receipt is None:
        return hub.clock.now_us() + LOOK_AGAIN_US
    state = TransactionState.CONFIRMED if receipt.is_ok else TransactionState.FAILED
    await hub.store.write(settle_transaction, purpose or _purpose(batch, leaf), receipt.hash, state)
    if not receipt.is_ok:
        return hub.clock.now_us() + REFUSED_AGAIN_US
    is_done = await _is_revoked(hub, batch, leaf.index)
    return await _handed_over(hub, batch, leaf.index) if is_done else hub.clock.now_us()


async def _is_revoked(hub: Hub, batch: AnchorBatch, index: int) -> bool:
    if batch.is_settlement:
        return (await hub.chain.settlement(batch.root, batch.contract)).is_revoked
    return await hub.chain.is_revoked(batch.root, index, batch.contract)


async def _handed_over(hub: Hub, batch: AnchorBatch, index: int) -> int | None:
    """Done once a block that revokes the leaf is read, whoever sent that; until then nobody would know it gone."""
    await indexing.read_on(hub)
    async with hub.store.reading() as rx:
        told = await rx.chain_log.about(f"0x{batch.root.hex()}", *REVOKING)
    is_read = any(event.address == batch.contract and revokes(event, index) for event in told)
    return None if is_read else hub.clock.now_us() + LOOK_AGAIN_US


def _word_of(batch: AnchorBatch, index: int) -> str:
    """Begins the purpose of every revocation in that word of a batch."""
    word, _ = anchors.revocation_bit(index)
    return f"revoke:{batch.root.hex()}:{word}:"


def _purpose(batch: AnchorBatch, leaf: RecordedLeaf) -> str:
    assert leaf.index is not None
    return _word_of(batch, leaf.index) + leaf.id


async def _under_way(hub: Hub, batch: AnchorBatch, index: int) -> str | None:
    """The purpose of a transaction that is on its way to this word: it is waited for, not doubled."""
    async with hub.store.reading() as rx:
        unsettled = await rx.chain_transactions.unsettled(hub.chain.chain_id)
    return next((one.purpose for one in unsettled if one.purpose.startswith(_word_of(batch, index))), None)


def _signer(hub: Hub, batch: AnchorBatch, index: int) -> Sign:
    """Signs for all bits of the word that wait by now."""
    word, mask = anchors.revocation_bit(index)

    async def sign(nonce: int) -> SignedTransaction:
        if batch.is_settlement:
            return await hub.chain.sign_revoke_order(batch.contract, batch.root, nonce)
        async with hub.store.reading() as rx:
            waiting = await rx.anchors.waiting_for_revocation(batch.id, word)
        every = reduce(or_, (anchors.revocation_bit(other)[1] for other in waiting), mask)
        return await hub.chain.sign_revoke(batch.contract, batch.root, word, every, nonce)

    return sign
