"""What the sandbox provider's words mean to us: answers and notices, each verified before it is read."""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson

from hub.channels.exchange import Answer, retry_after_ms
from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import NextAction, Notice, Outcome, Result, Stage
from hub.ports import DisputeReply, NoticeRefused

Flow = Literal["create", "capture", "void", "query"]
Json = dict[str, Any]

EVENT_ID_LIMIT = 255  # characters

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
# HTTP status → what we know of an answer to a dispute; 409: it awaits none any more.
DISPUTE_ANSWERS: dict[int, Outcome] = {
    400: Outcome.REJECTED, 401: Outcome.REJECTED, 403: Outcome.REJECTED, 404: Outcome.REJECTED, 409: Outcome.REJECTED,
    429: Outcome.NOT_SENT,
}  # fmt: skip
AWAITS_NO_ANSWER = "dispute_unexpected_state"
# After these the same card must not be tried again; every other decline is soft.
HARD_DECLINES = frozenset({"stolen_card", "expired_card", "incorrect_cvc"})


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
                return bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
            return intent_result(intent, answer.body, now_us)
        if _says_never_seen(flow, answer.status, content, reference):
            return bare(Outcome.DONE, now_us, answer.body, code="resource_missing")
        outcome = OUTCOMES.get((flow, answer.status), Outcome.UNKNOWN)
        return bare(
            outcome,
            now_us,
            answer.body,
            code=_code_in(content),
            retry_after_ms=retry_after_ms(answer.headers) if answer.status == 429 else None,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")


def refund_result_of(flow: Flow, key: str, answer: Answer, now_us: int) -> Result:
    """What a signed answer says about the refund `key`. Anything that makes no sense is UNKNOWN."""
    try:
        content = orjson.loads(answer.body)
        if answer.status != 200:
            outcome = OUTCOMES.get((flow, answer.status), Outcome.UNKNOWN)
            after_ms = retry_after_ms(answer.headers) if answer.status == 429 else None
            return bare(outcome, now_us, answer.body, code=_code_in(content), retry_after_ms=after_ms)
        if flow == "query":
            if content["reference"] != key:
                return bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
            if not content["data"]:
                return bare(Outcome.DONE, now_us, answer.body, code="resource_missing")
            [content] = content["data"]
        if content["reference"] != key:
            return bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
        return refund_result(content, answer.body, now_us)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")


def dispute_reply_of(answer: Answer, now_us: int) -> DisputeReply:
    """What a signed answer to evidence, or to giving in, says. Anything that makes no sense is UNKNOWN."""
    try:
        content = orjson.loads(answer.body)
        if answer.status == 200:
            return DisputeReply(_dispute_result(content, answer.body, now_us), dispute_word(content))
        outcome = DISPUTE_ANSWERS.get(answer.status, Outcome.UNKNOWN)
        code = _code_in(content)
        if answer.status == 409 and code != AWAITS_NO_ANSWER:  # our first call with this key is still under way
            outcome = Outcome.UNKNOWN
        after_ms = retry_after_ms(answer.headers) if answer.status == 429 else None
        return DisputeReply(bare(outcome, now_us, answer.body, code=code, retry_after_ms=after_ms))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return DisputeReply(bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}"))


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


def notice_of(body: bytes, now_us: int) -> Notice:
    """The notice in a verified body. Raises NoticeRefused when it is none."""
    try:
        event = orjson.loads(body)
        told = event["data"]["object"]
        known = {"id": event["id"], "type": event["type"], "created": event["created"], "object": told}
        if not all(isinstance(known[name], str) and 0 < len(known[name]) <= EVENT_ID_LIMIT for name in ("id", "type")):
            raise NoticeRefused("the event has no id or no type")
        is_payment = told["object"] == "payment_intent"
        reference = told["reference" if is_payment else "payment_reference"]
        if not isinstance(reference, str):
            raise NoticeRefused("the event names no payment of ours")
        return Notice(
            event_id=known["id"],
            attempt_key=reference,
            result=TOLD[told["object"]](told, body, now_us),
            digest=hashlib.sha256(orjson.dumps(known, option=orjson.OPT_SORT_KEYS)).digest(),
            kind=known["type"],
            refund_key=_text(told["reference"]) if told["object"] == "refund" else None,
            dispute=dispute_word(told) if told["object"] == "dispute" else None,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoticeRefused("the event is not one of this provider's") from error


def dispute_word(dispute: Json) -> DisputeWord:
    """What a dispute, as the provider shows it, says. Raises KeyError, TypeError or ValueError when it is no such."""
    if dispute["livemode"] is not False:
        raise ValueError("not a dispute of the sandbox")
    due, fee = dispute["evidence_due_by"], dispute["fee"]
    return DisputeWord(
        channel_ref=_text(dispute["id"]),
        state=DisputeState(_text(dispute["status"]).upper()),
        amount=Money(dispute["amount"], dispute["currency"]),
        reason=dispute["reason"],
        evidence_due_at_us=None if due is None else _seconds(due) * 1_000_000,
        fee=Money(fee, dispute["currency"]) if fee else None,
    )


def _dispute_result(dispute: Json, raw: bytes, now_us: int) -> Result:
    """A dispute says nothing of the payment itself; only when it was said."""
    at_us = _seconds(dispute["status_at"]) * 1_000_000
    return replace(bare(Outcome.DONE, now_us, raw), channel_ref=_text(dispute["id"]), provider_at_us=at_us)


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


TOLD: dict[str, Callable[[Json, bytes, int], Result]] = {
    "payment_intent": intent_result,
    "refund": refund_result,
    "dispute": _dispute_result,
}


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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text was expected")
    return value


def _seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**12:
        raise ValueError("unix seconds were expected")
    return value


def bare(
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
