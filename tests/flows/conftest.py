"""A bench on a fresh migrated store of each engine in turn."""

import pytest

from hub.store.transactions import Store
from tests.flows.benches import Bench
from tests.world import World


@pytest.fixture
def bench(store: Store, world: World) -> Bench:
    return Bench(store, world)
