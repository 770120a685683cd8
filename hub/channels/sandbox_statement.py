"""The sandbox provider's statement: a day's CSV as lines of ours."""

import csv
import io
from collections.abc import Iterator

from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused

CODE = "sandbox"


def statement_lines(body: bytes) -> Iterator[StatementLine]:
    """The lines of a day's CSV. Raises StatementRefused when it is none."""
    try:
        for row in csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True):
            yield StatementLine(
                channel=CODE,
                line_id=row["id"],
                kind=LineKind(row["kind"].upper()),
                our_ref=row["reference"] or None,
                channel_ref=row["payment_intent"] or None,
                refund_ref=row["refund_reference"] or None,
                gross_minor=int(row["gross"]),
                fee_minor=int(row["fee"]),
                net_minor=int(row["net"]),
                currency=row["currency"],
                occurred_at_us=int(row["occurred_at"]) * 1_000_000,
                raw=",".join(row.values()),
            )
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise StatementRefused("the statement is not one of this provider's") from error
