"""What the payment provider's endpoints do alike: one call, its key and faults, and a no in the provider's words."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hub.sandbox import faults
from hub.sandbox.intent_rows import Intent, IntentRefused
from hub.sandbox.wire import Answer, Peer, Refused, perform

REFERENCE_LIMIT = 255  # characters
# Every other refusal is 400.
STATUS_OF = {
    "intent_unexpected_state": 409, "refund_unexpected_state": 409, "dispute_unexpected_state": 409,
    "reference_in_use": 409,
}  # fmt: skip


async def provide(
    request: Request,
    act: Callable[[Peer, dict[str, Any]], Answer],
    operation: str,
    reference: Callable[[dict[str, Any]], str | None],
) -> Response:
    """`act`, once per idempotency key, as wire.perform has it; `reference` finds the payment that a fault may name."""

    def with_refusals(peer: Peer, body: dict[str, Any]) -> Answer:
        try:
            return act(peer, body)
        except IntentRefused as refused:
            raise Refused(STATUS_OF.get(refused.code, 400), refused.code, str(refused)) from refused

    peer: Peer = request.app.state.peer
    return await perform(
        request,
        with_refusals,
        name=faults.PAYMENTS,
        operation=operation,
        secret=peer.keys.api_key,
        reference=reference,
        denied=lambda _: _denied(request),
    )


def _denied(request: Request) -> Answer:
    """An empty list where one is asked for, else 404: as of what was never seen."""
    asked = request.query_params.get("reference")
    if asked is None:
        return 404, Refused(404, "resource_missing", "no such payment").as_json()
    return 200, {"object": "list", "livemode": False, "reference": asked, "data": []}


def referred(peer: Peer, reference: str) -> Intent:
    """The payment under the merchant's reference, as it is now. Raises Refused (404)."""
    intent = peer.intents.find(reference)
    if intent is None:
        raise Refused(404, "resource_missing", "no payment carries this reference", "reference")
    return peer.intents.as_of(intent, peer.now())
