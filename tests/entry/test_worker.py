"""The worker's own promises: nothing depends on wake-ups, one poll a process, leases are fenced, tries have an end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from hub.domain.records import KeyRole
from hub.entry import worker as module
from hub.entry.worker import HANDLERS, TIRELESS, Worker
from hub.flows import purchase, tasks
from hub.flows.anchors import keep_contract
from hub.flows.purchase import CheckoutRequest, checkout
from hub.flows.sending import finished
from hub.ports import ChainReceipt, ChainUnavailable, Hub
from hub.store.metadata import metadata
from hub.store.tasks import LEASE_US, MAX_TRIES, LeasedTask
from hub.store.transactions import Store
from hub.wakeups.memory import MemoryWakeups
from tests.flows.benches import Bench
from tests.world import World

KIND = "platform_access"  # of all kinds the one that gives up


class Deaf(MemoryWakeups):
    """A bus that loses everything."""

    def publish(self, stream: str, position: int) -> None: ...


@asynccontextmanager
async def working(hub: Hub) -> AsyncIterator[Worker]:
    worker = Worker(hub)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(running, 10)


async def until(look: Callable[[], Any], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await look():  # noqa: ASYNC110  # there is nothing to be told by
            await asyncio.sleep(0.02)


@pytest.fixture
async def bench(store: Store, world: World) -> Bench:
    found = Bench(store, world)
    await keep_contract(found.hub, found.chain.known)
    return found


def with_wakeups(bench: Bench, wakeups: MemoryWakeups) -> Hub:
    return replace(bench.hub, wakeups=wakeups)


async def add_task(bench: Bench, key: str, *, kind: str = KIND, tries: int = 0) -> None:
    """A task that is due, as after that many tries."""

    async def put(tx: Any) -> None:
        tx.tasks.add(kind, key, {"entitlement": "ent_none", "platform": "plt_none"}, bench.clock.now_us())

    async def age(tx: Any) -> None:
        await tx.run(text(f"UPDATE task SET attempts = {tries} WHERE key = '{key}'"))

    await bench.store.write(put)
    await bench.store.write(age)


async def left(bench: Bench) -> list[tuple[Any, ...]]:
    return await bench.rows("SELECT key, attempts FROM task ORDER BY key")


async def test_everything_is_done_though_every_wake_up_is_lost(bench: Bench) -> None:
    deaf = with_wakeups(bench, Deaf())
    async with working(deaf):
        learner, listing = await bench.world.learner(), await bench.world.listing()
        assert listing.price is not None
        await checkout(deaf, learner, CheckoutRequest(listing.id, "sandbox", listing.price, "key"))
        await until(lambda: confirmed(bench))
        await until(lambda: is_done(bench))


async def confirmed(bench: Bench) -> bool:
    return await bench.rows("SELECT status, chain_status FROM order_") == [("PAID", "CONFIRMED")]


async def test_follower_is_woken_by_the_poll_when_the_wake_up_was_lost(bench: Bench) -> None:
    """The write goes past this process's bus, as another process's would."""
    wakeups = MemoryWakeups()
    learner, listing = await bench.world.learner(), await bench.world.listing()
    async with working(with_wakeups(bench, wakeups)):
        await bench.order(learner, listing, key="before")  # so that the poll has seen a position
        await asyncio.sleep(module.POLL_S * 1.2)
        assert learner.user_id is not None
        mark = wakeups.mark(learner.user_id)
        await bench.order(learner, listing, key="after")
        await asyncio.wait_for(wakeups.wait(learner.user_id, mark), module.POLL_S * 4)


# A stream and a position, each as no commit of ours ever said it.
FALSE = [("tasks", 10**15), ("hub", -1), ("hub", 2**70), ("usr_nobody", 5), ("", 0), ("plt_x' OR 1=1 --", 7)]


async def test_wake_up_with_false_content_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker looks, finds what is there, and what is there stays as it is."""
    looks = {"claim": 0, "batch": 0, "access": 0}
    for name, module_, function in (
        ("claim", tasks, "claim_due"), ("batch", purchase, "record_on_chain"), ("access", purchase, "issue_right"),
    ):  # fmt: skip
        monkeypatch.setattr(module_, function, counted(getattr(module_, function), looks, name))
    wakeups = MemoryWakeups()
    hub = with_wakeups(bench, wakeups)
    learner, listing = await bench.world.learner(), await bench.world.listing()
    assert listing.price is not None
    assert learner.user_id is not None
    async with working(hub):
        await checkout(hub, learner, CheckoutRequest(listing.id, "sandbox", listing.price, "key"))
        await until(lambda: is_at_rest(bench))
        before = await everything(bench)
        seen = dict(looks)
        for stream, position in [*FALSE, (learner.user_id, 10**15)]:
            wakeups.publish(stream, position)
        await until(lambda: all_grew(looks, seen))
        assert await everything(bench) == before


async def is_at_rest(bench: Bench) -> bool:
    """The order is anchored and every consumer has seen its events."""
    ahead = await bench.rows(
        "SELECT position FROM event WHERE position IS NULL OR (stream = 'hub' AND kind = 'ENTITLEMENT_GRANTED' AND"
        " position > (SELECT coalesce(max(position), 0) FROM consumer WHERE name = 'access'))"
    )
    return ahead == [] and await confirmed(bench) and await is_done(bench)


def counted(function: Any, looks: dict[str, int], name: str) -> Any:
    async def call(*arguments: Any, **named: Any) -> Any:
        value = await function(*arguments, **named)
        looks[name] += 1
        return value

    return call


async def all_grew(looks: dict[str, int], seen: dict[str, int]) -> bool:
    return all(looks[name] > seen[name] for name in looks)


async def everything(bench: Bench) -> dict[str, list[str]]:
    """Each row of each table, as text."""
    return {name: sorted(map(repr, await bench.rows(f"SELECT * FROM {name}"))) for name in metadata.tables}


async def test_idle_process_polls_once_a_second_however_many_follow(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[float] = []
    poll = Worker._poll

    async def counted(worker: Worker) -> float:
        polls.append(asyncio.get_running_loop().time())
        return await poll(worker)

    monkeypatch.setattr(Worker, "_poll", counted)
    wakeups = MemoryWakeups()
    followers = [asyncio.create_task(wakeups.wait(f"usr_{number}", 0)) for number in range(200)]
    async with working(with_wakeups(bench, wakeups)):
        await until(lambda: enough(polls, 3))
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    pauses = [later - earlier for earlier, later in pairwise(polls)]
    assert all(pause >= module.POLL_S * 0.95 for pause in pauses)


async def enough(polls: list[float], count: int) -> bool:
    return len(polls) >= count


async def test_worker_that_lost_its_lease_cannot_finish_what_another_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(hub: Hub, task: LeasedTask) -> int | None:
        begun.set()
        await may_end.wait()
        return None

    async def once(hub: Hub, most: int, *, is_pooled: bool = False) -> list[LeasedTask]:
        """A worker looks again at once, and might claim its own task a second time before the rival does."""
        if begun.is_set() or claimed:
            return []
        claimed.extend(await claim(hub, most, is_pooled=is_pooled))
        return claimed[:]

    claim, claimed = tasks.claim_due, list[LeasedTask]()
    monkeypatch.setattr(tasks, "claim_due", once)
    monkeypatch.setitem(HANDLERS, KIND, slow)
    await add_task(bench, "held")
    async with working(bench.hub):
        await asyncio.wait_for(begun.wait(), 10)
        bench.clock.pass_us(LEASE_US + 1)
        rival = bench.rival()
        [taken] = await claim(rival.hub, 10)
        assert taken.attempts == 2
        may_end.set()
    assert await left(bench) == [("held", 2)]
    assert await tasks.finish_task(rival.hub, taken)
    assert await left(bench) == []


async def test_lease_is_renewed_while_the_handler_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed, may_end = asyncio.Event(), asyncio.Event()

    async def slow(hub: Hub, task: LeasedTask) -> int | None:
        await may_end.wait()
        return None

    async def renew(hub: Hub, task: LeasedTask) -> bool:
        is_held = await original(hub, task)
        renewed.set()
        return is_held

    original = tasks.renew_task
    monkeypatch.setitem(HANDLERS, KIND, slow)
    monkeypatch.setattr(tasks, "renew_task", renew)
    monkeypatch.setitem(vars(module), "LEASE_US", 300_000)  # the pause between renewals, not the lease itself
    await add_task(bench, "held")
    async with working(bench.hub):
        await until(lambda: is_leased(bench))
        bench.clock.pass_us(LEASE_US - 1)
        renewed.clear()
        await asyncio.wait_for(renewed.wait(), 10)
        bench.clock.pass_us(2)
        assert await tasks.claim_due(bench.rival().hub, 10) == []
        may_end.set()
    assert await left(bench) == []


async def is_leased(bench: Bench) -> bool:
    return await bench.rows("SELECT key FROM task WHERE lease_until_us IS NOT NULL") != []


async def test_task_that_fails_too_often_is_kept_for_a_person(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(hub: Hub, task: LeasedTask) -> int | None:
        raise RuntimeError("does not work")

    monkeypatch.setitem(HANDLERS, KIND, broken)
    await add_task(bench, "last try", tries=MAX_TRIES - 1)
    await add_task(bench, "first try")
    with caplog.at_level(logging.CRITICAL):
        async with working(bench.hub):
            await until(lambda: both_failed(bench))
    dead = await bench.rows("SELECT key, attempts, last_error FROM dead_task")
    assert dead == [("last try", MAX_TRIES, "RuntimeError: does not work")]
    assert await bench.rows("SELECT key, last_error FROM task") == [("first try", "RuntimeError: does not work")]


async def both_failed(bench: Bench) -> bool:
    first = await bench.rows("SELECT key FROM task WHERE last_error <> ''")
    return len(first) + len(await bench.rows("SELECT key FROM dead_task")) == 2


@pytest.mark.parametrize("kind", sorted(TIRELESS))
async def test_money_and_chain_are_never_given_up(kind: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(hub: Hub, task: LeasedTask) -> int | None:
        raise ChainUnavailable("for a long time")

    monkeypatch.setitem(HANDLERS, kind, away)
    await add_task(bench, "hundredth try", kind=kind, tries=99)
    async with working(bench.hub):
        await until(lambda: is_put_back(bench))
    assert await bench.rows("SELECT key FROM dead_task") == []
    [(attempts, run_at_us)] = await bench.rows("SELECT attempts, run_at_us FROM task")
    assert attempts == 100
    assert run_at_us - bench.clock.now_us() <= module.CHAIN_BACKOFF_MOST_S * 1_000_000


async def is_put_back(bench: Bench) -> bool:
    return await bench.rows("SELECT key FROM task WHERE attempts = 100 AND lease_until_us IS NULL") != []


async def test_stopped_worker_finishes_what_it_holds_and_claims_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    claim = tasks.claim_due

    async def slow(hub: Hub, task: LeasedTask) -> int | None:
        begun.set()
        await may_end.wait()
        return None

    async def claimed_last(hub: Hub, limit: int, *, is_pooled: bool) -> list[LeasedTask]:
        found = await claim(hub, limit, is_pooled=is_pooled)
        if begun.is_set() and not is_pooled and not found:  # between two claims: one under way would still find it
            worker.stop()
            stopped.set()
        return found

    monkeypatch.setitem(HANDLERS, KIND, slow)
    monkeypatch.setattr(tasks, "claim_due", claimed_last)
    await add_task(bench, "held")
    worker = Worker(bench.hub)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(stopped.wait(), 10)
    await add_task(bench, "too late")
    done, _ = await asyncio.wait([running], timeout=module.POLL_S * 2)
    assert not done
    may_end.set()
    await asyncio.wait_for(running, 10)
    assert await left(bench) == [("too late", 0)]


async def test_a_call_that_nobody_asks_for_again_is_settled_though_its_sender_sends_nothing_more(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await finished(bench.hub, "refund:1", bench.chain.contract, b"refund", by=KeyRole.REVOKER) is None
    [hash_] = bench.chain.signed
    bench.chain.mined[hash_] = ChainReceipt(hash_, True, 1, "0xb1", 50_000, 10**9, 1)
    await Worker(bench.hub)._look_after_keys()
    assert await bench.rows("SELECT purpose, state FROM chain_transaction") == [("refund:1", "CONFIRMED")]


async def test_loop_that_fails_is_logged_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim = tasks.claim_due
    failures = [OSError("the database is away")]

    async def failing(hub: Hub, limit: int, *, is_pooled: bool) -> list[LeasedTask]:
        if failures and not is_pooled:
            raise failures.pop()
        return await claim(hub, limit, is_pooled=is_pooled)

    monkeypatch.setattr(tasks, "claim_due", failing)
    await add_task(bench, "after all")
    async with working(bench.hub):
        await until(lambda: is_done(bench))
    assert "the worker's loop 'tasks' failed and goes on" in caplog.text


async def is_done(bench: Bench) -> bool:
    return await left(bench) == []
