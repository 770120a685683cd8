"""Bringing up the chain behind a hub that already sells: keys, the embedded node if it is ours, the contract."""

import asyncio
import logging
from dataclasses import dataclass, replace

from hub.chain import checkout_deployment, deployment, embedded, keys, offices
from hub.chain.checkout import JsonRpcCheckout
from hub.chain.client import JsonRpcChain
from hub.chain.rpc import Rpc
from hub.chain.stands import Stand, former_stands
from hub.domain.records import KeyRole, KnownContract
from hub.entry.checkout import confirmations_of, token_of
from hub.entry.settings import Settings
from hub.flows.anchors import keep_contract
from hub.ports import ChainRefused, ChainUnavailable, Hub

log = logging.getLogger(__name__)

# Between tries to reach a chain that is away.
AGAIN_FIRST_S, AGAIN_MOST_S = 0.5, 15.0


@dataclass(frozen=True, slots=True)
class ChainSide:
    """The client that the hub gets, and what has to be started and stopped around it."""

    client: JsonRpcChain
    keys: keys.ChainKeys
    node: embedded.EmbeddedNode | None
    checkout: JsonRpcCheckout | None = None  # of a hub that sells on chain
    token: str | None = None  # that it sells for
    signer: Rpc | None = None  # the service that holds keys

    async def aclose(self) -> None:
        await self.client.aclose()
        if self.signer is not None:
            await self.signer.aclose()
        if self.node is not None:
            await self.node.aclose()


def chain_side(settings: Settings) -> ChainSide:
    """The chain of these settings, not started, and what is sold on it. Raises KeyFault, SettingRefused."""
    side = _chain_side(settings)
    if settings.chain_instant:
        why = "HUB_CHAIN_INSTANT says that this hub settles rights by signed results"
        keys.demand(side.keys, KeyRole.SIGNER, settings.data, why)
    token = token_of(settings)
    if token is None:
        return side
    why = "HUB_CHANNEL_STABLECOIN_TOKEN says that this hub sells on chain"
    keys.demand(side.keys, KeyRole.SELLER, settings.data, why)
    return replace(side, checkout=JsonRpcCheckout(side.client, confirmations_of(settings)), token=token)


def _chain_side(settings: Settings) -> ChainSide:
    """The embedded node, or any node by URL."""
    if slower := keys.slow_signatures():
        log.warning(slower)
    signer_url = settings.chain_signer_url
    service = None if signer_url is None else Rpc(lambda: signer_url)
    outside = keys.Outside(_passwords(settings), service, dict(settings.chain_signer_addresses))
    if settings.chain_url is None:
        owned = keys.prepare_embedded(settings.data, outside=outside)
        options = embedded.NodeOptions(
            port=settings.chain_node_port,
            tx_gas=settings.chain_node_tx_gas,
            origins=(settings.public_url, *settings.allowed_origins),  # the hub's own pages, and those that may call
        )
        node = embedded.EmbeddedNode(settings.data, options)
        client = JsonRpcChain(node.url, owned, max_fee_wei=settings.chain_max_fee_wei)
        return ChainSide(client, owned, node, signer=service)
    url = settings.chain_url
    brought = keys.load(settings.data, outside)
    client = JsonRpcChain(
        lambda: url, brought, chain_id=settings.chain_id, max_fee_wei=settings.chain_max_fee_wei
    )
    return ChainSide(client, brought, None, signer=service)


def _passwords(settings: Settings) -> dict[KeyRole, str]:
    """By role; a former gateway's is the gateway's, unless that has another by now."""
    given = {role: getattr(settings, f"chain_{role}_password") for role in KeyRole}
    given[KeyRole.FORMER] = given[KeyRole.FORMER] or given[KeyRole.GATEWAY]
    return {role: password for role, password in given.items() if password is not None}


async def bring_up(
    hub: Hub, side: ChainSide, *, appoints: bool = False, succeeds: bool = False, from_block: int | None = None
) -> KnownContract:
    """Start or join the node and deploy the contract if it is not there; what is there keeps its roles unless the
    caller `appoints`. `succeeds`, `from_block`: see `deployment.deploy`. Raises ChainUnavailable, ChainRefused."""
    if side.node is not None:
        await side.node.start()
    await side.client.connect()
    async with hub.store.reading() as rx:
        recorded = await rx.anchors.contracts(side.client.chain_id)
    known = [
        deployment.Deployment(one.chain_id, one.address, one.name, bytes.fromhex(one.code_hash), one.from_block)
        for one in recorded
    ]
    # A folder of our own chain from before there were so many roles: its new keys take up their offices now, once.
    unpaid = await offices.unpaid(side.client, side.keys) if side.node is not None else []
    appoints = appoints or bool(unpaid)
    deployed = await deployment.deploy(
        side.client, side.keys, known, appoints=appoints, succeeds=succeeds, from_block=from_block
    )
    contract = _known(deployed, hub.clock.now_us())
    await keep_contract(hub, contract)
    await _open_checkout(hub, side, known, appoints=appoints, from_block=from_block)
    await offices.pay(side.client, side.keys, unpaid)
    return contract


async def _open_checkout(
    hub: Hub, side: ChainSide, known: list[deployment.Deployment], *, appoints: bool, from_block: int | None
) -> None:
    """The splitter beside the hub's contract, where this hub sells on chain."""
    if side.checkout is None or side.token is None:
        return
    splitter, token, found = await checkout_deployment.deploy_checkout(
        side.client, side.keys, known, token=side.token, appoints=appoints, from_block=from_block
    )
    for one in found:
        await keep_contract(hub, _known(one, hub.clock.now_us()))
    stand = Stand(splitter.address, side.client.contract, token, splitter.from_block)
    side.checkout.use(stand, await former_stands(side.client, known, stand))
    log.info("selling on chain %d, splitter %s, token %s", splitter.chain_id, splitter.address, token)


def _known(deployed: deployment.Deployment, now_us: int) -> KnownContract:
    return KnownContract(
        chain_id=deployed.chain_id,
        address=deployed.address,
        name=deployed.name,
        code_hash=deployed.code_hash.hex(),
        from_block=deployed.from_block,
        recorded_at_us=now_us,
    )


async def keep_bringing_up(hub: Hub, side: ChainSide) -> None:
    """Until it is up, however long that takes: sales go on, batches wait."""
    pause_s = AGAIN_FIRST_S
    while True:
        try:
            contract = await bring_up(hub, side)
        except (ChainUnavailable, ChainRefused) as error:
            log.warning("the chain is not up: %s", error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, AGAIN_MOST_S)
        else:
            log.info("anchoring on chain %d, contract %s", contract.chain_id, contract.address)
            return
