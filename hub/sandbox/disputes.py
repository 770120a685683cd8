"""Disputes of the payment provider: a payer's bank wants money back; the money leaves while it is open.

early_warning → needs_response → under_review → won | lost | accepted | prevented, at whose hand moves it.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from hub.sandbox.books import Books
from hub.sandbox.intent_rows import Intent, IntentRefused
from hub.sandbox.outbox import announce
from hub.sandbox.tables import Tables

DisputeStatus = Literal["early_warning", "needs_response", "under_review", "won", "lost", "accepted", "prevented"]

STATUSES: tuple[DisputeStatus, ...] = get_args(DisputeStatus)
CLOSED: frozenset[DisputeStatus] = frozenset({"won", "lost", "accepted", "prevented"})
TAKES: frozenset[DisputeStatus] = frozenset({"needs_response", "under_review", "lost", "accepted"})
GIVES_BACK: frozenset[DisputeStatus] = frozenset({"won", "prevented"})
FEE_MINOR = 1500  # of each dispute that takes money, won or lost; Stripe's figure
DUE_AFTER_S = 7 * 24 * 60 * 60  # for the merchant's evidence
REASON = "fraudulent"


@dataclass(frozen=True, slots=True)
class Dispute:
    """One disputed charge, as its row. `fee` is 0 until money was taken."""

    id: str
    intent_id: str
    amount: int
    currency: str
    status: DisputeStatus
    status_at: int
    reason: str
    evidence_due_by: int | None
    fee: int
    has_taken: int
    created: int


class Disputes:
    """The disputes of one provider, one a charge. Methods run inside the caller's transaction; `now`: unix seconds."""

    def __init__(self, tables: Tables, books: Books) -> None:
        self._tables = tables
        self._books = books

    def move(self, intent: Intent, status: DisputeStatus, now: int, amount: int | None = None) -> Dispute:
        """Open the charge's dispute, or move it on, and tell the merchant. `amount` (all): of what is opened.

        Raises IntentRefused: nothing is charged, the dispute is closed, or the amount exceeds the charge.
        """
        if intent.status != "succeeded":
            raise IntentRefused("intent_unexpected_state", f"the intent is {intent.status}: there is no charge")
        before = self.of(intent)
        if before and before.status in CLOSED:
            raise IntentRefused("dispute_unexpected_state", f"the dispute is {before.status} for good")
        if (amount or 0) > intent.amount_received:
            raise IntentRefused("amount_too_large", f"{intent.amount_received} were charged")
        moved = replace(before or self._opened(intent, amount, now), status=status, status_at=now)
        if status == "needs_response":
            moved = replace(moved, evidence_due_by=now + DUE_AFTER_S)
        moved = self._settled(moved, intent, now)
        self._keep(moved, is_new=before is None)
        announce(
            self._tables,
            intent_id=intent.id,
            url=intent.notice_url,
            kind="dispute.created" if before is None else "dispute.closed" if status in CLOSED else "dispute.updated",
            content=self.as_json(moved, intent),
            at=now,
        )
        return moved

    def of(self, intent: Intent) -> Dispute | None:
        row = self._tables.one("SELECT * FROM dispute WHERE intent_id = :id", id=intent.id)
        return None if row is None else Dispute(**dict(row))

    def _opened(self, intent: Intent, amount: int | None, now: int) -> Dispute:
        return Dispute(
            id=self._tables.draw_id("dp"),
            intent_id=intent.id,
            amount=amount or intent.amount_received,
            currency=intent.currency,
            status="early_warning",
            status_at=now,
            reason=REASON,
            evidence_due_by=None,
            fee=0,
            has_taken=0,
            created=now,
        )

    def _settled(self, dispute: Dispute, intent: Intent, now: int) -> Dispute:
        """The money follows: taken once, with the fee; given back, without it."""
        told: dict[str, Any] = {
            "reference": intent.reference,
            "payment_intent": intent.id,
            "currency": intent.currency,
            "now": now,
        }
        if dispute.status in TAKES and not dispute.has_taken:
            self._books.record("dispute", gross=-dispute.amount, fee=-FEE_MINOR, **told)
            return replace(dispute, has_taken=1, fee=FEE_MINOR)
        if dispute.status in GIVES_BACK and dispute.has_taken:
            self._books.record("dispute", gross=dispute.amount, **told)
            return replace(dispute, has_taken=0)
        return dispute

    def _keep(self, dispute: Dispute, *, is_new: bool) -> None:
        values = asdict(dispute)
        if is_new:
            self._tables.insert("dispute", **values)
        else:
            assignments = ", ".join(f"{name} = :{name}" for name in values)
            self._tables.run(f"UPDATE dispute SET {assignments} WHERE id = :id", **values)

    def as_json(self, dispute: Dispute, intent: Intent) -> dict[str, Any]:
        """The dispute as the controls and the notices show it."""
        return {
            "id": dispute.id,
            "object": "dispute",
            "livemode": False,
            "payment_reference": intent.reference,
            "amount": dispute.amount,
            "currency": dispute.currency,
            "status": dispute.status,
            "status_at": dispute.status_at,
            "reason": dispute.reason,
            "evidence_due_by": dispute.evidence_due_by,
            "fee": dispute.fee,
            "created": dispute.created,
        }
