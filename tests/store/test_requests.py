"""Idempotency: one key, one run, whoever repeats it and however many at once."""

import asyncio
from dataclasses import replace

import pytest

from hub.domain.refusals import PriceChanged
from hub.domain.requests import REQUEST_LEASE_US, IdempotencyConflict, InProgress, RequestKey, Seen
from hub.store.transactions import Store, Tx
from tests.world import World

KEY = RequestKey("usr_1", "orderCreate", "k-1", "fingerprint of the input")


async def begun(tx: Tx, world: World, subject_id: str, key: RequestKey = KEY) -> Seen | None:
    """The first unit of a mutation whose call lies between two units."""
    return await tx.requests.begin(key, subject_id, world.draw())


async def begun_and_finished(tx: Tx, world: World, subject_id: str) -> Seen | None:
    """The one unit of a mutation that needs no call."""
    seen = await tx.requests.begin(KEY, subject_id, world.draw())
    if seen is None:
        await tx.requests.finish(KEY, None)
    return seen


async def finished(tx: Tx, refusal: PriceChanged | None) -> None:
    await tx.requests.finish(KEY, refusal)


async def test_of_50_at_once_one_runs_and_the_others_replay_its_subject(store: Store, world: World) -> None:
    answers = await asyncio.gather(*(store.write(begun_and_finished, world, f"ord_{i}") for i in range(50)))
    first = answers.index(None)
    assert [answer for answer in answers if answer is not None] == [
        Seen(f"ord_{first}", None, is_done=True, is_dead=False)
    ] * 49


async def test_of_50_at_once_that_call_out_one_runs_and_the_others_are_told_to_wait(store: Store, world: World) -> None:
    answers = await asyncio.gather(*(store.write(begun, world, f"ord_{i}") for i in range(50)), return_exceptions=True)
    waiting = [answer for answer in answers if isinstance(answer, InProgress)]
    assert (answers.count(None), len(waiting)) == (1, 49)
    assert {answer.retry_after_ms for answer in waiting} == {1000}


async def test_of_50_that_meet_a_dead_request_one_resumes_it(store: Store, world: World) -> None:
    await store.write(begun, world, "ord_first")
    world.clock.pass_us(REQUEST_LEASE_US)
    answers = await asyncio.gather(*(store.write(begun, world, f"ord_{i}") for i in range(50)), return_exceptions=True)
    resumed = [answer for answer in answers if not isinstance(answer, InProgress)]
    assert resumed == [Seen("ord_first", None, is_done=False, is_dead=True)]


async def test_a_request_is_alive_until_its_lease_ends(store: Store, world: World) -> None:
    await store.write(begun, world, "ord_1")
    world.clock.pass_us(REQUEST_LEASE_US - 5_000)
    with pytest.raises(InProgress) as told:
        await store.write(begun, world, "ord_2")
    assert told.value.retry_after_ms == 5


async def test_another_input_under_the_key_is_a_conflict_whatever_the_state(store: Store, world: World) -> None:
    other = replace(KEY, fingerprint="fingerprint of another input")
    await store.write(begun, world, "ord_1")
    with pytest.raises(IdempotencyConflict):
        await store.write(begun, world, "ord_2", other)
    await store.write(finished, None)
    with pytest.raises(IdempotencyConflict):
        await store.write(begun, world, "ord_2", other)


@pytest.mark.parametrize("change", [{"principal": "usr_2"}, {"operation": "paymentCreate"}, {"key": "k-2"}])
async def test_another_scope_is_another_request(store: Store, world: World, change: dict[str, str]) -> None:
    await store.write(begun, world, "ord_1")
    assert await store.write(begun, world, "ord_2", replace(KEY, **change)) is None  # type: ignore[arg-type]  # fields are given by name


async def test_a_refusal_is_replayed_and_a_done_row_stays_as_it_is(store: Store, world: World) -> None:
    refusal = PriceChanged(1200, "CNY")
    await store.write(begun, world, "ord_1")
    await store.write(finished, refusal)
    await store.write(finished, None)
    world.clock.pass_us(10 * REQUEST_LEASE_US)
    assert await store.write(begun, world, "ord_2") == Seen("ord_1", refusal, is_done=True, is_dead=False)


async def test_a_request_whose_unit_fails_was_never_made(store: Store, world: World) -> None:
    async def fails(tx: Tx) -> None:
        await begun(tx, world, "ord_1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(fails)
    assert await store.write(begun, world, "ord_2") is None
