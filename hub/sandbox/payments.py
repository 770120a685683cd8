"""The payment provider's API: create, get, find by the merchant's reference, confirm, capture, cancel.

JSON in the shape of Stripe's PaymentIntents; every answer is signed, every intent says `livemode: false`. A decline
answers 402 with the intent inside its error, and is kept under the idempotency key like a success.
"""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox.cards import BY_TOKEN, Card
from hub.sandbox.fields import integer, known_only, required_text, text, web_address
from hub.sandbox.intent_rows import (
    LIFETIME_S,
    LONGEST_LIFETIME_S,
    MAXIMUM_MINOR,
    SHORTEST_LIFETIME_S,
    CaptureMethod,
    Intent,
)
from hub.sandbox.provider import REFERENCE_LIMIT, provide, referred
from hub.sandbox.wire import Answer, Peer, Refused

DESCRIPTION_LIMIT = 500  # characters; shown on the pay page
METADATA_LIMIT = 50  # pairs, as Stripe has it
METADATA_NAME_LIMIT, METADATA_VALUE_LIMIT = 40, 500  # characters, as Stripe has it

# What a create may ask for instead of naming a card, so that an outcome needs no card number at all.
OUTCOMES = {
    "succeed": BY_TOKEN["pm_card_visa"],
    "decline_soft": BY_TOKEN["pm_card_chargeDeclinedInsufficientFunds"],
    "decline_hard": BY_TOKEN["pm_card_chargeDeclinedStolenCard"],
    "authenticate": BY_TOKEN["pm_card_authenticationRequired"],
}


async def create(request: Request) -> Response:
    """POST /v1/payment_intents."""

    def act(peer: Peer, body: dict[str, Any]) -> Answer:
        known_only(
            body, "reference", "amount", "currency", "description", "metadata", "return_url", "notice_url",
            "expires_in_s", "payment_method", "sandbox_outcome", "capture_method",
        )  # fmt: skip
        card = _card(body)
        intent = peer.intents.create(
            reference=required_text(body, "reference", longest=REFERENCE_LIMIT),
            amount=integer(body, "amount", least=-MAXIMUM_MINOR, most=2**53),
            currency=required_text(body, "currency", longest=3),
            description=text(body, "description", longest=DESCRIPTION_LIMIT) or "",
            metadata=_metadata(body),
            return_url=web_address(body, "return_url"),
            notice_url=web_address(body, "notice_url"),
            lifetime_s=integer(
                body, "expires_in_s", least=SHORTEST_LIFETIME_S, most=LONGEST_LIFETIME_S, default=LIFETIME_S
            ),
            capture_method=_capture_method(body),
            now=peer.now(),
        )
        return _shown(peer, peer.intents.pay(intent, card, peer.now()) if card else intent)

    return await _perform(request, act, "create")


async def get(request: Request) -> Response:
    """GET /v1/payment_intents/{id}."""

    def act(peer: Peer, _: dict[str, Any]) -> Answer:
        return 200, peer.intents.as_json(peer.intents.as_of(_the_intent(peer, request), peer.now()))

    return await _perform(request, act, "get")


async def find(request: Request) -> Response:
    """GET /v1/payment_intents?reference=…: a list of one, or of none; an empty list is the provider's word for it."""
    reference = request.query_params.get("reference", "")

    def act(peer: Peer, _: dict[str, Any]) -> Answer:
        if not reference:
            raise Refused(400, "parameter_missing", "give ?reference=", "reference")
        intent = peer.intents.find(reference)
        found = [] if intent is None else [peer.intents.as_json(peer.intents.as_of(intent, peer.now()))]
        return 200, {"object": "list", "livemode": False, "reference": reference, "data": found}

    return await _perform(request, act, "find", reference)


async def confirm(request: Request) -> Response:
    """POST /v1/payment_intents/{id}/confirm with `payment_method` or `sandbox_outcome`."""

    def act(peer: Peer, body: dict[str, Any]) -> Answer:
        known_only(body, "payment_method", "sandbox_outcome")
        card = _card(body)
        if card is None:
            raise Refused(400, "parameter_missing", "name a payment_method", "payment_method")
        return _shown(peer, peer.intents.pay(_the_intent(peer, request), card, peer.now()))

    return await _perform(request, act, "confirm")


async def capture(request: Request) -> Response:
    """POST /v1/payment_intents/capture {reference, amount_to_capture}: once; the same again says what was taken."""

    def act(peer: Peer, body: dict[str, Any]) -> Answer:
        known_only(body, "reference", "amount_to_capture")
        amount = integer(body, "amount_to_capture", least=1, most=MAXIMUM_MINOR)
        intent = referred(peer, required_text(body, "reference", longest=REFERENCE_LIMIT))
        is_repeat = intent.status == "succeeded" and intent.amount_received == amount
        if intent.status != "requires_capture" and not is_repeat:
            return _too_late(peer, intent)
        return 200, peer.intents.as_json(peer.intents.capture(intent, amount, peer.now()))

    return await _perform(request, act, "capture")


async def cancel(request: Request) -> Response:
    """POST /v1/payment_intents/{id}/cancel, or /v1/payment_intents/cancel with `reference`."""

    def act(peer: Peer, body: dict[str, Any]) -> Answer:
        known_only(body, "reference")
        if "id" in request.path_params:
            intent = peer.intents.as_of(_the_intent(peer, request), peer.now())
        else:
            intent = referred(peer, required_text(body, "reference", longest=REFERENCE_LIMIT))
        if intent.status == "succeeded":
            return _too_late(peer, intent)
        return 200, peer.intents.as_json(peer.intents.cancel(intent, peer.now()))

    return await _perform(request, act, "cancel")


async def _perform(
    request: Request, act: Callable[[Peer, dict[str, Any]], Answer], operation: str, reference: str | None = None
) -> Response:
    peer: Peer = request.app.state.peer

    def reference_of(body: dict[str, Any]) -> str | None:
        if reference is not None:
            return reference
        if "id" in request.path_params:
            intent = peer.intents.get(request.path_params["id"])
            return intent.reference if intent else None
        return str(body.get("reference"))

    return await provide(request, act, operation, reference_of)


def _too_late(peer: Peer, intent: Intent) -> Answer:
    """A refusal that says what became of the payment."""
    error = {"code": "intent_unexpected_state", "message": f"the intent is {intent.status}", "param": None}
    return 409, {"error": {**error, "payment_intent": peer.intents.as_json(intent)}}


def _the_intent(peer: Peer, request: Request) -> Intent:
    intent = peer.intents.get(request.path_params["id"])
    if intent is None:
        raise Refused(404, "resource_missing", "no such payment", "id")
    return intent


def _shown(peer: Peer, intent: Intent) -> Answer:
    shown = peer.intents.as_json(intent)
    if intent.status != "requires_payment_method":
        return 200, shown
    return 402, {"error": {**shown["last_payment_error"], "type": "card_error", "payment_intent": shown}}


def _card(body: dict[str, Any]) -> Card | None:
    """The card that a request names by Stripe's token or by outcome. Raises Refused for one we do not know."""
    token, outcome = body.get("payment_method"), body.get("sandbox_outcome")
    if token is not None and outcome is not None:
        raise Refused(
            400, "parameter_invalid", "name a payment_method or a sandbox_outcome, not both", "payment_method"
        )
    if token is not None and token not in BY_TOKEN:
        raise Refused(400, "payment_method_unknown", "this provider takes test tokens only", "payment_method")
    if outcome is not None and outcome not in OUTCOMES:
        raise Refused(400, "parameter_invalid", f"one of {', '.join(OUTCOMES)}", "sandbox_outcome")
    if token is not None:
        return BY_TOKEN[token]
    return None if outcome is None else OUTCOMES[outcome]


def _capture_method(body: dict[str, Any]) -> CaptureMethod:
    method = text(body, "capture_method", longest=9, default="automatic")
    if method == "automatic":
        return "automatic"
    if method == "manual":
        return "manual"
    raise Refused(400, "parameter_invalid", "capture_method is automatic or manual", "capture_method")


def _metadata(body: dict[str, Any]) -> dict[str, str]:
    pairs = body.get("metadata", {})
    if not isinstance(pairs, dict) or len(pairs) > METADATA_LIMIT:
        raise Refused(400, "parameter_invalid", f"metadata is an object of at most {METADATA_LIMIT} texts", "metadata")
    if any(not isinstance(value, str) or len(value) > METADATA_VALUE_LIMIT for value in pairs.values()):
        raise Refused(400, "parameter_invalid", f"a value has at most {METADATA_VALUE_LIMIT} characters", "metadata")
    if any(len(name) > METADATA_NAME_LIMIT for name in pairs):
        raise Refused(400, "parameter_invalid", f"a name has at most {METADATA_NAME_LIMIT} characters", "metadata")
    return pairs


ROUTES = [
    Route("/v1/payment_intents", create, methods=["POST"]),
    Route("/v1/payment_intents", find, methods=["GET"]),
    Route("/v1/payment_intents/capture", capture, methods=["POST"]),
    Route("/v1/payment_intents/cancel", cancel, methods=["POST"]),
    Route("/v1/payment_intents/{id}", get, methods=["GET"]),
    Route("/v1/payment_intents/{id}/confirm", confirm, methods=["POST"]),
    Route("/v1/payment_intents/{id}/cancel", cancel, methods=["POST"]),
]
