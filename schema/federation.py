"""The hub as a subgraph: what a federation gateway asks for, and which of our types others may extend.

Scopes stand in no directive: a gateway cannot read those of an API key, and would refuse whom the hub lets in.
"""

from functools import lru_cache
from typing import Annotated, Literal

import strawberry
from strawberry.federation.schema import FederationAny
from strawberry.schema.base import BaseSchema
from strawberry.types.scalar import ScalarDefinition, ScalarWrapper

from resolvers import nodes
from resolvers.loaders import MAX_ENTITIES
from schema.catalogue import Course, Listing, Platform
from schema.cost import at_most
from schema.entitlements import Entitlement
from schema.fields import resolved_by
from schema.orders import Order
from schema.people import User

# Below it one composition library refuses `@cost`, above it the other refuses the version.
VERSION: Literal["2.9"] = "2.9"

FEDERATION_SCALARS: dict[object, type | ScalarDefinition | ScalarWrapper] = {
    FederationAny: strawberry.scalar(
        name="_Any",
        description="How a gateway names an object: { __typename, id }. Whatever else stands there is not read.",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    )
}

Entity = Annotated[
    Course | Entitlement | Listing | Order | Platform | User,
    strawberry.union("_Entity", description="What other subgraphs may extend by its id."),
]


@strawberry.type(name="_Service", description="This subgraph, for a gateway that composes it.")
class Service:
    sdl: str = strawberry.field(description="Its SDL with the directives of federation.")


def _service(info: strawberry.Info[None, None]) -> Service:
    return Service(sdl=_sdl(info.schema))


@lru_cache(maxsize=4)  # a process serves one schema; to print it takes 30 ms, in which nobody else is served
def _sdl(schema: BaseSchema) -> str:
    return schema.as_str()


@strawberry.type
class EntityQueries:
    service: Service = resolved_by(_service, "This subgraph, for a gateway that composes it.", name="_service")
    entities: list[Entity | None] = resolved_by(
        nodes.entities,
        "For gateways: objects in the order of their representations, at most 1000; null in place, as with `nodes`.",
        at_most(MAX_ENTITIES),
        name="_entities",
    )
