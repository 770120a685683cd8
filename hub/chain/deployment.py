"""Putting the contract on a chain once, however often it is asked for: at each start, or by `hub contracts deploy`."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_account.signers.local import LocalAccount

from hub.chain import calls
from hub.chain.client import JsonRpcChain
from hub.ports import ChainReceipt, ChainRefused, ChainUnavailable, SignedTransaction

log = logging.getLogger(__name__)

GATEWAY_ROLES: Final = calls.ROLE_GATEWAY | calls.ROLE_PAUSER | calls.ROLE_REVOKER
MINED_WITHIN_S: Final = 180.0  # fifteen blocks of a chain with a block each 12 s
ASK_EVERY_S: Final = 0.25
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
    chain: JsonRpcChain, deployer: LocalAccount, known: Sequence[Deployment], *, appoints: bool = False
) -> Deployment:
    """This version's EntitlementHub on that chain; `chain` asks it from now on.

    `chain` comes without a contract: which one it is, is decided here. The gateway is put in office at a new one; at a
    recorded one only if the caller `appoints`: an owner who took roles away, as from a stolen key, means it.

    `known` are the recorded ones of all chains, oldest first; one that fits is given back, else one that this deployer
    made before without its being recorded, else a new one: the caller records what it gets. Idempotent, also after a
    crash anywhere. Raises ChainUnavailable (run it again) or ChainRefused (the reason is the node's or the contract's).
    """
    await chain.connect()
    recorded = await _recorded(chain, known)
    deployment = recorded or await _unrecorded(chain, deployer) or await _create(chain, deployer)
    chain.use_contract(deployment.address)
    await chain.connect()
    if appoints or recorded is None:
        await _put_in_office(chain, deployer)
    elif not await chain.roles_of(chain.sender) & calls.ROLE_GATEWAY:
        log.warning("%s may not anchor: it is no gateway of %s; `hub contracts deploy` or its owner can make it one",
                    chain.sender, deployment.address)  # fmt: skip
    return deployment


async def _recorded(chain: JsonRpcChain, known: Sequence[Deployment]) -> Deployment | None:
    code_hash = calls.entitlement_hub().runtime_hash
    ours = [
        deployment
        for deployment in known
        if (deployment.chain_id, deployment.name, deployment.code_hash) == (chain.chain_id, calls.CONTRACT, code_hash)
    ]
    if not ours:
        return None
    if await chain.code_hashes((ours[-1].address,)) != (code_hash,):
        raise ChainRefused(f"the recorded contract {ours[-1].address} is not on chain {chain.chain_id} any more")
    return ours[-1]


async def _unrecorded(chain: JsonRpcChain, deployer: LocalAccount) -> Deployment | None:
    """Its address follows from deployer and nonce, so one that a crash left without record is found again."""
    nonces = range(await chain.count_transactions(deployer.address, "latest"))[-NONCES_LOOKED_AT:]
    addresses = tuple(calls.creation_address(deployer.address, nonce) for nonce in nonces)
    found = await chain.code_hashes(addresses) if addresses else ()
    for address, code_hash in zip(addresses, found, strict=True):
        if code_hash == calls.entitlement_hub().runtime_hash:
            return _deployment(chain, address, from_block=0)
    return None


async def _create(chain: JsonRpcChain, deployer: LocalAccount) -> Deployment:
    if await chain.balance_wei(deployer.address) == 0:
        raise ChainUnavailable(f"the deployer {deployer.address} has no funds on chain {chain.chain_id}: send it some")
    nonce = await chain.count_transactions(deployer.address, "latest")  # a waiting one is repeated, not doubled
    code = calls.creation(deployer.address, chain.sender)
    receipt = await mined(chain, await chain.sign(deployer, to=None, data=code, nonce=nonce))
    return _deployment(chain, calls.creation_address(deployer.address, nonce), from_block=receipt.block_number)


async def _put_in_office(chain: JsonRpcChain, deployer: LocalAccount) -> None:
    if await chain.roles_of(chain.sender) == GATEWAY_ROLES:
        return
    nonce = await chain.count_transactions(deployer.address, "latest")
    call = calls.set_role(chain.sender, GATEWAY_ROLES)
    await mined(chain, await chain.sign(deployer, to=chain.contract, data=call, nonce=nonce))


async def mined(chain: JsonRpcChain, transaction: SignedTransaction) -> ChainReceipt:
    await chain.send(transaction)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + MINED_WITHIN_S
    while (receipt := await chain.receipt(transaction.hash)) is None:
        if loop.time() > deadline:
            raise ChainUnavailable(f"{transaction.hash} is not in a block after {MINED_WITHIN_S:.0f} s: run it again")
        await asyncio.sleep(ASK_EVERY_S)
    if not receipt.is_ok:
        raise ChainRefused(f"{transaction.hash} failed in block {receipt.block_number}")
    return receipt


def _deployment(chain: JsonRpcChain, address: str, *, from_block: int) -> Deployment:
    return Deployment(
        chain_id=chain.chain_id,
        address=address,
        name=calls.CONTRACT,
        code_hash=calls.entitlement_hub().runtime_hash,
        from_block=from_block,
    )
