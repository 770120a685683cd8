"""A TCP proxy that spoils what passes: late, cut after so many bytes, swallowed, reset, or closed to one side.

async with faulty("127.0.0.1", port) as proxy:
    ... connect to proxy.port ...
    proxy.swallows = True
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CHUNK = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends RST instead of FIN


@dataclass(slots=True)
class Proxy:
    """What happens to connections that pass now; faults may be changed while they do."""

    port: int = 0
    late_s: float = 0.0  # each piece, in both directions
    cut_after: int | None = None  # bytes of answers, over all connections; then all are reset
    swallows: bool = False  # a black hole: connections stay open and nothing arrives; new ones too
    refuses: bool = False  # nobody listens any more
    accepted: int = 0
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    def reset(self) -> None:
        """Reset every open connection."""
        for writer in list(self._ends):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def carry(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self.accepted += 1
        self._ends.add(writer)
        onward = None
        try:
            if self.refuses:
                self.reset()
                return
            there, onward = await asyncio.open_connection(host, port)
            self._ends.add(onward)
            asking = asyncio.create_task(self._pump(reader, onward, is_answer=False))
            answering = asyncio.create_task(self._pump(there, writer, is_answer=True))
            await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
            for one in (asking, answering):
                one.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, onward):
                if end is not None:
                    self._ends.discard(end)
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while piece := await reader.read(CHUNK):
            if self.late_s:
                await asyncio.sleep(self.late_s)
            if self.swallows:
                continue
            if is_answer and self.cut_after is not None:
                piece, self.cut_after = piece[: self.cut_after], max(0, self.cut_after - len(piece))
            writer.write(piece)
            await writer.drain()
            if is_answer and self.cut_after == 0:
                self.cut_after = None
                self.reset()
                return
        if self.swallows:
            await asyncio.Event().wait()


@asynccontextmanager
async def faulty(host: str, port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of that address, on a free port of this machine."""
    proxy = Proxy()
    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        try:
            await proxy.carry(host, port, reader, writer)
        finally:
            carrying.discard(task)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(carrying):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
