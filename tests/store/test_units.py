"""What a unit may do and what becomes of it: refused, rolled back, run again, or unknown; never half done."""

import asyncio
from contextvars import Context
from typing import Any

import asyncpg
import pytest

from hub.domain.people import User
from hub.domain.refusals import PriceChanged
from hub.store.database import open_store
from hub.store.postgresql import MAX_RUNS, PostgresqlStore
from hub.store.transactions import (
    CommitUnknown,
    DatabaseFull,
    LostRow,
    NestedWrite,
    RemoteWorkInUnit,
    Store,
    Tx,
    Unavailable,
)
from tests.store.programs import add_one, add_user
from tests.world import World


async def user_of(store: Store, id_: str) -> User | None:
    async with store.reading() as rx:
        return await rx.people.user(id_)


async def test_a_refusal_that_is_returned_commits(store: Store) -> None:
    async def unit(tx: Tx) -> PriceChanged:
        await add_user(tx, "usr_1")
        return PriceChanged(1200, "CNY")

    assert await store.write(unit) == PriceChanged(1200, "CNY")
    assert await user_of(store, "usr_1") is not None


async def test_what_a_unit_raises_is_its_callers_and_rolls_it_back(store: Store) -> None:
    async def unit(tx: Tx) -> None:
        await add_user(tx, "usr_1")
        tx.tasks.add("anchor", "1-9", {}, 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(unit)
    assert await user_of(store, "usr_1") is None
    async with store.reading() as rx:
        assert await rx.tasks.listed() == []


async def test_a_write_inside_a_unit_is_refused(store: Store) -> None:
    async def outer(tx: Tx) -> None:
        await add_user(tx, "usr_outer")
        await store.write(add_user, "usr_inner")

    with pytest.raises(NestedWrite, match="add_user inside outer"):
        await store.write(outer)
    assert (await user_of(store, "usr_outer"), await user_of(store, "usr_inner")) == (None, None)
    await store.write(add_user, "usr_1")


async def test_a_row_that_changed_under_the_unit_is_lost(store: Store, world: World) -> None:
    order = await world.order()
    await store.write(add_one, order.id)

    async def stale(tx: Tx) -> None:
        await tx.orders.update(order)

    with pytest.raises(LostRow, match="0 rows changed"):
        await store.write(stale)


async def test_hooks_run_after_the_commit_and_not_without_one(store: Store) -> None:
    heard: list[str] = []

    async def unit(tx: Tx, id_: str) -> None:
        await add_user(tx, id_)
        tx.after_commit(lambda: heard.append(id_))
        if id_ == "usr_fails":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(unit, "usr_fails")
    await store.write(unit, "usr_1")
    assert heard == ["usr_1"]


async def test_a_hook_that_raises_costs_nobody_the_answer(store: Store) -> None:
    async def unit(tx: Tx, id_: str) -> str:
        await add_user(tx, id_)
        tx.after_commit(lambda: 1 // 0)
        return id_

    async with asyncio.timeout(10):
        assert await asyncio.gather(*(store.write(unit, f"usr_{i}") for i in range(4))) == [
            f"usr_{i}" for i in range(4)
        ]


async def test_streams_and_tasks_move_after_the_commit(store_url: str) -> None:
    moved: list[str] = []
    store = await open_store(store_url, moved=moved.append)
    world = World(store)
    order = await world.order()

    async def unit(tx: Tx) -> None:
        tx.tasks.add("anchor", "1-9", {}, 0)
        assert moved == []

    await store.write(unit)
    assert moved == ["tasks"]
    await store.write(add_one, order.id)
    assert moved == ["tasks"]
    await store.aclose()


async def test_a_caller_that_goes_away_loses_nothing_that_has_begun(store: Store) -> None:
    loop, has_begun = asyncio.get_running_loop(), asyncio.Event()

    async def unit(tx: Tx) -> None:
        loop.call_soon_threadsafe(has_begun.set)
        await add_user(tx, "usr_1")

    caller = asyncio.create_task(store.write(unit))
    await has_begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await store.write(add_user, "usr_2")
    assert await user_of(store, "usr_2") is not None


async def test_a_closed_store_is_unavailable(store_url: str) -> None:
    store = await open_store(store_url)
    await store.write(add_user, "usr_1")
    await store.aclose()
    with pytest.raises(Unavailable):
        await store.write(add_user, "usr_2")


async def test_closing_finishes_what_is_queued(store_url: str) -> None:
    store = await open_store(store_url)
    writes = [asyncio.create_task(store.write(add_user, f"usr_{i}")) for i in range(40)]
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.gather(*writes)
    again = await open_store(store_url)
    assert all([await user_of(again, f"usr_{i}") for i in range(40)])
    await again.aclose()


# ---- SQLite sees what a unit awaits ---------------------------------------------------------------------------------


async def sleeps(tx: Tx) -> None:
    await add_user(tx, "usr_1")
    await asyncio.sleep(0)


async def test_a_unit_that_awaits_something_else_is_refused(sqlite_url: str) -> None:
    store = await open_store(sqlite_url)
    with pytest.raises(RemoteWorkInUnit, match="sleeps awaited something other"):
        await store.write(sleeps)
    assert await user_of(store, "usr_1") is None
    await store.write(add_user, "usr_2")
    await store.aclose()


async def test_a_unit_that_gives_up_like_a_cancelled_task_ends_alone(sqlite_url: str) -> None:
    """The writer's thread outlives whatever a unit raises."""

    async def unit(tx: Tx) -> None:
        await add_user(tx, "usr_1")
        raise asyncio.CancelledError

    store = await open_store(sqlite_url)
    async with asyncio.timeout(10):
        with pytest.raises((RemoteWorkInUnit, asyncio.CancelledError)):
            await store.write(unit)
        await store.write(add_user, "usr_2")
    assert await user_of(store, "usr_1") is None
    await store.aclose()


# ---- PostgreSQL asks for reruns, and goes away -----------------------------------------------------------------------


@pytest.fixture
async def on_postgres(postgres_url: str) -> Any:
    store = await open_store(postgres_url)
    assert isinstance(store, PostgresqlStore)
    yield store
    await store.aclose()


async def test_a_deadlock_is_run_again_and_commits_once(on_postgres: PostgresqlStore) -> None:
    world = World(on_postgres)
    first, second = await world.order(), await world.order()
    runs: list[str] = []
    holding = {first.id: asyncio.Event(), second.id: asyncio.Event()}

    async def both(tx: Tx, one: str, other: str) -> None:
        runs.append(one)
        await add_one(tx, one)
        holding[one].set()
        await holding[other].wait()  # until the rival holds the other row: then each waits for the other
        await add_one(tx, other)

    await asyncio.gather(on_postgres.write(both, first.id, second.id), on_postgres.write(both, second.id, first.id))
    assert len(runs) == 3
    async with on_postgres.reading() as rx:
        held = [await rx.orders.lock(order.id) for order in (first, second)]
    assert [order.received_minor for order in held if order] == [2, 2]


async def test_a_serialization_failure_is_run_again_and_commits_once(on_postgres: PostgresqlStore) -> None:
    world = World(on_postgres)
    order = await world.order()
    runs = 0

    async def unit(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await raw_of(tx).execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await tx.catalogue.platforms()  # the snapshot is taken, then a rival commits
            await asyncio.create_task(rival(), context=Context())
        await add_one(tx, order.id)

    async def rival() -> None:
        await on_postgres.write(add_one, order.id)

    await on_postgres.write(unit)
    async with on_postgres.reading() as rx:
        held = await rx.orders.lock(order.id)
    assert held is not None
    assert (runs, held.received_minor) == (2, 2)


async def test_a_unit_that_never_serializes_gives_up(on_postgres: PostgresqlStore) -> None:
    runs = 0

    async def unit(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        await add_user(tx, "usr_1")
        await raise_sqlstate(tx, "40001")

    with pytest.raises(asyncpg.SerializationError):
        await on_postgres.write(unit)
    assert runs == MAX_RUNS
    assert await user_of(on_postgres, "usr_1") is None


@pytest.mark.parametrize(
    ("sqlstate", "fault"),
    [("53100", DatabaseFull), ("55P03", Unavailable), ("57014", Unavailable), ("57P01", Unavailable)],
)
async def test_what_the_server_cannot_do_now_is_a_clear_fault(
    on_postgres: PostgresqlStore, sqlstate: str, fault: type[Exception]
) -> None:
    async def unit(tx: Tx) -> None:
        await add_user(tx, "usr_1")
        await raise_sqlstate(tx, sqlstate)

    with pytest.raises(fault):
        await on_postgres.write(unit)
    assert await user_of(on_postgres, "usr_1") is None
    await on_postgres.write(add_user, "usr_2")


async def test_a_connection_that_breaks_in_the_unit_did_nothing(on_postgres: PostgresqlStore) -> None:
    async def unit(tx: Tx) -> None:
        await add_user(tx, "usr_1")
        await raw_of(tx).execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable, match="nothing was done"):
        await on_postgres.write(unit)
    assert await user_of(on_postgres, "usr_1") is None


async def test_a_connection_that_breaks_in_the_commit_is_not_run_again(postgres_url: str) -> None:
    runs: list[Any] = []

    def step(name: str, unit: str) -> None:
        if name == "before commit":
            runs[-1].terminate()

    async def unit(tx: Tx) -> None:
        runs.append(raw_of(tx))
        await add_user(tx, "usr_1")

    store = await open_store(postgres_url, on_step=step)
    with pytest.raises(CommitUnknown):
        await store.write(unit)
    assert len(runs) == 1
    await store.aclose()


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await open_store("postgresql://hub@127.0.0.1:1/hub")


def raw_of(tx: Tx) -> Any:
    return tx._connection.raw  # type: ignore[attr-defined]  # the driver's own connection, behind the port


async def raise_sqlstate(tx: Tx, sqlstate: str) -> None:
    await raw_of(tx).execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$")
