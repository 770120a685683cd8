"""Money for gas: how much each key has, and a line in the log before it runs out."""

import logging

from hub.domain.purses import ANCHOR_GAS
from hub.ports import Hub

log = logging.getLogger(__name__)

ETHER_WEI = 10**18


async def look(hub: Hub) -> None:
    """Ask the chain what the keys that pay hold, and sum up what they have paid. Raises ChainUnavailable."""
    await hub.chain.connect()
    price_wei = await hub.chain.gas_price_wei()
    for account, roles in hub.chain.senders.items():
        if roles in ("signer", "former"):  # one pays for nothing, the other's days are over
            continue
        wei = await hub.chain.balance_wei(account)
        if hub.purses.look(account, roles, wei, price_wei):
            log.error("%s (%s) has %.6f ether left, for %d transactions like an anchor at today's price: send it some",
                      account, roles, wei / ETHER_WEI, wei // max(ANCHOR_GAS * price_wei, 1))  # fmt: skip
    async with hub.store.reading() as rx:
        hub.purses.paid = await rx.anchors.fees()
