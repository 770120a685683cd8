"""Connections: which part of a list is asked for, and the cursors of what was found. Keysets, never offsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.ports import CursorRefused, Cursors
from resolvers.errors import bad_input

if TYPE_CHECKING:
    from hub.store.reads import Row, Slice

First = Annotated[int | None, strawberry.argument(description="How many from the start or after `after`: 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="Cursor of the row after which to go on.")]
Last = Annotated[int | None, strawberry.argument(description="How many from the end or before `before`: 1 to 100.")]
Before = Annotated[str | None, strawberry.argument(description="Cursor of the row before which to go back.")]

MAX_PAGE = 100  # rows of one page: what one statement reads and one answer holds


@dataclass(frozen=True, slots=True)
class Window:
    """`size` rows after the edge (is_forward) or before it; without an edge from the start or the end of the list."""

    size: int
    is_forward: bool
    edge: tuple[str | int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Listed:
    """Which list: its name, which binds its cursors to it and to whoever asks, and what it is sorted by."""

    name: str
    sort_by: tuple[str, ...] = ("created_at_us", "id")
    is_descending: bool = True


def window_of(
    cursors: Cursors, listed: Listed, first: int | None, after: str | None, last: int | None, before: str | None
) -> Window:
    """The window that these arguments ask for. BAD_USER_INPUT for none, too much, or a cursor of elsewhere."""
    if (first is None) == (last is None):
        raise bad_input("give either first or last")
    is_forward = first is not None
    size = first if first is not None else last
    assert size is not None
    if not 1 <= size <= MAX_PAGE:
        raise bad_input(f"{'first' if is_forward else 'last'} lies between 1 and {MAX_PAGE}")
    if before is not None if is_forward else after is not None:
        raise bad_input("first goes with after, last with before")
    cursor = after if is_forward else before
    return Window(size, is_forward, None if cursor is None else opened(cursors, listed, cursor))


def opened(cursors: Cursors, listed: Listed, cursor: str) -> tuple[str | int | None, ...]:
    """The sort values in a cursor of this very list."""
    try:
        values = tuple(cursors.open_keyset(listed.name, cursor))
    except CursorRefused:
        raise bad_input("this is no cursor of this list") from None
    if len(values) != len(listed.sort_by):
        raise bad_input("this is no cursor of this list")
    return values


@dataclass(frozen=True, slots=True)
class Page:
    """What a connection type shows."""

    rows: "Sequence[Row]"
    total: int | None
    has_next: bool
    has_previous: bool
    listed: Listed


@dataclass(frozen=True, slots=True)
class Edge:
    row: "Row"
    listed: Listed


def page_of(part: "Slice", window: Window, listed: Listed) -> Page:
    """The page of a window. Beyond a given edge there is at least the row of that edge."""
    has_edge = window.edge is not None
    has_next, has_previous = (part.has_more, has_edge) if window.is_forward else (has_edge, part.has_more)
    return Page(part.rows, part.total, has_next, has_previous, listed)


def edges(root: strawberry.Parent[Page]) -> list[Edge]:
    return [Edge(row, root.listed) for row in root.rows]


def cursor_of(cursors: Cursors, edge: Edge) -> str:
    listed = edge.listed
    return cursors.seal_keyset(listed.name, tuple(getattr(edge.row, column) for column in listed.sort_by))
