"""The node as a program: how it starts, whom it refuses, what it keeps, and how it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.chain.node.genesis import GenesisError, parse
from tests.chain.nodes import CHAIN_ID, END_WITHIN_S, SENDERS, Node, command, running, signed, start, write_genesis

START_WITHIN_S = 60


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("chain")) as node:
        yield node


@pytest.fixture(scope="module")
def receipt(node: Node) -> dict[str, Any]:
    """The chain's one transaction."""
    return node.mined(signed(SENDERS[0], 0, value=5))


def refused(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A start that must come to nothing."""
    return subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, timeout=START_WITHIN_S, check=False
    )


def test_ready_line_says_where_and_what_it_is(node: Node) -> None:
    assert set(node.ready) == {"port", "chainId", "genesisHash", "pid", "signatures"}
    assert node.ready["chainId"] == CHAIN_ID == int(node.rpc("eth_chainId"), 16)
    assert node.ready["genesisHash"] == node.rpc("eth_getBlockByNumber", "0x0", False)["hash"]
    assert node.ready["pid"] == node.process.pid
    assert node.ready["signatures"] == "coincurve"


def test_second_process_on_a_folder_exits_with_3_and_names_the_first(node: Node) -> None:
    second = refused(node.folder)
    assert (second.returncode, second.stdout) == (3, "")
    assert str(node.ready["pid"]) in second.stderr
    assert node.rpc("eth_chainId") == hex(CHAIN_ID)


def test_it_ends_with_its_parents_pipe_and_comes_back_as_it_was_without_genesis_file(
    tmp_path: Path, node: Node, receipt: dict[str, Any]
) -> None:
    folder = tmp_path / "chain"
    first = start(shutil.copytree(node.folder, folder))  # a copy of a live file: as after a crash
    assert first.reap() == 0
    with pytest.raises(ConnectionRefusedError):
        first.rpc("eth_chainId")
    (folder / "genesis.json").unlink()
    again = start(folder, with_genesis=False)
    assert again.ready["genesisHash"] == node.ready["genesisHash"]
    assert again.rpc("eth_blockNumber") == "0x1"
    assert again.rpc("eth_getTransactionReceipt", receipt["transactionHash"]) == receipt
    assert again.rpc("eth_getBalance", receipt["to"], "latest") == "0x5"
    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(END_WITHIN_S) == 0
    again.reap()


def test_another_genesis_than_the_stored_one_is_a_clear_error(tmp_path: Path, node: Node) -> None:
    folder = shutil.copytree(node.folder, tmp_path / "chain")
    write_genesis(folder, chain_id=CHAIN_ID + 1)
    said = refused(folder)
    assert said.returncode == 4
    assert re.search(rf"genesis.json does not match .* {CHAIN_ID + 1}.* {CHAIN_ID}", said.stderr)


def test_without_genesis_nothing_starts_and_the_reason_is_one_line(tmp_path: Path) -> None:
    said = refused(tmp_path)
    assert said.returncode == 4
    assert said.stderr == f"{tmp_path}/genesis.json is missing: the first start needs it\n"


def test_a_port_that_is_taken_is_named_and_one_that_was_only_hoped_for_gives_way(tmp_path: Path, node: Node) -> None:
    taken = str(node.port)
    write_genesis(tmp_path)
    said = refused(tmp_path, "--port", taken)
    assert (said.returncode, said.stdout) == (5, "")
    assert said.stderr.startswith(f"port {taken} of 127.0.0.1 cannot be had: ")
    with running(tmp_path, "--like-port", taken) as other:
        assert other.port not in (0, node.port)
        assert other.rpc("eth_chainId") == hex(CHAIN_ID)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ('{"chainId": 1}', "exactly chainId and alloc"),
        ('{"chainId": true, "alloc": {}}', "chainId must be"),
        ('{"chainId": 0, "alloc": {}}', "chainId must be"),
        ('{"chainId": 1, "alloc": []}', "alloc must map"),
        ('{"chainId": 1, "alloc": {"0x12": "1"}}', "is not an address"),
        ('{"chainId": 1, "alloc": {"0x' + "11" * 20 + '": "-1"}}', "decimal string"),
        ('{"chainId": 1, "alloc": {"0x' + "11" * 20 + '": 1}}', "decimal string"),
    ],
)
def test_an_unusable_genesis_is_told_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(GenesisError, match=reason):
        parse(text.encode())


def test_a_genesis_is_the_same_in_any_capitals_and_order() -> None:
    low, high = "0x" + "ab" * 20, "0x" + "AC" * 20
    one = {"chainId": 5, "alloc": {low: "1", high: "2"}}
    other = {"alloc": {high.lower().replace("0x", "0x"): "2", low.upper().replace("0X", "0x"): "1"}, "chainId": 5}
    assert parse(json.dumps(one).encode()) == parse(json.dumps(other).encode())


def test_without_coincurve_it_starts_says_so_and_finds_the_same_senders(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow" / "coincurve"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('not on this machine')\n", encoding="utf-8")
    path = os.pathsep.join([str(shadow.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with running(tmp_path, PYTHONPATH=path) as slow:
        assert slow.ready["signatures"] == "python"
        assert slow.mined(signed(SENDERS[3], 0))["from"] == SENDERS[3].address
