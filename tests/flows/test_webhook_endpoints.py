"""Endpoints as their owners keep them: redelivery, resuming, deleting, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from hub.domain.refusals import InvalidInput, NotFound
from hub.domain.webhooks import MAX_ENDPOINTS
from hub.flows import deliveries, tasks, webhooks
from hub.flows.tasks import SKIP
from tests.flows.benches import Bench
from tests.flows.hooks import DOCUMENT, URL, delivered, in_order, made, per_subject, sold, states, stream
from tests.flows.scripted import REFUSED
from tests.world import DAY_US, SECOND_US, operator, partner


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


@pytest.mark.parametrize("mended", ["resumed", "at another URL"])
async def test_what_waited_for_hours_is_tried_at_once_where_the_endpoint_is_mended(bench: Bench, mended: str) -> None:
    platform = await bench.world.platform()
    endpoint = await made(bench, platform)
    bench.sender.says.extend([REFUSED] * 4)
    await sold(bench, await bench.world.listing(platform=platform), "one")
    for _ in range(4):
        await delivered(bench)
        bench.clock.pass_us(2000 * SECOND_US)
    await delivered(bench)
    if mended == "resumed":
        await webhooks.pause_endpoint(bench.hub, partner(platform), endpoint.id)
        await webhooks.resume_endpoint(bench.hub, partner(platform), endpoint.id)
    else:
        await webhooks.update_endpoint(bench.hub, partner(platform), endpoint.id, url="https://other.example/hook")
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
