"""B 区块链: every request's end becomes a leaf, leaves become batches, batches become roots on chain.

Payments never wait for any of this. A leaf is written in the unit that records the result. `gather` turns the leaves
told of by a range of the log into one batch and one Task; `anchor` signs, commits the signed bytes, sends, and looks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hub.domain import anchors
from hub.domain.anchors import Leaf, Tree
from hub.domain.events import HUB_STREAM, Audience, Change, OrderRecorded, PaymentRecorded
from hub.domain.ids import Draw
from hub.domain.orders import ChainStatus, Order
from hub.domain.payments import PaymentAttempt
from hub.domain.reconciliation import BreakKind
from hub.domain.records import (
    AnchorBatch,
    BatchState,
    ChainTransaction,
    KnownContract,
    RecordedLeaf,
    TransactionState,
)
from hub.flows.breaks import open_break
from hub.flows.tasks import skip
from hub.ports import ChainReceipt, ChainRefused, Hub, SignedTransaction, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

COMMITMENT_VERSION = 1
# What the token is: access to the canonical Course. Not the course's own kind, which may be corrected later.
TOKEN_KIND, TOKEN_VERSION = 1, 1
NO_HOLDER = "0x" + "00" * 20
# A root is shown as CONFIRMED when this many blocks hold it; deeper finality comes with chains that reorganise.
CONFIRMATIONS = 1
# How soon to look again for a transaction that is in no block yet, or for a batch that is not confirmed.
LOOK_AGAIN_US = 1_000_000
BATCHER = "batcher"


# ---- in the unit of the result ---------------------------------------------------------------------------------------


async def record_end(
    tx: "Tx",
    order: Order,
    attempt: PaymentAttempt | None,
    *,
    is_right: bool,
    had_ended: bool,
    audiences: list[Audience],
    draw: Draw,
    vault: Vault,
) -> None:
    """The leaf that binds one request and its result; `attempt` None for an order of total 0.

    `had_ended`: the request may have an earlier leaf (declined, then charged after all), which no longer tells its end
    and is revoked by a Task: one request, one standing leaf.
    """
    leaf_id = draw.id("lef", attempt.id if attempt else order.id)
    salt = draw.bytes("salt", leaf_id)
    request, result = request_of(order, attempt), result_of(order, attempt)
    await tx.anchors.add_leaf(
        RecordedLeaf(
            id=leaf_id,
            order_id=order.id,
            attempt_id=attempt.id if attempt else None,
            generation=0,
            order_key=vault.order_key(order.merchant_id, order.number),
            holder=NO_HOLDER,
            token_id=str(token_id(order.course_id, vault)) if is_right else "0",
            expiry=anchors.NO_END if is_right else 0,
            request=anchors.canonical(request).decode(),
            result=anchors.canonical(result).decode(),
            commitment=commitment(request, result, salt, vault),
            sealed_salt=vault.seal(salt, leaf_id),
            is_superseded=False,
            batch_id=None,
            index=None,
            created_at_us=draw.now_us,
        )
    )
    if attempt is not None and had_ended:
        for earlier in await tx.anchors.supersede(attempt.id, leaf_id):
            tx.tasks.add("revoke_leaf", earlier.id, {"leaf": earlier.id}, draw.now_us)
    tx.events.append(_Row(leaf_id), PaymentRecorded(leaf_id, order.id), audiences, draw)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that is written once: its only version is the first."""

    id: str
    version: int = 1


def request_of(order: Order, attempt: PaymentAttempt | None) -> dict[str, Any]:
    """The PaymentRequest as it is recorded: (user, amount, channel, course) under the order number. Amounts as text:
    a verifier in JavaScript must not lose a unit."""
    return {
        "order": order.number,
        "user": order.user_id,
        "course": order.course_id,
        "channel": attempt.channel if attempt else None,
        "reference": attempt.key if attempt else None,
        "amountMinor": str(order.total.amount_minor),
        "currency": order.total.currency,
    }


def result_of(order: Order, attempt: PaymentAttempt | None) -> dict[str, Any]:
    """The PaymentResult as it is recorded."""
    return {
        "state": attempt.state if attempt else order.status,
        "channelReference": attempt.channel_ref if attempt else None,
        "code": attempt.code if attempt else None,
        "providerTime": str(attempt.heard_at_us) if attempt and attempt.heard_at_us is not None else None,
        "orderStatus": order.status,
        "receivedMinor": str(order.received_minor),
    }


def commitment(request: dict[str, Any], result: dict[str, Any], salt: bytes, vault: Vault) -> bytes:
    """What the leaf says of request and result, to whoever has the opening and to nobody else."""
    return anchors.commitment(
        COMMITMENT_VERSION,
        anchors.content_hash(request, vault.keccak),
        anchors.content_hash(result, vault.keccak),
        salt,
        vault.keccak,
    )


def token_id(course_id: str, vault: Vault) -> int:
    """One token for a Course on every platform."""
    return anchors.token_id(course_id, TOKEN_KIND, TOKEN_VERSION, vault.keccak)


# ---- batches ---------------------------------------------------------------------------------------------------------


async def gather(hub: Hub) -> int | None:
    """Close the next batch if it is full or old enough. Returns when to look again (µs), None if nothing waits."""
    async with hub.store.reading() as rx:
        held, head = await rx.events.position_of(BATCHER), await rx.events.head()
        waiting = await rx.events.read(HUB_STREAM, held, anchors.MAX_LEAVES, [PaymentRecorded.kind])
        if not waiting:
            await skip(hub, BATCHER, held, head.position)
            return None
        closes_at_us = waiting[0].occurred_at_us + hub.batch_after_ms * 1000
        if len(waiting) < anchors.MAX_LEAVES and hub.clock.now_us() < closes_at_us:
            return closes_at_us
        leaf_ids = [event.body["leaf_id"] for event in waiting]
        by_id = {leaf.id: leaf for leaf in await rx.anchors.leaves(leaf_ids)}
    leaves = [by_id[leaf_id] for leaf_id in leaf_ids]
    tree = await asyncio.to_thread(planted, leaves, hub.vault)
    data_hash = hub.vault.keccak(b"".join(tree.nodes))
    draw = hub.draw()
    batch = AnchorBatch(
        id=draw.id("anb"),
        first_position=waiting[0].position,
        last_position=waiting[-1].position,
        count=len(leaves),
        root=tree.root,
        data_hash=data_hash,
        chain_id=0,
        contract="",
        state=BatchState.QUEUED,
        transaction_hash=None,
        block_number=None,
        gas_used=None,
        gas_price_wei=None,
        version=1,
        created_at_us=draw.now_us,
        confirmed_at_us=None,
    )
    await hub.store.write(close_batch, batch, leaf_ids, held, draw)
    return draw.now_us


async def close_batch(tx: "Tx", batch: AnchorBatch, leaf_ids: list[str], held: int, draw: Draw) -> None:
    """The batch, its leaves and its Task, in the unit that moves the batcher on: the same range, the same batch."""
    await tx.events.move(BATCHER, held, batch.last_position)
    if not await tx.anchors.add_batch(batch, leaf_ids):
        raise AssertionError(f"events {batch.first_position} to {batch.last_position} have their batch already")
    tx.tasks.add("anchor_batch", f"{batch.first_position}-{batch.last_position}", {"batch": batch.id}, draw.now_us)


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
    if batch is None or batch.state is BatchState.CONFIRMED:
        return None
    await hub.chain.connect()

    def sign(nonce: int) -> Awaitable[SignedTransaction]:
        return hub.chain.sign_anchor(batch.root, batch.count, batch.data_hash, nonce)

    purpose = f"anchor:{batch.root.hex()}"
    try:
        receipt = await transacted(hub, purpose, sign, batch)
    except ChainRefused as refused:
        if not await _is_there(hub, batch):
            return await _refused(hub, batch, str(refused))
        receipt = None  # by a transaction that we have lost: the root is on chain, and that is what counts
    else:
        if receipt is None or receipt.confirmations < CONFIRMATIONS:
            return hub.clock.now_us() + LOOK_AGAIN_US
        if not receipt.is_ok and not await _is_there(hub, batch):
            return await _refused(hub, batch, f"the transaction {receipt.hash} failed")
    await hub.store.write(confirm_batch, batch.id, receipt, purpose, hub.draw())
    return None


async def _is_there(hub: Hub, batch: AnchorBatch) -> bool:
    """Whether the contract holds this root already: anchoring it again reverts, and counts as success."""
    return (await hub.chain.anchored(batch.root)).count == batch.count


async def transacted(
    hub: Hub,
    purpose: str,
    sign: Callable[[int], Awaitable[SignedTransaction]],
    batch: AnchorBatch | None = None,
) -> ChainReceipt | None:
    """The transaction of a purpose: signed once, stored, then sent until a block holds it. None: in no block yet."""
    async with hub.store.reading() as rx:
        stored = await rx.anchors.transaction(purpose)
        known_nonce = await rx.anchors.next_nonce(hub.chain.chain_id, hub.chain.sender)
    if stored is None:
        signed = await sign(max(known_nonce, await hub.chain.next_nonce()))
        draw = hub.draw()
        stored = ChainTransaction(
            purpose=purpose,
            chain_id=hub.chain.chain_id,
            sender=signed.sender,
            nonce=signed.nonce,
            raw=signed.raw,
            hash=signed.hash,
            state=TransactionState.SIGNED,
            signed_at_us=draw.now_us,
        )
        if not await hub.store.write(keep_signed, stored, batch, hub.chain.contract, draw):
            return None  # another process took this nonce, or this purpose: look again
    receipt = await hub.chain.receipt(stored.hash)
    if receipt is None:
        await _send_in_order(hub, stored)
        receipt = await hub.chain.receipt(stored.hash)
    return receipt


async def _send_in_order(hub: Hub, wanted: ChainTransaction) -> None:
    """Send everything of this sender that no block holds, lowest nonce first: a gap would hold up all behind it."""
    async with hub.store.reading() as rx:
        unsettled = await rx.anchors.unsettled(wanted.chain_id, wanted.sender)
    for transaction in unsettled:
        if transaction.nonce > wanted.nonce:
            break
        if transaction.nonce < wanted.nonce and await hub.chain.receipt(transaction.hash) is not None:
            continue
        await hub.chain.send(
            SignedTransaction(transaction.hash, transaction.raw, transaction.nonce, transaction.sender)
        )


async def keep_signed(tx: "Tx", signed: ChainTransaction, batch: AnchorBatch | None, contract: str, draw: Draw) -> bool:
    """Commit the signed bytes before they are sent; an anchor's orders show SUBMITTED from now on."""
    if not await tx.anchors.add_transaction(signed):
        return False
    if batch is not None:
        held = await tx.anchors.lock_batch(batch.id)
        assert held is not None
        submitted = replace(
            held,
            state=BatchState.SUBMITTED,
            chain_id=signed.chain_id,
            contract=contract,
            transaction_hash=signed.hash,
        )
        await tx.anchors.update_batch(submitted)
        await _tell_orders(tx, batch.id, ChainStatus.SUBMITTED, draw)
    return True


async def confirm_batch(tx: "Tx", batch_id: str, receipt: ChainReceipt | None, purpose: str, draw: Draw) -> None:
    """A block holds the root: the batch, its transaction and its orders are CONFIRMED."""
    batch = await tx.anchors.lock_batch(batch_id)
    if batch is None or batch.state is BatchState.CONFIRMED:
        return
    batch = replace(batch, state=BatchState.CONFIRMED, confirmed_at_us=draw.now_us)
    if receipt is not None:
        batch = replace(
            batch,
            transaction_hash=receipt.hash,
            block_number=receipt.block_number,
            gas_used=receipt.gas_used,
            gas_price_wei=receipt.gas_price_wei,
        )
        await tx.anchors.move_transaction(purpose, TransactionState.CONFIRMED)
    await tx.anchors.update_batch(batch)
    await _tell_orders(tx, batch_id, ChainStatus.CONFIRMED, draw)


async def _tell_orders(tx: "Tx", batch_id: str, status: ChainStatus, draw: Draw) -> None:
    """An order follows the leaf that stands for it, so a batch with an older one of its leaves does not move it."""
    await tx.orders.lock_all(sorted({leaf.order_id for leaf in await tx.anchors.leaves_of_batch(batch_id)}))
    moved = await tx.orders.recorded(await tx.anchors.shown_by(batch_id), status)
    parties = await tx.orders.parties([order.id for order in moved])
    for order in moved:
        change = Change("", status, batch_id)
        tx.events.append(order, OrderRecorded.of(order), parties[order.id], draw, change)


async def _refused(hub: Hub, batch: AnchorBatch, reason: str) -> int:
    """The chain said no: the batch shows FAILED, a person is told, and the Task goes on trying."""
    await hub.store.write(fail_batch, batch.id, reason, hub.draw())
    return hub.clock.now_us() + 60 * LOOK_AGAIN_US


async def fail_batch(tx: "Tx", batch_id: str, reason: str, draw: Draw) -> None:
    batch = await tx.anchors.lock_batch(batch_id)
    if batch is None or batch.state in (BatchState.FAILED, BatchState.CONFIRMED):
        return
    await tx.anchors.update_batch(replace(batch, state=BatchState.FAILED))
    await _tell_orders(tx, batch_id, ChainStatus.FAILED, draw)
    await open_break(tx, BreakKind.CHAIN, batch_id, None, f"the anchor was refused: {reason}"[:500], draw)


async def revoke_leaf(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one leaf that no longer stands: its revocation bit on chain, once its batch is there."""
    async with hub.store.reading() as rx:
        leaf = (await rx.anchors.leaves([task.body["leaf"]]))[0]
        batch = await rx.anchors.batch(leaf.batch_id) if leaf.batch_id else None
    if batch is None or batch.state is not BatchState.CONFIRMED or leaf.index is None:
        return hub.clock.now_us() + LOOK_AGAIN_US
    await hub.chain.connect()
    if await hub.chain.is_revoked(batch.root, leaf.index):
        return None
    word, mask = anchors.revocation_bit(leaf.index)

    def sign(nonce: int) -> Awaitable[SignedTransaction]:
        return hub.chain.sign_revoke(batch.root, word, mask, nonce)

    purpose = f"revoke:{batch.root.hex()}:{leaf.id}"
    receipt = await transacted(hub, purpose, sign)
    if receipt is None:
        return hub.clock.now_us() + LOOK_AGAIN_US
    state = TransactionState.CONFIRMED if receipt.is_ok else TransactionState.FAILED
    await hub.store.write(settle_transaction, purpose, state)
    return None if receipt.is_ok else hub.clock.now_us() + 60 * LOOK_AGAIN_US


async def settle_transaction(tx: "Tx", purpose: str, state: TransactionState) -> None:
    await tx.anchors.move_transaction(purpose, state)


async def keep_contract(hub: Hub, known: KnownContract) -> None:
    """Record a contract for ever."""
    await hub.store.write(put_contract, known)


async def put_contract(tx: "Tx", known: KnownContract) -> None:
    await tx.anchors.add_contract(known)
