"""Purchases that the chain tells of late, or takes back after they were taken for paid."""

import asyncio
from contextvars import Context
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.anchors import NO_END
from hub.domain.orders import Order
from hub.domain.payments import Outcome, PaymentAttempt, Result, Stage
from hub.domain.people import LEARNER_SCOPES, Viewer, ViewerKind
from hub.flows import anchors, chain_effects, indexing, offers
from hub.flows.records import token_id
from tests.flows import refunding
from tests.flows.benches import Bench
from tests.flows.scripted import charged, result
from tests.world import operator

KEY = "0x" + "11" * 32


@pytest.fixture
async def voided(bench: Bench) -> str:
    """The order of an attempt on the stablecoin channel, shown to its buyer and then voided."""
    bench.channel.code = "stablecoin"
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("create", replace(result(Outcome.PENDING, Stage.NONE), channel_ref=KEY))
    await bench.pay(viewer, order, channel="stablecoin")
    bench.channel.then("void", result(Outcome.DONE, Stage.VOIDED))
    bench.clock.pass_us(46 * 60 * 1_000_000)
    await bench.work()
    assert await bench.rows("SELECT state FROM payment_attempt") == [("VOIDED",)]
    await anchors.keep_contract(bench.hub, bench.chain.known)
    return order.id


async def settled(bench: Bench) -> None:
    bench.chain.told_by_others("Settled", KEY, {"commitment": "0x", "to": "0x", "tokenId": "1", "expiry": "1"})
    while await indexing.look(bench.hub):
        pass


async def test_a_voided_attempt_that_was_bought_all_the_same_is_charged(bench: Bench, voided: str) -> None:
    young = replace(result(Outcome.PENDING, Stage.NONE), channel_ref=KEY, retry_after_ms=2_000)
    bench.channel.then("query", young, charged)
    await settled(bench)
    await bench.work()
    assert await bench.rows("SELECT state FROM payment_attempt") == [("VOIDED",)], "the block is young"
    bench.clock.pass_us(60 * 1_000_000)
    await bench.work()
    assert await bench.rows("SELECT state FROM payment_attempt") == [("CHARGED",)]
    assert (await bench.order_now(voided)).received_minor > 0


async def test_a_voided_attempt_whose_block_goes_stays_voided_and_is_left_alone(bench: Bench, voided: str) -> None:
    bench.channel.then("query", replace(result(Outcome.DONE, Stage.VOIDED), channel_ref=KEY))
    asked = bench.channel.count("query")
    await settled(bench)
    await bench.work()
    bench.clock.pass_us(3_600 * 1_000_000)
    await bench.work()
    assert await bench.rows("SELECT state FROM payment_attempt") == [("VOIDED",)]
    assert bench.channel.count("query") == asked + 1


async def test_a_voided_attempt_whose_purchase_stays_is_shown_to_a_person(bench: Bench, voided: str) -> None:
    bench.channel.then("query", replace(result(Outcome.DONE, Stage.VOIDED), channel_ref=KEY))
    await settled(bench)
    await bench.work()
    assert await bench.breaks() == []
    bench.chain.final = len(bench.chain.mined)
    await read(bench)
    [found], [attempt] = await bench.breaks(), await bench.attempts(voided)
    assert (found.kind, found.subject_id, found.order_id) == ("CHAIN", attempt.id, voided)
    assert found.detail == f"the chain holds purchase {KEY}, and {attempt.key} ended VOIDED all the same"


async def test_an_attempt_that_is_voided_over_a_purchase_is_shown_to_a_person(bench: Bench) -> None:
    bench.channel.code = "stablecoin"
    await anchors.keep_contract(bench.hub, bench.chain.known)
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    bench.channel.then("create", replace(result(Outcome.PENDING, Stage.NONE), channel_ref=KEY))
    await bench.pay(viewer, order, channel="stablecoin")
    bench.channel.then("query", replace(result(Outcome.PENDING, Stage.NONE), channel_ref=KEY))
    await settled(bench)
    bench.channel.then("void", result(Outcome.DONE, Stage.VOIDED))
    bench.clock.pass_us(46 * 60 * 1_000_000)
    await bench.work()
    [found], [attempt] = await bench.breaks(), await bench.attempts(order.id)
    assert (attempt.state, found.kind, found.subject_id) == ("VOIDED", "CHAIN", attempt.id)


@pytest.fixture
async def bought(bench: Bench) -> Order:
    """An order that was paid on chain, as the chain's log tells too."""
    order = await paid_on_chain(bench)
    await settled(bench)
    return order


async def paid_on_chain(bench: Bench, **said: Any) -> Order:
    """As its channel says, and the chain's log does not yet."""
    bench.channel.code = "stablecoin"
    viewer = await bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())

    def paid(attempt: PaymentAttempt) -> Result:
        return replace(charged(attempt, **said), channel_ref=KEY, movement_ref=KEY)

    bench.channel.then("create", paid)
    await bench.pay(viewer, order, channel="stablecoin")
    await anchors.keep_contract(bench.hub, bench.chain.known)
    return await bench.order_now(order.id)


async def test_a_right_whose_purchase_the_chain_takes_back_waits_and_stands_again_with_it(
    bench: Bench, bought: Order
) -> None:
    async def grant() -> tuple[str, set[str]]:
        [one] = await bench.grants(bought.user_id, bought.course_id)
        return one.state, set(one.suspended_by)

    [attempt] = await bench.attempts(bought.id)
    assert (await grant(), await bench.breaks()) == (("ACTIVE", set()), [])
    assert await offers.names_of(bench.hub, "stablecoin", KEY) == (attempt.key, None)
    assert await offers.names_of(bench.hub, "stablecoin", "0x" + "22" * 32) == (None, None)

    bench.chain.fork()
    while await indexing.look(bench.hub):
        pass
    assert await grant() == ("SUSPENDED", {f"chain:{attempt.id}"})
    [found] = await bench.breaks()
    assert (found.kind, found.subject_id, found.order_id) == ("CHAIN", attempt.id, bought.id)
    assert (await bench.order_now(bought.id)).status == "PAID", "a person decides over the money"

    await settled(bench)
    assert await grant() == ("ACTIVE", set())
    assert await bench.breaks() == [found]
    assert await bench.states(bought.id) == ["CHARGED"]


# ---- a purchase that its order's right does not rest on --------------------------------------------------------------


async def read(bench: Bench) -> None:
    while await indexing.look(bench.hub):
        pass


async def right_of(bench: Bench, order: Order) -> tuple[str, set[str], set[str]]:
    """Its state, what holds it back, and what has ended it."""
    [grant] = await bench.grants(order.user_id, order.course_id)
    return grant.state, set(grant.suspended_by), set(grant.revoked_by)


@pytest.fixture
async def by_card(bench: Bench, voided: str) -> Order:
    """The order of that attempt, paid on another channel since."""
    order = await bench.order_now(voided)
    viewer = Viewer(ViewerKind.USER, user_id=order.user_id, scopes=LEARNER_SCOPES)
    assert (await bench.pay(viewer, order, "by card", channel="other")).refusal is None
    assert (await bench.order_now(order.id)).status == "PAID"
    return order


async def test_calling_off_what_was_never_bought_leaves_the_right_that_a_card_paid_for(
    bench: Bench, by_card: Order
) -> None:
    bench.chain.told_by_others("OrderRevoked", KEY, {"orderKey": KEY})
    await read(bench)
    assert await right_of(bench, by_card) == ("ACTIVE", set(), set())
    bench.chain.final = len(bench.chain.mined)
    await read(bench)
    assert await right_of(bench, by_card) == ("ACTIVE", set(), set())
    [found] = await bench.breaks()
    assert found.detail.startswith(f"a purchase for {by_card.id}, which its right does not rest on, was revoked by")


async def test_what_others_do_to_a_purchase_beside_a_card_leaves_the_right_that_the_card_paid_for(
    bench: Bench, by_card: Order
) -> None:
    bench.channel.then("query", lambda attempt: replace(charged(attempt), channel_ref=KEY, movement_ref=KEY))
    await settled(bench)
    await bench.work()
    assert sorted(await bench.states(by_card.id)) == ["CHARGED", "CHARGED"]
    bench.chain.fork()
    await read(bench)
    assert await right_of(bench, by_card) == ("ACTIVE", set(), set())
    told = [one.detail for one in await bench.breaks() if one.kind == "CHAIN"]
    assert [detail.rpartition(": ")[2] for detail in told] == ["no right rests on it"]
    bench.chain.told_by_others("OrderRevoked", KEY, {"orderKey": KEY})
    await read(bench)
    assert await right_of(bench, by_card) == ("ACTIVE", set(), set())


# ---- a purchase that another refunder has revoked --------------------------------------------------------------------


async def revoked_by_others(bench: Bench, order: Order) -> None:
    """The chain's log tells of the purchase and of its end, and the hub reads both at once."""
    token = str(token_id(order.course_id, bench.vault))
    told = {"commitment": "0x", "to": "0x", "tokenId": token, "expiry": str(NO_END)}
    bench.chain.told_by_others("Settled", KEY, told)
    bench.chain.told_by_others("OrderRevoked", KEY, {"orderKey": KEY})
    bench.chain.settled[bytes.fromhex(KEY[2:])] = True
    await read(bench)


async def test_a_purchase_that_was_revoked_before_its_attempt_was_charged_gives_a_right_that_has_ended(
    bench: Bench, voided: str
) -> None:
    """As after some time out of service: by then both are final, and nothing tells of them again."""
    order = await bench.order_now(voided)
    bench.chain.final = len(bench.chain.mined) + 2
    bench.channel.then("query", lambda attempt: replace(charged(attempt), channel_ref=KEY, movement_ref=KEY))
    await revoked_by_others(bench, order)
    await bench.work()
    assert await right_of(bench, order) == ("ACTIVE", set(), set())
    await bench.record()
    leaf_id = await bench.one("SELECT id FROM leaf WHERE grant_id IS NOT NULL")
    assert await right_of(bench, order) == ("REVOKED", set(), {f"chain:{leaf_id}"})
    [found] = [one for one in await bench.breaks() if one.subject_id.endswith(":OrderRevoked")]
    assert found.kind == "CHAIN"


async def test_a_revocation_that_was_read_before_and_after_its_batch_goes_with_its_block(bench: Bench) -> None:
    order = await paid_on_chain(bench)
    await revoked_by_others(bench, order)
    assert await right_of(bench, order) == ("REVOKED", set(), {f"chain:{KEY}"})
    await bench.record()
    leaf_id = await bench.one("SELECT id FROM leaf")
    assert await right_of(bench, order) == ("REVOKED", set(), {f"chain:{KEY}", f"chain:{leaf_id}"})
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'revoke_leaf'") == []
    bench.chain.fork()
    await read(bench)
    assert await right_of(bench, order) == ("ACTIVE", set(), set())
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'revoke_leaf'") == []


async def test_a_purchase_that_is_read_while_its_batch_closes_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is second sees what the first has done: what is final is told of once."""
    order = await paid_on_chain(bench)
    await bench.store.stamp()
    bench.chain.final = 2
    closing: list[asyncio.Task[int | None]] = []
    stands = chain_effects.stands

    async def overtaken(*call: Any) -> None:
        await stands(*call)
        if not bench.is_embedded and not closing:  # which runs one unit after the other
            closing.append(asyncio.create_task(anchors.gather(bench.rival().hub), context=Context()))
            await asyncio.wait(closing, timeout=0.3)  # it waits for the reader; it would be done by now if it did not

    monkeypatch.setattr(chain_effects, "stands", overtaken)
    await revoked_by_others(bench, order)
    await (closing[0] if closing else anchors.gather(bench.hub))
    assert await bench.rows("SELECT state, is_settlement FROM anchor_batch") == [("FINALIZED", 1)]
    assert (await right_of(bench, order))[0] == "REVOKED"


async def test_a_purchase_that_was_given_back_holds_nothing_back_where_the_chain_takes_it_back(
    bench: Bench, bought: Order
) -> None:
    """Its right may have been paid for again since."""
    bench.channel.capabilities = replace(bench.channel.capabilities, can_refund=True)
    assert (await refunding.given(bench, operator(), bought)).state == "SUCCEEDED"
    assert await right_of(bench, bought) == ("REVOKED", set(), {"refund"})
    bench.chain.fork()
    await read(bench)
    assert await right_of(bench, bought) == ("REVOKED", set(), {"refund"})
    assert [one.detail.rpartition(": ")[2] for one in await bench.breaks()] == ["no right rests on it"]
