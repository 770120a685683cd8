"""Which key may do what on the contracts: appointed by their owner, the deployer, who pays for gas on our own chain."""

from collections.abc import Mapping, Sequence
from typing import Final

from hub.chain import calls
from hub.chain.client import JsonRpcChain
from hub.chain.keys import PAYING, ChainKeys
from hub.chain.transacting import mined
from hub.domain.records import KeyRole
from hub.ports import ChainReceipt

# Bits of the EntitlementHub by the role of a key. The gateway last: what its key did for others before, others can do
# by then.
OFFICES: Final[Mapping[KeyRole, int]] = {
    KeyRole.PAUSER: calls.ROLE_PAUSER,
    KeyRole.REVOKER: calls.ROLE_REVOKER,
    KeyRole.SIGNER: calls.ROLE_SIGNER,
    KeyRole.GATEWAY: calls.ROLE_GATEWAY,
}
GIFT_WEI: Final = 1_000 * 10**18  # to each key that a chain of our own did not fund at its first block


def wanted(keys: ChainKeys, offices: Mapping[KeyRole, int]) -> dict[str, int]:
    """Role bits by account: of one key that has several roles, their sum."""
    bits: dict[str, int] = {}
    for role, bit in offices.items():
        if (key := keys.of(role)) is not None:
            bits[key.address] = bits.get(key.address, 0) | bit
    return bits


async def put_in_office(chain: JsonRpcChain, keys: ChainKeys, former: Sequence[str] = ()) -> None:
    """Each key of this hub has the roles that it is for and no other, in the contract that `chain` asks; in `former`
    ones, which anchor nothing any more, the revoker can go on revoking."""
    for account, bits in wanted(keys, OFFICES).items():
        if await chain.roles_of(account) != bits:
            await owner_calls(chain, keys, chain.contract, calls.set_role(account, bits))
    revoker = keys.held[KeyRole.REVOKER].address
    for contract in former:
        has = await chain.roles_of(revoker, contract)
        if not has & calls.ROLE_REVOKER:
            await owner_calls(chain, keys, contract, calls.set_role(revoker, has | calls.ROLE_REVOKER))


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
