"""A right gets its wallet: one live leaf with `to`, the former one revoked afterwards, never without both."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.contracts import NOBODY
from hub.domain.entitlements import GrantState
from hub.domain.orders import ChainStatus, Order
from hub.domain.people import Viewer, Wallet
from hub.domain.refusals import InvalidInput, NotFound, StateConflict
from hub.domain.requests import Answer, IdempotencyConflict
from hub.flows import claims, entitlements, wallets
from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.flows.test_wallets import linked
from tests.wallets import account
from tests.world import SECOND_US, World, operator


async def bought(bench: Bench, viewer: Viewer, *, price_minor: int = 9900, key: str = "key-1") -> Order:
    answer = await bench.buy(viewer, await bench.world.listing(price_minor=price_minor), key)
    assert answer.value is not None, answer.refusal
    order = answer.value if isinstance(answer.value, Order) else await bench.order_now(answer.value.order_id)
    assert order.status == "PAID"
    return order


async def right_of(bench: Bench, order: Order) -> str:
    async with bench.store.reading() as rx:
        right = await rx.entitlements.of(order.user_id, order.course_id)
    assert right is not None
    return right.id


async def claimed(bench: Bench, viewer: Viewer, order: Order, wallet: Wallet, key: str = "claim-1") -> Answer[Any]:
    return await claims.claim(
        bench.hub, viewer, entitlement_id=await right_of(bench, order), wallet_id=wallet.id, idempotency_key=key
    )


async def rights(bench: Bench) -> list[tuple[str, bool]]:
    """(holder, superseded) of each leaf that carries a right, in the order in which they were made."""
    rows = await bench.rows(
        "SELECT holder, is_superseded FROM leaf WHERE token_id <> '0' ORDER BY order_id, generation"
    )
    return [(holder, bool(superseded)) for holder, superseded in rows]


@pytest.mark.parametrize("price_minor", [9900, 0])
async def test_right_without_holder_becomes_the_wallets_with_no_block_between(bench: Bench, price_minor: int) -> None:
    viewer = await bench.world.learner()
    order = await bought(bench, viewer, price_minor=price_minor)
    await bench.record()
    wallet = await linked(bench, viewer)
    answer = await claimed(bench, viewer, order, wallet)
    assert (answer.refusal, answer.is_replay) == (None, False)
    assert await rights(bench) == [(NOBODY, True), (account().address, False)]
    assert (await bench.order_now(order.id)).chain_status is ChainStatus.QUEUED
    await bench.work()
    assert bench.chain.revoked == set(), "the former leaf stands until the new one is proven"
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    former, new = bench.chain.roots
    assert bench.chain.revoked == {(former, 0)}
    assert new != former
    assert (await bench.order_now(order.id)).chain_status in (ChainStatus.CONFIRMED, ChainStatus.FINALIZED)
    assert await bench.rows("SELECT key FROM task") == []


async def test_claim_before_the_first_batch_revokes_the_former_leaf_after_both_are_there(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, wallet = await bought(bench, viewer), await linked(bench, viewer)
    await claimed(bench, viewer, order, wallet)
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}, "both lie in one batch; the former is its first"


async def test_claiming_again_does_nothing_more_by_the_same_key_or_another(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, wallet = await bought(bench, viewer), await linked(bench, viewer)
    first = await claimed(bench, viewer, order, wallet)
    for key in ("claim-1", "claim-2"):
        again = await claimed(bench, viewer, order, wallet, key)
        assert (again.refusal, again.is_replay) == (None, True)
        assert again.value is not None
        assert again.value.id == first.value.id
    assert await rights(bench) == [(NOBODY, True), (account().address, False)]
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'follow_claim'") == [("follow_claim",)]
    assert await bench.one("SELECT count(*) FROM audit_entry WHERE action = 'entitlementClaim'") == 1
    with pytest.raises(IdempotencyConflict):
        await claimed(bench, viewer, order, replace(wallet, id="wal_other"), "claim-1")


async def test_claims_from_many_processes_at_once_leave_one_live_leaf(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, wallet = await bought(bench, viewer), await linked(bench, viewer)
    entitlement_id = await right_of(bench, order)
    answers = await asyncio.gather(
        *(
            claims.claim(
                bench.rival(f"p-{n}").hub, viewer, entitlement_id=entitlement_id, wallet_id=wallet.id,
                idempotency_key=f"claim-{n}",
            )
            for n in range(8)
        )
    )  # fmt: skip
    assert all(answer.refusal is None for answer in answers)
    assert sum(not answer.is_replay for answer in answers) == 1
    assert await rights(bench) == [(NOBODY, True), (account().address, False)]


async def test_right_moves_on_to_another_wallet_of_the_same_person(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bought(bench, viewer)
    first, second = await linked(bench, viewer, 1), await linked(bench, viewer, 2)
    await claimed(bench, viewer, order, first)
    await claimed(bench, viewer, order, second, "claim-2")
    assert await rights(bench) == [(NOBODY, True), (account(1).address, True), (account(2).address, False)]
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0), (root, 1)}


async def test_right_that_goes_to_and_fro_is_stopped_for_a_day(sqlite_store: Store) -> None:
    """Each move costs the hub a leaf and a revocation on chain."""
    bench = Bench(sqlite_store, World(sqlite_store))
    viewer = await bench.world.learner()
    order = await bought(bench, viewer)
    wallets = [await linked(bench, viewer, 1), await linked(bench, viewer, 2)]
    for n in range(claims.MOVES_A_DAY):
        assert (await claimed(bench, viewer, order, wallets[n % 2], f"claim {n}")).refusal is None
    again = await claimed(bench, viewer, order, wallets[0], "one more")
    assert again.refusal == InvalidInput("entitlementId", claims.MOVED_TOO_OFTEN)
    assert len(await rights(bench)) == 1 + claims.MOVES_A_DAY
    assert (await claimed(bench, viewer, order, wallets[1], "where it is")).is_replay
    bench.clock.pass_us(claims.DAY_US)
    assert (await claimed(bench, viewer, order, wallets[0], "the next day")).refusal is None


async def test_what_is_not_theirs_is_not_there(bench: Bench) -> None:
    mine, theirs = await bench.world.learner(), await bench.world.learner()
    order, wallet = await bought(bench, mine), await linked(bench, mine)
    foreign = await linked(bench, theirs, 2)
    assert (await claimed(bench, theirs, order, foreign)).refusal == NotFound("entitlementId")
    assert (await claimed(bench, mine, order, foreign)).refusal == NotFound("walletId")
    await wallets.unlink(bench.hub, mine, wallet_id=wallet.id)
    assert (await claimed(bench, mine, order, wallet, "claim-2")).refusal == NotFound("walletId")
    assert await rights(bench) == [(NOBODY, False)]


async def test_right_that_has_ended_is_not_claimed(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, wallet = await bought(bench, viewer), await linked(bench, viewer)
    await entitlements.revoke(
        bench.hub, operator(), entitlement_id=await right_of(bench, order), reason="x", idempotency_key="k"
    )
    answer = await claimed(bench, viewer, order, wallet)
    assert answer == Answer(refusal=StateConflict("ENDED", "entitlementClaim"))
    assert await rights(bench) == [(NOBODY, False)]


async def test_ending_a_right_ends_both_leaves_of_a_claim_that_is_under_way(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, wallet = await bought(bench, viewer), await linked(bench, viewer)
    await bench.record()
    await claimed(bench, viewer, order, wallet)
    await entitlements.revoke(
        bench.hub, operator(), entitlement_id=await right_of(bench, order), reason="x", idempotency_key="k"
    )
    [grant] = await bench.grants(order.user_id, order.course_id)
    assert grant.state is GrantState.REVOKED
    await bench.work()
    [former] = bench.chain.roots
    assert bench.chain.revoked == {(former, 0)}, "the former leaf does not wait for the new one's batch"
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    assert bench.chain.revoked == {(root, 0) for root in bench.chain.roots}
    assert await bench.rows("SELECT key FROM task") == []


async def test_database_keeps_a_second_live_leaf_of_a_right_out(bench: Bench) -> None:
    await bought(bench, await bench.world.learner())

    async def double(tx: Any) -> None:
        [leaf] = [leaf async for leaf in tx.anchors.all_leaves(10)]
        await tx.anchors.add_leaf(replace(leaf, id="lef_2"))

    with pytest.raises(Exception, match=r"(?i)unique"):
        await bench.store.write(double)
    assert await rights(bench) == [(NOBODY, False)]
