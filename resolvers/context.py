"""What every resolver gets: the hub, who asks, and this operation's loaders. Built by the entry for each operation."""

from dataclasses import dataclass

import strawberry

from hub.domain.people import Viewer
from hub.ports import Hub
from resolvers.loaders import NodeLoader, node_loader


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One operation. `loaders` live as long as it does, so nothing is cached between two of them."""

    hub: Hub
    viewer: Viewer
    request_id: str
    nodes: NodeLoader


def request_context(hub: Hub, viewer: Viewer, request_id: str) -> RequestContext:
    """The context of one operation, for this viewer."""
    return RequestContext(hub, viewer, request_id, node_loader(hub, viewer))


Info = strawberry.Info[RequestContext, None]
