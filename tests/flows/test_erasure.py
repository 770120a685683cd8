"""Erasing a person: nothing that the hub still holds gives a commitment again; books, log and rights stand."""

import base64
import json

from hub.domain.refusals import NotFound
from hub.domain.requests import Answer
from hub.flows import erasure, records
from hub.flows.anchors import planted
from hub.flows.records import salt_of
from hub.store.metadata import metadata
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


async def test_06_26_no_column_of_any_table_holds_a_salt_after_erasure(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bought(bench, viewer)
    await claimed(bench, viewer, order, await linked(bench, viewer))
    await bench.record()
    known = [salt for salt in await salts(bench) if salt is not None]
    assert [len(salt) for salt in known] == [32, 32]
    [(commitment,), *_] = await bench.rows("SELECT commitment FROM leaf")
    assert await places_of(bench, bytes(commitment)) == {("leaf", "commitment")}, "what is there is found"
    assert viewer.user_id is not None
    await erasure.erase(bench.hub, operator(), user_id=viewer.user_id)
    assert await salts(bench) == [None, None]
    for salt in known:
        assert await places_of(bench, salt) == set()


def test_a_salt_is_seen_in_whatever_it_was_written() -> None:
    salt = bytes(range(200, 232))
    for text in (salt.hex(), salt.hex().upper(), f'{{"salt": "0x{salt.hex()}"}}'):
        for before in ("", "x", "xy"):
            wrapped = (before + text).encode()
            for found in (wrapped, base64.b64encode(wrapped), base64.urlsafe_b64encode(wrapped).rstrip(b"=")):
                assert is_in(found, salt)
                assert not is_in(found, bytes(32))
    for before in (b"", b"x", b"xy"):
        assert is_in(before + salt, salt)
        assert is_in(base64.urlsafe_b64encode(before + salt).decode(), salt)


async def places_of(bench: Bench, secret: bytes) -> set[tuple[str, str]]:
    """Table and column of each value that holds it."""
    found = set()
    for name, table in metadata.tables.items():
        for row in await bench.rows(f"SELECT {', '.join(table.columns.keys())} FROM {name}"):
            found |= {(name, column) for column, value in zip(table.columns.keys(), row, strict=True)
                      if is_in(value, secret)}  # fmt: skip
    return found


def is_in(value: object, secret: bytes) -> bool:
    """Raw, in hexadecimal digits, or either of them somewhere in base64."""
    octets = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    plain = (secret, secret.hex().encode(), secret.hex().upper().encode())
    return any(form in octets for form in plain) or any(
        in_base64(form, place) in octets.translate(URL_SAFE) for form in plain for place in range(3)
    )


URL_SAFE = bytes.maketrans(b"+/", b"-_")


def in_base64(form: bytes, place: int) -> bytes:
    """Those digits of it that nothing before or behind can change, after so many bytes of a group of three."""
    digits = base64.urlsafe_b64encode(bytes(place) + form)
    begin, end = -(-8 * place // 6), 8 * (place + len(form)) // 6
    return digits[begin:end]


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
