"""Money goes back once, from who holds it, and never more than came; whatever is lost, told twice, or told late."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.money import Money
from hub.domain.payments import Outcome, Result, Stage
from hub.domain.refunds import LateMoney
from hub.domain.requests import Answer
from hub.flows import late, notices, refunds
from tests.flows.benches import Bench
from tests.flows.refunding import ask, figures, given, now, reservations, sold
from tests.flows.scripted import DECLINED, NEVER_SEEN, NOT_SENT, PENDING, UNKNOWN, given_back, result, word_of_refund
from tests.world import DAY_US, SECOND_US, operator, partner

# ---- one refund ------------------------------------------------------------------------------------------------------


async def test_a_whole_refund_empties_the_escrow_ends_the_right_and_tells_its_parties(shop: Bench) -> None:
    order, seller = await sold(shop)
    refund = await given(shop, seller, order)
    assert (refund.state, refund.key, refund.amount.amount_minor) == ("SUCCEEDED", f"{order.number}-1-R1", 1000)
    assert await figures(shop, order) == ("REFUNDED", "FULL", "REVOKED", 1000, 0, 0, ["REVOKED"])
    assert await reservations(shop) == ["POSTED"]
    await shop.assert_books_fold()
    await shop.store.stamp()
    told = await shop.rows(
        "SELECT kind, stream FROM event WHERE kind IN ('REFUND_CHANGED', 'ORDER_REFUNDED', 'ENTITLEMENT_REVOKED')"
    )
    streams = {"hub", order.user_id, order.platform_id}
    assert sorted(told) == sorted(
        (kind, stream)
        for kind in ("REFUND_CHANGED",) * 3 + ("ORDER_REFUNDED", "ENTITLEMENT_REVOKED")
        for stream in streams
    )


async def test_parts_add_up_to_a_whole_and_nothing_is_left_to_give(shop: Bench) -> None:
    order, seller = await sold(shop)
    await given(shop, seller, order, 300, "a")
    assert await figures(shop, order) == ("PARTIALLY_REFUNDED", "FULL", "FULFILLED", 300, 0, 700, ["ACTIVE"])
    await given(shop, seller, order, 300, "b")  # of equal amount: another movement
    await given(shop, seller, order, None, "c")
    assert await figures(shop, order) == ("REFUNDED", "FULL", "REVOKED", 1000, 0, 0, ["REVOKED"])
    refused = (await ask(shop, seller, order, 1, "d")).refusal
    assert refused is not None
    assert (refused.code, shop.channel.count("refund")) == ("REFUND_EXCEEDS", 3)


@pytest.mark.parametrize(("minor", "code"), [(1001, "REFUND_EXCEEDS"), (0, "REFUND_EXCEEDS")])
async def test_more_than_came_and_nothing_are_refused_without_a_row(shop: Bench, minor: int, code: str) -> None:
    order, seller = await sold(shop)
    refused = (await ask(shop, seller, order, minor)).refusal
    assert refused is not None
    assert (refused.code, await shop.one("SELECT count(*) FROM refund"), await reservations(shop)) == (code, 0, [])


async def test_who_may_not_refund_and_what_cannot_be_refunded(shop: Bench) -> None:
    order, seller = await sold(shop)
    stranger = partner(await shop.world.platform("other"))
    unpaid, _ = await shop.waiting()
    refusals = [
        (await ask(shop, stranger, order)).refusal,
        (await ask(shop, operator(), unpaid)).refusal,
    ]
    shop.channel.capabilities = replace(shop.channel.capabilities, can_refund_partly=False)
    refusals.append((await ask(shop, seller, order, 999, "part")).refusal)
    shop.channel.capabilities = replace(shop.channel.capabilities, can_refund=False)
    refusals.append((await ask(shop, seller, order, None, "whole")).refusal)
    assert [refusal and refusal.code for refusal in refusals] == [
        "NOT_FOUND", "NOT_REFUNDABLE", "CHANNEL_UNAVAILABLE", "CHANNEL_UNAVAILABLE",
    ]  # fmt: skip


async def test_a_key_that_was_revoked_a_moment_ago_moves_no_money_and_sets_no_policy(shop: Bench) -> None:
    order, seller = await sold(shop)
    gone = replace(seller, key_id="key_00000000000000000000000000")
    shop.channel.then("refund", NOT_SENT)
    refund = await given(shop, seller, order, 300)
    told: list[Answer[Any]] = [
        await ask(shop, gone, order, 100, "gone"),
        await refunds.cancel(shop.hub, gone, refund_id=refund.id, idempotency_key="c-1"),
        await late.set_policy(shop.hub, gone, order.merchant_id, LateMoney.REOPEN),
    ]
    assert [one.refusal and one.refusal.code for one in told] == ["STATE_CONFLICT"] * 3
    assert ((await now(shop, refund)).state, shop.channel.count("refund")) == ("REQUESTED", 1)


async def test_the_same_key_gives_back_once(shop: Bench) -> None:
    order, seller = await sold(shop)
    first, again = await ask(shop, seller, order, 400), await ask(shop, seller, order, 400)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert first.value is not None
    assert again.value is not None
    assert (first.value.id, shop.channel.count("refund")) == (again.value.id, 1)


async def test_of_two_refunds_of_7_of_10_at_once_one_is_refused(shop: Bench) -> None:
    order, seller = await sold(shop, 10)
    answers = await asyncio.gather(*(ask(worker, seller, order, 7, f"key {worker.owner}")
                                     for worker in (shop, shop.rival())))  # fmt: skip
    codes = sorted("" if answer.refusal is None else answer.refusal.code for answer in answers)
    assert codes == ["", "REFUND_EXCEEDS"]
    assert (await figures(shop, order))[3:6] == (7, 0, 3)


async def test_of_20_refunds_of_1_of_10_at_once_10_are_refused_and_no_figure_is_negative(shop: Bench) -> None:
    order, seller = await sold(shop, 10)
    answers = await asyncio.gather(*(ask(shop, seller, order, 1, f"key {n}") for n in range(20)))
    assert sum(answer.refusal is None for answer in answers) == 10
    assert await figures(shop, order) == ("REFUNDED", "FULL", "REVOKED", 10, 0, 0, ["REVOKED"])
    assert await reservations(shop) == ["POSTED"] * 10


# ---- what is lost, refused, or told late -----------------------------------------------------------------------------


async def test_what_the_channel_refuses_frees_its_money(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", replace(DECLINED, code="no_funds"))
    refund = await given(shop, seller, order, 700)
    assert (refund.state, refund.code) == ("FAILED", "no_funds")
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 0, 0, 1000, ["ACTIVE"])
    assert await reservations(shop) == ["VOIDED"]
    assert (await given(shop, seller, order, 700, "again")).state == "SUCCEEDED"


async def test_a_lost_answer_keeps_the_money_promised_until_the_channel_says_what_became_of_it(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN).then("query_refund", UNKNOWN, PENDING)
    refund = await given(shop, seller, order, 700)
    assert refund.state == "UNKNOWN"
    assert (await figures(shop, order))[3:6] == (0, 700, 1000)
    refused = (await ask(shop, seller, order, 301, "more")).refusal
    assert refused is not None
    for state in ("UNKNOWN", "PENDING", "SUCCEEDED"):
        shop.clock.pass_us(20 * SECOND_US)
        await shop.work()
        assert (await now(shop, refund)).state == state
    assert (await figures(shop, order))[3:6] == (700, 0, 300)
    assert shop.channel.count("refund") == 1
    shop.clock.pass_us(DAY_US)
    await shop.work()
    assert shop.channel.count("query_refund") == 3


async def test_time_alone_ends_no_refund_but_a_person_is_told_after_a_day(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN).then("query_refund", *[UNKNOWN] * 50)
    refund = await given(shop, seller, order)
    for _ in range(30):
        shop.clock.pass_us(3600 * SECOND_US)
        await shop.work()
    assert ((await now(shop, refund)).state, await shop.break_kinds()) == ("UNKNOWN", ["UNRESOLVED"])
    assert (await figures(shop, order))[3:6] == (0, 1000, 1000)


@pytest.mark.parametrize("lost", [NOT_SENT, UNKNOWN], ids=["refused on the way", "never seen"])
async def test_what_the_channel_never_had_is_sent_again_under_the_same_key(shop: Bench, lost: Result) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", lost).then("query_refund", NEVER_SEEN)
    refund = await given(shop, seller, order)
    shop.clock.pass_us(3 * SECOND_US)
    await shop.work()
    refund = await now(shop, refund)
    assert (refund.state, refund.calls) == ("SUCCEEDED", 2)
    assert [key for method, key in shop.channel.calls if method == "refund"] == [refund.key] * 2
    assert (await figures(shop, order))[3:6] == (1000, 0, 0)


async def test_never_seen_is_not_believed_too_soon(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.capabilities = replace(shop.channel.capabilities, not_found_after_ms=60_000)
    shop.channel.then("refund", UNKNOWN).then("query_refund", NEVER_SEEN)
    refund = await given(shop, seller, order)
    shop.clock.pass_us(3 * SECOND_US)
    await shop.work()
    assert ((await now(shop, refund)).state, shop.channel.count("refund")) == ("UNKNOWN", 1)


async def test_one_over_which_processes_died_is_asked_about_again_by_its_age(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", UNKNOWN).then("query_refund", PENDING)
    refund = await given(shop, seller, order)
    shop.clock.pass_us(61 * SECOND_US)
    await shop.die(times=6)
    [task] = await shop.claimed()
    assert await shop.run(task) == refund.created_at_us + (2 + 5 + 15 + 60) * SECOND_US


async def test_success_over_another_amount_moves_nothing_and_is_shown_to_a_person(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", lambda r: given_back(r, amount=Money(600, "CNY")))  # type: ignore[arg-type]  # a script's step takes the refund that it answers
    refund = await given(shop, seller, order, 700)
    assert (refund.state, await shop.break_kinds()) == ("SUBMITTED", ["AMOUNT"])
    assert (await figures(shop, order))[3:6] == (0, 700, 1000)


async def test_a_refund_that_fails_after_all_is_reversed_by_its_own_parts_and_the_right_stands_again(
    shop: Bench,
) -> None:
    order, seller = await sold(shop)
    refund = await given(shop, seller, order)
    await notices.receive(shop.hub, "sandbox", word_of_refund("evt 1", f"{order.number}-1", refund.key, DECLINED))
    assert (await now(shop, refund)).state == "REVERSED"
    assert await figures(shop, order) == ("PAID", "FULL", "FULFILLED", 0, 0, 1000, ["ACTIVE"])
    assert await reservations(shop) == ["POSTED"]
    await shop.assert_books_fold()


async def test_a_notice_of_a_refund_that_nobody_asked_for_is_shown_to_a_person(shop: Bench) -> None:
    order, _ = await sold(shop)
    told = result(Outcome.DONE, Stage.REFUNDED, Money(100, "CNY"))
    for event, name, said in (
        ("evt 1", "re_1", told), ("evt 1", "re_1", told), ("evt 2", "re_1", PENDING), ("evt 3", "re_2", told),
        ("evt 4", "re_3", DECLINED),
    ):  # fmt: skip
        await notices.receive(shop.hub, "sandbox", word_of_refund(event, f"{order.number}-1", name, said))
    found = [(one.kind, one.subject_id, one.order_id) for one in await shop.breaks()]
    assert sorted(found) == [
        ("MISSING_LOCALLY", "sandbox/re_1", order.id), ("MISSING_LOCALLY", "sandbox/re_2", order.id),
    ]  # fmt: skip
    assert "100 CNY" in (await shop.breaks())[0].detail
    assert (await figures(shop, order))[3:6] == (0, 0, 1000)
    assert await shop.rows("SELECT DISTINCT state FROM notice_inbox") == [("APPLIED",)]


async def test_a_notice_that_names_another_charges_refund_moves_nothing_and_is_shown_to_a_person(shop: Bench) -> None:
    order, seller = await sold(shop)
    shop.channel.then("refund", PENDING)
    refund = await given(shop, seller, order, 300)
    _, stranger = await shop.waiting(told=PENDING)
    told = word_of_refund("evt 1", stranger.key, refund.key, given_back(refund))
    await notices.receive(shop.hub, "sandbox", told)
    assert ((await now(shop, refund)).state, await shop.break_kinds()) == ("PENDING", ["STATUS"])
