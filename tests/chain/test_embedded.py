"""The embedded node's life as its hubs see it: started, shared, lost, brought up again, always the same chain."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from hub.chain import embedded
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.chain.embedded import EmbeddedNode, NodeOptions, NodeRecord
from hub.chain.keys import prepare_embedded
from hub.chain.rpc import Question
from hub.ports import ChainUnavailable

WITHIN_S = 60.0
T = TypeVar("T")

OWNER = """
import asyncio, sys
from pathlib import Path
from hub.chain.embedded import EmbeddedNode
async def own():
    print(await EmbeddedNode(Path(sys.argv[1])).start(), flush=True)
    await asyncio.sleep(3600)
asyncio.run(own())
"""
READER = """
import asyncio, sys
from pathlib import Path
from hub.chain.client import JsonRpcChain
from hub.chain.embedded import EmbeddedNode
from hub.chain.keys import load
async def read():
    data = Path(sys.argv[1])
    chain = JsonRpcChain(EmbeddedNode(data).url, load(data))
    await chain.connect()
    print(chain.chain_id, await chain.mined_nonce(chain.sender))
    await chain.aclose()
asyncio.run(read())
"""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[EmbeddedNode]:
    prepare_embedded(tmp_path)
    node = EmbeddedNode(tmp_path)
    yield node
    await node.aclose()


async def test_start_tells_where_the_node_is(tmp_path: Path, node: EmbeddedNode) -> None:
    record = await node.start()

    assert json.loads((tmp_path / "node.json").read_text()) == {
        "port": record.port,
        "pid": record.pid,
        "chain_id": record.chain_id,
        "genesis_hash": record.genesis_hash,
    }
    assert node.url() == f"http://127.0.0.1:{record.port}"
    assert record.chain_id == json.loads((tmp_path / "genesis.json").read_text())["chainId"]
    assert await node.start() == record
    assert is_running(record.pid)
    await node.aclose()
    assert not is_running(record.pid)
    assert not await node.is_up()


async def test_killed_node_comes_up_with_same_genesis_and_height(tmp_path: Path, node: EmbeddedNode) -> None:
    keys = prepare_embedded(tmp_path)
    first = await node.start()
    chain = JsonRpcChain(node.url, keys)
    deployment = await deploy(chain, keys, ())
    height = await block_number(chain)

    os.kill(first.pid, signal.SIGKILL)
    second = await until(lambda: another(tmp_path, first))
    await until(node.is_up)

    assert (second.chain_id, second.genesis_hash) == (first.chain_id, first.genesis_hash)
    assert second.pid != first.pid
    assert await block_number(chain) == height  # the same client, at the new port
    assert await deploy(chain, keys, (deployment,)) == deployment
    await chain.aclose()


async def test_processes_share_one_node_and_the_next_takes_over(tmp_path: Path, node: EmbeddedNode) -> None:
    with owning(tmp_path) as owner:
        first = await until(lambda: another(tmp_path, None))
        assert await node.start() == first  # joined, not a second one
        read = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", READER, str(tmp_path)], capture_output=True, text=True, timeout=60
        )
        assert read.stdout == f"{first.chain_id} 0\n", read.stderr
        keys = prepare_embedded(tmp_path)
        chain = JsonRpcChain(node.url, keys)
        await deploy(chain, keys, ())
        height = await block_number(chain)

        owner.kill()
        second = await until(lambda: another(tmp_path, first))

    await until(node.is_up)  # so the first, whose input the owner held, has ended: only one can hold the chain
    assert (second.chain_id, second.genesis_hash) == (first.chain_id, first.genesis_hash)
    assert await block_number(chain) == height
    await chain.aclose()


async def test_a_new_node_is_where_a_wallet_was_told_the_last_one_was(tmp_path: Path, node: EmbeddedNode) -> None:
    first = await node.start()
    await node.aclose()
    second = await node.start()
    assert (second.port, second.pid != first.pid) == (first.port, True)
    await node.aclose()
    with socket.create_server(("127.0.0.1", second.port)):
        third = await node.start()  # somebody else is there now: it is better to be elsewhere than nowhere
        assert third.port != second.port
    assert node.url() == f"http://127.0.0.1:{third.port}"


def test_a_node_is_started_as_the_settings_say(tmp_path: Path) -> None:
    options = NodeOptions(port=8_545, tx_gas=9_000_000, origins=("https://a.example", "https://b.example"))
    assert EmbeddedNode(tmp_path, options)._arguments() == [
        *("--data", str(tmp_path), "--port", "8545", "--tx-gas-cap", "9000000"),
        *("--origin", "https://a.example", "--origin", "https://b.example"),
    ]


async def test_two_that_start_at_once_get_one_node(tmp_path: Path, node: EmbeddedNode) -> None:
    other = EmbeddedNode(tmp_path)

    one, two = await asyncio.gather(node.start(), other.start())

    assert one == two
    await other.aclose()


async def test_start_that_fails_says_why_and_goes_on_trying(
    tmp_path: Path, node: EmbeddedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "RETRY_FIRST_S", 0.05)
    genesis = (tmp_path / "genesis.json").read_text()
    (tmp_path / "genesis.json").write_text("{}")

    with pytest.raises(ChainUnavailable, match=r"code 4.*must hold exactly chainId and alloc"):
        await node.start()
    with pytest.raises(ChainUnavailable, match="not been started"):
        node.url()

    (tmp_path / "genesis.json").write_text(genesis)
    await until(node.is_up)


async def test_chain_that_was_swapped_is_not_taken_for_ours(tmp_path: Path, node: EmbeddedNode) -> None:
    (tmp_path / "node.json").write_text(
        json.dumps({"port": 1, "pid": 1, "chain_id": 1, "genesis_hash": "0x" + "00" * 32})
    )

    with pytest.raises(ChainUnavailable, match="another than before"):
        await node.start()

    assert json.loads((tmp_path / "node.json").read_text())["port"] == 1


async def test_node_learns_no_secret_of_the_hub(
    tmp_path: Path, node: EmbeddedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CHANNEL_SANDBOX_SECRET", "whsec_not_for_the_node")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env"))
    (tmp_path / "env").write_text("#!/bin/sh\nenv >&2\nexit 9\n")
    (tmp_path / "env").chmod(0o700)

    with pytest.raises(ChainUnavailable, match="code 9"):
        await node.start()

    log = (tmp_path / "node.log").read_text()
    assert "PATH=" in log
    assert "HUB_" not in log


@contextmanager
def owning(data: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that starts the node and keeps it."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(data)], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def another(data: Path, before: NodeRecord | None) -> NodeRecord | None:
    """What node.json says, once it is not what it was before."""
    try:
        record = NodeRecord(**json.loads((data / "node.json").read_bytes()))
    except FileNotFoundError:
        return None
    return record if record != before else None


async def block_number(chain: JsonRpcChain) -> int:
    """The height of the chain."""
    return int(str(await chain._ask(Question("eth_blockNumber"))), 16)


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` gives, once it is neither None nor False."""
    async with asyncio.timeout(WITHIN_S):
        while not (seen := await look()):  # noqa: ASYNC110  # another process moves it
            await asyncio.sleep(0.02)
    return seen


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
