"""The examples of hub/docs/verify-rights.md, each on a right that was really sold: a whole hub, its embedded node, and
programs and contracts that know nothing of ours but a bundle and the contract's address."""

import asyncio
import contextlib
import io
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import pytest_asyncio
from eth_abi import decode, encode
from eth_utils.crypto import keccak
from vyper.compiler import compile_code  # type: ignore[import-untyped]  # the compiler ships no types

from hub.chain import keys
from hub.entry.demo_client import Client
from tests.chain.keyring import account_of
from tests.entry.hubs import CHECKOUT, House, put_on_sale, reached, until
from tests.entry.npm import installed
from tests.entry.test_stablecoin_sale import ETHER, Node
from tests.wallets import account, signed

EXAMPLE = Path(__file__).parents[2] / "hub/docs/examples/verify-rights"
WITHIN_S = 60.0
ASK = """mutation($input: WalletChallengeInput!) { walletChallenge(input: $input) {
  challenge { message } userErrors { message } } }"""
LINK = """mutation($input: WalletLinkInput!) { walletLink(input: $input) { wallet { id } userErrors { message } } }"""
CLAIM = """mutation($input: EntitlementClaimInput!) { entitlementClaim(input: $input) {
  entitlement { id } userErrors { message } } }"""
RIGHT = """query($id: ID!) { entitlement(id: $id) {
  proof { bundle } token { tokenId holder chainId contract claimCall { to data } } } }"""
NOBODY = "0x" + "00" * 20

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]
Program = Callable[..., tuple[int, str]]  # arguments to exit code and words


@dataclass(frozen=True, slots=True)
class Sale:
    """A right, twice on paper: as it was sold, to nobody by name, and as it was claimed for a wallet since."""

    folder: Path
    node: Node
    first: Json
    bundle: Json
    trusted: Json
    claim: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sale(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sale]:
    folder = tmp_path_factory.mktemp("verify-rights")
    house = House(folder / "data")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        hub = await house.serve()
        tokens = await asyncio.gather(house.token("learner"), house.token("partner", platform="lumen"))
        learner, seller = [await stack.enter_async_context(Client(hub.origin, token)) for token in tokens]
        sold = await put_on_sale(seller, "double-entry")
        bought = await learner.mutate(CHECKOUT, sold.bought("once"))
        order = await reached(learner, bought["order"]["id"], chainStatus="FINALIZED")
        right = order["entitlement"]["id"]
        wallet = await linked(learner)
        await learner.mutate(CLAIM, {"entitlementId": right, "walletId": wallet, "idempotencyKey": "claim"})

        async def claimable() -> Json | None:
            told: Json = (await learner.query(RIGHT, {"id": right}))["entitlement"]
            return told if told["token"] and told["token"]["holder"] and told["proof"] else None

        told = await until(claimable, what="the claim is on the chain")
        assert told is not None
        port = json.loads((house.data / "node.json").read_text())["port"]
        node = Node(house.data)
        first, bundle = (json.loads(text) for text in (order["proof"]["bundle"], told["proof"]["bundle"]))
        trusted = {
            "chainId": int(told["token"]["chainId"]),
            "hub": told["token"]["contract"],
            "tokenId": told["token"]["tokenId"],
            "node": f"http://127.0.0.1:{port}",
            "roots": [first["root"], bundle["root"]],
        }
        await node.send(account_of(keys.load(house.data).deployer), account().address, "0x", ETHER)
        sale = Sale(folder, node, first, bundle, trusted, told["token"]["claimCall"])
        await until(lambda: ended(sale), what="the former record has ended")
        yield sale


async def linked(learner: Client) -> str:
    text = (await learner.mutate(ASK, {"address": account().address}))["challenge"]["message"]
    told = await learner.mutate(LINK, {"message": text, "signature": "0x" + signed(text).hex()})
    return str(told["wallet"]["id"])


async def ended(sale: Sale) -> bool:
    """Whether the record without holder is revoked, as it is once the new one stands."""
    return [(await run(sale, python, bundle))[0] for bundle in (sale.first, sale.bundle)] == [1, 0]


def python(*arguments: str) -> tuple[int, str]:
    """The exit code of the Python program and what it said; in this process, as an interpreter takes half a second."""
    said = io.StringIO()
    with patch.object(sys, "argv", ["verify.py", *arguments]), contextlib.redirect_stdout(said):
        try:
            runpy.run_path(str(EXAMPLE / "verify.py"), run_name="__main__")
        except SystemExit as end:
            return (1, str(end.code)) if end.code else (0, said.getvalue().strip())
    return 0, said.getvalue().strip()


def process(*command: str) -> Program:
    """Any other program."""

    def program(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WITHIN_S, check=False
        )
        return done.returncode, done.stdout.decode().strip()

    return program


async def run(sale: Sale, program: Program, bundle: Json, *options: str, **trusted: Any) -> tuple[int, str]:
    """Exit code and words of a program about a bundle."""
    paths = [sale.folder / name for name in ("bundle.json", "trusted.json")]
    for path, content in zip(paths, (bundle, sale.trusted | trusted), strict=True):
        path.write_text(json.dumps(content))
    return await asyncio.to_thread(program, *map(str, paths), *options)


async def judged(sale: Sale, program: Program) -> None:
    """What each program has to say, whatever it is written in."""
    holder, hub = account().address, sale.trusted["hub"]
    held = await sale.node.view(hub, "entitlement_hub", "hasAccess", holder, int(sale.trusted["tokenId"]))
    stands = f"ok: stands for {holder}, token claimed: {'yes' if held else 'no'}"
    recorded = "ok: recorded for {}; whether it was revoked since, a node knows"
    elsewhere, another = "REFUSED: of another chain or hub", "REFUSED: for another course"
    over, unknown = "REFUSED: not anchored, revoked or expired", "REFUSED: the leaf lies under no root that you know"
    bundle, first = sale.bundle, sale.first
    changed = bundle | {"index": bundle["index"] + 1}
    assert await run(sale, program, bundle) == (0, stands)
    assert await run(sale, program, bundle, "--offline", node="") == (0, recorded.format(holder))
    assert await run(sale, program, first) == (1, over)  # revoked: the new one took its place
    assert await run(sale, program, first, "--offline", node="") == (0, recorded.format(NOBODY))
    assert await run(sale, program, changed) == (1, over)
    assert await run(sale, program, changed, "--offline") == (1, unknown)
    assert await run(sale, program, bundle, "--offline", roots=[first["root"]]) == (1, unknown)
    assert await run(sale, program, bundle | {"to": account(2).address}) == (1, over)
    assert await run(sale, program, bundle, tokenId="1") == (1, another)
    assert await run(sale, program, bundle, hub=account(2).address) == (1, elsewhere)


async def let_in(sale: Sale, creation: bytes) -> None:
    """Deploys a club, and comes as the holder and as a stranger: with the proof, then with the token."""
    hub, course = sale.trusted["hub"], int(sale.trusted["tokenId"])
    holder, stranger = account(), account(2)
    code = creation + encode(["address", "uint256"], [hub, course])
    club = (await sale.node.send(holder, "", "0x" + code.hex()))["contractAddress"]
    for data in (with_proof(sale.bundle), call("enter()")):
        if data == call("enter()"):
            assert (await sale.node.send(holder, sale.claim["to"], sale.claim["data"]))["status"] == "0x1"
        entered = await sale.node.send(holder, club, data)
        assert entered["status"] == "0x1"
        assert [log["topics"] for log in entered["logs"]] == [
            ["0x" + keccak(text="Entered(address)").hex(), "0x" + holder.address[2:].lower().rjust(64, "0")]
        ]
        assert await reason(sale, stranger.address, club, data) == "no right"
    assert await reason(sale, holder.address, club, with_proof(sale.first)) == "no right"


def with_proof(bundle: Json) -> str:
    """The call of a wallet that has the bundle and no token."""
    order_key, commitment, root = (octets(bundle[name]) for name in ("orderKey", "commitment", "root"))
    leaf = (root, bundle["index"], order_key, int(bundle["expiry"]), commitment, list(map(octets, bundle["proof"])))
    return call("enterWithProof(bytes32,uint32,bytes32,uint64,bytes32,bytes32[])", *leaf)


def call(function: str, *arguments: object) -> str:
    kinds = [kind for kind in function[function.index("(") + 1 : -1].split(",") if kind]
    return "0x" + (keccak(text=function)[:4] + encode(kinds, arguments)).hex()


def octets(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


async def reason(sale: Sale, sender: str, to: str, data: str) -> str:
    """Why a call reverts."""
    asked = {"from": sender, "to": to, "data": data}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [asked, "latest"]}
        said = (await client.post(sale.trusted["node"], json=body)).json()
    return str(decode(["string"], octets(said["error"]["data"])[4:])[0])


async def test_the_python_program_tells_what_stands_by_a_node_and_offline(sale: Sale) -> None:
    await judged(sale, python)
    said = await run(sale, process(sys.executable, str(EXAMPLE / "verify.py")), sale.first)  # as its reader runs it
    assert said == (1, "REFUSED: not anchored, revoked or expired")


async def test_the_vyper_contract_lets_in_the_holder_alone_by_proof_and_by_token(sale: Sale) -> None:
    compiled = compile_code((EXAMPLE / "course_club.vy").read_text())
    await let_in(sale, octets(compiled["bytecode"]))


@pytest.mark.browser
async def test_the_typescript_program_says_the_same(sale: Sale) -> None:
    packages = await asyncio.to_thread(installed, EXAMPLE)
    folder = sale.folder / "typescript"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (folder / "node_modules").symlink_to(packages / "node_modules")
    built = await asyncio.create_subprocess_exec("npm", "run", "--silent", "build", cwd=folder)
    assert await asyncio.wait_for(built.wait(), WITHIN_S) == 0
    await judged(sale, process("node", str(folder / "dist" / "verify.js")))


@pytest.mark.browser
async def test_the_solidity_contract_does_the_same(sale: Sale) -> None:
    packages = await asyncio.to_thread(installed, EXAMPLE)
    command = ("node_modules/.bin/solcjs", "--bin", "--optimize", "-o", str(sale.folder), "CourseClub.sol")
    compiled = await asyncio.create_subprocess_exec("node", *command, cwd=packages)
    assert await asyncio.wait_for(compiled.wait(), WITHIN_S) == 0
    await let_in(sale, bytes.fromhex((sale.folder / "CourseClub_sol_CourseClub.bin").read_text()))
