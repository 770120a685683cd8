"""Streams of the log over every transport: the same events, made once for all who are alike, never for who is not."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest

from tests.entry.live import EVENTS, Live, http_reader, live, ws_reader

SSE = "text/event-stream"
MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/json'


def reader(
    hub: Live, transport: str, document: str = EVENTS, after: str | None = None, **more: Any
) -> AbstractAsyncContextManager[Any]:
    """A subscription to the events after a cursor, over one of the transports."""
    variables = {"after": after}
    if transport == "ws":
        return ws_reader(hub, document, variables, **more)
    if transport == "sse by get":
        return http_reader(hub, SSE, document, variables, method="GET", **more)
    return http_reader(hub, SSE if transport == "sse" else MULTIPART, document, variables, **more)


TRANSPORTS = ("ws", "sse", "sse by get", "multipart")


async def taken(opened: Any, number: int) -> list[Any]:
    found = [await opened.next() for _ in range(number)]
    assert all("data" in told for told in found), found[-1]
    return [told["data"]["events"] for told in found]


async def test_every_transport_delivers_the_same_events_from_replay_into_live(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(store_url, monkeypatch) as hub, AsyncExitStack() as stack:
        await hub.happen(130)
        readers = [await stack.enter_async_context(reader(hub, name, after="")) for name in TRANSPORTS]
        seen = [await taken(opened, 130) for opened in readers]
        await hub.happen(3)
        await hub.happen(2)
        seen = [[*old, *await taken(opened, 5)] for old, opened in zip(seen, readers, strict=True)]
        assert [event["subjectVersion"] for event in seen[0]] == list(range(1, 136))
        assert seen == [seen[0]] * len(TRANSPORTS)
