"""Where results go: a connection that is written to without waiting, and says how much of it has not left yet.

A reader that stops reading is noticed by that figure; nothing else is queued for it, since a stream can be read again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Bytes that wait for a reader: beyond, nothing more is written until most of it has left. asyncio's own mark as well.
MAX_UNSENT = 64 * 1024
LOW_UNSENT = 16 * 1024
CHECK_S = 1.0  # how often a waiting writer looks whether its reader took anything
WIRE = "hub.wire"  # where the scope of a WebSocket has its SocketWire


class Gone(Exception):
    """The other side has left."""


class Stalled(Exception):
    """The reader is too slow; the text says in which way."""


class Wire(Protocol):
    """One connection's way out."""

    stall_s: float  # a reader that takes nothing for so long is told SLOW_CONSUMER

    @property
    def unsent(self) -> int:
        """Bytes written that have not left."""

    def write(self, *messages: bytes, before: bytes = b"", after: bytes = b"") -> None:
        """Hand over whole messages, each between these two; never waits. Raises Gone."""

    async def drained(self) -> None:
        """Wait until little is left to be sent. Raises Gone."""

    def abort(self) -> None:
        """Cut the connection, whatever is left."""


async def drained(wire: Wire, is_far_behind: Callable[[], bool] = lambda: False) -> None:
    """Wait until little is left to be sent, as long as some leaves. Raises Gone, Stalled."""
    left, idle_s = wire.unsent, 0.0
    while True:
        try:
            await asyncio.wait_for(wire.drained(), CHECK_S)
            is_drained = True
        except TimeoutError:
            is_drained = False
        if is_far_behind():
            raise Stalled("the reader fell too far behind")
        if is_drained:
            return
        left, idle_s = wire.unsent, idle_s + CHECK_S if wire.unsent >= left else 0.0
        if idle_s >= wire.stall_s:
            raise Stalled(f"the reader took nothing for {wire.stall_s:g} s")


class SocketWire:
    """Messages of a WebSocket, straight into uvicorn's transport: a plain loop over many of them is the fan-out."""

    stall_s = 15.0  # less than the ping's 20 s, after which the connection is cut without a word

    def __init__(self, protocol: WebSocketsSansIOProtocol) -> None:
        self._protocol = protocol
        self._size = protocol.transport.get_write_buffer_size

    @property
    def unsent(self) -> int:
        return self._size()

    def write(self, *messages: bytes, before: bytes = b"", after: bytes = b"") -> None:
        protocol = self._protocol
        if protocol.disconnected or protocol.close_sent or protocol.transport.is_closing():
            raise Gone
        around = len(before) + len(after)
        protocol.transport.write(b"".join([_head(around + len(one)) + before + one + after for one in messages]))

    async def drained(self) -> None:
        await self._protocol.writable.wait()
        if self._protocol.disconnected or self._protocol.close_sent:
            raise Gone

    def abort(self) -> None:
        self._protocol.transport.abort()


@lru_cache(maxsize=1024)  # events of a stream are alike in size
def _head(size: int) -> bytes:
    """What leads a text frame of the WebSocket protocol: whole, not masked, not compressed."""
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big")
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


class AsgiWire:
    """Pieces of a response, sent one after the other by whatever serves it."""

    stall_s = 600.0  # HTTP has no ping that would cut it before

    def __init__(self, send: Callable[[bytes], Awaitable[None]], *, is_joined: bool = True) -> None:
        self._send = send
        self._is_joined = is_joined  # pieces that piled up may leave as one
        self._waiting: deque[bytes] = deque()
        self._unsent = 0
        self._is_gone = False
        self._has_some, self._has_little, self._is_empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._has_little.set()
        self._is_empty.set()
        self._sending = asyncio.create_task(self._send_all())

    @property
    def unsent(self) -> int:
        return self._unsent

    def write(self, *messages: bytes, before: bytes = b"", after: bytes = b"") -> None:
        if self._is_gone:
            raise Gone
        self._waiting.extend(before + one + after for one in messages)
        self._unsent += sum(map(len, messages)) + len(messages) * len(before + after)
        if not self._unsent:
            return
        self._has_some.set()
        self._is_empty.clear()
        if self._unsent > LOW_UNSENT:
            self._has_little.clear()

    async def drained(self) -> None:
        await self._has_little.wait()
        if self._is_gone:
            raise Gone

    def abort(self) -> None:
        self.left()
        self._sending.cancel()

    def left(self) -> None:
        """The other side is gone: whoever waits here is told."""
        self._is_gone = True
        self._has_little.set()
        self._is_empty.set()

    async def close(self, within_s: float) -> None:
        """Let what waits leave, if the reader takes it in time, and end."""
        try:
            await asyncio.wait_for(self._is_empty.wait(), within_s)
        except TimeoutError:
            pass
        finally:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send_all(self) -> None:
        try:
            while True:
                await self._has_some.wait()
                self._has_some.clear()
                while self._waiting:
                    data = self._next()
                    await self._send(data)
                    self._took(len(data))
        finally:
            self.left()

    def _next(self) -> bytes:
        if not self._is_joined:
            return self._waiting.popleft()
        data = b"".join(self._waiting)
        self._waiting.clear()
        return data

    def _took(self, size: int) -> None:
        self._unsent -= size
        if self._unsent <= LOW_UNSENT:
            self._has_little.set()
        if not self._unsent:
            self._is_empty.set()
