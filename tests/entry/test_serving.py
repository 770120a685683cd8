"""The server as a process: it listens where it says, and SIGTERM loses no request."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hub.entry.serving import FINISH_S, listen, serve
from tests.entry.toys import ToyHub, app_of, settings_of

WITHIN_S = 30.0

# The toy hub as a program of its own: prints its address once it answers, and `claiming ended` when that ends.
PROGRAM = """
import asyncio, sys
from hub.entry.app import create_app
from hub.entry.serving import serve
from tests.entry.toys import SCHEMA, ToyHub, settings_of

async def main():
    toys = ToyHub()
    toys.slow_may_end = asyncio.Event()

    async def ready():
        return True

    async def on_ready(url):
        print(url, flush=True)

    def on_drain():
        print("claiming ended", flush=True)
        asyncio.get_running_loop().call_later(0.7, toys.slow_may_end.set)

    app = create_app(toys.hub, settings_of(port="0"), schema=SCHEMA, is_ready=ready)
    finish_s = int(sys.argv[1])
    settings = settings_of(port="0")
    await serve(app, settings, on_ready=on_ready, on_drain=on_drain, notice_s=0.5, finish_s=finish_s)
    print("ended", flush=True)

asyncio.run(main())
"""


@dataclass(slots=True)
class Served:
    process: asyncio.subprocess.Process
    url: str

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), WITHIN_S)).decode().strip()

    async def end(self) -> tuple[int, float]:
        """Exit code, and how long it took from now (seconds)."""
        began = time.monotonic()
        return await asyncio.wait_for(self.process.wait(), WITHIN_S), time.monotonic() - began


@asynccontextmanager
async def program(finish_s: int = 10) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(finish_s), stdout=asyncio.subprocess.PIPE
    )
    served = Served(process, "")
    try:
        served.url = await served.line()
        yield served
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass(slots=True)
class Load:
    """Clients that ask without pause until readiness turns away, as a balancer's do. `failed` must stay empty."""

    url: str
    done: int = 0
    failed: list[str] = field(default_factory=list)
    is_turned_away: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as hub:
            status = 200
            while status == 200:
                status = (await hub.get(f"{self.url}/readyz")).status_code
                await asyncio.sleep(0.02)
        self.is_turned_away.set()

    async def ask(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as hub:
            while not self.is_turned_away.is_set():
                try:
                    answer = await hub.post(f"{self.url}/graphql", json={"query": '{ echo(text: "a", times: 3) }'})
                    assert answer.json() == {"data": {"echo": "aaa"}}
                    self.done += 1
                except Exception as fault:
                    self.failed.append(repr(fault))


async def test_sigterm_under_load_turns_readiness_first_fails_no_request_and_ends() -> None:
    async with program() as served:
        load = Load(served.url)
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as hub:
            slow = asyncio.create_task(hub.post(f"{served.url}/graphql", json={"query": "{ slow }"}))
            asking = [asyncio.create_task(load.ask()) for _ in range(8)]
            watching = asyncio.create_task(load.watch())
            await until_done(load, 50)
            served.process.send_signal(signal.SIGTERM)
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


async def test_websocket_is_closed_with_1012_so_that_its_client_resumes_elsewhere() -> None:
    async with program() as served:
        url = served.url.replace("http", "ws") + "/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as ws:
            await ws.send('{"type":"connection_init"}')
            await ws.send('{"type":"subscribe","id":"s","payload":{"query":"subscription { forever }"}}')
            assert '"connection_ack"' in str(await ws.recv())
            assert '"next"' in str(await ws.recv())
            served.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(ws.wait_closed(), WITHIN_S)
            assert ws.close_code == 1012
        assert (await served.end())[0] == 0


async def test_request_that_never_ends_is_cut_at_the_limit() -> None:
    async with program(finish_s=1) as served, half_a_request(served):
        served.process.send_signal(signal.SIGTERM)
        code, seconds = await served.end()
    assert code == 0
    assert 1 < seconds < 10


async def test_second_signal_ends_at_once() -> None:
    async with program(finish_s=FINISH_S) as served, half_a_request(served):
        served.process.send_signal(signal.SIGINT)
        assert await served.line() == "claiming ended"
        served.process.send_signal(signal.SIGINT)
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
        async with httpx.AsyncClient(trust_env=False) as hub:
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
        async with httpx.AsyncClient(trust_env=False) as hub:
            await hub.get(seen[0])
