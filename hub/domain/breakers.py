"""Breakers: a channel that does not answer one class of calls is left alone for a while, then asked by one call.

One for each channel and class of call, in each process, shared with nobody. Only NOT_SENT and UNKNOWN count against a
channel: a decline is an answer. Queries and notices never pass here, as they are how the truth is found.

    CLOSED --5 in a row--> OPEN --its time is over--> HALF_OPEN (one probe) --an answer--> CLOSED, else OPEN, longer
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hub.domain.payments import Outcome

FAILURES = frozenset({Outcome.NOT_SENT, Outcome.UNKNOWN})
OPEN_AFTER = 5  # failures in a row: two may be chance, and with ten the sixth buyer waits for nothing
OPEN_FIRST_US = 5 * 1_000_000
OPEN_MOST_US = 5 * 60 * 1_000_000
# A probe that has not come back by then is lost with whoever made it: longer than any call's whole budget (35 s).
PROBE_WITHIN_US = 60 * 1_000_000


class BreakerState(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call is let through: `wait_us` 0, and then `record` is told what came of it, with this in hand."""

    wait_us: int
    is_probe: bool = False


@dataclass(slots=True)
class Breaker:
    """One channel's one class of calls, as this process has seen it."""

    failures: int = 0  # in a row
    open_for_us: int = 0  # 0: closed
    opened_at_us: int = 0
    probe_at_us: int | None = None  # when the one probe was let through

    def state(self, now_us: int) -> BreakerState:
        if not self.open_for_us:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.wait_us(now_us) else BreakerState.HALF_OPEN

    def wait_us(self, now_us: int) -> int:
        """How long no call is let through; 0: one may be. A clock that went back opens it no longer than it was."""
        if not self.open_for_us:
            return 0
        left = min(self.opened_at_us + self.open_for_us - now_us, self.open_for_us)
        if left > 0:
            return left
        is_probing = self.probe_at_us is not None and abs(now_us - self.probe_at_us) < PROBE_WITHIN_US
        return OPEN_FIRST_US if is_probing else 0

    def admit(self, now_us: int) -> Admission:
        """One call wants to be made."""
        wait_us = self.wait_us(now_us)
        is_probe = not wait_us and self.open_for_us > 0
        if is_probe:
            self.probe_at_us = now_us
        return Admission(wait_us, is_probe)

    def record(self, admission: Admission, outcome: Outcome, now_us: int) -> None:
        """What came of a call that was let through. A failure from before it opened changes nothing."""
        if admission.is_probe:
            self.probe_at_us = None
        if outcome not in FAILURES:
            self.failures = self.open_for_us = 0
            return
        self.failures += 1
        if admission.is_probe or (self.failures >= OPEN_AFTER and not self.open_for_us):
            self.open_for_us = min(self.open_for_us * 2 or OPEN_FIRST_US, OPEN_MOST_US)
            self.opened_at_us = now_us


@dataclass(slots=True)
class Breakers:
    """All of one process, by channel and class of call (create, capture, void, refund, answer_dispute)."""

    held: dict[tuple[str, str], Breaker] = field(default_factory=dict)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)  # calls that were not made, since the start

    def of(self, channel: str, operation: str) -> Breaker:
        return self.held.setdefault((channel, operation), Breaker())

    def admit(self, channel: str, operation: str, now_us: int) -> Admission:
        """As `Breaker.admit`; a call that is not let through is counted."""
        admission = self.of(channel, operation).admit(now_us)
        if admission.wait_us:
            self.refused[channel, operation] = self.refused.get((channel, operation), 0) + 1
        return admission

    def is_open(self, channel: str, operation: str, now_us: int) -> bool:
        """Whether a call would not be let through now."""
        held = self.held.get((channel, operation))
        return held is not None and held.wait_us(now_us) > 0

    def states(self, now_us: int) -> Mapping[tuple[str, str], BreakerState]:
        return {key: breaker.state(now_us) for key, breaker in sorted(self.held.items())}
