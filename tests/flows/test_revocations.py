"""Rights that ended together end on chain together, and each of them does in the end, whoever sends it."""

from typing import Any

import pytest

from hub.flows import entitlements, indexing, revocations
from hub.ports import ChainReceipt, SignedTransaction
from tests.flows.benches import Bench
from tests.world import operator

SECOND_US = 1_000_000


@pytest.fixture
async def rights(bench: Bench) -> list[str]:
    """Three, whose leaves lie in one confirmed batch."""
    listing = await bench.world.listing()
    for n in range(3):
        await bench.buy(await bench.world.learner(), listing, f"key-{n}")
    await bench.record()
    assert await bench.one("SELECT count(*) FROM anchor_batch") == 1
    return [row[0] for row in await bench.rows("SELECT id FROM entitlement ORDER BY id")]


async def end(bench: Bench, right: str) -> None:
    answer = await entitlements.revoke(
        bench.hub, operator(), entitlement_id=right, reason="a test", idempotency_key=f"end {right}"
    )
    assert answer.refusal is None


async def revocations_kept(bench: Bench) -> list[tuple[Any, ...]]:
    return await bench.rows("SELECT nonce, state FROM chain_transaction WHERE purpose LIKE 'revoke:%' ORDER BY nonce")


async def test_all_that_wait_in_one_word_end_in_one_transaction(bench: Bench, rights: list[str]) -> None:
    for right in rights:
        await end(bench, right)
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0), (root, 1), (root, 2)}
    assert await revocations_kept(bench) == [(0, "CONFIRMED")], "whatever the gateway sent before"
    assert await bench.rows("SELECT kind FROM task") == []


async def test_what_ends_while_another_is_on_its_way_goes_with_the_next(bench: Bench, rights: list[str]) -> None:
    first, *others = rights
    bench.chain.holds_back = True
    await end(bench, first)
    await bench.work()
    for right in others:
        await end(bench, right)
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await revocations_kept(bench) == [(0, "SIGNED")], "the one on its way is waited for"
    bench.chain.holds_back = False
    for _ in range(3):
        bench.clock.pass_us(SECOND_US)
        await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0), (root, 1), (root, 2)}
    assert await revocations_kept(bench) == [(0, "CONFIRMED"), (1, "CONFIRMED")]
    assert await bench.rows("SELECT kind FROM task") == []


async def test_two_workers_end_a_right_with_one_transaction(bench: Bench, rights: list[str]) -> None:
    await end(bench, rights[0])
    [task] = await bench.claimed()
    sign = bench.chain.sign_revoke

    async def overtaken(*call: Any) -> SignedTransaction:
        bench.chain.sign_revoke = sign  # type: ignore[method-assign]  # the other's own
        assert await revocations.revoke_leaf(bench.rival().hub, task) is None
        return await sign(*call)

    bench.chain.sign_revoke = overtaken  # type: ignore[method-assign]  # between our look and our commit
    assert await bench.run(task) is not None
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}
    assert await revocations_kept(bench) == [(0, "CONFIRMED")]


async def test_revocation_that_reverted_is_signed_anew_a_minute_later(bench: Bench, rights: list[str]) -> None:
    send = bench.chain.send

    async def revert(transaction: SignedTransaction) -> None:
        bench.chain.mined[transaction.hash] = ChainReceipt(transaction.hash, False, 2, "0xb2", 30_000, 10**9, 1)

    bench.chain.send = revert  # type: ignore[method-assign]  # the gateway lost its role
    await end(bench, rights[0])
    await bench.work()
    assert bench.chain.revoked == set()
    bench.chain.send = send  # type: ignore[method-assign]  # and has it again
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}
    assert await revocations_kept(bench) == [(0, "FAILED"), (1, "CONFIRMED")]


async def test_revocation_ends_once_its_block_is_read_and_begins_again_if_that_is_taken_back(
    bench: Bench, rights: list[str]
) -> None:
    """A block that goes before it is read would take the revocation with it, and nobody would know."""
    bench.chain.behind = 1
    await end(bench, rights[0])
    await bench.work()
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, 0)}
    assert await bench.rows("SELECT kind FROM task") == [(revocations.KIND,)], "nobody has read so"
    bench.chain.fork()
    bench.chain.behind = 0
    assert bench.chain.revoked == set()
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert bench.chain.revoked == {(root, 0)}
    assert await bench.rows("SELECT kind FROM task") == []
    bench.chain.fork()
    assert await indexing.look(bench.hub)
    assert await bench.rows("SELECT kind FROM task") == [(revocations.KIND,)]
