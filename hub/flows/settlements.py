"""Rights that are on chain by themselves and under no root: settled by a signed result at once, or bought there.

Such a right has a batch of its own, whose root is the key that the contract knows it by. A leaf has one batch: so it
takes one way or the other, and what follows batches follows it too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hub.domain.checkout import CHANNEL, order_key_in
from hub.domain.contracts import NOBODY
from hub.domain.ids import Draw
from hub.domain.records import AnchorBatch, RecordedLeaf
from hub.flows import chain_effects
from hub.ports import Hub, SettledRight, SignedTransaction, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Rx, Tx

# A signed result that lies about is worth nothing after so long by the chain's time; the contract takes a day at most.
DEADLINE_S = 3_600


async def keys_of(hub: Hub, rx: "Rx", leaves: Sequence[RecordedLeaf]) -> dict[str, bytes]:
    """Leaf id → order key on chain, of those among these leaves that are settled by themselves."""
    # The first leaf of a right is what was bought: those after it say the same purchase, and are on chain otherwise.
    rights = sorted((leaf for leaf in leaves if leaf.grant_id is not None), key=lambda leaf: leaf.generation)
    paid = [leaf.attempt_id for leaf in rights if leaf.attempt_id is not None and leaf.owner_id is None]
    bought = await rx.payments.references(CHANNEL, paid) if paid else {}
    keys: dict[str, bytes] = {}
    for leaf in rights:
        purchase = order_key_in(bought.get(leaf.attempt_id or ""))
        key = purchase or leaf.order_key
        is_direct = purchase is not None or (hub.settles_at_once and leaf.holder != NOBODY and not leaf.is_superseded)
        # A key is settled once: a right that has moved on since goes under a root.
        if is_direct and key not in keys.values() and await rx.chain_log.batch_of(key) is None:
            keys[leaf.id] = key
    return keys


def batch_of(leaf: RecordedLeaf, key: bytes, position: int, draw: Draw) -> AnchorBatch:
    """The batch of one."""
    return AnchorBatch.queued(
        id=draw.id("anb", leaf.id),
        first_position=position,
        last_position=position,
        count=1,
        root=key,
        data_hash=leaf.commitment,
        created_at_us=draw.now_us,
        is_settlement=True,
    )


async def sign(hub: Hub, batch: AnchorBatch, nonce: int) -> SignedTransaction:
    """The transaction that settles it. Its deadline is by the chain's clock, as the contract goes by that: the hub's
    own may be hours apart from it."""
    async with hub.store.reading() as rx:
        [leaf] = await rx.anchors.leaves_of_batch(batch.id)
    right = SettledRight(leaf.holder, int(leaf.token_id), leaf.expiry, leaf.commitment)
    deadline = await hub.chain.now_s() + DEADLINE_S
    return await hub.chain.sign_settlement(batch.root, right, deadline, nonce)


async def is_ours_to_send(hub: Hub, batch: AnchorBatch) -> bool:
    """Of a settlement: what was bought on chain is there already, under a key of the purchase."""
    async with hub.store.reading() as rx:
        [leaf] = await rx.anchors.leaves_of_batch(batch.id)
    return leaf.order_key == batch.root


async def apply_told(tx: "Tx", batch: AnchorBatch, draw: Draw, vault: Vault) -> None:
    """What was bought on chain, and may have been revoked since, was told of before its right had a batch that it could
    be told of."""
    cursors = {cursor.chain_id: cursor for cursor in await tx.chain_log.cursors()}
    for event in await tx.chain_log.about(f"0x{batch.root.hex()}", "Settled", "OrderRevoked"):
        depth = cursors[event.chain_id].depth(event.block_number)
        await chain_effects.stands(tx, event, None, depth, None, draw, vault)
