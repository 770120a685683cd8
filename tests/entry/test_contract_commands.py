"""The owner's hands on the contract, as an operator uses them: on the embedded node, by the command line."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from eth_account import Account

from contracts import abi
from hub.chain.calls import creation_address
from hub.chain.client import JsonRpcChain
from hub.chain.embedded import EmbeddedNode
from hub.chain.keys import prepare_embedded
from hub.chain.transacting import mined
from hub.domain.contracts import CHECKOUT_SPLITTER, ENTITLEMENT_HUB, TEST_USD
from hub.entry.complaints import Complaint
from hub.entry.contract_commands import call_of
from tests.entry.hubs import House, done, refused

ALICE, BOB = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf", "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"
STOLEN = b"\x5e" * 32


@pytest.mark.parametrize(
    ("action", "words", "function", "arguments"),
    [
        ("pause", [], "pause", ()),
        ("unpause", [], "unpause", ()),
        ("accept-owner", [], "acceptOwner", ()),
        ("set-roles", [ALICE, "signer", "pauser"], "setRole", (ALICE, 8 | 2)),
        ("set-roles", [ALICE, "pauser", "pauser"], "setRole", (ALICE, 2)),
        ("set-roles", [ALICE], "setRole", (ALICE, 0)),
        ("propose-owner", [BOB], "proposeOwner", (BOB,)),
        ("set-successor", [BOB], "setSuccessor", (BOB,)),
        ("revoke-root", ["0x" + "AB" * 32], "revokeRoot", (b"\xab" * 32,)),
        ("set-uri", ["https://hub.example/tokens/{id}.json"], "setUri", ("https://hub.example/tokens/{id}.json",)),
    ],
)
def test_an_act_is_a_call_of_the_contract(
    action: str, words: list[str], function: str, arguments: tuple[object, ...]
) -> None:
    assert call_of(action, words) == abi.call(ENTITLEMENT_HUB, function, *arguments)


@pytest.mark.parametrize(
    ("action", "words", "why"),
    [
        ("pause", [ALICE], "other words"),
        ("rotate-signer", [ALICE], "other words"),
        ("set-roles", [], "other words"),
        ("set-roles", [ALICE, "owner"], "no role"),
        ("propose-owner", [ALICE.lower()], "checksum"),
        ("set-successor", ["0x00"], "checksum"),
        ("revoke-root", ["0x" + "ab" * 20], "no root"),
        ("set-uri", ["hub.example/tokens"], "no address that wallets follow"),
        ("set-uri", ["https://hub.example/" + "x" * 240], "at most 256"),
    ],
)
def test_words_that_do_not_fit_are_named(action: str, words: list[str], why: str) -> None:
    with pytest.raises(Complaint, match=why):
        call_of(action, words)


def test_a_splitter_has_roles_of_its_own_and_knows_less() -> None:
    roles = call_of("set-roles", [ALICE, "seller", "pauser"], CHECKOUT_SPLITTER)
    assert roles == abi.call(CHECKOUT_SPLITTER, "setRole", ALICE, 1 | 4)
    for action in ("pause", "unpause", "accept-owner"):
        assert call_of(action, [], CHECKOUT_SPLITTER) == call_of(action, [])
    with pytest.raises(Complaint, match="'gateway' is no role of a checkout_splitter: seller, refunder, pauser"):
        call_of("set-roles", [ALICE, "gateway"], CHECKOUT_SPLITTER)
    for action, name in (("set-successor", CHECKOUT_SPLITTER), ("revoke-root", CHECKOUT_SPLITTER), ("pause", TEST_USD)):
        with pytest.raises(Complaint, match=f"a {name} knows no {action}"):
            call_of(action, [ALICE], name)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "data")
    yield house
    await house.aclose()


async def test_an_operator_pauses_gives_roles_rotates_a_signer_and_hands_the_contract_over(house: House) -> None:
    """All in one test: each command starts a node."""
    async with house.node_kept():
        [paused] = await done(house, "contracts", "pause")
        assert paused.startswith("hub: pause is done in block ")
        told = await done(house, "contracts", "status")
        assert "paused   yes" in told
        assert "tokens   no address for wallets" in told
        await done(house, "contracts", "set-uri")
        assert await refused(house, "contracts", "pause") != "", "twice reverts, and is said"
        await done(house, "contracts", "unpause")
        root = await anchored_by_a_thief(house)
        assert (await done(house, "contracts", "revoke-root", root))[0].startswith("hub: revoke-root is done in block ")
        assert await is_revoked(house, root)
        assert "unknown" in await refused(house, "contracts", "revoke-root", "0x" + "0f" * 32)
        await done(house, "contracts", "set-roles", ALICE, "signer")
        await done(house, "contracts", "rotate-signer", ALICE, BOB)
        gateway = next(line.split()[1] for line in told if line.startswith("gateway"))
        await done(house, "contracts", "set-roles", gateway)
        for _ in range(2):  # a start, or a look, gives back no role that its owner took away
            told = await done(house, "contracts", "status")
            assert next(line for line in told if line.startswith("gateway")).split(";")[0].endswith("no role")
        await done(house, "contracts", "deploy")
        told = await done(house, "contracts", "status")
        for role in ("gateway", "revoker", "pauser", "signer"):
            assert next(line for line in told if line.startswith(role)).split()[2] == f"{role};"
        folder, fresh = house.data / "keys", Account.create()
        splitter = await splitter_of_before(house, gateway)
        assert await roles_of(house, gateway, splitter) == 7
        assert "may anchor too" in (await done(house, "contracts", "rotate-gateway", gateway, fresh.address))[0]
        assert "neither of the two" in await refused(house, "contracts", "rotate-gateway", BOB, ALICE)
        (folder / "gateway.key").rename(folder / "former.key")
        (folder / "gateway.key").write_text(fresh.key.hex())
        (folder / "gateway.key").chmod(0o600)
        assert "anchors alone" in (await done(house, "contracts", "rotate-gateway", gateway, fresh.address))[0]
        told = await done(house, "contracts", "status")
        roles = {line.split()[0]: line.split(";")[0].split()[1:] for line in told}
        assert roles["gateway"] == [fresh.address, "gateway"]
        assert roles["former"] == [gateway, "no", "role"]
        assert await roles_of(house, gateway, splitter) == 0, "nor where it once sold and gave back"
        pauser = next(line.split()[1] for line in told if line.startswith("pauser"))
        await done(house, "contracts", "set-roles", pauser, "pauser", "seller", "--at", splitter)
        await done(house, "contracts", "pause", "--at", splitter)
        await done(house, "contracts", "propose-owner", BOB, "--at", splitter)
        assert "is no contract of this hub" in await refused(house, "contracts", "pause", "--at", ALICE)
        await done(house, "contracts", "propose-owner", ALICE)
        told = await done(house, "contracts", "status")
        assert "paused   no" in told
        assert "tokens   http://127.0.0.1:8000/tokens/{id}.json" in told
        assert f"proposed {ALICE}" in told
        place = next(number for number, line in enumerate(told) if line.startswith(f"contract {splitter}"))
        owner = next(line.split()[1] for line in told if line.startswith("owner"))
        assert told[place + 1] == f"  owner {owner}, proposed {BOB}; paused"
        assert told[place + 2] == "  roles revoker: refunder, seller: seller, pauser: seller pauser"
        to, chain, data = await done(house, "contracts", "accept-owner", "--print")
        assert data == f"data  0x{abi.call(ENTITLEMENT_HUB, 'acceptOwner').hex()}"
        assert to.split()[1] in "".join(told)
        assert int(chain.split()[1]) == json.loads((house.data / "node.json").read_text())["chain_id"]
        assert "proposed" in await refused(house, "contracts", "accept-owner"), "the deployer was not proposed"
    states = await house.rows("SELECT DISTINCT state FROM chain_transaction")
    assert states == [("CONFIRMED",)]


async def anchored_by_a_thief(house: House) -> str:
    """A root that this hub knows nothing of, by its gateway's key."""
    async with chain_of(house) as chain:
        nonce = await chain.mined_nonce(chain.sender)
        await mined(chain, await chain.sign_anchor(STOLEN, 3, bytes(32), nonce))
    return f"0x{STOLEN.hex()}"


async def is_revoked(house: House, root: str) -> bool:
    async with chain_of(house) as chain:
        return await chain.is_revoked(bytes.fromhex(root[2:]), 2)


async def splitter_of_before(house: House, gateway: str) -> str:
    """A recorded one, of which the gateway was made seller, refunder and pauser."""
    keys = prepare_embedded(house.data)
    async with chain_of(house) as chain:
        hub, chain_id = chain.contract, chain.chain_id
        nonce = await chain.count_transactions(keys.deployer.address, "latest")
        code = abi.creation(CHECKOUT_SPLITTER, keys.deployer.address, hub, gateway)
        await mined(chain, await chain.sign(keys.deployer, to=None, data=code, nonce=nonce))
    address = creation_address(keys.deployer.address, nonce)
    await house.change(
        "INSERT INTO contract (chain_id, address, name, code_hash, from_block, recorded_at_us)"
        f" VALUES ({chain_id}, '{address}', '{CHECKOUT_SPLITTER}', '{'0b' * 32}', 1, 1)"
    )
    return address


async def roles_of(house: House, account: str, contract: str) -> int:
    async with chain_of(house) as chain:
        return await chain.roles_of(account, contract)


@asynccontextmanager
async def chain_of(house: House) -> AsyncIterator[JsonRpcChain]:
    """The chain of that house and its contract, with all its keys."""
    [(hub,)] = await house.rows("SELECT address FROM contract WHERE name = 'entitlement_hub'")
    keys, url = prepare_embedded(house.data), EmbeddedNode(house.data).url
    async with aclosing(JsonRpcChain(url, keys, contract=hub)) as chain:
        await chain.connect()
        yield chain
