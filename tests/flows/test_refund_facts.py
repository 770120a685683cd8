"""What is heard of refunds comes to one end, in whatever order; what was released comes back from its holders."""

import asyncio
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from hub.domain.ledger import escrow
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import Outcome, Result, Source, Stage
from hub.domain.refunds import Refund
from hub.domain.shares import Share, ShareAgreement, release
from hub.flows import notices, refund_sending
from tests.flows.benches import Bench
from tests.flows.refunding import AT, ask, figures, given, now, sold
from tests.flows.scripted import DECLINED, NEVER_SEEN, PENDING, REJECTED, UNKNOWN, given_back, result, word_of_refund

GONE = result(Outcome.DONE, Stage.VOIDED)
SETS: dict[str, tuple[tuple[str, Any], ...]] = {
    "succeeded, then failed": (
        ("answer", lambda _: UNKNOWN),
        ("query", given_back),
        ("notice", lambda r: given_back(r, provider_at_us=AT + 1)),
        ("notice", lambda _: replace(DECLINED, provider_at_us=AT + 5)),
    ),
    "failed by its time before it succeeded": (
        ("answer", lambda _: PENDING),
        ("query", lambda _: replace(DECLINED, provider_at_us=AT + 1)),
        ("notice", lambda r: given_back(r, provider_at_us=AT + 9)),
    ),
    "canceled and failed": (
        ("answer", lambda _: UNKNOWN),
        ("query", lambda _: GONE),
        ("notice", lambda _: DECLINED),
    ),
    "refused, and done all the same": (
        ("answer", lambda _: REJECTED),
        ("query", given_back),
        ("notice", lambda r: given_back(r, provider_at_us=AT + 1)),
    ),
    "refused, done, and failed in the end": (
        ("answer", lambda _: REJECTED),
        ("query", given_back),
        ("notice", lambda _: DECLINED),
    ),
    "never seen, then done": (
        ("answer", lambda _: UNKNOWN),
        ("query", lambda _: NEVER_SEEN),
        ("notice", given_back),
    ),
}


async def hear(bench: Bench, refund: Refund, attempt_key: str, way: str, told: Result, event: str) -> None:
    if way == "notice":
        await notices.receive(bench.hub, "sandbox", word_of_refund(event, attempt_key, refund.key, told))
    elif way == "query":
        await bench.store.write(refund_sending.record_refund_query, refund, told, bench.hub.draw(), bench.vault)
    else:
        await bench.store.write(
            refund_sending.record_refund, refund, told, Source.ANSWER, bench.hub.draw(), bench.vault
        )


async def submitted(bench: Bench) -> tuple[Order, Refund]:
    """A whole refund that was sent and never answered: the call is still out."""
    order, seller = await sold(bench)

    async def never(_refund: Any) -> Result:
        raise asyncio.CancelledError

    bench.channel.then("refund", never)
    with pytest.raises(asyncio.CancelledError):
        await ask(bench, seller, order, key=f"refund {order.id}")
    async with bench.store.reading() as rx:
        [refund] = await rx.refunds.of_order(order.id)
    assert refund.state == "SUBMITTED"
    return order, refund


async def projection(bench: Bench, order: Order, refund: Refund) -> tuple[Any, ...]:
    """All that the facts decide, ids apart."""
    after = await now(bench, refund)
    return (
        after.state, after.heard_rank, after.heard_at_us, after.heard_key.replace(order.number, ""),
        await figures(bench, order),
        await bench.rows(
            f"SELECT e.kind, p.amount_minor FROM posting p JOIN journal_entry e ON e.id = p.entry_id"
            f" WHERE e.order_id = '{order.id}' ORDER BY e.kind"
        ),
    )  # fmt: skip


@pytest.mark.parametrize("name", SETS)
async def test_facts_of_a_refund_in_every_order_and_doubled_end_alike(shop: Bench, name: str) -> None:
    facts, ends = SETS[name], {}
    for arrival in list(permutations(range(len(facts))))[:: 1 if shop.is_embedded else 5]:
        order, refund = await submitted(shop)
        for i in arrival:
            way, told = facts[i]
            for _ in range(2):
                await hear(shop, refund, f"{order.number}-1", way, told(refund), f"evt {order.id} {i}")
        ends[arrival] = await projection(shop, order, refund)
    await shop.assert_books_fold()
    first = next(iter(ends.values()))
    assert {arrival: end for arrival, end in ends.items() if end != first} == {}


async def test_facts_of_a_refund_by_two_workers_at_once_end_alike(shop: Bench) -> None:
    facts = SETS["succeeded, then failed"]
    ends = []
    for workers in ((shop,), (shop, shop.rival()), (shop, shop.rival())):
        order, refund = await submitted(shop)
        await asyncio.gather(*(
            hear(worker, refund, f"{order.number}-1", way, told(refund), f"evt {order.id} {i}")
            for worker in workers
            for i, (way, told) in enumerate(facts)
        ))  # fmt: skip
        ends.append(await projection(shop, order, refund))
    assert ends[0][0] == "REVERSED"
    assert ends[1:] == ends[:1] * 2


# ---- released money --------------------------------------------------------------------------------------------------


async def test_what_was_released_comes_back_from_each_holder_over_what_it_still_holds(shop: Bench) -> None:
    order, seller = await sold(shop, 1001)
    shares = ShareAgreement("sha_x", "mer_x", 1, (Share("mer_a", 6000), Share("mer_b", 3000), Share(None, 1000)))

    async def released(tx: Any) -> None:
        postings = release(order.id, Money(901, "CNY"), shares)  # the rest is not earned yet
        await tx.ledger.post(shop.world.entry(order, f"release/{order.id}", postings))

    await shop.store.write(released)
    holders = ("payee:mer_a:pending", "payee:mer_b:pending", "hub:fees")
    assert [await shop.balance(holder) for holder in (escrow(order.id), *holders)] == [100, 541, 270, 90]
    await given(shop, seller, order, 100, "of the escrow")
    assert [await shop.balance(holder) for holder in (escrow(order.id), *holders)] == [0, 541, 270, 90]
    for piece in range(12):
        await given(shop, seller, order, 77 if piece < 11 else None, f"piece {piece}")
        assert min([await shop.balance(holder) for holder in holders]) >= 0
    assert [await shop.balance(holder) for holder in (escrow(order.id), *holders)] == [0, 0, 0, 0]
    assert (await figures(shop, order))[0] == "REFUNDED"
