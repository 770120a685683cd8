"""One event of a platform's stream to many subscribers of one document: milliseconds until the last of them has it.

Each side is a process, its subscribers are raw sockets in another. Beside the hub: npm's graphql-ws on Node, which is
given the encoding once for all too, and stock Strawberry. The hub's clock starts when the commit is done and includes
the reading of the log; the others publish in memory. No side pings, as the subscribers answer none.
"""

import asyncio
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.figures import Figure, interleaved
from tests.bench.served import cpu_s, rss_mb
from tests.entry.npm import installed

NUMBERS, QUICK_NUMBERS = (1_000, 5_000), (20,)
MANY, QUICK_MANY = 10_000, 40
ROUNDS, QUICK_ROUNDS = 15, 2
WITHIN_S = 300.0
PEERS = Path(__file__).parents[1] / "peers" / "streams"
BAR_NODE, BAR_STOCK, BAR_KB = "at most 1.0", "at most 0.5", "at most 35"


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    for number in QUICK_NUMBERS if quick else NUMBERS:
        async with AsyncExitStack() as stack:
            ours, node, stock = [
                await stack.enter_async_context(subscribed(side, number)) for side in ("ours", "node", "stock")
            ]
            for _ in range(3):  # warm, and what an event costs the server
                for side in (ours, node, stock):
                    await side.event()
            for name, beside, bar in (("", node, BAR_NODE), ("_stock", stock, BAR_STOCK)):
                before = [side.server_cpu_s for side in (ours, beside)]
                figure = await interleaved(
                    f"fanout_{number}{name}", ours.event, beside.event, unit="ms", rounds=rounds, bar=bar
                )
                spent = [side.server_cpu_s - was for side, was in zip((ours, beside), before, strict=True)]
                cpu_ms = [round(one / rounds * 1000, 1) for one in spent]
                yield replace(figure, detail={**figure.detail, "server_cpu_ms": cpu_ms})
            kb = [(side.full_mb - side.base_mb) * 1000 / number for side in (ours, node, stock)]
            yield Figure.of(
                f"fanout_{number}_memory", [kb[0]], unit="KB a subscriber", bar=BAR_KB, node=round(kb[1], 1),
                stock=round(kb[2], 1),
            )  # fmt: skip
    many = QUICK_MANY if quick else MANY
    async with subscribed("ours", many) as ours:
        values = [await ours.event() for _ in range(rounds)]
        yield Figure.of(
            f"fanout_{many}", values, unit="ms", kb_a_subscriber=round((ours.full_mb - ours.base_mb) * 1000 / many, 1)
        )


@dataclass(slots=True)
class Subscribed:
    """A server with all its subscribers."""

    event: Callable[[], Awaitable[float]]
    pid: int
    base_mb: float
    full_mb: float

    @property
    def server_cpu_s(self) -> float:
        return cpu_s(self.pid)


@asynccontextmanager
async def subscribed(side: str, number: int) -> AsyncIterator[Subscribed]:
    """A server of that side, and its subscribers at the end of its stream."""
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(_server(side, folder))
            port = json.loads(await _line(server))["port"]
            await asyncio.to_thread(_until_up, port)
            base_mb = rss_mb(server.pid)
            document = "ours" if side == "ours" else "plain"
            program = ("-m", "tests.bench.fanout_client", str(port), str(number), document)
            clients = await stack.enter_async_context(_program(sys.executable, *program, stdin=asyncio.subprocess.PIPE))
            assert json.loads(await _line(clients)) == {"ready": number}

            async def event() -> float:
                assert clients.stdin is not None
                clients.stdin.write(b"\n")
                last_ms: float = json.loads(await _line(clients))["last_ms"]
                return last_ms

            yield Subscribed(event, server.pid, base_mb, rss_mb(server.pid))


def _server(side: str, folder: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    if side == "node":
        os.environ["CI"] = "true"  # the packages are installed if they are not there
        return _program("node", "fanout_server.mjs", cwd=str(installed(PEERS)))
    return _program(sys.executable, "-m", "tests.bench.fanout_server", side, folder)


@asynccontextmanager
async def _program(
    *words: str, cwd: str | None = None, stdin: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*words, cwd=cwd, stdin=stdin, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), WITHIN_S)
    if not line:
        raise RuntimeError("the program ended")
    return line


def _until_up(port: int) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"http://127.0.0.1:{port}/waiting", timeout=WITHIN_S).read()
