"""Every batch looked at again and again: its leaves still come to the root that stands on chain.

A leaf that somebody has changed in the database would otherwise be noticed when its proof is refused, perhaps years
later. `hub verify` asks the same, and the chain too; this is what runs by itself.
"""

import asyncio
from typing import TYPE_CHECKING

from hub.domain.reconciliation import BreakKind
from hub.domain.records import AnchorBatch
from hub.flows.anchors import planted
from hub.flows.breaks import open_break
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.domain.ids import Draw
    from hub.store.transactions import Tx

PAGE = 16  # batches of one look: about 20 ms of hashing where they are full


async def look(hub: Hub, after: str) -> str:
    """Compare the next batches after this id, '' for the first. The last one's id; '' once all were compared."""
    async with hub.store.reading() as rx:
        batches = await rx.anchors.batches(after, PAGE)
    for batch in batches:
        if not await stands(hub, batch):
            await hub.store.write(tell_of_root, batch.id, hub.draw())
    return batches[-1].id if len(batches) == PAGE else ""


async def stands(hub: Hub, batch: AnchorBatch) -> bool:
    """Whether a batch's leaves come to its root. A settlement has none: what stands on chain is its order's key."""
    if batch.is_settlement:
        return True
    async with hub.store.reading() as rx:
        leaves = await rx.anchors.leaves_of_batch(batch.id)
    if len(leaves) != batch.count:
        return False
    return (await asyncio.to_thread(planted, leaves, hub.vault)).root == batch.root


async def tell_of_root(tx: "Tx", batch_id: str, draw: "Draw") -> None:
    """The Break of a batch whose leaves are not what was anchored."""
    await open_break(tx, BreakKind.CHAIN, batch_id, None, "the leaves of this batch have another root", draw)
