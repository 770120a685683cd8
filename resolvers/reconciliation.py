"""Breaks from the outside: for operators."""

from resolvers.context import Info
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, First, Last, Page
from resolvers.reading import listed_page


async def breaks(
    info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
) -> Page:
    """Differences between money and books, the newest first."""
    listed = nested_list("breaks", info.context.viewer)
    return await listed_page(info, "break", listed, first, after, last, before)
