"""Putting the contract on a chain once, however often it is asked for: at each start, or by `hub contracts deploy`."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hub.chain import calls
from hub.chain.answers import number_in
from hub.chain.client import JsonRpcChain
from hub.chain.keys import ChainKeys
from hub.chain.offices import OFFICES, OFFICES_LEFT, owner_may_call, put_in_office
from hub.chain.rpc import NodeSaidNo, Question
from hub.chain.transacting import mined
from hub.domain.contracts import ENTITLEMENT_HUB, HubRole
from hub.ports import ChainRefused, ChainUnavailable

log = logging.getLogger(__name__)

NONCES_LOOKED_AT: Final = 64  # of the deployer, which does nothing but deploy and set roles


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a contract lies, as the store's table `contract` keeps it for ever. `code_hash` is keccak of its code.

    `from_block`: its logs begin there or later.
    """

    chain_id: int
    address: str
    name: str
    code_hash: bytes
    from_block: int


async def deploy(
    chain: JsonRpcChain,
    keys: ChainKeys,
    known: Sequence[Deployment],
    *,
    appoints: bool = False,
    succeeds: bool = False,
    from_block: int | None = None,
) -> Deployment:
    """This version's EntitlementHub on that chain; `chain` asks it from now on.

    `chain` comes without a contract: which one it is, is decided here. This hub's keys are put in office at a new one;
    at a recorded one only if the caller `appoints`: an owner who took roles away, as from a stolen key, means it. With
    that, they keep at former ones what has to be done there. `succeeds`: the one before it names it as its successor.
    Where the deployer is not the owner any more, all this is shown for the owner to send, and holds up nothing.

    `known` are the recorded ones of all chains, oldest first; one that fits is given back, else one that this deployer
    made before without its being recorded, else a new one: the caller records what it gets. `from_block` is the block
    of an unrecorded one, or an earlier one, where the node cannot tell it. Idempotent, also after a crash anywhere.
    Raises ChainUnavailable (run it again) or ChainRefused (the reason is the node's or the contract's).
    """
    await chain.connect()
    recorded = await _recorded(chain, known)
    deployment = recorded or await _unrecorded(chain, keys, from_block) or await _create(chain, keys)
    former = [one for one in known if one.chain_id == chain.chain_id and one.address != deployment.address]
    if appoints or recorded is None:
        await put_in_office(chain, keys, deployment.address, OFFICES)
        await leave_offices(chain, keys, former)
    elif not await chain.roles_of(chain.sender, deployment.address) & HubRole.GATEWAY:
        log.warning("%s may not anchor: it is no gateway of %s; `hub contracts deploy` or its owner can make it one",
                    chain.sender, deployment.address)  # fmt: skip
    hubs = [one.address for one in former if one.name == ENTITLEMENT_HUB]
    if succeeds and hubs:
        await owner_may_call(chain, keys, hubs[-1], calls.set_successor(deployment.address))
    chain.use_contract(deployment.address)  # comes last: until its keys are in office, it would refuse whoever asks
    await chain.connect()
    return deployment


async def leave_offices(chain: JsonRpcChain, keys: ChainKeys, former: Iterable[Deployment]) -> None:
    """Of contracts that others have followed: whose key did too much there once, does no more of it than is left."""
    for one in former:
        if offices := OFFICES_LEFT.get(one.name):
            await put_in_office(chain, keys, one.address, offices)


async def _recorded(chain: JsonRpcChain, known: Sequence[Deployment]) -> Deployment | None:
    code_hash = calls.entitlement_hub().runtime_hash
    ours = [
        deployment
        for deployment in known
        if (deployment.chain_id, deployment.name, deployment.code_hash) == (chain.chain_id, ENTITLEMENT_HUB, code_hash)
    ]
    if not ours:
        return None
    if await chain.code_hashes((ours[-1].address,)) != (code_hash,):
        raise ChainRefused(f"the recorded contract {ours[-1].address} is not on chain {chain.chain_id} any more")
    return ours[-1]


async def _unrecorded(chain: JsonRpcChain, keys: ChainKeys, from_block: int | None) -> Deployment | None:
    """Its address follows from deployer and nonce, so one that a crash left without record is found again."""
    deployer = keys.deployer.address
    nonces = range(await chain.count_transactions(deployer, "latest"))[-NONCES_LOOKED_AT:]
    addresses = tuple(calls.creation_address(deployer, nonce) for nonce in nonces)
    found = await chain.code_hashes(addresses) if addresses else ()
    for address, code_hash in zip(addresses, found, strict=True):
        if code_hash == calls.entitlement_hub().runtime_hash:
            return _deployment(chain, address, from_block=await first_block(chain, address, from_block))
    return None


async def first_block(chain: JsonRpcChain, address: str, told: int | None = None) -> int:
    """The block that put a contract there: as `told` by an operator, who may say an earlier one, else by halving.
    Raises ChainRefused where the node forgets what was, or has no such block."""
    (head,) = await chain.look_up(Question("eth_blockNumber"))
    before, there = -1, number_in(head)
    if told is not None:
        if not before < told <= there:
            raise ChainRefused(f"chain {chain.chain_id} has blocks 0 to {there}, and no block {told}")
        return told
    while there - before > 1:
        middle = (before + there) // 2
        (code,) = await chain.look_up(Question("eth_getCode", (address, hex(middle))))
        if isinstance(code, NodeSaidNo) or code is None:  # some say nothing where others refuse
            raise ChainRefused(
                f"the node cannot tell in which block {address} was made, as it keeps no old states ({code}): "
                "say it by `hub contracts deploy --from-block NUMBER`"
            )
        before, there = (middle, there) if code == "0x" else (before, middle)
    return there


async def _create(chain: JsonRpcChain, keys: ChainKeys) -> Deployment:
    deployer = keys.deployer.address
    if await chain.balance_wei(deployer) == 0:
        raise ChainUnavailable(f"the deployer {deployer} has no funds on chain {chain.chain_id}: send it some")
    nonce = await chain.count_transactions(deployer, "latest")  # a waiting one is repeated, not doubled
    code = calls.creation(deployer, chain.sender)
    receipt = await mined(chain, await chain.sign(keys.deployer, to=None, data=code, nonce=nonce))
    return _deployment(chain, calls.creation_address(deployer, nonce), from_block=receipt.block_number)


def _deployment(chain: JsonRpcChain, address: str, *, from_block: int) -> Deployment:
    return Deployment(
        chain_id=chain.chain_id,
        address=address,
        name=ENTITLEMENT_HUB,
        code_hash=calls.entitlement_hub().runtime_hash,
        from_block=from_block,
    )
