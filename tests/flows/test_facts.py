"""One set of facts, one end: whatever the order of arrival, however often, by however many workers."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from hub.domain.orders import Order, OrderStatus, received, settled
from hub.domain.payments import AttemptState, FactKind, Outcome, PaymentAttempt, Result, Stage, reduce
from hub.flows import attempts, notices
from tests.flows.benches import Bench
from tests.flows.scripted import DECLINED, PENDING, UNKNOWN, VOIDED, authorised, charged, delivery, result

AT = 1_767_225_600_000_000
Told = Callable[[PaymentAttempt], Result]

SETS: dict[str, tuple[tuple[str, Told], ...]] = {
    "paid, without times": (
        ("answer", lambda _: UNKNOWN),
        ("query", lambda _: PENDING),
        ("notice", charged),
        ("query", charged),
    ),
    "paid after a decline, with times": (
        ("answer", lambda _: replace(DECLINED, provider_at_us=AT + 3)),
        ("notice", lambda a: charged(a, provider_at_us=AT + 1)),
        ("query", lambda _: result(Outcome.PENDING, provider_at_us=AT + 9)),
        ("notice", lambda _: result(Outcome.ACTION, provider_at_us=AT + 2)),
    ),
    "closed, then lapsed, dated by the notice alone": (
        ("query", lambda _: VOIDED),
        ("notice", lambda _: replace(VOIDED, provider_at_us=AT + 5)),
        ("notice", lambda _: result(Outcome.DONE, Stage.EXPIRED, provider_at_us=AT + 3)),
        ("query", authorised),
    ),
    "two halves": (
        ("notice", lambda a: charged(a, amount=replace(a.amount, amount_minor=4000), movement_ref=f"{a.key}/1")),
        ("notice", lambda a: charged(a, amount=replace(a.amount, amount_minor=5900), movement_ref=f"{a.key}/2")),
        ("answer", lambda _: PENDING),
        ("query", lambda a: charged(a, amount=replace(a.amount, amount_minor=4000), movement_ref=f"{a.key}/1")),
    ),
}


async def hear(bench: Bench, attempt: PaymentAttempt, way: str, told: Result, event: str) -> None:
    """What the channel says, by the way it says it."""
    if way == "notice":
        await notices.receive(bench.hub, "sandbox", delivery(event, attempt.key, told))
    elif way == "query":
        await bench.store.write(attempts.record_query, attempt, told, bench.hub.draw(), bench.vault)
    else:
        await bench.store.write(attempts.record_answer, attempt, told, bench.hub.draw(), bench.vault)


async def projection(bench: Bench, order_id: str) -> tuple[Any, ...]:
    """All that the facts decide, ids apart."""
    order = await bench.order_now(order_id)
    made = await bench.attempts(order_id)
    return (
        order.status, order.charge_status, order.intent_status, order.fulfilment_status, order.received_minor,
        order.partial_minor, order.has_exact, order.has_conflict,
        [(a.state, a.heard_rank, a.heard_at_us, a.heard_key.replace(order.number, "")) for a in made],
        await bench.rows(
            "SELECT substr(p.debit_account, 1, 8), substr(p.credit_account, 1, 6), p.amount_minor FROM posting p"
            f" JOIN journal_entry e ON e.id = p.entry_id WHERE e.order_id = '{order_id}' ORDER BY p.amount_minor"
        ),
        len(await bench.grants(order.user_id, order.course_id)),
        await bench.rows(f"SELECT kind FROM break_ WHERE order_id = '{order_id}' ORDER BY kind"),
        await bench.one(
            f"SELECT count(*) FROM leaf WHERE order_id = '{order_id}' AND is_superseded = 0 AND token_id <> '0'"
        ),
    )  # fmt: skip


async def rebuilt(bench: Bench, order_id: str) -> tuple[Any, ...]:
    """Attempt states and order sums from nothing but the facts."""
    order, made = await bench.order_now(order_id), await bench.attempts(order_id)
    async with bench.store.reading() as rx:
        facts = await rx.payments.facts_of([attempt.id for attempt in made])
    again = [replace(a, state=AttemptState.SUBMITTED, heard_rank=0, heard_at_us=None, heard_key="") for a in made]
    bare = replace(
        order,
        received_minor=0,
        partial_minor=0,
        has_exact=False,
        has_conflict=False,
        status=OrderStatus.AWAITING_PAYMENT,
    )
    for attempt_id, fact, is_contradicted in facts:
        again = [reduce(a, fact) if a.id == attempt_id else a for a in again]
        if fact.kind is FactKind.CAPTURED and fact.amount is not None:
            bare = received(bare, fact.amount)
        bare = replace(bare, has_conflict=bare.has_conflict or is_contradicted)
    bare = settled(bare, again, 0)
    return [a.state for a in again], bare.received_minor, bare.status, bare.intent_status, bare.has_conflict


async def stored(bench: Bench, order_id: str) -> tuple[Any, ...]:
    order = await bench.order_now(order_id)
    return await bench.states(order_id), order.received_minor, order.status, order.intent_status, order.has_conflict


def orders_of(n: int) -> list[tuple[int, ...]]:
    return list(permutations(range(n)))


@pytest.mark.parametrize("name", SETS)
async def test_facts_in_every_order_and_doubled_end_alike(bench: Bench, name: str) -> None:
    facts, ends = SETS[name], {}
    listing = await bench.world.listing()
    for order_of_arrival in orders_of(len(facts))[:: 1 if bench.is_embedded else 5]:
        order, attempt = await waiting_submitted(bench, listing)
        for i in order_of_arrival:
            way, told = facts[i]
            for _ in range(2):
                await hear(bench, attempt, way, told(attempt), f"evt {order.id} {i}")
        assert await rebuilt(bench, order.id) == await stored(bench, order.id), order_of_arrival
        ends[order_of_arrival] = await projection(bench, order.id)
    await bench.assert_books_fold()
    first = next(iter(ends.values()))
    assert {arrival: end for arrival, end in ends.items() if end != first} == {}
    assert first[-1] == first[-3], "each right has its leaf"


async def waiting_submitted(bench: Bench, listing: Any) -> tuple[Order, PaymentAttempt]:
    """An order whose attempt was sent and never answered: the call is still out."""
    viewer = await bench.world.learner()
    order = await bench.order(viewer, listing)

    async def never(_attempt: PaymentAttempt) -> Result:
        raise asyncio.CancelledError

    bench.channel.then("create", never)
    with pytest.raises(asyncio.CancelledError):
        await bench.pay(viewer, order)
    [attempt] = await bench.attempts(order.id)
    assert attempt.state is AttemptState.SUBMITTED
    return await bench.order_now(order.id), attempt


@pytest.mark.parametrize("name", SETS)
async def test_facts_by_two_workers_at_once_end_alike(bench: Bench, name: str) -> None:
    facts, rival = SETS[name], bench.rival()
    listing = await bench.world.listing()
    chance = random.Random(2)
    order, attempt = await waiting_submitted(bench, listing)
    for i, (way, told) in enumerate(facts):
        await hear(bench, attempt, way, told(attempt), f"evt {order.id} {i}")
    alone = await projection(bench, order.id)
    for _ in range(3):
        order, attempt = await waiting_submitted(bench, listing)
        heard = [
            hear(worker, attempt, way, told(attempt), f"evt {order.id} {i}")
            for worker in (bench, rival)
            for i, (way, told) in enumerate(facts)
        ]
        chance.shuffle(heard)
        await asyncio.gather(*heard)
        assert await projection(bench, order.id) == alone
    await bench.assert_books_fold()
