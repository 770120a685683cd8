"""A payment as its row, what the provider charges at all, and how it says no."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["requires_action", "requires_payment_method", "requires_capture", "succeeded", "canceled"]
CaptureMethod = Literal["automatic", "manual"]
Step = Literal["choose", "authenticate", "done"]

# Smallest amount a currency is charged in, in minor units, as Stripe publishes them; CNY as in the Chinese wallets.
MINIMUM_MINOR = {
    "AUD": 50, "CAD": 50, "CHF": 50, "CNY": 1, "EUR": 50, "GBP": 30, "HKD": 400, "INR": 50, "JPY": 50, "SGD": 50,
    "USD": 50,
}  # fmt: skip
MAXIMUM_MINOR = 99_999_999  # eight digits, Stripe's own limit
MINOR_DIGITS = {"JPY": 0}  # the others have two
LIFETIME_S = 30 * 60  # a pay page that nobody finishes stays payable for this long
SHORTEST_LIFETIME_S, LONGEST_LIFETIME_S = 60, 24 * 60 * 60


class IntentRefused(Exception):
    """The provider's no: nothing has changed. `code` is part of the wire."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Intent:
    """One payment, as its row. Amounts in minor units of `currency` (ISO 4217), times in unix seconds."""

    id: str
    page_token: str
    reference: str
    amount: int
    currency: str
    status: Status
    step: Step
    amount_received: int
    description: str
    metadata: str
    return_url: str | None
    notice_url: str | None
    payment_method: str | None
    error_code: str | None
    decline_code: str | None
    latest_charge: str | None
    cancellation_reason: str | None
    created: int
    status_at: int
    expires_at: int
    capture_method: CaptureMethod
    capture_before: int | None
