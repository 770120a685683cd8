"""The simulation in small at every run, in large with the chaos tests; and that it finds what is broken."""

import random
from pathlib import Path

import pytest

from hub.flows import attempt_facts
from hub.store.transactions import Store
from tests.simulation.__main__ import main, simulate
from tests.simulation.invariants import Broken

SEED = 4
ORDERS = 150
MET = (
    "create lost after", "notice late", "query lost before", "buyer pays twice", "refused forged", "process dies",
    "process stands still", "died over resolve_attempt", "refund lost after",
)  # fmt: skip
MET_BY_MANY = (
    "died over resolve_refund", "capture DECLINED", "capture DECLINED, and let go", "capture lost after",
    "answer_dispute answered", "merchant gives in", "merchant sends evidence", "dispute LOST", "dispute WON",
)  # fmt: skip


async def lives(store: Store, orders: int, seed: int) -> None:
    """All of it; who reads a failure gets the seed with it."""
    print(f"seed {seed}, {orders} orders")
    try:
        report = await simulate(store, orders=orders, seed=seed)
    except BaseException as fault:
        fault.add_note(f"python -m tests.simulation --orders {orders} --seed {seed}")
        raise
    print(report.text)
    for name in (*MET, *(MET_BY_MANY if orders > ORDERS else ())):
        assert report.met[name], f"nobody has met {name!r}: too few orders"
    assert min(report.states[f"orders {status}"] for status in ("PAID", "EXPIRED", "CANCELED")) > 0


async def test_every_invariant_holds_through_all_faults_of_all_channels(sqlite_store: Store) -> None:
    await lives(sqlite_store, ORDERS, SEED)


# By a seed that is drawn, and printed: who finds one that breaks has found a fault, and the command to see it again.


@pytest.mark.chaos
@pytest.mark.timeout(2400)
async def test_ten_thousand_orders_by_a_seed_that_is_drawn(sqlite_store: Store) -> None:
    await lives(sqlite_store, 10_000, random.SystemRandom().randrange(10**9))


@pytest.mark.chaos
@pytest.mark.timeout(1200)
async def test_two_thousand_orders_on_postgresql_by_a_seed_that_is_drawn(postgres_store: Store) -> None:
    await lives(postgres_store, 2_000, random.SystemRandom().randrange(10**9))


async def test_a_sum_that_is_counted_twice_is_found_at_its_step(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = attempt_facts.received
    monkeypatch.setattr(attempt_facts, "received", lambda order, money: received(received(order, money), money))
    with pytest.raises(Broken, match="I5"):
        await simulate(sqlite_store, orders=8, seed=SEED)


def test_the_command_names_its_seed_and_ends_with_1_at_the_first_broken_invariant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"sqlite:///{tmp_path}/one.sqlite3"
    assert main(["--orders", "3", "--seed", "7", "--database", database]) == 0
    assert "every invariant held (seed 7)" in capsys.readouterr().out
    received = attempt_facts.received
    monkeypatch.setattr(attempt_facts, "received", lambda order, money: received(received(order, money), money))
    assert main(["--orders", "8", "--seed", str(SEED)]) == 1
    assert f"broken by seed {SEED} with 8 orders: Broken: I5" in capsys.readouterr().err
