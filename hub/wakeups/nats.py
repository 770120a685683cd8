"""Wake-ups over NATS: core publish and subscribe on one subject, nothing kept. Needs the extra `nats`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from hub.wakeups.bus import CHANNEL, CLOSE_S, OPEN_S, BusWakeups, Hear, Line, LineLost

# What the client may raise for a server that is away, refuses us, or goes.
LOST = (OSError, TimeoutError, nats.errors.Error)


def nats_wakeups(url: str, name: str) -> BusWakeups:
    """Wake-ups over the server at `nats://…` or `tls://…`. Nothing is opened before `start`."""
    return BusWakeups(partial(_open, url), name)


@asynccontextmanager
async def _open(url: str, hear: Hear) -> AsyncIterator[Line]:
    line = NatsLine(Client(), hear)
    try:
        async with asyncio.timeout(OPEN_S):
            await line.connect(url)
        yield line
    except LOST as error:
        raise LineLost(type(error).__name__) from error
    finally:
        await line.aclose()


class NatsLine:
    """`Line` over one NATS connection, which opens nothing anew by itself."""

    def __init__(self, client: Client, hear: Hear) -> None:
        self._client = client
        self._hear = hear
        self._ended = asyncio.Event()
        self._is_open = False

    async def connect(self, url: str) -> None:
        await self._client.connect(
            url,
            allow_reconnect=False,
            connect_timeout=int(OPEN_S),
            error_cb=self._on_error,
            disconnected_cb=self._on_end,
            closed_cb=self._on_end,
        )
        self._is_open = True
        await self._client.subscribe(CHANNEL, cb=self._on_message)
        await self._client.flush()

    async def say(self, message: bytes) -> None:
        try:
            await self._client.publish(CHANNEL, message)
        except LOST as error:
            raise LineLost(type(error).__name__) from error

    async def lost(self) -> None:
        await self._ended.wait()
        raise LineLost("the server closed the connection")

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()
        except LOST:
            pass

    async def _on_message(self, message: Msg) -> None:
        self._hear(message.data)

    async def _on_error(self, error: Exception) -> None:
        """Ends a first try, which the client would repeat by itself; later, what ends the connection tells `_on_end`.

        Its own handler would log the address, with a password that stands in it.
        """
        if not self._is_open:
            raise LineLost(type(error).__name__) from error

    async def _on_end(self) -> None:
        self._ended.set()
