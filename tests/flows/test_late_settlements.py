"""A purchase that the chain tells of after its attempt has ended without money, as by the word of a node that lags."""

from dataclasses import replace

import pytest

from hub.domain.payments import Outcome, Stage
from hub.flows import anchors, indexing
from tests.flows.benches import Bench
from tests.flows.scripted import charged, result

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
