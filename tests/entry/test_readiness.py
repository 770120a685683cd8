"""/readyz says whether the database takes writes, costs it at most one a second, and leaves nothing in it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from hub.store.database import open_store, sqlite_path
from hub.store.sqlite import SqliteStore
from hub.store.transactions import Store
from tests.entry.toys import ToyHub, app_of, client_of
from tests.servers import PostgresServer


@pytest.fixture
def at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """No probe is fresh: each look is one."""
    monkeypatch.setattr("hub.entry.readiness.WRITE_EVERY_S", 0)


@asynccontextmanager
async def balancer(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_of(ToyHub(store=store))) as opened:
        yield opened


async def ready(opened: httpx.AsyncClient) -> int:
    return (await opened.get("/readyz")).status_code


async def test_looks_at_once_are_one_write_and_it_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.entry.readiness.WRITE_EVERY_S", 3600)  # however slow this machine is
    monkeypatch.setattr("hub.entry.app.READY_WITHIN_S", 60)
    async with balancer(store) as hub:
        looks = await asyncio.gather(*[ready(hub) for _ in range(20)], *[ready(hub) for _ in range(20)])
    assert set(looks) == {200}
    assert store.units == 1  # type: ignore[attr-defined]  # both engines count what they commit
    async with store.reading() as rx:
        assert await rx.tasks.listed() == []
        assert (await rx.events.head()).position == 0


@pytest.mark.usefixtures("at_every_look")
async def test_look_a_second_later_writes_again(store: Store) -> None:
    async with balancer(store) as hub:
        assert [await ready(hub) for _ in range(3)] == [200, 200, 200]
    assert store.units == 3  # type: ignore[attr-defined]  # the store is the one that counts, as above


@pytest.mark.usefixtures("at_every_look")
async def test_full_database_is_not_ready_until_there_is_room(sqlite_url: str) -> None:
    store = await open_store(sqlite_url)
    assert isinstance(store, SqliteStore)
    raw = store._writer.raw
    raw.execute("VACUUM")  # no free page is left inside the file either
    async with balancer(store) as hub:
        raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")
        answer = await hub.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reason": "database"})
        assert (await hub.get("/healthz")).status_code == 200
        raw.execute("PRAGMA max_page_count=1073741823")
        assert await ready(hub) == 200
    await store.aclose()


@pytest.mark.usefixtures("at_every_look")
async def test_database_that_can_only_be_read_is_not_ready(store_url: str, request: pytest.FixtureRequest) -> None:
    if sqlite_path(store_url) is None:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.execute(f"ALTER DATABASE {store_url.rpartition('/')[2]} SET default_transaction_read_only = on")
    store = await open_store(store_url)
    if isinstance(store, SqliteStore):
        store._writer.raw.execute("PRAGMA query_only=ON")
    async with balancer(store) as hub:
        assert await ready(hub) == 503
        async with store.reading() as rx:
            assert await rx.many(text("SELECT key FROM task"), str) == []
    await store.aclose()


@pytest.mark.usefixtures("at_every_look")
async def test_writer_that_hangs_is_not_ready_in_time_and_probes_do_not_pile_up(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with balancer(store) as hub:
        assert await ready(hub) == 200
        monkeypatch.setattr("hub.entry.app.READY_WITHIN_S", 0.1)
        async with held(store_url):
            assert [await ready(hub) for _ in range(3)] == [503, 503, 503]
            under_way = [task for task in asyncio.all_tasks() if task.get_name() == "write probe"]
            assert len(under_way) == 1
        await asyncio.wait_for(under_way[0], 10)
        monkeypatch.setattr("hub.entry.app.READY_WITHIN_S", 10.0)
        assert await ready(hub) == 200
    assert store.units == 3  # type: ignore[attr-defined]  # before, the one that hung, after


@asynccontextmanager
async def held(url: str) -> AsyncIterator[None]:
    """Somebody else writes and does not come to an end while the block runs."""
    path = sqlite_path(url)
    if path is not None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
        other.close()
        return
    rival = await asyncpg.connect(url)
    async with rival.transaction():
        await rival.execute("LOCK TABLE task IN EXCLUSIVE MODE")
        yield
    await rival.close()
