"""The provider's clock: the machine's, and ahead of it by what its controls have said, across restarts."""

from collections.abc import Callable

from hub.sandbox.tables import Tables

AHEAD_SETTING = "clock ahead s"
FARTHEST_S = 10 * 366 * 24 * 60 * 60  # ten years: what lies beyond is a slip of the finger


class Clock:
    """Unix seconds of the provider's business. What it signs is dated by `real`: its stamps stay within everybody's
    window, however far its days have been moved."""

    def __init__(self, tables: Tables, real: Callable[[], float]) -> None:
        self._tables = tables
        self._ahead_s = int(tables.setting(AHEAD_SETTING) or 0)
        self.real = real

    def __call__(self) -> float:
        return self.real() + self._ahead_s

    def advance(self, seconds: int) -> None:
        """Never back. Raises ValueError beyond FARTHEST_S in all."""
        if seconds < 0 or self._ahead_s + seconds > FARTHEST_S:
            raise ValueError(f"the clock goes forward, and at most {FARTHEST_S} s in all")
        self._ahead_s += seconds
        self._tables.keep_setting(AHEAD_SETTING, str(self._ahead_s))
