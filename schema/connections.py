"""Node, Connection, Edge and PageInfo: of our own, since our ids are one string everywhere."""

from typing import Generic, TypeVar

import strawberry

from resolvers import connections
from schema.cost import COUNT, FREE
from schema.fields import SHAREABLE, plain, represents, resolved_by

T = TypeVar("T")


@strawberry.interface(description="Anything with an id of its own.")
class Node:
    id: strawberry.ID = plain("Opaque, the same string everywhere; never parse it.")


@represents("Page")
@strawberry.type(description="Where a page stands in its list.", directives=[SHAREABLE, FREE])
class PageInfo:
    has_next: bool = plain("Whether rows follow.", name="hasNextPage")
    has_previous: bool = plain("Whether rows precede.", name="hasPreviousPage")
    start_cursor: str | None = resolved_by(connections.start_cursor, "Cursor of the first row; null on an empty page.")
    end_cursor: str | None = resolved_by(connections.end_cursor, "Cursor of the last row; null on an empty page.")


@strawberry.type(description="One row of a list with its cursor.", directives=[FREE])
class Edge(Generic[T]):
    cursor: str = resolved_by(connections.cursor, "For `after` and `before` of this very list.")
    row: T = plain("The row.", name="node")


@strawberry.type(description="A page of a list: at most 100 rows, stable while rows are added.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = resolved_by(connections.edges, "The rows with their cursors.")
    rows: list[T] = plain("The rows.", name="nodes")
    page_info: PageInfo = resolved_by(connections.itself, "Where this page stands.")
    total: int | None = plain(
        "Rows of the whole list that you may see; counted when asked for.", name="totalCount", costs=COUNT
    )
