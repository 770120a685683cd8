"""Reading a contract's logs from a node, decoded and stored, beside `eth_getLogs` over the same range alone: near the
head, where each block is asked by its hash, and below what is final, by ranges.

The logs are those of roles that were set: they mean nothing for any order, so what is measured is the reading. The node
is anvil from npm, or the embedded one where npm is missing, on which every block is final.
"""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from eth_utils.address import to_checksum_address

from hub.chain import calls
from hub.chain.blocks import JsonRpcChainLog
from hub.chain.client import JsonRpcChain
from hub.domain.records import KnownContract
from hub.flows import anchors, indexing
from hub.store.database import open_store
from hub.store.migrate import migrate
from tests.bench.figures import Figure, interleaved
from tests.chain.nodes import SENDERS, Peer, anvil_running, running, signed
from tests.flows.benches import Bench
from tests.world import START_US, World

DEPLOYER = SENDERS[0]
LOGS, QUICK_LOGS, A_BLOCK = 2_000, 100, 50
ROUNDS, QUICK_ROUNDS = 9, 1
HARMLESS = 4  # REVOKER: a role that any number of accounts may have
UNTIL_FINAL = 70  # blocks: more than anvil's two epochs
CONFIRMATIONS = 12


@dataclass(frozen=True, slots=True)
class Told:
    """A contract whose logs lie between two blocks of a node."""

    node: Peer
    address: str
    first: int
    last: int
    logs: int


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as name:
        folder = Path(name)
        await migrate(f"sqlite:///{folder}/migrated.sqlite3")
        with some_node(folder) as node, httpx.Client() as client:
            is_anvil = node.rpc("web3_clientVersion").startswith("anvil")
            told = tell(node, QUICK_LOGS if quick else LOGS, is_anvil=is_anvil)

            async def ours() -> float:
                return await read(told, folder)

            async def alone() -> float:
                return asked(told, client)

            rounds = QUICK_ROUNDS if quick else ROUNDS
            facts = {"node": "anvil" if is_anvil else "embedded", "logs": told.logs, "blocks": told.last - told.first}
            if is_anvil:
                yield await interleaved("indexer_near_the_head", ours, alone, unit="logs/s", rounds=rounds, **facts)
                node.rpc("anvil_mine", hex(UNTIL_FINAL))
            yield await interleaved("indexer", ours, alone, unit="logs/s", rounds=rounds, **facts)


@contextmanager
def some_node(folder: Path) -> Iterator[Peer]:
    """On which DEPLOYER is rich."""
    with anvil_running() if shutil.which("npm") else running(folder) as node:
        yield node


def tell(node: Peer, logs: int, *, is_anvil: bool) -> Told:
    """Deploy, and set so many roles, some in each block."""
    creation = calls.creation(DEPLOYER.address, "0x" + "00" * 20)
    hash_ = node.send(signed(DEPLOYER, 0, to=None, data=creation, gas=8_000_000))
    while (made := node.rpc("eth_getTransactionReceipt", hash_)) is None:  # anvil answers before it mines
        time.sleep(0.01)
    address = to_checksum_address(made["contractAddress"])
    if is_anvil:
        node.rpc("evm_setAutomine", False)
    for start in range(1, logs + 1, A_BLOCK):
        raws = [
            signed(DEPLOYER, nonce, to=address, data=calls.set_role("0x" + nonce.to_bytes(20).hex(), HARMLESS))
            for nonce in range(start, min(start + A_BLOCK, logs + 1))
        ]
        sent = node.post([
            {"jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction", "params": [raw]}
            for n, raw in enumerate(raws)
        ])  # fmt: skip
        assert all("result" in one for one in sent), sent[0]
        if is_anvil:
            node.rpc("evm_mine")
    first = int(made["blockNumber"], 16)
    return Told(node, address, first, int(node.rpc("eth_blockNumber"), 16), logs + 1)  # and of its owner


async def read(told: Told, folder: Path) -> float:
    """Logs a second of a hub that has read nothing yet."""
    path = shutil.copy(folder / "migrated.sqlite3", folder / "read.sqlite3")
    store = await open_store(f"sqlite:///{path}")
    client = JsonRpcChain(lambda: told.node.url, SENDERS[1])
    try:
        await client.connect()
        bench = Bench(store, World(store))
        hub = replace(bench.hub, chain=client, chain_log=JsonRpcChainLog(client, CONFIRMATIONS))
        known = KnownContract(client.chain_id, told.address, "entitlement_hub", "c0de", told.first, START_US)
        await anchors.keep_contract(hub, known)
        started = time.perf_counter()
        while await indexing.look(hub):
            pass
        took = time.perf_counter() - started
        assert await bench.one("SELECT count(*) FROM chain_event") == told.logs
    finally:
        await client.aclose()
        await store.aclose()
    return told.logs / took


def asked(told: Told, client: httpx.Client) -> float:
    """Logs a second of one question, its answer parsed."""
    criteria = {"address": told.address, "fromBlock": hex(told.first), "toBlock": hex(told.last)}
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [criteria]}
    started = time.perf_counter()
    logs = client.post(told.node.url, json=question).json()["result"]
    took = time.perf_counter() - started
    assert len(logs) == told.logs
    return told.logs / took
