"""Results as they come, over HTTP: Server-Sent Events (distinct connections) and Apollo's multipart subscriptions.

    text/event-stream                        `next` and `complete` events, LF line ends; any operation
    multipart/mixed; subscriptionSpec=1.0    a part for each `{"payload": …}`; subscriptions

A stream that is cut without its end, by a crash or a server that goes away, is resumed by the client from its cursor.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.types.graphql import OperationType

from hub.domain.people import Viewer
from hub.entry.asked import Asked
from hub.entry.streaming import Outlet, Streaming
from hub.entry.wires import AsgiWire, Wire

SSE = "text/event-stream"
MULTIPART = "multipart/mixed"
BOUNDARY = "graphql"
BEAT_S = 12.0  # something is sent at least so often: proxies cut what is silent for half a minute
LOOK_S = 1.0  # how often a stream looks whether the server goes away
LEAVE_WITHIN_S = 20.0  # for a reader to take the last of a stream

# Nothing may keep, gather or change a stream on its way.
STREAM_HEADERS = {"Cache-Control": "private, no-store, no-transform", "X-Accel-Buffering": "no"}


class SseOutlet(Outlet):
    """`event: next` for each result; JSON has no line end in it."""

    media_type = f"{SSE}; charset=utf-8"
    opening = b":\n\n"  # a comment, so that the answer's head leaves at once
    beat = b":\n\n"

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, b"event: next\ndata: ", b"\n\n")

    def error(self, errors: list[dict[str, Any]], *, is_begun: bool) -> None:
        self.next(orjson.dumps({"errors": errors}))
        self.complete()

    def complete(self) -> None:
        self.wire.write(b"event: complete\ndata: \n\n")


class MultipartOutlet(Outlet):
    """A part for each result, and the boundary after it at once: parsers wait for it."""

    media_type = f'{MULTIPART};boundary="{BOUNDARY}";subscriptionSpec="1.0"'
    opening = f"--{BOUNDARY}".encode()
    _part = b"\r\nContent-Type: application/json\r\n\r\n"
    _end = f"\r\n--{BOUNDARY}".encode()
    beat = _part + b"{}" + _end

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, self._part + b'{"payload":', b"}" + self._end)

    def error(self, errors: list[dict[str, Any]], *, is_begun: bool) -> None:
        """What ends a stream stands beside the payload, as Apollo's protocol has it."""
        if not is_begun:
            self.next(orjson.dumps({"errors": errors}))
        else:
            self.wire.write(self._part + orjson.dumps({"payload": None, "errors": errors}) + self._end)
        self.complete()

    def complete(self) -> None:
        self.wire.write(b"--\r\n")


OUTLETS: dict[str, type[SseOutlet] | type[MultipartOutlet]] = {SSE: SseOutlet, MULTIPART: MultipartOutlet}


def stream_wanted(ranges: Mapping[str, float], accept: str | None) -> str | None:
    """Which of our two stream media types an Accept header names; None if neither. `ranges` are its weights."""
    if ranges.get(SSE, 0) > 0:
        return SSE
    if ranges.get(MULTIPART, 0) > 0 and "subscriptionspec" in (accept or "").lower():
        return MULTIPART
    return None


class StreamResponse(Response):
    """The answer that runs one operation and sends its results as they come."""

    def __init__(
        self,
        streaming: Streaming,
        asked: Asked,
        viewer: Viewer,
        media_type: str,
        allowed: tuple[OperationType, ...],
        is_draining: Callable[[], bool],
    ) -> None:
        self.background: BackgroundTask | None = None
        self.status_code = 200
        self._outlet = OUTLETS[media_type]
        self._transport = "sse" if media_type == SSE else "multipart"
        self._streaming = streaming
        self._asked = asked
        self._viewer = viewer
        self._allowed = allowed
        self._is_draining = is_draining
        self.init_headers(STREAM_HEADERS | {"Content-Type": self._outlet.media_type})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

        async def send_piece(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        wire = AsgiWire(send_piece)
        wire.write(self._outlet.opening)
        if await self._run(wire, receive):
            await wire.close(LEAVE_WITHIN_S)
        else:
            wire.abort()
        if not wire.unsent:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        # Else it is cut, and whoever reads it sees that it is not at its end.

    async def _run(self, wire: AsgiWire, receive: Receive) -> bool:
        """The operation, until its end, its credential's, the client's or the server's; False if nobody is there."""
        outlet, ended = self._outlet(wire), asyncio.Event()
        running = asyncio.create_task(
            self._streaming.run(self._asked, self._viewer, outlet, self._transport, allowed=self._allowed)
        )
        left = asyncio.create_task(until_left(receive))
        ending = asyncio.create_task(ended.wait())
        tasks = (running, left, ending, asyncio.create_task(self._beat(wire)))
        self._streaming.standing.watch(self._viewer, self, ended.set)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streaming.standing.unwatch(self._viewer, self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if ended.is_set():
            self._streaming.tell_ended(outlet)
        return left.cancelled()

    async def _beat(self, wire: Wire) -> None:
        """A beat for proxies where nothing else is on its way; ends when the server goes away."""
        silent_s = 0.0
        while not self._is_draining():
            await asyncio.sleep(LOOK_S)
            silent_s += LOOK_S
            if silent_s >= BEAT_S:
                silent_s = 0.0
                if not wire.unsent:
                    wire.write(self._outlet.beat)


async def until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
