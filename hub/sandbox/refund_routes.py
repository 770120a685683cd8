"""The provider's API of refunds: create, and find by the merchant's own reference."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox.fields import integer, known_only, required_text
from hub.sandbox.intent_rows import MAXIMUM_MINOR
from hub.sandbox.provider import REFERENCE_LIMIT, provide, referred
from hub.sandbox.wire import Answer, Peer, Refused


async def create(request: Request) -> Response:
    """POST /v1/refunds {reference, payment_reference, amount}: more than is left, or less than 1, is refused."""

    def act(peer: Peer, body: dict[str, Any]) -> Answer:
        known_only(body, "reference", "payment_reference", "amount")
        reference = required_text(body, "reference", longest=REFERENCE_LIMIT)
        amount = integer(body, "amount", least=1, most=MAXIMUM_MINOR)
        intent = referred(peer, required_text(body, "payment_reference", longest=REFERENCE_LIMIT))
        return 200, peer.refunds.as_json(peer.refunds.create(intent, reference, amount, peer.now()))

    return await provide(request, act, "refund", lambda body: str(body.get("payment_reference")))


async def find(request: Request) -> Response:
    """GET /v1/refunds?reference=…: a list of one, or of none; an empty list is the provider's word for it.

    With ?payment_reference= instead: all of a payment's, oldest first.
    """
    reference = request.query_params.get("reference", "")
    paid = request.query_params.get("payment_reference", "")
    peer: Peer = request.app.state.peer

    def act(peer: Peer, _: dict[str, Any]) -> Answer:
        if not reference and not paid:
            raise Refused(400, "parameter_missing", "give ?reference=", "reference")
        peer.refunds.settle_due(peer.now())
        if paid:
            refunds = peer.refunds.of(referred(peer, paid))
        else:
            refunds = [refund for refund in [peer.refunds.find(reference)] if refund]
        found = [peer.refunds.as_json(refund) for refund in refunds]
        return 200, {"object": "list", "livemode": False, "reference": reference or paid, "data": found}

    def payment(_: dict[str, Any]) -> str | None:
        refund = peer.refunds.find(reference)
        return peer.refunds.as_json(refund)["payment_reference"] if refund else None

    return await provide(request, act, "find_refund", payment)


ROUTES = [
    Route("/v1/refunds", create, methods=["POST"]),
    Route("/v1/refunds", find, methods=["GET"]),
]
