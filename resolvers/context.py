"""What every resolver gets: the hub, who asks, and this operation's loaders. Built by the entry for each operation."""

from dataclasses import dataclass

import strawberry

from hub.domain.people import Viewer
from hub.ports import Hub
from resolvers.loaders import NodeLoader, node_loader

GATEWAY_FIELDS = frozenset({"_entities", "_service"})


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One operation. `loaders` live as long as it does, so nothing is cached between two of them."""

    hub: Hub
    viewer: Viewer
    request_id: str
    nodes: NodeLoader
    gateway_fields: frozenset[str]  # those of GATEWAY_FIELDS that this request may ask for


def request_context(
    hub: Hub, viewer: Viewer, request_id: str, gateway_fields: frozenset[str] = frozenset()
) -> RequestContext:
    """The context of one operation, for this viewer."""
    return RequestContext(hub, viewer, request_id, node_loader(hub, viewer), gateway_fields)


Info = strawberry.Info[RequestContext, None]
