"""A right that is for a wallet can be settled by itself and at once: one way on chain for each leaf, and one end."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from hub.domain.people import Viewer, Wallet
from hub.domain.records import KeyRole
from hub.flows import anchors, indexing
from hub.store.payments import payment_attempt
from hub.store.transactions import Tx
from tests.flows.benches import Bench
from tests.flows.test_claims import bought, claimed, right_of
from tests.flows.test_revocations import end
from tests.flows.test_wallets import linked
from tests.world import SECOND_US


@pytest.fixture
def instant(bench: Bench) -> Bench:
    return replace(bench, settles_at_once=True)


async def settled(bench: Bench) -> tuple[Viewer, str, Wallet]:
    """A buyer's right, anchored, then claimed for a wallet and settled."""
    viewer = await bench.world.learner()
    order = await bought(bench, viewer)
    await bench.record()
    wallet = await linked(bench, viewer)
    assert (await claimed(bench, viewer, order, wallet)).refusal is None
    await later(bench)
    return viewer, await right_of(bench, order), wallet


async def later(bench: Bench) -> None:
    """All that follows, with what looks again after a while."""
    for _ in range(3):
        await bench.record()
        await indexing.look(bench.hub)
        bench.clock.pass_us(SECOND_US)


async def ways(bench: Bench) -> list[tuple[int, int, str]]:
    """(settled by itself, leaves, state) of each batch."""
    rows = await bench.rows("SELECT is_settlement, count, state FROM anchor_batch ORDER BY first_position")
    return [(is_settlement, count, state) for is_settlement, count, state in rows]


async def test_a_right_for_a_wallet_is_settled_by_itself_and_its_order_shows_it(instant: Bench) -> None:
    await settled(instant)
    assert await ways(instant) == [(0, 1, "CONFIRMED"), (1, 1, "CONFIRMED")]
    [key] = instant.chain.settled
    assert await instant.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]
    kept = await instant.rows("SELECT purpose, state FROM chain_transaction WHERE purpose LIKE 'settle:%'")
    assert kept == [(f"settle:{key.hex()}", "CONFIRMED")]
    assert len(instant.chain.roots) == 1, "no leaf went both ways"
    [root] = instant.chain.roots
    assert instant.chain.revoked == {(root, 0)}, "the leaf without a holder ended when the settlement stood"
    assert await instant.rows("SELECT kind FROM task") == []


async def test_rights_without_a_wallet_and_hubs_that_do_not_settle_at_once_go_by_batches(bench: Bench) -> None:
    await settled(bench)
    assert [is_settlement for is_settlement, _, _ in await ways(bench)] == [0, 0]
    assert bench.chain.settled == {}


async def test_ending_a_settled_right_revokes_its_order_key(instant: Bench) -> None:
    _, right, _ = await settled(instant)
    await end(instant, right)
    await later(instant)
    assert list(instant.chain.settled.values()) == [True]
    assert await instant.rows("SELECT kind FROM task") == []


async def test_a_settlement_overtakes_what_waits_for_its_batch(instant: Bench) -> None:
    viewer = await instant.world.learner()
    order = await bought(instant, viewer)
    wallet = await linked(instant, viewer)
    assert (await claimed(instant, viewer, order, wallet)).refusal is None
    await instant.store.stamp()
    patient = replace(instant.hub, batch_after_ms=3_600_000)
    await instant.store.stamp()
    await anchors.gather(patient)
    assert [(one, count) for one, count, _ in await ways(instant)] == [(1, 1)]
    again_at_us = await anchors.gather(patient)
    assert again_at_us is not None
    assert again_at_us > instant.clock.now_us(), "the other leaf waits on"
    await instant.record()
    assert [(one, count) for one, count, _ in await ways(instant)] == [(0, 1), (1, 1)]


async def test_two_processes_settle_a_leaf_once(instant: Bench) -> None:
    viewer = await instant.world.learner()
    order = await bought(instant, viewer)
    wallet = await linked(instant, viewer)
    assert (await claimed(instant, viewer, order, wallet)).refusal is None
    await instant.store.stamp()
    for process in (instant, instant.rival(), instant):
        await anchors.gather(process.hub)
    assert [one for one, _, _ in await ways(instant)].count(1) == 1
    await instant.record()
    assert len(instant.chain.settled) == 1


async def test_a_settlement_that_a_fork_takes_back_is_sent_again(instant: Bench) -> None:
    viewer = await instant.world.learner()
    order = await bought(instant, viewer)
    assert (await claimed(instant, viewer, order, await linked(instant, viewer))).refusal is None
    await instant.record()
    [key] = instant.chain.settled
    instant.chain.fork()
    instant.chain.settled.clear()
    await later(instant)
    assert (1, 1, "CONFIRMED") in await ways(instant)
    assert list(instant.chain.settled) == [key]
    kept = await instant.rows("SELECT count(*) FROM chain_transaction WHERE purpose LIKE 'settle:%'")
    assert kept == [(1,)], "the same bytes"


async def test_what_was_bought_on_chain_is_no_leaf_of_a_batch_and_ends_by_its_own_key(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bought(bench, viewer)
    key = bytes([0x11]) * 32

    async def by_the_splitter(tx: Tx) -> None:
        await tx.run(update(payment_attempt).values(channel="stablecoin", channel_ref=f"0x{key.hex()}"))

    await bench.store.write(by_the_splitter)
    bench.chain.settled[key] = False
    bench.chain.told_by_others("Settled", f"0x{key.hex()}", {})
    await later(bench)
    assert await ways(bench) == [(1, 1, "CONFIRMED")]
    assert await bench.one("SELECT root FROM anchor_batch") == key
    assert await bench.rows("SELECT count(*) FROM chain_transaction") == [(0,)], "nothing of ours was sent"
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]

    await end(bench, await right_of(bench, order))
    await later(bench)

    assert bench.chain.settled == {key: True}
    assert await bench.rows("SELECT sender, state FROM chain_transaction") == [
        (bench.chain.accounts[KeyRole.REVOKER], "CONFIRMED")
    ]
