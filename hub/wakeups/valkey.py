"""Wake-ups over Valkey or Redis: PUBLISH and SUBSCRIBE on one channel, nothing kept. Needs the extra `valkey`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from valkey.asyncio.client import PubSub, Valkey
from valkey.exceptions import ValkeyError

from hub.wakeups.bus import CHANNEL, CLOSE_S, OPEN_S, BusWakeups, Hear, Line, LineLost

# What the client may raise for a server that is away, refuses us, or goes.
LOST = (OSError, TimeoutError, ValkeyError)
LISTEN_S = 60.0  # one read's limit; a line that carries nothing is noticed sooner


def valkey_wakeups(url: str, name: str) -> BusWakeups:
    """Wake-ups over the server at `redis://…`, `valkey://…` or their TLS forms. Nothing is opened before `start`."""
    return BusWakeups(partial(_open, url), name)


@asynccontextmanager
async def _open(url: str, hear: Hear) -> AsyncIterator[Line]:
    """Two connections: one that is subscribed may say nothing else."""
    client = Valkey.from_url(url, socket_timeout=OPEN_S, socket_connect_timeout=OPEN_S)
    listener = client.pubsub(ignore_subscribe_messages=True)
    try:
        async with asyncio.timeout(OPEN_S):
            await listener.subscribe(CHANNEL)
            await client.ping()
        yield ValkeyLine(client, listener, hear)
    except LOST as error:
        raise LineLost(type(error).__name__) from error
    finally:
        try:
            async with asyncio.timeout(CLOSE_S):
                await listener.aclose()
                await client.aclose()
        except LOST:
            pass


class ValkeyLine:
    """`Line` over a publishing and a subscribed connection."""

    def __init__(self, client: Valkey, listener: PubSub, hear: Hear) -> None:
        self._client = client
        self._listener = listener
        self._hear = hear

    async def say(self, message: bytes) -> None:
        try:
            await self._client.publish(CHANNEL, message)
        except LOST as error:
            raise LineLost(type(error).__name__) from error

    async def lost(self) -> None:
        try:
            while True:
                message = await self._listener.get_message(timeout=LISTEN_S)
                if message is not None and message["type"] == "message":
                    self._hear(message["data"])
        except LOST as error:
            raise LineLost(type(error).__name__) from error
