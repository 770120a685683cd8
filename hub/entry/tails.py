"""One reader for each followed stream, however many follow it; whoever is near its end shares the events kept.

    behind(position)   what lies between a position and now, a batch at a time: from memory, or from the log
    after(position)    the same, but waits where there is nothing yet

A follower at the tail costs no SQL at all: the tail reads once per wake-up and wakes everybody.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

from hub.domain.events import Logged
from hub.ports import Hub
from resolvers.events import BATCH, read_on

KEPT = 500  # events of a followed stream in memory: a follower that lags by less needs no read of its own


class Tail:
    """The end of one stream. Everything after `_floor` that is in the log up to `head` is in `_kept`."""

    def __init__(self, hub: Hub, stream: str) -> None:
        self.followers = 0
        self._hub = hub
        self.stream = stream
        self._kept: deque[Logged] = deque()
        self._floor = 0
        self.head = 0  # position up to which the tail has read
        self._reading: asyncio.Task[None] | None = None
        self._moved: asyncio.Future[None] | None = None

    async def after(self, position: int) -> list[Logged]:
        """The next events after a position, at most BATCH; waits until there are some. UNAVAILABLE as `read_on`."""
        while not (batch := await self.behind(position)):
            await self._wait()
        return batch

    async def behind(self, position: int) -> list[Logged]:
        """The next events after a position, at most BATCH; none: the follower is at the tail, and the tail is read on.

        Between the answer "none" and the caller's next `await` nothing can be added.
        """
        while not (self._is_read and position >= self._floor):
            floor = self._floor if self._is_read else None
            seen = self._hub.wakeups.mark(self.stream)
            if batch := await read_on(self._hub, self.stream, position):
                return batch
            if not self._is_read:
                self._begin(position, seen)
            elif self._floor == floor:
                break  # nothing lies between the position and the floor; else the tail has moved on meanwhile
        return self._newer(position)

    def stop(self) -> None:
        """Nobody follows any more."""
        if self._reading is not None:
            self._reading.cancel()

    @property
    def _is_read(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _begin(self, position: int, seen: int) -> None:
        self._kept.clear()
        self._floor = self.head = position
        self._moved = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read_on(seen), name=f"tail of {self.stream}")
        self._reading.add_done_callback(self._ended)

    def _newer(self, position: int) -> list[Logged]:
        """What is kept after a position. Looked for from the end: followers are near it."""
        lag = 0
        for logged in reversed(self._kept):
            if logged.position <= position:
                break
            lag += 1
        start = len(self._kept) - lag
        return [self._kept[i] for i in range(start, min(start + BATCH, len(self._kept)))]

    async def _read_on(self, seen: int) -> None:
        """Wait, read, wake everybody; `seen` is the mark from before the last read."""
        batch: list[Logged] = []
        while True:
            if len(batch) < BATCH:  # it was all there was: what came since has moved the mark
                await self._hub.wakeups.wait(self.stream, seen)
            seen = self._hub.wakeups.mark(self.stream)
            batch = await read_on(self._hub, self.stream, self.head)
            if batch:
                self._keep(batch)

    def _keep(self, batch: list[Logged]) -> None:
        self._kept.extend(batch)
        self.head = batch[-1].position
        while len(self._kept) > KEPT:
            self._floor = self._kept.popleft().position
        moved, self._moved = self._moved, asyncio.get_running_loop().create_future()
        assert moved is not None
        moved.set_result(None)

    async def _wait(self) -> None:
        if self._is_read and self._moved is not None:
            await asyncio.shield(self._moved)  # one future for all: the one who leaves must not cancel it

    def _ended(self, reading: "asyncio.Task[None]") -> None:
        """A read that failed is everybody's; who comes back reads anew."""
        moved, self._moved = self._moved, None
        if moved is None or moved.done():
            return
        if not reading.cancelled() and (fault := reading.exception()) is not None:
            moved.set_exception(fault)
            moved.exception()  # nobody may be waiting
        else:
            moved.cancel()


class Tails:
    """The followed streams of one process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tails: dict[str, Tail] = {}

    def follow(self, stream: str) -> Tail:
        """The stream's tail, for one follower more; leave it once."""
        tail = self._tails.get(stream)
        if tail is None:
            tail = self._tails[stream] = Tail(self._hub, stream)
        tail.followers += 1
        return tail

    def leave(self, tail: Tail) -> None:
        """One follower less; with the last the tail is dropped."""
        tail.followers -= 1
        if tail.followers == 0:
            tail.stop()
            del self._tails[tail.stream]

    def __iter__(self) -> Iterator[Tail]:
        return iter(self._tails.values())
