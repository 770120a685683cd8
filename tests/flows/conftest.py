"""Benches on a fresh migrated store, of each engine in turn or of one."""

from collections.abc import AsyncIterator

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
