"""The audit log from the outside: for operators."""

from typing import Annotated

import strawberry

from hub.domain.ids import kind_of
from resolvers.context import Info
from resolvers.errors import bad_input
from resolvers.inputs import TextFilter, chosen
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, First, Last, Page
from resolvers.reading import listed_page


@strawberry.input(description="Which entries: all that are given must hold.")
class AuditEntryFilter:
    action: TextFilter | None = strawberry.field(default=None, description="What was done, such as apiKeyRevoke.")
    actor: TextFilter | None = strawberry.field(default=None, description="Who did it: an API key's id, or command.")
    subject: TextFilter | None = strawberry.field(default=None, description="To what, by its id.")
    platform_id: strawberry.ID | None = strawberry.field(default=None, description="Whose things were changed.")


async def audit_entries(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    where: Annotated[AuditEntryFilter | None, strawberry.argument(description="Which entries.")] = None,
) -> Page:
    """Who changed what, the newest first."""
    filters: dict[str, object] = {}
    if where is not None:
        for name, filter_ in (("actions", where.action), ("actors", where.actor), ("subjects", where.subject)):
            if filter_ is not None:
                filters[name] = chosen(filter_, name)
        if where.platform_id is not None:
            if kind_of(where.platform_id) != "Platform":
                raise bad_input("platformId: no platform has such an id")
            filters["platform"] = str(where.platform_id)
    listed = nested_list("auditEntries", info.context.viewer)
    return await listed_page(info, "audit_entry", listed, first, after, last, before, filters)
