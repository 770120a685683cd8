"""What every resolver gets: the hub, who asks, and this operation's loaders. Built by the entry for each operation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import strawberry

from hub.domain.people import Viewer
from hub.ports import Hub
from resolvers.loaders import NodeLoader, RefundableLoader, node_loader, refundable_loader

GATEWAY_FIELDS = frozenset({"_entities", "_service"})


def _nobody_counts(_data: Mapping[str, object], _parts: int) -> dict[str, object]:
    return {}


@dataclass(slots=True)
class Parts:
    """An answer that may leave in parts. What limits the operation says here how it goes on after the first one."""

    left_s: float | None = None  # for the rest of the execution; None: no bound
    ended: Callable[[Mapping[str, object], int], dict[str, object]] = _nobody_counts  # whole data, parts → extensions


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One operation. `loaders` live as long as it does, so nothing is cached between two of them."""

    hub: Hub
    viewer: Viewer
    request_id: str
    nodes: NodeLoader
    refundables: RefundableLoader
    gateway_fields: frozenset[str]  # those of GATEWAY_FIELDS that this request may ask for
    parts: Parts | None = None  # None: what is deferred comes with the rest
    is_stream: bool = False  # over WebSocket or SSE, where nothing may be deferred


def request_context(
    hub: Hub,
    viewer: Viewer,
    request_id: str,
    gateway_fields: frozenset[str] = frozenset(),
    *,
    parts: Parts | None = None,
    is_stream: bool = False,
) -> RequestContext:
    """The context of one operation, for this viewer."""
    nodes, refundables = node_loader(hub, viewer), refundable_loader(hub)
    return RequestContext(hub, viewer, request_id, nodes, refundables, gateway_fields, parts, is_stream)


Info = strawberry.Info[RequestContext, None]
