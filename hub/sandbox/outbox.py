"""What the provider will tell the merchant: a notice is written in the transaction of the change that it tells of."""

import json
from typing import Any

from hub.sandbox.tables import Tables


def announce(tables: Tables, *, intent_id: str, url: str | None, kind: str, content: dict[str, Any], at: int) -> None:
    """Put a notice of `kind` about a payment, or its refund or dispute, into the courier's bag; no `url`, no notice."""
    if url is None:
        return
    event_id = tables.draw_id("evt")
    body = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "created": at,
        "livemode": False,
        "data": {"object": content},
    }
    tables.insert(
        "notice",
        id=event_id,
        intent_id=intent_id,
        url=url,
        body=json.dumps(body, separators=(",", ":"), ensure_ascii=False),
        state="waiting",
        tries=0,
        due_at=float(at),
    )
