"""`node`, `nodes`, `_entities`: any object by its id. Null alike for unknown, garbage and forbidden."""

import re
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.federation.schema import FederationAny

from hub.domain.ids import kind_of
from hub.domain.people import Viewer, ViewerKind
from resolvers.context import Info
from resolvers.errors import bad_input
from resolvers.loaders import MAX_ENTITIES, MAX_NODES, NodeKey
from resolvers.lookahead import wanted

if TYPE_CHECKING:
    from hub.store.reads import Row

NOUNS = {
    "User": "user",
    "Platform": "platform",
    "Merchant": "merchant",
    "Course": "course",
    "Listing": "listing",
    "Member": "member",
    "Order": "order",
    "PaymentAttempt": "payment_attempt",
    "Entitlement": "entitlement",
    "AnchorBatch": "anchor_batch",
    "Break": "break",
    "Dispute": "dispute",
    "Refund": "refund",
    "ApiKey": "api_key",
    "TrustedIssuer": "trusted_issuer",
    "AuditEntry": "audit_entry",
    "WebhookEndpoint": "webhook_endpoint",
    "WebhookDelivery": "webhook_delivery",
    "Wallet": "wallet",
}
ENTITIES = frozenset({"User", "Platform", "Course", "Listing", "Order", "Entitlement"})  # what others may extend
_PAIRWISE = re.compile(r"[a-z2-7]{26}")


async def node(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Any object's id.")],
) -> "Row | None":
    """One object."""
    return (await _load(info, [id]))[0]


async def nodes(
    info: Info,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="Ids of any objects, at most 100.")],
) -> "list[Row | None]":
    """Objects in the order of their ids, null in place for each that is none of yours."""
    if len(ids) > MAX_NODES:
        raise bad_input(f"ids: at most {MAX_NODES}")
    return await _load(info, list(ids))


async def entities(
    info: Info,
    representations: Annotated[
        list[FederationAny],
        strawberry.argument(description="Objects by `__typename` and `id`, at most 1000; nothing else is read."),
    ],
) -> "list[Row | None]":
    """Objects as a gateway names them, null in place for each that is none of the caller's."""
    if len(representations) > MAX_ENTITIES:
        raise bad_input(f"representations: at most {MAX_ENTITIES}")
    return await _load(info, [_meant(info.context.viewer, given) for given in representations])


def _meant(viewer: Viewer, representation: object) -> strawberry.ID:
    """The id that a representation names: an empty one, which is nobody's, unless it fits the type that it names."""
    if isinstance(representation, dict):
        name, id_ = representation.get("__typename"), representation.get("id")
        if isinstance(id_, str) and type_of(viewer, id_) == name and name in ENTITIES:
            return strawberry.ID(id_)
    return strawberry.ID("")


def type_of(viewer: Viewer, id_: str) -> str | None:
    """The GraphQL type that an id names. A platform knows users by its own pairwise ids, which have no prefix."""
    if viewer.kind is ViewerKind.PLATFORM and _PAIRWISE.fullmatch(id_):
        return "User"
    return kind_of(id_)


async def _load(info: Info, ids: list[strawberry.ID]) -> "list[Row | None]":
    want = wanted(info)
    windows = tuple(sorted(want.windows.items(), key=lambda item: item[0]))
    keys = [
        NodeKey(noun, id_, want.paths, windows)
        for id_ in ids
        if (noun := NOUNS.get(type_of(info.context.viewer, id_) or "")) is not None
    ]
    found = dict(zip(keys, await info.context.nodes.load_many(keys), strict=True)) if keys else {}
    rows = {key.id: row for key, row in found.items()}
    return [rows.get(id_) for id_ in ids]
