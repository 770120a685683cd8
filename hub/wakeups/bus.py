"""Wake-ups between processes over any bus: hints, so whatever the bus loses, doubles, delays or forges changes nothing.

A line is one connection to a bus that repeats to everybody, ourselves included, what anybody says on it. Hearing
ourselves is how we know that it carries; when it does not, it is opened anew, and the poll finds what was not heard.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from hub.wakeups.memory import MemoryWakeups

log = logging.getLogger(__name__)

CHANNEL = "tongbao.wakeups"  # several hubs may share a bus: each other's hints cost a look and no more
COALESCE_S = 0.005  # between two messages of one process, and between two wakes of its own: what moves meanwhile waits
MAX_STREAMS = 256  # of one message: 8 KB at most, far below what any bus takes
MAX_STREAM = 64  # characters of a stream's name; an id has 30
MAX_MESSAGE = 64 + MAX_STREAMS * (MAX_STREAM + 1)  # bytes; a longer one is not ours and is not read
MAX_PENDING = 10_000  # streams that wait to be sent or woken; beyond, the poll finds them
BEAT_S = 5.0  # we say something at least so often
SILENCE_S = 12.0  # and a line on which we do not hear ourselves for so long carries nothing
OPEN_S = 5.0  # a bus that needs longer to be reached is away
CLOSE_S = 2.0  # then it is let go
AGAIN_FIRST_S, AGAIN_MOST_S = 0.1, 5.0

_NAME = re.compile(rb"[A-Za-z0-9_]{1,%d}" % MAX_STREAM)


class LineLost(Exception):
    """The bus cannot be reached, or no longer."""


class Line(Protocol):
    """One open connection. Every method may raise LineLost."""

    async def say(self, message: bytes) -> None:
        """Hand a message to the bus, which repeats it to everybody; that it arrives is not promised."""

    async def lost(self) -> None:
        """Listen until the line is lost, then raise LineLost; never returns."""


Hear = Callable[[bytes], None]
# Opens a line whose messages are handed to the argument, closes it when the block ends; raises LineLost.
Open = Callable[[Hear], AbstractAsyncContextManager[Line]]


@dataclass(slots=True)
class BusFigures:
    """What became of hints, for /metrics."""

    is_open: bool = False
    losses: int = 0  # how often an open line was lost
    sent: int = 0  # streams
    heard: int = 0
    ignored: int = 0  # messages that are not ours
    dropped: int = 0  # streams that moved while the line was down or the queue full


class BusWakeups(MemoryWakeups):
    """`Wakeups` that also tell the other processes, and hear them. Called from one event loop."""

    def __init__(self, open_line: Open, name: str) -> None:
        """`name` is this process's own among all on the bus: letters and digits."""
        super().__init__()
        self.figures = BusFigures()
        self._open = open_line
        self._name = name.encode()
        self._to_say: dict[str, None] = {}
        self._has_to_say = asyncio.Event()
        self._heard: dict[str, None] = {}
        self._pausing: asyncio.TimerHandle | None = None
        self._heard_ourselves_at = 0.0
        self._keeping: asyncio.Task[None] | None = None
        self._is_over = False

    def start(self) -> None:
        """Begin to reach for the bus, for as long as it takes; returns at once. Needs a running loop."""
        self._keeping = asyncio.create_task(self._keep_open(), name="wake-up bus")

    def publish(self, stream: str, position: int) -> None:
        self.wake(stream)
        if not self.figures.is_open or len(self._to_say) >= MAX_PENDING:
            self.figures.dropped += 1
            return
        self._to_say[stream] = None
        self._has_to_say.set()

    async def aclose(self) -> None:
        if self._to_say and self.figures.is_open:
            await asyncio.sleep(2 * COALESCE_S)  # the last ones; a hint more or less
        keeping, self._keeping, self._is_over = self._keeping, None, True
        while keeping is not None and not keeping.done():  # a client may take being cancelled for a line that is lost
            keeping.cancel()
            await asyncio.wait([keeping], timeout=CLOSE_S)
        if self._pausing is not None:
            self._pausing.cancel()

    # ---- the line ----------------------------------------------------------------------------------------------------

    async def _keep_open(self) -> None:
        """Open the line, use it until it is lost, and so on: one log line each way, however often it is tried."""
        again_s, is_told = AGAIN_FIRST_S, False
        while not self._is_over:
            try:
                async with self._open(self._hear) as line:
                    self._opened()
                    if is_told:
                        log.warning("the wake-up bus is back")
                    again_s, is_told = AGAIN_FIRST_S, False
                    await self._use(line)
            except LineLost as lost:
                if not is_told:
                    log.warning("the wake-up bus is away (%s): other processes' events come by the poll", lost)
                is_told = True
            except Exception:
                log.exception("the wake-up bus failed and is tried again")
            finally:
                self._closed()
            await asyncio.sleep(again_s)
            again_s = min(again_s * 2, AGAIN_MOST_S)

    async def _use(self, line: Line) -> None:
        """Say and listen until one of them ends with the line."""
        doing = [asyncio.ensure_future(one) for one in (self._say(line), line.lost(), self._watch())]
        try:
            done, _ = await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in doing:
                one.cancel()
            await asyncio.gather(*doing, return_exceptions=True)

    async def _say(self, line: Line) -> None:
        """At most one message in COALESCE_S, the first of them at once; an empty one when there is nothing to say."""
        while True:
            try:
                await asyncio.wait_for(self._has_to_say.wait(), BEAT_S)
            except TimeoutError:
                pass
            streams = list(self._to_say)[:MAX_STREAMS]
            for stream in streams:
                del self._to_say[stream]
            if not self._to_say:
                self._has_to_say.clear()
            await line.say(written(self._name, streams))
            self.figures.sent += len(streams)
            await asyncio.sleep(COALESCE_S)

    async def _watch(self) -> None:
        """A line that carries nothing looks open for as long as the network likes: we say when it is lost."""
        clock = asyncio.get_running_loop().time
        while clock() - self._heard_ourselves_at < SILENCE_S:  # noqa: ASYNC110  # silence is no event to wait for
            await asyncio.sleep(BEAT_S / 2)
        raise LineLost("it carries nothing")

    def _opened(self) -> None:
        self.figures.is_open = True
        self._heard_ourselves_at = asyncio.get_running_loop().time()
        self._has_to_say.set()  # the first beat at once

    def _closed(self) -> None:
        self.figures.losses += self.figures.is_open
        self.figures.is_open = False
        self.figures.dropped += len(self._to_say)
        self._to_say.clear()

    # ---- what others say ---------------------------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        told = read(message)
        if told is None:
            self.figures.ignored += 1
            return
        name, streams = told
        if name == self._name:
            self._heard_ourselves_at = asyncio.get_running_loop().time()
            return
        self.figures.heard += len(streams)
        for stream in streams:
            if len(self._heard) < MAX_PENDING:
                self._heard[stream] = None
        if self._pausing is None:
            self._wake_heard()

    def _wake_heard(self) -> None:
        """At once, then not again for COALESCE_S: a bus that shouts makes nobody read more often than that."""
        self._pausing = None
        if not self._heard:
            return
        heard, self._heard = self._heard, {}
        for stream in heard:
            self.wake(stream)
        self._pausing = asyncio.get_running_loop().call_later(COALESCE_S, self._wake_heard)


def written(name: bytes, streams: Iterable[str]) -> bytes:
    """A message: who speaks, then the streams that moved, a line each. No position, no kind, nothing of anybody."""
    return b"\n".join((name, *(stream.encode() for stream in streams)))


def read(message: bytes) -> tuple[bytes, list[str]] | None:
    """Who speaks and which streams; None for what no hub writes."""
    if len(message) > MAX_MESSAGE:
        return None
    lines = message.split(b"\n")
    if len(lines) > MAX_STREAMS + 1 or not all(map(_NAME.fullmatch, lines)):
        return None
    return lines[0], [line.decode() for line in lines[1:]]
