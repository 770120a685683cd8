"""Money for gas is watched, and its running low is told once."""

import logging

import pytest

from hub.domain.purses import ANCHOR_GAS, ANCHORS_LEFT
from hub.domain.records import KeyRole
from hub.entry.metrics import measured
from hub.flows import purses
from tests.flows.benches import Bench

PRICE_WEI = 10**9
ENOUGH = ANCHORS_LEFT * ANCHOR_GAS * PRICE_WEI


async def test_money_that_runs_low_is_told_once_and_again_after_it_was_filled(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    hub, revoker = bench.hub, bench.chain.accounts[KeyRole.REVOKER]
    told = []
    for wei in (ENOUGH, ENOUGH - 1, 1, ENOUGH, 0):
        bench.chain.purses[revoker] = wei
        caplog.clear()
        await purses.look(hub)
        told.append([record.getMessage() for record in caplog.records if record.levelno == logging.ERROR])
    assert [len(lines) for lines in told] == [0, 1, 0, 0, 1]
    assert told[1] == [
        f"{revoker} (revoker) has 0.030000 ether left, for 499 transactions like an anchor at today's price: "
        "send it some"
    ]


async def test_scraping_shows_what_was_seen_and_asks_nobody(bench: Bench) -> None:
    hub = bench.hub
    bench.chain.purses[bench.chain.sender] = 7
    await purses.look(hub)
    bench.chain.is_away = True
    gauges = {gauge.name: gauge.values for gauge in await measured(hub)}
    assert [value for labels, value in gauges["hub_chain_balance_wei"] if dict(labels)["role"] == "gateway"] == [7]
    assert gauges["hub_chain_transactions"] == [((), 0)]
    assert gauges["hub_chain_batch_unsent_seconds"] == [((), 0)]


async def test_what_is_stuck_shows_its_age(bench: Bench) -> None:
    bench.chain.holds_back = True
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    await bench.record()
    bench.clock.pass_us(90_000_000)
    gauges = {gauge.name: gauge.values for gauge in await measured(bench.hub)}
    assert gauges["hub_chain_transactions"] == [((), 1)]
    assert gauges["hub_chain_transaction_oldest_seconds"] == [((), 90)]
    assert gauges["hub_chain_batch_unsent_seconds"] == [((), 0)]
