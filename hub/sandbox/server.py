"""Starts the peers on a loopback socket of their own, inside the running loop; they are reached over it only."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from hub.sandbox import (
    control,
    dispute_routes,
    pay_page,
    payments,
    platform_pages,
    platforms,
    refund_routes,
    statement_route,
)
from hub.sandbox.books import Books
from hub.sandbox.catalogue import TITLES, stock
from hub.sandbox.courier import RETRY_AFTER_S, Courier
from hub.sandbox.disputes import Disputes
from hub.sandbox.intents import Intents
from hub.sandbox.keys import Keys, load_keys
from hub.sandbox.refunds import Refunds
from hub.sandbox.tables import Tables
from hub.sandbox.time import Clock
from hub.sandbox.wire import BODY_LIMIT, Peer

KEEP_ALIVE_S = 30  # an idle connection
STOP_WITHIN_S = 1  # whoever still waits for an answer then gets none
PORT_SETTING = "port"


@dataclass(frozen=True, slots=True)
class PlatformAddress:
    """Where one platform answers, and the hub's key there."""

    slug: str
    title: str
    base_url: str  # of its JSON API: `{base_url}/catalog` and so on
    pages_url: str  # of its pages: `{pages_url}/open/{external_id}?member=…`
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SandboxAddress:
    """All that the wiring must know of the running peers. `control_key` is for tests and the demo alone."""

    base_url: str
    api_key: str = field(repr=False)
    notice_secret: str = field(repr=False)
    answer_secret: str = field(repr=False)
    control_key: str = field(repr=False)
    platforms: Mapping[str, PlatformAddress]


@asynccontextmanager
async def serve(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], float] = time.time,
    seed: str | None = None,
    retry_after_s: Sequence[float] = RETRY_AFTER_S,
) -> AsyncIterator[SandboxAddress]:
    """Run the payment provider and both platforms until the block ends; tables and keys live in `directory`.

    `port` 0 takes the last start's port when it is free (pay pages stay where they were), else any. `clock` gives unix
    seconds; `seed` makes keys and ids repeat; `retry_after_s` are a notice's pauses between tries. Raises OSError when
    the socket or the directory cannot be had, sqlite3.Error when the tables cannot be opened.
    """
    keys, tables = _opened(directory, seed)
    try:
        listener = _listen(tables, host, port)
        base_url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        with tables.transaction():
            tables.keep_setting(PORT_SETTING, str(listener.getsockname()[1]))
            own_clock = Clock(tables, clock)
            stock(tables, int(own_clock()))
        async with httpx.AsyncClient(trust_env=False, verify=_tls()) as client:
            books = Books(tables)
            disputes = Disputes(tables, books)
            intents = Intents(tables, books, disputes, base_url)
            refunds = Refunds(tables, books, disputes)
            due = (intents.expire_due, refunds.settle_due, books.pay_out)
            courier = Courier(tables, keys, due, client, own_clock, retry_after_s)
            peer = Peer(base_url, tables, keys, intents, refunds, disputes, books, courier, client, own_clock)
            async with _running(build_app(peer), listener, courier):
                yield SandboxAddress(
                    base_url=base_url,
                    api_key=keys.api_key,
                    notice_secret=keys.notice_secret,
                    answer_secret=keys.answer_secret,
                    control_key=keys.control_key,
                    platforms={
                        slug: PlatformAddress(
                            slug=slug,
                            title=title,
                            base_url=f"{base_url}/platforms/{slug}/v1",
                            pages_url=f"{base_url}/p/{slug}",
                            api_key=keys.platform_keys[slug],
                        )
                        for slug, title in TITLES.items()
                    },
                )
    finally:
        tables.close()


async def introduce_hub(address: SandboxAddress, slug: str, *, graphql_url: str, api_key: str) -> None:
    """Tell a platform where the hub answers and with which key it may ask there; kept until told anew.

    Raises httpx.HTTPError when the peer does not take it.
    """
    async with httpx.AsyncClient(trust_env=False, verify=_tls()) as client:
        answer = await client.put(
            f"{address.base_url}/control/platforms/{slug}/hub",
            json={"graphql_url": graphql_url, "api_key": api_key},
            headers={"Authorization": f"Bearer {address.control_key}"},
        )
        answer.raise_for_status()


def build_app(peer: Peer) -> Starlette:
    """Every route of every peer, for `peer`."""
    app = Starlette(
        routes=[
            *payments.ROUTES,
            *refund_routes.ROUTES,
            *dispute_routes.ROUTES,
            *statement_route.ROUTES,
            *pay_page.ROUTES,
            *platforms.ROUTES,
            *platform_pages.ROUTES,
            *control.ROUTES,
        ],
        exception_handlers={404: _not_found},
        max_body_size=BODY_LIMIT,
    )
    app.state.peer = peer
    return app


async def _not_found(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": {"code": "route_missing", "message": "no such address", "param": None}}, 404)


@cache
def _tls() -> ssl.SSLContext:
    """One for the process: reading the system's certificates takes longer than starting the peers."""
    return ssl.create_default_context()


def _opened(directory: Path, seed: str | None) -> tuple[Keys, Tables]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = load_keys(directory, tuple(TITLES), seed=seed)
    return keys, Tables(directory, keys.id_key)


def _listen(tables: Tables, host: str, port: int) -> socket.socket:
    last = int(tables.setting(PORT_SETTING) or 0)
    if port == 0 and last:
        with suppress(OSError):
            return _bound(host, last)
    return _bound(host, port)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: only then does asyncio switch Nagle's delay off, which costs an answer in two writes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last run's connections linger
        listener.bind((host, port))
        listener.listen()  # from here on a caller waits in the backlog, so nobody need poll for the server's start
    except OSError:
        listener.close()
        raise
    return listener


class _Protocol(H11Protocol):
    """Gives each request its connection, so that a fault may cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # its base takes any transport, and only ever gets this one
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """A guest in the hub's loop: the signals are the hub's, and it ends when told, without uvicorn's polling."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told_to_stop = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        await self.told_to_stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # an idle one closes now, a busy one after its answer
        if self.server_state.tasks:
            _, late = await asyncio.wait(list(self.server_state.tasks), timeout=STOP_WITHIN_S)
            for task in late:
                task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the closed transports say so


@asynccontextmanager
async def _running(app: Starlette, listener: socket.socket, courier: Courier) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        date_header=False,  # uvicorn refreshes it in the loop that we do not run
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="sandbox")
    posting = asyncio.create_task(courier.run(), name="sandbox notices")
    try:
        yield
    finally:
        posting.cancel()
        server.told_to_stop.set()
        await asyncio.wait([serving, posting])
        await serving  # what went wrong in it is not swallowed
