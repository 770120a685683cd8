"""One operation on a streaming transport, from its text to its last result, whatever the transport.

The transports differ in how a result is framed (Outlet); what is limited, shared, masked and counted is the same.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Any

import orjson
from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError
from strawberry.schema import Schema
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.utils.aio import aclosing

from hub.domain.people import Viewer
from hub.entry.asked import Asked
from hub.entry.documents import StoredDocuments
from hub.entry.fanout import Fanout, Subscriber, catching
from hub.entry.logs import request_id
from hub.entry.masking import told
from hub.entry.metrics import Metrics
from hub.entry.standing import Standing, Still
from hub.entry.tails import Tails
from hub.entry.wires import MAX_UNSENT, Gone, Stalled, Wire, drained
from hub.ports import Hub
from resolvers.context import request_context
from resolvers.errors import GatekeepingError

log = logging.getLogger(__name__)

ENDED = "the credential has ended: sign in and go on from your last cursor"


class Outlet:
    """How the results of one operation are framed. Nothing here waits; `write` of the wire raises Gone."""

    def __init__(self, wire: Wire, before: bytes, after: bytes) -> None:
        self.wire = wire
        self.before = before
        self.after = after

    def next(self, body: bytes) -> None:
        """A result, as the JSON of `{data, errors, extensions}`."""
        self.wire.write(body, before=self.before, after=self.after)

    def error(self, errors: list[dict[str, Any]], *, is_begun: bool) -> None:
        """The end of an operation that never ran, or (`is_begun`) cannot go on."""
        raise NotImplementedError

    def complete(self) -> None:
        """The end of an operation that has said everything."""
        raise NotImplementedError


class Streaming:
    """The operations over streaming transports of one app."""

    def __init__(
        self,
        schema: Schema,
        hub: Hub,
        metrics: Metrics,
        documents: StoredDocuments,
        still: Still,
        *,
        is_production: bool,
    ) -> None:
        self.metrics = metrics
        self._documents = documents
        self.standing = Standing(still)
        self.fanout = Fanout(Tails(hub))
        self._schema = schema
        self._hub = hub
        self._is_production = is_production

    async def run(
        self,
        asked: Asked,
        viewer: Viewer,
        outlet: Outlet,
        transport: str,
        *,
        allowed: tuple[OperationType, ...] = tuple(OperationType),
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Run it to its end; each result leaves masked, under the operation's own request id. `on_end` is called
        before the last frame. Raises GatekeepingError UNAUTHENTICATED if the viewer's token ends meanwhile."""
        request_id.set(own_id := secrets.token_hex(8))
        self.metrics.streams += 1
        outcome = "gone"
        is_counted = False
        try:
            self.standing.begin(viewer)
            is_counted = True
            outcome, errors = await self._send_results(asked, viewer, outlet, own_id, allowed)
            if on_end is not None:
                on_end()
            outlet.error(errors, is_begun=outcome != "refused") if errors else outlet.complete()
        except Gone:
            pass
        except Exception as fault:
            outcome = self._outcome_of(fault)
            if on_end is not None:
                on_end()
            self._end_with(outlet, fault, own_id)
            if _has_ended(fault, viewer, self._hub):
                raise
        finally:
            if is_counted:
                self.standing.done(viewer)
            self.metrics.streams -= 1
            self.metrics.count("hub_graphql_operations_total", transport=transport, outcome=outcome)

    def refuse(self, outlet: Outlet, refusal: GraphQLError, transport: str) -> None:
        """End an operation that is not even begun."""
        self.metrics.count("hub_graphql_operations_total", transport=transport, outcome="refused")
        try:
            outlet.error(self._told([refusal], secrets.token_hex(8)), is_begun=False)
        except Gone:
            pass

    def tell_ended(self, outlet: Outlet) -> None:
        """End an operation whose viewer's credential ended."""
        self._end_with(outlet, GatekeepingError("UNAUTHENTICATED", ENDED), secrets.token_hex(8))

    async def _send_results(
        self, asked: Asked, viewer: Viewer, outlet: Outlet, own_id: str, allowed: tuple[OperationType, ...]
    ) -> tuple[str, list[dict[str, Any]]]:
        """Send every result of the source; returns what became of the operation, and the errors that end it."""
        begun = await self._begin(asked, viewer, outlet, own_id, allowed)
        if not isinstance(begun, Subscriber):
            return begun
        try:
            await begun.run()
        finally:
            self.fanout.leave(begun.broadcast)
        return "ok", []

    async def _begin(
        self, asked: Asked, viewer: Viewer, outlet: Outlet, own_id: str, allowed: tuple[OperationType, ...]
    ) -> Subscriber | tuple[str, list[dict[str, Any]]]:
        """Run it, or make it one of those who follow the log: then nothing of what began it is kept."""
        try:
            taken = self._documents.take(asked, viewer)
        except GraphQLError as refusal:
            return "refused", self._told([refusal], own_id)
        outcome = ""  # before the first result
        with catching() as caught:
            results = await self._schema.stream(
                taken.text,
                variable_values=asked.variables,
                context_value=request_context(self._hub, viewer, own_id, is_stream=True),
                operation_name=asked.operation_name,
                operation_extensions=taken.extensions,
                allowed_operation_types=allowed,
            )
            async with aclosing(results):
                async for result in results:
                    assert isinstance(result, ExecutionResult)  # what would be deferred is refused
                    if isinstance(result, PreExecutionError) or _is_without_place(result):
                        return outcome or "refused", self._told(result.errors or [], own_id)
                    outlet.next(self._json(result, own_id))
                    await _taken(outlet.wire)
                    outcome = "errors" if result.errors else outcome or "ok"
        if caught.following is None:
            return outcome or "ok", []
        broadcast = self.fanout.join(caught, taken.text, asked.variables, self._json)
        return Subscriber(
            broadcast, caught.following.position, viewer, outlet.wire, before=outlet.before, after=outlet.after
        )

    def _json(self, result: ExecutionResult | CoreResult, own_id: str) -> bytes:
        payload: dict[str, Any] = {"data": result.data}
        if result.errors:
            payload["errors"] = self._told(result.errors, own_id)
        if result.extensions:
            payload["extensions"] = result.extensions
        return orjson.dumps(payload)

    def _end_with(self, outlet: Outlet, fault: Exception, own_id: str) -> None:
        try:
            outlet.error(self._told([GraphQLError("", original_error=fault)], own_id), is_begun=True)
        except Gone:
            pass

    def _outcome_of(self, fault: Exception) -> str:
        code = fault.code if isinstance(fault, GatekeepingError) else ""
        if code == "SLOW_CONSUMER":
            self.metrics.count("hub_slow_consumers_total")
        return {"SLOW_CONSUMER": "slow", "THROTTLED": "refused"}.get(code, "errors")

    def _told(self, errors: list[GraphQLError], own_id: str) -> list[dict[str, Any]]:
        """As a client sees them; what is masked is logged under this operation, whoever else came to it first."""
        token = request_id.set(own_id)
        try:
            return [told(error, own_id, is_production=self._is_production) for error in errors]
        finally:
            request_id.reset(token)


async def _taken(wire: Wire) -> None:
    """Wait while too much has not left. SLOW_CONSUMER without a cursor: what is no stream of the log has none."""
    if wire.unsent > MAX_UNSENT:
        try:
            await drained(wire)
        except Stalled as stalled:
            raise GatekeepingError("SLOW_CONSUMER", f"{stalled}: ask again, and read faster") from None


def _has_ended(fault: Exception, viewer: Viewer, hub: Hub) -> bool:
    return (
        isinstance(fault, GatekeepingError)
        and fault.code == "UNAUTHENTICATED"
        and viewer.expires_at_us is not None
        and hub.clock.now_us() >= viewer.expires_at_us
    )


def _is_without_place(result: ExecutionResult) -> bool:
    """Variables that cannot be coerced, or a source that broke: the errors belong to the operation, not to a field."""
    return result.data is None and bool(result.errors) and not any(error.path for error in result.errors or ())
