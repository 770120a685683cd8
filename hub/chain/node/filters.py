"""Server-side filters: without them ethers falls back to a poll that doubles events."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hub.chain.node.errors import refused

FILTERS_MAX: Final = 1_000
IDLE_S: Final = 300.0  # as in go-ethereum; a client that polls is never this slow

Asked = TypeVar("Asked")


@dataclass(slots=True)
class Filter(Generic[Asked]):
    """What is asked for (None: hashes of new blocks), and the first block that was not yet reported."""

    asked: Asked | None
    next_block: int
    used_at: float


class Filters(Generic[Asked]):
    """The filters of this process, by an id that cannot be guessed. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._filters: dict[int, Filter[Asked]] = {}

    def install(self, asked: Asked | None, next_block: int) -> int:
        """The id of a new filter. Raises RpcError when there are too many."""
        now = self._clock()
        with self._lock:
            for idle in [key for key, kept in self._filters.items() if now - kept.used_at > IDLE_S]:
                del self._filters[idle]
            if len(self._filters) >= FILTERS_MAX:
                raise refused(f"too many filters: at most {FILTERS_MAX}")
            number = secrets.randbits(120) | 1
            self._filters[number] = Filter(asked, next_block, now)
            return number

    def uninstall(self, number: int) -> bool:
        """Whether there was such a filter."""
        with self._lock:
            return self._filters.pop(number, None) is not None

    def asked(self, number: int) -> Asked:
        """What a log filter asks for. Raises RpcError for an unknown one, or a block filter."""
        with self._lock:
            asked = self._find(number).asked
        if asked is None:
            raise refused("filter not found")
        return asked

    def advance(self, number: int, head: int) -> tuple[Asked | None, range]:
        """What the filter asks for, and the blocks since it was last asked. Raises RpcError for an unknown one."""
        with self._lock:
            kept = self._find(number)
            blocks = range(kept.next_block, max(kept.next_block, head + 1))
            kept.next_block = blocks.stop
            return kept.asked, blocks

    def rewind(self, height: int) -> None:
        """All blocks above `height` count as not yet reported."""
        with self._lock:
            for kept in self._filters.values():
                kept.next_block = min(kept.next_block, height + 1)

    def _find(self, number: int) -> Filter[Asked]:
        kept = self._filters.get(number)
        if kept is None:
            raise refused("filter not found")
        kept.used_at = self._clock()
        return kept
