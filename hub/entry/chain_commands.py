"""`hub chain`: how far the chain is read, and going on after a halt."""

import sys
from typing import TYPE_CHECKING, Final

from hub.entry.commands import opened
from hub.entry.settings import Settings
from hub.flows import indexing
from hub.ports import ChainRefused, ChainUnavailable

if TYPE_CHECKING:
    from hub.store.transactions import Rx

COUNTED: Final = 20  # batches that tell what an order costs at the prices of now


async def print_status(settings: Settings) -> int:
    """What is read of each chain; asks no node. 1 if reading has halted somewhere."""
    async with opened(settings) as (hub, _):
        async with hub.store.reading() as rx:
            cursors = await rx.chain_log.cursors()
            costs = {cursor.chain_id: await _costs(rx, cursor.chain_id) for cursor in cursors}
            contracts = {cursor.chain_id: await rx.anchors.contracts(cursor.chain_id) for cursor in cursors}
        now_us = hub.clock.now_us()
    if not cursors:
        print("hub: nothing is read of any chain yet")
    for cursor in cursors:
        ago_s = max(0, now_us - cursor.moved_at_us) // 1_000_000
        print(f"chain {cursor.chain_id}: read to block {cursor.number} of {cursor.head_number}, {ago_s} s ago; "
              f"confirmed to {cursor.confirmed_number}, final to {cursor.final_number}")  # fmt: skip
        for known in contracts[cursor.chain_id]:
            print(f"  {known.name} {known.address} from block {known.from_block}")
        for line in costs[cursor.chain_id]:
            print(f"  {line}")
        if cursor.halt_reason is not None:
            print(f"  HALTED: {cursor.halt_reason}")
    return 1 if any(cursor.halt_reason is not None for cursor in cursors) else 0


async def _costs(rx: "Rx", chain_id: int) -> list[str]:
    """What an order has cost of late, by the way that it took."""
    lines = []
    for kind, is_settlement in (("batches", False), ("settlements", True)):
        paid = await rx.anchors.newest_paid(chain_id, is_settlement, COUNTED)
        if orders := sum(batch.count for batch in paid):
            gas = sum(batch.gas_used or 0 for batch in paid)
            wei = sum((batch.gas_used or 0) * (batch.gas_price_wei or 0) for batch in paid)
            lines.append(f"the last {kind} ({len(paid)}): {gas // orders} gas and {wei // orders} wei an order")
    return lines


async def resume(settings: Settings, *, accepts: bool) -> int:
    """Go on where reading halted; 1 and why, if not."""
    async with opened(settings) as (hub, side):
        try:
            await side.client.connect()
            refusal = await indexing.resume(hub, accepts=accepts)
        except (ChainUnavailable, ChainRefused) as error:
            refusal = f"the chain is not to be had: {error}"
    if refusal is not None:
        print(f"hub: {refusal}", file=sys.stderr)
        return 1
    print("hub: reading goes on")
    return 0
