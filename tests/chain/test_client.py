"""How the chain client takes what real nodes and networks do: nonsense, silence, refusals, moved nodes, high fees."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from hub.chain import calls
from hub.chain.client import JsonRpcChain
from hub.ports import ChainRefused, ChainUnavailable, FeeTooLow, SignedTransaction
from tests.chain.keyring import keyring

GWEI = 10**9
GATEWAY = Account.from_key(bytes([1]) * 32)
KEYS = keyring(GATEWAY, GATEWAY)
CONTRACT = "0x" + "cc" * 20  # not checksummed, as some database might give it back
ROOT = bytes([9]) * 32
CHAIN_ID = 5
SECRET = "key-of-the-provider"
RAW = SignedTransaction(hash="0x" + "ab" * 32, raw="0x02", nonce=0, sender=GATEWAY.address)

Answer = Callable[[list[Any]], Any]


class Saying(Exception):
    """Makes the node answer a JSON-RPC error."""

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code


class FakeNode:
    """A node that answers from a table of methods; `body` overrides every answer with raw text, `status` likewise."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {
            "eth_chainId": lambda _: hex(CHAIN_ID),
            "eth_getBlockByNumber": lambda _: {"baseFeePerGas": hex(10 * GWEI)},
            "eth_maxPriorityFeePerGas": lambda _: hex(GWEI),
            "eth_estimateGas": lambda _: hex(100_000),
            "eth_getTransactionCount": lambda _: "0x7",
            "eth_sendRawTransaction": lambda _: RAW.hash,
            "eth_getTransactionReceipt": lambda _: None,
        }
        self.asked: list[str] = []
        self.body: str | None = None
        self.status = 200
        self.url = ""

    def says(self, method: str, answer: Any) -> None:
        """A constant answer; a Saying is raised."""

        def constant(_: list[Any]) -> Any:
            if isinstance(answer, Saying):
                raise answer
            return answer

        self.answers[method] = constant

    def answer(self, said: Any) -> Any:
        if isinstance(said, list):
            return [self.answer(question) for question in said]
        self.asked.append(said["method"])
        try:
            return {"jsonrpc": "2.0", "id": said["id"], "result": self.answers[said["method"]](said["params"])}
        except Saying as error:
            return {"jsonrpc": "2.0", "id": said["id"], "error": {"code": error.code, "message": str(error)}}


@contextmanager
def serving(node: FakeNode) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = (json.dumps(node.answer(said)) if node.body is None else node.body).encode()
            self.send_response(node.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    node.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def node() -> Iterator[FakeNode]:
    node = FakeNode()
    with serving(node):
        yield node


@pytest.fixture
async def chain(node: FakeNode) -> AsyncIterator[JsonRpcChain]:
    chain = JsonRpcChain(lambda: node.url, KEYS, chain_id=CHAIN_ID, timeout_ms=2_000)
    yield chain
    await chain.aclose()


@pytest.mark.parametrize(
    ("pending", "now_s"),
    [
        ("0x" + (1_007).to_bytes(32).hex(), 1_007),
        ("0x" + (993).to_bytes(32).hex(), 1_000),
        (Saying("pending state is not available"), 1_000),
    ],
)
async def test_the_time_is_the_newest_blocks_or_that_of_the_one_to_come_where_the_node_tells_it(
    node: FakeNode, chain: JsonRpcChain, pending: object, now_s: int
) -> None:
    node.says("eth_getBlockByNumber", {"timestamp": hex(1_000)})
    node.says("eth_call", pending)
    assert await chain.now_s() == now_s


@pytest.fixture
async def hub_chain(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JsonRpcChain]:
    """A client with a contract, whose code is the one byte 01, and a fee cap of 30 gwei."""
    known = replace(calls.entitlement_hub(), runtime_hash=keccak(b"\1"))
    monkeypatch.setattr(calls, "entitlement_hub", lambda: known)
    node.says("eth_getCode", "0x01")
    chain = JsonRpcChain(lambda: node.url, KEYS, chain_id=CHAIN_ID, contract=CONTRACT, max_fee_wei=30 * GWEI)
    yield chain
    await chain.aclose()


def test_using_a_node_by_url_imports_no_evm_and_web3_only_then() -> None:
    program = """
import asyncio, sys
import hub.chain.client, hub.chain.calls, hub.chain.embedded, hub.chain.keys, hub.chain.deployment
from eth_account import Account
from hub.chain.signing import FileKey
from hub.domain.records import KeyRole
keys = hub.chain.keys.ChainKeys({KeyRole.GATEWAY: FileKey(Account.from_key(bytes([1]) * 32))})
assert "web3" not in sys.modules, "importing the client imports web3"
async def use(url):
    chain = hub.chain.client.JsonRpcChain(lambda: url, keys)
    await chain.connect()
    assert await chain.mined_nonce(chain.sender) == 7
    await chain.aclose()
asyncio.run(use(sys.argv[1]))
assert "web3" in sys.modules
print({"eth", "vyper", "eth_tester", "pyrevm"} & set(sys.modules))
"""
    node = FakeNode()
    with serving(node):
        done = subprocess.run([sys.executable, "-c", program, node.url], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr


@pytest.mark.parametrize("words", ["already known", "AlreadyKnown", "transaction already imported"])
async def test_known_transaction_is_sent(node: FakeNode, chain: JsonRpcChain, words: str) -> None:
    node.says("eth_sendRawTransaction", Saying(words))

    await chain.send(RAW)


async def test_nonce_too_low_is_success_when_our_hash_is_in_a_block(node: FakeNode, chain: JsonRpcChain) -> None:
    node.says("eth_sendRawTransaction", Saying("nonce too low: next nonce 3, tx nonce 0"))
    with pytest.raises(ChainRefused, match="nonce too low"):
        await chain.send(RAW)

    node.says("eth_getTransactionReceipt", {"blockNumber": "0x1"})
    await chain.send(RAW)


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (3, "execution reverted: role", ChainRefused),
        (-32000, "execution reverted", ChainRefused),
        (-32602, "cannot decode the transaction", ChainRefused),
        (-32000, "intrinsic gas too low: have 1, want 21000", ChainRefused),
        (-32000, "invalid chain id for signer: have 1, want 2", ChainRefused),
        (-32000, "insufficient funds for gas * price + value", ChainUnavailable),
        (-32003, "max fee per gas less than block base fee", FeeTooLow),
        (-32000, "replacement transaction underpriced", FeeTooLow),
        (-32010, "FeeTooLow, MaxFeePerGas too low", FeeTooLow),
        (-32005, "daily request count exceeded", ChainUnavailable),
        (-32603, "internal error", ChainUnavailable),
        (-32601, "the method does not exist", ChainUnavailable),
    ],
)
async def test_only_a_final_no_is_a_refusal(
    node: FakeNode, chain: JsonRpcChain, code: int, words: str, kind: type[Exception]
) -> None:
    node.says("eth_sendRawTransaction", Saying(words, code))

    with pytest.raises((ChainRefused, ChainUnavailable)) as caught:
        await chain.send(RAW)

    assert type(caught.value) is kind
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>come back later</html>"),
        (200, ""),
        (200, "null"),
        (200, "7"),
        (200, "[]"),
        (200, '["", ""]'),
        (200, "{}"),
        (200, '{"jsonrpc": "2.0", "id": 1, "error": "no"}'),
        (200, '{"jsonrpc": "2.0", "id": 1, "result": null}'),
        (200, '{"jsonrpc": "2.0", "id": 1, "result": "soon"}'),
        (429, "{}"),
        (503, "{}"),
    ],
)
async def test_nonsense_is_no_answer(node: FakeNode, hub_chain: JsonRpcChain, status: int, body: str) -> None:
    questions = (
        lambda: hub_chain.mined_nonce(hub_chain.sender),
        lambda: hub_chain.sign_anchor(ROOT, 1, ROOT, 0),
        lambda: hub_chain.receipt(RAW.hash),
        lambda: hub_chain.anchored(ROOT),
        lambda: hub_chain.send(RAW),
    )
    for question in questions:
        node.status, node.body = 200, None
        await hub_chain.connect()
        node.status, node.body = status, body
        with pytest.raises(ChainUnavailable) as caught:
            await question()
        assert SECRET not in repr(caught.value)


async def test_node_that_was_strange_is_asked_who_it_is(node: FakeNode, hub_chain: JsonRpcChain) -> None:
    await hub_chain.connect()
    node.says("eth_getCode", "0x00")
    assert await hub_chain.mined_nonce(hub_chain.sender) == 7
    node.status = 502
    with pytest.raises(ChainUnavailable, match="502"):
        await hub_chain.mined_nonce(hub_chain.sender)
    node.status = 200

    with pytest.raises(ChainUnavailable, match="EntitlementHub"):
        await hub_chain.mined_nonce(hub_chain.sender)


async def test_dead_node_is_unavailable_and_its_url_is_not_told(chain: JsonRpcChain, node: FakeNode) -> None:
    dead = FakeNode()
    with serving(dead):
        pass
    node.url = dead.url

    with pytest.raises(ChainUnavailable) as caught:
        await chain.send(RAW)

    assert SECRET not in repr(caught.value)


async def test_silent_node_is_unavailable_in_time(node: FakeNode) -> None:
    released = threading.Event()
    node.answers["eth_chainId"] = lambda _: released.wait(10) and None
    chain = JsonRpcChain(lambda: node.url, KEYS, timeout_ms=200)
    await chain._rpc._opened()  # web3's import is not what is timed
    start = time.monotonic()

    with pytest.raises(ChainUnavailable):
        await chain.connect()

    assert time.monotonic() - start < 5
    released.set()
    await chain.aclose()


async def test_transaction_under_another_hash_is_no_answer(node: FakeNode, chain: JsonRpcChain) -> None:
    node.says("eth_sendRawTransaction", "0x" + "cd" * 32)

    with pytest.raises(ChainUnavailable, match="another hash"):
        await chain.send(RAW)


async def test_client_follows_a_node_that_moves_and_asks_who_it_is(node: FakeNode, chain: JsonRpcChain) -> None:
    await chain.mined_nonce(chain.sender)
    await chain.mined_nonce(chain.sender)
    assert node.asked.count("eth_chainId") == 1
    other = FakeNode()
    other.says("eth_getTransactionCount", "0x8")

    with serving(other):
        node.url = other.url
        assert await chain.mined_nonce(chain.sender) == 8
        assert other.asked.count("eth_chainId") == 1

        other.says("eth_chainId", "0x63")
        other.status = 500
        with pytest.raises(ChainUnavailable, match="500"):
            await chain.mined_nonce(chain.sender)
        other.status = 200
        with pytest.raises(ChainUnavailable, match="chain 99"):
            await chain.mined_nonce(chain.sender)


async def test_anchor_carries_call_gas_and_fee(hub_chain: JsonRpcChain) -> None:
    signed = fields_of(await hub_chain.sign_anchor(ROOT, 3, bytes(32), 7))

    assert bytes(signed["data"]) == calls.anchor(ROOT, 3, bytes(32))
    assert bytes(signed["data"])[:4] == keccak(b"anchor(bytes32,uint32,bytes32,uint8)")[:4]
    assert (signed["chainId"], signed["nonce"], signed["value"]) == (CHAIN_ID, 7, 0)
    assert signed["gas"] == 120_000
    assert signed["maxFeePerGas"] == 21 * GWEI
    assert signed["maxPriorityFeePerGas"] == GWEI


@pytest.mark.parametrize(
    ("base_fee_gwei", "tip", "max_fee_gwei", "tip_gwei"),
    [
        (10, hex(50 * GWEI), 22, 2),  # a node that wants much gets little
        (10, Saying("no such method", -32601), 21, 1),
        (28, hex(GWEI), 30, 1),  # the cap takes the room, not the tip
    ],
)
async def test_fee_stays_under_its_cap(
    node: FakeNode, hub_chain: JsonRpcChain, base_fee_gwei: int, tip: object, max_fee_gwei: int, tip_gwei: int
) -> None:
    node.says("eth_getBlockByNumber", {"baseFeePerGas": hex(base_fee_gwei * GWEI)})
    node.says("eth_maxPriorityFeePerGas", tip)

    signed = fields_of(await hub_chain.sign_revoke(CONTRACT, ROOT, 0, 1, 0))

    assert (signed["maxFeePerGas"], signed["maxPriorityFeePerGas"]) == (max_fee_gwei * GWEI, tip_gwei * GWEI)


async def test_base_fee_above_the_cap_waits(node: FakeNode, hub_chain: JsonRpcChain) -> None:
    node.says("eth_getBlockByNumber", {"baseFeePerGas": hex(30 * GWEI)})

    with pytest.raises(ChainUnavailable, match="above the cap"):
        await hub_chain.sign_anchor(ROOT, 1, bytes(32), 0)


async def test_no_transaction_asks_for_more_than_sixteen_million_gas(node: FakeNode, hub_chain: JsonRpcChain) -> None:
    node.says("eth_estimateGas", hex(15_000_000))
    signed = fields_of(await hub_chain.sign_anchor(ROOT, 1, bytes(32), 0))
    assert signed["gas"] == 16_000_000

    node.says("eth_estimateGas", hex(16_000_001))
    with pytest.raises(ChainRefused, match="16000001"):
        await hub_chain.sign_anchor(ROOT, 1, bytes(32), 0)


@pytest.mark.parametrize("nonce", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**32])
def test_creation_address_is_that_of_the_chain(nonce: int) -> None:
    owner = to_canonical_address(GATEWAY.address)

    assert calls.creation_address(GATEWAY.address, nonce) == to_checksum_address(
        keccak(rlp.encode([owner, nonce]))[12:]
    )


def fields_of(transaction: SignedTransaction) -> dict[str, Any]:
    """What a signed transaction says."""
    return TypedTransaction.from_bytes(HexBytes(transaction.raw)).as_dict()
