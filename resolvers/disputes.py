"""Disputes from the outside: for operators, and for the platform whose order is contested."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from resolvers.context import Info
from resolvers.inputs import DisputeStateFilter, chosen
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, First, Last, Page
from resolvers.reading import listed_page, one

if TYPE_CHECKING:
    from hub.store.reads import Row


@strawberry.input(description="Which disputes: all that are given must hold.")
class DisputeFilter:
    state: DisputeStateFilter | None = strawberry.field(default=None, description="What their state is.")


async def dispute(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The dispute's id.")]
) -> "Row | None":
    """One dispute; null alike for unknown and not yours."""
    return await one(info, "Dispute", "dispute", id)


async def all_disputes(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    where: Annotated[DisputeFilter | None, strawberry.argument(description="Which disputes.")] = None,
) -> Page:
    """The disputes that you may see, the newest first."""
    filters = {}
    if where is not None and where.state is not None:
        filters["state"] = chosen(where.state, "state")
    listed = nested_list("disputes", info.context.viewer)
    return await listed_page(info, "dispute", listed, first, after, last, before, filters)
