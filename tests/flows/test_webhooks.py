"""Which endpoint gets which event, in which order, signed by whom."""

import asyncio
from dataclasses import replace

from standardwebhooks import Webhook, WebhookVerificationError

from hub.domain.people import PARTNER_SCOPES, Viewer, ViewerKind
from hub.domain.refusals import InvalidInput, StateConflict
from hub.domain.webhooks import ROTATION_US
from hub.flows import keys, webhooks
from tests.flows.benches import Bench
from tests.flows.hooks import DOCUMENT, URL, delivered, endpoint_now, in_order, made, per_subject, sold, stream
from tests.flows.scripted import Post
from tests.world import operator, partner

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
