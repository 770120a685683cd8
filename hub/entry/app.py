"""The ASGI application: every address that the hub answers, and what is done around each answer.

    /graphql                    HTTP and WebSocket              /healthz   the process lives
    /graphiql                   the IDE, if it is on            /readyz    it takes requests
    /channels/{code}/notices    channels' later word            /metrics   what it counts
    /.well-known/jwks.json      the key that signs receipts
    /proofs/{order}.json .svg   an order's proof bundle as a file, and as a QR code
    /tokens/{id}.json           what a wallet shows of a token
    /oauth/token                a partner's signed word about a learner becomes a token of the hub

It is given its hub and opens nothing itself, so a test has one in a line.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import copy

import orjson
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send
from strawberry.schema import Schema

from hub.entry.documents import StoredDocuments
from hub.entry.graphiql import graphiql_routes
from hub.entry.graphql_http import HubGraphQL
from hub.entry.limits import Documents, Limits
from hub.entry.logs import request_id
from hub.entry.manifests import trusted_documents
from hub.entry.metrics import Metrics
from hub.entry.metrics_port import metrics_route
from hub.entry.notices import notice_route
from hub.entry.proofs import proof_routes
from hub.entry.readiness import Readiness
from hub.entry.setting_values import EVERYBODY
from hub.entry.settings import Settings
from hub.entry.sign_in import SignIn
from hub.entry.throttling import Buckets, Rate, Throttle, per_minute
from hub.entry.token_exchange import token_routes
from hub.entry.token_metadata import token_metadata_routes
from hub.entry.viewers import Viewers
from hub.entry.visitors import for_viewers
from hub.ports import Hub
from hub.security.signing import SignedReceipts

log = logging.getLogger(__name__)

# Bytes of any request's body; the largest that is meant, a document with its variables, has about a tenth.
MAX_BODY = 1024 * 1024
READY_WITHIN_S = 2.0  # a database that needs longer to answer is not ready
CORS_CACHE_S = 600
JWKS_CACHING = "public, max-age=300"

# On every answer that does not say otherwise itself: nothing here is a page, and nothing may be kept by a proxy.
SECURITY_HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

IsReady = Callable[[], Awaitable[bool]]


def create_app(
    hub: Hub,
    settings: Settings,
    *,
    schema: Schema,
    is_ready: IsReady | None = None,
    lifespan: Lifespan[Starlette] | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    sign_in: SignIn | None = None,
) -> Starlette:
    """The application of this hub. It opens and closes nothing: hub and worker are the caller's.

    `is_ready` says whether the database takes requests (default: `Readiness`); an exception is a no, and so is
    no word within READY_WITHIN_S. `app.state.is_draining` set to True turns /readyz to 503 and ends connections with
    their answers. `app.state.metrics` counts. `sign_in` is what the demo's GraphiQL offers.
    """
    counted = Metrics()
    stored = _stored_documents(schema, settings)
    graphql = HubGraphQL(_limited(schema, settings, counted), hub, settings, Viewers(hub), counted, stored)
    routes: list[BaseRoute] = [
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
        notice_route(hub, counted),
        *token_routes(hub, settings, counted),
        *proof_routes(hub, schema, settings.public_url),
        *token_metadata_routes(settings.public_url),
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", _readyz(is_ready or Readiness(hub)), methods=["GET"]),
        *([metrics_route(hub, counted)] if settings.metrics_port is None else []),
        *([_jwks(hub.receipts)] if isinstance(hub.receipts, SignedReceipts) else []),
        *_graphiql(hub, settings, sign_in),
        *extra_routes,
    ]
    around = [Middleware(Around, metrics=counted)]
    if settings.allowed_origins:
        around.append(_cors(settings.allowed_origins))
    app = Starlette(routes=routes, middleware=around, lifespan=lifespan)
    app.state.is_draining = False
    app.state.metrics = counted
    return app


def _graphiql(hub: Hub, settings: Settings, sign_in: SignIn | None) -> list[Route]:
    if not settings.graphiql:
        return []
    routes = graphiql_routes(sign_in)
    return routes if settings.graphiql == EVERYBODY else for_viewers(routes, settings.graphiql, Viewers(hub))


def _stored_documents(schema: Schema, settings: Settings) -> StoredDocuments:
    manifests, cache = settings.documents_manifest, settings.documents_cache
    return StoredDocuments(settings.documents, trusted_documents(manifests, cache, schema._schema))


def _limited(schema: Schema, settings: Settings, metrics: Metrics) -> Schema:
    """The schema with the limits around each operation. A copy: the schema itself is one for the whole process.

    Caches that it brings for itself are left out: they would validate a document before the limits can refuse it.
    """
    throttle = Throttle(
        Buckets(Rate(settings.cost_maximum, settings.cost_restore)),
        Buckets(per_minute(settings.attempts_per_minute)),
        settings.slow_operation_ms,
        metrics,
    )
    documents = Documents(schema._schema, settings.introspection, throttle)
    served = copy(schema)
    served.extensions = (lambda: Limits(documents),)
    # Its own log would hold every client's mistakes, with their values; what matters is written by masking.
    served.process_errors = lambda errors, execution_context=None: None  # type: ignore[method-assign]  # Strawberry means a subclass to override it, and the schema is copied as it is
    return served


def _cors(origins: tuple[str, ...]) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "graphql-cost", "idempotency-key", "if-none-match"],
        expose_headers=["etag", "x-request-id"],
        max_age=CORS_CACHE_S,
    )


# ---- around every answer ---------------------------------------------------------------------------------------


class Around:
    """Gives each request its id, bounds its body, adds the headers, counts it, and writes its line in the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        answer = _Answer(send, is_last=scope["app"].state.is_draining)
        request_id.set(answer.id)
        try:
            await self._app(scope, _bounded(scope, receive), answer.send)
        except ClientDisconnect:
            answer.status = answer.status or 400  # nobody is there to read it
        except Exception:
            log.exception("internal error")
            if not answer.status:  # else it is cut: a half answer must not look whole
                await _internal_error(answer.id)(scope, receive, answer.send)
        route, seconds = _route(scope["path"]), time.perf_counter() - started
        self._metrics.count("hub_http_requests_total", route=route, status=str(answer.status))
        self._metrics.count("hub_http_seconds_total", seconds, route=route)
        log.info(
            "answered",
            extra={
                "method": scope["method"],
                "route": route,
                "status": answer.status,
                "duration_ms": round(seconds * 1000, 1),
            },
        )


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send, *, is_last: bool) -> None:
        self.id = secrets.token_hex(8)
        self.status = 0
        self._send = send
        self._is_last = is_last

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.id
            if self._is_last:
                headers["Connection"] = "close"
        await self._send(message)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """`receive`, which raises HTTPException(413) once the body is longer than MAX_BODY."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise HTTPException(413, f"a body has at most {MAX_BODY} bytes")
        return message

    return bounded


def _internal_error(own_id: str) -> Response:
    error = {"message": "internal error", "extensions": {"code": "INTERNAL", "requestId": own_id}}
    return Response(orjson.dumps({"errors": [error]}), 500, media_type="application/json")


def _route(path: str) -> str:
    """What a path is counted as: never what a client made up."""
    if path in ("/graphql", "/healthz", "/readyz", "/metrics", "/.well-known/jwks.json", "/oauth/token"):
        return path
    for start in ("/graphiql", "/channels", "/proofs", "/demo"):
        if path.startswith(start):
            return start
    return "other"


# ---- for machines ----------------------------------------------------------------------------------------------


async def _healthz(_request: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


def _readyz(is_ready: IsReady) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(request: Request) -> Response:
        if request.app.state.is_draining:
            return _not_ready("draining")
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                if await is_ready():
                    return Response(b'{"status":"ready"}', media_type="application/json")
        except Exception:
            log.warning("not ready", exc_info=True)
        return _not_ready("database")

    return readyz


def _not_ready(reason: str) -> Response:
    return Response(orjson.dumps({"status": "not ready", "reason": reason}), 503, media_type="application/json")


def _jwks(receipts: SignedReceipts) -> Route:
    body = orjson.dumps(receipts.jwks())

    async def jwks(_request: Request) -> Response:
        return Response(body, media_type="application/jwk-set+json", headers={"Cache-Control": JWKS_CACHING})

    return Route("/.well-known/jwks.json", jwks, methods=["GET"])
