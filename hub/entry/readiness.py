"""What /readyz asks. Anybody may ask it as often as they like, so what it costs the database is bounded here."""

import asyncio

from hub.flows.readiness import try_writing
from hub.ports import Hub
from hub.store.migrate import is_at_head

WRITE_EVERY_S = 1.0  # between the beginnings of two probes: a commit a second is nothing beside any sale


class Readiness:
    """Whether this hub's database is at this release's revision, and takes writes."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._probe: asyncio.Task[None] | None = None
        self._began_at = 0.0

    async def __call__(self) -> bool:
        """True for yes; no is False, or what the database raises, or no word at all: the caller sets the limit."""
        async with self._hub.store.reading() as rx:
            if not await is_at_head(rx):
                return False
        await asyncio.shield(self._written())
        return True

    def _written(self) -> "asyncio.Task[None]":
        """The last probe while it is under way or fresh, else a new one: one that hangs is waited for, not doubled."""
        now = asyncio.get_running_loop().time()
        if self._probe is None or (self._probe.done() and now - self._began_at >= WRITE_EVERY_S):
            self._began_at = now
            self._probe = asyncio.create_task(try_writing(self._hub), name="write probe")
            self._probe.add_done_callback(_heard)
        return self._probe


def _heard(probe: "asyncio.Task[None]") -> None:
    """Its fault is known, also if everybody who waited has given up."""
    if not probe.cancelled():
        probe.exception()
