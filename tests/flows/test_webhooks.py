"""Endpoints and deliveries: who gets which event in which order, and what two hours, five days or a death change."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from hub.domain.catalogue import Listing, Platform
from hub.domain.orders import Order
from hub.domain.people import PARTNER_SCOPES, Viewer, ViewerKind
from hub.domain.refusals import InvalidInput, NotFound, StateConflict
from hub.domain.webhooks import MAX_ENDPOINTS, ROTATION_US, EndpointState, Sent, SentOutcome, WebhookEndpoint
from hub.flows import deliveries, keys, tasks, webhooks
from hub.flows.tasks import SKIP
from hub.flows.webhooks import IssuedEndpoint
from hub.store.tasks import LEASE_US
from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.flows.scripted import DELIVERED, REFUSED, Post
from tests.flows.test_units import TwiceStore
from tests.world import DAY_US, SECOND_US, World, operator, partner

URL = "https://shop.example/hook"
DOCUMENT = "all"
GONE = Sent(SentOutcome.REFUSED, 5, 410, "gone")


@pytest.fixture
def embedded(sqlite_store: Store) -> Bench:
    """For what takes long and is the same on both engines."""
    return Bench(sqlite_store, World(sqlite_store))


async def made(bench: Bench, platform: Platform, document: str = DOCUMENT, url: str = URL) -> IssuedEndpoint:
    answer = await webhooks.create_endpoint(bench.hub, partner(platform), url=url, document=document)
    assert answer.value is not None, answer.refusal
    return answer.value


async def sold(bench: Bench, listing: Listing, key: str) -> Order:
    """An order that is made and given up: ORDER_CREATED and ORDER_CANCELED of one subject, in the seller's stream."""
    from hub.flows.orders import cancel_order

    buyer = await bench.world.learner()
    order = await bench.order(buyer, listing, key=key)
    await cancel_order(bench.hub, buyer, order_id=order.id, idempotency_key=key)
    return order


async def delivered(bench: Bench, rounds: int = 50) -> None:
    """Fan out and work until nothing is due now."""
    for _ in range(rounds):
        behind = await deliveries.gather(bench.hub)
        claimed = await tasks.claim_due(bench.hub, 100, is_pooled=True)
        for task in claimed:
            await bench.run(task)
        if not behind and not claimed:
            return
    raise AssertionError("the deliveries do not come to rest")


async def endpoint_now(bench: Bench, endpoint_id: str) -> WebhookEndpoint:
    async with bench.store.reading() as rx:
        endpoint = await rx.webhooks.endpoint(endpoint_id)
    assert endpoint is not None
    return endpoint


async def stream(bench: Bench, platform: Platform) -> list[tuple[str, str, str]]:
    """(subject, kind, id) of each event of the platform's stream."""
    await bench.store.stamp()
    async with bench.store.reading() as rx:
        told = await rx.events.read(platform.id, 0, 10_000)
    return [(logged.subject, logged.kind, logged.id) for logged in told]


async def states(bench: Bench) -> list[tuple[str, str, int]]:
    """(subject, state, attempts) of each delivery, in the order of the log."""
    rows = await bench.rows("SELECT subject, state, attempts FROM webhook_delivery ORDER BY position")
    return [(subject, state, attempts) for subject, state, attempts in rows]


def per_subject(bench: Bench, told: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    """The ids that were posted, in the order of their arrival, by the subject of their event."""
    subject_of = {id_: subject for subject, _, id_ in told}
    posted: dict[str, list[str]] = defaultdict(list)
    for post in bench.sender.posts:
        posted[subject_of[post.id]].append(post.id)
    return posted


def in_order(told: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = defaultdict(list)
    for subject, _, id_ in told:
        ids[subject].append(id_)
    return ids


# ---- to whom, and in which order ------------------------------------------------------------------------------------


async def test_each_event_goes_once_to_each_endpoint_of_its_platform_in_order(bench: Bench) -> None:
    platform, other = await bench.world.platform("xue"), await bench.world.platform("kan")
    listing = await bench.world.listing(platform=platform, is_honoured=False)
    await sold(bench, listing, "before there is an endpoint")
    known = await stream(bench, platform)
    await made(bench, platform)
    await made(bench, platform, "paid", "https://shop.example/paid")
    await made(bench, other)
    await sold(bench, listing, "one")
    await sold(bench, listing, "two")
    await delivered(bench)
    told = (await stream(bench, platform))[len(known) :]
    assert [kind for _, kind, _ in told] == ["ORDER_CREATED", "ORDER_CANCELED"] * 2
    assert {post.url for post in bench.sender.posts} == {URL}
    assert per_subject(bench, told) == in_order(told)
    assert await bench.one("SELECT count(*) FROM task WHERE kind = 'webhook'") == 0
    await delivered(bench)
    assert len(bench.sender.posts) == 4


async def test_the_document_is_executed_as_its_platform_with_no_more_than_its_authors_scopes(bench: Bench) -> None:
    platform = await bench.world.platform()
    poor = Viewer(ViewerKind.PLATFORM, platform_id=platform.id, scopes=frozenset({"events:read", "webhooks:write"}))
    await webhooks.create_endpoint(bench.hub, poor, url=URL, document=DOCUMENT)
    await webhooks.create_endpoint(bench.hub, operator(), url=URL, document=DOCUMENT, platform_id=platform.id)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await delivered(bench)
    assert {(reader.kind, reader.platform_id) for reader in bench.event_documents.readers} == {
        (ViewerKind.PLATFORM, platform.id)
    }
    assert {reader.scopes for reader in bench.event_documents.readers} == {poor.scopes, PARTNER_SCOPES}


async def test_a_secret_stands_in_no_trace(bench: Bench) -> None:
    endpoint = await made(bench, await bench.world.platform())
    assert endpoint.secret is not None
    assert endpoint.secret not in repr(endpoint)


async def test_an_operators_document_sees_no_more_than_their_own_key(bench: Bench) -> None:
    platform = await bench.world.platform()
    poor = Viewer(ViewerKind.OPERATOR, scopes=frozenset({"events:read", "webhooks:write", "operations:read"}))
    await webhooks.create_endpoint(bench.hub, poor, url=URL, document=DOCUMENT, platform_id=platform.id)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await delivered(bench)
    assert {reader.scopes for reader in bench.event_documents.readers} == {frozenset({"events:read", "webhooks:write"})}


async def test_a_weaker_key_sends_nothing_to_itself_that_a_stronger_ones_document_made(bench: Bench) -> None:
    platform = await bench.world.platform()
    endpoint = await made(bench, platform)
    poor = Viewer(ViewerKind.PLATFORM, platform_id=platform.id, scopes=frozenset({"events:read", "webhooks:write"}))
    before = await endpoint_now(bench, endpoint.id)
    mine = {"url": "https://mine.example"}
    for change in (mine, {"document": "paid"}, {**mine, "document": "paid"}):
        refusal = (await webhooks.update_endpoint(bench.hub, poor, endpoint.id, **change)).refusal
        assert isinstance(refusal, InvalidInput)
        assert refusal.field == "webhookEndpointId"
    rotated = await webhooks.rotate_secret(bench.hub, poor, endpoint.id)  # with it they could sign in our name
    assert isinstance(rotated.refusal, InvalidInput)
    assert rotated.value is None
    assert await endpoint_now(bench, endpoint.id) == before


async def test_a_key_that_was_revoked_a_moment_ago_makes_and_moves_no_endpoint(bench: Bench) -> None:
    platform = await bench.world.platform()
    issued = (await keys.create_key(bench.hub, partner(platform), name="k", scopes=PARTNER_SCOPES)).value
    assert issued is not None
    remembered = replace(partner(platform), key_id=issued.id)
    created = await webhooks.create_endpoint(bench.hub, remembered, url=URL, document=DOCUMENT)
    assert created.value is not None
    await keys.revoke_key(bench.hub, partner(platform), key_id=issued.id)
    before = await bench.rows("SELECT * FROM webhook_endpoint")
    for answer in (
        await webhooks.create_endpoint(bench.hub, remembered, url=URL, document=DOCUMENT),
        await webhooks.update_endpoint(bench.hub, remembered, created.value.id, url="https://mine.example"),
        await webhooks.rotate_secret(bench.hub, remembered, created.value.id),
        await webhooks.redeliver(bench.hub, remembered, created.value.id, after=0),
    ):
        assert isinstance(answer.refusal, StateConflict)
    assert await bench.rows("SELECT * FROM webhook_endpoint") == before


async def test_several_processes_that_fan_out_and_deliver_together_send_each_event_once_in_order(
    bench: Bench,
) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    await made(bench, platform)
    for number in range(4):
        await sold(bench, listing, f"order {number}")
    rivals = [bench, bench.rival("worker-2"), bench.rival("worker-3")]
    for _ in range(10):
        await asyncio.gather(*(delivered(rival) for rival in rivals))
    told = await stream(bench, platform)
    assert per_subject(bench, told) == in_order(told)


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


# ---- signing --------------------------------------------------------------------------------------------------------


def verified(secret: str | None, post: Post, body: bytes | None = None) -> bool:
    assert secret is not None
    try:
        Webhook(secret).verify(body or post.body, post.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_during_rotation_both_secrets_verify_and_an_altered_body_neither(bench: Bench) -> None:
    """By the standard's own library. Its clock is the machine's, and so is the hub's here."""
    import time

    bench.clock.at_us = time.time_ns() // 1000
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    rotated = await webhooks.rotate_secret(bench.hub, partner(platform), endpoint.id)
    assert rotated.value is not None
    former, newer = endpoint.secret, rotated.value.secret
    assert former is not None
    assert former.startswith("whsec_")
    assert former != newer
    await sold(bench, listing, "one")
    await delivered(bench)
    post = bench.sender.posts[0]
    assert post.headers["webhook-signature"].count("v1,") == 2
    altered = post.body.replace(b"all", b"ALL")
    assert altered != post.body
    for secret in (former, newer):
        assert verified(secret, post)
        assert not verified(secret, post, altered)
        assert not verified(secret, replace(post, headers=post.headers | {"webhook-id": "evt_other"}))
    assert not verified("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", post)
    sealed = await bench.rows("SELECT sealed_secret, sealed_previous FROM webhook_endpoint")
    assert former not in str(sealed)
    last = await webhooks.rotate_secret(bench.hub, partner(platform), endpoint.id, ends_former_now=True)
    assert last.value is not None
    await sold(bench, listing, "two")
    await delivered(bench)
    post = bench.sender.posts[-1]
    assert [verified(secret, post) for secret in (former, newer, last.value.secret)] == [False, False, True]


async def test_the_former_secret_ends_after_a_day(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    await webhooks.rotate_secret(bench.hub, partner(platform), endpoint.id)
    counts = []
    for wait_us in (ROTATION_US - 1, 1):
        bench.clock.pass_us(wait_us)
        await sold(bench, listing, f"after {wait_us}")
        await delivered(bench)
        counts.append(bench.sender.posts[-1].headers["webhook-signature"].count("v1,"))
    assert counts == [2, 1]


# ---- keeping an endpoint --------------------------------------------------------------------------------------------


async def test_redelivery_sends_again_in_order_under_the_same_ids_with_the_same_bytes(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    await sold(bench, listing, "one")
    await sold(bench, listing, "two")
    await delivered(bench)
    first = list(bench.sender.posts)
    [(after,)] = await bench.rows("SELECT position FROM webhook_delivery ORDER BY position LIMIT 1")
    await webhooks.redeliver(bench.hub, partner(platform), endpoint.id, after=after)
    await delivered(bench)
    again = bench.sender.posts[4:]
    assert sorted((post.id, post.body) for post in again) == sorted((post.id, post.body) for post in first[1:])
    told = await stream(bench, platform)
    bench.sender.posts = again
    assert per_subject(bench, told) == in_order(told[1:])
    assert len(bench.event_documents.made) == 4


async def test_redelivery_sends_what_a_narrower_document_had_left_out(bench: Bench) -> None:
    platform = await bench.world.platform()
    endpoint = await made(bench, platform, "paid")
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await delivered(bench)
    assert bench.sender.posts == []
    await webhooks.update_endpoint(bench.hub, partner(platform), endpoint.id, document=DOCUMENT)
    await delivered(bench)
    assert bench.sender.posts == []
    await webhooks.redeliver(bench.hub, partner(platform), endpoint.id, after=0)
    await delivered(bench)
    assert [post.id for post in bench.sender.posts] == [id_ for _, _, id_ in await stream(bench, platform)]


async def test_redelivery_of_a_paused_endpoint_waits_and_goes_on_in_order(bench: Bench) -> None:
    platform = await bench.world.platform()
    endpoint = await made(bench, platform)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    await delivered(bench)
    await webhooks.pause_endpoint(bench.hub, partner(platform), endpoint.id)
    await webhooks.redeliver(bench.hub, partner(platform), endpoint.id, after=0)
    await delivered(bench)
    assert len(bench.sender.posts) == 2
    await webhooks.resume_endpoint(bench.hub, partner(platform), endpoint.id)
    await delivered(bench)
    assert [post.id for post in bench.sender.posts] == [id_ for _, _, id_ in await stream(bench, platform)] * 2


async def test_resuming_tries_at_once_what_waited_for_hours(bench: Bench) -> None:
    platform = await bench.world.platform()
    endpoint = await made(bench, platform)
    bench.sender.says.extend([REFUSED] * 4)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    for _ in range(4):
        await delivered(bench)
        bench.clock.pass_us(2000 * SECOND_US)
    await delivered(bench)
    await webhooks.pause_endpoint(bench.hub, partner(platform), endpoint.id)
    await webhooks.resume_endpoint(bench.hub, partner(platform), endpoint.id)
    await delivered(bench)
    assert {state for _, state, _ in await states(bench)} == {"DELIVERED"}


async def test_a_deleted_endpoint_gets_nothing_more_and_holds_back_no_pruning(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    endpoint = await made(bench, platform)
    bench.sender.otherwise = REFUSED
    await sold(bench, listing, "one")
    await delivered(bench)
    assert (await webhooks.delete_endpoint(bench.hub, partner(platform), endpoint.id)).refusal is None
    bench.clock.pass_us(DAY_US)
    await sold(bench, listing, "two")
    await delivered(bench)
    assert len(bench.sender.posts) == 1
    assert [state for _, state, _ in await states(bench)] == ["CANCELED", "CANCELED"]
    assert await bench.one(f"SELECT count(*) FROM consumer WHERE name = 'webhook:{endpoint.id}'") == 0
    [(state, sealed)] = await bench.rows("SELECT state, sealed_secret FROM webhook_endpoint")
    assert (state, bytes(sealed)) == ("DELETED", b"")
    for again in (webhooks.resume_endpoint, webhooks.delete_endpoint, webhooks.rotate_secret):
        answer = await again(bench.hub, partner(platform), endpoint.id)
        assert answer.refusal == NotFound("webhookEndpointId")


async def test_an_endpoint_is_its_platforms_and_the_operators(bench: Bench) -> None:
    platform, other = await bench.world.platform("xue"), await bench.world.platform("kan")
    endpoint = await made(bench, platform)
    before = await bench.rows("SELECT * FROM webhook_endpoint")
    hub, stranger = bench.hub, partner(other)
    for answer in (
        await webhooks.pause_endpoint(hub, stranger, endpoint.id),
        await webhooks.delete_endpoint(hub, stranger, endpoint.id),
        await webhooks.rotate_secret(hub, stranger, endpoint.id),
        await webhooks.redeliver(hub, stranger, endpoint.id, after=0),
        await webhooks.update_endpoint(hub, stranger, endpoint.id, url="https://other.example"),
        await webhooks.update_endpoint(hub, stranger, "whe_none", url="https://other.example"),
    ):
        assert answer.refusal == NotFound("webhookEndpointId")
    foreign = await webhooks.create_endpoint(hub, stranger, url=URL, document=DOCUMENT, platform_id=platform.id)
    unknown = await webhooks.create_endpoint(hub, operator(), url=URL, document=DOCUMENT, platform_id="plt_none")
    assert foreign.refusal == unknown.refusal == NotFound("platformId")
    assert await bench.rows("SELECT * FROM webhook_endpoint") == before
    assert (await webhooks.pause_endpoint(hub, operator(), endpoint.id)).refusal is None
    entries = await bench.rows("SELECT action, actor_kind, platform_id FROM audit_entry ORDER BY created_at_us, id")
    assert sorted(entries) == [
        ("webhookEndpointCreate", "PLATFORM", platform.id), ("webhookEndpointPause", "OPERATOR", platform.id),
    ]  # fmt: skip


async def test_what_cannot_be_kept_is_refused_and_nothing_is_made(bench: Bench) -> None:
    platform = await bench.world.platform()
    viewer = partner(platform)
    bad = await webhooks.create_endpoint(bench.hub, viewer, url=URL, document="bad")
    assert bad.refusal == InvalidInput("document", "this is no document")
    bench.sender.refusal = "not public"
    inside = await webhooks.create_endpoint(bench.hub, viewer, url=URL, document=DOCUMENT)
    assert inside.refusal == InvalidInput("url", "not public")
    bench.sender.refusal = None
    assert await bench.rows("SELECT id FROM webhook_endpoint") == []
    for number in range(MAX_ENDPOINTS):
        await made(bench, platform, url=f"{URL}/{number}")
    one_more = await webhooks.create_endpoint(bench.hub, viewer, url=URL, document=DOCUMENT)
    assert isinstance(one_more.refusal, InvalidInput)
    assert await bench.one("SELECT count(*) FROM webhook_endpoint") == MAX_ENDPOINTS


async def test_a_quiet_endpoint_is_moved_past_others_events_and_misses_none(embedded: Bench) -> None:
    bench = embedded
    quiet, busy = await bench.world.platform("quiet"), await bench.world.platform("busy")
    endpoint = await made(bench, quiet)
    listing = await bench.world.listing(platform=busy)
    order = await bench.order(await bench.world.learner(), listing)

    async def many(tx: Any) -> None:
        for version in range(2, SKIP + 2):
            [hub_audience, *_] = await tx.orders.audiences(order) if version == 2 else [told[0]]
            told.append(hub_audience)
            from hub.domain.events import OrderRecorded

            tx.events.append(replace(order, version=version), OrderRecorded.of(order), [hub_audience], bench.hub.draw())

    told: list[Any] = []
    await bench.store.write(many)
    assert await deliveries.gather(bench.hub) == 1
    assert await deliveries.gather(bench.hub) == 0
    async with bench.store.reading() as rx:
        head = await rx.events.head()
        assert await rx.events.position_of(f"webhook:{endpoint.id}", quiet.id) == head.position
    await sold(bench, await bench.world.listing(platform=quiet), "one")
    await delivered(bench)
    assert [post.id for post in bench.sender.posts] == [id_ for _, _, id_ in await stream(bench, quiet)]


async def test_an_endpoint_that_answers_nobody_is_asked_a_few_times_at_once(bench: Bench) -> None:
    platform = await bench.world.platform()
    listing = await bench.world.listing(platform=platform)
    await made(bench, platform)
    for number in range(9):
        await sold(bench, listing, f"order {number}")
    await deliveries.gather(bench.hub)
    claimed = [await tasks.claim_due(bench.hub, 16, is_pooled=True) for _ in range(3)]
    assert [len(each) for each in claimed] == [4, 0, 0]
