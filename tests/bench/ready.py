"""How long `hub serve` takes on an existing data folder, from the process's start until /readyz says 200.

Beside it: a Python that only imports what the server imports, which is most of it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.figures import Figure, interleaved
from tests.bench.served import served

ROUNDS, QUICK_ROUNDS = 5, 1
IMPORTS = "import hub.entry.running, schema"


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        data = Path(folder) / "data"
        first_s = 0.0
        if not quick:
            async with served(data) as first:
                await first.until_it_anchors()
                first_s = first.ready_s
        spent: list[float] = []

        async def until_ready() -> float:
            async with served(data) as hub:
                spent.append(round(hub.ready_cpu_s, 2))
                return hub.ready_s

        yield await interleaved(
            "ready",
            until_ready,
            imported,
            unit="s",
            rounds=QUICK_ROUNDS if quick else ROUNDS,
            cpu_s=spent,
            first_start_s=round(first_s, 2),
            against="a process that imports the same modules and ends",
        )


async def imported() -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", IMPORTS)
    assert await process.wait() == 0
    return time.perf_counter() - started
