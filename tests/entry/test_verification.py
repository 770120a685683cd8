"""`hub verify` finds nothing on a true house, and each lie by the check that is there for it."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import PaymentAttempt
from hub.entry.verification import verified
from hub.flows import deliveries, notices, purchase, refunds, webhooks
from hub.flows.refunds import RefundRequest
from hub.ports import LeafClaim
from hub.store.database import open_store
from tests.flows.benches import Bench
from tests.flows.scripted import DECLINED, PENDING, ScriptedChain, charged, delivery
from tests.flows.scripted import contested as scripted_dispute
from tests.world import World, operator, partner


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
    await given_back(bench)
    await contested(bench)
    yield bench
    await store.aclose()


async def given_back(bench: Bench) -> None:
    """Of another order a part went back, one more was refused, and two are under way."""
    bench.channel.capabilities = replace(bench.channel.capabilities, can_refund=True, can_refund_partly=True)
    listing = await bench.world.listing()
    attempt = (await bench.buy(await bench.world.learner(), listing, "another")).value
    assert isinstance(attempt, PaymentAttempt)
    for minor, told in ((300, None), (200, DECLINED), (100, PENDING), (50, PENDING)):
        if told is not None:
            bench.channel.then("refund", told)
        asked = RefundRequest(attempt.order_id, Money(minor, "CNY"), None, f"{minor}")
        assert (await refunds.request(bench.hub, operator(), asked)).refusal is None
    await bench.record()


async def contested(bench: Bench) -> None:
    """One charge is disputed, another was lost by a dispute."""
    for state in (DisputeState.NEEDS_RESPONSE, DisputeState.LOST):
        listing = await bench.world.listing()
        attempt = (await bench.buy(await bench.world.learner(), listing, f"disputed {state}")).value
        assert isinstance(attempt, PaymentAttempt)
        word = DisputeWord(f"dp {state}", state, attempt.amount, "fraudulent", None, Money(1500, "CNY"))
        await notices.receive(bench.hub, "sandbox", scripted_dispute(attempt, word))
    await bench.record()


async def wrong(bench: Bench) -> dict[str, list[str]]:
    """The checks that fail, with what they name."""
    checks = await verified(bench.hub, with_chain=True)
    assert [check.looked_at > 0 for check in checks[:-1]] == [True] * 14
    return {check.name: check.wrong for check in checks if not check.is_fine}


async def test_true_house_passes_every_check(bench: Bench) -> None:
    assert await wrong(bench) == {}


async def test_money_of_another_currency_that_a_dispute_took_was_none_of_the_escrow(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    dollars = Money(4900, "USD")
    told = delivery("evt-dollars", attempt.key, charged(attempt, amount=dollars))
    await notices.receive(bench.hub, "sandbox", told)
    word = DisputeWord("dp dollars", DisputeState.LOST, dollars, "fraudulent", None)
    await notices.receive(bench.hub, "sandbox", scripted_dispute(attempt, word))
    assert await bench.one("SELECT deducted_minor FROM dispute WHERE channel_ref = 'dp dollars'") == 4900
    assert (await bench.order_now(order.id)).received_minor == 0
    assert await wrong(bench) == {}


DISPUTES = "disputes and the rights they touch follow from facts"
OPEN_ENDS = "open payments, refunds, answers and batches have a Task"
REFUNDS, PROMISES = "refunds follow from facts, within what was captured", "each promise of the books ends once"


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (
            "UPDATE account SET debits_posted = debits_posted + 1 WHERE id LIKE 'channel:%'",
            {"ledger balances (debits = credits per asset)", "balances equal the fold of their postings"},
        ),
        (
            "UPDATE order_ SET received_minor = received_minor - 1",
            {"escrow per order = received", "states follow from facts"},
        ),
        ("UPDATE payment_attempt SET state = 'DECLINED'", {"states follow from facts"}),
        ("DELETE FROM task WHERE kind = 'resolve_refund'", {OPEN_ENDS}),
        ("UPDATE task SET kind = 'void_attempt' WHERE kind = 'resolve_refund'", {OPEN_ENDS}),
        (
            "UPDATE order_ SET refunded_minor = 400 WHERE refunded_minor = 300",
            {"escrow per order = received", REFUNDS},
        ),
        ("UPDATE order_ SET status = 'PAID'", {REFUNDS}),
        ("UPDATE order_ SET refund_reserved_minor = 0", {REFUNDS}),
        ("UPDATE refund SET amount_minor = 9701 WHERE state = 'PENDING'", {REFUNDS, PROMISES}),
        ("UPDATE refund SET state = 'FAILED' WHERE state = 'PENDING' AND amount_minor = 100", {REFUNDS, PROMISES}),
        ("UPDATE refund_fact SET kind = 'FAILED' WHERE kind = 'SUCCEEDED'", {REFUNDS}),
        ("UPDATE reservation SET state = 'PENDING' WHERE state = 'VOIDED'", {PROMISES}),
        ("UPDATE reservation SET state = 'POSTED' WHERE state = 'PENDING'", {PROMISES}),
        ("UPDATE reservation SET reference = 'none ' || id WHERE state = 'PENDING' AND kind = 'refund'", {PROMISES}),
        ("UPDATE dispute SET state = 'WON' WHERE state = 'LOST'", {DISPUTES}),
        ("UPDATE dispute SET held_minor = held_minor + 1 WHERE state = 'NEEDS_RESPONSE'", {DISPUTES}),
        ("UPDATE dispute SET deducted_minor = 9800 WHERE state = 'LOST'", {DISPUTES, "escrow per order = received"}),
        ("UPDATE dispute SET fee_minor = 1400", {DISPUTES}),
        ("UPDATE dispute_fact SET state = 'WON' WHERE state = 'NEEDS_RESPONSE'", {DISPUTES}),
        ("UPDATE grant_ SET state = 'ACTIVE' WHERE state = 'SUSPENDED'", {DISPUTES}),
        ("UPDATE grant_ SET suspended_by = '', state = 'ACTIVE' WHERE state = 'SUSPENDED'", {DISPUTES}),
        ("UPDATE grant_ SET revoked_by = 'refund' WHERE state = 'REVOKED'", {DISPUTES}),
        ("UPDATE grant_ SET source_ref = 'none_' || source_ref", {"one right per paid order, none without"}),
        ("UPDATE log_head SET position = position + 1", {"log dense"}),
        ("UPDATE webhook_delivery SET event_id = 'evt_none' || id", {"every delivered event exists"}),
        ("UPDATE salt SET sealed = zeroblob(64)", {"one standing leaf per ended request, commitments open"}),
        ("UPDATE anchor_batch SET root = zeroblob(32)", {"every anchored order's proof accepted by the contract"}),
    ],
)  # fmt: skip
async def test_each_lie_is_found_by_its_check(bench: Bench, sqlite_url: str, lie: str, found: set[str]) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as database:
        assert database.execute(lie).rowcount > 0
    database.close()
    assert set(await wrong(bench)) == found


async def test_what_is_open_and_has_no_task_is_found(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    await bench.buy(await bench.world.learner(), await bench.world.listing(), "not yet on chain")
    await bench.store.stamp()
    await purchase.record_on_chain(bench.hub)
    batch_id = await bench.one("SELECT id FROM anchor_batch WHERE block_number IS NULL")
    assert await wrong(bench) == {}

    async def forget(tx: Any) -> None:
        await tx.run(text("DELETE FROM task WHERE kind IN ('resolve_attempt', 'anchor_batch')"))

    await bench.store.write(forget)
    told = [f"{attempt.key} is PENDING, and no Task sees to it", f"{batch_id} is QUEUED, and no Task sees to it"]
    assert await wrong(bench) == {OPEN_ENDS: told}


async def test_a_log_that_was_pruned_is_still_true_and_an_archive_that_overlaps_it_is_not(bench: Bench) -> None:
    async def prune(tx: Any) -> None:
        assert await tx.archive.take(1, 3)

    await bench.store.write(prune)
    assert await wrong(bench) == {}

    async def lie(tx: Any) -> None:
        await tx.run(text("UPDATE event_archive SET position = 4 WHERE position = 3"))

    await bench.store.write(lie)
    assert await wrong(bench) == {"log dense": ["event 4 is in the archive, and the log begins at 4"]}
