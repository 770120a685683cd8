"""Many writers, in one process and in several: no update is lost, no answer comes before its commit."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hub.domain.people import User, UserState
from hub.store.database import open_store, sqlite_path
from hub.store.sqlite import SqliteStore
from hub.store.transactions import Store, StoreFault, Tx
from tests.store.programs import add_one, add_user, running, start, told
from tests.world import World


async def money_of(store: Store, order_id: str) -> int:
    async with store.reading() as rx:
        held = await rx.orders.lock(order_id)
    assert held is not None
    return held.received_minor


async def test_64_writers_of_one_row_lose_no_update(store: Store, world: World) -> None:
    order = await world.order()
    await asyncio.gather(*(store.write(add_one, order.id) for _ in range(64)))
    assert await money_of(store, order.id) == 64


async def test_writers_of_several_processes_lose_no_update(store: Store, world: World, store_url: str) -> None:
    order = await world.order()
    async with AsyncExitStack() as stack:
        programs = await asyncio.gather(
            *(stack.enter_async_context(running("increments", store_url, order.id, "16")) for _ in range(3))
        )
        for program in programs:
            start(program)
        await asyncio.gather(*(store.write(add_one, order.id) for _ in range(16)))
        assert [await told(program) for program in programs] == ["done"] * 3
    assert await money_of(store, order.id) == 64


async def test_kill_9_right_after_the_answer_never_loses_the_write(store_url: str) -> None:
    async with running("killed_after_the_answer", store_url, "usr_answered") as program:
        start(program)
        assert await told(program) == "usr_answered"
        assert await program.wait() == -9
    store = await open_store(store_url)
    async with store.reading() as rx:
        assert await rx.people.user("usr_answered") is not None
    await store.aclose()


async def test_nobody_is_answered_before_the_commit(store_url: str) -> None:
    """Seen from another connection at the moment before the commit: nothing is there and nobody has an answer."""
    answered: list[str] = []
    seen: list[tuple[str, list[str]]] = []

    def step(name: str, unit: str) -> None:
        seen.append((name, list(answered)))

    store = await open_store(store_url, on_step=step)

    async def write(id_: str) -> None:
        await store.write(add_user, id_)
        answered.append(id_)

    await write("usr_1")
    await write("usr_2")
    await store.aclose()
    assert seen == [
        ("before commit", []), ("after commit", []), ("before commit", ["usr_1"]), ("after commit", ["usr_1"]),
    ]  # fmt: skip


# ---- what SQLite's driver would do by itself loses updates: it must be told otherwise -------------------------------


@pytest.fixture
async def on_sqlite(sqlite_url: str) -> AsyncIterator[SqliteStore]:
    store = await open_store(sqlite_url)
    assert isinstance(store, SqliteStore)
    yield store
    await store.aclose()


async def test_every_unit_runs_between_begin_immediate_and_commit(on_sqlite: SqliteStore) -> None:
    statements: list[str] = []
    assert on_sqlite._writer.raw.isolation_level is None
    on_sqlite._writer.raw.set_trace_callback(statements.append)
    await on_sqlite.write(add_user, "usr_1")
    on_sqlite._writer.raw.set_trace_callback(None)
    first, savepoint, insert, release, commit = statements
    assert (first, savepoint, release, commit) == ("BEGIN IMMEDIATE", "SAVEPOINT unit", "RELEASE unit", "COMMIT")
    assert insert.startswith("INSERT INTO user_")


async def test_the_connections_keep_money(on_sqlite: SqliteStore) -> None:
    def pragma(name: str) -> object:
        return on_sqlite._writer.raw.execute(f"PRAGMA {name}").fetchone()[0]

    names = ("journal_mode", "synchronous", "foreign_keys", "temp_store", "wal_autocheckpoint", "busy_timeout")
    assert [pragma(name) for name in names] == ["wal", 2, 1, 2, 1000, 60_000]


async def test_readers_can_change_nothing(on_sqlite: SqliteStore) -> None:
    async with on_sqlite.reading() as rx:
        raw = rx._connection.raw  # type: ignore[attr-defined]  # the driver's own connection, behind the port
        assert raw.isolation_level is None
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await raw.execute("DELETE FROM user_")
        with pytest.raises(StoreFault, match="a reading connection changes nothing"):
            await rx.people.add_user(User("usr_1", UserState.ACTIVE, 0))


async def test_a_reader_sees_the_last_commit_while_a_unit_runs(store: Store, store_url: str) -> None:
    """Readers neither wait for the writer nor see what is not committed."""
    seen: list[object] = []
    loop = asyncio.get_running_loop()

    async def look() -> None:
        async with store.reading() as rx:
            seen.append(await rx.people.user("usr_1"))

    def step(name: str, unit: str) -> None:
        if name == "before commit" and sqlite_path(store_url) is not None:  # the writer's own thread: it may wait
            asyncio.run_coroutine_threadsafe(look(), loop).result(10)

    async def unit(tx: Tx) -> None:
        await add_user(tx, "usr_1")
        if sqlite_path(store_url) is None:
            await look()

    writing = await open_store(store_url, on_step=step)
    await writing.write(unit)
    await look()
    assert [user is not None for user in seen] == [False, True]
    await writing.aclose()
