"""Refunds that no channel takes, and refunds that are called off."""

import asyncio
from typing import Any

import pytest

from hub.domain.payments import SEND_WITHIN_US, Result, Source
from hub.domain.requests import RequestKey
from hub.flows import notices, refund_sending, refunds
from hub.flows.refund_plans import abilities
from hub.flows.refunds import RefundRequest
from hub.store.tasks import LEASE_US
from tests.flows.benches import Bench, disturbed, standing_still
from tests.flows.refunding import ask, figures, given, now, reservations, sold
from tests.flows.scripted import (
    DECLINED,
    NEVER_SEEN,
    NOT_SENT,
    PENDING,
    REJECTED,
    UNKNOWN,
    charged,
    delivery,
    given_back,
    word_of_refund,
)
from tests.world import DAY_US, SECOND_US, partner

# ---- what no channel takes for a day ---------------------------------------------------------------------------------


async def test_what_no_channel_takes_is_sent_for_a_day_and_then_called_off(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", *[NOT_SENT] * 99)
    refund = await given(shop, seller, order, 700)
    for hours in range(24):
        assert ((await now(shop, refund)).state, hours) == ("REQUESTED", hours)
        shop.clock.pass_us(3600 * SECOND_US)
        await shop.work()
    sent = shop.channel.count("refund")
    assert sent > 20
    for _ in range(2):
        shop.clock.pass_us(3600 * SECOND_US)
        await shop.work()
    after = await now(shop, refund)
    assert (after.state, after.code, shop.channel.count("refund")) == ("CANCELED", "not_sent_in_time", sent)
    assert (await reservations(shop), shop.channel.count("query_refund")) == (["VOIDED"], 0)
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 0, 0, 1000, ["ACTIVE"])
    shop.channel.steps["refund"].clear()
    again = await given(shop, seller, order, 700, "anew")
    assert (again.state, again.key) == ("SUCCEEDED", f"{order.number}-1-R2")


async def test_what_may_have_arrived_is_called_off_on_its_channels_word_alone(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN, *[NOT_SENT] * 99).then("query_refund", NEVER_SEEN, UNKNOWN, NEVER_SEEN)
    refund = await given(shop, seller, order, 700)
    for _ in range(25):
        shop.clock.pass_us(3600 * SECOND_US)
        await shop.work()
    assert (await now(shop, refund)).state == "REQUESTED"  # it was asked, and said nothing
    shop.clock.pass_us(3600 * SECOND_US)
    await shop.work()
    assert ((await now(shop, refund)).state, shop.channel.count("query_refund")) == ("CANCELED", 3)


async def test_what_may_have_arrived_and_did_is_no_more_called_off(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN, *[NOT_SENT] * 99).then("query_refund", NEVER_SEEN)
    refund = await given(shop, seller, order, 700)
    for _ in range(26):
        shop.clock.pass_us(3600 * SECOND_US)
        await shop.work()
    assert (await now(shop, refund)).state == "SUCCEEDED"
    assert (await figures(shop, order))[3:6] == (700, 0, 300)


async def test_what_was_never_tried_is_sent_however_old_it_is(shop: Bench) -> None:
    order, seller = await sold(shop)
    asked, key = RefundRequest(order.id, None, None, "r-1"), RequestKey(seller.principal, "refundCreate", "r-1", "x")
    opened = await shop.store.write(
        refunds.open_refund, seller, asked, key, abilities(shop.hub), shop.hub.draw(), shop.vault
    )
    assert opened.refund is not None
    shop.clock.pass_us(2 * DAY_US)
    await shop.work()
    assert (await now(shop, opened.refund)).state == "SUCCEEDED"


async def test_surplus_that_no_channel_takes_for_a_day_goes_back_under_another_key(shop: Bench) -> None:
    order, _ = await sold(shop)
    [attempt] = await shop.attempts(order.id)
    shop.channel.then("refund", *[NOT_SENT] * 99)
    twice = charged(attempt, movement_ref="again")
    await notices.receive(shop.hub, "sandbox", delivery(f"one {order.id}", attempt.key, twice))
    for _ in range(24):
        await shop.work()
        shop.clock.pass_us(3600 * SECOND_US)
    shop.channel.steps["refund"].clear()
    shop.clock.pass_us(3600 * SECOND_US)
    await shop.work()
    states = await shop.rows("SELECT number, state FROM refund ORDER BY number")
    assert states == [(1, "CANCELED"), (2, "SUCCEEDED")]
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 1000, 0, 1000, ["ACTIVE"])


# ---- calling off -----------------------------------------------------------------------------------------------------


async def test_what_no_channel_has_can_be_called_off_and_nothing_else(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", NOT_SENT)
    refund = await given(shop, seller, order)
    assert refund.state == "REQUESTED"
    stranger = partner(await shop.world.platform("other"))
    told = await refunds.cancel(shop.hub, stranger, refund_id=refund.id, idempotency_key="c-0")
    assert told.refusal is not None
    assert told.refusal.code == "NOT_FOUND"
    for is_replay in (False, True):
        told = await refunds.cancel(shop.hub, seller, refund_id=refund.id, idempotency_key="c-1")
        assert told.value is not None
        assert (told.value.state, told.is_replay) == ("CANCELED", is_replay)
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 0, 0, 1000, ["ACTIVE"])
    assert await reservations(shop) == ["VOIDED"]
    shop.clock.pass_us(DAY_US)
    await shop.work()
    assert shop.channel.count("refund") == 1
    done = await given(shop, seller, order, None, "another")
    told = await refunds.cancel(shop.hub, seller, refund_id=done.id, idempotency_key="c-2")
    assert told.refusal is not None
    assert told.refusal.code == "STATE_CONFLICT"


async def test_a_refund_that_was_called_off_meanwhile_is_not_sent(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", NOT_SENT)
    refund = await given(shop, seller, order)
    await refunds.cancel(shop.hub, seller, refund_id=refund.id, idempotency_key="c-1")
    assert (await refund_sending.send(shop.hub, refund)).state == "CANCELED"
    assert shop.channel.count("refund") == 1


@pytest.mark.parametrize("late", [NOT_SENT, REJECTED, NEVER_SEEN], ids=["not sent", "rejected", "never seen"])
async def test_late_word_about_an_earlier_call_does_not_make_a_later_one_free_to_be_called_off(
    shop: Bench, late: Result
) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN).then("query_refund", NEVER_SEEN)
    first = await given(shop, seller, order)

    async def late_word(_: object) -> Result:
        draw = shop.hub.draw()
        if late is not NEVER_SEEN:
            await shop.store.write(refund_sending.record_refund, first, late, Source.ANSWER, draw, shop.vault)
        else:
            await shop.store.write(refund_sending.record_refund_query, first, late, draw, shop.vault)
        told = await refunds.cancel(shop.hub, seller, refund_id=first.id, idempotency_key="c-1")
        assert told.refusal is not None
        return PENDING

    shop.channel.then("refund", late_word)
    refund = await refund_sending.ask_once(shop.hub, first)
    assert (refund.state, refund.calls) == ("PENDING", 2)


async def test_a_refund_whose_call_is_late_is_written_down_anew_and_asked_for_once(shop: Bench) -> None:
    order, seller = await sold(shop)
    slow = disturbed(shop, refund_sending.submit_refund, after=standing_still(shop, SEND_WITHIN_US))
    refund = await given(slow, seller, order)
    assert (refund.state, refund.calls, shop.channel.count("refund")) == ("SUCCEEDED", 2, 1)


async def test_a_late_refund_that_was_called_off_meanwhile_is_not_asked_for(shop: Bench) -> None:
    order, seller = await sold(shop)
    rival = shop.rival()
    shop.channel.then("query_refund", NEVER_SEEN).then("refund", NOT_SENT)

    async def others_go_on() -> None:
        shop.clock.pass_us(2 * LEASE_US)
        await rival.work()
        [[refund_id]] = await shop.rows("SELECT id FROM refund")
        await refunds.cancel(rival.hub, seller, refund_id=refund_id, idempotency_key="c-1")

    refund = await given(disturbed(shop, refund_sending.submit_refund, after=others_go_on), seller, order)
    assert (refund.state, shop.channel.count("refund")) == ("CANCELED", 1)


async def test_a_late_refund_is_not_asked_for_while_others_ask_for_it(shop: Bench) -> None:
    order, seller = await sold(shop)
    rival, is_called, is_time = shop.rival(), asyncio.Event(), asyncio.Event()
    working: list[asyncio.Task[int]] = []

    async def under_way(refund: Any) -> Result:
        is_called.set()
        await is_time.wait()
        return given_back(refund)

    async def others_go_on() -> None:
        shop.clock.pass_us(2 * LEASE_US)
        working.append(asyncio.create_task(rival.work()))
        await is_called.wait()

    shop.channel.then("query_refund", NEVER_SEEN).then("refund", under_way)
    refund = await given(disturbed(shop, refund_sending.submit_refund, after=others_go_on), seller, order)
    assert (refund.state, refund.calls) == ("SUBMITTED", 2)
    is_time.set()
    await working[0]
    assert ((await now(shop, refund)).state, shop.channel.count("refund")) == ("SUCCEEDED", 1)


async def test_a_refund_that_was_called_off_and_comes_through_after_all_is_shown_to_a_person(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN, NOT_SENT).then("query_refund", NEVER_SEEN)
    refund = await refund_sending.ask_once(shop.hub, await given(shop, seller, order))
    assert (refund.state, refund.calls) == ("REQUESTED", 2)
    await refunds.cancel(shop.hub, seller, refund_id=refund.id, idempotency_key="c-1")
    for event in ("late", "later"):  # the first call was slow, and not lost
        told = word_of_refund(event, f"{order.number}-1", refund.key, given_back(refund))
        await notices.receive(shop.hub, "sandbox", told)
    assert ((await now(shop, refund)).state, await shop.break_kinds()) == ("SUCCEEDED", ["STATUS"])
    assert await figures(shop, order) == ("REFUNDED", "FULL", "REVOKED", 1000, 0, 0, ["REVOKED"])
    assert await shop.rows("SELECT state FROM notice_inbox") == [("APPLIED",), ("APPLIED",)]
    await shop.assert_books_fold()


async def test_a_refund_whose_call_was_refused_and_whose_money_moved_is_booked_and_shown_to_a_person(
    shop: Bench,
) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", REJECTED)
    refund = await given(shop, seller, order, 700)
    assert (refund.state, (await figures(shop, order))[3:6]) == ("FAILED", (0, 0, 1000))
    attempt_key = f"{order.number}-1"
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt 1", attempt_key, refund.key, PENDING))
    assert ((await now(shop, refund)).state, await shop.break_kinds()) == ("FAILED", ["STATUS"])
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt 2", attempt_key, refund.key, given_back(refund)))
    assert ((await now(shop, refund)).state, await shop.break_kinds()) == ("SUCCEEDED", ["STATUS"])
    assert (await figures(shop, order))[3:6] == (700, 0, 300)
    refused = (await ask(shop, seller, order, 301, "more")).refusal
    assert refused is not None
    assert refused.code == "REFUND_EXCEEDS"
    await shop.assert_books_fold()


async def test_money_that_went_back_although_it_was_promised_anew_is_given_by_suspense(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", REJECTED, PENDING)
    first = await given(shop, seller, order, 700, "first")
    second = await given(shop, seller, order, 800, "second")
    attempt_key = f"{order.number}-1"
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt 1", attempt_key, first.key, given_back(first)))
    first = await now(shop, first)
    assert (first.state, first.excess_minor, await shop.break_kinds()) == ("SUCCEEDED", 500, ["STATUS"])
    assert (await figures(shop, order))[3:6] == (200, 800, 800)
    assert await shop.balance("suspense:sandbox") == -500
    assert (await ask(shop, seller, order, 1, "more")).refusal is not None
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt 2", attempt_key, first.key, DECLINED))
    assert (await figures(shop, order))[3:6] == (0, 800, 1000)
    assert ((await now(shop, first)).state, await shop.balance("suspense:sandbox")) == ("REVERSED", 0)
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt 3", attempt_key, second.key, given_back(second)))
    assert (await figures(shop, order))[3:6] == (800, 0, 200)
    await shop.assert_books_fold()
