"""Putting CheckoutSplitter beside a deployed EntitlementHub, and TestUSD on a chain of our own, once."""

from collections.abc import Sequence
from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from contracts import abi
from hub.chain import calls
from hub.chain.answers import octets_in
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import NONCES_LOOKED_AT, Deployment, first_block, leave_offices
from hub.chain.keys import ChainKeys
from hub.chain.offices import SPLITTER_OFFICES, owner_may_call, put_in_office
from hub.chain.rpc import Question
from hub.chain.transacting import mined
from hub.domain.contracts import CHECKOUT_SPLITTER, NOBODY, TEST_USD, HubRole

TEST_TOKEN: Final = "test"  # instead of an address: TestUSD, on the embedded node alone
# Words that a contract's own code ends with after deployment, and that its artifact's hash leaves out: immutables.
OWN_WORDS: Final = {CHECKOUT_SPLITTER: 1, TEST_USD: 2}


async def deploy_checkout(
    chain: JsonRpcChain, keys: ChainKeys, known: Sequence[Deployment], *, token: str, appoints: bool = False,
    from_block: int | None = None,
) -> tuple[Deployment, str, list[Deployment]]:  # fmt: skip
    """The splitter of the hub that `chain` asks, the token it sells for, and all that the caller has to record.

    `token` is an address, or TEST_TOKEN; `from_block`: as `deploy` takes it. A splitter of another hub is not this
    one's. A recorded one gets its role and its token only if the caller `appoints`: its owner may have taken them
    away. Idempotent, also after any crash. Raises ChainUnavailable (run it again) or ChainRefused.
    """
    found: list[Deployment] = []
    address = token
    if token == TEST_TOKEN:
        coin = await _there(chain, keys, known, TEST_USD, from_block) or await _created(
            chain, keys, TEST_USD
        )
        found.append(coin)
        address = coin.address
    address = to_checksum_address(address)
    splitter = await _there(chain, keys, known, CHECKOUT_SPLITTER, from_block) or await _created(
        chain, keys, CHECKOUT_SPLITTER, keys.deployer.address, chain.contract, NOBODY
    )
    found.append(splitter)
    if not appoints and any(one.address == splitter.address for one in known):
        return splitter, address, found
    await put_in_office(chain, keys, splitter.address, SPLITTER_OFFICES)
    await leave_offices(chain, keys, (one for one in known if _is_splitter(one, chain) and one != splitter))
    roles = await chain.roles_of(splitter.address)
    if not roles & HubRole.MINTER:  # the hub takes its word for a purchase
        minter = calls.set_role(splitter.address, roles | HubRole.MINTER)
        await owner_may_call(chain, keys, chain.contract, minter)
    if not await _asked(chain, splitter.address, "isTaken", address):
        taken = abi.call(CHECKOUT_SPLITTER, "setToken", address, True)
        await owner_may_call(chain, keys, splitter.address, taken)
    return splitter, address, found


def _is_splitter(one: Deployment, chain: JsonRpcChain) -> bool:
    return (one.chain_id, one.name) == (chain.chain_id, CHECKOUT_SPLITTER)


async def _there(
    chain: JsonRpcChain, keys: ChainKeys, known: Sequence[Deployment], name: str, from_block: int | None
) -> Deployment | None:
    """One that is recorded, or that this deployer made without its being recorded; for the splitter, one of our hub."""
    recorded = [one for one in known if (one.chain_id, one.name) == (chain.chain_id, name)]
    deployer = keys.deployer.address
    count = await chain.count_transactions(deployer, "latest")
    made = [calls.creation_address(deployer, nonce) for nonce in range(count)[-NONCES_LOOKED_AT:]]
    addresses = [*(one.address for one in reversed(recorded)), *reversed(made)]
    if not addresses:
        return None
    codes = await chain.look_up(*(Question("eth_getCode", (address, "latest")) for address in addresses))
    begins_at = {one.address: one.from_block for one in recorded}
    for address, answer in zip(addresses, codes, strict=True):
        code = octets_in(answer)
        if keccak(code[: len(code) - 32 * OWN_WORDS[name]]) != abi.compiled(name).runtime_hash:
            continue
        if name == CHECKOUT_SPLITTER and await _asked(chain, address, "hub") != chain.contract.lower():
            continue
        begins = begins_at[address] if address in begins_at else await first_block(chain, address, from_block)
        return Deployment(chain.chain_id, address, name, keccak(code), begins)
    return None


async def _created(chain: JsonRpcChain, keys: ChainKeys, name: str, *arguments: object) -> Deployment:
    nonce = await chain.count_transactions(keys.deployer.address, "latest")  # a waiting one is repeated, not doubled
    code = abi.creation(name, *arguments)
    receipt = await mined(chain, await chain.sign(keys.deployer, to=None, data=code, nonce=nonce))
    address = calls.creation_address(keys.deployer.address, nonce)
    (lies,) = await chain.look_up(Question("eth_getCode", (address, "latest")))
    return Deployment(chain.chain_id, address, name, keccak(octets_in(lies)), receipt.block_number)


async def _asked(chain: JsonRpcChain, splitter: str, function: str, *arguments: object) -> object:
    data = abi.call(CHECKOUT_SPLITTER, function, *arguments)
    (answer,) = await chain.look_up(Question("eth_call", ({"to": splitter, "data": "0x" + data.hex()}, "latest")))
    return calls.said(CHECKOUT_SPLITTER, function, answer)
