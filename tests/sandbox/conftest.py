"""The peers on a real socket, with a clock that tests move, and a merchant that keeps what it is posted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.sandbox.server import SandboxAddress, serve

NOON = 1_790_000_000  # seconds; 2026-09-21, so that a card of 12/30 has not expired


@dataclass
class Clock:
    now_s: float = NOON

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Merchant:
    """Listens for notices, keeps them, and answers with the status a test has set."""

    url: str = ""
    status: int = 200
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    callers: set[asyncio.Task[None]] = field(default_factory=set)

    async def got(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        """The first `count` notices, waited for at most five seconds."""
        async with asyncio.timeout(5), self.heard:
            await self.heard.wait_for(lambda: len(self.received) >= count)
        return self.received[:count]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None
        self.callers.add(caller)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                async with self.heard:
                    self.received.append((headers, body))
                    self.heard.notify_all()
                writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % self.status)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def merchant_listening() -> AsyncIterator[Merchant]:
    merchant = Merchant()
    server = await asyncio.start_server(merchant.answer, "127.0.0.1", 0)
    merchant.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/notices"
    try:
        yield merchant
    finally:
        server.close()
        for caller in merchant.callers:
            caller.cancel()
        await asyncio.gather(*merchant.callers, return_exceptions=True)


@dataclass
class Sandbox:
    """The running peers, and the calls that tests make at them."""

    address: SandboxAddress
    clock: Clock
    client: httpx.AsyncClient
    closing: AsyncExitStack

    async def stranger(self) -> httpx.AsyncClient:
        """Another client, without a key and with cookies of its own."""
        return await self.closing.enter_async_context(
            httpx.AsyncClient(base_url=self.address.base_url, trust_env=False, verify=False)
        )

    async def create(self, reference: str = "TB-1-1", *, key: str | None = None, **fields: Any) -> httpx.Response:
        body = {"reference": reference, "amount": 1250, "currency": "USD", **fields}
        headers = self.as_hub | {"Idempotency-Key": key or reference}
        return await self.client.post("/v1/payment_intents", json=body, headers=headers)

    async def find(self, reference: str) -> list[dict[str, Any]]:
        answer = await self.client.get("/v1/payment_intents", params={"reference": reference}, headers=self.as_hub)
        assert answer.status_code == 200
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    async def arm(self, peer: str, operation: str, fault: str, **fields: Any) -> None:
        body = {"peer": peer, "operation": operation, "fault": fault, **fields}
        answer = await self.client.post("/control/faults", json=body, headers=self.as_controller)
        assert answer.status_code == 200, answer.text

    async def tick(self) -> None:
        answer = await self.client.post("/control/tick", headers=self.as_controller)
        assert answer.status_code == 200

    @property
    def as_hub(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.address.api_key}"}

    @property
    def as_controller(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.address.control_key}"}


@asynccontextmanager
async def sandbox_in(directory: Path, clock: Clock, seed: str | None = "seed") -> AsyncIterator[Sandbox]:
    async with (
        serve(directory, clock=clock, seed=seed, retry_after_s=(0.01, 5)) as address,
        AsyncExitStack() as closing,
        httpx.AsyncClient(base_url=address.base_url, trust_env=False, verify=False) as client,
    ):
        yield Sandbox(address, clock, client, closing)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sandbox(tmp_path: Path, clock: Clock) -> AsyncIterator[Sandbox]:
    async with sandbox_in(tmp_path / "sandbox", clock) as running:
        yield running


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    async with merchant_listening() as listening:
        yield listening
