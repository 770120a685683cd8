"""The connections of one HTTP client: shared by calls one after another, bounded, and never lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from hub.entry import connections
from hub.entry.connections import Connections


@dataclass(slots=True)
class Peer:
    """A server that answers each call with its path once `is_open`: "/gone" in part, and "/last" as its last word."""

    url: str = ""
    seen: int = 0  # connections ever
    now: int = 0  # connections that are there
    calls: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen, self.now = self.seen + 1, self.now + 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.calls += 1
                await self.is_open.wait()
                path = head.split()[1]
                length = len(path) + (path == b"/gone")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + path)
                if path in (b"/gone", b"/last"):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.now -= 1
            writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.talk, "127.0.0.1", 0, backlog=256)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer
    finally:
        server.close()


async def until(peer: Peer, *, now: int) -> None:
    async with asyncio.timeout(5):
        while peer.now != now:  # noqa: ASYNC110  # the server's own count, which no event tells
            await asyncio.sleep(0.001)


def client(*, most: int = 10, kept: int = 5, pool_s: float | None = 5) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=Connections(most=most, kept=kept), timeout=httpx.Timeout(5, pool=pool_s))


async def test_calls_one_after_another_share_a_connection() -> None:
    async with served() as peer, client() as http:
        peer.is_open.set()
        assert [(await http.get(f"{peer.url}/{n}")).text for n in range(5)] == ["/0", "/1", "/2", "/3", "/4"]
        assert (peer.seen, peer.now) == (1, 1)


async def test_calls_at_once_have_one_each_and_so_many_stay_open() -> None:
    async with served() as peer, client(most=150, kept=20) as http:
        asked = [asyncio.create_task(http.get(f"{peer.url}/{n}")) for n in range(150)]
        await until(peer, now=150)
        peer.is_open.set()
        assert [(await one).text for one in asked] == [f"/{n}" for n in range(150)]
        await until(peer, now=20)
        await http.get(peer.url)
        assert peer.seen == 150


async def test_call_over_the_limit_waits_for_its_turn_and_is_told_when_there_is_none() -> None:
    async with served() as peer, client(most=1, pool_s=0.05) as http:
        first = asyncio.create_task(http.get(f"{peer.url}/first"))
        await until(peer, now=1)
        with pytest.raises(httpx.PoolTimeout):
            await http.get(peer.url)
        waits = asyncio.create_task(http.get(f"{peer.url}/second", timeout=5))
        await asyncio.sleep(0)
        peer.is_open.set()
        assert ((await first).text, (await waits).text) == ("/first", "/second")
        assert peer.seen == 1


async def test_turn_of_a_call_that_is_cut_off_or_fails_is_another_ones() -> None:
    async with served() as peer, client(most=1, pool_s=5) as http:
        abandoned = asyncio.create_task(http.get(peer.url))
        await until(peer, now=1)
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        peer.is_open.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{peer.url}/gone")
        with pytest.raises(httpx.ConnectError):
            await http.get("http://127.0.0.1:1/")
        async with http.stream("GET", f"{peer.url}/unread"):
            pass  # the answer is left as it is
        assert (await http.get(f"{peer.url}/next")).text == "/next"


async def test_waiting_call_that_is_cut_off_takes_no_turn_with_it() -> None:
    async with served() as peer, client(most=1) as http:
        first = asyncio.create_task(http.get(f"{peer.url}/first"))
        await until(peer, now=1)
        waits = asyncio.create_task(http.get(f"{peer.url}/second"))
        await asyncio.sleep(0)
        waits.cancel()
        peer.is_open.set()
        assert (await first).text == "/first"
        assert (await http.get(f"{peer.url}/third")).text == "/third"
        assert peer.calls == 2


async def test_connection_idle_for_too_long_is_closed_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as peer, client() as http:
        asked = [asyncio.create_task(http.get(f"{peer.url}/{n}")) for n in range(3)]
        await until(peer, now=3)
        peer.is_open.set()
        await asyncio.gather(*asked)
        monkeypatch.setattr(connections, "KEPT_S", -1.0)
        await http.get(peer.url)
        await until(peer, now=0)


async def test_connection_that_the_server_closed_meanwhile_is_made_anew() -> None:
    async with served() as peer, client() as http:
        peer.is_open.set()
        await http.get(f"{peer.url}/last")
        await until(peer, now=0)
        assert (await http.get(f"{peer.url}/again")).text == "/again"


async def test_one_client_talks_to_several_servers() -> None:
    async with served() as peer, served() as other, client(most=1) as http:
        peer.is_open.set()
        other.is_open.set()
        asked = (f"{peer.url}/one", f"{other.url}/other", f"{peer.url}/back")
        assert [(await http.get(url)).text for url in asked] == ["/one", "/other", "/back"]


async def test_closing_leaves_no_connection() -> None:
    async with served() as peer:
        peer.is_open.set()
        async with client() as http:
            await asyncio.gather(*(http.get(peer.url) for _ in range(3)))
            assert peer.now == 3
        await until(peer, now=0)
