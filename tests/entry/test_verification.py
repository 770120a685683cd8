"""`hub verify` finds nothing on a true house, and each lie by the check that is there for it."""

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from hub.entry.verification import verified
from hub.flows import deliveries, webhooks
from hub.ports import LeafClaim
from hub.store.database import open_store
from tests.flows.benches import Bench
from tests.flows.scripted import ScriptedChain
from tests.world import World, partner


class Contract(ScriptedChain):
    """Accepts every claim under a root that it holds."""

    async def verify_many(self, claims: tuple[LeafClaim, ...]) -> tuple[bool, ...]:
        return tuple(claim.root in self.roots for claim in claims)


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[Bench]:
    """A house with one sale, paid, recorded on chain, and on its way to the seller's endpoint."""
    store = await open_store(sqlite_url)
    bench = Bench(store, World(store), chain=Contract())
    platform = await bench.world.platform()
    await webhooks.create_endpoint(bench.hub, partner(platform), url="https://shop.example", document="all")
    await bench.buy(await bench.world.learner(), await bench.world.listing(platform=platform))
    await bench.record()
    await deliveries.gather(bench.hub)
    yield bench
    await store.aclose()


async def wrong(bench: Bench) -> dict[str, list[str]]:
    """The checks that fail, with what they name."""
    checks = await verified(bench.hub, with_chain=True)
    assert [check.looked_at > 0 for check in checks[:-1]] == [True] * 9
    return {check.name: check.wrong for check in checks if not check.is_fine}


async def test_true_house_passes_every_check(bench: Bench) -> None:
    assert await wrong(bench) == {}


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (
            "UPDATE account SET debits_posted = debits_posted + 1 WHERE id LIKE 'channel:%'",
            {"ledger balances (debits = credits per asset)", "balances equal the fold of their postings"},
        ),
        ("UPDATE order_ SET received_minor = 9899", {"escrow per order = received", "states follow from facts"}),
        ("UPDATE payment_attempt SET state = 'DECLINED'", {"states follow from facts"}),
        ("UPDATE grant_ SET source_ref = 'ord_none'", {"one right per paid order, none without"}),
        ("UPDATE log_head SET position = position + 1", {"log dense"}),
        ("UPDATE webhook_delivery SET event_id = 'evt_none' || id", {"every delivered event exists"}),
        ("UPDATE leaf SET sealed_salt = zeroblob(64)", {"one standing leaf per ended request, commitments open"}),
        ("UPDATE anchor_batch SET root = zeroblob(32)", {"every anchored order's proof accepted by the contract"}),
    ],
)  # fmt: skip
async def test_each_lie_is_found_by_its_check(bench: Bench, sqlite_url: str, lie: str, found: set[str]) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as database:
        assert database.execute(lie).rowcount > 0
    database.close()
    assert set(await wrong(bench)) == found


async def test_a_log_that_was_pruned_is_still_true_and_an_archive_that_overlaps_it_is_not(bench: Bench) -> None:
    async def prune(tx: Any) -> None:
        assert await tx.archive.take(1, 3)

    await bench.store.write(prune)
    assert await wrong(bench) == {}

    async def lie(tx: Any) -> None:
        await tx.run(text("UPDATE event_archive SET position = 4 WHERE position = 3"))

    await bench.store.write(lie)
    assert await wrong(bench) == {"log dense": ["event 4 is in the archive, and the log begins at 4"]}
