"""For each registered platform adapter: the adapter wired to a living peer, and the hands to make it misbehave."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hub.platforms.sandbox import SandboxPlatform
from hub.ports import Platform
from tests.sandbox.conftest import Clock, sandbox_in


@dataclass
class Bench:
    """What the suite asks of a platform's surroundings."""

    platform: Platform
    listings: int  # how many the platform sells
    course: str  # one of them
    lose: Callable[[], Any]  # the answer of the next grant, after it was done
    shut: Callable[[], Any]  # from now on the platform answers nobody
    unreachable: Platform  # the same adapter, nobody listening


@asynccontextmanager
async def sandbox_bench(directory: Path) -> AsyncIterator[Bench]:
    async with sandbox_in(directory, Clock()) as sandbox:
        address = sandbox.address.platforms["folio"]

        def wired(base_url: str) -> SandboxPlatform:
            client = httpx.AsyncClient(trust_env=False, verify=False)
            return SandboxPlatform(slug="folio", base_url=base_url, api_key=address.api_key, client=client)

        platform, unreachable = wired(address.base_url), wired("http://127.0.0.1:9")
        try:
            yield Bench(
                platform=platform,
                listings=5,
                course="small-proofs",
                lose=lambda: sandbox.arm("folio", "grant", "drop_after_commit"),
                shut=lambda: sandbox.arm("folio", "*", "drop_before", times=0),
                unreachable=unreachable,
            )
        finally:
            await platform.aclose()
            await unreachable.aclose()


BENCHES: dict[str, Callable[[Path], AbstractAsyncContextManager[Bench]]] = {"sandbox": sandbox_bench}
