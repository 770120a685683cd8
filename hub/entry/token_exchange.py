"""`POST /oauth/token`: a platform's backend exchanges its signed word about a learner for a token of the hub.

RFC 8693: a form goes in, JSON comes out; errors are those of RFC 6749 §5.2. What is kept is what came of it: no token,
no assertion and no subject stands in a log line, and none in an answer but the token that was asked for.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.domain.exchange import ExchangeError, ExchangeRequest, NotExchanged
from hub.domain.issuers import ALGORITHMS, EXCHANGE_SCOPES
from hub.entry.callers import address_of
from hub.entry.metrics import Metrics
from hub.entry.settings import Settings
from hub.entry.throttling import Buckets, per_minute
from hub.flows.exchange import Exchanged, exchange
from hub.ports import Hub
from hub.store.transactions import StoreFault

log = logging.getLogger(__name__)

PATH = "/oauth/token"
METADATA_PATH = "/.well-known/oauth-authorization-server"
MAX_FORM = 32 * 1024  # bytes: two tokens of the greatest size, and the rest of the form
MAX_FIELDS = 20
FORM_WITHIN_S = 10.0  # servers send it, over good lines; longer holds a connection for nothing
# Of one address: a platform's backend signs in all its learners from a few of them, ten a second on a busy day.
EXCHANGES_PER_MINUTE = 1_200
# What is refused is work done for nobody: a backend that is well makes few mistakes, one that guesses nothing else.
REFUSALS_PER_MINUTE = 60

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
BY_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

_STATUS = {ExchangeError.INVALID_CLIENT: 401, ExchangeError.UNAVAILABLE: 503}
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def token_routes(hub: Hub, settings: Settings, metrics: Metrics) -> list[Route]:
    """The token endpoint, and the metadata that tells clients where it is (RFC 8414)."""
    endpoint = TokenEndpoint(hub, settings, metrics)
    metadata = orjson.dumps(_metadata(settings.public_url))

    async def told(_request: Request) -> Response:
        return Response(metadata, media_type="application/json", headers={"Cache-Control": "public, max-age=300"})

    return [Route(PATH, endpoint.answer, methods=["POST"]), Route(METADATA_PATH, told, methods=["GET"])]


class TokenEndpoint:
    """Takes forms, and bounds how many come from one address."""

    def __init__(self, hub: Hub, settings: Settings, metrics: Metrics) -> None:
        self._hub = hub
        self._metrics = metrics
        self._trusted = settings.trusted_proxies
        self._audiences = frozenset({settings.public_url, f"{settings.public_url}{PATH}"})
        self._all = Buckets(per_minute(EXCHANGES_PER_MINUTE))
        self._refused = Buckets(per_minute(REFUSALS_PER_MINUTE))

    async def answer(self, request: Request) -> Response:
        address = address_of(request.scope, self._trusted)
        wait_ms = self._refused.drained(address) or self._all.draw(address, 1)
        if wait_ms is not None:
            return self._refusal(_TOO_MANY, 429, retry_after_s=wait_ms // 1000 + 1)
        try:
            async with asyncio.timeout(FORM_WITHIN_S):
                body = await _body(request)
        except TimeoutError:
            return self._refusal(_TOO_SLOW, 408, retry_after_s=None)
        asked = _asked(request, body)
        told = asked if isinstance(asked, NotExchanged) else await self._exchanged(asked)
        if isinstance(told, Exchanged):
            self._metrics.count("hub_token_exchanges_total", outcome="ok")
            return Response(_token(told), headers=_NO_STORE, media_type="application/json")
        if told.error is not ExchangeError.UNAVAILABLE:
            self._refused.give_back(address, -1)
        status = _STATUS.get(told.error, 400)
        return self._refusal(told, status, retry_after_s=1 if status == 503 else None)

    async def _exchanged(self, asked: ExchangeRequest) -> Exchanged | NotExchanged:
        try:
            return await exchange(self._hub, asked, self._audiences)
        except StoreFault:
            log.exception("a token could not be exchanged")
            return NotExchanged(ExchangeError.UNAVAILABLE, "the hub cannot reach its database: try again")

    def _refusal(self, refusal: NotExchanged, status: int, retry_after_s: int | None) -> Response:
        self._metrics.count("hub_token_exchanges_total", outcome=refusal.error.value)
        log.info("token not exchanged", extra={"error": refusal.error.value, "reason": refusal.description})
        headers = dict(_NO_STORE)
        if retry_after_s is not None:
            headers["Retry-After"] = str(retry_after_s)
        if status == 408:
            headers["Connection"] = "close"  # the rest of the form may still come, and is no request
        body = orjson.dumps({"error": refusal.error.value, "error_description": refusal.description})
        return Response(body, status, headers, media_type="application/json")


async def _body(request: Request) -> bytes:
    """The form as it came; of a longer one as much as shows that it is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            break
    return body


def _asked(request: Request, body: bytes) -> ExchangeRequest | NotExchanged:
    """What the form asks for, or what is wrong with it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded" or len(body) > MAX_FORM:
        return _invalid(f"send a form (application/x-www-form-urlencoded) of at most {MAX_FORM} bytes")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        return _invalid("the form cannot be read")
    form = {name: value for name, value in pairs if value}  # RFC 6749 §3.2: an empty parameter is none
    if len(form) != len([name for name, value in pairs if value]):
        return _invalid("a parameter stands in the form twice")
    if "authorization" in request.headers or "client_secret" in form:
        return NotExchanged(ExchangeError.INVALID_CLIENT, "clients prove themselves by private_key_jwt alone")
    return _unfit(form) or ExchangeRequest(
        client_assertion=form["client_assertion"],
        subject_token=form["subject_token"],
        scopes=frozenset(form["scope"].split()) if "scope" in form else None,
        client_id=form.get("client_id"),
    )


def _unfit(form: Mapping[str, str]) -> NotExchanged | None:
    if form.get("grant_type") != GRANT:
        return NotExchanged(ExchangeError.UNSUPPORTED_GRANT_TYPE, f"grant_type is {GRANT}")
    if form.get("client_assertion_type") != BY_ASSERTION or "client_assertion" not in form:
        return NotExchanged(ExchangeError.INVALID_CLIENT, f"client_assertion of the type {BY_ASSERTION} is missing")
    if form.get("subject_token_type") not in (JWT, ID_TOKEN) or "subject_token" not in form:
        return _invalid(f"subject_token of the type {JWT} is missing")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        return _invalid(f"requested_token_type is {ACCESS_TOKEN}")
    if "actor_token" in form:
        return _invalid("actor_token is not taken: the client itself is the actor")
    if "resource" in form or "audience" in form:
        return NotExchanged(ExchangeError.INVALID_TARGET, "tokens are for this hub: leave resource and audience out")
    return None


def _invalid(description: str) -> NotExchanged:
    return NotExchanged(ExchangeError.INVALID_REQUEST, description)


def _token(told: Exchanged) -> bytes:
    return orjson.dumps({
        "access_token": told.access_token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": told.lifetime_s,
        "scope": " ".join(sorted(told.scopes)),
    })  # fmt: skip


def _metadata(public_url: str) -> dict[str, Any]:
    return {
        "issuer": public_url,
        "token_endpoint": f"{public_url}{PATH}",
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
        "scopes_supported": sorted(EXCHANGE_SCOPES),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }


_TOO_MANY = NotExchanged(ExchangeError.UNAVAILABLE, "too many requests from this address: wait as Retry-After says")
_TOO_SLOW = NotExchanged(ExchangeError.INVALID_REQUEST, f"the form did not come within {FORM_WITHIN_S:g} s")
