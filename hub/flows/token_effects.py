"""What the chain tells of the token of a right: that its holder has claimed it, that it was burned, or that the chain
has taken either back.

Access asks none of this: a right stands whether its token was claimed or not, and only one that has ended is burned.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hub.domain.chain_log import ChainEvent
from hub.domain.contracts import NOBODY
from hub.domain.entitlements import ClaimedToken, TokenState
from hub.domain.events import Change, EntitlementTokenChanged
from hub.domain.ids import Draw
from hub.domain.records import RecordedLeaf
from hub.flows.entitlements import event_of, told_of_right
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


async def claimed(tx: "Tx", event: ChainEvent, draw: Draw, vault: Vault) -> None:
    """Its wallet holds what this leaf says. A claim again, after a longer one was revoked, is the newer one."""
    leaf = await _leaf(tx, event)
    if leaf is not None:
        await given(tx, leaf, event, draw, vault)


async def given(tx: "Tx", leaf: RecordedLeaf, event: ChainEvent, draw: Draw, vault: Vault) -> None:
    """The wallet of a leaf holds it by this event: a claim, or a settlement, which needs none."""
    before, at_us = await tx.tokens.of(leaf.id), await _mined_at(tx, event)
    if before is None:
        await tx.tokens.put(ClaimedToken(leaf.id, at_us, None))
        await _tell(tx, leaf, TokenState.UNCLAIMED, TokenState.CLAIMED, event, draw, vault)
    elif before.claimed_at_us < at_us:
        await _put(tx, before, replace(before, claimed_at_us=at_us), event, draw, vault)


async def unclaimed(tx: "Tx", event: ChainEvent, draw: Draw, vault: Vault) -> None:
    leaf = await _leaf(tx, event)
    held = None if leaf is None else await tx.tokens.of(leaf.id)
    if leaf is None or held is None:
        return
    earlier = [
        other
        for other in await tx.chain_log.about(event.subject, "Claimed", "Settled")
        if (other.address, _index(other)) == (event.address, _index(event)) and other.place < event.place
    ]
    if earlier:
        before_it = replace(held, claimed_at_us=await _mined_at(tx, earlier[-1]))
        await _put(tx, held, before_it, event, draw, vault)
        return
    await tx.tokens.drop(leaf.id)
    await _tell(tx, leaf, held.state, TokenState.UNCLAIMED, event, draw, vault)


async def burned(tx: "Tx", event: ChainEvent, draw: Draw, vault: Vault) -> None:
    """Of what its wallet has claimed of that course, the newest is what it held."""
    at_us = await _mined_at(tx, event)
    until_then = [held for held in await _of_wallet(tx, event) if held.claimed_at_us <= at_us]
    for held in until_then[:1]:
        if held.state is TokenState.CLAIMED:
            await _put(tx, held, replace(held, burned_at_us=at_us), event, draw, vault)


async def unburned(tx: "Tx", event: ChainEvent, draw: Draw, vault: Vault) -> None:
    at_us = await _mined_at(tx, event)
    for held in await _of_wallet(tx, event):
        if held.burned_at_us == at_us:
            await _put(tx, held, replace(held, burned_at_us=None), event, draw, vault)


async def _put(
    tx: "Tx", before: ClaimedToken, after: ClaimedToken, event: ChainEvent, draw: Draw, vault: Vault
) -> None:  # fmt: skip
    await tx.tokens.put(after)
    if after.state is not before.state:
        [leaf] = await tx.anchors.leaves([after.leaf_id])
        await _tell(tx, leaf, before.state, after.state, event, draw, vault)


async def _of_wallet(tx: "Tx", event: ChainEvent) -> list[ClaimedToken]:
    """Nothing of a transfer that is no burn: claims and settlements tell of what they mint."""
    if event.args["_to"] != NOBODY or await _is_refused(tx, event):
        return []
    return await tx.tokens.held(event.address, event.args["_from"], event.args["_id"])


async def _is_refused(tx: "Tx", event: ChainEvent) -> bool:
    """Whether a burn only takes back what was minted just before: a wallet that is a contract did not take the token,
    and has the right all the same."""
    wanted = {"_from": NOBODY, "_to": event.args["_from"], "_id": event.args["_id"]}
    return any(
        (other.address, other.transaction_hash, other.name) == (event.address, event.transaction_hash, event.name)
        and other.place < event.place
        and wanted.items() <= other.args.items()
        for other in await tx.chain_log.events(event.chain_id, event.block_number - 1, event.block_number)
    )


async def _leaf(tx: "Tx", event: ChainEvent) -> RecordedLeaf | None:
    return await tx.tokens.leaf_at(event.address, bytes.fromhex(event.subject[2:]), _index(event))


def _index(event: ChainEvent) -> int:
    """Where the leaf is under its root: what is settled is there alone."""
    return int(event.args.get("index", 0))


async def _mined_at(tx: "Tx", event: ChainEvent) -> int:
    block = await tx.chain_log.block_at(event.chain_id, event.block_number)
    assert block is not None, "the blocks of events are kept"
    return block.mined_at_us


async def _tell(
    tx: "Tx", leaf: RecordedLeaf, before: TokenState, after: TokenState, event: ChainEvent, draw: Draw, vault: Vault
) -> None:
    """Nobody of a leaf that another one has taken over from: the right has that one's token now."""
    order = await tx.orders.lock(leaf.order_id)
    if order is None or leaf.is_superseded or leaf.grant_id is None:
        return
    right = await tx.entitlements.of(leaf.owner_id or order.user_id, order.course_id)
    locked = None if right is None else await tx.entitlements.lock(right.id)
    if locked is None:
        return
    locked = await tx.entitlements.update(locked)
    grants = await tx.entitlements.grants(locked.id)
    source = next(grant.source for grant in grants if grant.id == leaf.grant_id)
    told = event_of(partial(EntitlementTokenChanged, token_state=after), locked, order, source)
    audiences = await told_of_right(tx, order, locked.user_id, vault)
    tx.events.append(locked, told, audiences, draw, Change(before, after, event.transaction_hash))
