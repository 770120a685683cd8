"""A bench on a real node: its blocks are mined at a word, and what is final lies two epochs of seven slots deep."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text

from hub.chain.blocks import JsonRpcChainLog
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.domain.records import KnownContract
from hub.flows import anchors, indexing
from hub.ports import Hub
from hub.store.database import open_store
from tests.chain.keyring import keyring
from tests.chain.nodes import SENDERS, Peer, anvil_running
from tests.flows.benches import Bench
from tests.world import START_US, World

DEPLOYER, GATEWAY, STRANGER, SIGNER = SENDERS[:4]
KEYS = keyring(DEPLOYER, GATEWAY, signer=SIGNER)
EPOCH = 7
CONFIRMATIONS = 3
BEYOND_FINALITY = 2 * EPOCH + 2  # blocks on top of one that is then final


@dataclass
class OnChain(Bench):
    """A bench whose chain is a real node's."""

    node: Peer = field(kw_only=True)
    client: JsonRpcChain = field(kw_only=True)

    @property
    def hub(self) -> Hub:
        return replace(super().hub, chain=self.client, chain_log=JsonRpcChainLog(self.client, CONFIRMATIONS))

    async def sold(self, key: str) -> str:
        """The id of an order whose record is on chain, in one block."""
        viewer = await self.world.learner()
        await self.buy(viewer, await self.world.listing(), key)
        await self.record()
        return str(await self.one(f"SELECT id FROM order_ WHERE user_id = '{viewer.user_id}'"))

    async def read(self) -> None:
        for _ in range(100):
            if not await indexing.look(self.hub):
                return
        raise AssertionError("reading does not come to rest")

    def mine(self, blocks: int) -> None:
        if blocks:
            self.node.rpc("anvil_mine", hex(blocks))

    async def finished(self) -> None:
        """Do what is to be done, and let it become final."""
        for _ in range(4):
            self.clock.pass_us(16_000_000)
            self.mine(EPOCH)  # a nonce is another's only where that is deep
            await self.work()
        self.mine(BEYOND_FINALITY)
        await self.read()

    async def take_back(self, depth: int, branch: list[list[Any]]) -> None:
        """The node's newest blocks are others now, with these transactions (raw, and in which of the new blocks)."""
        self.node.rpc("anvil_reorg", depth, branch)
        self.mine(1)
        await self.read()
        await self.assert_is_that_of_the_node()

    async def raw_of(self, order_id: str) -> str:
        raw: str = await self.one(
            "SELECT t.raw FROM chain_transaction t JOIN anchor_batch b ON t.hash = b.transaction_hash "
            f"JOIN leaf l ON l.batch_id = b.id WHERE l.order_id = '{order_id}'"
        )
        return raw

    async def status(self, order_id: str) -> str:
        return (await self.order_now(order_id)).chain_status

    async def assert_is_that_of_the_node(self) -> None:
        """Every block and event that is kept is the node's, and a fresh reading keeps the same."""
        for number, hash_ in await self.rows("SELECT number, hash FROM chain_block"):
            assert self.node.rpc("eth_getBlockByNumber", hex(number), False)["hash"] == hash_
        await self.read()
        before = await self.kept()
        for name in ("chain_event", "chain_block", "chain_watch", "chain_cursor"):
            await self.store.write(emptied, name)
        await self.read()
        assert await self.kept() == before

    async def kept(self) -> list[Any]:
        return [
            await self.rows("SELECT * FROM chain_block ORDER BY number"),
            await self.rows("SELECT * FROM chain_event ORDER BY block_number, log_index"),
            await self.rows("SELECT number, hash, confirmed_number, final_number, final_hash FROM chain_cursor"),
            await self.rows("SELECT root, state, block_number, gas_used FROM anchor_batch ORDER BY root"),
        ]


async def emptied(tx: Any, name: str) -> None:
    await tx.run(text(f"DELETE FROM {name}"))


@asynccontextmanager
async def on_chain(node: Peer, url: str) -> AsyncIterator[OnChain]:
    """A bench on that node, whose contract is in its first blocks."""
    store = await open_store(url)
    client = JsonRpcChain(lambda: f"http://127.0.0.1:{node.port}", KEYS)
    bench = OnChain(store, World(store), node=node, client=client)
    deployed = await deploy(client, KEYS, ())
    known = KnownContract(
        deployed.chain_id, deployed.address, deployed.name, deployed.code_hash.hex(), deployed.from_block, START_US
    )
    await anchors.keep_contract(bench.hub, known)
    try:
        yield bench
    finally:
        await client.aclose()
        await store.aclose()


@asynccontextmanager
async def on_anvil(url: str) -> AsyncIterator[OnChain]:
    """Likewise, on anvil, where an epoch has so few slots that finality is near."""
    with anvil_running(slots_in_an_epoch=EPOCH) as node:
        async with on_chain(node, url) as bench:
            yield bench
