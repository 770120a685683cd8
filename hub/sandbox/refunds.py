"""Refunds of the payment provider: given back at once, or later, or not at all, as the card has it.

pending → succeeded | failed; what is pending counts as given back, so that two refunds never exceed the charge.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hub.sandbox.books import Books
from hub.sandbox.cards import BY_LAST4
from hub.sandbox.disputes import Disputes
from hub.sandbox.intent_rows import Intent, IntentRefused
from hub.sandbox.outbox import announce
from hub.sandbox.tables import Tables

RefundStatus = Literal["pending", "succeeded", "failed"]

ENDS: tuple[RefundStatus, ...] = ("succeeded", "failed")
SETTLES_AFTER_S = 3  # long enough to be seen pending, short enough to wait for
SETTLED_AT_ONCE = 200  # rows a sweep, so that one sweep never holds the loop
FAILED_LATER = "expired_or_canceled_card"  # Stripe's word for why a bank sent it back


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund, as its row. `settles_as` is what a pending one becomes at `settles_at`, unix seconds."""

    id: str
    reference: str
    intent_id: str
    amount: int
    currency: str
    status: RefundStatus
    status_at: int
    failure_reason: str | None
    settles_at: int | None
    settles_as: RefundStatus | None
    created: int


class Refunds:
    """The refunds of one provider. Every method runs inside the caller's transaction; `now` is unix seconds."""

    def __init__(self, tables: Tables, books: Books, disputes: Disputes) -> None:
        self._tables = tables
        self._books = books
        self._disputes = disputes

    def create(self, intent: Intent, reference: str, amount: int, now: int) -> Refund:
        """Give back part of a charge.

        Raises IntentRefused: nothing charged, more than is left, disputed, or reference taken.
        """
        if self.find(reference):
            raise IntentRefused("reference_in_use", "another refund carries this reference")
        if intent.status != "succeeded":
            raise IntentRefused("payment_not_charged", f"the payment is {intent.status}: nothing can be given back")
        dispute = self._disputes.of(intent)
        if dispute and dispute.has_taken:
            raise IntentRefused("charge_disputed", "the payer's bank has this money: answer the dispute")
        left = intent.amount_received - self.given_back(intent.id)
        if amount > left:
            raise IntentRefused("amount_too_large", f"{left} of the charge are left to give back")
        settles_as = _settles_as(intent)
        refund = Refund(
            id=self._tables.draw_id("re"),
            reference=reference,
            intent_id=intent.id,
            amount=amount,
            currency=intent.currency,
            status="succeeded" if settles_as is None else "pending",
            status_at=now,
            failure_reason=None,
            settles_at=None if settles_as is None else now + SETTLES_AFTER_S,
            settles_as=settles_as,
            created=now,
        )
        self._tables.insert("refund", **asdict(refund))
        self._book(refund, None, now)
        self._announce(refund)
        return refund

    def find(self, reference: str) -> Refund | None:
        """By the reference that the merchant gave."""
        row = self._tables.one("SELECT * FROM refund WHERE reference = :reference", reference=reference)
        return None if row is None else Refund(**dict(row))

    def of(self, intent: Intent) -> list[Refund]:
        """All of a payment's, oldest first."""
        rows = self._tables.all("SELECT * FROM refund WHERE intent_id = :id ORDER BY rowid LIMIT 1000", id=intent.id)
        return [Refund(**dict(row)) for row in rows]

    def given_back(self, intent_id: str) -> int:
        """Minor units of a charge that are given back, or on their way."""
        row = self._tables.one(
            "SELECT COALESCE(SUM(amount), 0) AS total FROM refund WHERE intent_id = :id AND status <> 'failed'",
            id=intent_id,
        )
        assert row is not None
        return int(row["total"])

    def settle_due(self, now: int) -> int:
        """End what was pending for long enough; gives how many."""
        rows = self._tables.all(
            "SELECT * FROM refund WHERE status = 'pending' AND settles_at <= :now ORDER BY settles_at, id LIMIT :limit",
            now=now,
            limit=SETTLED_AT_ONCE,
        )
        for refund in (Refund(**dict(row)) for row in rows):
            assert refund.settles_as is not None
            self.move(refund, refund.settles_as, now)
        return len(rows)

    def move(self, refund: Refund, status: RefundStatus, now: int) -> Refund:
        """Its next status, told to the merchant: a bank may send back even what had succeeded."""
        if refund.status == "failed" and status != "failed":
            raise IntentRefused("refund_unexpected_state", "the refund has failed: make another one")
        moved = replace(
            refund, status=status, status_at=now, failure_reason=FAILED_LATER if status == "failed" else None
        )
        self._tables.run(
            "UPDATE refund SET status = :status, status_at = :status_at, failure_reason = :failure_reason "
            "WHERE id = :id",
            id=moved.id,
            status=moved.status,
            status_at=moved.status_at,
            failure_reason=moved.failure_reason,
        )
        self._book(moved, refund.status, now)
        self._announce(moved)
        return moved

    def _book(self, refund: Refund, before: RefundStatus | None, now: int) -> None:
        """Money leaves when a refund succeeds, and comes back when it fails after that."""
        told: dict[str, Any] = {
            "reference": self._payment(refund)["reference"],
            "payment_intent": refund.intent_id,
            "refund_reference": refund.reference,
            "currency": refund.currency,
            "now": now,
        }
        if refund.status == "succeeded" and before != "succeeded":
            self._books.record("refund", gross=-refund.amount, **told)
        elif refund.status == "failed" and before == "succeeded":
            self._books.record("adjustment", gross=refund.amount, **told)

    def as_json(self, refund: Refund) -> dict[str, Any]:
        """The refund as the API and the notices show it."""
        return {
            "id": refund.id,
            "object": "refund",
            "livemode": False,
            "reference": refund.reference,
            "payment_reference": self._payment(refund)["reference"],
            "amount": refund.amount,
            "currency": refund.currency,
            "status": refund.status,
            "status_at": refund.status_at,
            "failure_reason": refund.failure_reason,
            "created": refund.created,
        }

    def _announce(self, refund: Refund) -> None:
        announce(
            self._tables,
            intent_id=refund.intent_id,
            url=self._payment(refund)["notice_url"],
            kind="refund.updated",
            content=self.as_json(refund),
            at=refund.status_at,
        )

    def _payment(self, refund: Refund) -> dict[str, Any]:
        row = self._tables.one("SELECT reference, notice_url FROM intent WHERE id = :id", id=refund.intent_id)
        assert row is not None, "an intent is never deleted"
        return dict(row)


def _settles_as(intent: Intent) -> RefundStatus | None:
    """What a refund to this card becomes later; None: it succeeds at once."""
    card = BY_LAST4.get((intent.payment_method or "")[-4:])
    return card.refund_becomes if card else None
