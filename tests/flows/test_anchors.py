"""B and SC from the flows' side: every request's end is recorded once, and the order shows how far its record is."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from hub.domain import anchors as tree
from hub.domain.money import Money
from hub.domain.orders import ChainStatus, OrderStatus
from hub.flows import anchors, notices, orders, purchase, records, root_audit
from hub.ports import ChainReceipt, ChainRefused, ChainUnavailable, SignedTransaction
from hub.store.transactions import LostRow
from tests.flows.benches import Bench
from tests.flows.scripted import DECLINED, NOT_SENT, VOIDED, authorised, charged, delivery
from tests.world import SECOND_US


async def leaves(bench: Bench) -> list[tuple[int, bool, bool]]:
    """(generation, is superseded, carries a right) of all leaves."""
    rows = await bench.rows("SELECT generation, is_superseded, token_id FROM leaf ORDER BY order_id, generation")
    return [(generation, bool(superseded), token != "0") for generation, superseded, token in rows]


async def gathered(bench: Bench) -> None:
    await bench.store.stamp()
    await purchase.record_on_chain(bench.hub)


async def test_batch_holds_its_leaves_in_the_order_of_the_log_under_one_root(bench: Bench) -> None:
    listing = await bench.world.listing()
    for n in range(3):
        await bench.buy(await bench.world.learner(), listing, f"key-{n}")
    await gathered(bench)
    async with bench.store.reading() as rx:
        [batch] = await rx.anchors.batches("", 10)
        held = await rx.anchors.leaves_of_batch(batch.id)
    assert [leaf.index for leaf in held] == [0, 1, 2]
    assert anchors.planted(held, bench.vault).root == batch.root
    assert await bench.rows("SELECT DISTINCT chain_status FROM order_") == [("QUEUED",)]
    await bench.work()
    assert bench.chain.roots == {batch.root: 3}
    assert await bench.rows("SELECT DISTINCT chain_status FROM order_") == [("CONFIRMED",)]


async def test_batches_that_are_no_longer_what_was_anchored_are_told_of_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_audit, "PAGE", 2)
    for n in range(3):
        await bench.buy(await bench.world.learner(), await bench.world.listing(), f"key-{n}")
        await bench.record()
    first, second, third = [id_ for (id_,) in await bench.rows("SELECT id FROM anchor_batch ORDER BY id")]
    assert [await root_audit.look(bench.hub, after) for after in ("", second)] == [second, ""]
    assert await bench.rows("SELECT subject_id FROM break_") == []

    async def changing(tx: Any) -> None:
        await tx.run(text("UPDATE leaf SET expiry = expiry - 1 WHERE batch_id = :id"), id=first)
        await tx.run(text("UPDATE leaf SET batch_id = NULL WHERE batch_id = :id"), id=third)

    await bench.store.write(changing)
    for after in ("", second, "", second):
        await root_audit.look(bench.hub, after)
    told = await bench.rows("SELECT kind, subject_id FROM break_ ORDER BY subject_id")
    assert told == [("CHAIN", first), ("CHAIN", third)]


async def test_opening_yields_the_commitment_of_request_and_result(bench: Bench) -> None:
    answer = await bench.buy(await bench.world.learner(), await bench.world.listing())
    assert answer.value is not None
    async with bench.store.reading() as rx:
        [leaf] = [leaf async for leaf in rx.anchors.all_leaves(10)]
        sealed = await rx.salts.of_leaves([leaf.id])
    request, result = json.loads(leaf.request), json.loads(leaf.result)
    assert (request["amountMinor"], request["currency"], result["state"]) == ("9900", "CNY", "CHARGED")
    salt = records.salt_of(leaf, sealed[leaf.id], bench.vault)
    assert salt is not None
    assert records.commitment(request, result, salt, bench.vault) == leaf.commitment
    assert leaf.expiry == tree.NO_END


async def test_two_gatherers_at_once_make_one_batch(bench: Bench) -> None:
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    await bench.store.stamp()
    told = await asyncio.gather(
        purchase.record_on_chain(bench.hub), purchase.record_on_chain(bench.rival().hub), return_exceptions=True
    )
    assert all(not isinstance(one, BaseException) or isinstance(one, LostRow | AssertionError) for one in told)
    assert await bench.one("SELECT count(*) FROM anchor_batch") == 1
    assert await bench.rows("SELECT kind FROM task") == [("anchor_batch",)]


async def test_sales_go_on_while_the_chain_is_away_and_anchoring_catches_up(bench: Bench) -> None:
    bench.chain.is_away = True
    listing = await bench.world.listing()
    for n in range(3):
        await bench.buy(await bench.world.learner(), listing, f"key-{n}")
        await gathered(bench)
        await bench.work()
        bench.clock.pass_us(SECOND_US)
    assert await bench.rows("SELECT DISTINCT status, chain_status FROM order_") == [("PAID", "QUEUED")]
    assert bench.chain.roots == {}
    bench.chain.is_away = False
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert sorted(bench.chain.roots.values()) == [1, 1, 1]
    assert await bench.rows("SELECT DISTINCT chain_status FROM order_") == [("CONFIRMED",)]
    assert await bench.rows("SELECT kind FROM task") == []


async def test_signed_bytes_are_sent_again_after_a_crash_between_commit_and_send(bench: Bench) -> None:
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    await gathered(bench)
    send, crashed = bench.chain.send, []

    async def crash(transaction: SignedTransaction) -> None:
        crashed.append(transaction.hash)
        raise asyncio.CancelledError

    bench.chain.send = crash  # type: ignore[method-assign]  # this test's own fault in its place
    [task] = await bench.claimed()
    with pytest.raises(asyncio.CancelledError):
        await anchors.anchor(bench.hub, task)
    assert await bench.rows("SELECT state FROM chain_transaction") == [("SIGNED",)]
    assert await bench.rows("SELECT chain_status FROM order_") == [("SUBMITTED",)]
    bench.chain.send = send  # type: ignore[method-assign]  # what it was before
    bench.clock.pass_us(45 * SECOND_US)
    await bench.rival().work()
    assert bench.chain.sent == crashed
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]


async def test_root_that_is_there_already_counts_as_success(bench: Bench) -> None:
    """Its transaction was lost with its row: signing another is refused, and nothing is sent."""
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    await gathered(bench)
    async with bench.store.reading() as rx:
        [batch] = await rx.anchors.batches("", 10)
    bench.chain.anchored_by_others(batch.root, batch.count)

    async def refuse(*_: object) -> SignedTransaction:
        raise ChainRefused("already anchored")

    bench.chain.sign_anchor = refuse  # type: ignore[method-assign]  # this test's own fault in its place
    await bench.work()
    assert bench.chain.sent == []
    assert await bench.rows("SELECT state FROM anchor_batch") == [("CONFIRMED",)]
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]
    assert await bench.rows("SELECT kind FROM break_") == []


async def test_transaction_in_no_block_is_sent_again_with_the_same_bytes(bench: Bench) -> None:
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    bench.chain.holds_back = True
    await bench.record()
    assert await bench.rows("SELECT chain_status FROM order_") == [("SUBMITTED",)]
    bench.chain.holds_back = False
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert len(bench.chain.sent) == 2
    assert len(set(bench.chain.sent)) == 1
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]


async def test_refused_anchor_shows_failed_with_one_break_and_goes_on_trying(bench: Bench) -> None:
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    send = bench.chain.send

    async def refuse(transaction: SignedTransaction) -> None:
        raise ChainRefused("paused")

    bench.chain.send = refuse  # type: ignore[method-assign]  # this test's own fault in its place
    await bench.record()
    for _ in range(2):
        bench.clock.pass_us(60 * SECOND_US)
        await bench.work()
    assert await bench.rows("SELECT chain_status FROM order_") == [("FAILED",)]
    assert await bench.break_kinds() == ["CHAIN"]
    bench.chain.send = send  # type: ignore[method-assign]  # what it was before
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]


async def test_anchor_that_reverted_in_its_block_is_signed_anew_once_the_contract_goes_on(bench: Bench) -> None:
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    send, chain = bench.chain.send, bench.chain

    async def revert(transaction: SignedTransaction) -> None:
        chain.mined[transaction.hash] = ChainReceipt(transaction.hash, False, 1, "0xb1", 50_000, 10**9, 1)

    chain.send = revert  # type: ignore[method-assign]  # this test's own fault in its place
    await bench.record()
    assert await bench.rows("SELECT chain_status FROM order_") == [("FAILED",)]
    assert await bench.break_kinds() == ["CHAIN"]
    chain.send = send  # type: ignore[method-assign]  # what it was before
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]
    assert await bench.rows("SELECT nonce, state FROM chain_transaction ORDER BY nonce") == [
        (0, "FAILED"), (1, "CONFIRMED"),
    ]  # fmt: skip


async def test_anchor_for_a_contract_that_another_has_followed_is_signed_anew_at_once(bench: Bench) -> None:
    """The gateway has lost its role there with the upgrade: nobody has to look at that."""
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    chain, send = bench.chain, bench.chain.send
    chain.holds_back = True
    await bench.record()
    [(former, hash_)] = await bench.rows("SELECT contract, transaction_hash FROM anchor_batch")

    async def revert_there(transaction: SignedTransaction) -> None:
        if transaction.hash != hash_:
            await send(transaction)
        else:
            chain.mined[hash_] = ChainReceipt(hash_, False, 1, "0xb1", 50_000, 10**9, 1)

    chain.send, chain.holds_back = revert_there, False  # type: ignore[method-assign]  # this test's own fault in its place
    chain.contract = "0x" + "c1" * 20
    bench.clock.pass_us(SECOND_US)
    await bench.record()
    assert await bench.rows("SELECT chain_status FROM order_") == [("CONFIRMED",)]
    [(present, again)] = await bench.rows("SELECT contract, transaction_hash FROM anchor_batch")
    assert (present, former, again != hash_) == (chain.contract, "0x" + "c0" * 20, True)
    assert await bench.break_kinds() == []


async def two_batches_signed(bench: Bench) -> list[SignedTransaction]:
    """Two batches whose transactions are signed and kept, and sent to nobody yet: theirs, in the order of nonces."""

    async def lose(transaction: SignedTransaction) -> None:
        raise ChainUnavailable("away")

    send, bench.chain.send = bench.chain.send, lose  # type: ignore[method-assign]  # for a while
    for n in range(2):
        await bench.buy(await bench.world.learner(), await bench.world.listing(), f"key-{n}")
        await bench.record()
    bench.chain.send = send  # type: ignore[method-assign]  # its own again
    rows = await bench.rows("SELECT hash, raw, nonce, sender FROM chain_transaction ORDER BY nonce")
    signed = [SignedTransaction(*row) for row in rows]
    assert [transaction.nonce for transaction in signed] == [0, 1]
    return signed


async def states_of_batches(bench: Bench) -> list[tuple[str, int]]:
    """(state, how many Breaks) of each batch, oldest first."""
    return await bench.rows(
        "SELECT state, (SELECT count(*) FROM break_ WHERE subject_id = anchor_batch.id) FROM anchor_batch"
        " ORDER BY first_position"
    )


async def test_refusal_of_an_earlier_nonce_is_blamed_on_its_own_batch_and_the_later_one_waits(bench: Bench) -> None:
    first, second = await two_batches_signed(bench)
    send, asked = bench.chain.send, []

    async def refuse_the_first(transaction: SignedTransaction) -> None:
        asked.append(transaction.nonce)
        if transaction.hash == first.hash:
            raise ChainRefused("intrinsic gas too low")
        await send(transaction)

    bench.chain.send = refuse_the_first  # type: ignore[method-assign]  # this chain's own no
    bench.clock.pass_us(SECOND_US)
    tasks = {task.key: task for task in await bench.claimed()}
    earlier, later = (tasks[key] for key in sorted(tasks, key=lambda key: int(key.partition("-")[0])))
    assert await bench.run(later) == bench.clock.now_us() + SECOND_US
    assert await states_of_batches(bench) == [("SUBMITTED", 0), ("SUBMITTED", 0)]
    await bench.run(earlier)
    assert await states_of_batches(bench) == [("FAILED", 1), ("SUBMITTED", 0)]
    assert asked == [0, 0], "what lies behind a gap is not sent"
    bench.chain.send = send  # type: ignore[method-assign]  # it takes everything again
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    assert await states_of_batches(bench) == [("CONFIRMED", 1), ("CONFIRMED", 0)]
    assert list(bench.chain.mined) == [first.hash, second.hash]


async def test_nonce_that_another_transaction_took_holds_up_nobody_but_its_own_batch(bench: Bench) -> None:
    first, second = await two_batches_signed(bench)
    send, chain = bench.chain.send, bench.chain
    chain.signers["0xforeign"] = chain.sender
    chain.mined["0xforeign"] = ChainReceipt("0xforeign", True, 1, "0xb1", 50_000, 10**9, 1)

    async def taken(transaction: SignedTransaction) -> None:
        if transaction.hash == first.hash:
            raise ChainRefused("nonce too low")
        await send(transaction)

    chain.send = taken  # type: ignore[method-assign]  # as a node whose account somebody else used
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await states_of_batches(bench) == [("FAILED", 1), ("CONFIRMED", 0)]
    assert list(chain.mined) == ["0xforeign", second.hash]


async def test_a_batch_closes_when_it_has_so_many_orders_whatever_its_age(bench: Bench) -> None:
    hub = replace(bench.hub, batch_after_ms=60_000, batch_size=2)
    listing = await bench.world.listing()
    for n in range(3):
        await bench.buy(await bench.world.learner(), listing, f"key-{n}")
    await bench.store.stamp()
    while (again_at_us := await anchors.gather(hub)) == bench.clock.now_us():
        pass
    assert again_at_us == bench.clock.now_us() + 60 * SECOND_US
    assert await bench.rows("SELECT count FROM anchor_batch") == [(2,)]


async def test_a_batch_closes_when_its_rights_were_sold_for_enough_in_one_currency(bench: Bench) -> None:
    listing = await bench.world.listing()
    assert listing.price is not None
    twice = Money(2 * listing.price.amount_minor, listing.price.currency)
    hub = replace(bench.hub, batch_after_ms=60_000, batch_values=(Money(1, "JPY"), twice))
    await bench.buy(await bench.world.learner(), listing, "key-0")
    await bench.waiting(told=DECLINED)
    await bench.store.stamp()
    assert await anchors.gather(hub) == bench.clock.now_us() + 60 * SECOND_US, "what was declined was not sold"
    await bench.buy(await bench.world.learner(), listing, "key-1")
    await bench.store.stamp()
    assert await anchors.gather(hub) == bench.clock.now_us()
    assert await bench.rows("SELECT count FROM anchor_batch") == [(3,)]


# ---- which leaf stands for an order ----------------------------------------------------------------------------------


async def test_older_batch_does_not_say_that_the_right_is_recorded(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, _ = await bench.waiting(viewer, told=DECLINED)
    bench.chain.holds_back = True
    await bench.record()
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.SUBMITTED
    await bench.pay(viewer, order, key="pay-2")
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.QUEUED
    bench.chain.holds_back = False
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.QUEUED, "its right is in no batch yet"
    await bench.record()
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.CONFIRMED
    told = await bench.rows(
        f"SELECT to_state FROM event WHERE stream = 'hub' AND kind = 'ORDER_RECORDED' AND subject = '{order.id}'"
        " ORDER BY position"
    )
    assert told == [("SUBMITTED",), ("SUBMITTED",), ("CONFIRMED",)]


async def test_surplus_money_does_not_unsettle_the_record_of_the_right(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    await bench.pay(viewer, order, key="pay-2", channel="other")
    await bench.record()
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", first.key, charged(first)))
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.CONFIRMED
    await bench.record()
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.CONFIRMED
    assert await leaves(bench) == [(1, True, False), (2, False, True), (3, False, False)]


async def test_later_end_of_one_request_replaces_its_leaf_and_revokes_it(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=DECLINED)
    await bench.record()
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
    assert await leaves(bench) == [(1, True, False), (2, False, True)]
    await bench.record()
    [declined, _] = bench.chain.roots
    assert bench.chain.revoked == {(declined, 0)}
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.CONFIRMED


@pytest.mark.parametrize("late", [charged, lambda _attempt: VOIDED])
async def test_word_after_an_unsent_requests_order_was_closed_replaces_its_leaf(bench: Bench, late: object) -> None:
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=NOT_SENT)
    await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="cancel-1")
    assert await leaves(bench) == [(1, False, False)]
    words = late(attempt)  # type: ignore[operator]  # one of the two above
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, words))
    assert await leaves(bench) == [(1, True, False), (2, False, False)]
    assert (await bench.order_now(order.id)).status is OrderStatus.CANCELED


async def test_request_that_ended_twice_with_life_between_has_one_standing_leaf(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=DECLINED)
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, authorised(attempt)))
    await notices.receive(bench.hub, "sandbox", delivery("evt-2", attempt.key, charged(attempt)))
    assert await leaves(bench) == [(1, True, False), (2, False, True)]


async def test_superseded_leaf_in_no_batch_yet_is_revoked_after_its_batch(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=DECLINED)
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
    await bench.work()
    assert bench.chain.revoked == set()
    await bench.record()
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}
    assert await bench.rows("SELECT kind FROM task") == []
