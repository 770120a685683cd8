"""Stripe's official SDK on the hub's own HTTP client: its words on our wire. Imported only once Stripe is configured.

The SDK writes requests and names resources. Sending, budgets and limits are `exchange`'s, as for every channel: so the
SDK's 80 s of patience, its retries and its unbounded answers do not apply, and a failure says whether it was sent.
"""

import logging
from collections.abc import Awaitable, Mapping
from typing import Any

import httpx
import orjson
import stripe

from hub.channels.exchange import CONNECT_S, TIMEOUTS, Answer, Silence, exchange

CONFIRM_S = 30.0  # a confirmation waits for the payer's bank
WRITING = httpx.Timeout(CONFIRM_S, connect=CONNECT_S)
PAGE_LIMIT = 4 * 1024 * 1024  # bytes; a page of a hundred payments has about a tenth
API_URL = "https://api.stripe.com"

# It would write a file of its own into the home folder, and tell Stripe the operator's platform and timings.
stripe.enable_telemetry = False
# Below WARNING its lines hold requests' and answers' bodies: client secrets, payment methods.
logging.getLogger("stripe").setLevel(logging.WARNING)


class Wire:
    """The calls that the adapter makes, for one account. Each gives back the whole answer, refusals too; none raises
    for what Stripe or the network does. `body` and `key` are sent as they are: the SDK adds nothing of its own."""

    def __init__(self, *, secret_key: str, api_url: str | None, account: str | None, client: httpx.AsyncClient) -> None:
        """`client` is closed by whoever made it. `account`: act for this connected account."""
        sdk = stripe.StripeClient(
            secret_key,
            stripe_account=account,
            base_addresses={"api": (api_url or API_URL).rstrip("/")},
            max_network_retries=0,
            http_client=_Transport(client),
        )
        self.v1 = sdk.v1

    async def create(self, body: Any, key: str) -> Answer | Silence:
        return await told(self.v1.payment_intents.create_async(body, {"idempotency_key": key}))

    async def retrieve(self, intent: str, body: Any) -> Answer | Silence:
        return await told(self.v1.payment_intents.retrieve_async(intent, body))

    async def cancel(self, intent: str, body: Any, key: str) -> Answer | Silence:
        return await told(self.v1.payment_intents.cancel_async(intent, body, {"idempotency_key": key}))

    async def capture(self, intent: str, body: Any, key: str) -> Answer | Silence:
        return await told(self.v1.payment_intents.capture_async(intent, body, {"idempotency_key": key}))

    async def intents(self, query: Any) -> Answer | Silence:
        return await told(self.v1.payment_intents.list_async(query))

    async def refund(self, body: Any, key: str) -> Answer | Silence:
        return await told(self.v1.refunds.create_async(body, {"idempotency_key": key}))

    async def retrieve_refund(self, refund: str) -> Answer | Silence:
        return await told(self.v1.refunds.retrieve_async(refund))

    async def refunds(self, query: Any) -> Answer | Silence:
        return await told(self.v1.refunds.list_async(query))

    async def answer_dispute(self, dispute: str, body: Any, key: str) -> Answer | Silence:
        return await told(self.v1.disputes.update_async(dispute, body, {"idempotency_key": key}))

    async def close_dispute(self, dispute: str, key: str) -> Answer | Silence:
        return await told(self.v1.disputes.close_async(dispute, None, {"idempotency_key": key}))

    async def movements(self, query: Any) -> Answer | Silence:
        return await told(self.v1.balance_transactions.list_async(query))

    async def balance(self) -> Answer | Silence:
        return await told(self.v1.balance.retrieve_async())

    async def endpoints(self, query: Any) -> Answer | Silence:
        return await told(self.v1.webhook_endpoints.list_async(query))


async def told(call: Awaitable[stripe.StripeObject]) -> Answer | Silence:
    """What came of one call of the SDK's."""
    try:
        found = await call
        response: Any = found.last_response
        return Answer(200, response.headers, response.body.encode())
    except _Unanswered as unanswered:
        return unanswered.silence
    except stripe.StripeError as error:
        return Answer(error.http_status or 0, error.headers or {}, (error.http_body or "").encode())
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return Answer(200, {}, b"")  # a 200 that is no object of Stripe's: the SDK stumbles over it


def is_signed(body: bytes, header: str, secret: str) -> bool:
    """Whether one of the header's v1 signatures is of this secret. Says nothing about time."""
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret))
    except (stripe.SignatureVerificationError, TypeError, ValueError):
        return False  # the SDK stumbles over a header that is not ASCII, and over a body that is not UTF-8


class _Unanswered(stripe.APIConnectionError):
    def __init__(self, silence: Silence) -> None:
        super().__init__(silence.code)  # type: ignore[no-untyped-call]  # the SDK left its errors' constructor without types
        self.silence = silence


class _Transport(stripe.HTTPClient):
    """What the SDK sends by."""

    name = "httpx"

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__()
        self._client = client

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        answer = await exchange(
            self._client,
            method.upper(),
            url,
            limit=PAGE_LIMIT,
            timeouts=WRITING if method == "post" else TIMEOUTS,
            headers=dict(headers),
            content=post_data,
        )
        if isinstance(answer, Silence):
            raise _Unanswered(answer)
        # Any other header stays out: the SDK turns one of them into a warning of the process.
        kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
        return answer.body if _is_readable(answer.body) else b"", answer.status, kept

    async def close_async(self) -> None:
        """The client is not ours."""


def _is_readable(body: bytes) -> bool:
    """The SDK's parser goes as deep as it is led, beyond the end of the stack where the recursion limit was raised."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


_KEPT = ("date", "request-id", "retry-after")
