"""What an upgrade does about the contracts of before: who may act there, and an owner who is somebody else by then."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from contracts import abi
from hub.chain import calls
from hub.chain.checkout_deployment import TEST_TOKEN, deploy_checkout
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import Deployment, deploy
from hub.chain.offices import hand_over, owner_calls, put_beside
from hub.domain.contracts import CHECKOUT_SPLITTER, ENTITLEMENT_HUB, HubRole, SplitterRole
from hub.ports import ChainUnavailable, SignedTransaction
from tests.chain import nodes
from tests.chain.keyring import keyring

DEPLOYER, GATEWAY, REVOKER, SELLER, PAUSER, SIGNER, MULTISIG = nodes.SENDERS[8:15]
KEYS = keyring(DEPLOYER, GATEWAY, revoker=REVOKER, seller=SELLER, pauser=PAUSER, signer=SIGNER)
ALL_OF_OLD = HubRole.GATEWAY | HubRole.PAUSER | HubRole.REVOKER  # what the gateway once was at a hub


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    with nodes.running(tmp_path_factory.mktemp("offices")) as node:
        yield node


@pytest.fixture
async def chain(node: nodes.Node) -> AsyncIterator[JsonRpcChain]:
    chain = JsonRpcChain(lambda: node.url, KEYS)
    await chain.connect()
    yield chain
    await chain.aclose()


def former(chain: JsonRpcChain, node: nodes.Node, name: str, *arguments: object) -> Deployment:
    """A recorded one, as of a release whose code was another: not made by this deployer, who would find it again."""
    nonce = node.nonce(MULTISIG)
    creation = nodes.signed(MULTISIG, nonce, to=None, data=abi.creation(name, *arguments), gas=7_000_000)
    address = calls.creation_address(MULTISIG.address, nonce)
    assert node.mined(creation)["status"] == "0x1"
    return Deployment(chain.chain_id, address, name, b"code of before", 1)


async def test_a_former_contract_that_is_another_owners_by_now_holds_up_no_upgrade_and_the_owner_is_told_what_to_send(
    chain: JsonRpcChain, node: nodes.Node, caplog: pytest.LogCaptureFixture
) -> None:
    old = former(chain, node, ENTITLEMENT_HUB, MULTISIG.address, GATEWAY.address)

    new = await deploy(chain, KEYS, [old], succeeds=True)

    assert new.address == chain.contract != old.address
    assert await chain.roles_of(REVOKER.address) == HubRole.REVOKER
    assert [line.split("send: ")[1] for line in caplog.messages] == [
        f"to {old.address} chain {chain.chain_id} data 0x{data.hex()}"
        for data in (
            calls.set_role(REVOKER.address, HubRole.REVOKER),
            calls.set_role(GATEWAY.address, 0),
            calls.set_successor(new.address),
        )
    ]


async def test_a_splitter_that_its_hubs_owner_has_yet_to_admit_holds_up_nothing(
    chain: JsonRpcChain, node: nodes.Node, caplog: pytest.LogCaptureFixture
) -> None:
    hub = former(chain, node, ENTITLEMENT_HUB, MULTISIG.address, GATEWAY.address)
    chain.use_contract(hub.address)

    splitter, _, _ = await deploy_checkout(chain, KEYS, [hub], token=TEST_TOKEN)

    admits = calls.set_role(splitter.address, HubRole.MINTER)
    assert [line.split("send: ")[1] for line in caplog.messages] == [
        f"to {hub.address} chain {chain.chain_id} data 0x{admits.hex()}"
    ]


async def test_a_gateway_that_did_everything_once_loses_it_on_former_contracts_and_those_who_do_it_now_gain_it(
    chain: JsonRpcChain, node: nodes.Node
) -> None:
    hub = former(chain, node, ENTITLEMENT_HUB, DEPLOYER.address, GATEWAY.address)
    await owner_calls(chain, KEYS, hub.address, calls.set_role(GATEWAY.address, ALL_OF_OLD))
    splitter = former(chain, node, CHECKOUT_SPLITTER, DEPLOYER.address, hub.address, GATEWAY.address)
    sold_elsewhere = former(chain, node, CHECKOUT_SPLITTER, DEPLOYER.address, hub.address, GATEWAY.address)

    await deploy(chain, KEYS, [hub, splitter])
    await deploy_checkout(chain, KEYS, [hub, splitter, sold_elsewhere], token=TEST_TOKEN)

    accounts = [one.address for one in (GATEWAY, REVOKER, SELLER, PAUSER, SIGNER)]
    assert [await chain.roles_of(one, hub.address) for one in accounts] == [0, HubRole.REVOKER, 0, 0, 0]
    of_splitter = [0, SplitterRole.REFUNDER, SplitterRole.SELLER, SplitterRole.PAUSER, 0]
    for one in (splitter, sold_elsewhere):
        assert [await chain.roles_of(account, one.address) for account in accounts] == of_splitter


@pytest.mark.parametrize("is_linked", [True, False])
async def test_another_gateway_may_do_what_the_former_was_for_and_nothing_is_left_to_that(
    node: nodes.Node, is_linked: bool
) -> None:
    """Of a hub whose other roles are links to the gateway's file, and of one where they are copies of its first key."""
    old, new = nodes.SENDERS[6 + is_linked], nodes.SENDERS[4 + is_linked]
    before = keyring(DEPLOYER, old)
    after = keyring(DEPLOYER, new) if is_linked else keyring(DEPLOYER, new, revoker=old, seller=old, pauser=old)
    chain = JsonRpcChain(lambda: node.url, before)
    await chain.connect()
    hub = former(chain, node, ENTITLEMENT_HUB, DEPLOYER.address, old.address)
    present = await deploy(chain, before, [hub], appoints=True)
    splitter, _, _ = await deploy_checkout(chain, before, [hub, present], token=TEST_TOKEN, appoints=True)
    contracts = {one.address: one.name for one in (hub, present, splitter)}
    everything = {
        present.address: HubRole.GATEWAY | HubRole.PAUSER | HubRole.REVOKER,
        hub.address: HubRole.REVOKER,
        splitter.address: SplitterRole.SELLER | SplitterRole.REFUNDER | SplitterRole.PAUSER,
    }
    assert await roles(chain, old.address, contracts) == everything

    await put_beside(chain, before, contracts, old.address, new.address)
    assert await roles(chain, old.address, contracts) == everything
    assert await roles(chain, new.address, contracts) == everything
    await hand_over(chain, after, contracts, old.address, new.address)

    nothing = dict.fromkeys(contracts, 0)
    anchors_alone = nothing | {present.address: HubRole.GATEWAY}
    left = everything | {present.address: HubRole.PAUSER | HubRole.REVOKER}
    assert await roles(chain, new.address, contracts) == (everything if is_linked else anchors_alone)
    assert await roles(chain, old.address, contracts) == (nothing if is_linked else left)
    await chain.aclose()


async def roles(chain: JsonRpcChain, account: str, contracts: dict[str, str]) -> dict[str, int]:
    return {address: await chain.roles_of(account, address) for address in contracts}


async def test_a_new_contract_is_in_use_once_its_keys_are_in_office(node: nodes.Node) -> None:
    """What is for the chain waits until then: its refusal would stand there as that of a person."""
    keys = keyring(nodes.SENDERS[15], GATEWAY, signer=SIGNER)
    chain = JsonRpcChain(lambda: node.url, keys)
    sign, before = chain.sign, []

    async def watched(*arguments: Any, **more: Any) -> SignedTransaction:
        with pytest.raises(ChainUnavailable, match="not deployed yet"):
            before.append(chain.contract)
        return await sign(*arguments, **more)

    chain.sign = watched  # type: ignore[method-assign]  # looked at on the way
    made = await deploy(chain, keys, [])
    assert (chain.contract, before) == (made.address, [])
    assert await chain.roles_of(SIGNER.address) == HubRole.SIGNER
    await chain.aclose()
