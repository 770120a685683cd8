"""What the hub counts, as Prometheus reads it: counters of the doors, and gauges asked of the store at each scrape."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from hub.ports import Hub
from hub.store.events import consumer
from hub.store.tasks import dead_task, task

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Every name that is ever counted; counting another is a fault, so that no label or name comes from a client.
COUNTERS = {
    "hub_http_requests_total": "Answers by route and status.",
    "hub_http_seconds_total": "Time until the end of the answer, by route; divided by the requests it is their mean.",
    "hub_graphql_operations_total": "GraphQL operations by transport and outcome (ok, refused, errors).",
    "hub_unauthenticated_total": "Credentials that were not taken.",
    "hub_notices_total": "Notices by channel and outcome (taken, refused, again).",
    "hub_slow_consumers_total": "Streams that ended because their reader was too slow.",
}

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Metrics:
    """The counters of one app, and the streams that are open now."""

    streams: int = 0  # operations under way over WebSocket, SSE and multipart
    sockets: int = 0
    _counts: defaultdict[tuple[str, Labels], float] = field(default_factory=lambda: defaultdict(float))

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter. KeyError for one that is not in COUNTERS."""
        assert name in COUNTERS, name
        self._counts[name, tuple(sorted(labels.items()))] += by

    def value(self, name: str, **labels: str) -> float:
        """What a counter stands at."""
        return self._counts.get((name, tuple(sorted(labels.items()))), 0)

    def text(self, gauges: "Sequence[Gauge]") -> str:
        """Everything in Prometheus' text format."""
        lines: list[str] = []
        for name, says in COUNTERS.items():
            lines += [f"# HELP {name} {says}", f"# TYPE {name} counter"]
            of_name = sorted((labels, value) for (counter, labels), value in self._counts.items() if counter == name)
            lines += [_line(name, labels, value) for labels, value in of_name]
        own = [
            Gauge("hub_streams", "GraphQL operations under way that are streamed.", [((), self.streams)]),
            Gauge("hub_sockets", "WebSocket connections that are open.", [((), self.sockets)]),
        ]
        for gauge in (*own, *gauges):
            lines += [f"# HELP {gauge.name} {gauge.says}", f"# TYPE {gauge.name} gauge"]
            lines += [_line(gauge.name, labels, value) for labels, value in gauge.values]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One measured thing, by label."""

    name: str
    says: str
    values: Sequence[tuple[Labels, float]]


async def measured(hub: Hub) -> list[Gauge]:
    """The state of store, log and tasks now: four small statements. Raises StoreFault."""
    now_us = hub.clock.now_us()
    async with hub.store.reading() as rx:
        head = await rx.events.head()
        unstamped = await rx.events.unstamped()
        consumers = await rx.many(_CONSUMERS, lambda name, position: (name, position))
        tasks = await rx.many(_TASKS, lambda kind, count, oldest: (kind, count, oldest))
        dead = await rx.many(_DEAD, lambda kind, count: (kind, count))
    ages = [((("kind", kind),), max(0, now_us - oldest) / 1e6) for kind, _, oldest in tasks if oldest is not None]
    return [
        *_of_store(hub),
        Gauge("hub_log_head", "Position of the newest event.", [((), head.position)]),
        Gauge("hub_log_unstamped", "Committed events that have no position yet.", [((), unstamped)]),
        Gauge(
            "hub_consumer_lag",
            "Events that one of the hub's own consumers has not seen yet.",
            [((("consumer", name),), head.position - position) for name, position in consumers],
        ),
        Gauge("hub_tasks", "Tasks that wait or are worked on.", [((("kind", k),), n) for k, n, _ in tasks]),
        Gauge("hub_task_oldest_seconds", "How long the longest due task has waited.", ages),
        Gauge("hub_tasks_dead", "Tasks out of tries: a person must look.", [((("kind", k),), n) for k, n in dead]),
    ]


_CONSUMERS = select(consumer.c.name, func.min(consumer.c.position)).group_by(consumer.c.name)
_TASKS = select(task.c.kind, func.count(), func.min(task.c.run_at_us)).group_by(task.c.kind)
_DEAD = select(dead_task.c.kind, func.count()).group_by(dead_task.c.kind)


def _of_store(hub: Hub) -> list[Gauge]:
    """What the engine counts of itself, if it does."""
    found = {name: getattr(hub.store, name, None) for name in ("units", "groups", "queued")}
    says = {
        "units": "Units run since the start.",
        "groups": "Commits since the start: units divided by them is the size of a group.",
        "queued": "Units that wait for the writer.",
    }
    return [Gauge(f"hub_store_{name}", says[name], [((), value)]) for name, value in found.items() if value is not None]


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{told}}} {value:g}" if told else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
