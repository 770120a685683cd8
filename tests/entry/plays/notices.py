"""What a channel says later."""

import time
from dataclasses import replace
from typing import Any

import httpx
import orjson

from hub.sandbox.signatures import HEADER, signature
from tests.entry.plays.scene import Scene
from tests.entry.plays.stage import Stage


async def unheard_of(stage: Stage, name: str) -> None:
    """A well signed notice about a payment that the hub does not know: kept, acknowledged, tried again."""
    intent = {
        "id": f"pi_{name}", "object": "payment_intent", "livemode": False, "reference": f"TB-{name}-1", "amount": 4900,
        "amount_received": 4900, "currency": "USD", "status": "succeeded", "status_at": 1_790_000_000,
        "last_payment_error": None, "latest_charge": f"ch_{name}", "next_action": None, "cancellation_reason": None,
        "created": 1_790_000_000, "expires_at": 1_790_001_800,
    }  # fmt: skip
    event = {"id": f"evt_{name}", "object": "event", "type": "payment.succeeded", "created": 1_790_000_000,
             "livemode": False, "data": {"object": intent}}  # fmt: skip
    body = orjson.dumps(event)
    headers = {HEADER: signature(body, stage.sandbox.keys["notice_secret"], int(time.time() + stage.ahead_s))}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
        answer = await client.post(f"{stage.hub.origin}/channels/sandbox/notices", content=body, headers=headers)
    assert answer.status_code == 204
    if not stage.is_last:
        return
    kept = await stage.house.rows(f"SELECT state FROM notice_inbox WHERE event_id = 'evt_{name}'")
    assert kept == [("WAITING",)]


def fail_to_apply() -> None:
    from hub.flows import notices

    async def take(*_: Any) -> bool:
        raise AssertionError("a fault of the hub's own")

    notices.__dict__["take"] = take


async def _unplaced(stage: Stage, name: str) -> None:
    await unheard_of(replace(stage, is_last=True), name)
    [(notice_id,)] = await stage.house.rows(f"SELECT id FROM notice_inbox WHERE event_id = 'evt_{name}'")
    stage.house.data.with_name(f"notice-{name}").write_text(notice_id)


def _replay(stage: Stage, name: str) -> list[str]:
    return ["channel", "replay", stage.house.data.with_name(f"notice-{name}").read_text()]


NOTICES: dict[str, Scene] = {
    "take": Scene(),
    "take_waiting": Scene(unheard_of),
    "take_again": Scene(before=_unplaced, command=_replay),
    "keep_waiting": Scene(spoil=fail_to_apply),
}  # fmt: skip
