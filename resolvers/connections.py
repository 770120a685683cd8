"""Connections that stand on an object, and what every connection shows. All of it is in the row already."""

from typing import TYPE_CHECKING

import strawberry

from resolvers.context import Info
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, Edge, First, Last, Page, cursor_of, edges, page_of, window_of

if TYPE_CHECKING:
    from hub.store.reads import Row

__all__ = ["cursor", "edges", "end_cursor", "entitlements", "itself", "orders", "start_cursor"]


def orders(
    info: Info,
    root: "strawberry.Parent[Row]",
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Page:
    """Orders of this object that you may see, the newest first."""
    return _nested(info, root, "orders", first, after, last, before)


def entitlements(
    info: Info,
    root: "strawberry.Parent[Row]",
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Page:
    """Rights of this object that you may see, the newest first."""
    return _nested(info, root, "entitlements", first, after, last, before)


def _nested(
    info: Info, root: "Row", field: str, first: int | None, after: str | None, last: int | None, before: str | None
) -> Page:
    """Look-ahead has read the window already, under the field's response key; here wrong arguments are told."""
    listed = nested_list(field, info.context.viewer)
    window = window_of(info.context.hub.cursors, listed, first, after, last, before)
    return page_of(root.joined[f"{field}@{info.path.key}"], window, listed)


def cursor(info: Info, root: strawberry.Parent[Edge]) -> str:
    return cursor_of(info.context.hub.cursors, root)


def start_cursor(info: Info, root: strawberry.Parent[Page]) -> str | None:
    return _sealed(info, root, 0)


def end_cursor(info: Info, root: strawberry.Parent[Page]) -> str | None:
    return _sealed(info, root, -1)


def _sealed(info: Info, page: Page, place: int) -> str | None:
    return cursor_of(info.context.hub.cursors, Edge(page.rows[place], page.listed)) if page.rows else None


def itself(root: strawberry.Parent[Page]) -> Page:
    """The page's own PageInfo."""
    return root
