"""Which key may do what on the contracts: appointed by their owner, the deployer, who pays for gas on our own chain."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from hub.chain import calls
from hub.chain.client import JsonRpcChain
from hub.chain.keys import PAYING, ChainKeys
from hub.chain.transacting import mined
from hub.domain.contracts import CHECKOUT_SPLITTER, ENTITLEMENT_HUB, HubRole, SplitterRole
from hub.domain.records import KeyRole
from hub.ports import ChainReceipt, ChainRefused

log = logging.getLogger(__name__)

# Bits of a contract by the role of a key. The gateway last: what its key did for others before, others can do by then.
OFFICES: Final[Mapping[KeyRole, int]] = {
    KeyRole.PAUSER: HubRole.PAUSER,
    KeyRole.REVOKER: HubRole.REVOKER,
    KeyRole.SIGNER: HubRole.SIGNER,
    KeyRole.GATEWAY: HubRole.GATEWAY,
}
# Of an EntitlementHub that another has followed: nothing is anchored or settled there any more, and much is held.
FORMER_OFFICES: Final[Mapping[KeyRole, int]] = {KeyRole.REVOKER: HubRole.REVOKER, KeyRole.GATEWAY: 0}
# Of every splitter, as what was bought at a former one is given back there, and what it offers is closed.
SPLITTER_OFFICES: Final[Mapping[KeyRole, int]] = {
    KeyRole.SELLER: SplitterRole.SELLER,
    KeyRole.REVOKER: SplitterRole.REFUNDER,
    KeyRole.PAUSER: SplitterRole.PAUSER,
    KeyRole.GATEWAY: 0,
}
# By the name of a contract that was in use before, and of every splitter.
OFFICES_LEFT: Final = {ENTITLEMENT_HUB: FORMER_OFFICES, CHECKOUT_SPLITTER: SPLITTER_OFFICES}
GIFT_WEI: Final = 1_000 * 10**18  # to each key that a chain of our own did not fund at its first block


async def put_in_office(
    chain: JsonRpcChain, keys: ChainKeys, contract: str, offices: Mapping[KeyRole, int]
) -> None:
    """Each key of this hub that `offices` name has the roles there that it is for, and no other. What is the owner's to
    say and not this deployer's any more, the owner is told. Raises ChainUnavailable."""
    for account, bits in wanted(keys, offices).items():
        if await chain.roles_of(account, contract) != bits:
            await owner_may_call(chain, keys, contract, calls.set_role(account, bits))


def wanted(keys: ChainKeys, offices: Mapping[KeyRole, int]) -> dict[str, int]:
    """Role bits by account: of one key that has several roles, their sum."""
    bits: dict[str, int] = {}
    for role, bit in offices.items():
        if (key := keys.of(role)) is not None:
            bits[key.address] = bits.get(key.address, 0) | bit
    return bits


async def put_beside(
    chain: JsonRpcChain, keys: ChainKeys, contracts: Mapping[str, str], old: str, new: str
) -> None:
    """Another account may do what OLD is for, on each of these contracts, addresses with names: OLD's key may lie in
    several files, or be linked from them. Raises ChainUnavailable, ChainRefused."""
    for address, offices in _offices_at(chain, contracts).items():
        held = await chain.roles_of(new, address)
        if (bits := held | wanted(keys, offices).get(old, 0)) != held:
            await _appointed(chain, keys, address, new, bits)


async def hand_over(
    chain: JsonRpcChain, keys: ChainKeys, contracts: Mapping[str, str], old: str, new: str
) -> None:
    """Both may do what they are for by the files as they are now, NEW first, and no more. Raises likewise."""
    for address, offices in _offices_at(chain, contracts).items():
        for account in (new, old):
            bits = wanted(keys, offices).get(account, 0)
            if await chain.roles_of(account, address) != bits:
                await _appointed(chain, keys, address, account, bits)


def _offices_at(chain: JsonRpcChain, contracts: Mapping[str, str]) -> dict[str, Mapping[KeyRole, int]]:
    """Of those at which keys have any; former ones last."""
    left = {address: OFFICES_LEFT[name] for address, name in contracts.items() if name in OFFICES_LEFT}
    return {chain.contract: OFFICES} | {address: its for address, its in left.items() if address != chain.contract}


async def _appointed(chain: JsonRpcChain, keys: ChainKeys, contract: str, account: str, bits: int) -> None:
    """A former contract may be another owner's by now."""
    call = owner_calls if contract == chain.contract else owner_may_call
    await call(chain, keys, contract, calls.set_role(account, bits))


async def owner_may_call(chain: JsonRpcChain, keys: ChainKeys, contract: str, data: bytes) -> None:
    """The same as `owner_calls` where a refusal must hold up nothing: the deployer may have handed the contract over,
    as to a multisig, and what it cannot do is shown for whoever can. Raises ChainUnavailable."""
    try:
        await owner_calls(chain, keys, contract, data)
    except ChainRefused as refused:
        log.warning("not done (%s), its owner has to send: to %s chain %d data 0x%s", refused, contract, chain.chain_id,
                    data.hex())  # fmt: skip


async def owner_calls(chain: JsonRpcChain, keys: ChainKeys, contract: str, data: bytes) -> ChainReceipt:
    """One call by the owner's key, in a block. Raises ChainUnavailable, ChainRefused."""
    nonce = await chain.count_transactions(keys.deployer.address, "latest")
    return await mined(chain, await chain.sign(keys.deployer, to=contract, data=data, nonce=nonce))


async def unpaid(chain: JsonRpcChain, keys: ChainKeys) -> list[str]:
    """Accounts that have to pay for gas and never could: of keys that an earlier release did not have."""
    paying = dict.fromkeys(key.address for role in PAYING if (key := keys.of(role)) is not None)
    return [
        address
        for address in paying
        if await chain.balance_wei(address) == await chain.count_transactions(address, "latest") == 0
    ]


async def pay(chain: JsonRpcChain, keys: ChainKeys, addresses: Sequence[str]) -> None:
    """A gift from the deployer, where money is worth nothing. Comes last of all that sets a key up, so that a start
    that was cut short is completed by the next."""
    for address in addresses:
        nonce = await chain.count_transactions(keys.deployer.address, "latest")
        await mined(chain, await chain.sign(keys.deployer, to=address, data=b"", nonce=nonce, value_wei=GIFT_WEI))
