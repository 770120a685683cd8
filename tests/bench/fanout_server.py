"""A program: the hub's own doors, or stock Strawberry as its documentation has it, with one stream that tests write.

python -m tests.bench.fanout_server ours|stock FOLDER

Prints {"port"} once it listens. GET /happen publishes one event (or ?number= of them) and answers with the moment at
which that began, in nanoseconds of the system's monotonic clock; GET /waiting how many subscribers wait for the next.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from strawberry.asgi import GraphQL

from hub.domain.events import Audience, ListingChanged
from hub.domain.people import PARTNER_SCOPES, Viewer, ViewerKind
from hub.entry.app import create_app
from hub.entry.graphql_http import HubGraphQL
from hub.entry.serving import listen, uvicorn_config
from hub.entry.settings import read_settings
from hub.entry.viewers import Viewers
from hub.store.database import open_store
from hub.store.migrate import migrate
from hub.store.transactions import Tx
from hub.wakeups.memory import MemoryWakeups
from schema import schema
from tests.entry.live import Subject, hub_on
from tests.world import World

PLATFORM = "plt_" + "1" * 26
FINISH_S = 1


class Published(MemoryWakeups):
    """Notes when an event was published, which is when its commit is done."""

    at_ns = 0

    def publish(self, stream: str, position: int) -> None:
        self.at_ns = time.monotonic_ns()
        super().publish(stream, position)


async def ours(folder: Path) -> Starlette:
    """The hub's application on SQLite, every caller being one platform."""
    url = f"sqlite:///{folder / 'hub.sqlite3'}"
    await migrate(url)
    wakeups = Published()
    store = await open_store(url, moved=lambda stream: wakeups.publish(stream, 0))
    world = World(store)
    hub = hub_on(store, world, wakeups)
    versions = itertools.count(1)

    async def append(tx: Tx, number: int) -> None:
        event = ListingChanged("lst_1", PLATFORM, "crs_1", "x" * 20, "ACTIVE")
        audience = Audience(PLATFORM, "usr_1", "x1", "lst_1", sees_order=True)
        for version in itertools.islice(versions, number):
            tx.events.append(Subject("lst_1", version), event, [audience], world.draw())

    async def happen(request: Request) -> PlainTextResponse:
        await store.write(append, int(request.query_params.get("number", 1)))
        return PlainTextResponse(str(wakeups.at_ns))

    viewer = Viewer(ViewerKind.PLATFORM, platform_id=PLATFORM, scopes=PARTNER_SCOPES)

    async def viewer_of(_self: Viewers, _authorization: str | None) -> Viewer:
        return viewer

    Viewers.viewer = viewer_of  # type: ignore[method-assign]  # whose keys they are is not what is measured
    settings = {"attempts_per_minute": "1000000"} if hasattr(read_settings({}), "attempts_per_minute") else {}
    app = create_app(hub, read_settings({}, settings), schema=schema, extra_routes=[Route("/happen", happen)])
    view = next(view for route in app.routes if isinstance(view := getattr(route, "app", None), HubGraphQL))

    async def waiting(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(view.streaming.fanout.waiting))

    app.routes.insert(0, Route("/waiting", waiting))
    return app


# ---- stock ----------------------------------------------------------------------------------------------------------


@strawberry.type
class Payload:
    listing_id: strawberry.ID
    platform_id: strawberry.ID
    course_id: strawberry.ID
    external_id: str
    state: str


@strawberry.type
class Event:
    id: strawberry.ID
    cursor: str
    kind: str
    occurred_at: str
    subject: strawberry.ID
    subject_version: int
    payload: Payload


@strawberry.type
class Query:
    noop: bool = True


QUEUES: set[asyncio.Queue[Event]] = set()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def events(self, after: str | None = None) -> AsyncGenerator[Event, None]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        QUEUES.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            QUEUES.discard(queue)


async def stock(_folder: Path) -> Starlette:
    """Strawberry's own ASGI application; each subscriber has a queue."""
    versions = itertools.count(1)

    async def happen(_request: Request) -> PlainTextResponse:
        payload = Payload(
            listing_id=strawberry.ID("lst_1"), platform_id=strawberry.ID(PLATFORM), course_id=strawberry.ID("crs_1"),
            external_id="x" * 20, state="ACTIVE",
        )  # fmt: skip
        event = Event(
            id=strawberry.ID("evt_" + "0" * 26), cursor="A" * 76, kind="LISTING_CHANGED",
            occurred_at="2026-01-01T00:00:00Z", subject=strawberry.ID("lst_1"), subject_version=next(versions),
            payload=payload,
        )  # fmt: skip
        began_ns = time.monotonic_ns()
        for queue in QUEUES:
            queue.put_nowait(event)
        return PlainTextResponse(str(began_ns))

    async def waiting(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(QUEUES)))

    graphql: Any = GraphQL(strawberry.Schema(Query, subscription=Subscription))
    routes: list[BaseRoute] = [
        Route("/happen", happen), Route("/waiting", waiting), WebSocketRoute("/graphql", graphql),
    ]  # fmt: skip
    return Starlette(routes=routes)


# ---- both -----------------------------------------------------------------------------------------------------------


async def main(side: str, folder: Path) -> None:
    app = await (ours if side == "ours" else stock)(folder)

    listener = listen(read_settings({}, {"port": "0"}))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn_config(app, FINISH_S)
    config.ws_ping_interval = None  # the subscribers answer none
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
