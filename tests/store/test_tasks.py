"""Tasks: leased to one, fenced against the one that lost the lease, retried, dead, alive again."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from hub.store.tasks import LEASE_US, POOL_SIZE, LeasedTask
from hub.store.transactions import Store, Tx
from tests.store.programs import running, start, told
from tests.world import SECOND_US, START_US, World


async def add(tx: Tx, *keys: str, run_at_us: int = START_US) -> None:
    for key in keys:
        tx.tasks.add("resolve", key, {"of": key}, run_at_us)


async def claim(tx: Tx, draw: Any, limit: int = 10) -> list[LeasedTask]:
    return await tx.tasks.claim(draw, limit)


async def call(tx: Tx, verb: str, *arguments: Any) -> Any:
    return await getattr(tx.tasks, verb)(*arguments)


async def test_who_lost_the_lease_can_do_nothing_and_the_work_is_done_once(store: Store, world: World) -> None:
    await store.write(add, "pat_1")
    [lost] = await store.write(claim, world.draw("slow"))
    world.clock.pass_us(LEASE_US)
    [taken] = await store.write(claim, world.draw("next"))
    assert (taken.id, taken.attempts, taken.owner) == (lost.id, 2, "next")
    assert not await store.write(call, "finish", lost)
    assert not await store.write(call, "retry", lost, START_US, "late")
    assert not await store.write(call, "renew", lost, world.draw("slow"))
    assert not await store.write(call, "die", lost, "late", START_US)
    async with store.reading() as rx:
        [row] = await rx.tasks.listed()
        assert (row.is_dead, row.attempts, row.last_error) == (0, 2, None)
    assert await store.write(call, "finish", taken)
    assert not await store.write(call, "finish", taken)


async def test_who_lost_the_lease_of_a_task_that_is_gone_touches_no_other(store: Store, world: World) -> None:
    await store.write(add, "pat_1")
    [lost] = await store.write(claim, world.draw("slow"))
    assert await store.write(call, "drop", "resolve", "pat_1")
    await store.write(add, "pat_2")
    [taken] = await store.write(claim, world.draw("next"))
    assert taken.attempts == lost.attempts
    assert not await store.write(call, "finish", lost)
    assert await store.write(call, "finish", taken)


async def test_a_leased_task_is_nobody_elses_until_the_lease_ends(store: Store, world: World) -> None:
    await store.write(add, "pat_1")
    [task] = await store.write(claim, world.draw())
    world.clock.pass_us(LEASE_US - 1)
    assert await store.write(claim, world.draw("next")) == []
    assert await store.write(call, "renew", task, world.draw())
    world.clock.pass_us(LEASE_US - 1)
    assert await store.write(claim, world.draw("next")) == []
    async with store.reading() as rx:
        assert not await rx.tasks.due(world.clock.now_us())
        assert await rx.tasks.due(world.clock.now_us() + 1)


async def test_a_task_leased_with_its_unit_waits_for_its_process_first(store: Store, world: World) -> None:
    draw = world.draw("api")

    async def unit(tx: Tx) -> None:
        tx.tasks.lease("resolve", "pat_1", {}, draw)

    await store.write(unit)
    assert await store.write(claim, world.draw("next")) == []
    world.clock.pass_us(LEASE_US)
    [taken] = await store.write(claim, world.draw("next"))
    assert (taken.owner, taken.attempts) == ("next", 2)


async def test_the_longest_waiting_is_claimed_first_and_the_future_not_at_all(store: Store, world: World) -> None:
    await store.write(add, "late", run_at_us=START_US - 1)
    await store.write(add, "later", run_at_us=START_US)
    await store.write(add, "early", run_at_us=START_US - 2)
    await store.write(add, "tomorrow", run_at_us=START_US + 1)
    first = await store.write(claim, world.draw(), 2)
    assert {task.key for task in first} == {"early", "late"}
    assert [task.key for task in await store.write(claim, world.draw())] == ["later"]


async def test_an_existing_task_is_not_added_again(store: Store, world: World) -> None:
    await store.write(add, "pat_1")
    [task] = await store.write(claim, world.draw())
    await store.write(add, "pat_1", "pat_2")
    async with store.reading() as rx:
        assert [(row.key, row.attempts) for row in await rx.tasks.listed()] == [("pat_1", 1), ("pat_2", 0)]
    assert await store.write(call, "finish", task)
    await store.write(add, "pat_1")
    async with store.reading() as rx:
        assert [row.key for row in await rx.tasks.listed()] == ["pat_2", "pat_1"]


async def test_a_retry_comes_back_in_its_time_with_its_error(store: Store, world: World) -> None:
    await store.write(add, "pat_1")
    [task] = await store.write(claim, world.draw())
    assert await store.write(call, "retry", task, START_US + SECOND_US, "no answer " * 100)
    assert await store.write(claim, world.draw()) == []
    world.clock.pass_us(SECOND_US)
    [again] = await store.write(claim, world.draw())
    assert (again.attempts, again.body) == (2, {"of": "pat_1"})
    async with store.reading() as rx:
        [row] = await rx.tasks.listed()
    assert row.last_error == ("no answer " * 100)[:500]


async def test_a_dead_task_is_kept_and_revived_once(store: Store, world: World) -> None:
    await store.write(add, "pat_1")
    [task] = await store.write(claim, world.draw())
    assert await store.write(call, "die", task, "out of tries", START_US)
    assert await store.write(claim, world.draw()) == []
    assert await store.write(call, "revive", 1, START_US)
    assert not await store.write(call, "revive", 1, START_US)
    [again] = await store.write(claim, world.draw())
    assert (again.key, again.body, again.attempts) == ("pat_1", {"of": "pat_1"}, 1)


async def test_who_holds_the_data_folder_ends_every_lease(store: Store, world: World) -> None:
    await store.write(add, "pat_1", "pat_2")
    await store.write(claim, world.draw("died"))
    assert await store.write(call, "reclaim_all") == 2
    assert len(await store.write(claim, world.draw("next"))) == 2


async def test_of_8_that_claim_at_once_each_task_goes_to_one(store: Store, world: World) -> None:
    await store.write(add, *(f"pat_{i:02}" for i in range(40)))
    claims = await asyncio.gather(*(store.write(claim, world.draw(f"worker-{i}"), 10) for i in range(8)))
    keys = [task.key for claimed in claims for task in claimed]
    while more := await store.write(claim, world.draw(), 10):  # what SKIP LOCKED left over
        keys += [task.key for task in more]
    assert sorted(keys) == [f"pat_{i:02}" for i in range(40)]


async def test_processes_that_claim_together_share_the_tasks(store: Store, store_url: str) -> None:
    await store.write(add, *(f"pat_{i:02}" for i in range(30)))
    async with AsyncExitStack() as stack:
        workers = await asyncio.gather(
            *(stack.enter_async_context(running("claims", store_url, f"w{i}", "30")) for i in range(2))
        )
        for worker in workers:
            start(worker)
        done = [await told(worker) for worker in workers]
    assert sorted(done[0] + done[1]) == [f"pat_{i:02}" for i in range(30)]


async def test_a_pool_is_claimed_apart_and_one_remote_end_holds_up_nobody_else(store: Store, world: World) -> None:
    async def fill(tx: Tx) -> None:
        for number in range(9):
            tx.tasks.add("webhook", f"dead-{number}", {}, START_US - 1, pool="dead")
        tx.tasks.add("webhook", "alive-0", {}, START_US, pool="alive")
        tx.tasks.add("resolve", "pat_1", {}, START_US)

    async def claim_pooled(tx: Tx) -> list[LeasedTask]:
        return await tx.tasks.claim(world.draw(), 16, is_pooled=True)

    await store.write(fill)
    assert [task.key for task in await store.write(claim, world.draw())] == ["pat_1"]
    assert await store.write(claim, world.draw()) == []
    held = await store.write(claim_pooled)
    assert [task.key.partition("-")[0] for task in held] == ["dead"] * POOL_SIZE
    assert [task.key for task in await store.write(claim_pooled)] == ["alive-0"]
    async with store.reading() as rx:
        assert not await rx.tasks.due(START_US)
        assert not await rx.tasks.due(START_US, is_pooled=True)
    assert await store.write(call, "finish", held[0])
    async with store.reading() as rx:
        assert await rx.tasks.due(START_US, is_pooled=True)
