"""The provider's API of disputes: the merchant answers once, with evidence or by giving in."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.sandbox.disputes import DisputeStatus
from hub.sandbox.fields import known_only, required_text
from hub.sandbox.intent_rows import IntentRefused
from hub.sandbox.provider import REFERENCE_LIMIT, provide, referred
from hub.sandbox.wire import Answer, Peer, Refused

EVIDENCE_LIMIT = 20_000  # characters, the narrowest of Stripe's texts


async def submit(request: Request) -> Response:
    """POST /v1/disputes/{id}/evidence {payment_reference, evidence}: in time; the bank then looks at it."""
    return await _answered(request, "under_review", "evidence")


async def accept(request: Request) -> Response:
    """POST /v1/disputes/{id}/accept {payment_reference}: the money is the payer's."""
    return await _answered(request, "accepted")


async def _answered(request: Request, status: DisputeStatus, *texts: str) -> Response:
    def act(peer: Peer, body: dict[str, Any]) -> Answer:
        known_only(body, "payment_reference", *texts)
        for name in texts:
            if not isinstance(body.get(name), str) or not 0 < len(body[name]) <= EVIDENCE_LIMIT:
                raise Refused(400, "parameter_invalid", f"{name} has 1 to {EVIDENCE_LIMIT} characters", name)
        intent = referred(peer, required_text(body, "payment_reference", longest=REFERENCE_LIMIT))
        dispute = peer.disputes.of(intent)
        if dispute is None or dispute.id != request.path_params["id"]:
            raise Refused(404, "resource_missing", "no such dispute", "id")
        if dispute.status != "needs_response":
            raise IntentRefused("dispute_unexpected_state", f"the dispute is {dispute.status}: it takes no answer")
        if dispute.evidence_due_by is not None and peer.now() >= dispute.evidence_due_by:
            raise IntentRefused("dispute_unexpected_state", "the time for an answer is over")
        return 200, peer.disputes.as_json(peer.disputes.move(intent, status, peer.now()), intent)

    return await provide(request, act, "answer_dispute", lambda body: str(body.get("payment_reference")))


ROUTES = [
    Route("/v1/disputes/{id}/evidence", submit, methods=["POST"]),
    Route("/v1/disputes/{id}/accept", accept, methods=["POST"]),
]
