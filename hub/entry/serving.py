"""Runs the application on a socket until it is told to end, and ends it without losing a request.

On SIGTERM: /readyz says 503, claiming stops, a moment passes in which balancers look elsewhere and every answer ends
its connection; then no connection is taken, WebSockets close with 1012, and requests in flight finish.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hub.entry.settings import Settings, url_of
from hub.entry.wires import WIRE, SocketWire

log = logging.getLogger(__name__)

NOTICE_S = 1.0  # between 503 and the end of listening: balancers and kept connections learn of it
FINISH_S = 40  # a request in flight may take so long: a channel's whole budget is 35 s
KEEP_ALIVE_S = 30  # an idle connection
PING_S = 20.0  # a WebSocket whose other side is gone is noticed within twice this
MAX_FRAME = 128 * 1024  # bytes of a WebSocket message; a document has at most 32 KiB
# A connection whose other side takes nothing is ended by the system after this, a minute after its stream was told so.
GONE_AFTER_MS = 11 * 60 * 1000
BACKLOG = 2048  # connections that wait to be accepted


async def serve(
    app: Starlette,
    settings: Settings,
    *,
    listener: socket.socket | None = None,
    on_ready: Callable[[str], Awaitable[None]] | None = None,
    on_drain: Callable[[], None] | None = None,
    notice_s: float = NOTICE_S,
    finish_s: int = FINISH_S,
) -> None:
    """Serve until SIGTERM or SIGINT, then return normally. A second signal ends at once.

    `listener` is a bound socket (default: `listen(settings)`), closed at the end. `on_ready` gets the address as this
    machine reaches it, once it answers; what it raises ends the server and is raised. `on_drain` is called when the
    end begins: stop claiming. `notice_s` is waited after SIGTERM alone. Raises OSError for a port that is taken.
    """
    listener = listener or listen(settings)
    url = url_of(settings.host, listener.getsockname()[1])
    server = Server(uvicorn_config(app, finish_s))
    async with _ended_by_signals(app, server, on_drain, notice_s):
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
        try:
            await _started(server, serving)
            if on_ready is not None and server.started:
                await on_ready(url)
        except BaseException:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)
            raise
        await serving


def listen(settings: Settings) -> socket.socket:
    """A socket on the settings' host and port (0: any that is free). Raises OSError, which names it, if it is taken.

    Named TCP, or asyncio leaves Nagle's algorithm on and small answers wait 40 ms.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; what is accepted inherits it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_MS)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = f"cannot listen on port {settings.port} of {settings.host}: {error.strerror}; choose another by --port"
        raise OSError(error.errno, reason) from None
    except BaseException:
        listener.close()
        raise
    return listener


def uvicorn_config(app: Starlette, finish_s: int) -> uvicorn.Config:
    """How uvicorn serves this hub; `finish_s` is how long requests in flight may take at the end."""
    return uvicorn.Config(
        app,
        http="h11",
        ws=SocketProtocol,
        ws_max_size=MAX_FRAME,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,  # it costs 93 KB a subscriber
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=finish_s,
        log_config=None,  # lines are ours
        access_log=False,  # written by the application, without the query
        server_header=False,
        proxy_headers=False,  # nothing depends on who calls
    )


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which lets the application write into its transport, and cuts whoever does not read."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else the handshake was refused
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[WIRE] = SocketWire(self)

    def start_keepalive(self) -> None:
        """The handshake is over: what it was made of is some KB a subscriber."""
        super().start_keepalive()
        del self.request, self.response

    def keepalive_timeout(self) -> None:
        """No pong in time. What has not left by now never will: waiting for it would keep the socket for ever."""
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn, but the signals are ours: its own would end the process as killed after a clean end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _started(server: Server, serving: "asyncio.Task[None]") -> None:
    waiting = asyncio.create_task(server.is_up.wait())
    await asyncio.wait([waiting, serving], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        await serving  # raises what kept it from starting


@asynccontextmanager
async def _ended_by_signals(
    app: Starlette, server: Server, on_drain: Callable[[], None] | None, notice_s: float
) -> AsyncIterator[None]:
    """SIGTERM and SIGINT drain the server while the block runs; outside the main thread there are no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def signalled(number: signal.Signals) -> None:
        if draining:
            server.should_exit = server.force_exit = True
            return
        wait_s = notice_s if number is signal.SIGTERM else 0.0
        draining.append(loop.create_task(_drain(app, server, on_drain, wait_s), name="drain"))

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, signalled, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
        for task in draining:
            task.cancel()


async def _drain(app: Starlette, server: Server, on_drain: Callable[[], None] | None, notice_s: float) -> None:
    log.info("draining")
    app.state.is_draining = True
    if on_drain is not None:
        on_drain()
    await asyncio.sleep(notice_s)
    server.should_exit = True
