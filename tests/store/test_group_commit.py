"""SQLite's group commit: many units, one commit, and each fails alone, also when the disk is full."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from hub.store.database import open_store
from hub.store.sqlite import MAX_GROUP, MAX_QUEUED, SqliteStore
from hub.store.transactions import DatabaseFull, StoreFault, Tx, Unavailable
from tests.store.programs import add_user


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[SqliteStore]:
    opened = await open_store(sqlite_url)
    assert isinstance(opened, SqliteStore)
    yield opened
    await opened.aclose()


async def together(store: SqliteStore, *writes: Callable[[], Any]) -> list[Any]:
    """The results, or what was raised, of writes that all wait before the writer takes them."""
    async with held(store):
        waiting = [asyncio.ensure_future(write()) for write in writes]
        await asyncio.sleep(0)  # each runs until it waits for its answer
    return await asyncio.gather(*waiting, return_exceptions=True)


@asynccontextmanager
async def held(store: SqliteStore) -> AsyncIterator[None]:
    """The writer's thread is busy with a unit of its own meanwhile."""
    is_held, gate = threading.Event(), threading.Event()

    async def hold(tx: Tx) -> None:
        is_held.set()
        gate.wait(10)

    first = asyncio.create_task(store.write(hold))
    assert await asyncio.to_thread(is_held.wait, 10)
    yield
    gate.set()
    await first


async def users(store: SqliteStore) -> list[str]:
    async with store.reading() as rx:
        return await rx.many(text("SELECT id FROM user_ ORDER BY id"), str)


async def fails(tx: Tx) -> None:
    await add_user(tx, "usr_fails")
    raise ZeroDivisionError


async def doubles(tx: Tx) -> None:
    await add_user(tx, "usr_1")


async def breaks_the_transaction(tx: Tx) -> None:
    """As a trigger with RAISE(ROLLBACK) or a failing disk would: the savepoint goes, and all with it."""
    await add_user(tx, "usr_breaks")
    tx._connection.raw.execute("ROLLBACK")  # type: ignore[attr-defined]  # the driver's own connection, behind the port
    raise ZeroDivisionError


async def test_what_waits_is_one_commit_and_a_failing_unit_fails_alone(store: SqliteStore) -> None:
    answers = await together(
        store,
        lambda: store.write(add_user, "usr_1"),
        lambda: store.write(fails),
        lambda: store.write(doubles),
        lambda: store.write(add_user, "usr_2"),
    )
    assert [type(answer) for answer in answers] == [type(None), ZeroDivisionError, sqlite3.IntegrityError, type(None)]
    assert await users(store) == ["usr_1", "usr_2"]
    assert store.groups == 2  # the one that held the gate, and this one


async def test_a_transaction_that_breaks_is_run_again_one_by_one(store: SqliteStore) -> None:
    answers = await together(
        store,
        lambda: store.write(add_user, "usr_1"),
        lambda: store.write(breaks_the_transaction),
        lambda: store.write(add_user, "usr_2"),
    )
    assert [type(answer) for answer in answers] == [type(None), ZeroDivisionError, type(None)]
    assert await users(store) == ["usr_1", "usr_2"]


async def test_a_group_has_a_limit(store: SqliteStore) -> None:
    writes = [lambda i=i: store.write(add_user, f"usr_{i}") for i in range(MAX_GROUP + 1)]  # type: ignore[misc]  # the loop's own value
    await together(store, *writes)
    assert store.groups == 3
    assert len(await users(store)) == MAX_GROUP + 1


async def test_a_full_queue_is_unavailable_and_says_so_at_once(store: SqliteStore) -> None:
    writes = [lambda i=i: store.write(add_user, f"usr_{i:04}") for i in range(MAX_QUEUED)]  # type: ignore[misc]  # the loop's own value

    answers = await together(store, *writes, lambda: store.write(add_user, "usr_more"))
    assert isinstance(answers[-1], Unavailable)
    assert "1024 writes are waiting" in str(answers[-1])
    assert len(await users(store)) == MAX_QUEUED


async def test_a_write_that_is_given_up_before_its_turn_is_dropped(store: SqliteStore) -> None:
    async with held(store):
        write = asyncio.create_task(store.write(add_user, "usr_gone"))
        await asyncio.sleep(0)
        write.cancel()
    await store.write(add_user, "usr_1")
    assert await users(store) == ["usr_1"]


async def test_a_full_disk_fails_its_unit_alone_and_leaves_nothing_half_done(store: SqliteStore) -> None:
    raw = store._writer.raw
    pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.execute(f"PRAGMA max_page_count={pages + 2}")

    async def too_much(tx: Tx) -> None:
        await add_user(tx, "usr_half")
        tx.tasks.add("anchor", "1-9", {"big": "x" * 100_000}, 0)

    answers = await together(
        store,
        lambda: store.write(add_user, "usr_1"),
        lambda: store.write(too_much),
        lambda: store.write(add_user, "usr_2"),
    )
    assert [type(answer) for answer in answers] == [type(None), DatabaseFull, type(None)]
    assert isinstance(answers[1], StoreFault)
    assert "free space and try again" in str(answers[1])
    assert await users(store) == ["usr_1", "usr_2"]
    async with store.reading() as rx:
        assert await rx.tasks.listed() == []
    raw.execute("PRAGMA max_page_count=1073741823")
    await store.write(too_much)
    assert await users(store) == ["usr_1", "usr_2", "usr_half"]
