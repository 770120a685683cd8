"""Positions in lists and streams, as opaque text."""

from collections.abc import Sequence
from typing import Protocol


class CursorRefused(ValueError):
    """A cursor that is not this hub's, not for this list, or altered: BAD_USER_INPUT, and no word about which."""

    def __init__(self) -> None:
        super().__init__("this is no cursor of this list")


class Cursors(Protocol):
    """Seals positions into opaque text and opens it again. Not secret, but nobody else can make one."""

    def seal(self, stream: str, position: int) -> str:
        """The cursor of an event: resume after `position` (0: from the first) of `stream`."""

    def seal_all(self, stream: str, positions: Sequence[int]) -> list[str]:
        """The same for many events of one stream, for less."""

    def open(self, text: str) -> tuple[str, int]:
        """Stream and position. Raises CursorRefused. Whether the viewer may read it is the caller's question."""

    def seal_keyset(self, list_name: str, values: tuple[str | int | bool | None, ...]) -> str:
        """The cursor of a row: the values it is sorted by, bound to the list's name."""

    def open_keyset(self, list_name: str, text: str) -> tuple[str | int | bool | None, ...]:
        """The values again. Raises CursorRefused."""
