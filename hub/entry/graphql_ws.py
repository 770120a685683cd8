"""GraphQL over WebSocket (`graphql-transport-ws`): queries, mutations and subscriptions, many on one connection.

    4400  a frame that is none of the protocol      4408  no connection_init within 5 s
    4401  subscribe before the acknowledgement      4409  an id that is in use
    4403  a credential that is not taken, or ended  4429  a second connection_init
    4406  no subprotocol in common                  1012  the server goes away: come back with your cursor

What is wrong with one operation is an `error` for its id and leaves its siblings alone. Each operation has a context of
its own, so nothing that one has loaded is shown to another.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
from graphql import GraphQLError
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.utils.aio import aclosing

from hub.domain.people import ANONYMOUS, Viewer
from hub.entry.asked import Asked, NotARequest, asked_of
from hub.entry.logs import request_id
from hub.entry.masking import told
from resolvers.context import RequestContext, request_context
from resolvers.errors import GatekeepingError

if TYPE_CHECKING:
    from hub.entry.graphql_http import HubGraphQL

log = logging.getLogger(__name__)

INIT_WITHIN = timedelta(seconds=5)  # a connection that says nothing holds a socket and nothing else
MAX_OPERATIONS = 100  # under way on one connection
MAX_ID = 128  # characters of an operation's id; clients use a UUID
MAX_REASON = 120  # characters of why it is closed; the protocol has room for 123 bytes
EXPIRY_CHECK_S = 30.0  # the wall clock may jump: no longer wait is trusted

_TYPES = ("connection_init", "ping", "pong", "subscribe", "complete")


class SocketAdapter(ASGIWebSocketAdapter):
    """The socket: JSON in and out, and every way in which it can be gone told as one."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        while self.ws.application_state != WebSocketState.DISCONNECTED:
            try:
                text = await self.ws.receive_text()
            except WebSocketDisconnect:
                return
            except KeyError:
                raise NonTextMessageReceived from None
            try:
                frame = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise NonJsonMessageReceived from None
            yield frame

    async def send_json(self, message: Mapping[str, object]) -> None:
        if self.ws.application_state != WebSocketState.CONNECTED:
            raise WebSocketDisconnected
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect as gone:
            raise WebSocketDisconnected from gone

    async def close(self, code: int, reason: str) -> None:
        """Close it, unless that has happened already."""
        if self.ws.application_state == WebSocketState.CONNECTED:
            await self.ws.close(code=code, reason=reason)


class AskedOperation(Operation[RequestContext, None]):
    """An operation with all that was asked: its document may be one that is stored here."""

    def __init__(self, handler: "SocketHandler", id_: str, asked: Asked) -> None:
        super().__init__(handler, id_, asked.query or "", asked.variables, asked.operation_name)
        self.asked = asked


class SocketHandler(BaseGraphQLTransportWSHandler[RequestContext, None]):
    """One connection: whose it is, and the operations on it."""

    viewer: Viewer = ANONYMOUS
    _expiring: "asyncio.Task[None] | None" = None

    @property
    def hub_view(self) -> "HubGraphQL":
        return cast("HubGraphQL", self.view)

    async def handle(self) -> None:
        self.hub_view.metrics.sockets += 1
        try:
            await super().handle()
        finally:
            self.hub_view.metrics.sockets -= 1

    async def shutdown(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
        await super().shutdown()

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
        try:
            self.viewer = await self.hub_view.viewers.viewer(self._authorization(message.get("payload") or {}))
        except GatekeepingError as refused:
            if refused.code != "UNAUTHENTICATED":
                await self.websocket.close(code=1013, reason="Try again later")
                return
            self.hub_view.metrics.count("hub_unauthenticated_total")
            await self.websocket.close(code=4403, reason=f"Forbidden: {refused}"[:MAX_REASON])
            return
        if self.viewer.expires_at_us is not None:
            self._expiring = asyncio.create_task(self._end_with_token(self.viewer.expires_at_us))
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if not self.connection_acknowledged:
            await self.websocket.close(code=4401, reason="Unauthorized")
            return
        id_, payload = message["id"], message["payload"]
        if id_ in self.operations:
            await self.websocket.close(code=4409, reason="An operation with this id is under way")
            return
        operation = AskedOperation(self, id_, asked_of(payload))
        if len(self.operations) >= MAX_OPERATIONS:
            await self._refuse_one_more(operation)
            return
        operation.task = asyncio.create_task(self.run_operation(operation))
        operation.task.add_done_callback(self._task_done)
        self.operations[id_] = operation

    # ---- operations ----------------------------------------------------------------------------------------------

    async def run_operation(self, operation: Operation[RequestContext, None]) -> None:
        """Run it to its end; each result leaves masked, under the operation's own request id."""
        request_id.set(own_id := secrets.token_hex(8))
        metrics = self.hub_view.metrics
        metrics.streams += 1
        outcome = "ok"
        try:
            outcome = await self._send_results(operation, own_id)
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        except WebSocketDisconnected:
            pass
        except Exception as fault:
            outcome = "errors"
            await self._send_errors(operation, [GraphQLError("", original_error=fault)], own_id)
        finally:
            metrics.streams -= 1
            metrics.count("hub_graphql_operations_total", transport="ws", outcome=outcome)

    async def _send_results(self, operation: Operation[RequestContext, None], own_id: str) -> str:
        """Send every result of the source; returns what became of the operation."""
        assert isinstance(operation, AskedOperation)
        try:
            taken = self.hub_view.documents.take(operation.asked, self.viewer)
        except GraphQLError as refusal:
            await self._send_errors(operation, [refusal], own_id)
            return "refused"
        outcome = ""  # before the first result
        results = await self.schema.stream(
            taken.text,
            variable_values=operation.variables,
            context_value=request_context(self.hub_view.hub, self.viewer, own_id),
            operation_name=operation.operation_name,
            operation_extensions=taken.extensions,
        )
        async with aclosing(results):
            async for result in results:
                assert isinstance(result, ExecutionResult)  # @defer and @stream are off
                if isinstance(result, PreExecutionError) or _is_without_place(result):
                    await self._send_errors(operation, result.errors or [], own_id)
                    return outcome or "refused"
                await self._send_next(operation, result, own_id)
                outcome = "errors" if result.errors else outcome or "ok"
        return outcome or "ok"

    async def _send_next(
        self, operation: Operation[RequestContext, None], result: ExecutionResult, own_id: str
    ) -> None:
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            payload["errors"] = self._told(result.errors, own_id)
        if result.extensions:
            payload["extensions"] = result.extensions
        message = {"id": operation.id, "type": "next", "payload": payload}
        await operation.send_operation_message(cast("Message", message))

    async def _send_errors(
        self, operation: Operation[RequestContext, None], errors: list[GraphQLError], own_id: str
    ) -> None:
        """The protocol's end of an operation that never ran, or cannot go on."""
        message = {"id": operation.id, "type": "error", "payload": self._told(errors, own_id)}
        try:
            await operation.send_operation_message(cast("Message", message))
        except WebSocketDisconnected:
            pass

    async def _refuse_one_more(self, operation: Operation[RequestContext, None]) -> None:
        refusal = GraphQLError(
            f"{MAX_OPERATIONS} operations are under way on this connection", extensions={"code": "THROTTLED"}
        )
        message = {"id": operation.id, "type": "error", "payload": self._told([refusal], secrets.token_hex(8))}
        await self.send_message(cast("Message", message))

    def _told(self, errors: list[GraphQLError], own_id: str) -> list[dict[str, Any]]:
        return [told(error, own_id, is_production=self.hub_view.settings.is_production) for error in errors]

    # ---- whose connection it is ----------------------------------------------------------------------------------

    def _authorization(self, payload: Mapping[str, Any]) -> str | None:
        """`Authorization` of the connection's parameters, in any case; else that of the handshake."""
        for name, value in payload.items():
            if name.lower() == "authorization" and value is not None:
                return value if isinstance(value, str) else ""
        headers = cast("SocketAdapter", self.websocket).ws.headers
        of_handshake: str | None = headers.get("authorization")
        return of_handshake

    async def _end_with_token(self, expires_at_us: int) -> None:
        clock = self.hub_view.hub.clock
        left_us = expires_at_us - clock.now_us()
        while left_us > 0:
            await asyncio.sleep(min(left_us / 1e6, EXPIRY_CHECK_S))
            left_us = expires_at_us - clock.now_us()
        await self.websocket.close(code=4403, reason="Forbidden: the token has ended")


def _is_without_place(result: ExecutionResult) -> bool:
    """Variables that cannot be coerced, or a source that broke: the errors belong to the operation, not to a field."""
    return result.data is None and bool(result.errors) and not any(error.path for error in result.errors or ())


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
