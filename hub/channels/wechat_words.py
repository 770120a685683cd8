"""What WeChat Pay's words mean to us (微信支付): trades, refunds, refusals and notices become Results, by tables."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from hub.channels.exchange import Answer, retry_after_ms
from hub.channels.wechat_wire import Merchant
from hub.domain.money import Money
from hub.domain.payments import NextAction, Notice, Outcome, PaymentAttempt, Result, Stage
from hub.ports import NoticeIgnored, NoticeRefused

Flow = Literal["create", "void", "query", "refund", "query_refund"]
Json = dict[str, Any]

CODE = "wechat"
CURRENCY = "CNY"  # all that it takes from a merchant in China; amounts are fen, integers
EVENT_ID_LIMIT = 255  # characters
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Known = tuple[Outcome, Stage]
UNKNOWN: Known = (Outcome.UNKNOWN, Stage.NONE)
REJECTED: Known = (Outcome.REJECTED, Stage.NONE)
DECLINED: Known = (Outcome.DECLINED, Stage.NONE)
NEVER_SEEN: Known = (Outcome.DONE, Stage.NONE)

# (flow, HTTP status, code) → what we know. `None`: any other code. What is not here is UNKNOWN.
REFUSALS: dict[tuple[Flow, int, str | None], Known] = {
    **{
        (flow, status, None): REJECTED
        for flow in ("create", "void", "query", "refund", "query_refund")
        for status in (400, 401, 403)
    },
    **{(flow, 404, None): REJECTED for flow in ("create", "void", "refund")},
    **{(flow, 422, None): REJECTED for flow in ("create", "refund")},
    **{
        (flow, 429, None): (Outcome.NOT_SENT, Stage.NONE)
        for flow in ("create", "void", "query", "refund", "query_refund")
    },
    # Something stands under our reference: what, a query says.
    ("create", 400, "ORDER_CLOSED"): UNKNOWN,
    ("create", 400, "ORDERPAID"): UNKNOWN,
    ("create", 403, "ORDERPAID"): UNKNOWN,
    ("create", 400, "OUT_TRADE_NO_USED"): UNKNOWN,
    ("create", 403, "OUT_TRADE_NO_USED"): UNKNOWN,
    ("query", 404, "ORDER_NOT_EXIST"): NEVER_SEEN,
    ("query", 404, "ORDERNOTEXIST"): NEVER_SEEN,
    ("refund", 403, "NOT_ENOUGH"): DECLINED,
    ("refund", 403, "USER_ACCOUNT_ABNORMAL"): DECLINED,
    ("query_refund", 404, "RESOURCE_NOT_EXISTS"): NEVER_SEEN,
}
# A trade's state → what we know of the payment. REFUND is set by a part, too: it was paid, and its refunds are asked
# one by one.
TRADES: dict[str, Known] = {
    "SUCCESS": (Outcome.DONE, Stage.CHARGED),
    "REFUND": (Outcome.DONE, Stage.CHARGED),
    "NOTPAY": (Outcome.PENDING, Stage.NONE),
    "USERPAYING": (Outcome.PENDING, Stage.NONE),
    "ACCEPT": (Outcome.PENDING, Stage.NONE),
    "CLOSED": (Outcome.DONE, Stage.VOIDED),
    "REVOKED": (Outcome.DONE, Stage.VOIDED),
    "PAYERROR": DECLINED,
}
# ABNORMAL: the payer's bank took nothing, and the money waits until a person sends it elsewhere. Not failed: not over.
REFUNDS: dict[str, Known] = {
    "SUCCESS": (Outcome.DONE, Stage.REFUNDED),
    "PROCESSING": (Outcome.PENDING, Stage.NONE),
    "ABNORMAL": (Outcome.PENDING, Stage.NONE),
    "CLOSED": DECLINED,
}


def refused(flow: Flow, answer: Answer, now_us: int) -> Result:
    """What an answer says that holds no trade and no refund. Nonsense, a proxy's page for instance, is UNKNOWN."""
    try:
        code = text_of(json_of(answer.body)["code"])[:EVENT_ID_LIMIT]
    except (KeyError, TypeError, ValueError):
        return bare(UNKNOWN, now_us, answer.body, code=f"unreadable_{answer.status}")
    by_status = REFUSALS.get((flow, answer.status, None), UNKNOWN)
    after_ms = retry_after_ms(answer.headers) if answer.status == 429 else None
    known = REFUSALS.get((flow, answer.status, code), by_status)
    return bare(known, now_us, answer.body, code=code, retry_after_ms=after_ms)


def trade_result(merchant: Merchant, attempt: PaymentAttempt, body: bytes, now_us: int) -> Result:
    """What a queried trade says. While nobody has paid, what the buyer was shown stays payable, so it is told again."""
    try:
        trade = json_of(body)
        _demand_ours(merchant, trade)
        if trade["out_trade_no"] != attempt.key:
            raise ValueError("another reference than the one that was asked for")
        result = _trade(trade, body, now_us)
    except (KeyError, TypeError, ValueError):
        return bare(UNKNOWN, now_us, body, code="unreadable_200")
    if trade["trade_state"] == "NOTPAY" and attempt.next_action is not None:
        return bare((Outcome.ACTION, Stage.NONE), now_us, body, next_action=attempt.next_action)
    return result


def refund_result(attempt: PaymentAttempt, key: str, body: bytes, now_us: int) -> Result:
    """What a refund, as it is answered, says about ours under `key`."""
    try:
        refund = json_of(body)
        if refund["out_refund_no"] != key or refund["out_trade_no"] != attempt.key:
            raise ValueError("another reference than the one that was asked for")
        return _refund(refund, refund["status"], body, now_us)
    except (KeyError, TypeError, ValueError):
        return bare(UNKNOWN, now_us, body, code="unreadable_200")


def notice_of(merchant: Merchant, body: bytes, now_us: int) -> Notice:
    """The notice in a body whose signature was checked. Raises NoticeRefused when it is none of ours, NoticeIgnored
    when it is about another of WeChat's products."""
    try:
        event = json_of(body)
        if not text_of(event["event_type"]).startswith(("TRANSACTION.", "REFUND.")):
            raise NoticeIgnored
        sealed = event["resource"]
        opened = merchant.opened(
            text_of(sealed["algorithm"]),
            text_of(sealed["nonce"]),
            text_of(sealed.get("associated_data") or ""),
            text_of(sealed["ciphertext"]),
        )
        told = json_of(opened)
        kind, event_id = text_of(event["event_type"]), text_of(event["id"])
        if not 0 < len(event_id) <= EVENT_ID_LIMIT or len(kind) > EVENT_ID_LIMIT:
            raise NoticeRefused("the event has no id or no type")
        return Notice(
            event_id=event_id,
            attempt_key=text_of(told["out_trade_no"]),
            result=_told(merchant, kind, told, opened, now_us),
            # Sent again, it is sealed again: the meaning is the same, the bytes are not.
            digest=hashlib.sha256(orjson.dumps([event_id, kind, told], option=orjson.OPT_SORT_KEYS)).digest(),
            kind=kind,
            refund_key=text_of(told["out_refund_no"]) if kind.startswith("REFUND.") else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoticeRefused("the notice is none of this merchant's payments or refunds") from error


def _told(merchant: Merchant, kind: str, told: Json, opened: bytes, now_us: int) -> Result:
    if kind.startswith("TRANSACTION."):
        _demand_ours(merchant, told)
        return _trade(told, opened, now_us)
    if told["mchid"] != merchant.mchid:
        raise ValueError("another merchant's")
    return _refund(told, told["refund_status"], opened, now_us)


def _demand_ours(merchant: Merchant, trade: Json) -> None:
    if trade["mchid"] != merchant.mchid or trade["appid"] != merchant.appid:
        raise ValueError("another merchant's")


def _trade(trade: Json, raw: bytes, now_us: int) -> Result:
    """A trade. The order is paid by `total`; `payer_total`, less a coupon, is between the payer and who gave it."""
    state = trade["trade_state"]
    outcome, stage = TRADES[state]
    is_charged = stage is Stage.CHARGED
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=hashlib.sha256(raw).digest(),
        observed_at_us=now_us,
        channel_ref=text_of(trade["transaction_id"]) if is_charged else None,
        movement_ref=text_of(trade["transaction_id"]) if is_charged else None,
        amount=_money(trade["amount"], "total") if is_charged else None,
        provider_at_us=_at_us(trade["success_time"]) if is_charged else None,
        code=state if outcome is Outcome.DECLINED else None,
        decline="soft" if outcome is Outcome.DECLINED else None,
    )


def _refund(refund: Json, status: str, raw: bytes, now_us: int) -> Result:
    outcome, stage = REFUNDS[status]
    is_refunded = stage is Stage.REFUNDED
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=hashlib.sha256(raw).digest(),
        observed_at_us=now_us,
        channel_ref=text_of(refund["refund_id"]),
        movement_ref=text_of(refund["refund_id"]),
        amount=_money(refund["amount"], "refund"),
        provider_at_us=_at_us(refund["success_time"]) if is_refunded else None,
        code=status if status in ("CLOSED", "ABNORMAL") else None,
    )


def bare(
    known: Known,
    now_us: int,
    raw: bytes = b"",
    *,
    code: str | None = None,
    retry_after_ms: int | None = None,
    next_action: NextAction | None = None,
) -> Result:
    """A result that says nothing about an amount."""
    outcome, stage = known
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=hashlib.sha256(raw).digest(),
        observed_at_us=now_us,
        code=code,
        retry_after_ms=retry_after_ms,
        next_action=next_action,
    )


def json_of(body: bytes) -> Json:
    """The JSON object in a body. Raises ValueError when it is none."""
    content = orjson.loads(body)
    if not isinstance(content, dict):
        raise ValueError("a JSON object was expected")
    return content


def certificates_in(merchant: Merchant, body: bytes) -> list[str]:
    """The serials of WeChat's certificates, each opened to see that we can. Raises KeyError, TypeError, ValueError."""
    found = json_of(body)["data"]
    for one in found:
        sealed = one["encrypt_certificate"]
        merchant.opened(sealed["algorithm"], sealed["nonce"], sealed["associated_data"], sealed["ciphertext"])
    return [text_of(one["serial_no"]) for one in found]


def seconds_in(headers: Mapping[str, str]) -> int | None:
    """WeChat's clock, by its word alone."""
    told = headers.get("wechatpay-timestamp", "")
    return int(told) if re.fullmatch(r"[0-9]{1,12}", told) else None


def _money(amount: Json, name: str) -> Money:
    return Money(amount[name], text_of(amount.get("currency") or CURRENCY))


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text was expected")
    return value


def _at_us(value: object) -> int:
    """RFC 3339 with its offset, as microseconds."""
    at = datetime.fromisoformat(text_of(value))
    if at.tzinfo is None:
        raise ValueError("a time without its offset")
    return (at - EPOCH) // timedelta(microseconds=1)
