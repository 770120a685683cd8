"""GraphQL over WebSocket (`graphql-transport-ws`): queries, mutations and subscriptions, many on one connection.

    4400  a frame that is none of the protocol      4408  no connection_init within 5 s
    4401  subscribe before the acknowledgement      4409  an id that is in use
    4403  a credential that is not taken, or ended  4429  a second connection_init
    4406  no subprotocol in common                  1012  the server goes away: come back with your cursor

What is wrong with one operation is an `error` for its id and leaves its siblings alone. Each operation has a context of
its own, so nothing that one has loaded is shown to another.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
from graphql import GraphQLError
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    CompleteMessage,
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)

from hub.domain.people import ANONYMOUS, Viewer
from hub.entry.asked import NotARequest, asked_of, read_json
from hub.entry.streaming import Outlet, Streaming
from hub.entry.wires import MAX_UNSENT, WIRE, AsgiWire, Gone, Stalled, Wire, drained
from resolvers.context import RequestContext
from resolvers.errors import GatekeepingError

if TYPE_CHECKING:
    from hub.entry.graphql_http import HubGraphQL

log = logging.getLogger(__name__)

INIT_WITHIN = timedelta(seconds=5)  # a connection that says nothing holds a socket and nothing else
MAX_OPERATIONS = 100  # under way on one connection
MAX_ID = 128  # characters of an operation's id; clients use a UUID
MAX_REASON = 120  # characters of why it is closed; the protocol has room for 123 bytes
CLOSE_WITHIN_S = 5.0  # a reader that takes nothing does not take a close frame either: then it is cut

_TYPES = ("connection_init", "ping", "pong", "subscribe", "complete")


class SocketAdapter(ASGIWebSocketAdapter):
    """The socket: JSON in and out, and every way in which it can be gone told as one."""

    _wire: Wire | None = None

    @property
    def wire(self) -> Wire:
        """Its way out: uvicorn's transport itself, or whatever else serves us."""
        if self._wire is None:
            self._wire = self.ws.scope.get("extensions", {}).get(WIRE) or AsgiWire(self._send, is_joined=False)
        return self._wire

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        while self.ws.application_state != WebSocketState.DISCONNECTED:
            try:
                text = await self.ws.receive_text()
            except WebSocketDisconnect:
                return
            except KeyError:
                raise NonTextMessageReceived from None
            try:
                frame = read_json(text, "a frame")
            except NotARequest:
                raise NonJsonMessageReceived from None
            yield frame

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a frame of the protocol; whoever does not read gets none, and is not read from either."""
        try:
            self.wire.write(orjson.dumps(message))
            if self.wire.unsent > MAX_UNSENT:
                await drained(self.wire)
        except (Gone, Stalled) as gone:
            raise WebSocketDisconnected from gone

    async def close(self, code: int, reason: str) -> None:
        """Close it, unless that has happened already."""
        if self.ws.application_state != WebSocketState.CONNECTED:
            return
        try:
            await asyncio.wait_for(self.ws.close(code=code, reason=reason), CLOSE_WITHIN_S)
        except TimeoutError:
            self.wire.abort()

    def left(self) -> None:
        """Nobody is there any more."""
        if isinstance(self._wire, AsgiWire):
            self._wire.abort()

    async def _send(self, data: bytes) -> None:
        if self.ws.application_state == WebSocketState.CONNECTED:
            await self.ws.send_text(data.decode())


class SocketOutlet(Outlet):
    """One operation on a socket: its frames, by its id."""

    def __init__(self, wire: Wire, id_: str) -> None:
        self._id = json.dumps(id_, ensure_ascii=False).encode("utf-8", "surrogatepass")  # orjson's would keep 4 KB
        super().__init__(wire, b'{"id":' + self._id + b',"type":"next","payload":', b"}")

    def error(self, errors: list[dict[str, Any]], *, is_begun: bool) -> None:
        self.wire.write(b'{"id":' + self._id + b',"type":"error","payload":' + orjson.dumps(errors) + b"}")

    def complete(self) -> None:
        self.wire.write(b'{"id":' + self._id + b',"type":"complete"}')


class SocketHandler(BaseGraphQLTransportWSHandler[RequestContext, None]):
    """One connection: whose it is, and the operations on it."""

    viewer: Viewer = ANONYMOUS

    @property
    def hub_view(self) -> "HubGraphQL":
        return cast("HubGraphQL", self.view)

    @property
    def streaming(self) -> Streaming:
        return self.hub_view.streaming

    @property
    def socket(self) -> SocketAdapter:
        return cast("SocketAdapter", self.websocket)

    async def handle(self) -> None:
        self.running: dict[str, asyncio.Task[None]] = {}  # by id, from subscribe to complete
        self.ending: set[asyncio.Task[None]] = set()  # given up by the client and not at their end yet
        self.streaming.metrics.sockets += 1
        try:
            await super().handle()
        finally:
            self.streaming.metrics.sockets -= 1
            self.streaming.standing.unwatch(self.viewer, self)

    async def shutdown(self) -> None:
        self.socket.left()
        if self.connection_init_timeout_task:
            self.connection_init_timeout_task.cancel()
        tasks = {*self.running.values(), *self.ending}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- frames --------------------------------------------------------------------------------------------------

    async def handle_message(self, message: Message) -> None:
        if reason := _malformed(message):
            await self.websocket.close(code=4400, reason=reason)
            return
        await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        if self.connection_timed_out:
            return
        if self.connection_init_received:
            await self.websocket.close(code=4429, reason="Too many initialisation requests")
            return
        self.connection_init_received = True
        if self.connection_init_timeout_task:
            self.connection_init_timeout_task.cancel()
            self.connection_init_timeout_task = None
        try:
            self.viewer = await self.hub_view.viewers.viewer(self._authorization(message.get("payload") or {}))
        except GatekeepingError as refused:
            if refused.code != "UNAUTHENTICATED":
                await self.websocket.close(code=1013, reason="Try again later")
                return
            self.streaming.metrics.count("hub_unauthenticated_total")
            await self.websocket.close(code=4403, reason=f"Forbidden: {refused}"[:MAX_REASON])
            return
        self.streaming.standing.watch(self.viewer, self, self._credential_ended)
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if not self.connection_acknowledged:
            await self.websocket.close(code=4401, reason="Unauthorized")
            return
        id_ = message["id"]
        if id_ in self.running:
            await self.websocket.close(code=4409, reason="An operation with this id is under way")
            return
        if len(self.ending) >= MAX_OPERATIONS:  # a flood of subscribe and complete: read on when they are gone
            await asyncio.wait(self.ending)
        outlet = SocketOutlet(self.socket.wire, id_)
        if len(self.running) >= MAX_OPERATIONS:
            self._refuse_one_more(outlet)
            return
        task = asyncio.create_task(self._run(id_, outlet, cast("Mapping[str, Any]", message["payload"])))
        self.running[id_] = task

    async def handle_complete(self, message: CompleteMessage) -> None:
        task = self.running.pop(message["id"], None)
        if task is not None:
            self.ending.add(task)
            task.add_done_callback(self.ending.discard)
            task.cancel()

    # ---- operations ----------------------------------------------------------------------------------------------

    async def _run(self, id_: str, outlet: SocketOutlet, payload: Mapping[str, Any]) -> None:
        """Run an operation to its end; its id is free before its last frame is sent."""
        me = asyncio.current_task()

        def is_over() -> None:
            if self.running.get(id_) is me:
                del self.running[id_]

        try:
            await self.streaming.run(asked_of(payload), self.viewer, outlet, "ws", on_end=is_over)
        except GatekeepingError:  # the credential is at its end
            self._credential_ended()
        finally:
            is_over()

    def _refuse_one_more(self, outlet: SocketOutlet) -> None:
        refusal = GraphQLError(
            f"{MAX_OPERATIONS} operations are under way on this connection", extensions={"code": "THROTTLED"}
        )
        self.streaming.refuse(outlet, refusal, "ws")

    # ---- whose connection it is ----------------------------------------------------------------------------------

    def _authorization(self, payload: Mapping[str, Any]) -> str | None:
        """`Authorization` of the connection's parameters, in any case; else that of the handshake."""
        for name, value in payload.items():
            if name.lower() == "authorization" and value is not None:
                return value if isinstance(value, str) else ""
        of_handshake: str | None = self.socket.ws.headers.get("authorization")
        return of_handshake

    def _credential_ended(self) -> None:
        if self._closing is None:
            reason = "Forbidden: the credential has ended"
            self._closing = asyncio.create_task(self.websocket.close(code=4403, reason=reason))

    _closing: "asyncio.Task[None] | None" = None


def _malformed(frame: Any) -> str | None:
    """What is wrong with a frame, or None."""
    if not isinstance(frame, dict) or frame.get("type") not in _TYPES:
        return "A frame is an object with a known type"
    kind, payload = frame["type"], frame.get("payload")
    if kind in ("connection_init", "ping", "pong"):
        return None if isinstance(payload, dict | None) else "The payload must be an object"
    id_ = frame.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= MAX_ID:
        return f"The id must be a string of 1 to {MAX_ID} characters"
    if kind == "complete":
        return None
    try:
        asked_of(payload)
    except NotARequest as wrong:
        return f"The payload is no request: {wrong}"[:MAX_REASON]
    return None
