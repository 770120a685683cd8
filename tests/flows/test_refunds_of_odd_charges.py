"""Refunds of what came in two currencies or twice, and of what the payer's bank took part of: numbers never collide,
what is offered is what is accepted, and lost money counts as gone."""

import random
from dataclasses import replace
from itertools import permutations

import pytest

from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.ledger import escrow
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import Outcome, PaymentAttempt
from hub.domain.people import Viewer
from hub.flows import notices, orders, refunds
from hub.flows.refund_plans import Asked, abilities, refundable
from hub.flows.refunds import RefundRequest
from tests.flows.benches import Bench
from tests.flows.refunding import AT, ask, figures, given, paid_late, sold
from tests.flows.scripted import DECLINED, PENDING, UNKNOWN, charged, contested, delivery, given_back, word_of_refund
from tests.world import DAY_US, SECOND_US, partner


async def again(bench: Bench, order: Order, amount: Money | None = None, ref: str = "again") -> PaymentAttempt:
    """The same attempt took money once more."""
    [attempt] = await bench.attempts(order.id)
    told = charged(attempt, movement_ref=ref, amount=amount or attempt.amount)
    await notices.receive(bench.hub, "sandbox", delivery(f"{ref} {order.id}", attempt.key, told))
    return attempt


async def contest(
    bench: Bench, attempt: PaymentAttempt, state: DisputeState, minor: int, ref: str = "dp_1", at: int = 1
) -> None:
    told = DisputeWord(ref, state, Money(minor, attempt.amount.currency), None, None)
    await notices.receive(bench.hub, "sandbox", contested(attempt, told, AT + at))


async def test_refunds_of_an_attempt_that_took_two_currencies_have_their_own_numbers(shop: Bench) -> None:
    order, seller = await sold(shop)
    await again(shop, order, Money(500, "USD"))
    first = await given(shop, seller, order, 300, "yuan")
    second = await ask(shop, seller, replace(order, total=Money(1000, "USD")), 200, "dollars")
    third = await given(shop, seller, order, 100, "yuan again")
    assert second.value is not None
    assert [(one.number, one.key, one.amount, one.state) for one in (first, second.value, third)] == [
        (1, f"{order.number}-1-R1", Money(300, "CNY"), "SUCCEEDED"),
        (2, f"{order.number}-1-R2", Money(200, "USD"), "SUCCEEDED"),
        (3, f"{order.number}-1-R3", Money(100, "CNY"), "SUCCEEDED"),
    ]
    assert await shop.balance(escrow(order.id)) == 600
    assert await shop.balance("suspense:sandbox", "USD") == 300
    await shop.assert_books_fold()


async def test_refunds_of_an_attempt_that_took_the_price_twice_have_their_own_numbers(shop: Bench) -> None:
    order, seller = await sold(shop)
    await again(shop, order)
    first = await given(shop, seller, order, 1500, "more than one of the two")
    await shop.work()
    assert first.state == "SUCCEEDED"
    keys = await shop.rows("SELECT key, amount_minor FROM refund ORDER BY number")
    assert keys == [(f"{order.number}-1-R1", 1500), (f"{order.number}-1-R2", 500)]
    assert (await figures(shop, order))[3:6] == (2000, 0, 0)
    await shop.assert_books_fold()


async def paid_in_part(bench: Bench) -> tuple[Order, Viewer]:
    """400 of 1000 came."""
    platform = await bench.world.platform()
    listing = await bench.world.listing(price_minor=1000, platform=platform)
    order, attempt = await bench.waiting(listing=listing, told=replace(UNKNOWN, outcome=Outcome.ACTION))
    part = charged(attempt, movement_ref="part", amount=Money(400, "CNY"))
    await notices.receive(bench.hub, "sandbox", delivery("part", attempt.key, part))
    return order, partner(platform)


async def test_what_was_given_back_before_the_price_came_is_no_part_of_it(shop: Bench) -> None:
    order, seller = await paid_in_part(shop)
    first = await given(shop, seller, order, 400)
    assert (await figures(shop, order))[:2] == ("AWAITING_PAYMENT", "NONE")
    await again(shop, order)
    await shop.work()
    assert first.state == "SUCCEEDED"
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 400, 0, 1000, ["ACTIVE"])
    second = await given(shop, seller, order, 1000, "the price")
    assert second.state == "SUCCEEDED"
    assert await figures(shop, order) == ("REFUNDED", "FULL", "REVOKED", 1400, 0, 0, ["REVOKED"])
    await shop.assert_books_fold()


async def test_an_order_is_paid_once_what_was_to_go_back_of_its_price_does_not(shop: Bench) -> None:
    order, seller = await paid_in_part(shop)
    shop.channel.then("refund", PENDING)
    refund = await given(shop, seller, order, 400)
    await again(shop, order, Money(600, "CNY"), "the rest")
    assert (await figures(shop, order))[:2] == ("AWAITING_PAYMENT", "FULL")
    told = word_of_refund("evt 1", f"{order.number}-1", refund.key, DECLINED)
    await notices.receive(shop.hub, "sandbox", told)
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 0, 0, 1000, ["ACTIVE"])
    assert await shop.rows("SELECT grant_id IS NULL FROM leaf WHERE is_superseded = 0") == [(0,)]
    await shop.assert_books_fold()


async def test_what_is_left_with_an_order_that_closes_goes_back(shop: Bench) -> None:
    order, seller = await paid_in_part(shop)
    shop.channel.then("refund", PENDING)
    await given(shop, seller, order, 400)
    await again(shop, order, Money(600, "CNY"), "the rest")
    shop.clock.pass_us(2 * DAY_US)
    await orders.expire_orders(shop.hub)
    assert (await figures(shop, order))[:2] == ("EXPIRED", "LATE_PAYMENT")
    shop.channel.then("query_refund", PENDING)
    await shop.work()
    keys = await shop.rows("SELECT key, amount_minor, state FROM refund ORDER BY number")
    assert keys == [(f"{order.number}-1-R1", 400, "PENDING"), (f"{order.number}-1-R2", 600, "SUCCEEDED")]
    await shop.assert_books_fold()


# ---- surplus and what the bank took ----------------------------------------------------------------------------------

STEPS = ("again", "opened", "lost")


@pytest.mark.parametrize("arrival", [order for order in permutations(STEPS) if order.index("opened") < 2])
async def test_what_a_lost_dispute_took_is_no_surplus_and_the_price_that_is_left_keeps_its_right(
    shop: Bench, arrival: tuple[str, ...]
) -> None:
    order, _ = await sold(shop)
    [attempt] = await shop.attempts(order.id)
    for step in arrival:
        if step == "again":
            await again(shop, order)
        else:
            state = DisputeState.LOST if step == "lost" else DisputeState.NEEDS_RESPONSE
            await contest(shop, attempt, state, 1000, at=5 if step == "lost" else 1)
    for _ in range(3):
        shop.clock.pass_us(3700 * SECOND_US)
        await shop.work()
    assert await figures(shop, order) == ("PAID", "OVERCHARGED", "FULFILLED", 0, 0, 1000, ["ACTIVE"])
    assert shop.channel.count("refund") == 0
    await shop.assert_books_fold()


async def test_of_surplus_that_the_bank_took_in_part_the_rest_goes_back(shop: Bench) -> None:
    order, _ = await sold(shop)
    attempt = await again(shop, order)
    await contest(shop, attempt, DisputeState.LOST, 300)
    await shop.work()
    assert await figures(shop, order) == ("PAID", "OVERCHARGED", "FULFILLED", 700, 0, 1000, ["ACTIVE"])


async def test_what_made_up_for_a_loss_goes_back_once_the_bank_takes_the_loss_back(shop: Bench) -> None:
    order, _ = await sold(shop)
    attempt = await again(shop, order)
    await contest(shop, attempt, DisputeState.LOST, 1000)
    await shop.work()
    await contest(shop, attempt, DisputeState.WON, 1000, at=2)
    await shop.work()
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 1000, 0, 1000, ["ACTIVE"])


async def test_a_loss_beyond_the_surplus_ends_the_right(shop: Bench) -> None:
    order, _ = await sold(shop)
    attempt = await again(shop, order)
    await contest(shop, attempt, DisputeState.LOST, 1000)
    assert (await figures(shop, order))[6] == ["ACTIVE"]
    await contest(shop, attempt, DisputeState.LOST, 1, "dp_2")
    await shop.work()
    assert (await figures(shop, order))[3:] == (0, 0, 999, ["REVOKED"])


async def test_a_loss_after_the_surplus_went_back_ends_the_right_and_one_that_failed_to_go_keeps_it(
    shop: Bench,
) -> None:
    order, _ = await sold(shop)
    attempt = await again(shop, order)
    await shop.work()
    await contest(shop, attempt, DisputeState.LOST, 1000)
    assert (await figures(shop, order))[3:] == (1000, 0, 0, ["REVOKED"])
    key = f"{order.number}-1-R1"
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt failed", attempt.key, key, DECLINED))
    assert (await figures(shop, order))[3:] == (0, 0, 1000, ["ACTIVE"])
    await shop.work()
    assert shop.channel.count("refund") == 1


async def test_late_money_that_the_bank_took_does_not_go_back_as_well(shop: Bench) -> None:
    order, _ = await paid_late(shop)
    [attempt] = await shop.attempts(order.id)
    await contest(shop, attempt, DisputeState.LOST, 9900)
    await shop.work()
    assert shop.channel.count("refund") == 0
    assert await shop.balance(escrow(order.id)) == 0


# ---- what is offered is what is accepted -----------------------------------------------------------------------------


WALK = ("again", "dollars", "refund", "refund", "NEEDS_RESPONSE", "WON", "LOST", "LOST")


async def offered(bench: Bench, order: Order) -> int:
    order = await bench.order_now(order.id)
    async with bench.store.reading() as rx:
        asked = [Asked(order.id, order.total.currency, order.kept_minor)]
        [most] = await refundable(rx, asked, abilities(bench.hub))
    return most


async def is_accepted(bench: Bench, seller: Viewer, order: Order, minor: int) -> bool:
    asked = RefundRequest(order.id, Money(minor, "CNY"), None, "unused")
    return (await refunds.preview(bench.hub, seller, asked)).refusal is None


async def test_what_an_order_offers_to_give_back_is_what_a_refund_of_it_is_accepted_for(shop: Bench) -> None:
    seed = random.SystemRandom().randrange(1, 10**9)
    chance = random.Random(seed)
    for walk in range(6 if shop.is_embedded else 2):
        order, seller = await sold(shop)
        [attempt] = await shop.attempts(order.id)
        for step in range(12):
            for channel in (shop.channel, shop.other):
                whole = chance.random() < 0.15
                channel.capabilities = replace(channel.capabilities, can_refund_partly=not whole)
            what, minor = chance.choice(WALK), chance.choice((1, 200, 700, 1000))
            match what:
                case "again":
                    await again(shop, order, Money(minor, "CNY"), f"again {step}")
                case "dollars":
                    await again(shop, order, Money(minor, "USD"), f"dollars {step}")
                case "refund":
                    shop.channel.then("refund", chance.choice((PENDING, DECLINED, lambda r: given_back(r))))
                    if (await ask(shop, seller, order, minor, f"{order.id} {step}")).value is None:
                        shop.channel.steps["refund"].clear()
                case _:
                    state = DisputeState(what)
                    await contest(shop, attempt, state, minor, f"dp {order.id} {chance.randrange(2)}", at=step)
            most = await offered(shop, order)
            can_give_parts = shop.channel.capabilities.can_refund_partly
            told = [await is_accepted(shop, seller, order, one) for one in (most, most + 1)]
            assert told == [most > 0, False], (seed, walk, step, what, most)
            if most > 1 and can_give_parts:
                assert await is_accepted(shop, seller, order, chance.randrange(1, most)), (seed, walk, step)
