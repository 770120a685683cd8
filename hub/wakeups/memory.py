"""Wake-ups within one process: a counter of moves, and whoever waits for one."""

import asyncio

# Streams whose last move is remembered; beyond, the older half is forgotten, and whoever marked before looks once more.
MAX_REMEMBERED = 10_000


class MemoryWakeups:
    """`Wakeups` without a bus. Called from one event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._floor = 0  # moves up to here may have been forgotten
        self._moved: dict[str, int] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def publish(self, stream: str, position: int) -> None:
        self.wake(stream)

    def wake(self, stream: str) -> None:
        self._count += 1
        self._moved.pop(stream, None)
        self._moved[stream] = self._count
        if len(self._moved) > MAX_REMEMBERED:
            self._forget()
        for future in self._waiting.pop(stream, ()):
            if not future.done():
                future.set_result(None)

    def mark(self, stream: str) -> int:
        return self._count

    async def wait(self, stream: str, since: int) -> None:
        if self._moved.get(stream, self._floor) > since:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(stream, set()).add(future)
        try:
            await future
        finally:
            self._leave(stream, future)

    def wake_all(self) -> None:
        for stream in list(self._waiting):
            self.wake(stream)

    async def aclose(self) -> None:
        """Nothing is open."""

    @property
    def waiting(self) -> int:
        """How many wait, over all streams."""
        return sum(len(futures) for futures in self._waiting.values())

    def _leave(self, stream: str, future: "asyncio.Future[None]") -> None:
        futures = self._waiting.get(stream)
        if futures is not None:
            futures.discard(future)
            if not futures:
                del self._waiting[stream]

    def _forget(self) -> None:
        for stream in list(self._moved)[: MAX_REMEMBERED // 2]:
            self._floor = max(self._floor, self._moved.pop(stream))
