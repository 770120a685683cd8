"""Where the log begins: a cursor before it is refused by name, and a follower it overtakes is told, not skipped."""

import asyncio
from typing import Any

import pytest

from hub.domain.people import Viewer
from hub.store.transactions import Tx
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import buy, market
from tests.resolvers.test_subscriptions import EVENTS, refused, replayed, taken


async def prune(api: Api, last: int) -> None:
    """Everything up to that position leaves the log."""

    async def leave(tx: Tx) -> None:
        assert await tx.archive.take((await tx.events.head()).oldest, last)

    await api.hub.store.stamp()
    await api.hub.store.write(leave)


async def head(api: Api) -> int:
    await api.hub.store.stamp()
    async with api.hub.store.reading() as rx:
        return (await rx.events.head()).position


async def first_error(stream: Any) -> Any:
    """The error that ends a stream, whatever came before it."""
    async for result in stream:
        if result.errors:
            return result.errors[0]
    raise AssertionError("the stream ended without a word")


async def test_a_cursor_of_before_is_refused_with_the_oldest_one_that_is_good(api: Api) -> None:
    scene = await market(api)
    seller = scene.viewers["seller"]
    old = await replayed(api, seller, first=100, after="")
    await prune(api, api.hub.cursors.open(old[1]["cursor"])[1])
    assert await refused(api, seller, EVENTS, after=old[0]["cursor"]) == "CURSOR_EXPIRED"
    query = "query($after: String) { events(first: 100, after: $after) { nodes { id } } }"
    [error] = (await api.ask(seller, query, after=old[0]["cursor"])).errors
    assert error.extensions["code"] == "CURSOR_EXPIRED"
    rest = await replayed(api, seller, first=100, after=error.extensions["oldest"])
    assert rest == await replayed(api, seller, first=100, after="") == old[2:]
    assert await replayed(api, seller, first=100, after=old[1]["cursor"]) == old[2:]


async def test_a_follower_that_the_log_overtakes_is_told_and_goes_on_from_the_oldest(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.events.BATCH", 1)
    scene = await market(api)
    seller = scene.viewers["seller"]
    old = await replayed(api, seller, first=100, after="")
    stream = api.follow(seller, EVENTS, after="")
    (first,) = await taken(stream, 1, "events")
    await prune(api, api.hub.cursors.open(old[2]["cursor"])[1])
    error = await asyncio.wait_for(first_error(stream), 10)
    assert (first["id"], error.extensions["code"]) == (old[0]["id"], "CURSOR_EXPIRED")
    assert await replayed(api, seller, first=100, after=error.extensions["oldest"]) == old[3:]


async def test_a_follower_of_a_quiet_stream_loses_nothing_by_what_others_lose(api: Api) -> None:
    scene = await market(api)
    stranger: Viewer = scene.viewers["stranger"]
    stream = api.follow(stranger, EVENTS, after="")
    seen = len(await replayed(api, stranger, first=100, after=""))
    await taken(stream, seen, "events")
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await buy(api, await api.world.user(), await api.world.listing(platform=scene.seller), "others'")
    await prune(api, await head(api))
    await buy(api, await api.world.user(), await api.world.listing(platform=scene.stranger), "theirs")
    result = await asyncio.wait_for(waiting, 10)
    assert result.errors is None
    assert result.data["events"]["kind"] == "ORDER_CREATED"
    await stream.aclose()  # type: ignore[attr-defined]  # a generator, though typed as an iterator
