"""A folder of an earlier release: the keys that it lacks are made, put in office and paid, once."""

from pathlib import Path

import pytest

from hub.chain import calls
from hub.chain.client import JsonRpcChain
from hub.chain.embedded import EmbeddedNode
from hub.chain.keys import ChainKeys, prepare_embedded
from hub.chain.offices import OFFICES, owner_calls
from hub.domain.contracts import HubRole
from hub.domain.records import KeyRole
from tests.entry.hubs import House, done

NEW = (KeyRole.REVOKER, KeyRole.SELLER, KeyRole.PAUSER, KeyRole.SIGNER)


@pytest.fixture
async def house(tmp_path: Path) -> House:
    return House(tmp_path / "data")


async def test_an_old_folders_new_keys_take_up_their_offices_once_and_the_gateway_keeps_its_own_alone(
    house: House,
) -> None:
    async with house.node_kept():
        await done(house, "contracts", "status")
        folder = house.data / "keys"
        for role in NEW:
            (folder / f"{role}.key").unlink()
        chain = JsonRpcChain(EmbeddedNode(house.data).url, prepare_embedded(house.data))
        keys = ChainKeys({role: prepare_embedded(house.data).held[role] for role in KeyRole if role != "former"})
        await chain.connect()
        [(address,)] = await house.rows("SELECT address FROM contract WHERE name = 'entitlement_hub'")
        everything = HubRole.GATEWAY | HubRole.PAUSER | HubRole.REVOKER
        await owner_calls(chain, keys, address, calls.set_role(keys.gateway.address, everything))
        chain.use_contract(address)
        assert [await chain.balance_wei(keys.held[role].address) for role in NEW] == [0, 0, 0, 0]

        await done(house, "contracts", "status")

        for role, bit in OFFICES.items():
            assert await chain.roles_of(keys.held[role].address) == bit
        assert [await chain.balance_wei(keys.held[role].address) > 0 for role in NEW] == [True, True, True, False]

        await owner_calls(chain, keys, address, calls.set_role(keys.held[KeyRole.REVOKER].address, 0))
        await done(house, "contracts", "status")
        assert await chain.roles_of(keys.held[KeyRole.REVOKER].address) == 0, "what its owner took stays taken"
        await chain.aclose()
    await house.aclose()
