"""Keys of ours under which the chain holds another right than the leaf says: whoever has stolen a signer's key can
settle an order first, for a wallet of their own. A contract settles a key once, so the leaf goes another way.
"""

from typing import TYPE_CHECKING

from hub.domain.chain_log import ChainEvent
from hub.domain.checkout import wallet_of
from hub.domain.ids import Draw
from hub.domain.orders import FulfilmentStatus
from hub.domain.reconciliation import BreakKind
from hub.domain.records import AnchorBatch, RecordedLeaf
from hub.flows.breaks import open_break
from hub.flows.records import renew
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.transactions import Rx, Tx


async def is_as_meant(rx: "Rx", event: ChainEvent, batch: AnchorBatch, leaf: RecordedLeaf) -> bool:
    """Whether what Settled tells is the right of this leaf: its holder's, for its course, as long, with its commitment.
    What was bought is the payer's, and its commitment is the offer, both of which its key is made of."""
    if leaf.order_key == batch.root:
        wanted = {"to": leaf.holder, "commitment": f"0x{leaf.commitment.hex()}"}
    else:
        attempt = await rx.payments.by_id(leaf.attempt_id or "")
        payer = None if attempt is None else wallet_of(attempt.method)
        wanted = {} if payer is None else {"to": f"0x{payer.address.hex()}"}
    wanted |= {"tokenId": leaf.token_id, "expiry": str(leaf.expiry)}
    return all(event.args[name].lower() == word.lower() for name, word in wanted.items())


async def go_round(tx: "Tx", event: ChainEvent, leaf: RecordedLeaf, draw: Draw, vault: Vault) -> None:
    """A person is told, the right that others have made of the key is revoked, and the leaf's goes under a root."""
    detail = (
        f"key {event.subject} was settled for another right than that of leaf {leaf.id}, in {event.transaction_hash}"
    )
    await open_break(tx, BreakKind.CHAIN, leaf.id, leaf.order_id, detail, draw)
    order = await tx.orders.lock(leaf.order_id)
    [leaf] = await tx.anchors.leaves([leaf.id])  # a claim may have been first
    if leaf.is_superseded or order is None:
        return  # what has taken over from it has it revoked
    if order.fulfilment_status is not FulfilmentStatus.REVOKED:
        await renew(tx, leaf, leaf.owner_id or order.user_id, leaf.holder, draw, vault)
    tx.tasks.add("revoke_leaf", leaf.id, {"leaf": leaf.id}, draw.now_us)
