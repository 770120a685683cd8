"""The server as a process: it listens where it says, and SIGTERM loses no request."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hub.entry.app import create_app
from hub.entry.serving import FINISH_S, listen, serve
from tests.entry.hubs import Forked, until
from tests.entry.toys import SCHEMA, ToyHub, app_of, settings_of

WITHIN_S = 30.0
SAYS = "toy: "


def toy(finish_s: int) -> None:
    """The toy hub as a program of its own."""
    asyncio.run(_toy(finish_s))


async def _toy(finish_s: int) -> None:
    """Says its address once it answers, `claiming ended` when that ends, and `ended` at the end."""
    toys = ToyHub()
    toys.slow_may_end = asyncio.Event()

    async def ready() -> bool:
        return True

    async def on_ready(url: str) -> None:
        _say(url)

    def on_drain() -> None:
        _say("claiming ended")
        asyncio.get_running_loop().call_later(0.7, toys.slow_may_end.set)

    settings = settings_of(port="0")
    app = create_app(toys.hub, settings, schema=SCHEMA, is_ready=ready)
    await serve(app, settings, on_ready=on_ready, on_drain=on_drain, notice_s=0.5, finish_s=finish_s)
    _say("ended")


def _say(line: str) -> None:
    print(f"{SAYS}{line}", flush=True)  # noqa: T201  # whoever started this process reads it


@dataclass(slots=True)
class Served:
    """That program under way; `url` is where it answers."""

    process: Forked
    url: str = ""
    heard: int = 0

    async def line(self) -> str:
        """The next line that it says, its log apart."""

        async def look() -> str | None:
            lines = [line for line in self.process.said.split("\n")[:-1] if line.startswith(SAYS)]
            return lines[self.heard].removeprefix(SAYS) if len(lines) > self.heard else None

        line = await until(look, within_s=WITHIN_S, every_s=0.01, what=f"line {self.heard} of the server's")
        self.heard += 1
        return line or ""

    async def end(self) -> tuple[int, float]:
        """Exit code, and how long it took from now (seconds)."""
        began = time.monotonic()
        return await self.process.ended(WITHIN_S), time.monotonic() - began


@asynccontextmanager
async def program(folder: Path, finish_s: int = 10) -> AsyncIterator[Served]:
    served = Served(Forked(folder / "said", toy, finish_s))
    await served.process.begin()
    try:
        served.url = await served.line()
        yield served
    finally:
        await served.process.kill()


@dataclass(slots=True)
class Load:
    """Clients that ask without pause until readiness turns away, as a balancer's do. `failed` must stay empty."""

    url: str
    done: int = 0
    failed: list[str] = field(default_factory=list)
    is_turned_away: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False) as hub:
            status = 200
            while status == 200:
                status = (await hub.get(f"{self.url}/readyz")).status_code
                await asyncio.sleep(0.02)
        self.is_turned_away.set()

    async def ask(self) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False) as hub:
            while not self.is_turned_away.is_set():
                try:
                    answer = await hub.post(f"{self.url}/graphql", json={"query": '{ echo(text: "a", times: 3) }'})
                    assert answer.json() == {"data": {"echo": "aaa"}}
                    self.done += 1
                except Exception as fault:
                    self.failed.append(repr(fault))


async def test_sigterm_under_load_turns_readiness_first_fails_no_request_and_ends(tmp_path: Path) -> None:
    async with program(tmp_path) as served:
        load = Load(served.url)
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=WITHIN_S) as hub:
            slow = asyncio.create_task(hub.post(f"{served.url}/graphql", json={"query": "{ slow }"}))
            asking = [asyncio.create_task(load.ask()) for _ in range(8)]
            watching = asyncio.create_task(load.watch())
            await until_done(load, 50)
            served.process.send(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(watching, *asking), WITHIN_S)
            answer = await slow
        assert await served.line() == "claiming ended"
        assert await served.line() == "ended"
        code, _ = await served.end()
    assert load.failed == []
    assert load.done > 50
    assert (answer.status_code, answer.json()) == (200, {"data": {"slow": "done"}})
    assert code == 0


async def until_done(load: Load, count: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while load.done < count:
            assert load.failed == []
            await asyncio.sleep(0.01)


async def test_websocket_is_closed_with_1012_so_that_its_client_resumes_elsewhere(tmp_path: Path) -> None:
    async with program(tmp_path) as served:
        url = served.url.replace("http", "ws") + "/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as ws:
            await ws.send('{"type":"connection_init"}')
            await ws.send('{"type":"subscribe","id":"s","payload":{"query":"subscription { forever }"}}')
            assert '"connection_ack"' in str(await ws.recv())
            assert '"next"' in str(await ws.recv())
            served.process.send(signal.SIGTERM)
            await asyncio.wait_for(ws.wait_closed(), WITHIN_S)
            assert ws.close_code == 1012
        assert (await served.end())[0] == 0


async def test_request_that_never_ends_is_cut_at_the_limit(tmp_path: Path) -> None:
    async with program(tmp_path, finish_s=1) as served, half_a_request(served):
        served.process.send(signal.SIGTERM)
        code, seconds = await served.end()
    assert code == 0
    assert 1 < seconds < 10


async def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with program(tmp_path, finish_s=FINISH_S) as served, half_a_request(served):
        served.process.send(signal.SIGINT)
        assert await served.line() == "claiming ended"
        served.process.send(signal.SIGINT)
        code, seconds = await served.end()
    assert code == 0
    assert seconds < 5


@asynccontextmanager
async def half_a_request(served: Served) -> AsyncIterator[None]:
    """A request whose body never comes to its end, under way while the block runs."""
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /graphql HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    try:
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")  # the application waits for the body
        yield
    finally:
        writer.transport.abort()


async def test_port_0_is_any_free_one_and_its_number_is_told() -> None:
    settings = settings_of(port="0")
    with listen(settings) as listener:
        port = listener.getsockname()[1]
        assert listener.proto == socket.IPPROTO_TCP
    assert port > 0
    told: list[str] = []

    async def on_ready(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False) as hub:
            told.append(f"{url} {(await hub.get(f'{url}/healthz')).status_code}")
        os.kill(os.getpid(), signal.SIGINT)

    await asyncio.wait_for(serve(app_of(ToyHub()), settings, on_ready=on_ready), WITHIN_S)
    url, status = told[0].split()
    assert (url.rpartition(":")[0], status) == ("http://127.0.0.1", "200")


async def test_port_that_is_taken_is_an_error_and_not_a_second_server() -> None:
    with listen(settings_of(port="0")) as taken, pytest.raises(OSError, match="in use"):
        listen(settings_of(port=str(taken.getsockname()[1])))


async def test_what_on_ready_raises_ends_the_server_and_is_raised() -> None:
    seen: list[str] = []

    async def on_ready(url: str) -> None:
        seen.append(url)
        raise RuntimeError("the demo failed")

    with pytest.raises(RuntimeError, match="the demo failed"):
        await asyncio.wait_for(serve(app_of(ToyHub()), settings_of(port="0"), on_ready=on_ready), WITHIN_S)
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(trust_env=False, verify=False) as hub:
            await hub.get(seen[0])
