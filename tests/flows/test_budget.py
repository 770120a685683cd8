"""What a paid order costs the database: statements and commits, counted where they run."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.domain.payments import PaymentAttempt
from hub.flows import notices
from hub.store.database import open_store
from tests.flows.benches import Bench
from tests.flows.scripted import charged, delivery
from tests.world import World

# Of a paid order, its record on chain apart: what the issue allows. That record has a leaf, its salt, and the key of
# the person it is about.
MOST_STATEMENTS, MOST_COMMITS = 24, 3
RECORD = {"INSERT INTO leaf", "INSERT INTO salt", "INSERT INTO person_key"}


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def commits() -> list[str]:
    return []


@pytest.fixture
async def counted(store_url: str, seen: list[str], commits: list[str]) -> AsyncIterator[Bench]:
    """A bench whose store writes down every statement and every unit that it commits."""

    def on_step(step: str, unit: str) -> None:
        if step == "after commit":
            commits.append(unit)

    store = await open_store(store_url, on_statement=seen.append, on_step=on_step)
    yield Bench(store, World(store))
    await store.aclose()


async def test_paid_order_stays_within_its_statements_and_commits(
    counted: Bench, seen: list[str], commits: list[str]
) -> None:
    """`checkout` charged at once, and its notice; with an honouring platform beside the seller."""
    course = await counted.world.course()
    listing = await counted.world.listing(course=course)
    await counted.world.listing(course=course, platform=await counted.world.platform("bo"))
    viewer = await counted.world.learner()
    for run in ("first", "second"):
        seen.clear()
        commits.clear()
        counted.channel.then("create", lambda a: charged(a, provider_at_us=5))
        answer = await counted.buy(viewer, listing, key=run)
        assert isinstance(answer.value, PaymentAttempt)
        raw = delivery(f"evt {run}", answer.value.key, charged(answer.value, provider_at_us=5))
        await notices.receive(counted.hub, "sandbox", raw)
        assert commits == ["open_checkout", "record_result", "take"]
        assert len(commits) <= MOST_COMMITS
        recorded = [sql for sql in seen if " ".join(sql.split()[:3]) in RECORD]
        assert len(recorded) == len(RECORD)
        assert len(seen) - len(recorded) <= MOST_STATEMENTS, "\n".join(shapes(seen))
        viewer = await counted.world.learner()


def shapes(seen: list[str]) -> list[str]:
    """Each statement in a few words, in the order in which it ran."""
    return [" ".join(sql.split())[:100] for sql in seen]


async def test_order_costs_the_same_however_many_platforms_honour_it(counted: Bench, seen: list[str]) -> None:
    costs: list[Any] = []
    for platforms in (1, 8):
        course = await counted.world.course()
        listing = await counted.world.listing(course=course)
        for n in range(platforms):
            await counted.world.listing(course=course, platform=await counted.world.platform(f"p{n}"))
        viewer = await counted.world.learner()
        seen.clear()
        await counted.buy(viewer, listing, key=str(platforms))
        costs.append(Counter(shapes(seen)))
    assert costs[0] == costs[1]
