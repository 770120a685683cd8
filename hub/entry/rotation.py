"""`hub contracts rotate-gateway OLD NEW`: another key anchors from now on, and nothing waits for it or is lost.

Given once while the hub runs with OLD, it puts NEW beside it, in whatever that key does here. Given again once the hub
runs with NEW, it waits until what OLD has signed is on chain, and only then takes OLD's roles, on contracts of before
too.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from hub.chain.offices import hand_over, put_beside
from hub.entry.chain import bring_up
from hub.entry.commands import opened
from hub.entry.complaints import Complaint
from hub.entry.contract_commands import address_in
from hub.entry.settings import Settings
from hub.flows.sending import settle_mined
from hub.ports import Hub

WAITED_FOR_S: Final = 180.0  # fifteen blocks of a chain with a block each 12 s: its anchors are confirmed by then
ASK_EVERY_S: Final = 1.0


async def rotate_gateway(settings: Settings, words: Sequence[str]) -> int:
    """0 once OLD has no role any more, and after the first half too."""
    old, new = (address_in(word) for word in words)
    async with opened(settings) as (hub, side):
        await bring_up(hub, side)
        async with hub.store.reading() as rx:
            contracts = {one.address: one.name for one in await rx.anchors.contracts(hub.chain.chain_id)}
        if hub.chain.sender == old:
            await put_beside(side.client, side.keys, contracts, old, new)
            print(f"hub: {new} may anchor too. Now give the hub its key as keys/gateway.key and {old}'s as "
                  "keys/former.key, see that it has money, restart the hub, and say this again")  # fmt: skip
            return 0
        if hub.chain.sender != new:
            raise Complaint(f"this hub's gateway is {hub.chain.sender}: neither of the two")
        await _nothing_left_of(hub, old)
        await hand_over(side.client, side.keys, contracts, old, new)
    print(f"hub: {new} anchors alone; keys/former.key can go")
    return 0


async def _nothing_left_of(hub: Hub, old: str) -> None:
    """Running hubs send it again, by their Tasks; here it is waited for, and settled where nobody asks for it again."""
    deadline = time.monotonic() + WAITED_FOR_S
    while True:
        await settle_mined(hub, old)
        async with hub.store.reading() as rx:
            left = [one for one in await rx.chain_transactions.unsettled(hub.chain.chain_id) if one.sender == old]
        if not left:
            return
        if time.monotonic() > deadline:
            waits = ", ".join(one.purpose for one in left[:3])
            raise Complaint(f"{len(left)} transactions of {old} are not confirmed yet ({waits}): it keeps its role. "
                            "Let the hub run, and say this again")  # fmt: skip
        await asyncio.sleep(ASK_EVERY_S)
