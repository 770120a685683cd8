"""One call of a channel's adapter: whatever goes wrong in it is told as an outcome."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from hub.domain.payments import Outcome, Result, Stage
from hub.ports import Hub

log = logging.getLogger(__name__)

# A call that takes longer is given up as UNKNOWN; adapters' own budgets (connect 3 s, read 10 s) end before.
CALL_WITHIN_S = 35


async def asked(hub: Hub, code: str, operation: str, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """One write to a channel through its breaker: while that is open, nothing is sent, and the answer says so."""
    breaker = hub.breakers.of(code, operation)
    admission = hub.breakers.admit(code, operation, hub.clock.now_us())
    if admission.wait_us:
        nothing = hashlib.sha256(b"").digest()
        after_ms = admission.wait_us // 1000 + 1
        return Result(
            Outcome.NOT_SENT, Stage.NONE, nothing, hub.clock.now_us(), code="breaker_open", retry_after_ms=after_ms
        )
    outcome = Outcome.UNKNOWN  # what is known of a call that was cut off
    try:
        result = await ask(call(), hub.clock.now_us())
        outcome = result.outcome
    finally:
        breaker.record(admission, outcome, hub.clock.now_us())
    return result


async def ask(call: Coroutine[Any, Any, Result], now_us: int) -> Result:
    """One call of an adapter. Whatever goes wrong in it, what we know afterwards is UNKNOWN, never failure."""
    try:
        async with asyncio.timeout(CALL_WITHIN_S):
            return await call
    except Exception:  # whatever it is, the call may have reached the channel
        log.exception("a channel's adapter raised: its outcome is unknown")
        return Result(Outcome.UNKNOWN, Stage.NONE, hashlib.sha256(b"").digest(), now_us, code="adapter_fault")
