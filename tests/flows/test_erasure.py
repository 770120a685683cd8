"""Erasing a person: nothing that the hub still holds gives a commitment again; books, log and rights stand."""

import json

from hub.domain.refusals import NotFound
from hub.domain.requests import Answer
from hub.flows import erasure, records
from hub.flows.anchors import planted
from hub.flows.records import salt_of
from tests.flows.benches import Bench
from tests.flows.test_claims import bought, claimed
from tests.flows.test_wallets import linked
from tests.world import operator


async def salts(bench: Bench) -> list[bytes | None]:
    """The salt of every leaf, as far as it can be had."""
    async with bench.store.reading() as rx:
        leaves = [leaf async for leaf in rx.anchors.all_leaves(10)]
        sealed = await rx.salts.of_leaves([leaf.id for leaf in leaves])
    return [salt_of(leaf, sealed.get(leaf.id), bench.vault) for leaf in leaves]


async def test_after_erasure_no_commitment_can_be_made_again(bench: Bench) -> None:
    mine, theirs = await bench.world.learner(), await bench.world.learner()
    order = await bought(bench, mine, key="mine")
    await claimed(bench, mine, order, await linked(bench, mine))
    await bought(bench, theirs, key="theirs")
    await bench.record()
    assert mine.user_id is not None
    answer = await erasure.erase(bench.hub, operator(), user_id=mine.user_id)
    assert (answer.refusal, answer.is_replay) == (None, False)
    assert sorted(salt is None for salt in await salts(bench)) == [False, True, True]
    assert await bench.rows(f"SELECT DISTINCT request, result FROM leaf WHERE order_id = '{order.id}'") == [("", "")]
    for table in ("salt", "person_key", "wallet", "wallet_challenge"):
        assert await bench.rows(f"SELECT user_id FROM {table} WHERE user_id = '{mine.user_id}'") == []
    # What the orders' rows tell still, words that nobody erased, gives other hashes without the salt.
    async with bench.store.reading() as rx:
        leaves = [leaf async for leaf in rx.anchors.all_leaves(10) if leaf.order_id == order.id]
    [attempt] = await bench.attempts(order.id)
    for leaf in leaves:
        request, result = records.request_of(order, attempt), records.result_of(order, attempt)
        for guess in (b"\0" * 32, leaf.commitment, leaf.order_key):
            assert records.commitment(request, result, guess, bench.vault) != leaf.commitment


async def test_other_peoples_leaves_and_all_roots_stand(bench: Bench) -> None:
    mine, theirs = await bench.world.learner(), await bench.world.learner()
    await bought(bench, mine, key="mine")
    await bought(bench, theirs, key="theirs")
    await bench.record()
    assert mine.user_id is not None
    await erasure.erase(bench.hub, operator(), user_id=mine.user_id)
    async with bench.store.reading() as rx:
        for batch in await rx.anchors.batches("", 10):
            assert planted(await rx.anchors.leaves_of_batch(batch.id), bench.vault).root == batch.root
        [leaf] = [leaf async for leaf in rx.anchors.all_leaves(10) if leaf.request]
        sealed = await rx.salts.of_leaves([leaf.id])
    salt = salt_of(leaf, sealed[leaf.id], bench.vault)
    assert salt is not None
    assert records.commitment(json.loads(leaf.request), json.loads(leaf.result), salt, bench.vault) == leaf.commitment
    await bench.assert_books_fold()


async def test_erasing_again_changes_nothing_and_is_told_once(bench: Bench) -> None:
    viewer = await bench.world.learner()
    await bought(bench, viewer)
    assert viewer.user_id is not None
    await erasure.erase(bench.hub, operator(), user_id=viewer.user_id)
    again = await erasure.erase(bench.hub, operator(), user_id=viewer.user_id)
    assert again.is_replay
    assert await bench.one("SELECT count(*) FROM audit_entry WHERE action = 'personErase'") == 1
    assert await erasure.erase(bench.hub, operator(), user_id="usr_nobody") == Answer(refusal=NotFound("userId"))


async def test_who_buys_after_their_erasure_has_a_key_of_their_own_again(bench: Bench) -> None:
    viewer = await bench.world.learner()
    await bought(bench, viewer)
    assert viewer.user_id is not None
    await erasure.erase(bench.hub, operator(), user_id=viewer.user_id)
    await bought(bench, viewer, key="key-2")
    assert sorted(salt is None for salt in await salts(bench)) == [False, True]


async def test_copy_of_the_sealed_salt_opens_nothing_without_the_key(bench: Bench) -> None:
    viewer = await bench.world.learner()
    await bought(bench, viewer)
    [(leaf_id, sealed)] = await bench.rows("SELECT leaf_id, sealed FROM salt")
    [(wrapped,)] = await bench.rows("SELECT wrapped FROM person_key")
    assert viewer.user_id is not None
    assert len(bench.vault.open_for(wrapped, viewer.user_id, sealed, leaf_id)) == 32
    other = bench.vault.seal(b"o" * 32, f"person|{viewer.user_id}")
    for key, user_id, context in (
        (other, viewer.user_id, leaf_id), (wrapped, "usr_else", leaf_id), (wrapped, viewer.user_id, "lef_else"),
    ):  # fmt: skip
        try:
            bench.vault.open_for(key, user_id, sealed, context)
        except ValueError:
            continue
        raise AssertionError("it opened for another key, person or leaf")
