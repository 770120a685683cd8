"""Reading the chain: what is stored follows the blocks that the node tells of, and goes back where the chain goes back.

One pass looks whether the last block read still stands, undoes what does not, and reads on. Each step is one unit that
moves the cursor by compare-and-set, so of several processes one is the reader at any time, and a restart goes on where
the last unit ended. Below what is final nothing is undone: reading halts, a person is told, and sales go on.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.domain.chain_log import BEFORE_FIRST, Block, ChainEvent, Cost, Cursor, Heads
from hub.domain.ids import Draw
from hub.domain.reconciliation import BreakKind
from hub.domain.records import KnownContract
from hub.flows import chain_effects
from hub.flows.breaks import open_break
from hub.ports import ChainUnavailable, Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

BLOCKS_AT_ONCE = 32  # near the head, in one unit: each is asked for by its hash
PASSES = 4  # by a Task that waits for its own block; the worker reads on where the chain is far ahead
RANGE = 2_000  # blocks of one question below what is final: what common providers take


@dataclass(frozen=True, slots=True)
class Taken:
    """What one step has read: blocks one after the other, or those of a final range that hold events."""

    blocks: Sequence[Block]
    events: Sequence[ChainEvent]
    costs: Mapping[str, Cost] = field(default_factory=dict)


async def look(hub: Hub) -> bool:
    """One pass. True: there is more to do at once. Raises ChainUnavailable."""
    chain_id = hub.chain.chain_id
    async with hub.store.reading() as rx:
        contracts = {one.address: one for one in await rx.anchors.contracts(chain_id)}
        cursor = await rx.chain_log.cursor(chain_id)
        watched = await rx.chain_log.watched(chain_id)
    if not contracts:
        return False
    heads = await hub.chain_log.heads()
    if cursor is None:
        return await _begin(hub, list(contracts.values()), heads)
    if cursor.halt_reason is not None:
        return False
    if not await _stands(hub, cursor):
        return await _go_back(hub, cursor)
    for address, known in contracts.items():
        if address not in watched:
            return await _take_up(hub, cursor, known)
        if (behind := watched[address]) is not None:
            return await _catch_up(hub, cursor, known, behind)
    names = {address: known.name for address, known in contracts.items()}
    return await _go_on(hub, cursor, heads, names)


async def read_on(hub: Hub) -> None:
    """A few passes, so that the block of whoever waits for it is read at once. Raises ChainUnavailable."""
    for _ in range(PASSES):
        if not await look(hub):
            return


async def _begin(hub: Hub, contracts: Sequence[KnownContract], heads: Heads) -> bool:
    """Start before the oldest contract, and where nothing can be taken back."""
    number = min(min(known.from_block for known in contracts) - 1, heads.final)
    hash_ = await _hash_of(hub, number)
    now_us = hub.clock.now_us()
    cursor = Cursor(
        hub.chain.chain_id, number, hash_, heads.number, number, number, hash_, None, None, 1, now_us
    )  # fmt: skip
    return await hub.store.write(begin_reading, cursor, [known.address for known in contracts])


async def begin_reading(tx: "Tx", cursor: Cursor, addresses: Sequence[str]) -> bool:
    if not await tx.chain_log.begin(cursor):
        return False
    for address in addresses:
        await tx.chain_log.watch(cursor.chain_id, address, None)
    return True


# ---- back ------------------------------------------------------------------------------------------------------------


async def _stands(hub: Hub, cursor: Cursor) -> bool:
    """Whether the last block read is the node's at its height: those below hang on it by their hashes."""
    return await _hash_of(hub, cursor.number, otherwise="") == cursor.hash


async def _go_back(hub: Hub, cursor: Cursor) -> bool:
    """To the last block that both sides have. A node that only lacks the newest ones lags: wait for it."""
    async with hub.store.reading() as rx:
        stored = await rx.chain_log.blocks(cursor.chain_id, cursor.final_number)
    hashes = {cursor.final_number: cursor.final_hash} | {block.number: block.hash for block in stored}
    hashes.pop(-1, None)
    theirs = {block.number: block.hash for block in await hub.chain_log.blocks(sorted(hashes)) if block is not None}
    is_behind = cursor.final_number >= 0 and cursor.final_number not in theirs
    if is_behind or all(hashes[number] == hash_ for number, hash_ in theirs.items()):
        log.warning("the node lacks block %d, which was read from it or another", cursor.number)
        return False
    other = theirs.get(cursor.final_number, cursor.final_hash)
    if other != cursor.final_hash:
        reason = f"block {cursor.final_number} was final as {cursor.final_hash}, and the node now has {other} there"
        log.error("reading the chain halts: %s", reason)
        await hub.store.write(halt_reading, cursor, reason, hub.draw())
        return False
    common = max((number for number, hash_ in theirs.items() if hashes[number] == hash_), default=cursor.final_number)
    hash_ = hashes.get(common, cursor.final_hash)
    log.warning("the chain has taken back blocks %d to %d", common + 1, cursor.number)
    return await hub.store.write(step_back, cursor, common, hash_, hub.draw(), hub.vault)


async def step_back(tx: "Tx", held: Cursor, number: int, hash_: str, draw: Draw, vault: Vault) -> bool:
    """Forget all blocks above a number with what followed from them, newest first, in one transaction."""
    confirmed = min(held.confirmed_number, number)
    cursor = replace(held, number=number, hash=hash_, confirmed_number=confirmed, moved_at_us=draw.now_us)
    if number < held.final_number:  # by an operator's word alone
        cursor = replace(cursor, final_number=number, final_hash=hash_, halt_reason=None, halted_at_us=None)
    if not await tx.chain_log.move(held, cursor):
        return False
    for event in reversed(await tx.chain_log.events(held.chain_id, number, held.number)):
        await chain_effects.undone(tx, event, held.depth(event.block_number), draw, vault)
    await tx.chain_log.drop_after(held.chain_id, number)
    await tx.chain_log.step_back(held.chain_id, number)
    return True


async def halt_reading(tx: "Tx", held: Cursor, reason: str, draw: Draw) -> None:
    """Read nothing more, undo nothing, and have a person look."""
    if await tx.chain_log.move(held, replace(held, halted_at_us=draw.now_us, halt_reason=reason)):
        await open_break(tx, BreakKind.CHAIN, f"chain:{held.chain_id}", None, f"reading has halted: {reason}", draw)


async def resume(hub: Hub, *, accepts: bool) -> str | None:
    """An operator's word after a halt: go on. Where the node still has another block than was final, only if the
    operator `accepts` that: then everything above the last block that both have is undone. Returns why not, if not."""
    async with hub.store.reading() as rx:
        cursor = await rx.chain_log.cursor(hub.chain.chain_id)
        kept = [] if cursor is None else await rx.chain_log.blocks(cursor.chain_id, -1)
        contracts = await rx.anchors.contracts(hub.chain.chain_id)
    if cursor is None or cursor.halt_reason is None:
        return "reading has not halted"
    if await _hash_of(hub, cursor.final_number, otherwise="") == cursor.final_hash:
        return None if await hub.store.write(resume_reading, cursor, hub.draw()) else "another process was first"
    if not accepts:
        return f"the node still differs: {cursor.halt_reason}"
    theirs = {block.hash for block in await hub.chain_log.blocks([block.number for block in kept]) if block is not None}
    number = max(
        (block.number for block in kept if block.hash in theirs and block.number < cursor.final_number),
        default=min(known.from_block for known in contracts) - 1,
    )
    hash_ = await _hash_of(hub, number)
    is_back = await hub.store.write(step_back, cursor, number, hash_, hub.draw(), hub.vault)
    return None if is_back else "another process was first"


async def resume_reading(tx: "Tx", held: Cursor, draw: Draw) -> bool:
    """Go on where reading halted."""
    return await tx.chain_log.move(held, replace(held, halted_at_us=None, halt_reason=None, moved_at_us=draw.now_us))


# ---- forward ---------------------------------------------------------------------------------------------------------


async def _go_on(hub: Hub, cursor: Cursor, heads: Heads, names: Mapping[str, str]) -> bool:
    if heads.final > cursor.number:
        last = min(cursor.number + RANGE, heads.final)
        taken = await _range(hub, cursor.number + 1, last, names)
        end = await _block(hub, last)
        ahead = replace(cursor, number=last, hash=end.hash, final_number=last, final_hash=end.hash)
    else:
        taken = await _linked(hub, cursor, min(heads.number, cursor.number + BLOCKS_AT_ONCE), names)
        newest = taken.blocks[-1] if taken.blocks else None
        ahead = cursor if newest is None else replace(cursor, number=newest.number, hash=newest.hash)
        ahead = await _with_final(hub, ahead, heads, taken)
    confirmed = min(max(cursor.confirmed_number, heads.confirmed, ahead.final_number), ahead.number)
    ahead = replace(ahead, confirmed_number=confirmed)
    if ahead == cursor:
        return False
    ahead = replace(ahead, head_number=max(heads.number, ahead.number))
    moved = await hub.store.write(take_blocks, cursor, ahead, taken, hub.draw(), hub.vault)
    return moved and ahead.number < heads.number


async def _linked(hub: Hub, cursor: Cursor, last: int, names: Mapping[str, str]) -> Taken:
    """The next blocks as far as each names the one before as its parent; else the chain moves just now."""
    chain: list[Block] = []
    parent = cursor.hash
    for block in await hub.chain_log.blocks(range(cursor.number + 1, last + 1)):
        if block is None or block.parent_hash != parent:
            break
        chain.append(block)
        parent = block.hash
    events = await hub.chain_log.logs_of(chain, names)
    return Taken(chain, events, await _costs(hub, events))


async def _range(hub: Hub, first: int, last: int, names: Mapping[str, str]) -> Taken:
    """Events of final blocks, with the blocks that hold them."""
    events = await hub.chain_log.logs_between(first, last, names)
    numbers = sorted({event.block_number for event in events})
    blocks = {block.number: block for block in await hub.chain_log.blocks(numbers) if block is not None}
    for event in events:
        if event.block_number not in blocks or blocks[event.block_number].hash != event.block_hash:
            raise ChainUnavailable(f"the node's logs and headers differ at block {event.block_number}, which is final")
    return Taken([blocks[number] for number in numbers], events, await _costs(hub, events))


async def _with_final(hub: Hub, cursor: Cursor, heads: Heads, taken: Taken) -> Cursor:
    """The cursor with the node's newest final block, if that is one of those read."""
    number = min(heads.final, cursor.number)
    if number <= cursor.final_number:
        return cursor
    known = next((block for block in taken.blocks if block.number == number), None)
    if known is None:
        async with hub.store.reading() as rx:
            known = await rx.chain_log.block_at(cursor.chain_id, number)
    if known is None or known.hash != await _hash_of(hub, number, otherwise=""):
        return cursor  # the chain moves just now: the next pass sees how
    return replace(cursor, final_number=number, final_hash=known.hash)


async def take_blocks(tx: "Tx", held: Cursor, cursor: Cursor, taken: Taken, draw: Draw, vault: Vault) -> bool:
    """Keep what was read, and let follow from it, and from older blocks that are deeper now, what does. False: another
    process has moved the cursor."""
    if not await tx.chain_log.move(held, replace(cursor, moved_at_us=draw.now_us)):
        return False
    # Above what was confirmed before, and read before: these may have come deeper.
    risen = await tx.chain_log.events(held.chain_id, held.final_number, min(held.number, cursor.confirmed_number))
    for event in risen:
        was, depth = held.depth(event.block_number), cursor.depth(event.block_number)
        if depth > was:
            await chain_effects.stands(tx, event, was, depth, None, draw, vault)
    await _keep(tx, cursor, taken, draw, vault)
    if cursor.final_number > held.final_number:
        await tx.chain_log.drop_empty(held.chain_id, cursor.final_number)
    return True


async def _keep(tx: "Tx", cursor: Cursor, taken: Taken, draw: Draw, vault: Vault) -> None:
    await tx.chain_log.add_blocks(taken.blocks)
    for event in await tx.chain_log.add_events(taken.events):  # all of them: one may tell what another means
        cost = taken.costs.get(event.transaction_hash)
        await chain_effects.stands(tx, event, None, cursor.depth(event.block_number), cost, draw, vault)


# ---- contracts that became known late --------------------------------------------------------------------------------


async def _take_up(hub: Hub, cursor: Cursor, known: KnownContract) -> bool:
    """From where nothing can be taken back, if its first block still can: it may come to lie in an earlier one."""
    behind = max(min(known.from_block, cursor.final_number + 1), 0)
    return await hub.store.write(widen, cursor, known.address, behind, Taken([], []), hub.draw(), hub.vault)


async def _catch_up(hub: Hub, cursor: Cursor, known: KnownContract, behind: int) -> bool:
    """Read for one contract alone what was read for the others: the final part by ranges, then the rest at once."""
    names = {known.address: known.name}
    if behind <= cursor.final_number:
        last = min(behind + RANGE - 1, cursor.final_number)
        taken = await _range(hub, behind, last, names)
        after: int | None = last + 1
    else:
        async with hub.store.reading() as rx:
            stored = await rx.chain_log.blocks(cursor.chain_id, behind - 1)
        events = await hub.chain_log.logs_of(stored, names)
        taken, after = Taken([], events, await _costs(hub, events)), None
    return await hub.store.write(widen, cursor, known.address, after, taken, hub.draw(), hub.vault)


async def widen(
    tx: "Tx", held: Cursor, address: str, behind: int | None, taken: Taken, draw: Draw, vault: Vault
) -> bool:
    """Keep what was read for a contract that became known late; `behind` None: it goes with the cursor from now on."""
    if not await tx.chain_log.move(held, replace(held, moved_at_us=draw.now_us)):
        return False
    await _keep(tx, held, taken, draw, vault)
    await tx.chain_log.watch(held.chain_id, address, behind)
    return True


# ---- asking ----------------------------------------------------------------------------------------------------------


async def _costs(hub: Hub, events: Sequence[ChainEvent]) -> dict[str, Cost]:
    """Of the transactions whose cost is shown: those that anchored a batch or settled a right."""
    told = {event.transaction_hash for event in events if event.name in ("Anchored", "Settled")}
    return await hub.chain_log.costs(sorted(told))


async def _hash_of(hub: Hub, number: int, otherwise: str | None = None) -> str:
    if number < 0:
        return BEFORE_FIRST
    [block] = await hub.chain_log.blocks([number])
    if block is None and otherwise is not None:
        return otherwise
    return (await _block(hub, number)).hash if block is None else block.hash


async def _block(hub: Hub, number: int) -> Block:
    [block] = await hub.chain_log.blocks([number])
    if block is None:
        raise ChainUnavailable(f"the node does not have block {number}, which it says it has")
    return block
