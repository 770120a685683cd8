"""Late money and surplus money go back by themselves; what a bank asks for waits for the end of that."""

from typing import Any

from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.ledger import escrow
from hub.domain.money import Money
from hub.domain.payments import PaymentAttempt
from hub.domain.refunds import LateMoney
from hub.flows import notices
from tests.flows.benches import Bench
from tests.flows.refunding import AT, ask, figures, given, paid_late, sold
from tests.flows.scripted import DECLINED, charged, contested, delivery
from tests.world import SECOND_US, operator

# ---- late and surplus money ------------------------------------------------------------------------------------------


async def test_late_money_goes_back_by_itself_and_is_reported(shop: Bench) -> None:
    order, _ = await paid_late(shop)
    assert (await figures(shop, order))[:2] == ("EXPIRED", "LATE_PAYMENT")
    await shop.work()
    assert await figures(shop, order) == ("EXPIRED", "NONE", "NONE", 9900, 0, 0, [])
    assert (await shop.break_kinds(), shop.channel.count("refund")) == (["LATE_PAYMENT"], 1)
    await shop.assert_books_fold()


async def test_late_money_reopens_the_order_where_its_merchant_wants_that(shop: Bench) -> None:
    listing = await shop.world.listing()

    async def wish(tx: Any) -> None:
        await tx.refunds.set_late_money(listing.merchant_id, LateMoney.REOPEN, AT)

    await shop.store.write(wish)
    order, _ = await paid_late(shop)
    await shop.work()
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 0, 0, 9900, ["ACTIVE"])
    assert (await shop.break_kinds(), shop.channel.count("refund")) == ([], 0)


async def test_what_came_twice_goes_back_once_and_the_price_and_the_right_stay(shop: Bench) -> None:
    order, seller = await sold(shop)
    [attempt] = await shop.attempts(order.id)
    twice = charged(attempt, movement_ref="again")
    for event in ("one", "two"):
        await notices.receive(shop.hub, "sandbox", delivery(f"{event} {order.id}", attempt.key, twice))
    assert (await figures(shop, order))[1] == "OVERCHARGED"
    await shop.work()
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 1000, 0, 1000, ["ACTIVE"])
    assert (await shop.break_kinds(), shop.channel.count("refund")) == (["DUPLICATE"], 1)
    await given(shop, seller, order)
    assert await figures(shop, order) == ("REFUNDED", "FULL", "REVOKED", 2000, 0, 0, ["REVOKED"])


async def test_surplus_money_whose_return_is_refused_waits_for_a_person(shop: Bench) -> None:
    order, _ = await sold(shop)
    [attempt] = await shop.attempts(order.id)
    shop.channel.then("refund", DECLINED)
    twice = charged(attempt, movement_ref="again")
    await notices.receive(shop.hub, "sandbox", delivery(f"one {order.id}", attempt.key, twice))
    await shop.work()
    assert (await figures(shop, order))[1:6] == ("OVERCHARGED", "FULFILLED", 0, 0, 2000)
    assert (await shop.break_kinds(), shop.channel.count("refund")) == (["DUPLICATE"], 1)


async def test_money_that_comes_again_after_the_whole_went_back_is_the_price_until_it_goes_too(shop: Bench) -> None:
    order, seller = await sold(shop)
    await given(shop, seller, order)
    assert (await figures(shop, order))[::6] == ("REFUNDED", ["REVOKED"])
    [attempt] = await shop.attempts(order.id)
    again = charged(attempt, movement_ref="again")
    await notices.receive(shop.hub, "sandbox", delivery(f"one {order.id}", attempt.key, again))
    assert (await figures(shop, order))[::6] == ("PARTIALLY_REFUNDED", ["ACTIVE"])
    await shop.work()
    assert (await figures(shop, order))[::6] == ("REFUNDED", ["REVOKED"])


async def test_surplus_beside_a_refund_of_the_price_goes_back_as_well(shop: Bench) -> None:
    order, seller = await sold(shop)
    await given(shop, seller, order, 300)
    [attempt] = await shop.attempts(order.id)
    twice = charged(attempt, movement_ref="again")
    await notices.receive(shop.hub, "sandbox", delivery(f"one {order.id}", attempt.key, twice))
    await shop.work()
    assert await figures(shop, order) == ("PARTIALLY_REFUNDED", "FULL", "FULFILLED", 1300, 0, 700, ["ACTIVE"])


# ---- beside a dispute ------------------------------------------------------------------------------------------------


async def test_what_the_payers_bank_asks_for_is_not_given_back_before_that_ends(shop: Bench) -> None:
    order, seller = await sold(shop)
    await given(shop, seller, order, 300, "before")
    [attempt] = await shop.attempts(order.id)

    async def word(state: DisputeState, at: int) -> None:
        told = DisputeWord("dp_1", state, Money(1000, "CNY"), None, None)
        await notices.receive(shop.hub, "sandbox", contested(attempt, told, AT + at))

    await word(DisputeState.NEEDS_RESPONSE, 1)
    refused = (await ask(shop, seller, order, 100, "during")).refusal
    assert refused is not None
    assert (refused.code, shop.channel.count("refund")) == ("DISPUTE_OPEN", 1)
    await word(DisputeState.LOST, 2)
    refused = (await ask(shop, seller, order, 1, "after")).refusal
    assert refused is not None
    assert refused.code == "REFUND_EXCEEDS"  # one deduction: what was left of it is lost
    assert await shop.balance(escrow(order.id)) == 0
    await word(DisputeState.WON, 3)
    assert (await given(shop, seller, order, 700, "won")).state == "SUCCEEDED"
    await shop.assert_books_fold()


async def test_surplus_waits_for_the_end_of_a_dispute(shop: Bench) -> None:
    order, _ = await sold(shop)
    [attempt] = await shop.attempts(order.id)
    for state, at in ((DisputeState.NEEDS_RESPONSE, 1), (DisputeState.WON, 2)):
        told = DisputeWord("dp_1", state, Money(1000, "CNY"), None, None)
        await notices.receive(shop.hub, "sandbox", contested(attempt, told, AT + at))
        twice = charged(attempt, movement_ref="again")
        await notices.receive(shop.hub, "sandbox", delivery(f"again {order.id}", attempt.key, twice))
        await shop.work()
        assert shop.channel.count("refund") == 0
    shop.clock.pass_us(2 * 3600 * SECOND_US)
    await shop.work()
    assert (await figures(shop, order))[1:6] == ("FULL", "FULFILLED", 1000, 0, 1000)


async def test_a_charge_that_the_bank_took_back_gives_nothing_more_and_another_one_does(shop: Bench) -> None:
    viewer = await shop.world.learner()
    order, _ = await shop.waiting(viewer, told=DECLINED)
    assert isinstance((await shop.pay(viewer, order, "second")).value, PaymentAttempt)
    first, second = await shop.attempts(order.id)
    for state, at in ((DisputeState.NEEDS_RESPONSE, 1), (DisputeState.LOST, 2)):
        told = DisputeWord("dp_1", state, second.amount, None, None)
        await notices.receive(shop.hub, "sandbox", contested(second, told, AT + at))
    await notices.receive(shop.hub, "sandbox", delivery("late", first.key, charged(first)))
    refund = await given(shop, operator(), order, 1)
    assert (refund.attempt_id, refund.state) == (first.id, "SUCCEEDED")
    await shop.work()
    given_by = await shop.rows("SELECT DISTINCT attempt_id FROM refund")
    assert given_by == [(first.id,)]
    await shop.assert_books_fold()
