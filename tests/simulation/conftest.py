"""One store of one engine: what both do alike is the matter of the flows' own tests."""

from collections.abc import AsyncIterator

import pytest

from hub.store.database import open_store
from hub.store.transactions import Store


@pytest.fixture
async def sqlite_store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = await open_store(sqlite_url, synchronous="NORMAL")  # nobody pulls the plug here
    yield opened
    await opened.aclose()


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[Store]:
    opened = await open_store(postgres_url)
    yield opened
    await opened.aclose()
