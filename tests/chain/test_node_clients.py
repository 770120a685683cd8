"""What wallets and tools are made of, unmodified, at our node: ethers, viem and cast from npm, web3.py in Python."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractLogicError, Web3RPCError

from tests.chain.nodes import (
    CHAIN_ID,
    CHAIN_PEERS,
    ETHER,
    GWEI,
    LOGGER,
    REVERTS_WITH_INPUT,
    SENDERS,
    TWO_COUNTERS,
    Node,
    creation,
    deploy,
    foundry,
    running,
    signed,
)
from tests.entry.npm import installed

WITHIN_S = 120.0
SEEN = keccak(
    text="Seen(uint256,bytes32)"
)  # what LOGGER is made to say: its first word is the event, its second the key
ABI = [
    {
        "type": "event",
        "name": "Seen",
        "anonymous": False,
        "inputs": [
            {"name": "number", "type": "uint256", "indexed": True},
            {"name": "word", "type": "bytes32", "indexed": False},
        ],
    },
    {"type": "function", "name": "Error", "inputs": [{"name": "reason", "type": "string"}], "outputs": []},
]


def from_npm(test: Any) -> Any:
    """The first such test waits for the packages too."""
    return pytest.mark.browser(pytest.mark.timeout(300)(test))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("chain")) as node:
        yield node


def seen(number: int) -> bytes:
    return SEEN + number.to_bytes(32)


def printed(script: str, node: Node, account: LocalAccount) -> dict[str, Any]:
    """What a script of `tests/peers/chain` saw at the node, as this account."""
    contracts = ["0x" + creation(code).hex() for code in (LOGGER, REVERTS_WITH_INPUT)]
    told = subprocess.run(
        ["node", script, node.url, "0x" + bytes(account.key).hex(), *contracts],
        cwd=installed(CHAIN_PEERS, with_optional=True),
        stdout=subprocess.PIPE,
        check=True,
        timeout=WITHIN_S,
    )
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


@from_npm
def test_ethers_sends_watches_and_reads_reasons(node: Node) -> None:
    assert printed("ethers.mjs", node, SENDERS[1]) == {
        "chainId": CHAIN_ID,
        "feesGrow": True,
        "types": [2, 1, 0],
        "heard": [7, 8, 9],
        "heardOnce": True,
        "blocksRise": True,
        "logsOfBlock": [7],
        "inBlock": True,
        "signer": True,
        "gas": [23_066, 23_066],
        "reasons": ["NOT_YOURS", "NOT_YOURS", "NotYours", True],
        "codes": ["CALL_EXCEPTION"] * 3 + ["NONCE_EXPIRED", "INSUFFICIENT_FUNDS"],
        "failed": 0,
        "delegated": [1, True],
    }


@from_npm
def test_viem_sends_watches_and_reads_reasons(node: Node) -> None:
    assert printed("viem.mjs", node, SENDERS[2]) == {
        "chainId": CHAIN_ID,
        "types": ["eip1559", "eip2930", "legacy"],
        "heard": [7, 8, 9],
        "heardOnce": True,
        "blocksRise": True,
        "logsOfBlock": [7],
        "inBlock": True,
        "signer": True,
        "gas": [23_066, 23_066],
        "feesGrow": True,
        "nonce": 5,
        "reasons": ["NOT_YOURS", "NOT_YOURS", True],
        "unread": "0x" + "00" * 32,
        "delegated": ["success", True],
    }


class Cast:
    """The command line of Foundry, as one account."""

    def __init__(self, node: Node, account: LocalAccount, home: Path) -> None:
        self._url = node.url
        self._key = "0x" + bytes(account.key).hex()
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home)}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command, *others = arguments
        return subprocess.run(
            [foundry("cast"), command, "--rpc-url", self._url, *others],
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
            env=self._environment,
        )

    def __call__(self, *arguments: str) -> str:
        """What it prints when all is well."""
        told = self.run(*arguments)
        assert told.returncode == 0, told.stderr
        return told.stdout.strip()

    def refused(self, *arguments: str) -> str:
        """What it prints when something is not."""
        told = self.run(*arguments)
        assert told.returncode == 1
        return told.stderr

    def send(self, *arguments: str) -> dict[str, Any]:
        """The receipt of a transaction that it signed."""
        receipt: dict[str, Any] = json.loads(self("send", "--json", "--private-key", self._key, *arguments))
        return receipt


@from_npm
def test_cast_reads_the_chain_and_its_accounts(node: Node, tmp_path: Path) -> None:
    contract, cast = deploy(node, TWO_COUNTERS), Cast(node, SENDERS[3], tmp_path)
    head = node.rpc("eth_getBlockByNumber", "latest", False)
    assert cast("chain-id") == str(CHAIN_ID)
    assert cast("block-number") == str(int(head["number"], 16))
    assert cast("block", "latest", "--field", "hash") == head["hash"]
    assert cast("base-fee") == str(int(head["baseFeePerGas"], 16))
    assert cast("balance", SENDERS[15].address) == str(1_000_000 * ETHER)
    assert cast("nonce", SENDERS[15].address) == "0"
    assert cast("code", contract) == "0x" + TWO_COUNTERS.hex()
    assert cast("storage", contract, "0") == "0x" + "00" * 32
    assert cast("client") == node.rpc("web3_clientVersion")
    assert cast("call", contract, "0x") == "0x" + "00" * 64
    assert int(cast("estimate", contract, "0x01")) > 60_000


@from_npm
def test_cast_sends_and_reads_receipts_logs_and_reasons(node: Node, tmp_path: Path) -> None:
    events, refuses = deploy(node, LOGGER), deploy(node, REVERTS_WITH_INPUT)
    cast = Cast(node, SENDERS[3], tmp_path)
    for kind in ((), ("--legacy",)):
        sent = cast.send(*kind, events, "0x" + seen(7).hex())
        assert (sent["status"], [log["data"] for log in sent["logs"]]) == ("0x1", ["0x" + SEEN.hex()])
        assert json.loads(cast("receipt", sent["transactionHash"], "--json")) == sent
        assert json.loads(cast("tx", sent["transactionHash"], "--json"))["from"] == SENDERS[3].address.lower()
        [log] = json.loads(
            cast("logs", "--json", "--from-block", str(int(sent["blockNumber"], 16)), "--address", events)
        )
        assert log == sent["logs"][0]
    assert cast.send("--create", "0x" + creation(LOGGER).hex())["to"] is None
    for command in ("call", "estimate"):
        assert "execution reverted: NOT_YOURS" in cast.refused(command, refuses, "Error(string)", "NOT_YOURS")
    account = SENDERS[3].address
    delegated = cast.send("--auth", events, account, "0x" + seen(8).hex())
    assert [log["address"] for log in delegated["logs"]] == [account.lower()]


async def test_web3_watches_blocks_and_logs_and_reads_reasons(node: Node) -> None:
    sender = SENDERS[4]
    events, refuses = (to_checksum_address(deploy(node, code)) for code in (LOGGER, REVERTS_WITH_INPUT))
    web3 = AsyncWeb3(AsyncHTTPProvider(node.url))
    try:
        contract, refusals = (web3.eth.contract(address=address, abi=ABI) for address in (events, refuses))
        start = await web3.eth.block_number
        blocks = await web3.eth.filter("latest")
        logs = await contract.events.Seen.create_filter(from_block=start)
        receipts = []
        for nonce, number in enumerate((7, 8)):
            sent = await web3.eth.send_raw_transaction(signed(sender, nonce, to=events, data=seen(number)))
            receipts.append(await web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.02))
        assert await blocks.get_new_entries() == [receipt["blockHash"] for receipt in receipts]
        assert [log["args"]["number"] for log in await logs.get_new_entries()] == [7, 8]
        assert await logs.get_new_entries() == []
        assert [log["args"]["number"] for log in await logs.get_all_entries()] == [7, 8]
        [log] = await web3.eth.get_logs({"blockHash": receipts[1]["blockHash"]})
        assert contract.events.Seen().process_log(log)["args"] == {"number": 8, "word": SEEN}
        refusal = refusals.functions.Error("NOT_YOURS")
        for asked in (refusal.call({"from": sender.address}), refusal.estimate_gas({"from": sender.address})):
            with pytest.raises(ContractLogicError, match="execution reverted: NOT_YOURS"):
                await asked
        with pytest.raises(Web3RPCError, match="nonce too low"):
            await web3.eth.send_raw_transaction(signed(sender, 0, value=1))
        history = await web3.eth.fee_history(2, "latest", [10.0, 50.0, 90.0])
        assert [reward for rewards in history["reward"] for reward in rewards] == [GWEI] * 6
    finally:
        await web3.provider.disconnect()
