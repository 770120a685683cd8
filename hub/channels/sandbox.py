"""The sandbox provider as a payment channel: the calls of its wire.

It is reached over HTTP like any other, so that signing, notices and classification are the production path.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any

import httpx

from hub.channels.connecting import ChannelSettingRefused, Surroundings, demand_known
from hub.channels.exchange import Answer, Silence, exchange
from hub.channels.sandbox_controls import SandboxControls
from hub.channels.sandbox_statement import statement_lines
from hub.channels.sandbox_words import (
    Flow,
    Json,
    bare,
    dispute_reply_of,
    notice_of,
    refund_result_of,
    result_of,
    verified_at,
)
from hub.domain.disputes import Dispute
from hub.domain.money import Money
from hub.domain.payments import Notice, Outcome, PaymentAttempt, Result
from hub.domain.refunds import Refund
from hub.domain.statements import StatementLine
from hub.ports import (
    Ack,
    AmountRange,
    Capabilities,
    Clock,
    DisputeReply,
    Finding,
    NoticeRefused,
    RawNotice,
    Rehearsal,
    StatementRefused,
)

SIGNATURE_HEADER = "sandbox-signature"
TOLERANCE_US = 300 * 1_000_000  # how far a signed time may lie from ours, both ways
STATEMENT_LIMIT = 64 * 1024 * 1024  # bytes: a day of half a million lines
SHORTEST_LIFE_S, LONGEST_LIFE_S = 60, 24 * 60 * 60  # what the provider takes

MAXIMUM_MINOR = 99_999_999
MINIMUM_MINOR = {
    "AUD": 50, "CAD": 50, "CHF": 50, "CNY": 1, "EUR": 50, "GBP": 30, "HKD": 400, "INR": 50, "JPY": 50, "SGD": 50,
    "USD": 50,
}  # fmt: skip
CAPABILITIES = Capabilities(
    currencies={currency: AmountRange(minimum, MAXIMUM_MINOR) for currency, minimum in MINIMUM_MINOR.items()},
    not_found_after_ms=65_000,  # a slow first call may still land before
    is_dated=True,
    can_authorize=True,
    can_capture_partly=True,
    can_refund=True,
    can_refund_partly=True,
    has_disputes=True,
    has_statement=True,
    is_test_only=True,
)


class SandboxChannel:
    """The port `Channel` over the sandbox provider's API."""

    code = "sandbox"
    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        answer_secret: str,
        notice_secrets: Sequence[str],
        notice_url: str | None,
        client: httpx.AsyncClient,
        clock: Clock,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        """`notice_url`: where the provider posts its notices (None: nowhere, the hub asks). `client` is closed by us.

        Any of `notice_secrets` verifies a notice, so that they can be rotated. Raises ValueError without a secret:
        there is no unverified mode.
        """
        if not answer_secret or not notice_secrets or not all(notice_secrets):
            raise ValueError("the sandbox channel needs its answer secret and a notice secret")
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._answer_secret = answer_secret
        self._notice_secrets = tuple(notice_secrets)
        self._notice_url = notice_url
        self._client = client
        self._clock = clock
        self.rehearsal = rehearsal

    @classmethod
    def connected(cls, settings: Mapping[str, str], surroundings: Surroundings) -> "SandboxChannel":
        """The adapter of these settings; `notice_secret` may be two, parted by a comma, while one replaces another.
        With `control_key` it can be told to fail.
        """
        required = ("base_url", "api_key", "answer_secret", "notice_secret")
        demand_known(settings, required=required, optional=("control_key",))
        notice_secrets = [secret.strip() for secret in settings["notice_secret"].split(",")]
        if not all(notice_secrets):
            raise ChannelSettingRefused("notice_secret", "there is no unverified mode: one secret, or two and a comma")
        controls = None
        if control_key := settings.get("control_key"):
            controls = SandboxControls(
                base_url=settings["base_url"], control_key=control_key, client=surroundings.client
            )
        return cls(
            base_url=settings["base_url"],
            api_key=settings["api_key"],
            answer_secret=settings["answer_secret"],
            notice_secrets=notice_secrets,
            notice_url=surroundings.notice_url,
            client=surroundings.client,
            clock=surroundings.clock,
            rehearsal=controls,
        )

    async def create(self, attempt: PaymentAttempt) -> Result:
        """Ask for the money; the attempt's key is the provider's idempotency key and our reference in one."""
        answer = await self._call("POST", "", attempt, json=self._body(attempt))
        return self._result("create", attempt, answer)

    async def void(self, attempt: PaymentAttempt) -> Result:
        """Close what is unpaid. Paid first: CHARGED. Never seen there: DONE with NONE."""
        answer = await self._call("POST", "/cancel", None, json={"reference": attempt.key})
        return self._result("void", attempt, answer)

    async def query(self, attempt: PaymentAttempt) -> Result:
        """What the provider has under our reference; an empty list is its word that it never saw it."""
        answer = await self._call("GET", "", None, params={"reference": attempt.key})
        return self._result("query", attempt, answer)

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Take what is held, or part of it; the rest goes back by itself."""
        body = {"reference": attempt.key, "amount_to_capture": amount.amount_minor}
        answer = await self._call("POST", "/capture", None, json=body)
        return self._result("capture", attempt, answer)

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Give part of it back; the refund's key is the provider's idempotency key and our reference in one."""
        body = {"reference": refund.key, "payment_reference": attempt.key, "amount": refund.amount.amount_minor}
        headers = self._headers | {"Idempotency-Key": refund.key}
        answer = await exchange(self._client, "POST", f"{self._base_url}/v1/refunds", headers=headers, json=body)
        return self._refund_result("create", refund, answer)

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """What the provider has under our reference; an empty list is its word that it never saw it."""
        url, params = f"{self._base_url}/v1/refunds", {"reference": refund.key}
        answer = await exchange(self._client, "GET", url, headers=self._headers, params=params)
        return self._refund_result("query", refund, answer)

    async def submit_evidence(self, attempt: PaymentAttempt, dispute: Dispute, evidence: str) -> DisputeReply:
        """Answer a dispute with the merchant's evidence, once and for all."""
        return await self._answer_dispute(attempt, dispute, "evidence", {"evidence": evidence})

    async def accept_dispute(self, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
        """Give in: the money is the payer's."""
        return await self._answer_dispute(attempt, dispute, "accept", {})

    async def _answer_dispute(self, attempt: PaymentAttempt, dispute: Dispute, what: str, said: Json) -> DisputeReply:
        url, body = f"{self._base_url}/v1/disputes/{dispute.channel_ref}/{what}", {"payment_reference": attempt.key}
        headers = self._headers | {"Idempotency-Key": dispute.answer_key}
        answer = await exchange(self._client, "POST", url, headers=headers, json=body | said)
        now_us = self._clock.now_us()
        if isinstance(answer, Silence):
            return DisputeReply(bare(answer.outcome, now_us, code=answer.code))
        if verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,)) is None:
            return DisputeReply(bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unsigned_{answer.status}"))
        return dispute_reply_of(answer, now_us)

    async def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """A day of the provider's own books, in UTC, once it is over. Raises StatementRefused."""
        url, params = f"{self._base_url}/v1/statement", {"day": day.isoformat()}
        answer = await exchange(self._client, "GET", url, limit=STATEMENT_LIMIT, headers=self._headers, params=params)
        if isinstance(answer, Silence):
            raise StatementRefused(f"the provider did not answer ({answer.code}): ask again")
        if verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,)) is None:
            raise StatementRefused("the statement is not signed by the provider: ask again")
        if answer.status != 200:
            raise StatementRefused(f"the provider refused it with {answer.status}")
        for line in statement_lines(answer.body):
            yield line

    async def check(self) -> Sequence[Finding]:
        """One signed look for a payment that is not there."""
        answer = await self._call("GET", "", None, params={"reference": "hub-channel-check"})
        if isinstance(answer, Silence):
            return [Finding("reach", False, f"the provider does not answer: {answer.code}")]
        signed_at_us = verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,))
        found = [
            Finding("reach", True, "the provider answers"),
            Finding("credentials", answer.status == 200, f"it answers {answer.status} to our key"),
            Finding("keys", signed_at_us is not None, "its answer is signed with the secret that we have"),
        ]
        if signed_at_us is not None:
            apart_us = abs(self._clock.now_us() - signed_at_us)
            apart = f"its clock and ours are {apart_us // 10**6} s apart"
            found.append(Finding("clock", apart_us <= TOLERANCE_US, apart))
        return found

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Check signature, date and shape of a notice over its raw bytes. Raises NoticeRefused."""
        signed_at_us = verified_at(raw.headers.get(SIGNATURE_HEADER), raw.body, self._notice_secrets)
        if signed_at_us is None:
            raise NoticeRefused("the signature is missing or wrong")
        if abs(now_us - signed_at_us) > TOLERANCE_US:
            raise NoticeRefused("the signature's date lies outside the window")
        return notice_of(raw.body, now_us)

    def ack(self, accepted: bool) -> Ack:
        """Any 2xx is a yes; everything else brings the notice back."""
        return Ack(204) if accepted else Ack(503)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _call(self, method: str, path: str, keyed: PaymentAttempt | None, **parts: Any) -> Answer | Silence:
        headers = self._headers | ({"Idempotency-Key": keyed.key} if keyed else {})
        url = f"{self._base_url}/v1/payment_intents{path}"
        return await exchange(self._client, method, url, headers=headers, **parts)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._api_key}"}

    def _body(self, attempt: PaymentAttempt) -> Json:
        """The same for the same attempt, however often it is sent: nothing in it depends on now."""
        life_s = (attempt.expires_at_us - attempt.created_at_us) // 1_000_000
        body = {
            "reference": attempt.key,
            "amount": attempt.amount.amount_minor,
            "currency": attempt.amount.currency,
            "description": f"Order {attempt.key}",
            "metadata": {
                "order": attempt.key.rpartition("-")[0],
                "order_id": attempt.order_id,
                "payment_attempt_id": attempt.id,
            },
            "capture_method": attempt.capture_method.lower(),
            "expires_in_s": min(max(life_s, SHORTEST_LIFE_S), LONGEST_LIFE_S),
            "payment_method": attempt.method,
            "return_url": attempt.return_url,
            "notice_url": self._notice_url,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _result(self, flow: Flow, attempt: PaymentAttempt, answer: Answer | Silence) -> Result:
        now_us = self._clock.now_us()
        if isinstance(answer, Silence):
            return bare(answer.outcome, now_us, code=answer.code)
        if verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,)) is None:
            return bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unsigned_{answer.status}")
        return result_of(flow, attempt.key, answer, now_us)

    def _refund_result(self, flow: Flow, refund: Refund, answer: Answer | Silence) -> Result:
        now_us = self._clock.now_us()
        if isinstance(answer, Silence):
            return bare(answer.outcome, now_us, code=answer.code)
        if verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,)) is None:
            return bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unsigned_{answer.status}")
        return refund_result_of(flow, refund.key, answer, now_us)
