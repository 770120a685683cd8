"""What every peer's JSON endpoint does alike: key, body, saved answers, faults, signed answers, cut connections."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from hub.sandbox import faults
from hub.sandbox.books import Books
from hub.sandbox.courier import Courier
from hub.sandbox.disputes import Disputes
from hub.sandbox.intents import Intents
from hub.sandbox.keys import Keys
from hub.sandbox.refunds import Refunds
from hub.sandbox.signatures import HEADER, signature
from hub.sandbox.tables import Tables
from hub.sandbox.time import Clock

BODY_LIMIT = 64 * 1024  # bytes; a payment or a course is far smaller
KEY_LIMIT = 255  # characters of an idempotency key, as Stripe has it
IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"


@dataclass(frozen=True, slots=True)
class Peer:
    """All that an endpoint needs, held by the application."""

    base_url: str
    tables: Tables
    keys: Keys
    intents: Intents
    refunds: Refunds
    disputes: Disputes
    books: Books
    courier: Courier
    client: httpx.AsyncClient
    clock: Clock
    running: set[tuple[str, str]] = field(default_factory=set)  # (peer, idempotency key) of the calls under way

    def now(self) -> int:
        """Unix seconds of the peers' own clock."""
        return int(self.clock())


class Refused(Exception):
    """An expected no, which rolls the request's transaction back; `code` and `field_name` are part of the wire."""

    def __init__(self, status: int, code: str, message: str, field_name: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field_name = field_name

    def as_json(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": str(self), "param": self.field_name}}


Answer = tuple[int, dict[str, Any]]


async def perform(
    request: Request,
    act: Callable[[Peer, dict[str, Any]], Answer],
    *,
    name: str,
    operation: str,
    secret: str,
    reference: Callable[[dict[str, Any]], str | None] = lambda _: None,
    denied: Callable[[dict[str, Any]], Answer] | None = None,
) -> Response:
    """One call at the peer `name`: authorised by `secret`, done at most once per idempotency key, struck by faults.

    `act` runs inside one transaction; a Refused it raises leaves nothing behind and is not saved under the key, while
    an answer it returns is, whatever its status. `denied` is the answer about what a fault has made us forget.
    """
    peer: Peer = request.app.state.peer
    try:
        authorise(request, secret)
        body = await body_of(request)
        with peer.tables.transaction():
            paid = reference(body)
            fault = faults.take(peer.tables, name, operation, paid)
    except Refused as refused:
        return signed(peer, refused.status, refused.as_json())
    if fault and fault.kind == faults.FORGET and operation not in faults.REMEMBERED:
        return signed(peer, *(denied or _never_seen)(body))
    answer = await struck(peer, fault, lambda: _once(peer, request, body, name, act, fault))
    if fault and fault.kind == faults.FORGET and answer.status_code == 200:
        with peer.tables.transaction():
            faults.forget(peer.tables, operation, str(paid))
    return answer


def _never_seen(_: dict[str, Any]) -> Answer:
    return 404, Refused(404, "resource_missing", "there is no such thing").as_json()


async def struck(peer: Peer, fault: faults.Fault | None, act: Callable[[], Awaitable[Response]]) -> Response:
    """What `act` answers, or what its fault makes of that."""
    match fault.kind if fault else None:
        case "drop_before":
            return Cut()
        case "http_500_before":
            return signed(peer, 500, Refused(500, "internal", "something broke").as_json())
        case "unavailable":
            return signed(peer, 503, Refused(503, "unavailable", "try again later").as_json())
        case "rate_limit":
            after_s = str(fault.value or 1) if fault else "1"
            refused = Refused(429, "rate_limited", "too many calls")
            return signed(peer, 429, refused.as_json(), {"Retry-After": after_s})
    answer = await act()
    match fault.kind if fault else None:
        case "drop_after_commit":
            return Cut()
        case "http_500_after":
            return signed(peer, 500, Refused(500, "internal", "something broke").as_json())
        case "bad_response_signature":
            answer.headers[HEADER] = signature(bytes(answer.body), "not the secret", int(peer.clock.real()))
        case "html":
            return HTMLResponse("<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>")
        case "truncate":
            return Cut(answer)
    return answer


async def _once(
    peer: Peer,
    request: Request,
    body: dict[str, Any],
    name: str,
    act: Callable[[Peer, dict[str, Any]], Answer],
    fault: faults.Fault | None,
) -> Response:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None:
        with_key = None
    elif not 0 < len(key) <= KEY_LIMIT:
        refused = Refused(400, "idempotency_key_invalid", f"an idempotency key has 1 to {KEY_LIMIT} characters")
        return signed(peer, refused.status, refused.as_json())
    else:
        with_key = (name, key)
    if with_key in peer.running:
        refused = Refused(409, "idempotency_key_in_use", "a request with this key is under way; ask again")
        return signed(peer, refused.status, refused.as_json())
    if with_key:
        peer.running.add(with_key)
    try:
        with peer.tables.transaction():
            status, answer, is_replayed = _answered(peer, request, body, with_key, act)
        peer.courier.wake()
        if fault and fault.kind == "latency_ms":
            assert fault.value is not None
            await asyncio.sleep(fault.value / 1000)
    except Refused as refused:
        return signed(peer, refused.status, refused.as_json())
    finally:
        if with_key:
            peer.running.discard(with_key)
    return signed(peer, status, answer, {REPLAYED_HEADER: "true"} if is_replayed else {})


def _answered(
    peer: Peer,
    request: Request,
    body: dict[str, Any],
    with_key: tuple[str, str] | None,
    act: Callable[[Peer, dict[str, Any]], Answer],
) -> tuple[int, dict[str, Any], bool]:
    if with_key is None:
        return *act(peer, body), False
    name, key = with_key
    fingerprint = _fingerprint(request, body)
    saved = peer.tables.one("SELECT * FROM answer WHERE peer = :peer AND key = :key", peer=name, key=key)
    if saved and saved["fingerprint"] != fingerprint:
        raise Refused(409, "idempotency_key_reused", "this key was used for another request")
    if saved:
        return saved["status"], json.loads(saved["body"]), True
    status, answer = act(peer, body)
    peer.tables.insert(
        "answer",
        peer=name,
        key=key,
        fingerprint=fingerprint,
        status=status,
        body=json.dumps(answer),
        at=peer.now(),
    )
    return status, answer, False


def _fingerprint(request: Request, body: dict[str, Any]) -> str:
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + canonical).hexdigest()


def authorise(request: Request, secret: str) -> None:
    """Raises Refused (401) unless the request bears `secret`."""
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
        raise Refused(401, "api_key_invalid", "send `Authorization: Bearer <key>` with this peer's key")


async def body_of(request: Request) -> dict[str, Any]:
    """The request's JSON object, or {} when it has no body. Raises Refused (400)."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "body_invalid", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise Refused(400, "body_invalid", "the body is not a JSON object")
    return body


def signed(peer: Peer, status: int, answer: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The answer as JSON under the peer's signature: whoever forges a 2xx on the way cannot sign it."""
    return sealed(peer, status, orjson.dumps(answer), "application/json", headers)


def sealed(
    peer: Peer, status: int, content: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The same for any content. Dated by the real clock: a day that was moved on is no reason to distrust."""
    dated = signature(content, peer.keys.answer_secret, int(peer.clock.real()))
    return Response(
        content, status, {**(headers or {}), HEADER: dated, "Cache-Control": "no-store"}, media_type=media_type
    )


class Cut(Response):
    """No answer, or half of one: the TCP connection is closed under the caller, who cannot know what was done."""

    def __init__(self, half_of: Response | None = None) -> None:
        super().__init__()
        self._half_of = half_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._half_of is not None:
            whole = bytes(self._half_of.body)
            start = {"type": "http.response.start", "status": self._half_of.status_code}
            await send({**start, "headers": self._half_of.raw_headers})
            await send({"type": "http.response.body", "body": whole[: len(whole) // 2], "more_body": True})
            scope["state"]["transport"].close()  # what was written still goes out
        else:
            scope["state"]["transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass
