"""Stripe's events as notices: of payments, refunds, disputes and early warnings. The signature is checked before.

And what it says when a dispute is answered.
"""

from dataclasses import replace

import orjson

from hub.channels.exchange import Answer, Silence
from hub.channels.stripe_tables import ATTEMPT, DISPUTES, REFUND
from hub.channels.stripe_words import (
    UNREADABLE,
    Json,
    bare,
    digest_of,
    id_of,
    intent_result,
    money_of,
    refund_result,
    refusal,
    seconds_of,
    text_of,
)
from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import Notice, Outcome, Result, Stage
from hub.ports import DisputeReply, NoticeIgnored, NoticeRefused

EVENT_ID_LIMIT = 255  # characters
# Told before anybody has done anything: the answer to our own create says more.
UNEVENTFUL = frozenset({"payment_intent.created"})


def notice_of(body: bytes, now_us: int, *, is_live: bool, account: str | None) -> Notice:
    """The notice in a verified event. Raises NoticeRefused for another merchant's or mode's, and for what is no event;
    NoticeIgnored for an event that is about nothing of ours."""
    try:
        event = orjson.loads(body)
        if event["object"] != "event":
            raise NoticeRefused("this is no event with a snapshot: thin events are not understood")
        if event["livemode"] is not is_live:
            raise NoticeRefused("the event is of the other mode, live or test")
        if event.get("account") != account:
            raise NoticeRefused("the event is of another account")
        kind, told = text_of(event["type"]), event["data"]["object"]
        if not 0 < len(text_of(event["id"])) <= EVENT_ID_LIMIT or not 0 < len(kind) <= EVENT_ID_LIMIT:
            raise NoticeRefused("the event has no id or no type")
        # Not in it: pending_webhooks, which counts down with each delivery, and `request`.
        known = {name: event.get(name) for name in ("id", "type", "created", "livemode", "account", "data")}
        digest = digest_of(orjson.dumps(known, option=orjson.OPT_SORT_KEYS))
        return _notice(event["id"], kind, told, digest, body, now_us, seconds_of(event["created"]) * 1_000_000)
    except UNREADABLE as error:
        raise NoticeRefused("the event is not one that Stripe sends, or of an API version before 2022-11-15") from error


def _notice(event_id: str, kind: str, told: Json, digest: bytes, body: bytes, now_us: int, at_us: int) -> Notice:
    if kind in UNEVENTFUL:
        raise NoticeIgnored(kind)
    match told.get("object"):
        case "payment_intent":
            key = _ours(told, ATTEMPT)
            return Notice(event_id, key, intent_result(told, body, now_us, told_at_us=at_us), digest, kind)
        case "charge" if kind == "charge.refunded":
            return Notice(event_id, _ours(told, ATTEMPT), _refunded(told, body, now_us, at_us), digest, kind)
        case "refund":
            return _refund(event_id, kind, told, digest, body, now_us, at_us)
        case "dispute":
            return _disputed(event_id, kind, told, digest, body, now_us, at_us, dispute_of(told))
        case "radar.early_fraud_warning":
            return _disputed(event_id, kind, told, digest, body, now_us, at_us, warning_of(told))
        case _:
            raise NoticeIgnored(kind)


def _refunded(charge: Json, body: bytes, now_us: int, at_us: int) -> Result:
    """The charge is there, and something of it went back: which refund, its own event says."""
    return Result(
        outcome=Outcome.DONE,
        stage=Stage.REFUNDED,
        raw_digest=digest_of(body),
        observed_at_us=now_us,
        channel_ref=text_of(id_of(charge["payment_intent"])),
        movement_ref=text_of(charge["id"]),
        amount=money_of(charge["amount_captured"], charge["currency"]),
        provider_at_us=at_us,
    )


def _refund(event_id: str, kind: str, told: Json, digest: bytes, body: bytes, now_us: int, at_us: int) -> Notice:
    """One of ours carries both our references. Any other was made by somebody else, in the dashboard for instance: it
    goes by Stripe's own id, and its charge says whether the money was ours."""
    marks = told.get("metadata") or {}
    key, refund_key, result = marks.get(ATTEMPT), marks.get(REFUND), refund_result(told, body, now_us, told_at_us=at_us)
    if key and refund_key:
        return Notice(event_id, text_of(key), result, digest, kind, refund_key=text_of(refund_key))
    charge = id_of(told.get("charge"))
    if charge is None:
        raise NoticeIgnored(f"{kind} of no charge")
    result = replace(result, channel_ref=id_of(told.get("payment_intent")), movement_ref=charge)
    return Notice(event_id, "", result, digest, kind, refund_key=text_of(told["id"]))


def _disputed(
    event_id: str, kind: str, told: Json, digest: bytes, body: bytes, now_us: int, at_us: int, word: DisputeWord
) -> Notice:
    """Disputes do not carry our metadata: the charge that we booked, and its payment, name the attempt."""
    if told["payment_intent"] is None:
        raise NoticeIgnored(f"{kind} of a charge without a payment")
    result = Result(
        outcome=Outcome.DONE,
        stage=Stage.NONE,
        raw_digest=digest_of(body),
        observed_at_us=now_us,
        channel_ref=text_of(id_of(told["payment_intent"])),
        movement_ref=text_of(id_of(told["charge"])),
        provider_at_us=at_us,
    )
    return Notice(event_id, told["metadata"].get(ATTEMPT, "") if "metadata" in told else "", result, digest, kind,
                  dispute=word)  # fmt: skip


def dispute_of(dispute: Json) -> DisputeWord:
    """Raises KeyError, TypeError or ValueError when it is none."""
    due = (dispute.get("evidence_details") or {}).get("due_by")
    fees = [(line["fee"], line["currency"]) for line in dispute.get("balance_transactions") or () if line["fee"]]
    currencies = {currency for _, currency in fees}
    total = sum(fee for fee, _ in fees)
    return DisputeWord(
        channel_ref=text_of(dispute["id"]),
        state=DISPUTES[dispute["status"]],
        amount=money_of(dispute["amount"], dispute["currency"]),
        reason=dispute.get("reason"),
        evidence_due_at_us=None if due is None else seconds_of(due) * 1_000_000,
        fee=money_of(total, currencies.pop()) if total > 0 and len(currencies) == 1 else None,
    )


def reply_of(answer: Answer | Silence, dispute_ref: str, now_us: int) -> DisputeReply:
    """What an answer to our evidence, or to our giving in, says. Anything that makes no sense is UNKNOWN."""
    if isinstance(answer, Silence):
        return DisputeReply(bare(answer.outcome, now_us, code=answer.code))
    try:
        content = orjson.loads(answer.body)
        if answer.status != 200:
            return DisputeReply(refusal("answer_dispute", answer, content, now_us))
        if content["id"] != dispute_ref:
            return DisputeReply(bare(Outcome.UNKNOWN, now_us, answer.body, code="foreign_reference"))
        return DisputeReply(bare(Outcome.DONE, now_us, answer.body), dispute_of(content))
    except UNREADABLE:
        return DisputeReply(bare(Outcome.UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}"))


def warning_of(warning: Json) -> DisputeWord:
    """A card network's early warning of fraud. It names no amount: nothing is asked back yet."""
    return DisputeWord(
        channel_ref=text_of(warning["id"]),
        state=DisputeState.EARLY_WARNING,
        amount=Money(0, "USD"),
        reason=text_of(warning["fraud_type"]),
        evidence_due_at_us=None,
    )


def _ours(told: Json, name: str) -> str:
    key = (told.get("metadata") or {}).get(name)
    if not isinstance(key, str) or not key:
        raise NoticeIgnored("made by somebody else on this account")
    return key
