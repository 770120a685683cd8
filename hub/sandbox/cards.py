"""Stripe's well-known test cards: each number stands for one outcome, so a newcomer may type what the world types."""

import re
from dataclasses import dataclass
from typing import Literal

Effect = Literal["succeed", "decline", "authenticate"]
CardError = Literal["incorrect_number", "invalid_number", "test_cards_only", "invalid_expiry", "expired", "invalid_cvc"]

SHORTEST_NUMBER, LONGEST_NUMBER = 12, 19  # ISO/IEC 7812
LATEST_EXPIRY_YEARS = 50  # later is a slip of the finger, as Stripe has it


@dataclass(frozen=True, slots=True)
class Card:
    """What a test number, or its token in the API, does. `decline_code` says more than `error_code` where there is."""

    number: str
    token: str
    brand: str
    effect: Effect
    title: str
    error_code: str | None = None
    decline_code: str | None = None
    is_disputed: bool = False  # by its payer, as soon as it is charged
    refund_becomes: Literal["succeeded", "failed"] | None = None  # of what is given back to it, later; None: at once

    @property
    def last4(self) -> str:
        return self.number[-4:]


CARDS = (
    Card("4242424242424242", "pm_card_visa", "visa", "succeed", "Succeeds"),
    Card("5555555555554444", "pm_card_mastercard", "mastercard", "succeed", "Succeeds"),
    Card("4000002500003155", "pm_card_authenticationRequired", "visa", "authenticate", "Asks for a 3D Secure step"),
    Card(
        "4000000000000002", "pm_card_chargeDeclined", "visa", "decline", "Declined", "card_declined", "generic_decline"
    ),
    Card(
        "4000000000009995",
        "pm_card_chargeDeclinedInsufficientFunds",
        "visa",
        "decline",
        "Declined: insufficient funds",
        "card_declined",
        "insufficient_funds",
    ),
    Card(
        "4000000000009979",
        "pm_card_chargeDeclinedStolenCard",
        "visa",
        "decline",
        "Declined: stolen card",
        "card_declined",
        "stolen_card",
    ),
    Card(
        "4000000000000069",
        "pm_card_chargeDeclinedExpiredCard",
        "visa",
        "decline",
        "Declined: expired card",
        "expired_card",
        "expired_card",
    ),
    Card(
        "4000000000000127",
        "pm_card_chargeDeclinedIncorrectCvc",
        "visa",
        "decline",
        "Declined: wrong security code",
        "incorrect_cvc",
        "incorrect_cvc",
    ),
    Card(
        "4000000000000119",
        "pm_card_chargeDeclinedProcessingError",
        "visa",
        "decline",
        "Declined: processing error",
        "processing_error",
        "processing_error",
    ),
    Card(
        "4000000000000341",
        "pm_card_chargeCustomerFail",
        "visa",
        "decline",
        "Attaches, then the charge fails",
        "card_declined",
        "generic_decline",
    ),
    Card(
        "4000000000000259",
        "pm_card_createDispute",
        "visa",
        "succeed",
        "Succeeds, then its payer disputes it",
        is_disputed=True,
    ),
    Card(
        "4000000000005126",
        "pm_card_refundFail",
        "visa",
        "succeed",
        "Succeeds; a refund is pending, then fails",
        refund_becomes="failed",
    ),
    Card(
        "4000000000007726",
        "pm_card_pendingRefund",
        "visa",
        "succeed",
        "Succeeds; a refund is pending, then succeeds",
        refund_becomes="succeeded",
    ),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_TOKEN = {card.token: card for card in CARDS}
BY_LAST4 = {card.last4: card for card in CARDS}

MESSAGES: dict[str, str] = {
    "incorrect_number": "This card number is not right: a digit is wrong or missing.",
    "invalid_number": "Write the card number with 12 to 19 digits.",
    "test_cards_only": "TEST mode takes the test cards listed below only. Never type a real card here.",
    "invalid_expiry": "Write the expiry date as MM / YY.",
    "expired": "This card has expired.",
    "invalid_cvc": "Write the security code with 3 digits (4 for American Express).",
    "card_declined": "The card was declined.",
    "generic_decline": "The card was declined.",
    "insufficient_funds": "The card was declined: there is not enough money on it.",
    "stolen_card": "The card was declined.",  # a buyer is not told that a card is on a list
    "expired_card": "The card was declined: it has expired.",
    "incorrect_cvc": "The card was declined: its security code is wrong.",
    "processing_error": "The card was declined: an error came up while it was processed.",
    "authentication_failed": "The card's bank could not authenticate you.",
    "buyer_declined": "You declined the payment in your wallet.",
}


def check_card(number: str, expiry: str, cvc: str, *, year: int, month: int) -> Card | dict[str, CardError]:
    """The test card typed into the form, or what is wrong, by field: number, expiry, cvc. `year`, `month`: now."""
    digits = re.sub(r"[ \-]", "", number)
    found: dict[str, CardError | None] = {
        "number": _wrong_number(digits),
        "expiry": _wrong_expiry(expiry, year, month),
        "cvc": None if re.fullmatch(r"[0-9]{3,4}", cvc.strip()) else "invalid_cvc",
    }
    wrong = {name: error for name, error in found.items() if error}
    return wrong or BY_NUMBER[digits]


def _wrong_number(digits: str) -> CardError | None:
    if not re.fullmatch(rf"[0-9]{{{SHORTEST_NUMBER},{LONGEST_NUMBER}}}", digits):
        return "invalid_number"
    if not passes_luhn(digits):
        return "incorrect_number"
    return None if digits in BY_NUMBER else "test_cards_only"


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _wrong_expiry(expiry: str, year: int, month: int) -> CardError | None:
    parts = re.fullmatch(r"\s*(0?[1-9]|1[0-2])\s*[/\- ]?\s*(?:20)?([0-9]{2})\s*", expiry)
    if not parts:
        return "invalid_expiry"
    until = (2000 + int(parts[2]), int(parts[1]))
    if until < (year, month):
        return "expired"
    return "invalid_expiry" if until[0] > year + LATEST_EXPIRY_YEARS else None
