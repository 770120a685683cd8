"""A node that is down for an hour, a clock that is not the chain's, a signer without money: sales go on, and whatever
waited is done once. Other faults: test_sending.py, test_anchors.py, test_indexing.py, tests/chain/test_client.py."""

from dataclasses import replace

import pytest

from hub.flows import entitlements, indexing
from hub.ports import ChainUnavailable, SignedTransaction
from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.flows.forks import Forks, anchoring
from tests.flows.test_indexing import ROOTS, Reader
from tests.world import SECOND_US, World, operator

HOUR_US = 3600 * SECOND_US


@pytest.fixture
def lone(sqlite_store: Store) -> Bench:
    """A bench for what needs one engine only."""
    return Bench(sqlite_store, World(sqlite_store))


async def test_node_that_is_down_for_an_hour_finds_everything_done_once_afterwards(lone: Bench) -> None:
    bench = lone
    listing = await bench.world.listing()
    await bench.buy(await bench.world.learner(), listing, "before")
    await bench.record()
    bench.chain.is_away = True
    right = await bench.one("SELECT id FROM entitlement")
    await entitlements.revoke(bench.hub, operator(), entitlement_id=right, reason="a test", idempotency_key="end")
    for n in range(4):
        answer = await bench.buy(await bench.world.learner(), listing, f"key-{n}")
        assert answer.refusal is None
        await bench.record()
        with pytest.raises(ChainUnavailable):
            await indexing.look(bench.hub)
        bench.clock.pass_us(HOUR_US // 4)
    assert await bench.rows("SELECT DISTINCT status, fulfilment_status FROM order_ ORDER BY 2") == [
        ("PAID", "FULFILLED"), ("PAID", "REVOKED"),
    ]  # fmt: skip
    bench.chain.is_away = False
    for _ in range(3):
        bench.clock.pass_us(SECOND_US)
        await bench.work()
    assert await bench.rows("SELECT DISTINCT chain_status FROM order_") == [("CONFIRMED",)]
    assert len(bench.chain.revoked) == 1
    assert len(bench.chain.sent) == len(set(bench.chain.sent)) == 6, "five batches and a revocation, each sent once"
    assert await bench.rows("SELECT kind FROM task UNION SELECT kind FROM dead_task") == []


@pytest.mark.parametrize("ahead_us", [HOUR_US, -HOUR_US])
async def test_clock_that_is_not_the_chains_moves_no_record(lone: Bench, ahead_us: int) -> None:
    reader = await Reader(lone, Forks(confirmations=2)).begin(ROOTS[0])
    chain = reader.chain
    chain.mine(anchoring(ROOTS[0]), blocks=3)
    for place, (block, sent) in enumerate(chain.chain):
        jumps_us = SECOND_US * (-1) ** place  # and block times need not grow
        chain.chain[place] = (replace(block, mined_at_us=lone.clock.now_us() + ahead_us + jumps_us), sent)
    await reader.read()
    assert await reader.states() == ["CONFIRMED"]
    assert await lone.rows("SELECT moved_at_us FROM chain_cursor") == [(lone.clock.now_us(),)]
    assert await lone.rows("SELECT confirmed_at_us FROM anchor_batch") == [(lone.clock.now_us(),)]
    chain.reorg(3, (), (), (), ())
    await reader.read()
    assert await reader.states() == ["REORGED"]
    assert await lone.break_kinds() == []


async def test_signer_without_money_waits_and_sends_the_same_bytes_once_it_has_some(lone: Bench) -> None:
    bench, send, tried = lone, lone.chain.send, []

    async def poor(transaction: SignedTransaction) -> None:
        tried.append(transaction.raw)
        raise ChainUnavailable("the node cannot now: insufficient funds for gas * price + value")

    bench.chain.send = poor  # type: ignore[method-assign]  # until somebody sends it some
    listing = await bench.world.listing()
    for n in range(2):
        await bench.buy(await bench.world.learner(), listing, f"key-{n}")
        await bench.record()
        bench.clock.pass_us(30 * SECOND_US)
    await bench.work()
    assert len(set(tried)) == 1, "what lies behind the first waits for it"
    assert await bench.rows("SELECT DISTINCT status FROM order_") == [("PAID",)]
    assert await bench.break_kinds() == []
    bench.chain.send = send  # type: ignore[method-assign]  # there it is
    for _ in range(2):
        bench.clock.pass_us(SECOND_US)
        await bench.work()
    assert await bench.rows("SELECT DISTINCT chain_status FROM order_") == [("CONFIRMED",)]
    assert f"raw of {bench.chain.sent[0]}" == tried[0]
    assert sorted(bench.chain.roots.values()) == [1, 1]
    assert await bench.rows("SELECT kind FROM task") == []
