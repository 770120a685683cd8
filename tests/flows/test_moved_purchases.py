"""Rights that were bought on chain and have moved on, to another wallet or person: they fall with their purchase."""

from dataclasses import replace

import pytest

from hub.domain.orders import Order
from hub.domain.people import LEARNER_SCOPES, Viewer, ViewerKind
from hub.flows import transfers
from hub.flows.transfers import Recipient
from tests.flows.benches import Bench
from tests.flows.test_claims import claimed
from tests.flows.test_claims import right_of as right_id_of
from tests.flows.test_late_settlements import KEY, paid_on_chain, read, revoked_by_others, right_of
from tests.flows.test_wallets import linked
from tests.wallets import account
from tests.world import SECOND_US, operator


@pytest.fixture
async def moved(bench: Bench) -> Order:
    """Paid on chain, and claimed for another wallet before it had a batch."""
    order = await paid_on_chain(bench)
    buyer = buyer_of(order)
    assert (await claimed(bench, buyer, order, await linked(bench, buyer))).refusal is None
    return order


def buyer_of(order: Order) -> Viewer:
    return Viewer(ViewerKind.USER, user_id=order.user_id, scopes=LEARNER_SCOPES)


async def leaves(bench: Bench) -> list[tuple[bool, bool | None]]:
    """Whether it was superseded, and whether its batch is a settlement, of each leaf that carries the right."""
    rows = await bench.rows(
        "SELECT l.is_superseded, b.is_settlement FROM leaf l LEFT JOIN anchor_batch b ON b.id = l.batch_id "
        "WHERE l.token_id <> '0' ORDER BY l.generation"
    )
    return [(bool(over), None if alone is None else bool(alone)) for over, alone in rows]


async def in_batches(bench: Bench) -> None:
    """What was bought by itself, and then the rest under a root."""
    for _ in range(2):
        await bench.record()


async def later(bench: Bench) -> None:
    for _ in range(4):
        await bench.record()
        await read(bench)
        bench.clock.pass_us(SECOND_US)


async def test_a_right_that_was_claimed_for_another_wallet_falls_with_the_purchase_that_others_revoke(
    bench: Bench, moved: Order
) -> None:
    await in_batches(bench)
    assert await leaves(bench) == [(True, True), (False, False)]
    await revoked_by_others(bench, moved)
    state, _, ended_by = await right_of(bench, moved)
    assert (state, len(ended_by)) == ("REVOKED", 1)
    await later(bench)
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}, "its leaf under a root has ended too"
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'revoke_leaf'") == []


async def test_it_stands_again_on_a_new_leaf_where_the_chain_takes_that_back_and_falls_with_it_again(
    bench: Bench, moved: Order
) -> None:
    await in_batches(bench)
    await revoked_by_others(bench, moved)
    bench.chain.fork()
    bench.chain.settled[bytes.fromhex(KEY[2:])] = False
    await read(bench)
    assert await right_of(bench, moved) == ("ACTIVE", set(), set())
    assert [over for over, _ in await leaves(bench)] == [True, True, False]
    await in_batches(bench)
    bench.chain.told_by_others("OrderRevoked", KEY, {"orderKey": KEY})
    await read(bench)
    assert (await right_of(bench, moved))[0] == "REVOKED"


async def test_a_right_whose_purchase_was_revoked_and_was_not_before_its_batch_falls_with_it_after(
    embedded: Bench,
) -> None:
    """The first revocation is taken back before there is a batch, and leaves a right on a leaf under a root."""
    bench, order = embedded, await paid_on_chain(embedded)
    await revoked_by_others(bench, order)
    assert (await right_of(bench, order))[0] == "REVOKED"
    bench.chain.fork()
    await read(bench)
    assert await right_of(bench, order) == ("ACTIVE", set(), set())
    await in_batches(bench)
    assert await leaves(bench) == [(True, True), (False, False)]
    bench.chain.told_by_others("OrderRevoked", KEY, {"orderKey": KEY})
    await read(bench)
    assert (await right_of(bench, order))[0] == "REVOKED"


async def test_a_right_that_was_handed_on_is_held_back_with_its_purchase(embedded: Bench) -> None:
    bench, order = embedded, await paid_on_chain(embedded)
    bench.chain.told_by_others("Settled", KEY, {})
    await read(bench)
    taker = await bench.world.learner()
    await linked(bench, taker, 2)
    assert (await transfers.set_policy(
        bench.hub, operator(), course_id=order.course_id, is_transferable=True
    )).refusal is None  # fmt: skip
    right_id = await right_id_of(bench, order)
    given = await transfers.transfer(
        bench.hub, buyer_of(order), entitlement_id=right_id, to=Recipient(account(2).address), idempotency_key="t-1"
    )
    assert given.refusal is None
    theirs = replace(order, user_id=str(taker.user_id))
    bench.chain.fork()
    await read(bench)
    assert (await right_of(bench, theirs))[0] == "SUSPENDED"
    bench.chain.told_by_others("Settled", KEY, {})
    await read(bench)
    assert (await right_of(bench, theirs))[0] == "ACTIVE"
