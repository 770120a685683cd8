"""B 区块链, SC 智能合约: recorded leaves become batches, batches become roots on chain.

Payments never wait for any of this. `gather` turns the leaves told of by a range of the log into one batch and one
Task; `anchor` signs, commits the signed bytes, sends, and looks. The leaves are written by flows/records.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hub.domain import anchors
from hub.domain.anchors import Leaf, Tree
from hub.domain.events import HUB_STREAM, Logged, PaymentRecorded
from hub.domain.ids import Draw
from hub.domain.money import reaches
from hub.domain.orders import ChainStatus
from hub.domain.reconciliation import BreakKind
from hub.domain.records import (
    AnchorBatch,
    BatchState,
    ChainTransaction,
    KnownContract,
    RecordedLeaf,
    TransactionState,
)
from hub.flows import indexing, settlements
from hub.flows.breaks import open_break
from hub.flows.chain_effects import tell_orders
from hub.flows.sending import settle_transaction, transacted
from hub.flows.tasks import move_on, skip
from hub.ports import ChainRefused, Hub, SignedTransaction, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

# How soon to look again for a transaction that is in no block yet, or for a batch that is not confirmed.
LOOK_AGAIN_US = 1_000_000
BATCHER = "batcher"


# ---- batches ---------------------------------------------------------------------------------------------------------


async def gather(hub: Hub) -> int | None:
    """Close the next batch if it is full, old or worth enough. Returns when to look again (µs), None: nothing waits."""
    async with hub.store.reading() as rx:
        held, head = await rx.events.position_of(BATCHER), await rx.events.head()
        waiting = await rx.events.read(HUB_STREAM, held, hub.batch_size, [PaymentRecorded.kind])
        if not waiting:
            await skip(hub, BATCHER, held, head.position)
            return None
        by_id = {leaf.id: leaf for leaf in await rx.anchors.leaves([event.body["leaf_id"] for event in waiting])}
        keys = await settlements.keys_of(hub, rx, [leaf for leaf in by_id.values() if leaf.batch_id is None])
        is_full, last = len(waiting) == hub.batch_size, waiting[-1].position
        alone = [event for event in waiting if event.body["leaf_id"] in keys]
        waiting = [event for event in waiting if by_id[event.body["leaf_id"]].batch_id is None]
        leaf_ids = [event.body["leaf_id"] for event in waiting]
        leaves = [by_id[leaf_id] for leaf_id in leaf_ids]
        is_worth_it = hub.batch_values and reaches(await rx.anchors.sold(leaf_ids), hub.batch_values)
    if alone:
        return await _settle(hub, alone, by_id, keys, held)
    if not waiting:
        await hub.store.write(move_on, BATCHER, last)
        return hub.clock.now_us()
    closes_at_us = waiting[0].occurred_at_us + hub.batch_after_ms * 1000
    if not is_full and not is_worth_it and hub.clock.now_us() < closes_at_us:
        return closes_at_us
    tree = await asyncio.to_thread(planted, leaves, hub.vault)
    data_hash = hub.vault.keccak(b"".join(tree.nodes))
    draw = hub.draw()
    batch = AnchorBatch.queued(
        id=draw.id("anb"),
        first_position=waiting[0].position,
        last_position=waiting[-1].position,
        count=len(leaves),
        root=tree.root,
        data_hash=data_hash,
        created_at_us=draw.now_us,
    )
    await hub.store.write(close_batch, batch, leaf_ids, held, draw, hub.vault)
    return draw.now_us


async def _settle(
    hub: Hub, alone: Sequence[Logged], by_id: Mapping[str, RecordedLeaf], keys: Mapping[str, bytes], held: int
) -> int:
    """Rights that wait for no batch."""
    for event in alone:
        leaf, draw = by_id[event.body["leaf_id"]], hub.draw()
        batch = settlements.batch_of(leaf, keys[leaf.id], event.position, draw)
        await hub.store.write(close_batch, batch, [leaf.id], held, draw, hub.vault)
    return hub.clock.now_us()


async def close_batch(
    tx: "Tx", batch: AnchorBatch, leaf_ids: list[str], held: int, draw: Draw, vault: Vault
) -> None:  # fmt: skip
    """The batch, its leaves and its Task, in the unit that moves the batcher on: the same range, the same batch. A
    settlement overtakes what waits, and the batcher stays where it is; holding it there, nobody else places leaves."""
    if batch.is_settlement:
        await tx.chain_log.hold()  # what is being read just now is told of by whoever comes second
    await tx.events.move(BATCHER, held, held if batch.is_settlement else batch.last_position)
    is_taken = any(leaf.batch_id is not None for leaf in await tx.anchors.leaves(leaf_ids))
    if batch.is_settlement and (is_taken or await tx.chain_log.batch_of(batch.root) is not None):
        return  # another process was first
    if is_taken or not await tx.anchors.add_batch(batch, leaf_ids):
        raise AssertionError(f"events {batch.first_position} to {batch.last_position} have their batch already")
    tx.tasks.add("anchor_batch", f"{batch.first_position}-{batch.last_position}", {"batch": batch.id}, draw.now_us)
    if batch.is_settlement:
        await settlements.apply_told(tx, batch, draw, vault)


def planted(leaves: list[RecordedLeaf], vault: Vault) -> Tree:
    """The Merkle tree over leaves in the order of their batch."""
    return anchors.plant(
        [
            Leaf(leaf.order_key, bytes.fromhex(leaf.holder[2:]), int(leaf.token_id), leaf.expiry, leaf.commitment)
            for leaf in leaves
        ],
        vault.keccak,
    )


# ---- SC 智能合约 -----------------------------------------------------------------------------------------------------


async def anchor(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one batch: its root on chain, once. Returns when to look again (µs), None when it is done."""
    async with hub.store.reading() as rx:
        batch = await rx.anchors.batch(task.body["batch"])
    if batch is None or batch.block_number is not None:
        return None
    await hub.chain.connect()

    if batch.is_settlement and not await settlements.is_ours_to_send(hub, batch):
        return await _handed_over(hub, batch)

    def sign(nonce: int) -> Awaitable[SignedTransaction]:
        if batch.is_settlement:
            return settlements.sign(hub, batch, nonce)
        return hub.chain.sign_anchor(batch.root, batch.count, batch.data_hash, nonce)

    submit = partial(submit_batch, batch_id=batch.id, contract=hub.chain.contract)
    try:
        receipt = await transacted(hub, batch.purpose, sign, submit)
    except ChainRefused as refused:
        if not await _is_there(hub, batch):
            return await _refused(hub, batch, str(refused))
        # By a transaction that we have lost: the root is on chain, and that is what counts.
    else:
        if receipt is None:
            return hub.clock.now_us() + LOOK_AGAIN_US
        if not receipt.is_ok:  # its purpose is free again: a paused contract is asked anew once it goes on
            is_outdated = await _is_outdated(hub, batch)
            await hub.store.write(settle_transaction, batch.purpose, receipt.hash, TransactionState.FAILED)
            if not await _is_there(hub, batch):
                if is_outdated:
                    return hub.clock.now_us()
                return await _refused(hub, batch, f"the transaction {receipt.hash} failed")
    return await _handed_over(hub, batch)


async def _handed_over(hub: Hub, batch: AnchorBatch) -> int | None:
    """A block holds the root. Once that block is read, it is followed by flows/indexing.py, which asks for this Task
    again should the chain take the block back."""
    await indexing.read_on(hub)
    async with hub.store.reading() as rx:
        read = await rx.anchors.batch(batch.id)
    return None if read is None or read.block_number is not None else hub.clock.now_us() + LOOK_AGAIN_US


async def _is_outdated(hub: Hub, batch: AnchorBatch) -> bool:
    """What was signed is for a contract that another has followed since, or was good for a while that is over: that it
    failed says nothing of what is signed now."""
    if batch.contract not in ("", hub.chain.contract):
        return True
    if not batch.is_settlement:
        return False
    async with hub.store.reading() as rx:
        signed = await rx.chain_transactions.of_purpose(batch.purpose)
    return signed is not None and hub.clock.now_us() - signed.signed_at_us >= settlements.DEADLINE_S * 1_000_000


async def _is_there(hub: Hub, batch: AnchorBatch) -> bool:
    """Whether the contract holds this root already: anchoring it again reverts, and counts as success."""
    if batch.is_settlement:
        return (await hub.chain.settlement(batch.root, batch.contract)).at > 0
    return (await hub.chain.anchored(batch.root, batch.contract)).count == batch.count


async def submit_batch(tx: "Tx", signed: ChainTransaction, draw: Draw, *, batch_id: str, contract: str) -> None:
    """The batch goes to that contract in that transaction: its orders show SUBMITTED from now on."""
    held = await tx.anchors.lock_batch(batch_id)
    assert held is not None
    submitted = replace(
        held,
        state=BatchState.SUBMITTED,
        chain_id=signed.chain_id,
        contract=contract,
        transaction_hash=signed.hash,
    )
    await tx.anchors.update_batch(submitted)
    await tell_orders(tx, batch_id, ChainStatus.SUBMITTED, draw)


async def _refused(hub: Hub, batch: AnchorBatch, reason: str) -> int:
    """The chain said no: the batch shows FAILED, a person is told, and the Task goes on trying."""
    await hub.store.write(fail_batch, batch.id, reason, hub.draw())
    return hub.clock.now_us() + 60 * LOOK_AGAIN_US


async def fail_batch(tx: "Tx", batch_id: str, reason: str, draw: Draw) -> None:
    batch = await tx.anchors.lock_batch(batch_id)
    if batch is None or batch.state is BatchState.FAILED or batch.state.is_proven:
        return
    await tx.anchors.update_batch(replace(batch, state=BatchState.FAILED))
    await tell_orders(tx, batch_id, ChainStatus.FAILED, draw)
    await open_break(tx, BreakKind.CHAIN, batch_id, None, f"the anchor was refused: {reason}"[:500], draw)


async def keep_contract(hub: Hub, known: KnownContract) -> None:
    """Record a contract for ever."""
    await hub.store.write(put_contract, known)


async def put_contract(tx: "Tx", known: KnownContract) -> None:
    await tx.anchors.add_contract(known)
