"""What may exist once at a time is the database's word: one live attempt, one live grant, one open Break."""

import asyncio
from dataclasses import replace

import pytest

from hub.domain.entitlements import revoked
from hub.domain.payments import LIVE, AttemptState, PaymentAttempt
from hub.domain.reconciliation import Break, BreakKind, BreakState
from hub.store.transactions import Store, Tx
from tests.world import World


async def insert(tx: Tx, attempt: PaymentAttempt) -> bool:
    return await tx.payments.insert(attempt)


async def move(tx: Tx, attempt: PaymentAttempt, state: AttemptState) -> PaymentAttempt:
    return await tx.payments.update(replace(attempt, state=state))


async def test_of_20_attempts_at_once_one_is_live(store: Store, world: World) -> None:
    order = await world.order()
    attempts = [world.attempt(order, number) for number in range(1, 21)]
    answers = await asyncio.gather(*(store.write(insert, attempt) for attempt in attempts))
    assert sorted(answers) == [False] * 19 + [True]
    async with store.reading() as rx:
        assert await rx.payments.of_order(order.id) == [attempts[answers.index(True)]]


@pytest.mark.parametrize("state", sorted(LIVE))
async def test_every_live_state_holds_the_place(store: Store, world: World, state: AttemptState) -> None:
    order = await world.order()
    assert await store.write(insert, world.attempt(order, 1, state))
    assert not await store.write(insert, world.attempt(order, 2))


async def test_an_attempt_that_ended_gives_the_place_free(store: Store, world: World) -> None:
    order = await world.order()
    first = world.attempt(order, 1)
    await store.write(insert, first)
    await store.write(move, first, AttemptState.DECLINED)
    assert await store.write(insert, world.attempt(order, 2))
    async with store.reading() as rx:
        assert [attempt.state for attempt in await rx.payments.of_order(order.id)] == ["DECLINED", "SUBMITTED"]


async def test_of_20_grants_of_one_source_at_once_one_is_live(store: Store, world: World) -> None:
    order = await world.order()
    right = world.right(order.user_id, order.course_id)

    async def grant(tx: Tx) -> bool:
        held = await tx.entitlements.touch(right)
        return await tx.entitlements.add_grant(world.grant(held, order.id))

    assert sorted(await asyncio.gather(*(store.write(grant) for _ in range(20)))) == [False] * 19 + [True]
    async with store.reading() as rx:
        entitlement = await rx.entitlements.of(order.user_id, order.course_id)
        assert entitlement is not None
        assert entitlement.version == 20
        assert len(await rx.entitlements.grants(entitlement.id)) == 1


async def test_a_revoked_grant_gives_the_place_free_and_another_source_never_lacked_it(
    store: Store, world: World
) -> None:
    order = await world.order()
    right = world.right(order.user_id, order.course_id)
    first = world.grant(right, order.id)

    async def unit(tx: Tx) -> None:
        await tx.entitlements.touch(right)
        assert await tx.entitlements.add_grant(first)
        assert await tx.entitlements.add_grant(world.grant(right, "ord_other"))
        assert not await tx.entitlements.add_grant(world.grant(right, order.id))
        await tx.entitlements.update_grant(revoked(first, "refund"))
        assert await tx.entitlements.add_grant(world.grant(right, order.id))

    await store.write(unit)


async def test_of_10_breaks_at_once_one_is_open(store: Store, world: World) -> None:
    async def open_break(tx: Tx) -> bool:
        id_ = world.draw().id("brk")
        return await tx.breaks.open(Break(id_, BreakKind.AMOUNT, "pat_1", None, BreakState.OPEN, "100 CNY more", 0))

    assert sorted(await asyncio.gather(*(store.write(open_break) for _ in range(10)))) == [False] * 9 + [True]
