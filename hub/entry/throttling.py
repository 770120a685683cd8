"""How much a caller may ask for: a leaky bucket of cost and a smaller one of attempts, in this process's memory.

A caller is a principal, or for strangers the address that they call from. With N processes one caller has N buckets:
the rates hold for each process, and N times them for all together. What was drawn is forgotten with the process.
"""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError

from hub.domain.people import Viewer
from hub.entry.bounds import LimitRefusal
from hub.entry.callers import caller_of, origin
from hub.entry.metrics import Metrics
from hub.entry.settings import (
    DEFAULT_ATTEMPTS_PER_MINUTE,
    DEFAULT_COST_MAXIMUM,
    DEFAULT_COST_RESTORE,
    DEFAULT_SLOW_OPERATION_MS,
)

log = logging.getLogger(__name__)

MAX_CALLERS = 50_000  # buckets that are kept, about 300 bytes each; who was not heard of for longest is forgotten
ASKS_FOR_COST = "cost"  # in a request's `extensions`: true


@dataclass(slots=True)
class Throttle:
    """What one app lets its callers draw, and what it counts of them. A caller of None is the hub itself."""

    cost: "Buckets" = field(default_factory=lambda: Buckets(Rate(DEFAULT_COST_MAXIMUM, DEFAULT_COST_RESTORE)))
    attempts: "Buckets" = field(default_factory=lambda: Buckets(per_minute(DEFAULT_ATTEMPTS_PER_MINUTE)))
    slow_ms: int = DEFAULT_SLOW_OPERATION_MS
    metrics: Metrics = field(default_factory=Metrics)

    def caller(self, viewer: Viewer) -> str | None:
        return caller_of(viewer)

    def turned_away(self, caller: str | None) -> GraphQLError | None:
        """Why nothing of this caller is even parsed now, or None."""
        wait_ms = None if caller is None else self.cost.drained(caller)
        return None if wait_ms is None else _throttled("you have asked for too much", "rate", wait_ms)

    def draw(self, caller: str | None, cost: int, attempts: int) -> None:
        """Take what an operation may cost. Raises GraphQLError (THROTTLED), and takes nothing, if it is not there."""
        if caller is None:
            return
        wait_ms = self.cost.draw(caller, cost)
        if wait_ms is not None:
            raise _throttled(f"this may cost {cost}, which you do not have now", "rate", wait_ms)
        if attempts:
            wait_ms = self.attempts.draw(caller, attempts)
            if wait_ms is not None:
                self.cost.give_back(caller, cost)
                raise _throttled("you have tried to pay or to sign in too often", "attempts", wait_ms)

    def give_back(self, caller: str | None, cost: int) -> None:
        if caller is not None:
            self.cost.give_back(caller, cost)

    def refused(self, caller: str | None, refusal: GraphQLError, cost: int) -> None:
        """Count a refusal by its reason, and let the caller pay for the work that it made."""
        reason = refusal.reason if isinstance(refusal, LimitRefusal) else "document"
        self.metrics.count("hub_graphql_refusals_total", reason=reason)
        if reason not in ("rate", "attempts"):
            self.give_back(caller, -cost)

    def timed_out(self) -> None:
        self.metrics.count("hub_graphql_refusals_total", reason="time")

    def took(self, seconds: float, operation: str | None, query: str) -> None:
        """Count an operation that was slow, and write down which."""
        if seconds * 1000 < self.slow_ms:
            return
        self.metrics.count("hub_graphql_slow_operations_total")
        document = hashlib.sha256(query.encode("utf-8", "replace")).hexdigest()
        log.warning(
            "slow operation",
            extra={"duration_ms": round(seconds * 1000, 1), "operation": operation, "document": document},
        )

    def is_cost_wanted(self, extensions: Mapping[str, Any] | None) -> bool:
        """Whether the request asks for its cost: by its header, or among its extensions."""
        where = origin.get()
        return (where is not None and where.is_cost_wanted) or (extensions or {}).get(ASKS_FOR_COST) is True

    def told(self, caller: str | None, requested: int | None, actual: int | None) -> dict[str, Any]:
        """What stands in `extensions.cost`."""
        rate = self.cost.rate
        available = rate.maximum if caller is None else self.cost.available(caller)
        status = {
            "maximumAvailable": rate.maximum,
            "currentlyAvailable": max(0, available),
            "restoreRate": rate.per_s,
        }
        return {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}


def _throttled(message: str, reason: str, wait_ms: int) -> LimitRefusal:
    return LimitRefusal(f"{message}: try again in {wait_ms} ms", reason, code="THROTTLED", retryAfterMs=wait_ms)


def per_minute(number: int) -> "Rate":
    """So many a minute, and as many at once."""
    return Rate(number, number / 60)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `maximum` at once, and `per_s` a second in the long run."""

    maximum: int
    per_s: float


@dataclass(slots=True)
class _Bucket:
    available: float
    at_s: float


class Buckets:
    """The buckets of one rate, by caller."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def draw(self, caller: str, amount: int) -> int | None:
        """Take so much, or nothing: then milliseconds until it is there. More than the maximum never is."""
        bucket = self._filled(caller)
        if amount <= bucket.available:
            bucket.available -= amount
            return None
        return self._ms(amount - bucket.available)

    def drained(self, caller: str) -> int | None:
        """Milliseconds that a caller has to wait who has nothing left at all."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            return None
        bucket = self._filled(caller)
        return None if bucket.available >= 1 else self._ms(1 - bucket.available)

    def give_back(self, caller: str, amount: int) -> None:
        """Return what was drawn and not needed; a negative amount is drawn whether it is there or not."""
        bucket = self._filled(caller)
        bucket.available = min(self.rate.maximum, bucket.available + amount)

    def available(self, caller: str) -> int:
        """What is there now; below zero where more was needed than was drawn."""
        bucket = self._buckets.get(caller)
        return self.rate.maximum if bucket is None else int(self._filled(caller).available)

    def __len__(self) -> int:
        return len(self._buckets)

    def _filled(self, caller: str) -> _Bucket:
        now_s = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(self.rate.maximum, now_s)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(caller)
        bucket.available = min(self.rate.maximum, bucket.available + (now_s - bucket.at_s) * self.rate.per_s)
        bucket.at_s = now_s
        return bucket

    def _ms(self, lacking: float) -> int:
        return int(lacking / self.rate.per_s * 1000) + 1
