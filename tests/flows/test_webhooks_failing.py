"""What two hours, five days or a death change about deliveries."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.webhooks import EndpointState, Sent, SentOutcome
from hub.flows import deliveries, tasks, webhooks
from hub.store.tasks import LEASE_US
from tests.flows.benches import Bench
from tests.flows.hooks import delivered, endpoint_now, in_order, made, per_subject, sold, states, stream
from tests.flows.scripted import DELIVERED, REFUSED, Post
from tests.flows.test_units import TwiceStore
from tests.world import DAY_US, SECOND_US, operator, partner

GONE = Sent(SentOutcome.REFUSED, 5, 410, "gone")


# ---- failing --------------------------------------------------------------------------------------------------------


async def test_two_hours_of_500_lose_nothing_and_change_neither_order_nor_bytes(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    bench.sender.otherwise = REFUSED
    began = bench.clock.now_us()
    number = 0
    while bench.clock.now_us() - began < 2 * 3600 * SECOND_US:
        if number % 4 == 0:
            await sold(bench, listing, f"order {number}")
        await delivered(bench)
        bench.clock.pass_us(600 * SECOND_US)
        number += 1
    failed = len(bench.sender.posts)
    assert failed > 10
    bench.sender.otherwise = DELIVERED
    bench.clock.pass_us(5 * 3600 * SECOND_US)
    await delivered(bench)
    told = await stream(bench, platform)
    firsts: dict[str, list[str]] = {}
    for subject, ids in per_subject(bench, told).items():
        firsts[subject] = list(dict.fromkeys(ids))
        assert ids == sorted(ids, key=firsts[subject].index)  # none before the one ahead of it was taken
    assert firsts == in_order(told)
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for post in bench.sender.posts:
        bodies[post.id].add(post.body)
    assert {len(each) for each in bodies.values()} == {1}
    assert len(bench.event_documents.made) == len(told)
    assert {state for _, state, _ in await states(bench)} == {"DELIVERED"}
    now = await endpoint_now(bench, endpoint.id)
    assert (now.state, now.failing_since_us) == (EndpointState.ACTIVE, None)


async def test_one_subject_that_fails_holds_up_its_own_events_alone(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    await made(bench, platform)
    stuck = await sold(bench, listing, "stuck")
    await deliveries.gather(bench.hub)
    bench.sender.says.append(REFUSED)
    await delivered(bench)
    other = await sold(bench, listing, "other")
    await delivered(bench)
    assert await states(bench) == [
        (stuck.id, "PENDING", 1), (stuck.id, "PENDING", 0), (other.id, "DELIVERED", 1), (other.id, "DELIVERED", 1),
    ]  # fmt: skip
    bench.clock.pass_us(6 * SECOND_US)
    await delivered(bench)
    assert [(state, attempts) for _, state, attempts in await states(bench)] == [
        ("DELIVERED", 2), ("DELIVERED", 1), ("DELIVERED", 1), ("DELIVERED", 1),
    ]  # fmt: skip


async def test_each_attempt_is_on_record(bench: Bench) -> None:
    platform = await bench.world.platform()
    await made(bench, platform)
    bench.sender.says.extend([REFUSED, Sent(SentOutcome.UNREACHABLE, 10_000, None, "no whole answer")])
    await sold(bench, await bench.world.listing(platform=platform), "one")
    for _ in range(3):
        await delivered(bench)
        bench.clock.pass_us(400 * SECOND_US)
    rows = await bench.rows(
        "SELECT a.number, a.outcome, a.status, a.latency_ms, a.answer FROM webhook_attempt a"
        " JOIN webhook_delivery d ON d.id = a.delivery_id ORDER BY d.position, a.number"
    )
    assert rows == [
        (1, "REFUSED", 500, 9, "no"), (2, "UNREACHABLE", None, 10_000, "no whole answer"),
        (3, "DELIVERED", 204, 7, ""), (1, "DELIVERED", 204, 7, ""),
    ]  # fmt: skip


async def test_410_pauses_at_once_and_resuming_goes_on_with_everything(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    bench.sender.says.append(GONE)
    await sold(bench, listing, "one")
    await delivered(bench)
    paused = await endpoint_now(bench, endpoint.id)
    assert (paused.state, paused.pause_reason, len(bench.sender.posts)) == (EndpointState.PAUSED, "GONE", 1)
    await sold(bench, listing, "while it is paused")
    bench.clock.pass_us(30 * DAY_US)
    await delivered(bench)
    assert len(bench.sender.posts) == 1
    assert (await webhooks.resume_endpoint(bench.hub, partner(platform), endpoint.id)).refusal is None
    await delivered(bench)
    told = await stream(bench, platform)
    assert [post.id for post in bench.sender.posts].count(told[0][2]) == 2
    assert {subject: list(dict.fromkeys(ids)) for subject, ids in per_subject(bench, told).items()} == in_order(told)


async def test_five_days_of_failures_pause_and_lose_nothing(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    bench.sender.otherwise = REFUSED
    await sold(bench, listing, "one")
    for _ in range(40):
        await delivered(bench)
        bench.clock.pass_us(6 * 3600 * SECOND_US)
    paused = await endpoint_now(bench, endpoint.id)
    assert (paused.state, paused.pause_reason) == (EndpointState.PAUSED, "FAILING")
    assert await bench.one("SELECT count(*) FROM task WHERE kind = 'webhook'") == 0
    assert {state for _, state, _ in await states(bench)} == {"PENDING"}
    tried = len(bench.sender.posts)
    bench.sender.otherwise = DELIVERED
    await webhooks.resume_endpoint(bench.hub, partner(platform), endpoint.id)
    await delivered(bench)
    told = await stream(bench, platform)
    assert [post.id for post in bench.sender.posts[tried:]] == [id_ for _, _, id_ in told]


async def test_an_event_that_is_never_taken_dies_and_frees_its_subject(embedded: Bench) -> None:
    bench = embedded
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    poisoned = await sold(bench, listing, "poisoned")
    first = (await stream(bench, platform))[0][2]

    def answer(post: Post) -> Sent:
        return REFUSED if post.id == first else DELIVERED

    bench.sender.says.extend([answer] * 200)
    for number in range(28):
        if number % 6 == 0:
            await sold(bench, listing, f"other {number}")
        await delivered(bench)
        bench.clock.pass_us(5 * 3600 * SECOND_US)
    assert [one for one in await states(bench) if one[0] == poisoned.id] == [
        (poisoned.id, "DEAD", 10), (poisoned.id, "DELIVERED", 1),
    ]  # fmt: skip
    assert (await endpoint_now(bench, endpoint.id)).state is EndpointState.ACTIVE
    bench.sender.says.clear()
    assert (await webhooks.redeliver(bench.hub, partner(platform), endpoint.id, after=0)).refusal is None
    await delivered(bench)
    assert {state for _, state, _ in await states(bench)} == {"DELIVERED"}


async def test_of_a_document_that_fails_nothing_is_sent_until_it_is_mended(bench: Bench) -> None:
    platform = await bench.world.platform()
    await made(bench, platform)
    bench.event_documents.failing.add("ORDER_CREATED")
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await delivered(bench)
    assert bench.sender.posts == []
    assert await bench.rows("SELECT outcome, status FROM webhook_attempt") == [("DOCUMENT_FAILED", None)]
    bench.event_documents.failing.clear()
    bench.clock.pass_us(6 * SECOND_US)
    await delivered(bench)
    assert [state for _, state, _ in await states(bench)] == ["DELIVERED", "DELIVERED"]


# ---- dying ----------------------------------------------------------------------------------------------------------


class DiesBefore:
    """A store on which one unit never commits: the process is gone before."""

    def __init__(self, store: Any, unit: str) -> None:
        self._store, self._unit = store, unit

    async def write(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        if unit.__name__ == self._unit:
            raise asyncio.CancelledError
        return await self._store.write(unit, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_who_dies_between_sending_and_recording_sends_the_same_bytes_under_the_same_id(bench: Bench) -> None:
    platform = await bench.world.platform()
    await made(bench, platform)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await deliveries.gather(bench.hub)
    dying = replace(bench, store=DiesBefore(bench.store, "record_attempt"))
    [task] = await tasks.claim_due(dying.hub, 9, is_pooled=True)
    with pytest.raises(asyncio.CancelledError):
        await deliveries.deliver(dying.hub, task)
    assert len(bench.sender.posts) == 1
    await delivered(bench)
    assert len(bench.sender.posts) == 1  # leased still
    bench.clock.pass_us(LEASE_US)
    await delivered(bench)
    told = await stream(bench, platform)
    assert [post.id for post in bench.sender.posts] == [told[0][2], told[0][2], told[1][2]]
    assert bench.sender.posts[0].body == bench.sender.posts[1].body
    assert [post.headers["webhook-timestamp"] for post in bench.sender.posts[:2]] == ["1767225600", "1767225645"]
    assert [attempts for _, _, attempts in await states(bench)] == [1, 1]


async def test_who_lost_the_lease_records_nothing(bench: Bench) -> None:
    platform = await bench.world.platform()
    await made(bench, platform)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await deliveries.gather(bench.hub)

    async def slow(_: Post) -> Sent:
        bench.clock.pass_us(LEASE_US)
        await delivered(bench.rival())
        return REFUSED

    bench.sender.says.append(slow)
    [task] = await tasks.claim_due(bench.hub, 9, is_pooled=True)
    assert await deliveries.deliver(bench.hub, task) is None
    assert [(state, attempts) for _, state, attempts in await states(bench)] == [("DELIVERED", 1)] * 2


async def test_units_write_the_same_rows_when_run_again(embedded: Bench) -> None:
    bench = embedded
    bench.store = TwiceStore(bench.store)  # type: ignore[assignment]  # as much of a store as is called here
    await test_410_pauses_at_once_and_resuming_goes_on_with_everything(bench)
    [(endpoint_id,)] = await bench.rows("SELECT id FROM webhook_endpoint")
    await webhooks.rotate_secret(bench.hub, operator(), endpoint_id)
    await webhooks.redeliver(bench.hub, operator(), endpoint_id, after=0)
    await webhooks.delete_endpoint(bench.hub, operator(), endpoint_id)
    assert await deliveries.prune(bench.hub) == 0
    bench.clock.pass_us(31 * DAY_US)
    assert await deliveries.prune(bench.hub) == 4
    assert bench.store.units >= {
        "put_endpoint", "change_endpoint", "replay", "fan_out", "keep_payload", "record_attempt", "leave_lane",
        "forget_deliveries",
    }  # fmt: skip
