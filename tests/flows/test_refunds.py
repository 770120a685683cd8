"""Money goes back once, from who holds it, and never more than came; whatever is lost, told twice, or told late."""

import asyncio
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.ledger import escrow
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import Outcome, PaymentAttempt, Result, Source, Stage
from hub.domain.people import Viewer
from hub.domain.refunds import LateMoney, Refund
from hub.domain.requests import Answer, RequestKey
from hub.domain.shares import Share, ShareAgreement, release
from hub.flows import late, notices, orders, refund_sending, refunds
from hub.flows.refund_plans import abilities
from hub.flows.refunds import RefundRequest
from tests.flows.benches import Bench
from tests.flows.scripted import (
    DECLINED,
    NEVER_SEEN,
    NOT_SENT,
    PENDING,
    REJECTED,
    UNKNOWN,
    charged,
    contested,
    delivery,
    given_back,
    result,
    word_of_refund,
)
from tests.world import DAY_US, SECOND_US, operator, partner

AT = 1_767_225_600_000_000
GONE = result(Outcome.DONE, Stage.VOIDED)


@pytest.fixture
def shop(bench: Bench) -> Bench:
    """A bench whose channels give money back, whole or in part."""
    for channel in (bench.channel, bench.other):
        channel.capabilities = replace(channel.capabilities, can_refund=True, can_refund_partly=True)
    return bench


async def sold(bench: Bench, price_minor: int = 1000) -> tuple[Order, Viewer]:
    """A paid order, and its platform's key."""
    platform = await bench.world.platform()
    listing = await bench.world.listing(price_minor=price_minor, platform=platform)
    viewer = await bench.world.learner()
    answer = await bench.buy(viewer, listing, f"buy {listing.id}")
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    return await bench.order_now(answer.value.order_id), partner(platform)


async def ask(bench: Bench, viewer: Viewer, order: Order, minor: int | None = None, key: str = "r-1") -> Answer[Refund]:
    amount = None if minor is None else Money(minor, order.total.currency)
    return await refunds.request(bench.hub, viewer, RefundRequest(order.id, amount, "not as shown", key))


async def given(bench: Bench, viewer: Viewer, order: Order, minor: int | None = None, key: str = "r-1") -> Refund:
    answer = await ask(bench, viewer, order, minor, key)
    assert answer.value is not None, answer.refusal
    return answer.value


async def now(bench: Bench, refund: Refund) -> Refund:
    async with bench.store.reading() as rx:
        found = await rx.refunds.by_id(refund.id)
    assert found is not None
    return found


async def reservations(bench: Bench) -> list[str]:
    async with bench.store.reading() as rx:
        return [one.state for one in await rx.ledger.reservations("", 99)]


async def figures(bench: Bench, order: Order) -> tuple[Any, ...]:
    """What the refunds of an order have come to, ids apart."""
    order = await bench.order_now(order.id)
    return (
        order.status, order.charge_status, order.fulfilment_status, order.refunded_minor, order.refund_reserved_minor,
        await bench.balance(escrow(order.id)),
        [grant.state for grant in await bench.grants(order.user_id, order.course_id)],
    )  # fmt: skip


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


# ---- one set of facts, one end ---------------------------------------------------------------------------------------

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
        await bench.store.write(refund_sending.record_refund_query, refund.id, told, bench.hub.draw(), bench.vault)
    else:
        await bench.store.write(
            refund_sending.record_refund, refund.id, told, Source.ANSWER, bench.hub.draw(), bench.vault
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


# ---- late and surplus money ------------------------------------------------------------------------------------------


async def paid_late(bench: Bench) -> tuple[Order, Viewer]:
    """An order that was given up, and then paid on its page."""
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=replace(UNKNOWN, outcome=Outcome.ACTION))
    bench.channel.then("query", result(Outcome.DONE, Stage.VOIDED))
    bench.clock.pass_us(DAY_US)
    await bench.work()
    await orders.expire_orders(bench.hub)
    assert (await bench.order_now(order.id)).status == "EXPIRED"
    await notices.receive(bench.hub, "sandbox", delivery(f"late {order.id}", attempt.key, charged(attempt)))
    return order, viewer


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
