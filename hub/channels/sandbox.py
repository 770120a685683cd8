"""The sandbox provider as a payment channel: its wire, its signatures, and what its words mean to us.

It is reached over HTTP like any other, so that signing, notices and classification are the production path.
"""

import csv
import hashlib
import hmac
import io
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import httpx
import orjson

from hub.channels.connecting import Surroundings, demand_known
from hub.channels.exchange import Answer, Silence, exchange
from hub.domain.money import Money
from hub.domain.payments import NextAction, Notice, Outcome, PaymentAttempt, Result, Stage
from hub.domain.refunds import Refund
from hub.domain.statements import LineKind, StatementLine
from hub.ports import Ack, AmountRange, Capabilities, Clock, Finding, NoticeRefused, RawNotice, StatementRefused

Flow = Literal["create", "capture", "void", "query"]
Json = dict[str, Any]

SIGNATURE_HEADER = "sandbox-signature"
TOLERANCE_US = 300 * 1_000_000  # how far a signed time may lie from ours, both ways
SHORTEST_LIFE_S, LONGEST_LIFE_S = 60, 24 * 60 * 60  # what the provider takes
EVENT_ID_LIMIT = 255  # characters
RATE_LIMITED_MS = 1_000  # where the provider names no time

MAXIMUM_MINOR = 99_999_999
MINIMUM_MINOR = {
    "AUD": 50, "CAD": 50, "CHF": 50, "CNY": 1, "EUR": 50, "GBP": 30, "HKD": 400, "INR": 50, "JPY": 50, "SGD": 50,
    "USD": 50,
}  # fmt: skip
CAPABILITIES = Capabilities(
    currencies={currency: AmountRange(minimum, MAXIMUM_MINOR) for currency, minimum in MINIMUM_MINOR.items()},
    not_found_after_ms=60_000,  # a slow first call may still land before
    is_dated=True,
    is_test_only=True,
)

# (flow, HTTP status) → what we know, for answers that the provider signed and that hold no payment.
# What is not here is UNKNOWN; 409 is left out on purpose: it means that something stands under our reference.
OUTCOMES: dict[tuple[Flow, int], Outcome] = {
    ("create", 400): Outcome.REJECTED,
    ("create", 401): Outcome.REJECTED,
    ("create", 403): Outcome.REJECTED,
    ("create", 404): Outcome.REJECTED,
    ("create", 422): Outcome.REJECTED,
    ("create", 429): Outcome.NOT_SENT,
    ("void", 400): Outcome.REJECTED,
    ("void", 401): Outcome.REJECTED,
    ("void", 403): Outcome.REJECTED,
    ("void", 429): Outcome.NOT_SENT,
    ("capture", 400): Outcome.REJECTED,
    ("capture", 401): Outcome.REJECTED,
    ("capture", 403): Outcome.REJECTED,
    ("capture", 429): Outcome.NOT_SENT,
    ("query", 400): Outcome.REJECTED,
    ("query", 401): Outcome.REJECTED,
    ("query", 403): Outcome.REJECTED,
    ("query", 429): Outcome.NOT_SENT,
}
# (a payment's status, why it was canceled) → what we know.
INTENTS: dict[tuple[str, str | None], tuple[Outcome, Stage]] = {
    ("requires_action", None): (Outcome.ACTION, Stage.NONE),
    ("requires_capture", None): (Outcome.DONE, Stage.AUTHORIZED),
    ("requires_payment_method", None): (Outcome.DECLINED, Stage.NONE),
    ("succeeded", None): (Outcome.DONE, Stage.CHARGED),
    ("canceled", "requested"): (Outcome.DONE, Stage.VOIDED),
    ("canceled", "expired"): (Outcome.DONE, Stage.EXPIRED),
}
REFUNDS: dict[str, tuple[Outcome, Stage]] = {
    "pending": (Outcome.PENDING, Stage.NONE),
    "succeeded": (Outcome.DONE, Stage.REFUNDED),
    "failed": (Outcome.DECLINED, Stage.NONE),
}
# After these the same card must not be tried again; every other decline is soft.
HARD_DECLINES = frozenset({"stolen_card", "expired_card", "incorrect_cvc"})


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

    @classmethod
    def connected(cls, settings: Mapping[str, str], surroundings: Surroundings) -> "SandboxChannel":
        """The adapter of these settings; `notice_secret` may be two, parted by a comma, while one replaces another."""
        demand_known(settings, required=("base_url", "api_key", "answer_secret", "notice_secret"), optional=())
        return cls(
            base_url=settings["base_url"],
            api_key=settings["api_key"],
            answer_secret=settings["answer_secret"],
            notice_secrets=settings["notice_secret"].split(","),
            notice_url=surroundings.notice_url,
            client=surroundings.client,
            clock=surroundings.clock,
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

    async def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """A day of the provider's own tables, in UTC. Raises StatementRefused."""
        url, params = f"{self._base_url}/v1/statement", {"day": day.isoformat()}
        answer = await exchange(self._client, "GET", url, headers=self._headers, params=params)
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
            "expires_in_s": min(max(life_s, SHORTEST_LIFE_S), LONGEST_LIFE_S),
            "payment_method": attempt.method,
            "return_url": attempt.return_url,
            "notice_url": self._notice_url,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _result(self, flow: Flow, attempt: PaymentAttempt, answer: Answer | Silence) -> Result:
        now_us = self._clock.now_us()
        if isinstance(answer, Silence):
            return _bare(answer.outcome, now_us, code=answer.code)
        if verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,)) is None:
            return _bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unsigned_{answer.status}")
        return result_of(flow, attempt.key, answer, now_us)

    def _refund_result(self, flow: Flow, refund: Refund, answer: Answer | Silence) -> Result:
        now_us = self._clock.now_us()
        if isinstance(answer, Silence):
            return _bare(answer.outcome, now_us, code=answer.code)
        if verified_at(answer.headers.get(SIGNATURE_HEADER), answer.body, (self._answer_secret,)) is None:
            return _bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unsigned_{answer.status}")
        return refund_result_of(flow, refund.key, answer, now_us)


def verified_at(header: str | None, body: bytes, secrets: Sequence[str]) -> int | None:
    """When a signed body was signed, in microseconds; None unless one of `secrets` signed it.

    The header is `t=<unix seconds>,v1=<hex>[,v1=…]`, v1 the HMAC-SHA256 of `<t>.<body>`; other parts are ignored.
    """
    parts = [part.split("=", 1) for part in (header or "").split(",") if "=" in part]
    stamps = [value for name, value in parts if name == "t"]
    if len(stamps) != 1 or not re.fullmatch(r"[0-9]{1,12}", stamps[0]):
        return None
    signed = stamps[0].encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets]
    given = [value.encode() for name, value in parts if name == "v1"]
    is_signed = any(hmac.compare_digest(one, other) for one in expected for other in given)
    return int(stamps[0]) * 1_000_000 if is_signed else None


def result_of(flow: Flow, reference: str, answer: Answer, now_us: int) -> Result:
    """What a signed answer says about the payment `reference`. Anything that makes no sense is UNKNOWN."""
    try:
        content = orjson.loads(answer.body)
        intent = _intent_in(flow, answer.status, content)
        if intent is not None:
            if intent["reference"] != reference:
                return _bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
            return intent_result(intent, answer.body, now_us)
        if _says_never_seen(flow, answer.status, content, reference):
            return _bare(Outcome.DONE, now_us, answer.body, code="resource_missing")
        outcome = OUTCOMES.get((flow, answer.status), Outcome.UNKNOWN)
        return _bare(
            outcome,
            now_us,
            answer.body,
            code=_code_in(content),
            retry_after_ms=_retry_after_ms(answer.headers) if answer.status == 429 else None,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return _bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")


def refund_result_of(flow: Flow, key: str, answer: Answer, now_us: int) -> Result:
    """What a signed answer says about the refund `key`. Anything that makes no sense is UNKNOWN."""
    try:
        content = orjson.loads(answer.body)
        if answer.status != 200:
            outcome = OUTCOMES.get((flow, answer.status), Outcome.UNKNOWN)
            after_ms = _retry_after_ms(answer.headers) if answer.status == 429 else None
            return _bare(outcome, now_us, answer.body, code=_code_in(content), retry_after_ms=after_ms)
        if flow == "query":
            if content["reference"] != key:
                return _bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
            if not content["data"]:
                return _bare(Outcome.DONE, now_us, answer.body, code="resource_missing")
            [content] = content["data"]
        if content["reference"] != key:
            return _bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
        return refund_result(content, answer.body, now_us)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return _bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")


def refund_result(refund: Json, raw: bytes, now_us: int) -> Result:
    """What a refund, as the provider shows it, says. Raises KeyError, TypeError or ValueError when it is no such."""
    if refund["object"] != "refund":
        raise ValueError("not a refund")
    outcome, stage = REFUNDS[refund["status"]]
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=hashlib.sha256(raw).digest(),
        observed_at_us=now_us,
        channel_ref=_text(refund["id"]),
        movement_ref=_text(refund["id"]),
        amount=Money(refund["amount"], refund["currency"]),
        provider_at_us=_seconds(refund["status_at"]) * 1_000_000,
        code=refund["failure_reason"],
    )


def statement_lines(body: bytes) -> Iterator[StatementLine]:
    """The lines of a day's CSV. Raises StatementRefused when it is none."""
    try:
        for row in csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True):
            yield StatementLine(
                channel=SandboxChannel.code,
                line_id=row["id"],
                kind=LineKind(row["kind"].upper()),
                our_ref=row["reference"] or None,
                channel_ref=row["payment_intent"] or None,
                refund_ref=row["refund_reference"] or None,
                gross_minor=int(row["gross"]),
                fee_minor=int(row["fee"]),
                net_minor=int(row["net"]),
                currency=row["currency"],
                occurred_at_us=int(row["occurred_at"]) * 1_000_000,
                raw=",".join(row.values()),
            )
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise StatementRefused("the statement is not one of this provider's") from error


def notice_of(body: bytes, now_us: int) -> Notice:
    """The notice in a verified body. Raises NoticeRefused when it is none."""
    try:
        event = orjson.loads(body)
        intent = event["data"]["object"]
        known = {"id": event["id"], "type": event["type"], "created": event["created"], "object": intent}
        if not all(isinstance(known[name], str) and 0 < len(known[name]) <= EVENT_ID_LIMIT for name in ("id", "type")):
            raise NoticeRefused("the event has no id or no type")
        if not isinstance(intent["reference"], str):
            raise NoticeRefused("the event names no payment of ours")
        return Notice(
            event_id=known["id"],
            attempt_key=intent["reference"],
            result=intent_result(intent, body, now_us),
            digest=hashlib.sha256(orjson.dumps(known, option=orjson.OPT_SORT_KEYS)).digest(),
            kind=known["type"],
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoticeRefused("the event is not one of this provider's") from error


def intent_result(intent: Json, raw: bytes, now_us: int) -> Result:
    """What a payment, as the provider shows it, says. Raises KeyError, TypeError or ValueError when it is no such."""
    if intent["object"] != "payment_intent" or intent["livemode"] is not False:
        raise ValueError("not a payment of the sandbox")
    outcome, stage = INTENTS[intent["status"], intent["cancellation_reason"]]
    error = intent["last_payment_error"] or {}
    code = error.get("decline_code") or error.get("code")
    is_charged = stage is Stage.CHARGED
    action = intent["next_action"]
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=hashlib.sha256(raw).digest(),
        observed_at_us=now_us,
        channel_ref=_text(intent["id"]),
        movement_ref=_text(intent["latest_charge"]) if is_charged else None,
        amount=Money(intent["amount_received"] if is_charged else intent["amount"], intent["currency"]),
        provider_at_us=_seconds(intent["status_at"]) * 1_000_000,
        code=code,
        decline=None if outcome is not Outcome.DECLINED else "hard" if code in HARD_DECLINES else "soft",
        next_action=None
        if outcome is not Outcome.ACTION
        else NextAction(
            kind="redirect",
            url=_text(action["redirect_to_url"]["url"]),
            expires_at_us=_seconds(intent["expires_at"]) * 1_000_000,
        ),
    )


def _intent_in(flow: Flow, status: int, content: Json) -> Json | None:
    """The payment in an answer, wherever this flow's answers carry it."""
    if status == 200 and flow == "query":
        found: list[Json] = content["data"]
        return found[0] if found else None
    if status == 200:
        return content
    error: Json = content["error"]
    carried: Json | None = error.get("payment_intent")
    return carried


def _says_never_seen(flow: Flow, status: int, content: Json, reference: str) -> bool:
    if flow == "query":
        return bool(status == 200 and content["object"] == "list" and content["reference"] == reference)
    return bool(flow == "void" and status == 404 and content["error"]["code"] == "resource_missing")


def _code_in(content: Json) -> str:
    return _text(content["error"]["code"])[:EVENT_ID_LIMIT]


def _retry_after_ms(headers: Mapping[str, str]) -> int:
    told = headers.get("retry-after", "")
    return int(told) * 1_000 if re.fullmatch(r"[0-9]{1,5}", told) else RATE_LIMITED_MS


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text was expected")
    return value


def _seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**12:
        raise ValueError("unix seconds were expected")
    return value


def _bare(
    outcome: Outcome, now_us: int, raw: bytes = b"", *, code: str | None = None, retry_after_ms: int | None = None
) -> Result:
    """A result that says nothing about money."""
    return Result(
        outcome=outcome,
        stage=Stage.NONE,
        raw_digest=hashlib.sha256(raw).digest(),
        observed_at_us=now_us,
        code=code,
        retry_after_ms=retry_after_ms,
    )
