"""What the payment provider knows about each payment, and the few ways in which that may change.

An intent is born `requires_action` and ends once: `succeeded`, `requires_payment_method` (declined; this provider
lets nobody try again on a declined intent, so a decline proves that no money can move) or `canceled` (asked for, or
expired). With `capture_method: manual` the paid one is `requires_capture` first: held until it is captured, whole or
in part, or canceled. Every ending, and the hold, puts its notice beside it in the same transaction.
"""

import json
from dataclasses import asdict, replace
from typing import Any

from hub.sandbox.books import Books, fee_of
from hub.sandbox.cards import BY_LAST4, MESSAGES, Card
from hub.sandbox.disputes import Disputes
from hub.sandbox.intent_rows import MAXIMUM_MINOR, MINIMUM_MINOR, CaptureMethod, Intent, IntentRefused, Status
from hub.sandbox.outbox import announce
from hub.sandbox.tables import Tables

HELD_S = 7 * 24 * 60 * 60  # an authorisation that nobody captures is given back, as the card networks have it
EXPIRED_AT_ONCE = 200  # rows a sweep, so that one sweep never holds the loop

NOTICE_OF: dict[Status, str] = {
    "succeeded": "payment.succeeded",
    "requires_capture": "payment.authorized",
    "requires_payment_method": "payment.declined",
    "canceled": "payment.canceled",
}


class Intents:
    """The payments of one provider. Every method runs inside the caller's transaction; `now` is unix seconds."""

    def __init__(self, tables: Tables, books: Books, disputes: Disputes, base_url: str) -> None:
        self._tables = tables
        self._books = books
        self._disputes = disputes
        self._base_url = base_url

    def create(
        self,
        *,
        reference: str,
        amount: int,
        currency: str,
        description: str,
        metadata: dict[str, str],
        return_url: str | None,
        notice_url: str | None,
        lifetime_s: int,
        capture_method: CaptureMethod = "automatic",
        now: int,
    ) -> Intent:
        """A new intent that waits for its payer. Raises IntentRefused: currency, amount, reference taken."""
        if currency not in MINIMUM_MINOR:
            raise IntentRefused("currency_unknown", f"this provider does not charge in {currency}")
        if amount < MINIMUM_MINOR[currency]:
            raise IntentRefused("amount_too_small", f"the smallest amount in {currency} is {MINIMUM_MINOR[currency]}")
        if amount > MAXIMUM_MINOR:
            raise IntentRefused("amount_too_large", f"the largest amount is {MAXIMUM_MINOR}")
        if self.find(reference):
            raise IntentRefused("reference_in_use", "another payment carries this reference")
        intent = Intent(
            id=self._tables.draw_id("pi"),
            page_token=self._tables.draw_id("page"),
            reference=reference,
            amount=amount,
            currency=currency,
            status="requires_action",
            step="choose",
            amount_received=0,
            description=description,
            metadata=json.dumps(metadata),
            return_url=return_url,
            notice_url=notice_url,
            payment_method=None,
            error_code=None,
            decline_code=None,
            latest_charge=None,
            cancellation_reason=None,
            created=now,
            status_at=now,
            expires_at=now + lifetime_s,
            capture_method=capture_method,
            capture_before=None,
        )
        self._tables.insert("intent", **asdict(intent))
        return intent

    def get(self, intent_id: str) -> Intent | None:
        return self._first("SELECT * FROM intent WHERE id = :value", intent_id)

    def find(self, reference: str) -> Intent | None:
        """By the reference that the merchant gave at create."""
        return self._first("SELECT * FROM intent WHERE reference = :value", reference)

    def shown_at(self, page_token: str) -> Intent | None:
        """By the secret in the pay page's address."""
        return self._first("SELECT * FROM intent WHERE page_token = :value", page_token)

    def _first(self, statement: str, value: str) -> Intent | None:
        row = self._tables.one(statement, value=value)
        return None if row is None else Intent(**dict(row))

    def pay(self, intent: Intent, card: Card, now: int) -> Intent:
        """What `card` does to an intent that is still open. Raises IntentRefused when it is not."""
        intent = self._still_open(intent, now)
        method = f"card_{card.brand}_{card.last4}"
        if card.effect == "authenticate":
            return self._keep(replace(intent, payment_method=method, step="authenticate"))
        if card.effect == "decline":
            assert card.error_code is not None
            return self.decline(replace(intent, payment_method=method), card.error_code, card.decline_code, now)
        return self._paid(replace(intent, payment_method=method), now)

    def authenticate(self, intent: Intent, has_passed: bool, now: int) -> Intent:
        """The end of a 3D Secure step. Raises IntentRefused when none is under way."""
        intent = self._still_open(intent, now)
        if intent.step != "authenticate":
            raise IntentRefused("intent_unexpected_state", "no authentication is under way")
        if not has_passed:
            return self.decline(intent, "authentication_failed", None, now)
        return self._paid(intent, now)

    def pay_by_wallet(self, intent: Intent, now: int) -> Intent:
        """The payer scanned the QR code and agreed. Raises IntentRefused when the intent is not open."""
        return self._paid(replace(self._still_open(intent, now), payment_method="wallet_qr"), now)

    def capture(self, intent: Intent, amount: int, now: int) -> Intent:
        """Take what is held, or part of it: once; the rest is released. Raises IntentRefused."""
        if intent.status == "succeeded" and intent.amount_received == amount:
            return intent
        if intent.status != "requires_capture":
            raise IntentRefused("intent_unexpected_state", f"the intent is {intent.status}: nothing is held")
        if amount > intent.amount:
            raise IntentRefused("amount_too_large", f"{intent.amount} are held")
        return self._charge(intent, amount, now)

    def decline(self, intent: Intent, error_code: str, decline_code: str | None, now: int) -> Intent:
        """No money, and none will come. Raises IntentRefused when the intent is not open."""
        intent = self._still_open(intent, now)
        return self._end(
            replace(
                intent,
                status="requires_payment_method",
                error_code=error_code,
                decline_code=decline_code,
                status_at=now,
            )
        )

    def cancel(self, intent: Intent, now: int) -> Intent:
        """Closed for good; an intent that is closed already stays as it is. Raises IntentRefused when it was paid."""
        if intent.status == "canceled":
            return intent
        if intent.status in ("requires_payment_method", "requires_capture"):  # declined, or held: both end for good
            return self._end(replace(intent, status="canceled", cancellation_reason="requested", status_at=now))
        return self._end(
            replace(self._still_open(intent, now), status="canceled", cancellation_reason="requested", status_at=now)
        )

    def charge_late(self, intent: Intent, amount: int, now: int) -> Intent:
        """Take money against every rule, as real channels now and then do. For the controls only."""
        if intent.status == "succeeded":
            raise IntentRefused("intent_unexpected_state", "the intent is paid already")
        return self._charge(intent, amount, now)

    def expire_due(self, now: int) -> int:
        """Close what nobody paid in time; gives how many."""
        rows = self._tables.all(
            "SELECT * FROM intent WHERE status = 'requires_action' AND expires_at <= :now UNION ALL "
            "SELECT * FROM intent WHERE status = 'requires_capture' AND capture_before <= :now LIMIT :limit",
            now=now,
            limit=EXPIRED_AT_ONCE,
        )
        for row in rows:
            self._expire(Intent(**dict(row)))
        return len(rows)

    def as_of(self, intent: Intent, now: int) -> Intent:
        """The intent, closed first when its time is over: a reader never sees a dead page as payable."""
        ends_at = {"requires_action": intent.expires_at, "requires_capture": intent.capture_before}.get(intent.status)
        return intent if ends_at is None or now < ends_at else self._expire(intent)

    def _still_open(self, intent: Intent, now: int) -> Intent:
        if intent.status != "requires_action":
            raise IntentRefused("intent_unexpected_state", f"the intent is {intent.status} and cannot change any more")
        if now >= intent.expires_at:  # the sweep, or the next reader, closes it: a refusal writes nothing
            raise IntentRefused("intent_unexpected_state", "the intent has expired")
        return intent

    def _expire(self, intent: Intent) -> Intent:
        at = intent.capture_before or intent.expires_at
        return self._end(replace(intent, status="canceled", cancellation_reason="expired", status_at=at))

    def _paid(self, intent: Intent, now: int) -> Intent:
        if intent.capture_method == "automatic":
            return self._charge(intent, intent.amount, now)
        return self._end(replace(intent, status="requires_capture", status_at=now, capture_before=now + HELD_S))

    def _charge(self, intent: Intent, amount: int, now: int) -> Intent:
        charged = self._end(
            replace(
                intent,
                status="succeeded",
                amount_received=amount,
                latest_charge=self._tables.draw_id("ch"),
                error_code=None,
                decline_code=None,
                cancellation_reason=None,
                status_at=now,
            )
        )
        told: dict[str, Any] = {
            "reference": intent.reference,
            "payment_intent": intent.id,
            "currency": intent.currency,
            "now": now,
        }
        self._books.record("payment", gross=amount, fee=fee_of(amount), **told)
        card = BY_LAST4.get((intent.payment_method or "")[-4:])
        if card and card.is_disputed:
            self._disputes.move(charged, "needs_response", now)
        return charged

    def _end(self, intent: Intent) -> Intent:
        kept = self._keep(replace(intent, step="done"))
        self._announce(kept)
        return kept

    def _keep(self, intent: Intent) -> Intent:
        fields = asdict(intent)
        changed = self._tables.run(
            f"UPDATE intent SET {', '.join(f'{name} = :{name}' for name in fields)} WHERE id = :id", **fields
        )
        assert changed == 1, "an intent is never deleted"
        return intent

    def _announce(self, intent: Intent) -> None:
        announce(
            self._tables,
            intent_id=intent.id,
            url=intent.notice_url,
            kind="payment.expired" if intent.cancellation_reason == "expired" else NOTICE_OF[intent.status],
            content=self.as_json(intent),
            at=intent.status_at,
        )

    def page_url(self, intent: Intent) -> str:
        return f"{self._base_url}/pay/{intent.page_token}"

    def as_json(self, intent: Intent) -> dict[str, Any]:
        """The intent as the API and the notices show it."""
        error = intent.error_code and {
            "code": intent.error_code,
            "decline_code": intent.decline_code,
            "message": MESSAGES[intent.decline_code or intent.error_code],
        }
        redirect = intent.status == "requires_action" and {
            "type": "redirect_to_url",
            "redirect_to_url": {"url": self.page_url(intent), "return_url": intent.return_url},
        }
        return {
            "id": intent.id,
            "object": "payment_intent",
            "livemode": False,
            "reference": intent.reference,
            "amount": intent.amount,
            "amount_received": intent.amount_received,
            "amount_capturable": intent.amount if intent.status == "requires_capture" else 0,
            "capture_method": intent.capture_method,
            "currency": intent.currency,
            "status": intent.status,
            "status_at": intent.status_at,
            "description": intent.description,
            "metadata": json.loads(intent.metadata),
            "payment_method": intent.payment_method,
            "last_payment_error": error or None,
            "latest_charge": intent.latest_charge,
            "next_action": redirect or None,
            "cancellation_reason": intent.cancellation_reason,
            "created": intent.created,
            "expires_at": intent.expires_at,
        }
