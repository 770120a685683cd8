"""What /metrics says of the store, the log, its readers and the bus; and the port that it may have for itself."""

import json
from dataclasses import replace

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from hub.domain.breakers import OPEN_AFTER
from hub.domain.payments import Outcome
from hub.entry.metrics import Metrics, measured
from hub.entry.metrics_port import metrics_listener, metrics_served
from hub.flows import purses
from hub.flows.retention import OWN_READERS
from hub.store.database import open_store
from hub.store.transactions import Store, Tx
from tests.buses import open_bus
from tests.entry.test_chain_commands import has_paid
from tests.entry.toys import ToyHub, client, settings_of
from tests.flows.benches import Bench
from tests.store.test_log import one_more
from tests.wakeups.test_every_bus import process, until
from tests.world import SECOND_US, World


@pytest.fixture
def bench(store: Store, world: World) -> Bench:
    return Bench(store, world)


async def values(bench: Bench) -> dict[str, float]:
    """Every gauge of now, by its name and labels."""
    return {
        name + json.dumps(dict(labels)).replace("{}", ""): value
        for name, labels, value in (
            (gauge.name, labels, value) for gauge in await measured(bench.hub) for labels, value in gauge.values
        )
    }


async def test_each_reader_of_the_log_shows_what_it_has_not_read_and_for_how_long(bench: Bench) -> None:
    order = await bench.world.order()

    async def read(tx: Tx) -> None:
        await tx.events.move(OWN_READERS[0], 0, 1)
        await tx.run(text("INSERT INTO consumer (name, stream, position) VALUES ('webhook:whe_1', 'plt_1', 0)"))

    for _ in range(3):
        await bench.store.write(one_more, bench.world, order.id)
        bench.clock.pass_us(SECOND_US)
    await bench.store.stamp()
    await bench.store.write(read)
    seen = await values(bench)
    mine = f'{{"consumer": "{OWN_READERS[0]}", "stream": "hub"}}'
    webhook = '{"consumer": "webhook:whe_1", "stream": "plt_1"}'
    assert (seen["hub_log_head"], seen["hub_log_oldest"], seen["hub_log_unstamped"]) == (3, 1, 0)
    assert (seen[f"hub_consumer_lag{mine}"], seen[f"hub_consumer_oldest_seconds{mine}"]) == (2, 2)
    assert (seen[f"hub_consumer_lag{webhook}"], seen[f"hub_consumer_oldest_seconds{webhook}"]) == (0, 0)
    assert seen["hub_store_waited_seconds"] > 0


async def test_events_without_a_position_are_counted_with_their_age(bench: Bench) -> None:
    order = await bench.world.order()
    await bench.store.write(one_more, bench.world, order.id)
    bench.clock.pass_us(7 * SECOND_US)
    seen = await values(bench)
    expected = (0, 0) if bench.is_embedded else (1, 7)
    assert (seen["hub_log_unstamped"], seen["hub_log_unstamped_seconds"]) == expected


async def test_what_was_paid_for_the_chain_can_be_divided_by_the_orders_it_was_paid_for(bench: Bench) -> None:
    await bench.store.write(has_paid)
    hub = bench.hub
    await purses.look(hub)
    seen = {gauge.name: gauge.values for gauge in await measured(hub)}
    anchor, settle = (("purpose", "anchor"),), (("purpose", "settle"),)
    assert seen["hub_chain_fees_wei"] == [(anchor, 49_079 * (1 + 3)), (settle, 84_932 * 5)]
    assert seen["hub_chain_orders"] == [(anchor, 256 + 242), (settle, 1)]


async def test_a_unit_that_the_database_wants_again_is_counted(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    tries = []

    async def unlucky(tx: Tx) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise asyncpg.SerializationError("could not serialize access")

    await store.write(unlucky)
    bench = Bench(store, World(store))
    assert (await values(bench))["hub_store_reruns"] == 2
    await store.aclose()


async def test_the_bus_shows_whether_it_carries_and_how_much(sqlite_url: str) -> None:
    store = await open_store(sqlite_url)
    bench = Bench(store, World(store))
    with open_bus("nats") as bus:
        async with process(bus, "one") as one:
            one.publish("hub", 0)
            await until(lambda: one.figures.sent == 1)
            gauges = {gauge.name: gauge.values for gauge in await measured(replace(bench.hub, wakeups=one))}
    await store.aclose()
    assert gauges["hub_wakeup_bus_open"] == [((), 1)]
    assert gauges["hub_wakeup_bus_losses"] == gauges["hub_wakeup_bus_ignored"] == [((), 0)]
    assert gauges["hub_wakeups"] == [((("what", what),), count) for what, count in
                                     (("sent", 1), ("heard", 0), ("dropped", 0))]  # fmt: skip


async def test_metrics_on_a_port_of_their_own_answer_nowhere_else(store: Store) -> None:
    toys = ToyHub(store=store)
    settings = settings_of(metrics_port="0")
    listener = metrics_listener(settings)
    assert listener is not None
    async with client(toys, metrics_port="0") as app, metrics_served(toys.hub, Metrics(), listener):
        assert (await app.get("/metrics")).status_code == 404
        async with httpx.AsyncClient(trust_env=False, verify=False) as scraper:
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            answer = await scraper.get(f"{base}/metrics")
            elsewhere = await scraper.post(f"{base}/graphql", json={"query": "{ viewer }"})
    listener.close()
    assert (answer.status_code, elsewhere.status_code) == (200, 404)
    assert "hub_log_head 0" in answer.text.splitlines()


def test_there_is_no_second_port_unless_one_is_named() -> None:
    assert metrics_listener(settings_of()) is None


async def test_breakers_are_measured_by_channel_and_class_of_call(store: Store) -> None:
    toys = ToyHub(store=store)
    for _ in range(OPEN_AFTER + 1):
        admission = toys.breakers.admit("stripe", "create", toys.clock.now_us())
        toys.breakers.of("stripe", "create").record(admission, Outcome.UNKNOWN, toys.clock.now_us())
    async with client(toys) as app:
        lines = (await app.get("/metrics")).text.splitlines()
    assert 'hub_channel_breaker{channel="stripe",operation="create"} 2' in lines
    assert 'hub_channel_breaker_refused{channel="stripe",operation="create"} 1' in lines
