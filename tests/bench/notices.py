"""A channel's notice, verified, stored and acknowledged, beside a bare Starlette handler: one signed check, one insert.

Both are asked as ASGI applications, by 16 at once, on files of the same kind; ours is the whole hub's. The notices tell
of payments that their answers have told of before, as most do; each is a row, and a commit has as many as wait for it.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.channels.sandbox import SIGNATURE_HEADER
from hub.channels.sandbox_words import verified_at
from hub.entry.app import create_app
from hub.entry.settings import read_settings
from hub.sandbox.signatures import signature
from hub.store.sqlite import connect
from schema import schema
from tests.bench.engine import Commits, hub_on, ordered, provider
from tests.bench.figures import Figure, interleaved
from tests.bench.provider_server import taken
from tests.bench.shop import PRICE, Shop, open_shop

ROUNDS, NOTICES = 9, 400
QUICK_ROUNDS, QUICK_NOTICES = 1, 20
CALLERS = 16
SECRET = "notices"  # as `hub_on` has it
PATH = "/channels/sandbox/notices"


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, number = (QUICK_ROUNDS, QUICK_NOTICES) if quick else (ROUNDS, NOTICES)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        shop = await open_shop(f"sqlite:///{folder}/shop.sqlite3", number)
        async with provider(0) as url:
            bodies = await _paid(shop, url)
            yield await interleaved(
                "notices",
                lambda: ours(shop, url, bodies),
                lambda: bare(shop, bodies),
                unit="notices/s",
                rounds=rounds,
                bar="ratio at least 0.5",
                callers=CALLERS,
                against="a bare Starlette handler: one signed check, one insert, one commit",
            )


async def _paid(shop: Shop, url: str) -> list[bytes]:
    """Every buyer's order, paid in the shop's own file; and the notices that follow."""
    bodies = []
    async with hub_on(shop, url, Commits()) as hub:
        for number, buyer in enumerate(shop.buyers):
            order = await ordered(hub, shop, buyer)
            key = await order.pay(hub)
            asked = {"reference": key, "amount": PRICE.amount_minor, "currency": PRICE.currency}
            event = {"id": f"evt_{number}", "type": "payment_intent.succeeded", "created": int(time.time())}
            bodies.append(orjson.dumps(event | {"data": {"object": taken(asked)}}))
    return bodies


async def ours(shop: Shop, url: str, bodies: Sequence[bytes]) -> float:
    copy = shop.copied("ours.sqlite3")
    async with hub_on(copy, url, Commits()) as hub:
        app = create_app(hub, read_settings({}, {}), schema=schema)
        return await _a_second(app, PATH, bodies)


async def bare(shop: Shop, bodies: Sequence[bytes]) -> float:
    copy = shop.copied("bare.sqlite3")
    raw = connect(copy.path)
    raw.execute("CREATE TABLE bare_inbox (id INTEGER PRIMARY KEY, body BLOB)")

    async def take(request: Request) -> Response:
        body = await request.body()
        if verified_at(request.headers.get(SIGNATURE_HEADER), body, (SECRET,)) is None:
            return Response(status_code=400)
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO bare_inbox (body) VALUES (?)", (body,))
        raw.execute("COMMIT")
        return Response(status_code=204)

    try:
        return await _a_second(Starlette(routes=[Route(PATH, take, methods=["POST"])]), PATH, bodies)
    finally:
        raw.close()


async def _a_second(app: Any, path: str, bodies: Sequence[bytes]) -> float:
    """How many of the notices are acknowledged a second."""
    signed = [(body, signature(body, SECRET, int(time.time()))) for body in bodies]
    waiting = iter(signed[1:])
    await _post(app, path, *signed[0])  # statements are rendered once for all
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(_caller(app, path, waiting))
    return (len(bodies) - 1) / (time.perf_counter() - began_s)


async def _caller(app: Any, path: str, waiting: Iterator[tuple[bytes, str]]) -> None:
    for body, header in waiting:
        await _post(app, path, body, header)


async def _post(app: Any, path: str, body: bytes, header: str) -> None:
    """One delivery, from the server's side of the socket on."""
    headers = [(SIGNATURE_HEADER.encode(), header.encode()), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("hub", 80),
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    assert told[0]["status"] == 204, told
