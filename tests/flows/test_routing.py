"""The hub chooses the channel: by rules, with its reasons kept; another one follows only where no money can move."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from hub.domain.orders import ChargeStatus, Order, OrderStatus
from hub.domain.payments import AttemptState, PaymentAttempt, PaymentRequest, Result
from hub.domain.people import Viewer
from hub.domain.refusals import AttemptIsLive, ChannelUnavailable, NotFound
from hub.domain.requests import Answer
from hub.domain.routing import Choice, RoutingRule
from hub.flows import attempts, notices, purchase, routing
from hub.ports import AmountRange
from tests.flows.benches import Bench
from tests.flows.scripted import (
    ACTION,
    DECLINED,
    NOT_SENT,
    PENDING,
    REJECTED,
    UNKNOWN,
    VOIDED,
    charged,
    delivery,
    result,
)
from tests.world import SECOND_US, operator, partner

S = AttemptState
HARD = result(DECLINED.outcome, code="stolen_card", decline="hard")
SLOW_DOWN = replace(NOT_SENT, code="rate_limited", retry_after_ms=30_000)


def rule(name: str, *choices: Choice, priority: int = 10) -> RoutingRule:
    return RoutingRule("", "", "", name, priority, None, None, None, choices, 0, 0, 0)


async def bought(bench: Bench, viewer: Viewer | None = None, key: str = "key-1") -> Answer[PaymentAttempt | Order]:
    """`checkout` without a channel, of the one listing of the bench's platform."""
    viewer = viewer or await bench.world.learner()
    return await bench.buy(viewer, await bench.world.listing(), key=key, channel=None)  # type: ignore[arg-type]  # no channel: the hub chooses


async def again(bench: Bench, viewer: Viewer, order: Order, key: str, **more: str | None) -> Answer[PaymentAttempt]:
    request = PaymentRequest(order.id, more.pop("channel", None), order.total, key, **more)  # type: ignore[arg-type]  # fields are given by name
    return await purchase.request_payment(bench.hub, viewer, request)


def taken(answer: Answer[PaymentAttempt | Order] | Answer[PaymentAttempt]) -> PaymentAttempt:
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    return answer.value


async def test_rules_choose_and_the_attempt_keeps_why(bench: Bench) -> None:
    platform = await bench.world.platform()
    made = rule("cheap", Choice("sandbox", 1, 300), Choice("other", 1, 60))
    answer = await routing.put_rule(bench.hub, partner(platform), made)
    assert answer.value is not None
    attempt = taken(await bought(bench))
    assert (attempt.channel, attempt.state) == ("other", S.CHARGED)
    assert attempt.routing is not None
    told = orjson.loads(attempt.routing)
    assert (told["rule"], told["chosen"]) == ({"name": "cheap", "version": 1}, "other")
    assert [(one["channel"], one["score"], one["reasons"]) for one in told["candidates"]] == [
        ("other", 8_940, []), ("sandbox", 8_700, []),
    ]  # fmt: skip


async def test_a_channel_that_fails_of_late_is_passed_by(bench: Bench) -> None:
    bench.other.then("create", *[PENDING] * 30)
    bench.channel.then("create", *[DECLINED] * 5)
    for i in range(5):
        viewer = await bench.world.learner()
        await bench.buy(viewer, await bench.world.listing(), key=f"key-{i}", channel="sandbox")
    plan = await routing.plan(bench.hub, routing.Wish(), listing_id=(await bench.world.listing()).id)
    assert plan is not None
    assert [(one.channel, one.done.tried, one.done.success_bps) for one in plan.candidates] == [
        ("other", 0, 9_000), ("sandbox", 5, 6_000),
    ]  # fmt: skip
    assert taken(await bought(bench)).channel == "other"


async def test_channels_that_do_not_fit_are_named_with_their_reasons(bench: Bench) -> None:
    for channel in (bench.channel, bench.other):
        channel.capabilities = replace(channel.capabilities, currencies={"CNY": AmountRange(10_000, 20_000)})
    answer = await bought(bench)
    assert isinstance(answer.refusal, ChannelUnavailable)
    assert answer.refusal.message.startswith("no channel can take this payment: other: it does not take 9900 minor")
    assert bench.channel.calls == bench.other.calls == []


@pytest.mark.parametrize("first", [NOT_SENT, REJECTED, SLOW_DOWN], ids=["not sent", "rejected", "429"])
async def test_what_was_never_done_goes_on_by_another_channel_under_the_same_key(bench: Bench, first: Result) -> None:
    viewer = await bench.world.learner()
    bench.other.then("create", first)
    listing = await bench.world.listing()
    attempt = taken(await bench.buy(viewer, listing, channel=None))  # type: ignore[arg-type]  # no channel: the hub chooses
    assert (attempt.number, attempt.channel, attempt.state) == (2, "sandbox", S.CHARGED)
    assert attempt.key.endswith("-2")
    replay = await bench.buy(viewer, listing, channel=None)  # type: ignore[arg-type]  # no channel: the hub chooses
    assert (replay.is_replay, taken(replay).id) == (True, attempt.id)
    assert bench.other.count("create") == bench.channel.count("create") == 1
    assert (await bench.order_now(attempt.order_id)).status is OrderStatus.PAID


@pytest.mark.parametrize("first", [UNKNOWN, PENDING, ACTION, DECLINED, HARD], ids=str)
async def test_whatever_may_have_been_done_stays_where_it_is(bench: Bench, first: Result) -> None:
    bench.other.then("create", first)
    attempt = taken(await bought(bench))
    assert (attempt.number, attempt.channel) == (1, "other")
    assert bench.channel.calls == []


async def test_a_channel_that_was_named_is_never_left_for_another(bench: Bench) -> None:
    bench.channel.then("create", NOT_SENT)
    attempt = taken(await bench.buy(await bench.world.learner(), await bench.world.listing(), channel="sandbox"))
    assert (attempt.state, attempt.routing) == (S.NOT_SENT, None)
    assert bench.other.calls == []


async def test_a_soft_decline_goes_elsewhere_at_the_buyers_next_try_and_a_hard_one_does_not(bench: Bench) -> None:
    viewer = await bench.world.learner()
    bench.other.then("create", DECLINED)
    order = await bench.order_now(taken(await bought(bench, viewer)).order_id)
    bench.channel.then("create", HARD)
    second = taken(await again(bench, viewer, order, "pay-2"))
    assert (second.channel, second.state) == ("sandbox", S.DECLINED)
    third = await again(bench, viewer, order, "pay-3")
    assert third.refusal == ChannelUnavailable(
        "", "attempt 2 was declined for good: no other channel is asked in its stead"
    )
    named = taken(await again(bench, viewer, order, "pay-4", channel="other"))
    assert named.state is S.CHARGED


async def test_the_hub_tries_three_times_and_no_more(bench: Bench) -> None:
    viewer = await bench.world.learner()
    for channel in (bench.channel, bench.other):
        channel.then("create", *[NOT_SENT] * 9)
    order = await bench.order_now(taken(await bought(bench, viewer)).order_id)
    assert order.attempts == 2
    refusal = (await again(bench, viewer, order, "pay-2")).refusal
    assert isinstance(refusal, ChannelUnavailable)
    assert "this order was tried there already: NOT_SENT" in refusal.message
    assert len(bench.channel.calls) + len(bench.other.calls) == 2


async def test_changing_the_channel_closes_what_was_shown_first(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, shown = await bench.waiting(viewer, told=ACTION)
    refused = await again(bench, viewer, order, "pay-2", channel="other")
    assert refused.refusal == AttemptIsLive(shown.id)
    changed = taken(await again(bench, viewer, order, "pay-3", channel="other", replaces=shown.id))
    assert bench.channel.calls[-1] == ("void", shown.key)
    assert (changed.channel, changed.state) == ("other", S.CHARGED)
    assert await bench.states(order.id) == [S.VOIDED, S.CHARGED]


async def test_what_is_not_confirmed_closed_blocks_the_change(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, shown = await bench.waiting(viewer, told=ACTION)
    bench.channel.then("void", UNKNOWN)
    answer = await again(bench, viewer, order, "pay-2", channel="other", replaces=shown.id)
    assert answer.refusal == AttemptIsLive(shown.id)
    assert bench.other.calls == []


async def test_nobody_elses_attempt_is_closed_by_that(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, shown = await bench.waiting(viewer, told=ACTION)
    answer = await again(bench, await bench.world.learner(), order, "pay-2", channel="other", replaces=shown.id)
    assert answer.refusal == NotFound("orderId")
    assert bench.channel.count("void") == 0


async def test_late_charge_of_what_was_voided_for_another_channel_is_surplus(bench: Bench) -> None:
    viewer = await bench.world.learner()
    order, shown = await bench.waiting(viewer, told=ACTION)
    bench.channel.then("void", VOIDED)
    await again(bench, viewer, order, "pay-2", channel="other", replaces=shown.id)
    await notices.receive(bench.hub, "sandbox", delivery("evt-late", shown.key, charged(shown)))
    after = await bench.order_now(order.id)
    assert (after.status, after.charge_status, after.received_minor) == (
        OrderStatus.PAID, ChargeStatus.OVERCHARGED, 19_800,
    )  # fmt: skip
    assert await bench.break_kinds() == ["DUPLICATE"]
    assert len(await bench.grants(order.user_id, order.course_id)) == 1


async def test_choosing_by_two_processes_at_once_makes_one_live_attempt(bench: Bench) -> None:
    viewer, rival = await bench.world.learner(), bench.rival()
    order = await bench.order(viewer, await bench.world.listing())
    for channel in (bench.channel, bench.other):
        channel.then("create", *[PENDING] * 8)
    await asyncio.gather(*[
        again(worker, viewer, order, f"pay-{i}-{worker.owner}") for i in range(4) for worker in (bench, rival)
    ])  # fmt: skip
    assert await bench.states(order.id) == [S.PENDING]
    assert len(bench.channel.calls) + len(bench.other.calls) == 1


# ---- breakers and retries --------------------------------------------------------------------------------------------


async def test_an_open_breaker_sends_nothing_and_the_next_channel_is_asked(bench: Bench) -> None:
    hub, listing = bench.hub, await bench.world.listing()
    bench.other.then("create", *[NOT_SENT] * 5)

    async def buy(i: int) -> PaymentAttempt:
        request = purchase.CheckoutRequest(listing.id, "other", listing.price, f"key-{i}")  # type: ignore[arg-type]  # this listing has its price
        return taken(await purchase.checkout(hub, await bench.world.learner(), request))

    for i in range(5):
        await buy(i)
    left_alone = await buy(6)
    assert (left_alone.state, left_alone.code) == (S.NOT_SENT, "breaker_open")
    assert bench.other.count("create") == 5
    plan = await routing.plan(hub, routing.Wish(), listing_id=listing.id)
    assert plan is not None
    assert plan.chosen == "sandbox"
    assert plan.candidates[1].reasons == ("it does not answer: its breaker is open",)


async def test_an_open_breaker_stops_neither_queries_nor_notices(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    hub = bench.hub
    for operation in ("create", "query", "void"):
        for _ in range(6):
            hub.breakers.of("sandbox", operation).record(
                hub.breakers.admit("sandbox", operation, bench.clock.now_us()), UNKNOWN.outcome, bench.clock.now_us()
            )
    asked = await attempts.ask_once(hub, bench.channel, attempt)  # type: ignore[arg-type]  # as much as is called
    assert asked.state is S.CHARGED
    other, shown = await bench.waiting(told=PENDING)
    await notices.receive(hub, "sandbox", delivery("evt-1", shown.key, charged(shown)))
    assert await bench.states(order.id) == await bench.states(other.id) == [S.CHARGED]


async def test_a_channel_that_wants_to_be_left_alone_is_asked_when_it_says(bench: Bench) -> None:
    order, _ = await bench.waiting(told=UNKNOWN)
    bench.channel.then("query", SLOW_DOWN)
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    asked = bench.channel.count("query")
    bench.clock.pass_us(29 * SECOND_US)
    await bench.work()
    assert bench.channel.count("query") == asked == 1
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == [S.CHARGED]


# ---- rules -----------------------------------------------------------------------------------------------------------


async def test_rules_are_their_merchants_own_and_count_their_versions(bench: Bench) -> None:
    mine, theirs = await bench.world.platform(), await bench.world.platform("bo")
    first = await routing.put_rule(bench.hub, partner(mine), rule("r", Choice("other", 5)))
    changed = await routing.put_rule(bench.hub, operator(), rule("r", Choice("other", 7)), platform_id=mine.id)
    assert first.value is not None
    assert changed.value is not None
    assert (changed.value.id, changed.value.version) == (first.value.id, 2)
    assert await routing.rules_of(bench.hub, partner(mine), None) == [changed.value]
    assert await routing.rules_of(bench.hub, partner(theirs), mine.id) == []
    assert (await routing.delete_rule(bench.hub, partner(theirs), first.value.id)).refusal == NotFound("routingRuleId")
    assert (await routing.put_rule(bench.hub, partner(theirs), rule("r"), platform_id=mine.id)).refusal is not None
    assert (await routing.delete_rule(bench.hub, partner(mine), first.value.id)).value == first.value.id
    assert await routing.rules_of(bench.hub, partner(mine), None) == []
    actions = await bench.rows("SELECT action FROM audit_entry ORDER BY created_at_us, id")
    assert sorted(actions) == [("routingRuleDelete",), ("routingRuleUpsert",), ("routingRuleUpsert",)]


# ---- what was declined and can be paid all the same ------------------------------------------------------------------


@pytest.fixture
def retryable(bench: Bench) -> Bench:
    """A bench whose first channel lets a declined payment be paid by another card, as Stripe does."""
    bench.channel.capabilities = replace(bench.channel.capabilities, declined_stays_payable=True)
    return bench


async def test_what_was_declined_in_the_browser_is_closed_before_another_attempt_is_opened(retryable: Bench) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)

    def told(_attempt: PaymentAttempt) -> Result:
        assert bench.other.calls == []
        return VOIDED

    bench.channel.then("void", told)
    second = taken(await again(bench, viewer, order, "pay-2", channel="other"))
    assert bench.channel.calls[-1] == ("void", first.key)
    assert (second.channel, await bench.states(order.id)) == ("other", [S.VOIDED, S.CHARGED])
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    assert bench.channel.count("void") == 1


@pytest.mark.parametrize("told", [UNKNOWN, NOT_SENT, REJECTED], ids=lambda told: told.outcome)
async def test_what_is_not_confirmed_closed_blocks_another_attempt_until_it_is(retryable: Bench, told: Result) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    bench.channel.then("void", told)
    assert (await again(bench, viewer, order, "pay-2", channel="other")).refusal == AttemptIsLive(first.id)
    assert (bench.other.calls, await bench.states(order.id)) == ([], [S.DECLINED])
    bench.clock.pass_us(3 * SECOND_US)
    await bench.work()  # the instruction was committed: somebody goes on
    assert await bench.states(order.id) == [S.VOIDED]
    assert taken(await again(bench, viewer, order, "pay-3", channel="other")).state is S.CHARGED


async def test_what_was_declined_and_turns_out_paid_pays_the_order_and_opens_nothing(retryable: Bench) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order, first = await bench.waiting(viewer, told=DECLINED)
    bench.channel.then("void", charged(first))
    refusal = (await again(bench, viewer, order, "pay-2", channel="other")).refusal
    assert refusal is not None
    assert (refusal.code, (await bench.order_now(order.id)).status) == ("STATE_CONFLICT", OrderStatus.PAID)
    assert (bench.other.calls, await bench.states(order.id)) == ([], [S.CHARGED])


async def test_an_instruction_to_close_outlives_its_process(retryable: Bench) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order, _ = await bench.waiting(viewer, told=DECLINED)

    async def dies(_attempt: PaymentAttempt) -> Result:
        raise asyncio.CancelledError

    bench.channel.then("void", dies)
    with pytest.raises(asyncio.CancelledError):
        await again(bench, viewer, order, "pay-2", channel="other")
    bench.clock.pass_us(3 * SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == [S.VOIDED]
    assert taken(await again(bench, viewer, order, "pay-2", channel="other")).state is S.CHARGED


async def test_what_was_declined_for_good_stays_so_when_it_is_closed(retryable: Bench) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order, _ = await bench.waiting(viewer, told=HARD)
    why = ChannelUnavailable("", "attempt 1 was declined for good: no other channel is asked in its stead")
    assert (await again(bench, viewer, order, "pay-2")).refusal == why
    assert bench.channel.count("void") == 0
    bench.other.then("create", DECLINED)
    assert taken(await again(bench, viewer, order, "pay-3", channel="other")).state is S.DECLINED
    assert await bench.states(order.id) == [S.VOIDED, S.DECLINED]
    assert (await again(bench, viewer, order, "pay-4")).refusal == why


async def test_a_soft_decline_that_was_closed_still_counts_against_its_channel(retryable: Bench) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order, _ = await bench.waiting(viewer, told=DECLINED)
    async with bench.store.reading() as rx:
        before = await rx.routing.done("sandbox", 0)
    bench.other.then("create", DECLINED)
    second = taken(await again(bench, viewer, order, "pay-2"))
    async with bench.store.reading() as rx:
        assert await rx.routing.done("sandbox", 0) == before
    assert (second.channel, await bench.states(order.id)) == ("other", [S.VOIDED, S.DECLINED])


async def test_what_nobody_was_given_the_means_to_pay_is_left_alone(retryable: Bench) -> None:
    bench, viewer = retryable, await retryable.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("create", DECLINED)
    by_method = {"channel": "sandbox", "method": "pm_1", "return_url": "https://here.example"}
    assert taken(await again(bench, viewer, order, "pay-1", **by_method)).state is S.DECLINED
    assert taken(await again(bench, viewer, order, "pay-2", channel="other")).state is S.CHARGED
    assert bench.channel.count("void") == 0
