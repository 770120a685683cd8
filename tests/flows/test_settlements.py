"""A right that is for a wallet can be settled by itself and at once: one way on chain for each leaf, and one end."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from hub.domain.anchors import NO_END
from hub.domain.contracts import NOBODY
from hub.domain.payments import PaymentAttempt
from hub.domain.people import Viewer, Wallet
from hub.domain.records import KeyRole
from hub.entry.verification import verified
from hub.flows import anchors, indexing, settlements
from hub.flows.settled_otherwise import is_as_meant
from hub.ports import ChainReceipt, SignedTransaction
from hub.store.chain_log import chain_event
from hub.store.payments import payment_attempt
from hub.store.transactions import Tx
from tests.flows.benches import Bench
from tests.flows.scripted import charged
from tests.flows.test_claims import bought, claimed, right_of
from tests.flows.test_revocations import end
from tests.flows.test_wallets import linked
from tests.world import SECOND_US

THIEF = "0x" + "7f" * 20


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


async def test_a_result_that_gets_into_its_block_too_late_is_signed_anew_and_nobody_has_to_look(instant: Bench) -> None:
    viewer = await instant.world.learner()
    order = await bought(instant, viewer)
    await instant.record()
    chain, send = instant.chain, instant.chain.send
    chain.holds_back = True
    assert (await claimed(instant, viewer, order, await linked(instant, viewer))).refusal is None
    await instant.record()
    [(hash_,)] = await instant.rows("SELECT hash FROM chain_transaction WHERE purpose LIKE 'settle:%'")

    async def revert_late(transaction: SignedTransaction) -> None:
        if transaction.hash != hash_:
            await send(transaction)
        else:
            chain.mined[hash_] = ChainReceipt(hash_, False, 1, "0xb1", 50_000, 10**9, 1)

    chain.send, chain.holds_back = revert_late, False  # type: ignore[method-assign]  # this test's own fault in its place
    instant.clock.pass_us(settlements.DEADLINE_S * SECOND_US)
    await later(instant)
    assert await ways(instant) == [(0, 1, "CONFIRMED"), (1, 1, "CONFIRMED")]
    assert len(chain.settled) == 1
    assert await instant.breaks() == []


@pytest.mark.parametrize("chain_ahead_s", [3_601, -23 * 3_600, -7 * 86_400])
async def test_a_result_is_signed_for_the_chains_clock_however_far_the_hubs_is_from_it(
    instant: Bench, chain_ahead_s: int
) -> None:
    instant.chain.time_s = instant.clock.now_us() // SECOND_US + chain_ahead_s
    await settled(instant)
    assert await ways(instant) == [(0, 1, "CONFIRMED"), (1, 1, "CONFIRMED")]
    assert await instant.breaks() == []


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


@pytest.mark.parametrize("is_read_before", [True, False])
async def test_a_right_whose_key_a_thief_settles_first_goes_under_a_root_and_a_person_is_told(
    instant: Bench, is_read_before: bool
) -> None:
    """Whoever has a signer's key, and the key of an order, is as quick as its own settlement."""
    viewer = await instant.world.learner()
    order = await bought(instant, viewer)
    await instant.record()
    wallet = await linked(instant, viewer)
    assert (await claimed(instant, viewer, order, wallet)).refusal is None
    [[leaf_id, key, token_id, expiry, commitment]] = await instant.rows(
        "SELECT id, order_key, token_id, expiry, commitment FROM leaf WHERE is_superseded = 0"
    )
    told = {"to": THIEF, "tokenId": token_id, "expiry": str(expiry), "commitment": f"0x{commitment.hex()}"}
    instant.chain.settled[key] = False
    instant.chain.told_by_others("Settled", f"0x{key.hex()}", told)
    if is_read_before:
        await indexing.look(instant.hub)
    await later(instant)
    assert await ways(instant) == [(0, 1, "CONFIRMED"), (1, 1, "CONFIRMED"), (0, 1, "CONFIRMED")]
    assert instant.chain.settled == {key: True}, "what the thief has made of it is revoked"
    [(holder, former, chain_status)] = await instant.rows(
        "SELECT l.holder, l.id, o.chain_status FROM leaf l JOIN order_ o ON o.id = l.order_id WHERE is_superseded = 0"
    )
    assert (holder, chain_status) == (wallet.address, "CONFIRMED")
    assert former != leaf_id
    [found] = await instant.breaks()
    assert (found.kind, found.subject_id, found.order_id) == ("CHAIN", leaf_id, order.id)
    assert await instant.rows("SELECT kind FROM task") == []
    told_of = await instant.rows("SELECT to_state FROM event WHERE stream = 'hub' AND kind = 'ORDER_RECORDED'"
                                 " ORDER BY seq")  # fmt: skip
    assert [state for (state,) in told_of][-2:] == ["SUBMITTED", "CONFIRMED"]


async def test_a_settlement_is_its_leafs_by_all_that_it_says(embedded: Bench) -> None:
    instant = replace(embedded, settles_at_once=True)
    await settled(instant)
    async with instant.store.reading() as rx:
        [event] = await rx.chain_log.told(instant.chain.chain_id, ["Settled"])
        batch_id = await rx.chain_log.batch_of(bytes.fromhex(event.subject[2:]))
        batch = await rx.anchors.batch(batch_id or "")
        assert batch is not None
        [leaf] = await rx.anchors.leaves_of_batch(batch.id)
        assert await is_as_meant(rx, event, batch, leaf)
        other = {"to": THIEF, "tokenId": "7", "expiry": "9", "commitment": "0x" + "00" * 32}
        for name, word in other.items():
            assert not await is_as_meant(rx, replace(event, args={**event.args, name: word}), batch, leaf), name
    assert await found_wrong(instant) == []

    async def as_a_thief_would(tx: Tx) -> None:
        await tx.run(update(chain_event).where(chain_event.c.name == "Settled").values(args=json.dumps(other)))

    await instant.store.write(as_a_thief_would)
    assert await found_wrong(instant) == [f"settlement {batch.id}: the contract holds another right than its leaf"]


async def found_wrong(bench: Bench) -> list[str]:
    """By `hub verify`."""
    return [line for check in await verified(bench.hub, with_chain=False) for line in check.wrong]


async def test_what_was_bought_on_chain_is_no_leaf_of_a_batch_and_ends_by_its_own_key(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bought(bench, viewer)
    key = bytes([0x11]) * 32

    async def by_the_splitter(tx: Tx) -> None:
        paid = {"channel": "stablecoin", "channel_ref": f"0x{key.hex()}", "method": f"permit:{THIEF}"}
        await tx.run(update(payment_attempt).values(**paid))

    await bench.store.write(by_the_splitter)
    bench.chain.settled[key] = False
    told = {"to": THIEF, "tokenId": await bench.one("SELECT token_id FROM leaf"), "expiry": str(NO_END)}
    bench.chain.told_by_others("Settled", f"0x{key.hex()}", told)
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


async def test_the_first_leaf_of_a_purchase_has_its_key_in_whatever_order_rows_are_read(instant: Bench) -> None:
    """The payer's wallet has the token, whomever the right was claimed for since."""
    instant.channel.code, key = "stablecoin", bytes([0x11]) * 32
    instant.channel.then("create", lambda attempt: replace(charged(attempt), channel_ref=f"0x{key.hex()}"))
    viewer = await instant.world.learner()
    answer = await instant.buy(viewer, await instant.world.listing(), channel="stablecoin", method=f"permit:{THIEF}")
    assert isinstance(answer.value, PaymentAttempt)
    order = await instant.order_now(answer.value.order_id)
    await claimed(instant, viewer, order, await linked(instant, viewer))
    assert await keys(instant) == [{1: key}] * 2


async def test_a_leaf_that_another_has_taken_over_from_is_not_settled_by_itself(instant: Bench) -> None:
    viewer = await instant.world.learner()
    order = await bought(instant, viewer)
    first, second = await linked(instant, viewer, 1), await linked(instant, viewer, 2)
    await claimed(instant, viewer, order, first)
    await claimed(instant, viewer, order, second, "claim-2")
    assert await keys(instant) == [{3: await instant.one("SELECT order_key FROM leaf WHERE generation = 3")}] * 2


async def keys(bench: Bench) -> list[dict[int, bytes]]:
    """The key of each leaf that has one, by its generation, with the rows read in one order and in the other."""
    async with bench.store.reading() as rx:
        leaves = [leaf async for leaf in rx.anchors.all_leaves(10)]
        generations = {leaf.id: leaf.generation for leaf in leaves}
        read = [await settlements.keys_of(bench.hub, rx, rows) for rows in (leaves, leaves[::-1])]
    return [{generations[leaf_id]: key for leaf_id, key in found.items()} for found in read]


async def test_the_token_of_a_settled_right_is_its_holders_until_it_is_burned(instant: Bench) -> None:
    await settled(instant)
    held = "SELECT t.claimed_at_us > 0, t.burned_at_us > 0 FROM claimed_token t JOIN leaf l ON l.id = t.leaf_id"
    assert await instant.rows(held) == [(True, None)]
    async with instant.store.reading() as rx:
        [leaf] = [leaf async for leaf in rx.anchors.all_leaves(10) if not leaf.is_superseded]
    burn = {"_from": leaf.holder, "_to": NOBODY, "_id": leaf.token_id, "_value": "1"}
    instant.chain.told_by_others("TransferSingle", THIEF, burn)
    await indexing.look(instant.hub)
    assert await instant.rows(held) == [(True, True)]
    instant.chain.fork()
    while await indexing.look(instant.hub):
        pass
    assert await instant.rows(held) == [(True, None)]
    told = await instant.rows(
        "SELECT to_state FROM event WHERE stream = 'hub' AND kind = 'ENTITLEMENT_TOKEN_CHANGED' ORDER BY seq"
    )
    assert told == [("CLAIMED",), ("BURNED",), ("CLAIMED",)]
    for _ in ("nothing", "the former leaf's end"):
        instant.chain.mined.popitem()
    instant.chain.fork()
    while await indexing.look(instant.hub):
        pass
    assert await instant.rows(held) == []
