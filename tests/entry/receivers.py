"""A partner's receiver of webhooks: a small HTTP server on this machine that writes down what comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Received:
    """One request: headers by lower-case name."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = orjson.loads(self.body)["data"]["events"]
        return event


@dataclass(slots=True)
class Receiver:
    """`statuses` are answered first, one each; then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def count(self) -> int:
        return len(self.received)

    @property
    def is_consistent(self) -> bool:
        """Whether every repeat of an id had the same bytes."""
        bodies = {(one.id, one.body) for one in self.received}
        return len(bodies) == len({id_ for id_, _ in bodies})

    async def has(self, external_id: str) -> bool:
        return any(one.event["payload"].get("externalId") == external_id for one in self.received)

    async def has_more_than(self, count: int) -> bool:
        return self.count > count

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.received.append(Received(first.split(" ")[1], headers, body))
            status = self.statuses.pop(0) if self.statuses else 204
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a hub that was killed
        finally:
            self.open.discard(writer)
            writer.close()


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    """A receiver until the block ends; nobody answers there afterwards."""
    receiver = Receiver(statuses=list(statuses))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield receiver
        finally:
            server.close()
            await asyncio.sleep(0)  # whoever has just come is there by then
            for writer in receiver.open:
                writer.transport.abort()  # of a hub that says nothing more
