"""Benches on a fresh migrated store, of each engine in turn or of one."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hub.store.database import open_store
from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.world import World


@pytest.fixture
def bench(store: Store, world: World) -> Bench:
    return Bench(store, world)


@pytest.fixture
async def sqlite_store(sqlite_url: str) -> AsyncIterator[Store]:
    """For what needs one engine only."""
    opened = await open_store(sqlite_url)
    yield opened
    await opened.aclose()


@pytest.fixture
def embedded(sqlite_store: Store) -> Bench:
    """For what takes long and is the same on both engines."""
    return Bench(sqlite_store, World(sqlite_store))


@pytest.fixture
def shop(bench: Bench) -> Bench:
    """A bench whose channels give money back, whole or in part."""
    for channel in (bench.channel, bench.other):
        channel.capabilities = replace(channel.capabilities, can_refund=True, can_refund_partly=True)
    return bench
