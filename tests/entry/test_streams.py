"""Streams of the log over every transport: the same events, made once for all who are alike, never for who is not."""

import asyncio
import random
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from hub.domain.events import Logged
from hub.domain.people import Viewer
from hub.entry import fanout, standing, wires
from hub.entry.settings import Settings
from tests.entry import toys
from tests.entry.live import EVENTS, OTHER, PLATFORM, WITHIN_S, Live, http_reader, live, ws_reader

SSE = "text/event-stream"
MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/json'
TRANSPORTS = ("ws", "sse", "sse by get", "multipart")
KINDS = "subscription ($after: String, $kinds: [EventKind!]) { events(after: $after, kinds: $kinds) { kind cursor } }"
CURSORS = " ".join(f"c{number}: cursor" for number in range(40))
FAT = f"subscription ($after: String) {{ events(after: $after) {{ subjectVersion {CURSORS} }} }}"  # 4 KB an event


def reader(
    hub: Live, transport: str, document: str = EVENTS, after: str | None = None, **more: Any
) -> AbstractAsyncContextManager[Any]:
    """A subscription to the events after a cursor, over one of the transports."""
    variables = {"after": after, **more.pop("variables", {})}
    if transport == "ws":
        return ws_reader(hub, document, variables, **more)
    if transport == "sse by get":
        return http_reader(hub, SSE, document, variables, method="GET", **more)
    return http_reader(hub, SSE if transport == "sse" else MULTIPART, document, variables, **more)


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


# ---- once for all who are alike -------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What each event was encoded as."""
    bodies: list[bytes] = []
    at_once, make = fanout.Broadcast.made_at_once, fanout.Broadcast._make

    def making_at_once(self: fanout.Broadcast, page: list[Logged]) -> list[bytes] | None:
        made = at_once(self, page)
        bodies.extend(filter(None, made or ()))
        return made

    async def making(self: fanout.Broadcast, logged: Logged) -> bytes:
        made = await make(self, logged)
        bodies.extend(filter(None, [made]))
        return made

    monkeypatch.setattr(fanout.Broadcast, "made_at_once", making_at_once)
    monkeypatch.setattr(fanout.Broadcast, "_make", making)
    return bodies


async def test_fifty_who_are_alike_cost_one_encoding_and_one_read(
    store_url: str, monkeypatch: pytest.MonkeyPatch, counted: list[bytes]
) -> None:
    async with live(store_url, monkeypatch) as hub, AsyncExitStack() as stack:
        await hub.happen()
        cursor = (await taken(await stack.enter_async_context(reader(hub, "ws", after="")), 1))[0]["cursor"]
        readers = [
            await stack.enter_async_context(reader(hub, TRANSPORTS[number % 4], after=cursor if number % 2 else None))
            for number in range(49)
        ]
        await hub.until(lambda: hub.streaming.fanout.waiting == 50)
        assert len(hub.streaming.fanout) == 1  # the cursor that each began after makes no difference
        counted.clear()
        before = len(hub.statements)
        await hub.happen()
        seen = [await taken(opened, 1) for opened in readers]
        await hub.until(lambda: hub.streaming.fanout.waiting == 50)
        assert len(counted) == 1
        reads = [text for text in hub.statements[before:] if text.startswith("SELECT event.id")]
        assert len(reads) <= (1 if store_url.startswith("sqlite") else 2)  # whoever stamps is woken by it once more
    assert seen == [seen[0]] * 49
    assert (len(hub.streaming.fanout), hub.wakeups.waiting) == (0, 0)


async def test_who_is_not_alike_never_shares(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, counted: list[bytes]
) -> None:
    async with live(sqlite_url, monkeypatch) as hub, AsyncExitStack() as stack:
        hub.viewers["fewer scopes"] = replace(hub.viewers["one"], scopes=frozenset({"events:read"}))
        hub.viewers["another key"] = replace(hub.viewers["one"], key_id="key_2")
        different = [
            reader(hub, "ws"),
            reader(hub, "ws", who="other"),
            reader(hub, "ws", who="fewer scopes"),
            reader(hub, "ws", who="another key"),
            reader(hub, "ws", EVENTS + " "),
            reader(hub, "ws", KINDS, variables={"kinds": ["LISTING_CHANGED"]}),
            reader(hub, "ws", KINDS, variables={"kinds": ["LISTING_CHANGED", "ORDER_PAID"]}),
        ]
        opened = [await stack.enter_async_context(one) for one in different]
        await hub.until(lambda: hub.streaming.fanout.waiting == len(different))
        assert len(hub.streaming.fanout) == len(different)
        await hub.happen()
        await hub.happen(stream=OTHER)
        seen = [(await taken(one, 1))[0] for one in opened]
        assert len(counted) == len(different)
        assert seen[0]["id"] != seen[1]["id"]
        assert [event["id"] for event in seen[2:5]] == [seen[0]["id"]] * 3


async def test_however_many_differ_what_is_remembered_for_late_comers_is_bounded(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 4_000
    monkeypatch.setattr(fanout, "MAX_ALL_MADE_BYTES", most)
    async with live(sqlite_url, monkeypatch) as hub:
        kept = hub.streaming.fanout.kept
        async with AsyncExitStack() as stack:
            text = EVENTS.replace("id", "id @skip(if: false)", 1)  # for the executor: only then is it remembered
            texts = [text + " " * number for number in range(3)] * 2
            opened = [await stack.enter_async_context(reader(hub, "ws", text, after="")) for text in texts]
            await hub.happen(20)
            seen = [await taken(one, 20) for one in opened]
            assert 0 < kept.size <= most
            late = await stack.enter_async_context(reader(hub, "ws", text, after=""))
            assert await taken(late, 20) == seen[0]
        await hub.until(lambda: not len(hub.streaming.fanout))
    assert seen == [seen[0]] * 6
    assert kept.size == 0


async def test_a_cursor_that_is_also_used_elsewhere_parts_subscribers(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = "subscription ($after: String) { events(after: $after) { id @include(if: true) kind } }"
    shown = "subscription ($after: String, $if: Boolean!) { events(after: $after) { id @include(if: $if) kind } }"
    async with live(sqlite_url, monkeypatch) as hub, AsyncExitStack() as stack:
        await hub.happen()
        for text, variables in ((document, {}), (shown, {"if": True}), (shown, {"if": False})):
            await stack.enter_async_context(reader(hub, "ws", text, after="", variables=variables))
        await hub.until(lambda: hub.streaming.fanout.waiting == 3)
        assert len(hub.streaming.fanout) == 3


async def test_events_that_a_filter_holds_back_are_executed_for_nobody(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, counted: list[bytes]
) -> None:
    async with live(sqlite_url, monkeypatch) as hub, reader(hub, "ws", KINDS, variables={"kinds": ["ORDER_PAID"]}):
        await hub.until(lambda: hub.streaming.fanout.waiting == 1)
        [tail] = hub.streaming.fanout.tails
        await hub.happen(3)
        await hub.until(lambda: tail.head >= 3)
        assert counted == []


# ---- cut, resumed, slow ---------------------------------------------------------------------------------------------


async def test_a_subscriber_who_is_cut_at_random_and_resumes_sees_everything_in_order(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, seen, cursor = random.Random(7), [], ""
    async with live(store_url, monkeypatch) as hub:

        async def writing() -> None:
            for _ in range(40):
                await hub.happen(5)

        writer = asyncio.create_task(writing())
        while len(seen) < 200:
            async with reader(hub, TRANSPORTS[len(seen) % 4], after=cursor) as opened:
                for event in await taken(opened, min(chance.randint(10, 50), 200 - len(seen))):
                    seen.append(event["id"])
                    cursor = event["cursor"]
        await writer
        async with hub.store.reading() as rx:
            kept = await rx.events.read(PLATFORM, 0, 1000)
    assert seen == [event.id for event in kept]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small buffers of the system, and little patience: a stalled reader shows within a second."""
    listen = toys.listen

    def narrowly(settings: Settings) -> socket.socket:
        listener = listen(settings)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        return listener

    monkeypatch.setattr(toys, "listen", narrowly)
    monkeypatch.setattr(wires, "CHECK_S", 0.05)
    for wire in (wires.SocketWire, wires.AsgiWire):
        monkeypatch.setattr(wire, "stall_s", 0.25)


@pytest.mark.parametrize("transport", ["ws", "sse", "multipart"])
@pytest.mark.parametrize("begins", ["behind", "at the tail"])
async def test_a_reader_who_stops_costs_little_and_is_told_where_to_go_on(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, narrow: None, transport: str, begins: str
) -> None:
    more: dict[str, Any] = {"max_queue": 1} if transport == "ws" else {}
    async with live(sqlite_url, monkeypatch) as hub, AsyncExitStack() as stack:
        if begins == "behind":
            await hub.happen(300)
        opened = await stack.enter_async_context(reader(hub, transport, FAT, after="", **more))
        quick = await stack.enter_async_context(reader(hub, "ws", FAT, after="", id_="quick"))
        if begins == "at the tail":
            await hub.until(lambda: hub.streaming.fanout.waiting == 2)
            await hub.happen(300)
        assert len(await taken(quick, 300)) == 300  # the other one is not held up
        await hub.until(lambda: hub.value("hub_slow_consumers_total") == 1)
        seen = []
        while "data" in (told := await opened.next()):
            seen.append(told["data"]["events"]["subjectVersion"])
        [error] = told["ended"]
        assert error["extensions"]["code"] == "SLOW_CONSUMER"
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) < 300
        async with reader(hub, transport, FAT, after=error["extensions"]["cursor"]) as again:
            rest = [event["subjectVersion"] for event in await taken(again, 300 - len(seen))]
        assert seen + rest == list(range(1, 301))


async def test_a_reader_who_falls_too_far_behind_is_told_so_though_it_reads(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, narrow: None
) -> None:
    monkeypatch.setattr(fanout, "MAX_BEHIND", 300)
    for wire in (wires.SocketWire, wires.AsgiWire):
        monkeypatch.setattr(wire, "stall_s", 60.0)
    async with live(sqlite_url, monkeypatch) as hub, AsyncExitStack() as stack:
        opened = await stack.enter_async_context(reader(hub, "sse", FAT))
        await hub.until(lambda: hub.streaming.fanout.waiting == 1)
        for _ in range(12):
            await hub.happen(100)
        await hub.until(lambda: hub.value("hub_slow_consumers_total") == 1)
        while "data" in (told := await opened.next()):
            pass
        assert told["ended"][0]["extensions"]["code"] == "SLOW_CONSUMER"


# ---- whose stream it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_credential_that_ends_takes_its_streams_with_it_and_no_others(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, transport: str, how: str
) -> None:
    monkeypatch.setattr(standing, "WATCH_S", 0.05)
    async with live(sqlite_url, monkeypatch) as hub, AsyncExitStack() as stack:
        soon = hub.world.clock.now_us() + 1_000_000
        hub.viewers["brief"] = replace(hub.viewers["one"], expires_at_us=soon if how == "expired" else None, key_id="k")
        opened = await stack.enter_async_context(reader(hub, transport, who="brief"))
        stays = await stack.enter_async_context(reader(hub, transport))
        await hub.until(lambda: hub.streaming.fanout.waiting == 2)
        if how == "revoked":
            hub.revoked.add("brief")
        else:
            hub.world.clock.pass_us(1_000_000)
            await hub.happen()
        if transport == "ws":
            await asyncio.wait_for(opened.ws.wait_closed(), WITHIN_S)
            assert (opened.ws.close_code, opened.ws.close_reason) == (4403, "Forbidden: the credential has ended")
        else:
            told = await opened.next()
            assert [error["extensions"]["code"] for error in told["ended"]] == ["UNAUTHENTICATED"]
            assert await opened.next() == {"complete": True}
        await hub.until(lambda: hub.streaming.fanout.waiting == 1)
        await hub.happen()
        await taken(stays, 1)


async def test_a_token_that_ends_in_the_middle_of_a_replay_ends_it_there(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand, many = fanout.demand_token, 1_000
    async with live(sqlite_url, monkeypatch) as hub:

        def later(of: Any, viewer: Viewer) -> None:
            hub.world.clock.pass_us(400_000)
            demand(of, viewer)

        monkeypatch.setattr(fanout, "demand_token", later)
        soon = hub.world.clock.now_us() + 1_000_000
        hub.viewers["brief"] = replace(hub.viewers["one"], expires_at_us=soon)
        await hub.happen(many)
        async with reader(hub, "sse", after="", who="brief") as opened:
            seen = []
            while "data" in (told := await opened.next()):
                seen.append(told["data"]["events"]["subjectVersion"])
        assert [error["extensions"]["code"] for error in told["ended"]] == ["UNAUTHENTICATED"]
        assert seen == list(range(1, len(seen) + 1))
        assert 0 < len(seen) < many  # two pieces: the token had ended when the third was to be written


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_viewer_has_so_many_streams_and_no_more(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setattr(standing, "MOST", dict.fromkeys(standing.MOST, 2))
    async with live(sqlite_url, monkeypatch) as hub:
        async with reader(hub, "ws"), reader(hub, "sse"), reader(hub, "ws", who="other"):
            await hub.until(lambda: hub.streaming.fanout.waiting == 3)
            async with reader(hub, transport) as third:
                told = await third.next()
                assert [error["extensions"]["code"] for error in told["ended"]] == ["THROTTLED"]
        await hub.until(lambda: hub.streaming.fanout.waiting == 0)
        async with reader(hub, transport, after="") as again:
            await hub.happen()
            await taken(again, 1)


# ---- what HTTP says -------------------------------------------------------------------------------------------------


async def test_a_stream_over_http_begins_as_http_does(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with live(sqlite_url, monkeypatch) as hub, httpx.AsyncClient(trust_env=False, verify=False) as client:
        url, named = f"http://{hub.address}/graphql", {"Accept": SSE, "Authorization": "Bearer one"}
        asked = {"query": EVENTS}
        single = await client.put(url, headers=named)
        stranger = await client.post(url, headers=named | {"Authorization": "Bearer nobody"}, json=asked)
        plain = await client.post(url, headers=named | {"Accept": "application/json"}, json=asked)
        query = await client.post(url, headers=named, json={"query": "{ viewer { kind } }"})
        both = await client.post(
            url, headers=named | {"Accept": f"{SSE}, application/json"}, json={"query": "{ viewer { kind } }"}
        )
        wrong = await client.post(url, headers=named, json={"query": "subscription { nope }"})
        mutation = await client.get(url, headers=named, params={"query": "mutation { __typename }"})
    assert [answer.status_code for answer in (single, stranger, plain, query, both, wrong, mutation)] == [
        405, 401, 406, 200, 200, 200, 200,
    ]  # fmt: skip
    assert (query.headers["content-type"], query.headers["cache-control"]) == (
        "text/event-stream; charset=utf-8", "private, no-store, no-transform",
    )  # fmt: skip
    data = '{"data":{"viewer":{"kind":"PLATFORM"}}}'
    assert query.text.endswith(f"event: next\ndata: {data}\n\nevent: complete\ndata: \n\n")
    assert both.json() == {"data": {"viewer": {"kind": "PLATFORM"}}}
    assert "\r" not in wrong.text
    assert '"code":"BAD_USER_INPUT"' in wrong.text
    assert "event: complete" in wrong.text
    assert '"errors"' in mutation.text


async def test_where_queries_by_get_are_off_gateways_may_still_subscribe(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(sqlite_url, monkeypatch, get="false") as hub:
        async with http_reader(hub, SSE, "{ viewer { kind } }", method="GET") as query:
            assert [error["extensions"]["code"] for error in (await query.next())["ended"]] == ["BAD_USER_INPUT"]
        async with http_reader(hub, SSE, EVENTS, {"after": ""}, method="GET") as opened:
            await hub.happen()
            await taken(opened, 1)


@pytest.mark.parametrize(("transport", "beat"), [("sse", b":\n\n"), ("multipart", b"{}")])
async def test_a_silent_stream_beats_and_is_cut_when_the_server_goes_away(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, transport: str, beat: bytes
) -> None:
    monkeypatch.setattr("hub.entry.graphql_streams.LOOK_S", 0.02)
    monkeypatch.setattr("hub.entry.graphql_streams.BEAT_S", 0.04)
    async with live(sqlite_url, monkeypatch) as hub, reader(hub, transport) as opened:
        seen = b""
        async with asyncio.timeout(WITHIN_S):
            while seen.count(beat) < 3:
                seen += await anext(opened.raw)
            hub.app.state.is_draining = True
            async for piece in opened.raw:
                seen += piece
    assert b"complete" not in seen
    assert not seen.endswith(b"--\r\n")
