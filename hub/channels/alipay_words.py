"""What Alipay's words about a trade or a refund let us know. Everything that makes no sense raises, and is UNKNOWN."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hub.channels import alipay_codes as codes
from hub.channels.alipay_codes import Call
from hub.channels.alipay_wire import Nonsense, moment_us, positive_fen, reference_of
from hub.domain.money import Money
from hub.domain.payments import AttemptState, NextAction, Outcome, PaymentAttempt, Result, Stage
from hub.domain.refunds import Refund, RefundState

CURRENCY = "CNY"
# A QR or page ends this much before its attempt: Alipay's clock is another, and by the attempt's end it surely is dead.
MARGIN_US = 60 * 1_000_000
QR_LIMIT = 1024  # characters; real ones have about fifty
IDENTIFIER = re.compile(r"[0-9A-Za-z_.:-]{1,128}", re.ASCII)

# trade_status → what we know of a trade that is open, or paid. A closed one may have been paid before.
STATUSES: dict[str, tuple[Outcome, Stage]] = {
    "WAIT_BUYER_PAY": (Outcome.PENDING, Stage.NONE),
    "TRADE_SUCCESS": (Outcome.DONE, Stage.CHARGED),
    "TRADE_FINISHED": (Outcome.DONE, Stage.CHARGED),
}
CLOSED = "TRADE_CLOSED"


@dataclass(frozen=True, slots=True)
class Heard:
    """What Alipay has signed: what `text` says, and when we heard it."""

    content: Mapping[str, Any]
    text: bytes
    at_us: int


def trade(heard: Heard, attempt: PaymentAttempt) -> Result:
    """What a query found under our reference. A buyer who has scanned or signed in may turn back and do it again: what
    they were given stays."""
    _demand_ours(heard, attempt)
    result = trade_result(heard, heard.content.get("send_pay_date"))
    is_shown = result.outcome is Outcome.PENDING and attempt.state is AttemptState.ACTION
    return replace(result, outcome=Outcome.ACTION) if is_shown else result


def trade_result(heard: Heard, paid_at: object) -> Result:
    """What is known of a trade by its status; `paid_at` is empty for what was never paid. The amount is what the order
    costs: who bears a part of it as a discount is for the bill."""
    fields = heard.content
    status = fields["trade_status"]
    if status == CLOSED:
        outcome, stage = Outcome.DONE, Stage.REFUNDED if paid_at else Stage.VOIDED
    elif status in STATUSES:
        outcome, stage = STATUSES[status]
    else:
        raise Nonsense("there is no such status")
    if fields.get("trans_currency", CURRENCY) != CURRENCY:
        raise Nonsense("it is in another currency")
    is_paid = stage in (Stage.CHARGED, Stage.REFUNDED)
    reference = identifier(fields["trade_no"])
    return Result(
        outcome=outcome,
        stage=stage,
        raw_digest=hashlib.sha256(heard.text).digest(),
        observed_at_us=heard.at_us,
        channel_ref=reference,
        movement_ref=reference if is_paid else None,
        amount=Money(positive_fen(fields["total_amount"]), CURRENCY),
        provider_at_us=moment_us(paid_at) if is_paid and paid_at else None,
    )


def not_there(attempt: PaymentAttempt, result: Result) -> Result:
    """A trade that Alipay does not have, yet: after the attempt's end its QR is dead; before, it is payable if a buyer
    was given it. Of one that nobody was given it is the channel's word that it never saw it."""
    was_given = attempt.heard_rank > 0
    if result.observed_at_us >= attempt.expires_at_us:
        return replace(result, outcome=Outcome.DONE, stage=Stage.EXPIRED)
    if not was_given:
        return replace(result, outcome=Outcome.DONE, stage=Stage.NONE)
    is_shown = attempt.state is AttemptState.ACTION  # and stays so, with its QR: there is no news
    return replace(result, outcome=Outcome.ACTION if is_shown else Outcome.PENDING)


def shown(heard: Heard, attempt: PaymentAttempt) -> Result:
    """The QR of a precreate."""
    _demand_ours(heard, attempt)
    qr = heard.content["qr_code"]
    if not isinstance(qr, str) or not 0 < len(qr) <= QR_LIMIT:
        raise Nonsense("this is no QR")
    action = NextAction(kind="qr", data=qr, expires_at_us=dies_at_us(attempt))
    return replace(bare(Outcome.ACTION, heard.at_us, heard.text), next_action=action)


def dies_at_us(attempt: PaymentAttempt) -> int:
    return attempt.expires_at_us - MARGIN_US


def closed(heard: Heard, attempt: PaymentAttempt) -> Result:
    """A trade that was open, and is closed unpaid."""
    _demand_ours(heard, attempt)
    reference = identifier(heard.content["trade_no"])
    return replace(bare(Outcome.DONE, heard.at_us, heard.text), stage=Stage.VOIDED, channel_ref=reference)


def taken_on(heard: Heard, attempt: PaymentAttempt) -> Result:
    """A refund that Alipay has taken on, now (`fund_change` Y) or before (N): whether it arrived, the query tells."""
    _demand_ours(heard, attempt)
    code = f"fund_change_{identifier(heard.content.get('fund_change') or 'none')}"
    reference = identifier(heard.content["trade_no"])
    return replace(bare(Outcome.PENDING, heard.at_us, heard.text, code=code), channel_ref=reference)


def refunded(heard: Heard, attempt: PaymentAttempt, refund: Refund) -> Result:
    """What a query found under a refund's key. Without a status it failed, is under way, or was never asked for: of one
    whose call was answered it is under way; else it may be asked for once more, since the key makes it one."""
    content = heard.content
    status = content.get("refund_status")
    if not status:
        is_taken_on = refund.state is RefundState.PENDING
        outcome = Outcome.PENDING if is_taken_on else Outcome.DONE
        return bare(outcome, heard.at_us, heard.text, code="no_refund_status")
    _demand_ours(heard, attempt)
    if content["out_request_no"] != refund.key or status != "REFUND_SUCCESS":
        raise Nonsense("it is another refund, or in a state that does not exist")
    reference, paid_at = identifier(content["trade_no"]), content.get("gmt_refund_pay")
    return replace(
        bare(Outcome.DONE, heard.at_us, heard.text),
        stage=Stage.REFUNDED,
        channel_ref=reference,
        movement_ref=f"{reference}/{refund.key}",  # Alipay has no number of its own for it: the bill says it so, too
        amount=Money(positive_fen(content["refund_amount"]), CURRENCY),
        provider_at_us=moment_us(paid_at) if paid_at else None,
    )


def refused(call: Call, heard: Heard) -> Result:
    """A signed answer that is not 10000. Raises Nonsense, KeyError."""
    code, sub_code = str(heard.content["code"]), str(heard.content.get("sub_code") or "")
    outcome = codes.meaning_of(call, code, sub_code)
    decline: Literal["hard", "soft"] = "hard" if sub_code in codes.HARD_DECLINES else "soft"
    return replace(
        bare(outcome, heard.at_us, heard.text, code=identifier(sub_code or code)),
        decline=decline if outcome is Outcome.DECLINED else None,
        retry_after_ms=codes.RATE_LIMITED_MS if outcome is Outcome.NOT_SENT else None,
    )


def bare(outcome: Outcome, now_us: int, text: bytes = b"", *, code: str | None = None) -> Result:
    """A result that says nothing about money."""
    return Result(outcome, Stage.NONE, hashlib.sha256(text).digest(), now_us, code=code)


def identifier(value: object) -> str:
    """A word or number of Alipay's, short and plain enough to be kept. Raises Nonsense."""
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise Nonsense("this is no name or number")
    return value


def _demand_ours(heard: Heard, attempt: PaymentAttempt) -> None:
    if heard.content["out_trade_no"] != reference_of(attempt.key):
        raise Nonsense("it is about another payment")
