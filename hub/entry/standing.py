"""What runs for whom: how many streams each may have, and that they end with the credential that began them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from hub.domain.people import Viewer, ViewerKind
from resolvers.errors import GatekeepingError

WATCH_S = 1.0  # how often running streams are asked about; a revoked key itself is noticed within its cache's 5 s

# Operations under way over streaming transports at once. A person has some tabs; a platform's servers share one name,
# and 10,000 of its streams take 350 MB at most; strangers share one name, and have nothing to follow.
MOST = {
    ViewerKind.ANONYMOUS: 1_000,
    ViewerKind.USER: 100,
    ViewerKind.PLATFORM: 10_000,
    ViewerKind.OPERATOR: 10_000,
}

Still = Callable[[Viewer], Awaitable[bool]]
End = Callable[[], None]


class Standing:
    """The streams and sockets of one process, by viewer."""

    def __init__(self, still: Still) -> None:
        self._still = still
        self._running: Counter[str] = Counter()
        self._ends: dict[Viewer, dict[object, End]] = {}
        self._watching: asyncio.Task[None] | None = None

    def begin(self, viewer: Viewer) -> None:
        """One operation more of this viewer; `done` once. GatekeepingError THROTTLED beyond MOST."""
        principal, most = viewer.principal, MOST[viewer.kind]
        if self._running[principal] >= most:
            raise GatekeepingError("THROTTLED", f"{most} operations of yours are under way: end one first")
        self._running[principal] += 1

    def done(self, viewer: Viewer) -> None:
        """One operation less."""
        principal = viewer.principal
        self._running[principal] -= 1
        if not self._running[principal]:
            del self._running[principal]

    def watch(self, viewer: Viewer, me: object, end: End) -> None:
        """Call `end` once, should the viewer's credential stop counting before `unwatch`. `me` is the watcher."""
        if viewer.kind is ViewerKind.ANONYMOUS:
            return
        self._ends.setdefault(viewer, {})[me] = end
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="watch over credentials")

    def unwatch(self, viewer: Viewer, me: object) -> None:
        """Whoever watched does no more."""
        of_viewer = self._ends.get(viewer, {})
        of_viewer.pop(me, None)
        if not of_viewer:
            self._ends.pop(viewer, None)
        if not self._ends and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def running(self, principal: str) -> int:
        """How many operations of theirs are under way."""
        return self._running[principal]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            for viewer in tuple(self._ends):
                if not await self._still(viewer):
                    for end in self._ends.pop(viewer, {}).values():
                        end()
