"""Hints between processes."""

from typing import Protocol


class Wakeups(Protocol):
    """Hints that a stream has moved. Never the truth: a lost one costs at most one poll."""

    def publish(self, stream: str, position: int) -> None:
        """After a commit, to every process; never waits or raises, loses nothing that a poll would not find."""

    def wake(self, stream: str) -> None:
        """Wake those of this process alone: what its own poll has found."""

    def wake_all(self) -> None:
        """Wake everybody who waits in this process: nobody knows what has moved."""

    def mark(self, stream: str) -> int:
        """The stream's counter, taken before reading it."""

    async def wait(self, stream: str, since: int) -> None:
        """Return once the counter has passed `since`."""

    async def aclose(self) -> None:
        """Close what it has opened. Called once, at the end; a later `publish` is lost."""
