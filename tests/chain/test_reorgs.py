"""Anvil takes blocks back under a hub that sells: with our transactions in the new branch, with others, with none.

Forks in memory: tests/flows/test_indexing.py. Rights that are settled, claimed and revoked: test_reorgs_of_rights.py.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chain.nodes import running, signed
from tests.chain.on_chain import BEYOND_FINALITY, CONFIRMATIONS, EPOCH, GATEWAY, STRANGER, OnChain, on_anvil, on_chain


@pytest.fixture
async def anvil_bench(sqlite_url: str) -> AsyncIterator[OnChain]:
    async with on_anvil(sqlite_url) as bench:
        yield bench


@pytest.fixture
async def embedded_bench(sqlite_url: str, tmp_path: Path) -> AsyncIterator[OnChain]:
    with running(tmp_path, HUB_CHAIN_TEST_HOOKS="1") as node:
        async with on_chain(node, sqlite_url) as bench:
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
        await bench.take_back(depth, pairs)
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
