"""A signed result, from the JSON that a signing service is shown to the right that stands on an embedded node."""

import json
from collections.abc import Iterator

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from contracts import abi
from hub.chain import calls
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.chain.results import MAX_DEADLINE_S, PaymentResult, settle, typed_data
from hub.domain.contracts import ENTITLEMENT_HUB, HubRole
from hub.ports import ChainRefused, SettledRight, Settlement
from tests.chain import nodes
from tests.chain.keyring import keyring
from tests.results import digest, sign, signer_of

DEPLOYER, GATEWAY, SIGNER, HOLDER = nodes.SENDERS[:4]
KEYS = keyring(DEPLOYER, GATEWAY)
NO_END = 2**56 - 1
CHAIN_ID, CONTRACT = 7, "0x" + "c0" * 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    """One for all, on which each test settles orders of its own."""
    with nodes.running(tmp_path_factory.mktemp("results")) as node:
        yield node


def result(deadline: int = 0) -> PaymentResult:
    return PaymentResult(keccak(b"order"), keccak(b"commitment"), HOLDER.address, 2**200 + 1, NO_END, deadline)


async def test_a_result_signed_by_a_signer_settles_once_and_anybody_may_send_it(node: nodes.Node) -> None:
    chain = JsonRpcChain(lambda: node.url, KEYS)
    await deploy(chain, KEYS, ())
    office = calls.set_role(SIGNER.address, HubRole.SIGNER)
    node.mined(nodes.signed(DEPLOYER, node.nonce(DEPLOYER), to=chain.contract, data=office))
    now = int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    signed = result(now + 3_600)
    call = settle(signed, sign(signed, chain.chain_id, chain.contract, SIGNER))

    await chain.send(await chain.sign_call(chain.contract, call, await chain.mined_nonce(chain.sender)))

    assert asked(node, chain.contract, "hasAccess", HOLDER.address, signed.token_id) is True
    assert asked(node, chain.contract, "expiresAt", HOLDER.address, signed.token_id) == NO_END
    with pytest.raises(ChainRefused, match="settled"):
        await chain.sign_call(chain.contract, call, await chain.mined_nonce(chain.sender))
    for wrong in (
        settle(result(now + 60), sign(result(now + 60), chain.chain_id, chain.contract, GATEWAY)),
        settle(result(now + 60), sign(result(now + 60), chain.chain_id + 1, chain.contract, SIGNER)),
    ):
        with pytest.raises(ChainRefused, match="signer"):
            await chain.sign_call(chain.contract, wrong, await chain.mined_nonce(chain.sender))
    late = result(now + 2 * MAX_DEADLINE_S)
    call = settle(late, sign(late, chain.chain_id, chain.contract, SIGNER))
    with pytest.raises(ChainRefused, match="deadline"):
        await chain.sign_call(chain.contract, call, await chain.mined_nonce(chain.sender))
    await chain.aclose()


def test_what_a_signing_service_is_shown_is_what_we_hash() -> None:
    shown = json.loads(json.dumps(typed_data(result(9), CHAIN_ID, CONTRACT)))
    signature = Account.sign_message(encode_typed_data(full_message=shown), SIGNER.key).signature
    assert bytes(signature) == sign(result(9), CHAIN_ID, CONTRACT, SIGNER)
    assert signer_of(result(9), CHAIN_ID, CONTRACT, bytes(signature)) == SIGNER.address
    assert shown["message"]["tokenId"] == str(2**200 + 1)


def test_the_digest_binds_chain_contract_and_every_field() -> None:
    first = digest(result(9), CHAIN_ID, CONTRACT)
    others = [
        digest(result(10), CHAIN_ID, CONTRACT),
        digest(result(9), CHAIN_ID + 1, CONTRACT),
        digest(result(9), CHAIN_ID, "0x" + "c1" * 20),
    ]
    assert len({first, *others}) == 4


def asked(node: nodes.Node, contract: str, function: str, *arguments: object) -> object:
    data = "0x" + abi.call(ENTITLEMENT_HUB, function, *arguments).hex()
    said = node.rpc("eth_call", {"to": contract, "data": data}, "latest")
    return abi.answer(ENTITLEMENT_HUB, function, bytes.fromhex(said[2:]))


async def test_the_hub_settles_a_right_and_ends_it_each_with_the_key_for_that(node: nodes.Node) -> None:
    keys = keyring(DEPLOYER, GATEWAY, signer=SIGNER, revoker=nodes.SENDERS[4])
    chain = JsonRpcChain(lambda: node.url, keys)
    await deploy(chain, keys, ())
    now = int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    right, key = SettledRight(HOLDER.address, 7, NO_END, keccak(b"commitment")), keccak(b"settled by the hub")
    assert await chain.settlement(key) == Settlement(at=0, is_revoked=False)

    settling = await chain.sign_settlement(key, right, now + 3_600, await chain.mined_nonce(GATEWAY.address))
    await chain.send(settling)

    assert settling.sender == GATEWAY.address
    assert (await chain.settlement(key)).at >= now
    assert asked(node, chain.contract, "hasAccess", HOLDER.address, 7) is True
    with pytest.raises(ChainRefused, match="settled"):
        await chain.sign_settlement(key, right, now + 3_600, 9)

    revoker = nodes.SENDERS[4].address
    ending = await chain.sign_revoke_order(chain.contract, key, await chain.mined_nonce(revoker))
    await chain.send(ending)

    assert ending.sender == revoker
    assert (await chain.settlement(key)).is_revoked
    assert asked(node, chain.contract, "hasAccess", HOLDER.address, 7) is False
    await chain.aclose()


async def test_a_stolen_gateway_key_can_only_anchor(node: nodes.Node) -> None:
    keys = keyring(DEPLOYER, GATEWAY, signer=SIGNER, revoker=nodes.SENDERS[4], pauser=nodes.SENDERS[5])
    chain = JsonRpcChain(lambda: node.url, keys)
    await deploy(chain, keys, ())
    assert await chain.roles_of(GATEWAY.address) == HubRole.GATEWAY
    forged = result(int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 60)
    for stolen, why in (
        (calls.revoke(keccak(b"root"), 0, 1), "role"),
        (calls.revoke_order(keccak(b"order")), "role"),
        (abi.call("entitlement_hub", "pause"), "role"),
        (calls.set_role(GATEWAY.address, HubRole.REVOKER), "owner"),
        (settle(forged, sign(forged, chain.chain_id, chain.contract, GATEWAY)), "signer"),
    ):
        with pytest.raises(ChainRefused, match=why):
            await chain.sign_call(chain.contract, stolen, await chain.mined_nonce(GATEWAY.address))
    await chain.send(await chain.sign_anchor(keccak(b"a batch"), 1, bytes(32), await chain.mined_nonce(chain.sender)))
    assert (await chain.anchored(keccak(b"a batch"))).count == 1
    await chain.aclose()


async def test_a_contract_without_record_is_found_with_its_first_block(node: nodes.Node) -> None:
    chain = JsonRpcChain(lambda: node.url, KEYS)
    made = await deploy(chain, KEYS, ())
    node.mined(nodes.signed(HOLDER, node.nonce(HOLDER), to=HOLDER.address))
    at, before = (node.rpc("eth_getCode", made.address, hex(made.from_block - back)) for back in (0, 1))
    assert (at != "0x", before) == (True, "0x")
    assert await deploy(chain, KEYS, ()) == made
    assert (await deploy(chain, KEYS, (), from_block=1)).from_block == 1
    await chain.aclose()
