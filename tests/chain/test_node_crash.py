"""The node's word holds through SIGKILL: what it answered is on disk, and the chain it comes back with is whole."""

import random
import threading
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from tests.chain.nodes import SENDERS, TWO_COUNTERS, Node, Refused, deploy, signed, start, words

WRITERS = SENDERS[1:4]


def stream(node: Node, sender: LocalAccount, contract: str, answered: list[str], raws: list[str]) -> None:
    """Sends one transaction after the other until the node is gone; notes what it answered."""
    nonce = node.nonce(sender)
    while True:
        raw = signed(sender, nonce, to=contract, data=b"\x01")
        raws.append(raw)
        try:
            answered.append(node.send(raw))
        except (OSError, HTTPException):
            return
        nonce += 1


def kill_in_mid_stream(folder: Path, times: int) -> None:
    """Kills the node `times` times while three senders write, and checks after each what it had answered."""
    dice = random.Random(11)
    node = start(folder)
    contract, genesis = deploy(node, TWO_COUNTERS), node.ready["genesisHash"]
    answered: list[str] = []
    for _ in range(times):
        before, raws = len(answered), [[] for _ in WRITERS]
        threads = [
            threading.Thread(target=stream, args=(node, sender, contract, answered, sent))
            for sender, sent in zip(WRITERS, raws, strict=True)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(answered) < before + 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.05))  # anywhere in a block
        node.kill()
        for thread in threads:
            thread.join()
        node = start(folder)
        assert node.ready["genesisHash"] == genesis
        for tx_hash in answered[before:]:
            assert node.rpc("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
        for sent in raws:
            resend(node, sent[-1])
    check_chain(node, contract)
    node.reap()


def resend(node: Node, raw: str) -> None:
    """What was in flight at the kill is either mined already, or is mined now: never lost, never doubled."""
    with suppress(Refused):
        node.send(raw)
    with pytest.raises(Refused, match="already known"):
        node.send(raw)


def check_chain(node: Node, contract: str) -> None:
    """Parents link without a gap, and the contract counted every mined transaction exactly once."""
    head = int(node.rpc("eth_blockNumber"), 16)
    parent, transactions = None, 0
    for number in range(head + 1):
        block = node.rpc("eth_getBlockByNumber", hex(number), False)
        assert parent is None or block["parentHash"] == parent
        parent = block["hash"]
        transactions += len(block["transactions"])
    sent = sum(node.nonce(sender) for sender in WRITERS)
    assert words(node.rpc("eth_call", {"to": contract}, "latest")) == [sent, sent]
    assert transactions == sent + 1  # and the deployment


def test_a_few_kills_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    kill_in_mid_stream(tmp_path, times=2)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_twenty_kills_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    kill_in_mid_stream(tmp_path, times=20)
