"""What Stripe's answers mean to us: payments, refunds, pages of a list, lines of its balance.

Pure: bytes and JSON in, values of the domain out. What is in no table, and what makes no sense, is UNKNOWN.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from hub.channels.exchange import Answer, Silence, retry_after_ms
from hub.channels.stripe_tables import (
    ATTEMPT,
    CODE,
    HARD_DECLINES,
    INTENTS,
    LAPSED,
    LINES,
    OUTCOMES,
    REFUND,
    REFUNDS,
    Flow,
)
from hub.domain.money import Money
from hub.domain.payments import NextAction, Outcome, PaymentAttempt, Result, Stage
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused

Json = dict[str, Any]

CODE_LIMIT = 255  # characters of a provider's word that are kept
UNREADABLE = (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError)


def intent_answer(flow: Flow, attempt: PaymentAttempt, answer: Answer | Silence, now_us: int) -> Result:
    """What an answer says about the attempt's payment. Anything that makes no sense is UNKNOWN."""
    if isinstance(answer, Silence):
        return bare(answer.outcome, now_us, code=answer.code)
    try:
        content = orjson.loads(answer.body)
        intent = content if answer.status == 200 else _error(content).get("payment_intent")
        if intent is None:
            return refusal(flow, answer, content, now_us)
        if intent["metadata"].get(ATTEMPT) != attempt.key:
            return bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
        return intent_result(intent, answer.body, now_us, expires_at_us=attempt.expires_at_us)
    except UNREADABLE:
        return bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")


def refund_answer(flow: Flow, key: str, answer: Answer | Silence, now_us: int) -> Result:
    """What an answer says about the refund `key`. Anything that makes no sense is UNKNOWN."""
    if isinstance(answer, Silence):
        return bare(answer.outcome, now_us, code=answer.code)
    try:
        content = orjson.loads(answer.body)
        if answer.status != 200:
            return refusal(flow, answer, content, now_us)
        if content["metadata"].get(REFUND) != key:
            return bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference")
        return refund_result(content, answer.body, now_us)
    except UNREADABLE:
        return bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")


def intent_result(
    intent: Json, raw: bytes, now_us: int, *, told_at_us: int | None = None, expires_at_us: int | None = None
) -> Result:
    """What a PaymentIntent says; `told_at_us` is the time of the event that carried it.

    Raises KeyError, TypeError or ValueError when it is none.
    """
    if intent["object"] != "payment_intent":
        raise ValueError("not a PaymentIntent")
    outcome, stage = INTENTS[intent["status"]]
    error = intent.get("last_payment_error") or {}
    if intent["status"] == "requires_payment_method" and error:
        outcome = Outcome.DECLINED
    if stage is Stage.VOIDED and intent.get("cancellation_reason") in LAPSED:
        stage = Stage.EXPIRED
    minor = {Stage.CHARGED: "amount_received", Stage.AUTHORIZED: "amount_capturable"}.get(stage, "amount")
    is_declined = outcome is Outcome.DECLINED
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=digest_of(raw),
        observed_at_us=now_us,
        channel_ref=text_of(intent["id"]),
        # Without it one charge could be booked twice, under two keys.
        movement_ref=text_of(id_of(intent["latest_charge"])) if stage is Stage.CHARGED else None,
        amount=money_of(intent[minor], intent["currency"]),
        provider_at_us=told_at_us if told_at_us is not None else _dated(intent, stage),
        code=_decline_code(error) if is_declined else None,
        decline=decline_of(error) if is_declined else None,
        next_action=_next_action(intent, expires_at_us) if outcome is Outcome.ACTION else None,
    )


def refund_result(refund: Json, raw: bytes, now_us: int, *, told_at_us: int | None = None) -> Result:
    """What a Refund says. Raises KeyError, TypeError or ValueError when it is none."""
    if refund["object"] != "refund":
        raise ValueError("not a Refund")
    outcome, stage = REFUNDS[refund["status"]]
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=digest_of(raw),
        observed_at_us=now_us,
        channel_ref=text_of(refund["id"]),
        movement_ref=text_of(refund["id"]),
        amount=money_of(refund["amount"], refund["currency"]),
        provider_at_us=told_at_us if told_at_us is not None else seconds_of(refund["created"]) * 1_000_000,
        code=refund.get("failure_reason") or (refund["status"] if outcome is Outcome.DECLINED else None),
    )


def decline_of(error: Json) -> Literal["soft", "hard"]:
    """Soft: another card, or the same one later, may do."""
    is_hard = error.get("advice_code") == "do_not_try_again" or _decline_code(error) in HARD_DECLINES
    return "hard" if is_hard else "soft"


def bare(
    outcome: Outcome, now_us: int, raw: bytes = b"", *, code: str | None = None, retry_after_ms: int | None = None
) -> Result:
    """A result that says nothing about money."""
    return Result(
        outcome=outcome,
        stage=Stage.NONE,
        raw_digest=digest_of(raw),
        observed_at_us=now_us,
        code=code,
        retry_after_ms=retry_after_ms,
    )


def refusal(flow: Flow, answer: Answer, content: Json, now_us: int) -> Result:
    """What an error says, by the table of its flow. Raises KeyError or TypeError when it is none."""
    error = _error(content)
    word = text_of(error.get("code") or error["type"])[:CODE_LIMIT]
    rows = OUTCOMES[flow]
    outcome = rows.get((answer.status, word), rows.get((answer.status, ""), Outcome.UNKNOWN))
    is_declined = outcome is Outcome.DECLINED
    result = bare(
        outcome,
        now_us,
        answer.body,
        code=_decline_code(error) if is_declined else word,
        retry_after_ms=retry_after_ms(answer.headers) if outcome is Outcome.NOT_SENT else None,
    )
    return replace(result, decline=decline_of(error)) if is_declined else result


def _error(content: Json) -> Json:
    error: Json = content["error"]
    return error


def _decline_code(error: Json) -> str | None:
    return error.get("decline_code") or error.get("code") or error.get("type")


def _dated(intent: Json, stage: Stage) -> int | None:
    """When the money moved, or the payment was closed, where the answer tells; else nothing is dated."""
    charge = intent.get("latest_charge")
    if stage in (Stage.VOIDED, Stage.EXPIRED) and intent.get("canceled_at") is not None:
        return seconds_of(intent["canceled_at"]) * 1_000_000
    if stage in (Stage.CHARGED, Stage.AUTHORIZED) and isinstance(charge, dict):
        return seconds_of(charge["created"]) * 1_000_000
    return None


def _next_action(intent: Json, expires_at_us: int | None) -> NextAction:
    """A page of the payer's bank; or the secret by which Stripe's own library in the browser goes on."""
    action = intent.get("next_action") or {}
    if action.get("type") == "redirect_to_url":
        return NextAction("redirect", url=text_of(action["redirect_to_url"]["url"]), expires_at_us=expires_at_us)
    return NextAction("client_secret", data=text_of(intent["client_secret"]), expires_at_us=expires_at_us)


@dataclass(frozen=True, slots=True)
class Page:
    data: list[Json]
    has_more: bool


def page_in(answer: Answer | Silence) -> Page | Answer | Silence:
    """A page of a list; the answer itself when it is none."""
    if isinstance(answer, Silence) or answer.status != 200:
        return answer
    try:
        content = orjson.loads(answer.body)
        data, has_more = content["data"], content["has_more"] is True
        is_whole = all(isinstance(one["id"], str) and isinstance(one.get("metadata") or {}, dict) for one in data)
        if content["object"] != "list" or not is_whole:
            raise ValueError("not a list")
        return Page(data, has_more and bool(data))
    except UNREADABLE:
        return Silence(Outcome.UNKNOWN, "unreadable_200")


def line_of(line: Json) -> StatementLine:
    """A balance transaction, with its source expanded. Raises StatementRefused when it makes no sense."""
    try:
        gross, fee, net = (_integer(line[name]) for name in ("amount", "fee", "net"))
        if gross - fee != net:
            raise StatementRefused(f"{line['id']}: {gross} less {fee} is not {net}")
        source = line["source"]
        told = source if isinstance(source, dict) else {}
        metadata = told.get("metadata") or {}
        return StatementLine(
            channel=CODE,
            line_id=text_of(line["id"]),
            kind=LINES.get(line["reporting_category"], LineKind.ADJUSTMENT),
            our_ref=metadata.get(ATTEMPT),
            channel_ref=id_of(told.get("payment_intent")) or id_of(source),
            refund_ref=metadata.get(REFUND),
            gross_minor=gross,
            fee_minor=-fee,
            net_minor=net,
            currency=text_of(line["currency"]).upper(),
            occurred_at_us=seconds_of(line["created"]) * 1_000_000,
            # The source holds the payer's name and address: its id is enough.
            raw=orjson.dumps(line | {"source": id_of(source)}, option=orjson.OPT_SORT_KEYS).decode(),
        )
    except UNREADABLE as error:
        raise StatementRefused("a line is not one of Stripe's balance transactions") from error


def id_of(value: object) -> str | None:
    """Of what is expanded, or is an id already."""
    if isinstance(value, dict):
        return text_of(value["id"])
    return None if value is None else text_of(value)


def money_of(minor: object, currency: object) -> Money:
    return Money(_integer(minor), text_of(currency).upper())


def digest_of(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text was expected")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("an integer was expected")
    return value


def seconds_of(value: object) -> int:
    if not 0 <= _integer(value) < 10**12:
        raise ValueError("unix seconds were expected")
    return _integer(value)
