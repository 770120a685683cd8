"""Idempotency through the real flows: one key, one effect, whatever comes again and whoever dies in between."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.catalogue import ListingDraft, ListingState
from hub.domain.merchants import MerchantState
from hub.domain.money import Money
from hub.domain.orders import Order, OrderStatus
from hub.domain.payments import AttemptState, Outcome, PaymentAttempt, Result
from hub.domain.people import UserState
from hub.domain.refusals import (
    AlreadyEntitled,
    ChannelUnavailable,
    NotFound,
    NotPurchasable,
    PriceChanged,
    ProvisionalUser,
    Refusal,
)
from hub.domain.requests import REQUEST_LEASE_US, Answer, IdempotencyConflict, InProgress
from hub.flows import catalogue, orders, purchase
from hub.ports import AmountRange
from tests.flows.benches import Bench
from tests.flows.scripted import DECLINED, NEVER_SEEN, result
from tests.world import partner


async def counts(bench: Bench) -> dict[str, int]:
    """How many rows of each sort a request may make."""
    tables = ("order_", "payment_attempt", "event", "task", "leaf", "grant_", "posting", "break_")
    return {table: await bench.one(f"SELECT count(*) FROM {table}") for table in tables}


# ---- the same key again ----------------------------------------------------------------------------------------------


async def test_same_key_and_body_replays_the_order(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    order = await bench.order(viewer, listing, key="k")
    before = await counts(bench)
    again = await purchase.create_order(bench.hub, viewer, listing_id=listing.id, expected=None, idempotency_key="k")
    assert (again.value, again.is_replay) == (order, True)
    assert await counts(bench) == before


async def test_same_key_and_body_replays_the_attempt_as_it_is_now(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("create", TimeoutError())
    first = await bench.pay(viewer, order, key="k")
    bench.clock.pass_us(2_000_000)
    await bench.work()
    before = await counts(bench)
    again = await bench.pay(viewer, order, key="k")
    assert first.value is not None
    assert again.value is not None
    assert (again.value.id, again.value.state, again.is_replay) == (first.value.id, AttemptState.CHARGED, True)
    assert await counts(bench) == before
    assert bench.channel.count("create") == 1


async def test_same_key_and_body_replays_the_checkout(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    first = await bench.buy(viewer, listing, key="k")
    again = await bench.buy(viewer, listing, key="k")
    assert (again.value, again.is_replay, bench.channel.count("create")) == (first.value, True, 1)


async def test_another_body_under_a_key_is_a_conflict_whatever_the_state(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    other = await bench.world.listing(price_minor=100)
    order = await bench.order(viewer, listing, key="k")
    await bench.pay(viewer, order, key="k")
    await bench.buy(viewer, other, key="k")
    before = await counts(bench)
    with pytest.raises(IdempotencyConflict):
        await bench.order(viewer, other, key="k")
    with pytest.raises(IdempotencyConflict):
        await bench.pay(viewer, order, key="k", channel="other")
    with pytest.raises(IdempotencyConflict):
        await bench.buy(viewer, other, key="k", return_url="https://shop.example")
    assert await counts(bench) == before


async def test_another_buyer_or_mutation_is_another_key(bench: Bench) -> None:
    first, second = await bench.world.learner(), await bench.world.learner()
    listing = await bench.world.listing()
    orders = [await bench.order(viewer, listing, key="k") for viewer in (first, second)]
    paid = [await bench.pay(viewer, order, key="k") for viewer, order in zip((first, second), orders, strict=True)]
    assert orders[0].id != orders[1].id
    assert [answer.is_replay for answer in paid] == [False, False]


async def test_refusal_is_replayed_after_its_reason_has_gone(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    order = await bench.order(viewer, listing)
    first = await bench.pay(viewer, order, key="k", expected=Money(1, "CNY"))
    again = await bench.pay(viewer, order, key="k", expected=Money(1, "CNY"))
    assert first.refusal == again.refusal == PriceChanged(9900, "CNY")
    assert (first.is_replay, again.is_replay) == (False, True)


async def test_decline_is_an_answer_and_is_replayed(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    bench.channel.then("create", DECLINED)
    first, again = [await bench.buy(viewer, listing, key="k") for _ in range(2)]
    assert isinstance(again.value, PaymentAttempt)
    assert (again.value.state, again.is_replay) == (AttemptState.DECLINED, True)
    assert (again.value, bench.channel.count("create")) == (first.value, 1)


# ---- fifty at once ---------------------------------------------------------------------------------------------------


async def fifty(bench: Bench, ask: Callable[[Bench], Awaitable[Answer[Any]]]) -> tuple[list[Answer[Any]], int]:
    """The answers of fifty at once from two processes, and how many were told to come again."""
    rival = bench.rival()
    told = await asyncio.gather(*[ask(rival if i % 2 else bench) for i in range(50)], return_exceptions=True)
    answers = [one for one in told if isinstance(one, Answer)]
    waiting = [one for one in told if isinstance(one, InProgress)]
    assert len(answers) + len(waiting) == 50, [repr(one) for one in told if isinstance(one, BaseException)]
    assert all(0 < one.retry_after_ms <= 1000 for one in waiting)
    return answers, len(waiting)


async def test_fifty_order_creates_at_once_give_one_order_and_49_replays(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()

    async def ask(worker: Bench) -> Answer[Order]:
        return await purchase.create_order(
            worker.hub, viewer, listing_id=listing.id, expected=None, idempotency_key="k"
        )

    answers, waiting = await fifty(bench, ask)
    assert waiting == 0
    assert len({answer.value and answer.value.id for answer in answers}) == 1
    assert [answer.is_replay for answer in answers].count(True) == 49
    assert await bench.one("SELECT count(*) FROM order_") == 1


async def test_fifty_payments_at_once_give_one_attempt(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    answers, _ = await fifty(bench, lambda worker: worker.pay(viewer, order, key="k"))
    assert {answer.value and answer.value.id for answer in answers} == {(await bench.attempts(order.id))[0].id}
    assert bench.channel.count("create") == 1
    assert (await bench.order_now(order.id)).received_minor == 9900


async def test_fifty_checkouts_at_once_give_one_order_and_one_charge(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    await fifty(bench, lambda worker: worker.buy(viewer, listing, key="k"))
    assert await bench.rows("SELECT status, received_minor FROM order_") == [("PAID", 9900)]
    assert bench.channel.count("create") == 1


async def test_sixteen_buyers_of_three_processes_at_once_keep_the_books(bench: Bench) -> None:
    listings = [await bench.world.listing() for _ in range(4)]
    buyers = [await bench.world.learner() for _ in range(16)]
    processes = [bench, bench.rival("worker-2"), bench.rival("worker-3")]

    async def shop(n: int) -> None:
        for listing in listings[n % 4 :] + listings[: n % 4]:
            await processes[n % 3].buy(buyers[n], listing, key=listing.id)

    await asyncio.gather(*[shop(n) for n in range(16)])
    assert await bench.rows("SELECT status, count(*) FROM order_ GROUP BY status") == [("PAID", 64)]
    assert await bench.balance("channel:sandbox:clearing") == -64 * 9900
    assert await bench.one("SELECT count(*) FROM grant_") == 64
    assert await bench.balance("hub:fees") == 0
    await bench.assert_books_fold()
    await bench.record()
    assert list(bench.chain.roots.values()) == [64]


# ---- a process that died over it -------------------------------------------------------------------------------------


async def died(bench: Bench, ask: Awaitable[Any]) -> None:
    """The process stops while the call is out."""
    with pytest.raises(asyncio.CancelledError):
        await ask


async def stop(_attempt: PaymentAttempt) -> Result:
    raise asyncio.CancelledError


@pytest.mark.parametrize(("was_taken", "creates"), [(True, 1), (False, 2)])
async def test_request_of_a_dead_process_is_resumed_by_asking_first(
    bench: Bench, was_taken: bool, creates: int
) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    bench.channel.then("create", stop)
    await died(bench, bench.buy(viewer, listing, key="k"))
    with pytest.raises(InProgress):
        await bench.buy(viewer, listing, key="k")
    bench.clock.pass_us(REQUEST_LEASE_US)
    if not was_taken:
        bench.channel.then("query", NEVER_SEEN)
    answer = await bench.buy(viewer, listing, key="k")
    assert isinstance(answer.value, PaymentAttempt)
    assert (answer.value.state, answer.is_replay) == (AttemptState.CHARGED, False)
    assert bench.channel.count("create") == creates
    assert len({key for _, key in bench.channel.calls}) == 1
    assert (await bench.buy(viewer, listing, key="k")).is_replay
    assert await bench.rows("SELECT status, received_minor FROM order_") == [("PAID", 9900)]


async def test_dead_lease_is_resumed_by_one_of_fifty(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("create", stop)
    await died(bench, bench.pay(viewer, order, key="k"))
    bench.clock.pass_us(REQUEST_LEASE_US)
    await fifty(bench, lambda worker: worker.pay(viewer, order, key="k"))
    assert bench.channel.calls == [("create", f"{order.number}-1"), ("query", f"{order.number}-1")]
    assert (await bench.order_now(order.id)).status is OrderStatus.PAID


async def test_worker_finishes_what_a_dead_process_left(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    bench.channel.then("create", stop)
    await died(bench, bench.buy(viewer, listing, key="k"))
    assert await bench.rival().claimed() == []
    bench.clock.pass_us(45_000_000)
    assert await bench.rival().work() == 1
    assert await bench.rows("SELECT status FROM order_") == [("PAID",)]
    bench.clock.pass_us(15_000_000)
    answer = await bench.buy(viewer, listing, key="k")
    assert isinstance(answer.value, PaymentAttempt)
    assert (answer.value.state, bench.channel.count("create")) == (AttemptState.CHARGED, 1)


async def test_cancel_of_a_dead_process_is_resumed(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, _ = await bench.waiting(viewer, told=result(Outcome.ACTION))
    bench.channel.then("void", stop)

    async def cancel() -> Answer[Order]:
        return await orders.cancel_order(bench.hub, viewer, order_id=order.id, idempotency_key="k")

    await died(bench, cancel())
    with pytest.raises(InProgress):
        await cancel()
    bench.clock.pass_us(REQUEST_LEASE_US)
    answer = await cancel()
    assert answer.value is not None
    assert answer.value.status is OrderStatus.CANCELED
    assert (await cancel()).is_replay


async def test_fault_before_the_first_commit_leaves_no_request(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    vault, bench.vault = bench.vault, BrokenVault()  # type: ignore[assignment]  # it has the one method that fails
    with pytest.raises(RuntimeError):
        await bench.buy(viewer, listing, key="k")
    bench.vault = vault
    assert await bench.one("SELECT count(*) FROM request") == 0
    assert await bench.one("SELECT count(*) FROM order_") == 0
    assert not (await bench.buy(viewer, listing, key="k")).is_replay


class BrokenVault:
    def platform_key(self, _platform_id: str) -> bytes:
        raise RuntimeError("the keys cannot be read")


# ---- what may not be bought ------------------------------------------------------------------------------------------


async def refused(bench: Bench, answer: Answer[Any]) -> Refusal | None:
    """The refusal, once it is sure that it left nothing behind and asked nobody."""
    assert answer.value is None
    assert await counts(bench) == dict.fromkeys(await counts(bench), 0)
    assert bench.channel.calls == []
    return answer.refusal


async def test_price_that_changed_between_reading_and_paying_is_told(bench: Bench) -> None:
    viewer = await bench.world.learner()
    platform = await catalogue.connect_platform(bench.hub, slug="xue", name="Xue", currency="CNY")
    draft = ListingDraft("c-1", "Knots", price=Money(9900, "CNY"))
    listing = (await catalogue.upsert_listing(bench.hub, partner(platform), draft)).value
    assert listing is not None
    order = await bench.order(viewer, listing)
    dearer = replace(draft, price=Money(10900, "CNY"))
    await catalogue.upsert_listing(bench.hub, partner(platform), dearer)
    answer = await bench.buy(viewer, listing, key="k", expected=Money(9900, "CNY"))
    assert answer.refusal == PriceChanged(10900, "CNY")
    assert bench.channel.calls == []
    assert (await bench.pay(viewer, order)).refusal is None, "an order keeps the price that it froze"
    assert (await bench.order_now(order.id)).received_minor == 9900


@pytest.mark.parametrize("expected", [Money(9899, "CNY"), Money(9900, "USD"), Money(0, "CNY")])
async def test_other_price_than_the_listings_is_told(bench: Bench, expected: Money) -> None:
    answer = await bench.buy(await bench.world.learner(), await bench.world.listing(), expected=expected)
    assert await refused(bench, answer) == PriceChanged(9900, "CNY")


async def test_unknown_price_cannot_be_bought(bench: Bench) -> None:
    listing = await bench.world.listing(price_minor=None)
    answer = await bench.buy(await bench.world.learner(), listing, expected=Money(0, "CNY"))
    assert isinstance(await refused(bench, answer), NotPurchasable)


async def test_withdrawn_listing_cannot_be_bought(bench: Bench) -> None:
    listing = await bench.world.listing(state=ListingState.WITHDRAWN)
    answer = await bench.buy(await bench.world.learner(), listing)
    assert isinstance(await refused(bench, answer), NotPurchasable)


async def test_suspended_merchant_sells_nothing(bench: Bench) -> None:
    platform = await bench.world.platform(merchant_state=MerchantState.SUSPENDED)
    answer = await bench.buy(await bench.world.learner(), await bench.world.listing(platform=platform))
    assert isinstance(await refused(bench, answer), NotPurchasable)


async def test_provisional_user_cannot_spend(bench: Bench) -> None:
    viewer = await bench.world.learner(state=UserState.PROVISIONAL)
    assert await refused(bench, await bench.buy(viewer, await bench.world.listing())) == ProvisionalUser()


async def test_unknown_listing_is_not_found(bench: Bench) -> None:
    listing = replace(await bench.world.listing(), id="lst_00000000000000000000000000")
    assert await refused(bench, await bench.buy(await bench.world.learner(), listing)) == NotFound("listingId")


async def test_unknown_channel_and_amount_that_it_does_not_take_are_refused_before_any_call(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    answer = await bench.buy(viewer, listing, channel="paypal")
    assert isinstance(await refused(bench, answer), ChannelUnavailable)
    bench.channel.capabilities = replace(bench.channel.capabilities, currencies={"CNY": AmountRange(1, 9899)})
    answer = await bench.buy(viewer, listing, key="key-2")
    assert isinstance(await refused(bench, answer), ChannelUnavailable)


async def test_course_that_is_owned_is_not_sold_again(bench: Bench) -> None:
    viewer, course = await bench.world.learner(), await bench.world.course()
    here = await bench.world.listing(course=course)
    there = await bench.world.listing(course=course, platform=await bench.world.platform("bo"))
    await bench.buy(viewer, here)
    answer = await bench.buy(viewer, there, key="key-2")
    assert isinstance(answer.refusal, AlreadyEntitled)
    assert bench.channel.count("create") == 1


async def test_order_of_another_buyer_is_not_found(bench: Bench) -> None:
    order = await bench.order(await bench.world.learner(), await bench.world.listing())
    stranger = await bench.world.learner()
    assert (await bench.pay(stranger, order)).refusal == NotFound("orderId")
    answer = await orders.cancel_order(bench.hub, stranger, order_id=order.id, idempotency_key="k")
    assert (answer.value, answer.refusal) == (None, NotFound("orderId"))
    assert (await bench.order_now(order.id)).status is OrderStatus.AWAITING_PAYMENT


# ---- one buyer, one course, several orders ---------------------------------------------------------------------------


async def test_second_order_of_a_course_is_not_paid_once_the_first_is(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    first, second = await bench.order(viewer, listing, key="1"), await bench.order(viewer, listing, key="2")
    await bench.pay(viewer, first, key="pay 1")
    calls = len(bench.channel.calls)
    refused = await bench.pay(viewer, second, key="pay 2")
    assert isinstance(refused.refusal, AlreadyEntitled)
    assert len(bench.channel.calls) == calls
    assert (await bench.order_now(second.id)).attempts == 0


async def test_course_paid_by_two_orders_at_once_is_shown_to_a_person(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    first, second = await bench.order(viewer, listing, key="1"), await bench.order(viewer, listing, key="2")
    bench.channel.then("create", result(Outcome.PENDING)).then("create", result(Outcome.PENDING))
    await bench.pay(viewer, first, key="pay 1")
    await bench.pay(viewer, second, key="pay 2")
    bench.clock.pass_us(2_000_000)
    await bench.work()
    assert [(await bench.order_now(order.id)).status for order in (first, second)] == [OrderStatus.PAID] * 2
    assert await bench.break_kinds() == ["DUPLICATE"]
    assert await bench.one("SELECT count(*) FROM entitlement") == 1  # one right, with two sources
    grants = await bench.grants(first.user_id, first.course_id)
    assert sorted(grant.source_ref for grant in grants) == sorted([first.id, second.id])
    await bench.assert_books_fold()
