"""What tests of chains share: the embedded node and anvil as children, accounts, and contracts made by hand.

It knows no contract of ours and no module of the hub: any JSON-RPC node could stand behind `Peer.rpc`.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from tests.entry.npm import installed, missing

CHAIN_ID = 727_272
ETHER = 10**18
GWEI = 10**9
END_WITHIN_S = 20
CHAIN_PEERS = Path(__file__).parents[1] / "peers" / "chain"
SENDERS: tuple[LocalAccount, ...] = tuple(Account.from_key(bytes([number]) * 32) for number in range(1, 17))


class Refused(Exception):
    """A JSON-RPC error: code, message, data."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: str | None = error.get("data")


class Peer:
    """A running node on a port of 127.0.0.1, whosever it is; each call blocks until its answer."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one request. Raises Refused."""
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def post(self, body: Any) -> Any:
        """The parsed answer to any JSON."""
        status, text = self.http("POST", json.dumps(body).encode())
        assert status == 200, text
        return json.loads(text)

    def http(self, method: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Status and body of any HTTP request."""
        status, text, _ = self.http_whole(method, body, {"Content-Type": "application/json", **headers})
        return status, text

    def http_whole(self, method: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers (in small letters) of any HTTP request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, "/", body, dict(headers))
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return response.status, response.read(), named
        finally:
            connection.close()

    def send(self, raw: str) -> str:
        """Sends raw bytes; the hash."""
        sent: str = self.rpc("eth_sendRawTransaction", raw)
        return sent

    def mined(self, raw: str) -> dict[str, Any]:
        """Sends raw bytes; the receipt."""
        receipt: dict[str, Any] = self.rpc("eth_getTransactionReceipt", self.send(raw))
        return receipt

    def nonce(self, account: LocalAccount) -> int:
        """The account's next nonce."""
        return int(self.rpc("eth_getTransactionCount", account.address, "latest"), 16)


class Node(Peer):
    """The embedded node in a folder; `ready` is the line that it printed."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.folder = folder
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the node ended with {process.wait(END_WITHIN_S)}"
        self.ready: dict[str, Any] = json.loads(line)
        super().__init__(process, self.ready["port"])

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self.process.kill()
        self.reap()

    def reap(self) -> int:
        """Closes the pipes, which asks a living node to end; its exit code."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return self.process.wait(END_WITHIN_S)


def start(folder: Path, *arguments: str, with_genesis: bool = True, **environment: str) -> Node:
    """Starts the node in `folder`, with more of its command line, and a genesis in which all SENDERS are rich."""
    if with_genesis:
        write_genesis(folder)
    process = subprocess.Popen(
        command(folder, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    return Node(process, folder)


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Node]:
    """A node for the length of a block."""
    node = start(folder, *arguments, **environment)
    try:
        yield node
    finally:
        node.reap()


def command(folder: Path, *arguments: str) -> list[str]:
    """The program's command line."""
    return [sys.executable, "-m", "hub.chain.node", "--data", str(folder), *arguments]


def write_genesis(folder: Path, chain_id: int = CHAIN_ID) -> None:
    """What the hub writes before the first start."""
    alloc = {account.address: str(1_000_000 * ETHER) for account in SENDERS}
    (folder / "genesis.json").write_text(json.dumps({"chainId": chain_id, "alloc": alloc}), encoding="utf-8")


@asynccontextmanager
async def anvil(**rules: Any) -> AsyncIterator[Peer]:
    """`anvil_running`, which has the same arguments, for an async test."""
    with anvil_running(**rules) as node:
        yield node


@contextmanager
def anvil_running(
    *,
    chain_id: int = CHAIN_ID,
    hardfork: str = "prague",
    slots_in_an_epoch: int = 32,
    block_time_s: float | None = None,
    funded: Iterable[str] = tuple(account.address for account in SENDERS),
    options: Iterable[str] = (),
) -> Iterator[Peer]:
    """Foundry's node, in memory, for the length of a block; every `funded` address holds a million ether.

    Without `block_time_s` each transaction is mined at once in a block of its own. `safe` and `finalized` lie one and
    two epochs behind the head. `options` are more of its command line. Skips, or fails on a CI machine, without it.
    """
    forks = ("--chain-id", str(chain_id), "--hardfork", hardfork, "--slots-in-an-epoch", str(slots_in_an_epoch))
    pace = () if block_time_s is None else ("--block-time", str(block_time_s))
    process = subprocess.Popen(
        [foundry("anvil"), "--port", "0", "--accounts", "0", "--gas-limit", "30000000", *forks, *pace, *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            printed = ""
            while (port := re.search(r"Listening on 127\.0\.0\.1:(\d+)", printed)) is None:
                line = process.stdout.readline()
                assert line, f"anvil ended with {process.wait(END_WITHIN_S)}: {printed}"
                printed += line
            node = Peer(process, int(port[1]))
            node.rpc("anvil_setLoggingEnabled", False)  # or it would stand still when the pipe is full
            for address in funded:
                node.rpc("anvil_setBalance", address, hex(1_000_000 * ETHER))
            yield node
    finally:
        process.kill()
        process.wait(END_WITHIN_S)


def foundry(program: str) -> Path:
    """The path of `anvil` or `cast`, from npm, as it was built for this machine."""
    folder = installed(CHAIN_PEERS, with_optional=True)
    built = sorted(folder.glob(f"node_modules/@foundry-rs/{program}-*/bin/{program}*"))
    if not built:
        missing(f"{program} is not built for this machine")
    return built[0]


def signed(account: LocalAccount, nonce: int, **fields: Any) -> str:
    """A raw transaction, by default an EIP-1559 transfer of nothing to nobody."""
    transaction = {
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "gas": 100_000,
        "value": 0,
        "to": "0x000000000000000000000000000000000000dEaD",
        "maxFeePerGas": 10 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        **fields,
    }
    if "gasPrice" in fields:
        del transaction["maxFeePerGas"], transaction["maxPriorityFeePerGas"]
    if transaction["to"] is None:
        del transaction["to"]
    else:
        transaction["to"] = to_checksum_address(transaction["to"])
    return "0x" + bytes(account.sign_transaction(transaction).raw_transaction).hex()


# contracts by hand: each is the runtime code; `creation` wraps it so that it can be deployed

TWO_COUNTERS = bytes.fromhex(
    "36" "6015" "57"  # any calldata: jump to the write at 0x15
    "600054" "600052" "600154" "602052" "60406000f3"  # without: return slots 0 and 1
    "5b" "600160005401" "600055" "600160015401" "600155" "00"  # 0x15: add one to both
)  # fmt: skip
LOGGER = bytes.fromhex("60003560005260203560003560206000a200")  # LOG2(word0; word0, word1)
ENDLESS = bytes.fromhex("5b600056")  # jump to 0 for ever
REVERTS_WITH_INPUT = bytes.fromhex("366000600037366000fd")  # revert(calldata)
CONTEXT = bytes.fromhex(
    "4360005242602052486040523a60605233608052600143034060a05260c06000f3"
)  # number, timestamp, base fee, gas price, caller, blockhash(number - 1)


def creation(runtime: bytes) -> bytes:
    """Init code that deploys `runtime` (at most 255 bytes)."""
    return bytes.fromhex(f"60{len(runtime):02x}80600b6000396000f3") + runtime


def deploy(node: Node, runtime: bytes, account: LocalAccount = SENDERS[0]) -> str:
    """The address of a new contract with that code."""
    receipt = node.mined(signed(account, node.nonce(account), to=None, data=creation(runtime), gas=1_000_000))
    assert receipt["status"] == "0x1"
    address: str = receipt["contractAddress"]
    return address


def words(output: str) -> list[int]:
    """The 32-byte words of hex data as numbers."""
    octets = bytes.fromhex(output[2:])
    return [int.from_bytes(octets[i : i + 32]) for i in range(0, len(octets), 32)]
