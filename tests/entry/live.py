"""A hub on a real store behind its real doors, with a log that tests write as they like; and readers of each transport.

async with live(store_url) as hub:
    reader = SseReader(hub, viewer token, EVENTS)
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hub.domain.events import Audience, ListingChanged
from hub.domain.people import PARTNER_SCOPES, Viewer, ViewerKind
from hub.entry.app import create_app
from hub.entry.graphql_http import HubGraphQL
from hub.entry.metrics import Metrics
from hub.entry.settings import read_settings
from hub.entry.streaming import Streaming
from hub.entry.viewers import Viewers
from hub.ports import Hub
from hub.security.keys import Key
from hub.security.signing import Cursors, SignedReceipts
from hub.security.tokens import UserTokens
from hub.store.database import open_store
from hub.store.transactions import Store, Tx
from hub.wakeups.memory import MemoryWakeups
from resolvers.errors import GatekeepingError
from schema import schema
from tests.entry.toys import KEY, served
from tests.world import World

WITHIN_S = 20.0
PLATFORM = "plt_" + "1" * 26
OTHER = "plt_" + "2" * 26
EVENTS = """
subscription ($after: String) {
  events(after: $after) { id cursor kind subjectVersion payload { __typename } }
}
"""
PROTOCOL = Subprotocol("graphql-transport-ws")
KEYS: Key = KEY


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about, in the version that it made."""

    id: str
    version: int


@dataclass(slots=True)
class Live:
    """A served hub. `statements` are the SQL texts that it ran; `viewers` stand for the credentials `Bearer NAME`."""

    store: Store
    hub: Hub
    app: Starlette
    world: World
    wakeups: MemoryWakeups
    statements: list[str]
    viewers: dict[str, Viewer]
    revoked: set[str]
    address: str = ""
    _versions: Any = field(default_factory=lambda: count(1))

    def value(self, name: str) -> float:
        """What a counter of the app stands at."""
        metrics: Metrics = self.app.state.metrics
        return metrics.value(name)

    @property
    def streaming(self) -> Streaming:
        view = next(view for route in self.app.routes if isinstance(view := getattr(route, "app", None), HubGraphQL))
        return view.streaming

    async def happen(self, number: int = 1, stream: str = PLATFORM) -> None:
        """So many events of one listing, in one commit."""
        versions = [next(self._versions) for _ in range(number)]
        await self.store.write(_append, stream, versions, self.world)

    async def until(self, holds: Any) -> None:
        """Wait until it holds. TimeoutError if it takes too long."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110  # what it waits for is in other tasks' hands
                await asyncio.sleep(0.005)


async def _append(tx: Tx, stream: str, versions: list[int], world: World) -> None:
    audience = Audience(stream, "usr_1", "x1", "lst_1", sees_order=True)
    for version in versions:
        event = ListingChanged("lst_1", stream, "crs_1", "x" * 20, "ACTIVE")
        tx.events.append(Subject("lst_1", version), event, [audience], world.draw())


def partner_of(platform_id: str) -> Viewer:
    return Viewer(ViewerKind.PLATFORM, platform_id=platform_id, scopes=PARTNER_SCOPES)


def hub_on(store: Store, world: World, wakeups: MemoryWakeups) -> Hub:
    """As much of a hub as streams of the log ask of one."""
    nothing: Any = None  # nobody here asks chain, vault or what is sent out
    return Hub(
        store=store, channels={}, platforms={}, chain=nothing, chain_log=nothing, wakeups=wakeups, clock=world.clock,
        vault=nothing,
        partners=nothing, event_documents=nothing, sender=nothing, receipts=SignedReceipts(KEYS),
        tokens=UserTokens(KEYS), cursors=Cursors(KEYS), draw_seed=world.seed, owner="worker-1", is_production=False,
        batch_after_ms=0,
    )  # fmt: skip


@asynccontextmanager
async def live(store_url: str, monkeypatch: Any, **settings: str) -> AsyncIterator[Live]:
    statements: list[str] = []
    wakeups = MemoryWakeups()
    store = await open_store(store_url, moved=lambda stream: wakeups.publish(stream, 0), on_statement=statements.append)
    world = World(store)
    hub = hub_on(store, world, wakeups)
    viewers = {"one": partner_of(PLATFORM), "other": partner_of(OTHER)}
    revoked: set[str] = set()

    async def viewer_of(_self: Viewers, authorization: str | None) -> Viewer:
        name = (authorization or "").removeprefix("Bearer ")
        if name not in viewers:
            raise GatekeepingError("UNAUTHENTICATED", "no such name")
        return viewers[name]

    async def still(_self: Viewers, viewer: Viewer) -> bool:
        return not any(viewers[name] == viewer for name in revoked)

    monkeypatch.setattr(Viewers, "viewer", viewer_of)
    monkeypatch.setattr(Viewers, "still", still)
    app = create_app(hub, read_settings({}, settings), schema=schema)
    made = Live(store, hub, app, world, wakeups, statements, viewers, revoked)
    try:
        async with served(app) as address:
            made.address = address
            yield made
    finally:
        await store.aclose()


# ---- readers --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def ws_reader(
    live: Live, document: str, variables: dict[str, Any] | None = None, *, who: str = "one", id_: str = "s", **more: Any
) -> AsyncIterator["WsReader"]:
    """A subscription on a WebSocket of its own. Who leaves results unread would wait 10 s for the server's last frame,
    which stands behind them."""
    more = {"close_timeout": 0.2} | more
    async with connect(f"ws://{live.address}/graphql", subprotocols=[PROTOCOL], proxy=None, **more) as ws:
        await ws.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {who}"}}))
        assert json.loads(await asyncio.wait_for(ws.recv(), WITHIN_S)) == {"type": "connection_ack"}
        payload = {"query": document, "variables": variables}
        await ws.send(json.dumps({"type": "subscribe", "id": id_, "payload": payload}))
        yield WsReader(ws)


@dataclass(slots=True)
class WsReader:
    ws: ClientConnection

    async def next(self) -> Any:
        """The payload of the next result, {"ended": errors} or {"complete": True}."""
        frame = json.loads(await asyncio.wait_for(self.ws.recv(), WITHIN_S))
        return {"next": frame.get("payload"), "error": {"ended": frame.get("payload")}}.get(
            frame["type"], {"complete": True}
        )


@asynccontextmanager
async def http_reader(
    live: Live,
    accept: str,
    document: str,
    variables: dict[str, Any] | None = None,
    *,
    who: str = "one",
    method: str = "POST",
) -> AsyncIterator["HttpReader"]:
    """A subscription as an HTTP stream; what its Accept names decides the framing."""
    headers = {"Accept": accept, "Authorization": f"Bearer {who}"}
    asked: dict[str, Any] = {"json": {"query": document, "variables": variables}}
    if method == "GET":
        asked = {"params": {"query": document, "variables": json.dumps(variables)}}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=WITHIN_S, verify=False) as client,
        client.stream(method, f"http://{live.address}/graphql", headers=headers, **asked) as answer,
    ):
        yield HttpReader(answer, answer.aiter_raw())


@dataclass(slots=True)
class HttpReader:
    """Reads the bytes of the protocols by hand: LF LF between SSE events, the boundary between parts."""

    answer: httpx.Response
    raw: AsyncIterator[bytes]
    seen: bytes = b""
    is_complete: bool = False

    async def next(self) -> Any:
        """As of WsReader."""
        while True:
            piece = await self._piece()
            if piece is None:
                return {"complete": True}
            told = _sse(piece) if self._is_sse else _part(piece)
            if told is not None and "errors" in told and "data" not in told:
                return {"ended": told["errors"]}
            if told is not None:
                return told

    @property
    def _is_sse(self) -> bool:
        return self.answer.headers["content-type"].startswith("text/event-stream")

    async def _piece(self) -> bytes | None:
        between = b"\n\n" if self._is_sse else b"--graphql"
        while between not in self.seen:
            try:
                self.seen += await asyncio.wait_for(anext(self.raw), WITHIN_S)
            except StopAsyncIteration:
                return None
        piece, _, self.seen = self.seen.partition(between)
        return piece


def _sse(event: bytes) -> Any:
    fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
    if not fields:
        return None  # a comment
    if fields[b"event"] == b"complete":
        return {"complete": True}
    return json.loads(fields[b"data"])


def _part(part: bytes) -> Any:
    if not part:
        return None  # before the first boundary
    head, _, body = part.partition(b"\r\n\r\n")
    assert head == b"\r\nContent-Type: application/json"
    told = json.loads(body)
    if told == {}:
        return None  # a beat
    return told["payload"] if told["payload"] is not None else {"ended": told["errors"]}
