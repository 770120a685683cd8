"""Streams: own ones alone, in order, none doubled, resumable from any cursor, ended with the token."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.people import ANONYMOUS
from tests.resolvers.conftest import Api, until
from tests.resolvers.scenes import CHECKOUT, buy, market
from tests.world import learner, operator, partner

EVENTS = """
subscription ($after: String, $platform: ID, $kinds: [EventKind!]) {
  events(after: $after, platform: $platform, kinds: $kinds) {
    id cursor kind subject subjectVersion occurredAt payload { __typename ... on EntitlementEvent { orderId buyer } }
  }
}
"""
ORDER_UPDATED = """
subscription ($id: ID!, $after: String) {
  orderUpdated(orderId: $id, after: $after) { event { kind subject cursor } order { id status course { title } } }
}
"""
WITHIN_S = 10.0


async def taken(stream: AsyncIterator[Any], count: int, field: str) -> list[Any]:
    """The next results, which must be there in time."""
    found = []
    for _ in range(count):
        result = await asyncio.wait_for(anext(stream), WITHIN_S)
        assert result.errors is None, result.errors
        found.append(result.data[field])
    return found


async def refused(api: Api, viewer: Any, document: str, **variables: Any) -> str:
    """The code with which a subscription ends before its first event."""
    async for result in api.follow(viewer, document, **variables):
        return str(result.errors[0].extensions["code"])
    raise AssertionError("the stream ended without a word")


async def replayed(api: Api, viewer: Any, **variables: Any) -> list[Any]:
    query = (
        "query($first: Int!, $after: String, $platform: ID, $kinds: [EventKind!]) { events(first: $first,"
        " after: $after, platform: $platform, kinds: $kinds) { nodes { id kind cursor } edges { cursor node { id } }"
        " pageInfo { hasNextPage endCursor } } }"
    )
    data = await api.data(viewer, query, **variables)
    nodes: list[Any] = data["events"]["nodes"]
    assert [edge["cursor"] for edge in data["events"]["edges"]] == [node["cursor"] for node in nodes]
    return nodes


async def test_replay_goes_over_into_live_without_gap_or_double(api: Api) -> None:
    scene = await market(api)
    seller = scene.viewers["seller"]
    stream = api.follow(seller, EVENTS, after="")
    old = await replayed(api, seller, first=100, after="")
    ids = [event["id"] for event in await taken(stream, len(old), "events")]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await buy(api, await api.world.user(), await api.world.listing(platform=scene.seller), "live")
    live = (await asyncio.wait_for(waiting, WITHIN_S)).data["events"]
    fresh = await replayed(api, seller, first=100, after=old[-1]["cursor"])
    ids += [live["id"], *(event["id"] for event in await taken(stream, len(fresh) - 1, "events"))]
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, which may be closed before its end
    assert ids == [event["id"] for event in old + fresh]
    assert len(set(ids)) == len(ids)


async def test_wake_ups_with_false_content_bring_nothing_and_lose_nothing(api: Api) -> None:
    scene = await market(api)
    seller = scene.viewers["seller"]
    old = await replayed(api, seller, first=100, after="")
    stream = api.follow(seller, EVENTS, after=old[-1]["cursor"])
    waiting = asyncio.ensure_future(anext(stream))
    for position in (-1, 0, 1, 10**15, 2**70):
        for name in (scene.seller.id, scene.stranger.id, "hub", "tasks", ""):
            api.wakeups.publish(name, position)
        await asyncio.sleep(0.01)  # as long as a look takes; nothing may come of it
    assert not waiting.done()
    await buy(api, await api.world.user(), await api.world.listing(platform=scene.seller), "true")
    first = (await asyncio.wait_for(waiting, WITHIN_S)).data["events"]
    fresh = await replayed(api, seller, first=100, after=old[-1]["cursor"])
    ids = [first["id"], *(event["id"] for event in await taken(stream, len(fresh) - 1, "events"))]
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, though typed as an iterator
    assert ids == [event["id"] for event in fresh]


async def test_any_cursor_resumes_right_after_it(api: Api) -> None:
    scene = await market(api)
    seller = scene.viewers["seller"]
    everything = await replayed(api, seller, first=100, after="")
    for number, event in enumerate(everything[:-1]):
        stream = api.follow(seller, EVENTS, after=event["cursor"])
        (following,) = await taken(stream, 1, "events")
        await stream.aclose()  # type: ignore[attr-defined]  # a generator, which may be closed before its end
        assert following["id"] == everything[number + 1]["id"]
    pages, cursor = [], ""
    while page := await replayed(api, seller, first=2, after=cursor):
        pages += page
        cursor = page[-1]["cursor"]
    assert pages == everything


async def test_absent_after_follows_from_now(api: Api) -> None:
    scene = await market(api)
    stream = api.follow(scene.viewers["seller"], EVENTS)
    waiting = asyncio.ensure_future(anext(stream))
    await until(lambda: api.wakeups.waiting > 0)
    order = await buy(api, await api.world.user(), await api.world.listing(platform=scene.seller), "live")
    first = (await asyncio.wait_for(waiting, WITHIN_S)).data["events"]
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, which may be closed before its end
    assert (first["kind"], first["subject"]) == ("ORDER_CREATED", order["id"])


async def test_an_honouring_platform_is_told_of_the_right_not_of_the_order(api: Api) -> None:
    scene = await market(api)
    stream = api.follow(scene.viewers["honouring"], EVENTS, after="", kinds=["ENTITLEMENT_GRANTED"])
    granted = await taken(stream, 2, "events")
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, which may be closed before its end
    assert [event["payload"]["orderId"] for event in granted] == [None, None]
    kinds = {event["kind"] for event in await replayed(api, scene.viewers["honouring"], first=100, after="")}
    assert kinds == {"ENTITLEMENT_GRANTED"}


async def test_whose_stream(api: Api) -> None:
    scene = await market(api)
    seller, other = scene.seller.id, scene.honouring.id
    assert await refused(api, partner(scene.seller), EVENTS, platform=other) == "FORBIDDEN"
    assert await refused(api, ANONYMOUS, EVENTS) == "UNAUTHENTICATED"
    assert await refused(api, learner(scene.me), EVENTS) == "FORBIDDEN"  # a learner follows orderUpdated
    assert await refused(api, operator(), EVENTS, platform="nowhere") == "BAD_USER_INPUT"
    own = await replayed(api, partner(scene.seller), first=100, after="", platform=seller)
    assert own == await replayed(api, operator(), first=100, after="", platform=seller)


@pytest.mark.parametrize("after", ["x", "\x00", "A" * 5000], ids=["short", "nul", "long"])
async def test_cursors_that_are_none(api: Api, after: str) -> None:
    scene = await market(api)
    assert await refused(api, scene.viewers["seller"], EVENTS, after=after) == "BAD_USER_INPUT"


async def test_a_cursor_of_another_stream_is_refused(api: Api) -> None:
    scene = await market(api)
    (first, *_) = await replayed(api, scene.viewers["seller"], first=1, after="")
    for viewer in (scene.viewers["honouring"], operator()):
        assert await refused(api, viewer, EVENTS, after=first["cursor"]) == "BAD_USER_INPUT"


async def test_a_learners_order_updated_reads_no_event_of_others(api: Api) -> None:
    """Their own stream from its beginning, and of it one order: nothing of the other buyer's, nothing twice."""
    scene = await market(api)
    again = await buy(api, scene.me, await api.world.listing(), "another order of mine")
    stream = api.follow(scene.viewers["buyer"], ORDER_UPDATED, id=scene.mine["id"], after="")
    updates = await taken(stream, 5, "orderUpdated")
    waiting = asyncio.ensure_future(anext(stream))
    await until(lambda: api.wakeups.waiting > 0)
    assert not waiting.done()
    waiting.cancel()
    kinds = [update["event"]["kind"] for update in updates]
    assert sorted(kinds) == sorted(
        ["ORDER_CREATED", "PAYMENT_ATTEMPT_CHANGED", "PAYMENT_ATTEMPT_CHANGED", "ORDER_PAID", "ENTITLEMENT_GRANTED"]
    )
    assert kinds[0] == "ORDER_CREATED"
    assert len({update["event"]["cursor"] for update in updates}) == 5
    assert {update["order"]["id"] for update in updates} == {scene.mine["id"]}
    assert again["id"] not in str(updates)
    assert scene.theirs["id"] not in str(updates)


async def test_order_updated_of_an_order_that_is_not_yours_is_not_found(api: Api) -> None:
    scene = await market(api)
    for who, id_ in (("buyer", scene.theirs["id"]), ("honouring", scene.mine["id"]), ("buyer", "nonsense"),
                     ("operator", "ord_" + "0" * 26)):  # fmt: skip
        assert await refused(api, scene.viewers[who], ORDER_UPDATED, id=id_) == "NOT_FOUND"


async def test_order_updated_shows_how_an_order_becomes_paid(api: Api) -> None:
    api.channel.gate = asyncio.Event()
    listing, viewer = await api.world.listing(), await api.world.learner()
    paying = asyncio.create_task(api.data(viewer, CHECKOUT, listing=listing.id, key="k"))
    await until(lambda: api.channel.calls > 0)
    (order,) = (await api.data(viewer, "{ orders(first: 1) { nodes { id status } } }"))["orders"]["nodes"]
    assert order["status"] == "AWAITING_PAYMENT"
    stream = api.follow(viewer, ORDER_UPDATED, id=order["id"])
    waiting = asyncio.ensure_future(anext(stream))
    await until(lambda: api.wakeups.waiting > 0)
    api.channel.gate.set()
    await paying
    first = (await asyncio.wait_for(waiting, WITHIN_S)).data["orderUpdated"]
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, which may be closed before its end
    assert first["order"] == {"id": order["id"], "status": "PAID", "course": {"title": "Knots"}}


async def test_an_update_costs_a_fixed_number_of_statements(api: Api) -> None:
    scene = await market(api)
    stream = api.follow(scene.viewers["buyer"], ORDER_UPDATED, id=scene.mine["id"], after="")
    await taken(stream, 1, "orderUpdated")
    before = len(api.statements)
    await taken(stream, 4, "orderUpdated")
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, which may be closed before its end
    assert len(api.statements) - before == 4  # the order once per event; the batch was read already


async def test_the_stream_ends_with_the_token(api: Api) -> None:
    scene = await market(api)
    soon = api.world.clock.now_us() + 50_000
    seller = replace(scene.viewers["seller"], expires_at_us=soon)
    stream = api.follow(seller, EVENTS, after="")
    await taken(stream, 2, "events")
    api.world.clock.pass_us(50_000)
    result = await asyncio.wait_for(anext(stream), WITHIN_S)
    assert result.errors[0].extensions["code"] == "UNAUTHENTICATED"
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(stream), WITHIN_S)


async def test_a_waiting_stream_ends_with_the_token_too(api: Api) -> None:
    scene = await market(api)
    seller = replace(scene.viewers["seller"], expires_at_us=api.world.clock.now_us() + 20_000)
    stream = api.follow(seller, EVENTS)
    waiting = asyncio.ensure_future(anext(stream))
    await until(lambda: api.wakeups.waiting > 0)
    api.world.clock.pass_us(20_000)
    result = await asyncio.wait_for(waiting, WITHIN_S)
    assert result.errors[0].extensions["code"] == "UNAUTHENTICATED"
    assert api.wakeups.waiting == 0


async def test_a_stream_that_is_left_waits_no_more(api: Api) -> None:
    scene = await market(api)
    stream = api.follow(scene.viewers["seller"], EVENTS)
    waiting = asyncio.ensure_future(anext(stream))
    await until(lambda: api.wakeups.waiting > 0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert api.wakeups.waiting == 0
