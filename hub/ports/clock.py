"""The clock that flows are given."""

from typing import Protocol


class Clock(Protocol):
    """The wall clock. It may jump; nothing orders by it."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
