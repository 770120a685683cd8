"""Anvil takes blocks back under a hub that sells: with our transactions in the new branch, with others, with none.

An epoch has seven slots, so what is final lies fourteen blocks deep. Forks in memory: tests/flows/test_indexing.py.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hub.chain.blocks import JsonRpcChainLog
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.domain.records import KnownContract
from hub.flows import anchors, indexing
from hub.ports import Hub
from hub.store.database import open_store
from tests.chain.keyring import keyring
from tests.chain.nodes import SENDERS, Peer, anvil_running, running, signed
from tests.flows.benches import Bench
from tests.world import START_US, World

DEPLOYER, GATEWAY, STRANGER = SENDERS[:3]
KEYS = keyring(DEPLOYER, GATEWAY)
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


async def on_chain(node: Peer, url: str) -> AsyncIterator[OnChain]:
    store = await open_store(url)
    client = JsonRpcChain(lambda: f"http://127.0.0.1:{node.port}", KEYS)
    bench = OnChain(store, World(store), node=node, client=client)
    deployed = await deploy(client, KEYS, ())
    known = KnownContract(
        deployed.chain_id, deployed.address, deployed.name, deployed.code_hash.hex(), deployed.from_block, START_US
    )
    await anchors.keep_contract(bench.hub, known)
    yield bench
    await client.aclose()
    await store.aclose()


@pytest.fixture
async def anvil_bench(sqlite_url: str) -> AsyncIterator[OnChain]:
    with anvil_running(slots_in_an_epoch=EPOCH) as node:
        async for bench in on_chain(node, sqlite_url):
            yield bench


@pytest.fixture
async def embedded_bench(sqlite_url: str, tmp_path: Path) -> AsyncIterator[OnChain]:
    with running(tmp_path, HUB_CHAIN_TEST_HOOKS="1") as node:
        async for bench in on_chain(node, sqlite_url):
            yield bench


@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.parametrize("branch", ["same", "other", "none"])
async def test_reorgs_of_one_to_twelve_blocks_end_in_one_final_record_each(anvil_bench: OnChain, branch: str) -> None:
    bench, node = anvil_bench, anvil_bench.node
    bench.mine(BEYOND_FINALITY)
    for depth in range(1, 13):
        order_id = await bench.sold(f"key-{depth}")
        raw = await bench.raw_of(order_id)
        bench.mine(depth - 1)
        await bench.read()
        assert await bench.status(order_id) == ("CONFIRMED" if depth >= CONFIRMATIONS else "SUBMITTED")
        nonce = node.nonce(GATEWAY) - 1
        books = await bench.rows("SELECT * FROM posting")
        pairs = {
            "same": [[raw, depth - 1]],  # in the last of the new blocks, where it was in the first
            "other": [[signed(GATEWAY, nonce, to=STRANGER.address), 0]],  # the very nonce, for something else
            "none": [],
        }[branch]
        node.rpc("anvil_reorg", depth, pairs)
        bench.mine(1)
        await bench.read()
        await bench.assert_is_that_of_the_node()
        assert await bench.status(order_id) != "CONFIRMED" or branch == "same"
        await bench.finished()
        assert await bench.status(order_id) == "FINALIZED", f"depth {depth}"
        told = await bench.rows(
            f"SELECT to_state FROM event WHERE stream = 'hub' AND kind = 'ORDER_RECORDED' AND subject = '{order_id}'"
        )
        assert [state for (state,) in told].count("FINALIZED") == 1
        anchored = await bench.rows("SELECT count(*) FROM chain_event WHERE name = 'Anchored' GROUP BY subject")
        assert set(anchored) == {(1,)}
        await bench.assert_is_that_of_the_node()
        assert await bench.rows("SELECT * FROM posting") == books
    assert await bench.break_kinds() == []
    assert await bench.rows("SELECT kind FROM task") == []


@pytest.mark.browser
@pytest.mark.timeout(300)
async def test_reorg_below_what_is_final_halts_and_sales_go_on(anvil_bench: OnChain) -> None:
    bench = anvil_bench
    bench.mine(BEYOND_FINALITY)  # the contract itself stays
    order_id = await bench.sold("key-1")
    await bench.finished()
    assert await bench.status(order_id) == "FINALIZED"
    bench.node.rpc("anvil_reorg", 2 * EPOCH + 5, [])
    await assert_halted_while_sales_go_on(bench, order_id)


async def test_any_reorg_of_the_embedded_chain_halts_and_sales_go_on(embedded_bench: OnChain) -> None:
    bench = embedded_bench
    order_id = await bench.sold("key-1")
    assert await bench.status(order_id) == "FINALIZED"
    bench.node.rpc("hub_reorg", 1)
    await assert_halted_while_sales_go_on(bench, order_id)


async def assert_halted_while_sales_go_on(bench: OnChain, order_id: str) -> None:
    before = (await bench.kept())[1:2]
    await bench.read()
    assert (await bench.one("SELECT halt_reason FROM chain_cursor")).startswith("block ")
    assert await bench.break_kinds() == ["CHAIN"]
    assert (await bench.kept())[1:2] == before
    assert await bench.status(order_id) == "FINALIZED"
    later = await bench.sold("key-2")
    order = await bench.order_now(later)
    assert (order.status, order.fulfilment_status, order.chain_status) == ("PAID", "FULFILLED", "SUBMITTED")
