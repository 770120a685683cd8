"""`hub contracts rotate-gateway OLD NEW`: another key anchors from now on, and nothing waits for it or is lost.

Given once while the hub runs with OLD, it puts NEW beside it. Given again once the hub runs with NEW, it waits until
what OLD has signed is on chain, and only then takes OLD's roles, on contracts of before too.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from hub.chain import calls
from hub.chain.deployment import OFFICES_LEFT
from hub.chain.offices import OFFICES, owner_calls, owner_may_call, wanted
from hub.domain.contracts import HubRole
from hub.entry.chain import ChainSide, bring_up
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
        if hub.chain.sender == old:
            await _put_beside(side, new)
            print(f"hub: {new} may anchor too. Now give the hub its key as keys/gateway.key and {old}'s as "
                  "keys/former.key, see that it has money, restart the hub, and say this again")  # fmt: skip
            return 0
        if hub.chain.sender != new:
            raise Complaint(f"this hub's gateway is {hub.chain.sender}: neither of the two")
        await _nothing_left_of(hub, old)
        await _take_from(hub, side, old)
    print(f"hub: {new} anchors alone; keys/former.key can go")
    return 0


async def _put_beside(side: ChainSide, new: str) -> None:
    roles = await side.client.roles_of(new)
    if not roles & HubRole.GATEWAY:
        data = calls.set_role(new, roles | HubRole.GATEWAY)
        await owner_calls(side.client, side.keys, side.client.contract, data)


async def _nothing_left_of(hub: Hub, old: str) -> None:
    """Running hubs send it again, by their Tasks; here it is waited for, and settled where nobody asks for it again."""
    deadline = time.monotonic() + WAITED_FOR_S
    while True:
        await settle_mined(hub, old)
        async with hub.store.reading() as rx:
            left = [one for one in await rx.anchors.unsettled(hub.chain.chain_id) if one.sender == old]
        if not left:
            return
        if time.monotonic() > deadline:
            waits = ", ".join(one.purpose for one in left[:3])
            raise Complaint(f"{len(left)} transactions of {old} are not confirmed yet ({waits}): it keeps its role. "
                            "Let the hub run, and say this again")  # fmt: skip
        await asyncio.sleep(ASK_EVERY_S)


async def _take_from(hub: Hub, side: ChainSide, old: str) -> None:
    """Whatever OLD may do, on each contract that this hub ever had, unless another role's key is the same."""
    async with hub.store.reading() as rx:
        known = await rx.anchors.contracts(side.client.chain_id)
    for one in known:
        is_present = one.address == side.client.contract
        if (offices := OFFICES if is_present else OFFICES_LEFT.get(one.name)) is None:
            continue
        bits = wanted(side.keys, offices).get(old, 0)
        if await side.client.roles_of(old, one.address) != bits:
            call = owner_calls if is_present else owner_may_call
            await call(side.client, side.keys, one.address, calls.set_role(old, bits))
