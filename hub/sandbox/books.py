"""The provider's own books: each movement of the merchant's money and its fee, payouts, and the day's statement.

Amounts as the merchant sees them: what comes in is positive, fees never are; net is gross and fee together.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Literal

from hub.sandbox.tables import Tables

Kind = Literal["payment", "refund", "dispute", "adjustment", "payout"]

FEE_PER_MILLE = 6  # of a charge, rounded half up, never given back
DAY_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of a statement, in the order of its columns."""

    id: str
    kind: Kind
    reference: str
    payment_intent: str
    refund_reference: str
    gross: int
    fee: int
    net: int
    currency: str
    occurred_at: int


COLUMNS = [field.name for field in fields(Movement)]


class Books:
    """The movements of one provider. Every method runs inside the caller's transaction; `now` is unix seconds."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(
        self,
        kind: Kind,
        *,
        gross: int,
        currency: str,
        now: int,
        fee: int = 0,
        reference: str = "",
        payment_intent: str = "",
        refund_reference: str = "",
    ) -> str:
        """One more movement; gives its id."""
        line_id = self._tables.draw_id("txn")
        self._tables.insert(
            "movement",
            id=line_id,
            kind=kind,
            reference=reference,
            payment_intent=payment_intent,
            refund_reference=refund_reference,
            gross=gross,
            fee=fee,
            net=gross + fee,
            currency=currency,
            occurred_at=now,
            payout_id=None,
        )
        return line_id

    def pay_out(self, now: int) -> int:
        """Pay to the merchant, by currency, what moved before today (T+1); gives how many payouts that made."""
        today = now - now % DAY_S
        rows = self._tables.all(
            "SELECT currency, SUM(net) AS total FROM movement WHERE payout_id IS NULL AND occurred_at < :today "
            "GROUP BY currency HAVING SUM(net) > 0 ORDER BY currency LIMIT 1000",
            today=today,
        )
        for row in rows:
            payout_id = self.record("payout", gross=-row["total"], currency=row["currency"], now=now)
            self._tables.run(
                "UPDATE movement SET payout_id = :payout_id WHERE id = :payout_id OR "
                "(payout_id IS NULL AND occurred_at < :today AND currency = :currency)",
                payout_id=payout_id,
                today=today,
                currency=row["currency"],
            )
        return len(rows)

    def day(self, start: int) -> list[Movement]:
        """The movements of the day that begins at `start`, in their order."""
        rows = self._tables.all(
            f"SELECT {', '.join(COLUMNS)} FROM movement WHERE occurred_at >= :start AND occurred_at < :end "
            "ORDER BY occurred_at, rowid",
            start=start,
            end=start + DAY_S,
        )
        return [Movement(**dict(row)) for row in rows]


def fee_of(amount: int) -> int:
    """What the provider takes of a charge: not positive."""
    return -((amount * FEE_PER_MILLE + 500) // 1000)


def day_start(text: str) -> int:
    """When a day (UTC), written YYYY-MM-DD, begins. Raises ValueError."""
    return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())


def as_csv(movements: Sequence[Movement]) -> bytes:
    """The statement's file: a header line, then the movements; RFC 4180."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows([getattr(movement, name) for name in COLUMNS] for movement in movements)
    return file.getvalue().encode()
