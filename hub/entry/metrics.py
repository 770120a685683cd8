"""What the hub counts, as Prometheus reads it: counters of the doors, and gauges asked of the store at each scrape."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from hub.domain.breakers import BreakerState
from hub.domain.chain_log import Cursor
from hub.domain.records import BatchState, TransactionState
from hub.ports import Hub
from hub.store.anchors import anchor_batch
from hub.store.chain_transactions import chain_transaction
from hub.store.events import event
from hub.store.tasks import dead_task, task

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Every name that is ever counted; counting another is a fault, so that no label or name comes from a client.
COUNTERS = {
    "hub_http_requests_total": "Answers by route and status.",
    "hub_http_seconds_total": "Time until the end of the answer, by route; divided by the requests it is their mean.",
    "hub_graphql_operations_total": (
        "GraphQL operations by transport and outcome (ok, refused, errors; of streams also slow, gone)."
    ),
    "hub_graphql_refusals_total": (
        "GraphQL operations refused before or while they ran, by reason (size, tokens, depth, width, fragments, "
        "introspection, page, variables, cost, rate, attempts, time, document)."
    ),
    "hub_graphql_slow_operations_total": "GraphQL operations that took longer than HUB_SLOW_OPERATION_MS.",
    "hub_unauthenticated_total": "Credentials that were not taken.",
    "hub_token_exchanges_total": "Requests at the token endpoint by outcome (ok, or the error of RFC 6749).",
    "hub_notices_total": "Notices by channel and outcome (taken, refused, probe, again).",
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
    """The state of store, log, tasks and wake-ups now: ten small statements. Raises StoreFault."""
    now_us = hub.clock.now_us()
    async with hub.store.reading() as rx:
        head = await rx.events.head()
        unstamped = await rx.one(_UNSTAMPED, lambda count, oldest: (count, oldest)) or (0, None)
        readers = await rx.archive.readers()
        tasks = await rx.many(_TASKS, lambda kind, count, oldest: (kind, count, oldest))
        waiting = await rx.webhooks.waiting()
        dead = await rx.many(_DEAD, lambda kind, count: (kind, count))
        chains = await rx.chain_log.cursors()
        unsettled = await rx.one(_UNSETTLED, lambda count, oldest: (count, oldest)) or (0, None)
        unsent_since_us = await rx.one(_UNSENT, lambda oldest: oldest)

    def age_s(since_us: int | None) -> float:
        return 0 if since_us is None else max(0, now_us - since_us) / 1e6

    ages = [((("kind", kind),), age_s(oldest)) for kind, _, oldest in tasks if oldest is not None]
    names = [(("consumer", reader.name), ("stream", reader.stream)) for reader in readers]
    return [
        *_of_store(hub),
        *_of_wakeups(hub),
        *_of_breakers(hub),
        *_of_webhooks(hub, waiting, age_s),
        Gauge("hub_log_head", "Position of the newest event.", [((), head.position)]),
        Gauge("hub_log_oldest", "Position of the oldest event that is kept in the log.", [((), head.oldest)]),
        Gauge("hub_log_unstamped", "Committed events that have no position yet.", [((), unstamped[0])]),
        Gauge("hub_log_unstamped_seconds", "How old the oldest of them is.", [((), age_s(unstamped[1]))]),
        Gauge(
            "hub_consumer_lag",
            "Positions from the first event that a consumer has not read to the newest.",
            [(name, reader.behind(head.position)) for name, reader in zip(names, readers, strict=True)],
        ),
        Gauge(
            "hub_consumer_oldest_seconds",
            "How old the first event is that a consumer has not read.",
            [(name, age_s(reader.next_at_us)) for name, reader in zip(names, readers, strict=True)],
        ),
        Gauge("hub_tasks", "Tasks that wait or are worked on.", [((("kind", k),), n) for k, n, _ in tasks]),
        Gauge("hub_task_oldest_seconds", "How long the longest due task has waited.", ages),
        *_of_chains(chains, now_us),
        Gauge("hub_chain_transactions", "Transactions of ours that are not confirmed yet.", [((), unsettled[0])]),
        Gauge("hub_chain_transaction_oldest_seconds", "How long the oldest of them was signed ago.",
              [((), age_s(unsettled[1]))]),
        Gauge("hub_chain_batch_unsent_seconds", "How old the oldest batch is that no transaction was signed for.",
              [((), age_s(unsent_since_us))]),
        Gauge("hub_chain_fees_wei", "What the hub had paid for all that is on chain when this process last looked.",
              [((("purpose", _PURPOSES[one.is_settlement]),), one.wei) for one in hub.purses.paid]),
        Gauge("hub_chain_orders", "Records of orders that it has paid that for.",
              [((("purpose", _PURPOSES[one.is_settlement]),), one.orders) for one in hub.purses.paid]),
        Gauge("hub_chain_balance_wei", "What the keys that pay for gas held when this process last asked.",
              [((("account", account), ("role", roles)), wei)
               for (account, roles), wei in sorted(hub.purses.held.items())]),
        Gauge("hub_tasks_dead", "Tasks out of tries: a person must look.", [((("kind", k),), n) for k, n in dead]),
    ]


def _of_chains(chains: "Sequence[Cursor]", now_us: int) -> list[Gauge]:
    """How far each chain is read, and whether reading goes on."""

    def told(name: str, says: str, of: "Callable[[Cursor], float]") -> Gauge:
        return Gauge(name, says, [((("chain", str(cursor.chain_id)),), of(cursor)) for cursor in chains])

    return [
        told("hub_chain_head", "The node's newest block when the chain was last read.", lambda one: one.head_number),
        told("hub_chain_read", "The newest block that is read.", lambda one: one.number),
        told("hub_chain_confirmed", "The newest block that counts as confirmed.", lambda one: one.confirmed_number),
        told("hub_chain_final", "The newest block that is final.", lambda one: one.final_number),
        told("hub_chain_halted", "1 while reading stands still: a final block has changed.",
             lambda one: one.halt_reason is not None),
        told("hub_chain_read_seconds", "How long ago the reader last moved.",
             lambda one: max(0, now_us - one.moved_at_us) / 1e6),
    ]  # fmt: skip


def _of_breakers(hub: Hub) -> list[Gauge]:
    """What this process does not send to channels that do not answer."""
    opened = [
        ((("channel", channel), ("operation", operation)), _OPENNESS[state])
        for (channel, operation), state in hub.breakers.states(hub.clock.now_us()).items()
    ]
    refused = [
        ((("channel", channel), ("operation", operation)), count)
        for (channel, operation), count in sorted(hub.breakers.refused.items())
    ]
    return [
        Gauge("hub_channel_breaker", "0 closed, 1 one probe may go, 2 open, by channel and class of call.", opened),
        Gauge("hub_channel_breaker_refused", "Calls that open breakers have not sent, since the start.", refused),
    ]


_OPENNESS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_PURPOSES = {False: "anchor", True: "settle"}
_UNSTAMPED = select(func.count(), func.min(event.c.occurred_at_us)).where(event.c.position.is_(None))
_TASKS = select(task.c.kind, func.count(), func.min(task.c.run_at_us)).group_by(task.c.kind)
_DEAD = select(dead_task.c.kind, func.count()).group_by(dead_task.c.kind)


_UNSETTLED = select(func.count(), func.min(chain_transaction.c.signed_at_us)).where(
    chain_transaction.c.state.in_([TransactionState.SIGNED, TransactionState.SENT])
)
_UNSENT = select(func.min(anchor_batch.c.created_at_us)).where(
    anchor_batch.c.state.in_([BatchState.QUEUED, BatchState.FAILED]) & anchor_batch.c.transaction_hash.is_(None)
)


def _of_store(hub: Hub) -> list[Gauge]:
    """What the engine counts of itself, if it does."""
    says = {
        "units": "Units run since the start.",
        "groups": "Commits since the start: units divided by them is the size of a group.",
        "queued": "Units that wait for the writer.",
        "reruns": "Units that the database asked to run again, since the start.",
        "waited_s": "Seconds that units have waited for the writer or a connection, over all since the start.",
    }
    found = {name: getattr(hub.store, name, None) for name in says}
    return [
        Gauge(f"hub_store_{name.replace('_s', '_seconds')}", says[name], [((), value)])
        for name, value in found.items()
        if value is not None
    ]


def _of_webhooks(
    hub: Hub, waiting: "Sequence[tuple[str, int, int]]", age_s: Callable[[int | None], float]
) -> list[Gauge]:
    """What waits for partners' endpoints, and what came of this process's attempts."""
    outcomes = sorted(getattr(hub.sender, "outcomes", {}).items())
    return [
        Gauge("hub_webhook_attempts", "Requests sent to endpoints since the start.",
              [((("outcome", outcome),), count) for outcome, count in outcomes]),
        Gauge("hub_webhook_pending", "Deliveries that wait, by endpoint.",
              [((("endpoint", endpoint_id),), count) for endpoint_id, count, _ in waiting]),
        Gauge("hub_webhook_oldest_seconds", "How long the oldest of them has waited.",
              [((("endpoint", endpoint_id),), age_s(since_us)) for endpoint_id, _, since_us in waiting]),
    ]  # fmt: skip


def _of_wakeups(hub: Hub) -> list[Gauge]:
    """How the bus between processes does, if there is one."""
    figures = getattr(hub.wakeups, "figures", None)
    if figures is None:
        return []
    moved = [((("what", what),), getattr(figures, what)) for what in ("sent", "heard", "dropped")]
    return [
        Gauge("hub_wakeup_bus_open", "1 while the bus between processes carries.", [((), int(figures.is_open))]),
        Gauge("hub_wakeup_bus_losses", "How often it was lost since the start.", [((), figures.losses)]),
        Gauge("hub_wakeup_bus_ignored", "Messages on it that no hub writes, since the start.", [((), figures.ignored)]),
        Gauge("hub_wakeups", "Streams told of, heard of, and not told of while it was away, since the start.", moved),
    ]


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{told}}} {value:g}" if told else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
