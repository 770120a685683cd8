"""Dying on purpose, for tests: HUB_FAILPOINT=NAME[#N] ends the process, as by SIGKILL, the N-th time it gets to NAME.

The names are `UNIT: before commit` and `UNIT: after commit` for every unit of the flows and, for every call that leaves
the process, `channel.METHOD: before send` and `channel.METHOD: after answer` (likewise `chain.` and `platform.`).
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

VARIABLE = "HUB_FAILPOINT"
EXIT_CODE = 137  # what a shell shows after SIGKILL

CALLS = {
    "channel": ("create", "capture", "void", "query", "refund", "query_refund"),
    "chain": ("send",),
    "platform": ("grant_access", "revoke_access"),
    "sender": ("post",),
}


class Failpoint:
    """The one point at which this process dies, if any."""

    def __init__(self, setting: str | None) -> None:
        name, _, count = (setting or "").partition("#")
        self._name = name
        self._left = int(count or 1)

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os._exit(EXIT_CODE)

    @property
    def is_set(self) -> bool:
        return bool(self._name)

    def on_step(self, step: str, unit: str) -> None:
        """For the store: `step` is "before commit" or "after commit"."""
        self.reach(f"{unit}: {step}")

    def around(self, kind: str, adapter: T) -> T:
        """The adapter with a point before and after each of its calls."""
        if self.is_set:
            for method in CALLS[kind]:
                setattr(adapter, method, self._guarded(f"{kind}.{method}", getattr(adapter, method)))
        return adapter

    def _guarded(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            self.reach(f"{name}: before send")
            answer = await method(*args, **kwargs)
            self.reach(f"{name}: after answer")
            return answer

        return guarded
