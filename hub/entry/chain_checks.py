"""What was read of the chain, read once more: `hub verify` finds what is missing, too much, or another."""

from collections.abc import AsyncIterator, Sequence

from hub.domain.chain_log import Block, ChainEvent, Cursor
from hub.entry.checks import Check
from hub.flows.indexing import BLOCKS_AT_ONCE, RANGE
from hub.ports import ChainUnavailable, Hub


async def index(hub: Hub, *, with_chain: bool) -> Check:
    """Every event that is kept stands on the node's chain as it is kept, and no other does."""
    check = Check("what was read of the chain is what a fresh reading gives")
    if not with_chain:
        check.note = "not asked: --no-chain"
        return check
    try:
        async with hub.store.reading() as rx:
            cursor = await rx.chain_log.cursor(hub.chain.chain_id)
        if cursor is None:
            check.note = "nothing is read yet"
            return check
        check.expect(cursor.halt_reason is None, f"reading has halted: {cursor.halt_reason}")
        await _compare(hub, cursor, check)
    except ChainUnavailable as error:
        check.wrong.append(f"the chain does not answer: {error}")
    return check


async def _compare(hub: Hub, cursor: Cursor, check: Check) -> None:
    async with hub.store.reading() as rx:
        recorded = {one.address: one for one in await rx.anchors.contracts(cursor.chain_id)}
        watched = await rx.chain_log.watched(cursor.chain_id)
        names = {address: known.name for address, known in recorded.items() if watched.get(address, 0) is None}
        blocks = await rx.chain_log.blocks(cursor.chain_id, cursor.final_number)
    if not names:
        return
    first = max(min(recorded[address].from_block for address in names), 0)
    async for after, upto, fresh in _afresh(hub, cursor, first, blocks, names):
        async with hub.store.reading() as rx:
            kept = {event.id: event for event in await rx.chain_log.events(cursor.chain_id, after, upto)}
        for event in fresh:
            held = kept.pop(event.id, None)
            check.expect(held == event, f"{event.name} {event.id} is on the chain, and kept is {held}")
        for event in kept.values():
            check.expect(event.address not in names, f"{event.name} {event.id} is kept and not on the chain")


async def _afresh(
    hub: Hub, cursor: Cursor, first: int, blocks: Sequence[Block], names: dict[str, str]
) -> AsyncIterator[tuple[int, int, list[ChainEvent]]]:
    """Events of one range after the other: above which block, up to which."""
    while first <= cursor.final_number:
        last = min(first + RANGE - 1, cursor.final_number)
        yield first - 1, last, await hub.chain_log.logs_between(first, last, names)
        first = last + 1
    for start in range(0, len(blocks), BLOCKS_AT_ONCE):
        some = blocks[start : start + BLOCKS_AT_ONCE]
        yield some[0].number - 1, some[-1].number, await hub.chain_log.logs_of(some, names)
