"""The pass beside stock validation of the same document, what it costs once a document is known, and the hostile ones.

CPU time of this process: nothing here waits. Validation is graphql-core's with all of its rules, as a server without
limits runs it.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from graphql import parse, validate

from hub.domain.people import ANONYMOUS
from hub.entry.counting import spent
from hub.entry.limits import Documents, checked
from hub.entry.measuring import measure
from hub.entry.throttling import Throttle
from schema import schema
from tests.bench.figures import Figure, interleaved
from tests.entry.hostile import corpus
from tests.entry.test_limits_corpus import code_of

ROUNDS, TIMES = 9, 200
QUICK_ROUNDS, QUICK_TIMES = 1, 5

# What a page of an application asks for: 31 fields, a page size in a variable.
ORDINARY = """
query Orders($n: Int!, $after: String) {
  orders(first: $n, after: $after) {
    totalCount
    nodes {
      id number status total { amount currency } createdAt
      listing { id price { amount } merchant { name } platform { slug name } }
      course { id title }
      paymentIntent { status attempts { state lastError { code } } }
      entitlement { id state }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
VARIABLES = {"n": 20, "after": None}
BOUND_MS = 50.0  # of the loop, before a document is refused or started


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, times = (QUICK_ROUNDS, QUICK_TIMES) if quick else (ROUNDS, TIMES)
    documents = Documents(schema._schema)
    document = parse(ORDINARY)
    known = checked(documents, ORDINARY, VARIABLES)
    throttle = Throttle()
    data = {"orders": {"nodes": [{"paymentIntent": {"attempts": [{}]}} for _ in range(20)]}}
    counting = known.counting("Orders", documents.prices)

    def admitted() -> None:
        """All that a known document takes, each time: its cost by its variables, and what is drawn for it."""
        found = documents.find(ORDINARY)
        assert found is not None
        caller = throttle.caller(ANONYMOUS) or "198.51.100.7"
        cost = found.measured.cost("Orders", VARIABLES)
        throttle.draw(caller, cost, found.measured.attempts("Orders"))
        throttle.give_back(caller, cost)

    def told() -> None:
        """What an answer came to, counted to give the rest back."""
        assert spent(data, counting) == 1 + 20 + 20

    beside = timed(lambda: validate(schema._schema, document), times)
    for name, ours, bar in (
        ("limits_pass", lambda: measure(document, documents.prices), "at most 0.05"),
        ("limits_known_document", admitted, "0: no pass; what is left depends on variables and caller"),
        ("limits_counted_answer", told, ""),
    ):
        yield await interleaved(
            name, timed(ours, times), beside, unit="µs CPU", rounds=rounds, bar=bar, visits=known.measured.visits
        )
    yield slowest(1 if quick else 3)


def timed(once: Callable[[], object], times: int) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        started = time.process_time()
        for _ in range(times):
            once()
        return (time.process_time() - started) / times * 1e6

    return measured


def slowest(times: int) -> Figure:
    """The longest that a document of the corpus takes until it is refused or started, the best of some tries each."""
    took = {}
    for hostile in corpus():
        tries = []
        for _ in range(times):
            documents = Documents(schema._schema)
            started = time.process_time()
            code_of(hostile, documents)
            tries.append((time.process_time() - started) * 1000)
        took[hostile.name] = min(tries)
    dearest = sorted(took, key=took.__getitem__, reverse=True)[:5]
    return Figure.of(
        "limits_hostile",
        list(took.values()),
        unit="ms CPU",
        bar=f"at most {BOUND_MS:g}",
        documents=len(took),
        slowest={name: round(took[name], 1) for name in dearest},
    )
