"""Group commit on SQLite: many callers at once, beside the same callers with one commit for each of their requests.

The request is small and real: an idempotency record begun and finished, in one unit. Both sides go
through the same writer; only how many units may stand under one commit differs.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from hub.domain.ids import Draw
from hub.domain.requests import RequestKey
from hub.ports import Hub
from hub.store import sqlite
from tests.bench.figures import Figure, interleaved
from tests.bench.shop import Shop, open_hub, open_shop

CALLERS, ROUNDS, REQUESTS = 64, 9, 1280
QUICK_ROUNDS, QUICK_REQUESTS = 1, 128


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, requests = (QUICK_ROUNDS, QUICK_REQUESTS) if quick else (ROUNDS, REQUESTS)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        shop = await open_shop(f"sqlite:///{folder}/shop.sqlite3", 1)
        commits: dict[str, float] = {}
        yield await interleaved(
            "group_commit",
            lambda: requests_a_second(shop, requests, sqlite.MAX_GROUP, commits),
            lambda: requests_a_second(shop, requests, 1, commits),
            unit="requests/s",
            rounds=rounds,
            bar="ratio at least 2, aim 3.5",
            callers=CALLERS,
            requests_a_round=requests,
            requests_a_commit=commits,
            against="the same writer with one commit a request",
        )


async def requests_a_second(shop: Shop, requests: int, most_a_commit: int, commits: dict[str, float]) -> float:
    copy = shop.copied("group.sqlite3")
    with group_of(most_a_commit):
        async with open_hub(copy) as hub:
            assert isinstance(hub.store, sqlite.SqliteStore)
            waiting = iter(range(requests))
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(_caller(hub, waiting))
            taken = time.perf_counter() - started
            commits[f"at most {most_a_commit}"] = round(hub.store.units / hub.store.groups, 1)
    return requests / taken


@contextmanager
def group_of(most: int) -> Iterator[None]:
    """So many units under one commit at the most, until the block ends."""
    usual, sqlite.MAX_GROUP = sqlite.MAX_GROUP, most
    try:
        yield
    finally:
        sqlite.MAX_GROUP = usual


async def _caller(hub: Hub, waiting: Iterator[int]) -> None:
    for number in waiting:
        await hub.store.write(one_request, RequestKey("usr_bench", "bench", f"key {number}", "print"), hub.draw())


async def one_request(tx: Any, key: RequestKey, draw: Draw) -> None:
    assert await tx.requests.begin(key, draw.id("ord"), draw) is None
    await tx.requests.finish(key, None)
