"""What Alipay's codes say, call by call, as data: a new code is a row here and a row in its test.

`code` is the gateway's: 10000 done, 10003 waiting, 20000 nobody knows, 40001 and 40002 ours to fix, 40004 a business
answer, which its `sub_code` tells. What has no row is UNKNOWN.
"""

from typing import Literal

from hub.domain.payments import Outcome

Call = Literal["create", "void", "query", "refund", "query_refund", "bill"]

RATE_LIMITED_MS = 1_000  # Alipay names no time
HARD_DECLINES = frozenset({"ACQ.PAYMENT_REQUEST_HAS_RISK", "ACQ.BUYER_ENABLE_STATUS_FORBID"})
DONE = "10000"
NO_BILL = "isp.bill_not_exist"
NOT_THERE = "ACQ.TRADE_NOT_EXIST"  # of a payment until its buyer scans or signs in
# Something is under our reference, closed or paid: to be asked about, never to be guessed.
ENDED = frozenset({"ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "ACQ.REASON_ILLEGAL_STATUS"})

_R, _D, _U = Outcome.REJECTED, Outcome.DECLINED, Outcome.UNKNOWN

# (code, sub_code) → what we know, whatever was called; sub_code "": any.
ALWAYS: dict[tuple[str, str], Outcome] = {
    ("10003", ""): Outcome.PENDING,
    ("20000", ""): _U,
    ("20001", ""): _R,
    ("40001", ""): _R,
    ("40002", ""): _R,
    ("40003", ""): _R,
    ("40005", ""): Outcome.NOT_SENT,
    ("40006", ""): _R,
    ("40004", "ACQ.SYSTEM_ERROR"): _U,
    ("40004", "ACQ.INVALID_PARAMETER"): _R,
    ("40004", "ACQ.ACCESS_FORBIDDEN"): _R,
    ("40004", "ACQ.PARTNER_ERROR"): _R,
}
# (call, sub_code of a 40004) → what we know.
BY_CALL: dict[tuple[Call, str], Outcome] = {
    ("create", "ACQ.EXIST_FORBIDDEN_WORD"): _R,
    ("create", "ACQ.TOTAL_FEE_EXCEED"): _R,
    ("create", "ACQ.BUYER_SELLER_EQUAL"): _R,
    ("create", "ACQ.PAYMENT_FAIL"): _D,
    ("create", "ACQ.BUYER_BALANCE_NOT_ENOUGH"): _D,
    ("create", "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH"): _D,
    ("create", "ACQ.ERROR_BALANCE_PAYMENT_DISABLE"): _D,
    ("create", "ACQ.PAYMENT_REQUEST_HAS_RISK"): _D,
    ("create", "ACQ.BUYER_ENABLE_STATUS_FORBID"): _D,
    ("refund", "ACQ.SELLER_BALANCE_NOT_ENOUGH"): _R,  # again once the seller's account has money
    ("refund", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"): _R,  # more than is left of the payment
    ("refund", "ACQ.REFUND_FEE_ERROR"): _R,
    ("refund", "ACQ.REASON_TRADE_REFUND_FEE_ERR"): _R,
    ("refund", NOT_THERE): _R,
    ("refund", "ACQ.TRADE_HAS_FINISHED"): _D,  # past the day until which it may be given back
    ("refund", "ACQ.TRADE_NOT_ALLOW_REFUND"): _D,
    ("refund", "ACQ.NOT_ALLOW_PARTIAL_REFUND"): _D,
    ("refund", "ACQ.REASON_TRADE_BEEN_FREEZEN"): _D,
    ("refund", "ACQ.ENTERPRISE_PAY_BIZ_ERROR"): _D,
}
# HTTP itself, for what is not signed: no QR or page came of it, so no money can.
BY_STATUS: dict[tuple[Call, int], Outcome] = {
    **{("create", status): _R for status in (400, 401, 403, 404, 422)},
    **{(call, 429): Outcome.NOT_SENT for call in ("create", "void", "query", "refund", "query_refund", "bill")},
}


def meaning_of(call: Call, code: str, sub_code: str) -> Outcome:
    """What a signed answer other than 10000 lets us know."""
    rows = (ALWAYS.get((code, sub_code)), BY_CALL.get((call, sub_code)) if code == "40004" else None)
    return next((row for row in rows if row is not None), ALWAYS.get((code, ""), Outcome.UNKNOWN))
