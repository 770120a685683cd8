"""Resident memory at rest of the hub (API, worker and the sandbox peers in one process) and of the embedded node."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.served import Served, rss_mb, served

ROUNDS, QUICK_ROUNDS = 3, 1
REST_S, QUICK_REST_S = 5.0, 0.1
HUB_MB, NODE_MB = 160, 100  # aims of the issue


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, rest_s = (QUICK_ROUNDS, QUICK_REST_S) if quick else (ROUNDS, REST_S)
    seen: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        for _ in range(rounds):
            async with served(Path(folder) / "data") as hub:
                seen.append(await at_rest(hub, rest_s))
    for name, aim, values in (
        ("memory_hub", HUB_MB, [hub for hub, _ in seen]),
        ("memory_node", NODE_MB, [node for _, node in seen]),
    ):
        yield Figure.of(name, values, unit="MB resident", bar=f"aim {aim}", rounds=rounds)


async def at_rest(hub: Served, rest_s: float) -> tuple[float, float]:
    """Hub and node, some time after both are up."""
    node = await hub.until_it_anchors()
    await asyncio.sleep(rest_s)
    return hub.rss_mb, rss_mb(node)
