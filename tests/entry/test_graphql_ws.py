"""GraphQL over WebSocket against a real server: every close code by its cause, and siblings that live on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from hub.entry import serving, wires
from hub.entry.graphql_http import HubGraphQL
from hub.entry.graphql_ws import MAX_OPERATIONS
from tests.entry.toys import SECRET, USER, ToyHub, app_of, served

PROTOCOL = Subprotocol("graphql-transport-ws")
INIT = {"type": "connection_init"}
ACK = {"type": "connection_ack"}
WITHIN_S = 10.0


@asynccontextmanager
async def socket_of(
    toys: ToyHub | None = None, *, app: Starlette | None = None, protocol: str = PROTOCOL, **more: Any
) -> AsyncIterator[ClientConnection]:
    async with (
        served(app or app_of(toys or ToyHub())) as address,
        connect(f"ws://{address}/graphql", subprotocols=[Subprotocol(protocol)], proxy=None, **more) as ws,
    ):
        yield ws


async def send(ws: ClientConnection, *frames: object) -> None:
    for frame in frames:
        await ws.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))


async def got(ws: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(ws.recv(), WITHIN_S))


async def closed(ws: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close, whatever came before it."""
    await asyncio.wait_for(ws.wait_closed(), WITHIN_S)
    assert ws.close_code is not None
    return ws.close_code, ws.close_reason or ""


async def begin(ws: ClientConnection, payload: object = None) -> None:
    await send(ws, INIT | ({"payload": payload} if payload is not None else {}))
    assert await got(ws) == ACK


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  # what it waits for is in another program's hands
            await asyncio.sleep(0.005)


def operation(id_: str, query: str, **more: object) -> dict[str, object]:
    return {"type": "subscribe", "id": id_, "payload": {"query": query, **more}}


async def test_query_mutation_and_subscription_run_on_one_connection() -> None:
    toys = ToyHub()
    async with socket_of(toys) as ws:
        await begin(ws)
        await send(ws, operation("q", "query ($text: String!) { echo(text: $text) }", variables={"text": "知识"}))
        assert [await got(ws) for _ in range(2)] == [
            {"id": "q", "type": "next", "payload": {"data": {"echo": "知识"}}},
            {"id": "q", "type": "complete"},
        ]
        await send(ws, operation("m", "mutation { buy(number: 3) }"))
        assert [await got(ws) for _ in range(2)] == [
            {"id": "m", "type": "next", "payload": {"data": {"buy": 3}}},
            {"id": "m", "type": "complete"},
        ]
        await send(ws, operation("s", "subscription { count(to: 2) }"))
        assert [await got(ws) for _ in range(3)] == [
            {"id": "s", "type": "next", "payload": {"data": {"count": 1}}},
            {"id": "s", "type": "next", "payload": {"data": {"count": 2}}},
            {"id": "s", "type": "complete"},
        ]
    assert toys.bought == [3]


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_viewer_comes_from_the_connection_parameters(name: str) -> None:
    toys = ToyHub()
    async with socket_of(toys) as ws:
        await begin(ws, {name: f"Bearer {toys.token()}"})
        await send(ws, operation("q", "{ viewer }"))
        assert (await got(ws))["payload"] == {"data": {"viewer": USER}}


async def test_viewer_may_come_from_the_handshake() -> None:
    toys = ToyHub()
    async with socket_of(toys, additional_headers={"Authorization": f"Bearer {toys.token()}"}) as ws:
        await begin(ws)
        await send(ws, operation("q", "{ viewer }"))
        assert (await got(ws))["payload"] == {"data": {"viewer": USER}}


@pytest.mark.parametrize("payload", [{"Authorization": "Bearer nonsense"}, {"Authorization": 7}])
async def test_credential_that_is_not_taken_closes_with_4403(payload: object) -> None:
    async with socket_of() as ws:
        await send(ws, INIT | {"payload": payload})
        code, reason = await closed(ws)
    assert code == 4403
    assert reason.startswith("Forbidden")


async def test_token_that_ends_takes_its_streams_with_it() -> None:
    toys = ToyHub()
    async with socket_of(toys) as ws:
        await begin(ws, {"Authorization": f"Bearer {toys.token(lifetime_s=1)}"})
        await send(ws, operation("s", "subscription { forever }"))
        assert (await got(ws))["type"] == "next"
        toys.clock.pass_us(1_000_000)
        assert await closed(ws) == (4403, "Forbidden: the credential has ended")
        await until(lambda: toys.followers == 0)


DEEP: Any = json.loads("[" * 65 + "]" * 65)
MALFORMED: list[object] = [
    "{",
    "[1,2]",
    "null",
    '"ping"',
    b"{}",
    {},
    {"type": 7},
    {"type": "start"},
    {"type": "connection_init", "payload": [1]},
    {"type": "ping", "payload": "x"},
    {"type": "subscribe", "payload": {"query": "{ viewer }"}},
    {"type": "subscribe", "id": 1, "payload": {"query": "{ viewer }"}},
    {"type": "subscribe", "id": "", "payload": {"query": "{ viewer }"}},
    {"type": "subscribe", "id": "x" * 129, "payload": {"query": "{ viewer }"}},
    {"type": "subscribe", "id": "a"},
    {"type": "subscribe", "id": "a", "payload": []},
    {"type": "subscribe", "id": "a", "payload": {}},
    {"type": "subscribe", "id": "a", "payload": {"query": None}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ viewer }", "variables": []}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ viewer }", "operationName": {}}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ viewer }", "extensions": 1}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ viewer }", "variables": {"x": DEEP}}},
    {"type": "complete"},
]


@pytest.mark.parametrize("is_begun", [False, True], ids=["before init", "after init"])
async def test_frame_that_is_none_of_the_protocol_closes_with_4400(
    is_begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    codes = []
    async with served(app_of(ToyHub())) as address:
        for frame in MALFORMED:
            async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], proxy=None) as ws:
                if is_begun:
                    await begin(ws)
                await send(ws, frame)
                codes.append((await closed(ws))[0])
    assert codes == [4400] * len(MALFORMED)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_connection_that_says_nothing_closes_with_4408(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(ToyHub())
    view = next(view for route in app.routes if isinstance(view := getattr(route, "app", None), HubGraphQL))
    assert view.connection_init_wait_timeout == timedelta(seconds=5)
    monkeypatch.setattr(view, "connection_init_wait_timeout", timedelta(milliseconds=50))
    async with socket_of(app=app) as ws:
        assert (await closed(ws))[0] == 4408


async def test_second_init_closes_with_4429() -> None:
    async with socket_of() as ws:
        await begin(ws)
        await send(ws, INIT)
        assert (await closed(ws))[0] == 4429


async def test_subscribe_before_the_acknowledgement_closes_with_4401_and_does_nothing() -> None:
    toys = ToyHub()
    async with socket_of(toys) as ws:
        await send(ws, operation("m", "mutation { buy(number: 1) }"))
        assert (await closed(ws))[0] == 4401
    assert toys.bought == []


async def test_id_in_use_closes_with_4409_and_is_free_again_after_complete() -> None:
    toys = ToyHub()
    async with socket_of(toys) as ws:
        await begin(ws)
        forever = operation("s", "subscription { forever }")
        await send(ws, forever)
        assert (await got(ws))["type"] == "next"
        await send(ws, {"type": "complete", "id": "s"}, forever)
        assert (await got(ws)) == {"id": "s", "type": "next", "payload": {"data": {"forever": 0}}}
        await send(ws, forever)
        assert (await closed(ws))[0] == 4409
        await until(lambda: toys.followers == 0)


async def test_no_common_subprotocol_closes_with_4406() -> None:
    async with served(app_of(ToyHub())) as address:
        for more in ({}, {"subprotocols": [Subprotocol("graphql-ws")]}):
            async with connect(f"ws://{address}/graphql", proxy=None, **more) as ws:  # type: ignore[arg-type]  # arguments are given by name
                assert (await closed(ws))[0] == 4406


async def test_ping_is_answered_before_init_too() -> None:
    async with socket_of() as ws:
        await send(ws, {"type": "ping"}, {"type": "pong"}, {"type": "ping", "payload": {"a": 1}})
        assert [await got(ws) for _ in range(2)] == [{"type": "pong"}, {"type": "pong"}]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"query": "{"}, "BAD_USER_INPUT"),
        ({"query": "{ nope }"}, "BAD_USER_INPUT"),
        ({"query": ""}, "BAD_USER_INPUT"),
        ({"query": "{ viewer }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": "query ($n: Int!) { echo(text: \"a\", times: $n) }", "variables": {"n": "x"}}, "BAD_USER_INPUT"),
        ({"query": "subscription ($n: Int!) { count(to: $n) }", "variables": {"n": "x"}}, "BAD_USER_INPUT"),
        ({"query": "{ item { items(first: 101) { name } } }"}, "BAD_USER_INPUT"),
        ({"query": "{ viewer }".ljust(33_000)}, "COST_LIMIT_EXCEEDED"),
    ],
    ids=["syntax", "validation", "empty", "operation", "coercion", "coercion of a stream", "page", "length"],
)  # fmt: skip
async def test_request_error_is_told_for_its_id_and_siblings_live_on(payload: dict[str, object], code: str) -> None:
    async with socket_of() as ws:
        await begin(ws)
        await send(ws, operation("s", "subscription { forever }"))
        assert (await got(ws))["type"] == "next"
        await send(ws, {"type": "subscribe", "id": "bad", "payload": payload})
        error = await got(ws)
        assert (error["id"], error["type"]) == ("bad", "error")
        assert [told["extensions"]["code"] for told in error["payload"]] == [code]
        await send(ws, operation("bad", "{ viewer }"))  # its id is free, its sibling holds its own
        assert (await got(ws))["payload"] == {"data": {"viewer": "ANONYMOUS"}}
        assert (await got(ws)) == {"id": "bad", "type": "complete"}
        await send(ws, operation("s", "{ viewer }"))
        assert (await closed(ws))[0] == 4409


async def test_error_between_two_events_is_masked() -> None:
    async with socket_of() as ws:
        await begin(ws)
        await send(ws, operation("s", "subscription { breaks }"), operation("q", "{ item { broken forbidden } }"))
        frames = [await got(ws) for _ in range(4)]
    of_stream, of_query = ([frame for frame in frames if frame["id"] == id_] for id_ in "sq")
    assert SECRET not in json.dumps(frames)
    assert of_stream[0]["payload"] == {"data": {"breaks": 1}}
    assert (of_stream[1]["type"], of_stream[1]["payload"][0]["extensions"]["code"]) == ("error", "INTERNAL")
    codes = [error["extensions"]["code"] for error in of_query[0]["payload"]["errors"]]
    assert (codes, of_query[1]["type"]) == (["INTERNAL", "FORBIDDEN"], "complete")


async def test_client_that_completes_or_leaves_ends_the_generator() -> None:
    toys = ToyHub()
    app = app_of(toys)
    counted = app.state.metrics
    async with served(app) as address:
        async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], proxy=None) as ws:
            await begin(ws)
            await send(ws, *(operation(str(i), "subscription { forever }") for i in range(3)))
            await until(lambda: toys.followers == 3)
            await send(ws, {"type": "complete", "id": "1"}, {"type": "complete", "id": "unknown"})
            await until(lambda: toys.followers == 2)
            await until(lambda: (counted.sockets, counted.streams) == (1, 2))
        await until(lambda: toys.followers == 0)
        await until(lambda: (counted.sockets, counted.streams) == (0, 0))


async def test_operation_beyond_the_limit_is_refused_for_its_id() -> None:
    async with socket_of() as ws:
        await begin(ws)
        await send(ws, *(operation(str(i), "subscription { forever }") for i in range(MAX_OPERATIONS)))
        for _ in range(MAX_OPERATIONS):
            assert (await got(ws))["type"] == "next"
        await send(ws, operation("more", "{ viewer }"))
        error = await got(ws)
        assert (error["id"], error["type"], error["payload"][0]["extensions"]["code"]) == ("more", "error", "THROTTLED")


async def test_each_operation_has_a_context_of_its_own() -> None:
    async with socket_of() as ws:
        await begin(ws)
        ids = []
        for id_ in ("a", "b"):
            await send(ws, operation(id_, "{ requestId }"))
            ids.append((await got(ws))["payload"]["data"]["requestId"])
            await got(ws)
    assert len(set(ids)) == 2
    assert all(len(id_) == 16 for id_ in ids)


async def test_page_of_another_origin_is_refused_unless_it_is_allowed() -> None:
    async with served(app_of(ToyHub(), allowed_origins="https://shop.example")) as address:
        url = f"ws://{address}/graphql"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, subprotocols=[PROTOCOL], origin="https://evil.example", proxy=None)  # type: ignore[arg-type]  # a plain string is an origin and a protocol too
        for origin in ("https://shop.example", f"http://{address}"):
            async with connect(url, subprotocols=[PROTOCOL], origin=origin, proxy=None) as ws:  # type: ignore[arg-type]  # a plain string is an origin and a protocol too
                await begin(ws)
    assert refused.value.response.status_code == 403


async def test_frame_beyond_128_kib_ends_the_connection() -> None:
    async with socket_of() as ws:
        await begin(ws)
        await send(ws, operation("q", "{ viewer }" + " " * 128 * 1024))
        assert (await closed(ws))[0] == 1009


async def test_nothing_is_compressed() -> None:
    async with socket_of() as ws:
        assert ws.protocol.extensions == []


async def test_flood_of_subscribe_and_complete_leaves_nothing_behind_and_the_connection_usable() -> None:
    toys = ToyHub()
    async with socket_of(toys) as ws:
        await begin(ws)
        for number in range(500):
            id_ = str(number)
            await send(ws, operation(id_, "subscription { forever }"), {"type": "complete", "id": id_})
        await send(ws, operation("last", "{ viewer }"))
        while (frame := await got(ws))["id"] != "last":
            assert frame["type"] == "next"  # of one that was under way when its complete came
        assert frame["payload"] == {"data": {"viewer": "ANONYMOUS"}}
        await until(lambda: toys.followers == 0)


async def test_reader_of_nothing_gets_no_more_than_its_buffers_and_is_not_read_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wires, "CHECK_S", 0.05)
    monkeypatch.setattr(wires.SocketWire, "stall_s", 0.2)
    toys = ToyHub()
    app = app_of(toys)
    async with (
        served(app) as address,
        connect(
            f"ws://{address}/graphql", subprotocols=[PROTOCOL], proxy=None, max_queue=1, max_size=None,
            close_timeout=0.2,
        ) as ws,  # fmt: skip
    ):
        await begin(ws)
        long = "x" * 30_000
        for number in range(90):
            document = "query ($text: String!) { echo(text: $text, times: 20) }"
            await send(ws, operation(str(number), document, variables={"text": long}))
        await until(lambda: app.state.metrics.value("hub_slow_consumers_total") > 0)


async def test_who_is_gone_without_a_word_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-open: over there nothing is read any more, no ping is answered, and nothing was closed."""
    monkeypatch.setattr(serving, "PING_S", 0.2)
    toys = ToyHub()
    async with socket_of(toys, ping_interval=None) as ws:
        await begin(ws)
        await send(ws, operation("s", "subscription { forever }"))
        await got(ws)
        ws.transport.pause_reading()
        assert toys.followers == 1
        await until(lambda: toys.followers == 0)
        ws.transport.abort()
