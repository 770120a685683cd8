"""GraphQL over HTTP as its specification has it, where Strawberry's own view answers otherwise.

    406  nothing that we speak is accepted, or a subscription without a stream
    405  another method than GET and POST; a mutation by GET
    415  another body than JSON in UTF-8                400  a body that is no request
    413  a body beyond a mebibyte                       408  one that does not come
    401  a credential that is not taken                 303  a browser, to GraphiQL
    400  a request error under application/graphql-response+json, 200 under application/json: never with `data`
    200  everything that was executed

Each refusal is a GraphQL error in the media type that was asked for.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from graphql import GraphQLError
from graphql.execution import ExperimentalIncrementalExecutionResults
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema import Schema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from hub.domain.people import Viewer
from hub.entry.asked import Asked, NotARequest, asked_of, parts_of_url, read_json
from hub.entry.caching import cacheable
from hub.entry.callers import note_origin
from hub.entry.documents import StoredDocuments, Taken
from hub.entry.fanout import SharingExecutor
from hub.entry.gateway import Gateway
from hub.entry.graphql_streams import SSE, StreamResponse, stream_wanted
from hub.entry.graphql_ws import INIT_WITHIN, MAX_OPERATIONS, SocketAdapter, SocketHandler
from hub.entry.idempotency import HEADER, KeyPlaces, key_of
from hub.entry.incremental import IncrementalResponse, spec_wanted, whole
from hub.entry.logs import request_id
from hub.entry.masking import told
from hub.entry.metrics import Metrics
from hub.entry.negotiation import GRAPHQL_JSON, JSON, is_json, names_html, negotiated, ranges_of
from hub.entry.settings import Settings
from hub.entry.streaming import Streaming
from hub.entry.viewers import Viewers
from hub.ports import Hub
from resolvers.context import Parts, RequestContext, request_context
from resolvers.errors import GatekeepingError

BODY_WITHIN_S = 30.0  # a mebibyte over the slowest phone; longer holds a connection for nothing
WEBSOCKET_PROTOCOLS = ("graphql-transport-ws",)  # never the legacy one, on by default elsewhere
# What an ordinary answer carries, and what a stream does.
ALLOWED = {"GET": (OperationType.QUERY,), "POST": (OperationType.QUERY, OperationType.MUTATION)}
STREAMED = {"GET": (OperationType.QUERY, OperationType.SUBSCRIPTION), "POST": tuple(OperationType)}
STATUS_OF = {"UNAUTHENTICATED": 401, "UNAVAILABLE": 503}


class HttpRefused(Exception):
    """A request that is not executed: its status, and what to tell."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class NeedsStream(HttpRefused):
    """A subscription, which an ordinary answer cannot carry."""

    def __init__(self) -> None:
        super().__init__(406, f"a subscription needs a stream: accept {SSE}, or come over WebSocket")


class HubGraphQL(GraphQL[RequestContext, None]):
    """`/graphql`: HTTP here, WebSocket by SocketHandler."""

    websocket_adapter_class = SocketAdapter
    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: Schema,
        hub: Hub,
        settings: Settings,
        viewers: Viewers,
        metrics: Metrics,
        documents: StoredDocuments,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=settings.get,
            subscription_protocols=WEBSOCKET_PROTOCOLS,
            connection_init_wait_timeout=INIT_WITHIN,
            max_subscriptions_per_connection=MAX_OPERATIONS,
            allowed_origins=(settings.public_url, *settings.allowed_origins),
        )
        self.hub = hub
        self.settings = settings
        self.viewers = viewers
        self.metrics = metrics
        self.gateway = Gateway(settings, hub.clock)
        self.documents = documents
        schema.execution_context_class = SharingExecutor
        self.streaming = Streaming(schema, hub, metrics, documents, viewers.still, is_production=settings.is_production)
        self._keys = KeyPlaces(schema._schema)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_origin(scope, self.settings.trusted_proxies)
        if scope["type"] == "websocket":
            await self.run(WebSocket(scope, receive, send))
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    # ---- HTTP ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        accept = request.headers.get("accept")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": self._methods})
        if request.method in ("GET", "HEAD") and self.settings.graphiql and names_html(accept):
            return RedirectResponse("/graphiql", status_code=303)
        media_type, stream = negotiated(accept), stream_wanted(ranges_of(accept), accept)
        stream = None if request.method == "HEAD" else stream
        spec = None if request.method == "HEAD" else spec_wanted(accept)
        parts = None if spec is None else Parts()
        try:
            if media_type is None and stream is None and spec is None:
                raise HttpRefused(406, f"{GRAPHQL_JSON}, {JSON} and {SSE} are what is spoken here")
            asked = await self._asked(request, is_stream=stream is not None)
            viewer = await self.viewers.viewer(request.headers.get("authorization"))
            try:
                is_for_streams = request.method == "GET" and not self.allow_queries_via_get
                if is_for_streams or (media_type is None and stream is not None):
                    raise NeedsStream
                taken, result = await self._execute(asked, viewer, request, parts)
            except NeedsStream:
                if stream is None:
                    raise
                return self._streamed(request, asked, viewer, stream)
        except HttpRefused as refused:
            return self._refused(refused, media_type or JSON)
        except GatekeepingError as refused:
            return self._not_let_in(refused, media_type or JSON)
        if isinstance(result, ExperimentalIncrementalExecutionResults):
            assert spec is not None  # nothing is deferred without
            assert parts is not None
            return IncrementalResponse(result, parts, spec, self._teller(), self._counted)
        answer = self._executed(request, viewer, taken, result, media_type or JSON)
        return whole(bytes(answer.body)) if media_type is None and answer.body else answer

    def _streamed(self, request: Request, asked: Asked, viewer: Viewer, stream: str) -> Response:
        allowed = STREAMED[request.method]
        if request.method == "GET" and not self.allow_queries_via_get:
            allowed = (OperationType.SUBSCRIPTION,)  # which is how gateways come
        return StreamResponse(self.streaming, asked, viewer, stream, allowed, lambda: request.app.state.is_draining)

    async def _asked(self, request: Request, *, is_stream: bool) -> Asked:
        try:
            if request.method in ("GET", "HEAD"):
                if not self.allow_queries_via_get and not is_stream:
                    raise HttpRefused(405, "queries by GET are off: send a POST", {"Allow": self._methods})
                return _not_empty(asked_of(parts_of_url(request.scope["query_string"])))
            if request.method != "POST":
                raise HttpRefused(405, "send a GET or a POST", {"Allow": self._methods})
            _demand_json(request.headers)
            return _not_empty(asked_of(read_json(await _body(request), "the body")))
        except NotARequest as wrong:
            raise HttpRefused(400, str(wrong)) from None

    async def _execute(
        self, asked: Asked, viewer: Viewer, request: Request, parts: Parts | None
    ) -> tuple[Taken | None, ExecutionResult | ExperimentalIncrementalExecutionResults]:
        """The document as it was taken, None for one that was not, and what came of it."""
        try:
            taken = self.documents.take(asked, viewer)
            text, variables = taken.text, asked.variables
            if request.method == "POST" and (key := key_of(request.headers.getlist(HEADER))) is not None:
                text, variables = self._keys.filled(text, asked.operation_name, variables, key)
        except GraphQLError as refusal:
            return None, PreExecutionError(data=None, errors=[refusal])
        try:
            return taken, await self.schema.execute(
                text,
                variable_values=variables,
                context_value=request_context(
                    self.hub, viewer, request_id.get(), await self.gateway.fields(request, asked, viewer), parts=parts
                ),
                operation_name=asked.operation_name,
                allowed_operation_types=ALLOWED["POST" if request.method == "POST" else "GET"],
                operation_extensions=taken.extensions,
            )
        except InvalidOperationTypeError as refused:
            if refused.operation_type is OperationType.SUBSCRIPTION:
                raise NeedsStream from None
            raise HttpRefused(405, "mutations come by POST", {"Allow": "POST"}) from None
        except CannotGetOperationTypeError as refused:
            return taken, PreExecutionError(data=None, errors=[GraphQLError(refused.as_http_error_reason())])

    def _executed(
        self, request: Request, viewer: Viewer, taken: Taken | None, result: ExecutionResult, media_type: str
    ) -> Response:
        errors = self._teller()(result.errors or [])
        # Variables that cannot be coerced come as an executed result without data and without a place in it.
        is_request_error = isinstance(result, PreExecutionError) or (
            result.data is None and not any(error.path for error in result.errors or ())
        )
        self.metrics.count("hub_graphql_operations_total", transport="http", outcome=outcome(result, is_request_error))
        body: dict[str, Any] = {} if is_request_error else {"data": result.data}
        cache_s = None if errors or request.method == "POST" else taken and taken.cache_s(viewer)
        if errors:
            body["errors"] = errors
        if result.extensions and not cache_s:  # they tell of the caller
            body["extensions"] = result.extensions
        content = orjson.dumps(body)
        if cache_s:
            return cacheable(content, f"{media_type}; charset=utf-8", cache_s, request)
        status = 400 if is_request_error and media_type == GRAPHQL_JSON else 200
        content = b"" if request.method == "HEAD" else content
        return Response(content, status, media_type=f"{media_type}; charset=utf-8")

    def _teller(self) -> Callable[[list[GraphQLError]], list[dict[str, Any]]]:
        """How this request's errors are told, also when the answer has begun."""
        own_id, is_production = request_id.get(), self.settings.is_production
        return lambda errors: [told(error, own_id, is_production=is_production) for error in errors]

    def _counted(self, outcome: str) -> None:
        self.metrics.count("hub_graphql_operations_total", transport="http", outcome=outcome)

    def _refused(self, refused: HttpRefused, media_type: str) -> Response:
        return self._error(refused.status, str(refused), {"code": "BAD_USER_INPUT"}, media_type, refused.headers)

    def _not_let_in(self, refused: GatekeepingError, media_type: str) -> Response:
        headers = {}
        if refused.code == "UNAUTHENTICATED":
            self.metrics.count("hub_unauthenticated_total")
            headers["WWW-Authenticate"] = "Bearer"
        return self._error(STATUS_OF[refused.code], str(refused), refused.extensions, media_type, headers)

    def _error(
        self, status: int, message: str, extensions: Mapping[str, Any], media_type: str, headers: Mapping[str, str]
    ) -> Response:
        error = {"message": message, "extensions": dict(extensions) | {"requestId": request_id.get()}}
        self.metrics.count("hub_graphql_operations_total", transport="http", outcome="refused")
        return Response(orjson.dumps({"errors": [error]}), status, headers, f"{media_type}; charset=utf-8")

    @property
    def _methods(self) -> str:
        return "GET, HEAD, OPTIONS, POST" if self.allow_queries_via_get else "OPTIONS, POST"


def outcome(result: ExecutionResult, is_request_error: bool) -> str:
    """The word for a metric: what became of one operation."""
    if is_request_error:
        return "refused"
    return "errors" if result.errors else "ok"


# ---- what came ---------------------------------------------------------------------------------------------------


def _not_empty(asked: Asked) -> Asked:
    if asked.query == "":
        raise NotARequest("`query` is empty")
    return asked


def _demand_json(headers: Headers) -> None:
    """Forms, plain text and files are refused: a foreign page can send them without asking (CSRF)."""
    if not is_json(headers.get("content-type", "")):
        raise HttpRefused(415, f"the body must be {JSON} in UTF-8", {"Accept-Post": JSON})
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HttpRefused(415, "the body must not be compressed", {"Accept-Encoding": "identity"})


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.body()
    except TimeoutError:
        raise HttpRefused(408, f"the body did not come within {BODY_WITHIN_S} s", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400) from None  # nobody is there to read it
    except HTTPException as refused:  # the body's bound, from around the application
        raise HttpRefused(refused.status_code, refused.detail) from None
