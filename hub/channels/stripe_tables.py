"""Stripe's vocabulary as tables: amounts that it takes, statuses, refusals, declines. A new word is a new row."""

from typing import Literal

from hub.domain.disputes import DisputeState
from hub.domain.money import CURRENCIES, Money
from hub.domain.payments import Outcome, Stage
from hub.domain.statements import LineKind
from hub.ports import AmountRange

Flow = Literal["create", "capture", "void", "query", "refund", "query_refund", "answer_dispute"]

CODE = "stripe"
# Where our references stand in the provider's records: of the payment (and by it of its charge), and of the refund.
ATTEMPT, ORDER, ORDER_ID, REFUND = "tongbao_attempt", "tongbao_order", "tongbao_order_id", "tongbao_refund"

MAXIMUM_MINOR = 99_999_999  # eight digits; more are taken in a few currencies only
# As published; what an account settles in another currency may need more, and is then refused by Stripe itself.
MINIMUM_MINOR = {
    "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400,
    "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "SEK": 300,
    "SGD": 50, "THB": 1000, "USD": 50,
}  # fmt: skip
# Cards have two decimals there: of three, the last is 0.
STEP_MINOR = {currency: 10 for currency, scale in CURRENCIES.items() if scale == 3}
AMOUNTS = {
    currency: AmountRange(
        max(MINIMUM_MINOR.get(currency, 1), STEP_MINOR.get(currency, 1)), MAXIMUM_MINOR, STEP_MINOR.get(currency, 1)
    )
    for currency in CURRENCIES
}


def is_exact(money: Money) -> bool:
    """Whether Stripe's units can say it: nothing is rounded."""
    return money.amount_minor % AMOUNTS[money.currency].step_minor == 0


# (HTTP status, code or else type of the error; "": any other) → what we know. 409 and 5xx are left out on purpose: the
# first call may still run, or may have run; so may one whose key we use with other parameters.
_READS: dict[tuple[int, str], Outcome] = {
    (400, ""): Outcome.REJECTED,
    (400, "rate_limit"): Outcome.NOT_SENT,
    (401, ""): Outcome.REJECTED,
    (403, ""): Outcome.REJECTED,
    (404, ""): Outcome.REJECTED,
    (429, ""): Outcome.NOT_SENT,
}
_WRITES = _READS | {
    (400, "idempotency_error"): Outcome.UNKNOWN,
    (400, "idempotency_key_in_use"): Outcome.UNKNOWN,
    (402, ""): Outcome.DECLINED,
}
OUTCOMES: dict[Flow, dict[tuple[int, str], Outcome]] = {
    "create": _WRITES,
    "capture": _WRITES | {(400, "charge_expired_for_capture"): Outcome.DECLINED},
    "void": _WRITES | {(404, "resource_missing"): Outcome.DONE},  # with NONE: it was never seen
    "query": _READS | {(404, "resource_missing"): Outcome.DONE},
    "refund": _WRITES,
    "query_refund": _READS | {(404, "resource_missing"): Outcome.DONE},
    "answer_dispute": _WRITES,
}
# A payment's status → what we know. Without a method it waits for the buyer; a failed method is a decline.
INTENTS: dict[str, tuple[Outcome, Stage]] = {
    "requires_payment_method": (Outcome.ACTION, Stage.NONE),
    "requires_confirmation": (Outcome.ACTION, Stage.NONE),
    "requires_action": (Outcome.ACTION, Stage.NONE),
    "processing": (Outcome.PENDING, Stage.NONE),
    "requires_capture": (Outcome.DONE, Stage.AUTHORIZED),
    "succeeded": (Outcome.DONE, Stage.CHARGED),
    "canceled": (Outcome.DONE, Stage.VOIDED),
}
LAPSED = frozenset({"automatic", "expired"})  # why Stripe itself cancels: the hold, or the payment, got too old
REFUNDS: dict[str, tuple[Outcome, Stage]] = {
    "pending": (Outcome.PENDING, Stage.NONE),
    "requires_action": (Outcome.PENDING, Stage.NONE),
    "succeeded": (Outcome.DONE, Stage.REFUNDED),
    "failed": (Outcome.DECLINED, Stage.NONE),
    "canceled": (Outcome.DECLINED, Stage.NONE),
}
# An inquiry (warning_…) takes no money; closed, there was never a dispute.
DISPUTES: dict[str, DisputeState] = {
    "warning_needs_response": DisputeState.EARLY_WARNING,
    "warning_under_review": DisputeState.EARLY_WARNING,
    "warning_closed": DisputeState.PREVENTED,
    "needs_response": DisputeState.NEEDS_RESPONSE,
    "appeal_needs_response": DisputeState.NEEDS_RESPONSE,
    "under_review": DisputeState.UNDER_REVIEW,
    "appeal_under_review": DisputeState.UNDER_REVIEW,
    "prevented": DisputeState.PREVENTED,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
}
# After these the same card must not be tried again: stolen, fraud, or its data are wrong. Every other decline is soft.
HARD_DECLINES = frozenset({
    "expired_card", "fraudulent", "incorrect_cvc", "incorrect_number", "invalid_account", "invalid_cvc",
    "invalid_expiry_month", "invalid_expiry_year", "invalid_number", "lost_card", "merchant_blacklist",
    "new_account_information_available", "pickup_card", "restricted_card", "revocation_of_all_authorizations",
    "revocation_of_authorization", "security_violation", "stolen_card", "stop_payment_order",
})  # fmt: skip
LINES: dict[str, LineKind] = {  # by a balance transaction's reporting_category; every other one is an ADJUSTMENT
    "charge": LineKind.PAYMENT,
    "charge_failure": LineKind.PAYMENT,
    "partial_capture_reversal": LineKind.PAYMENT,
    "refund": LineKind.REFUND,
    "refund_failure": LineKind.REFUND,
    "dispute": LineKind.DISPUTE,
    "dispute_reversal": LineKind.DISPUTE,
    "fee": LineKind.FEE,
    "network_cost": LineKind.FEE,
    "payout": LineKind.PAYOUT,
    "payout_reversal": LineKind.PAYOUT,
    "transfer": LineKind.SPLIT,
    "transfer_reversal": LineKind.SPLIT,
}
