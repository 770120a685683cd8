"""The whole schema, put together once: roots by inheritance, guards, and the shortest way to plain values.

Caches of documents are the server's (hub/entry/limits.py): it refuses a document before it validates one.
"""

from collections.abc import Callable
from operator import attrgetter

import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, is_specified_directive
from strawberry import federation
from strawberry.schema.config import StrawberryConfig

import schema.enums  # registers the domain's enums before any type is built
from resolvers.execution import Attribute, PlainFirst
from schema.anchors import AnchorQueries
from schema.audit import AuditQueries
from schema.catalogue import CatalogueMutations, CatalogueQueries
from schema.chain import ChainQueries
from schema.disputes import DisputeMutations, DisputeQueries
from schema.entitlements import EntitlementMutations, EntitlementQueries
from schema.errors import USER_ERRORS
from schema.events import EventQueries, EventSubscriptions
from schema.federation import FEDERATION_SCALARS, VERSION, EntityQueries
from schema.fields import JOINED
from schema.incremental import DEFER
from schema.issuers import IssuerMutations, IssuerQueries
from schema.keys import KeyMutations, KeyQueries
from schema.nodes import NodeQueries
from schema.orders import OrderMutations, OrderQueries
from schema.payments import PaymentMutations, PaymentQueries
from schema.people import PeopleMutations, PeopleQueries
from schema.reconciliation import ReconciliationQueries
from schema.refunds import RefundMutations, RefundQueries
from schema.routing import RoutingMutations, RoutingQueries
from schema.sandbox import SandboxMutations
from schema.scalars import SCALARS
from schema.scopes import guard
from schema.wallets import WalletMutations
from schema.webhooks import WebhookMutations, WebhookQueries

_TYPES_OF_DIRECTIVES = frozenset({"_FieldSet", "link__Import", "link__Purpose"})


@strawberry.type(description="What can be read.")
class Query(
    PeopleQueries, CatalogueQueries, OrderQueries, PaymentQueries, EntitlementQueries, AnchorQueries,
    ReconciliationQueries, EventQueries, NodeQueries, EntityQueries, KeyQueries, IssuerQueries, AuditQueries,
    WebhookQueries, DisputeQueries, RefundQueries, RoutingQueries, ChainQueries,
):  # fmt: skip
    pass


@strawberry.type(description="What can be done: each takes one input and answers with its object or why not.")
class Mutation(
    OrderMutations, PaymentMutations, CatalogueMutations, PeopleMutations, EntitlementMutations, KeyMutations,
    IssuerMutations, WebhookMutations, SandboxMutations, RefundMutations, DisputeMutations, RoutingMutations,
    WalletMutations,
):  # fmt: skip
    pass


@strawberry.type(description="What can be followed.")
class Subscription(EventSubscriptions):
    pass


def build() -> strawberry.Schema:
    """The schema, with the scope of each field before its resolver."""
    assert schema.enums
    built = federation.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=USER_ERRORS,
        config=StrawberryConfig(scalar_map=SCALARS, enable_experimental_incremental_execution=True),
        execution_context_class=PlainFirst,
        scalar_overrides=FEDERATION_SCALARS,
        federation_version=VERSION,
    )
    _forget_directives_of_others(built._schema)
    _shorten(built._schema)
    guard(built._schema)
    return built


def _forget_directives_of_others(schema: GraphQLSchema) -> None:
    """What stands in the SDL for gateways means nothing to who introspects: applied directives are not shown there."""
    schema.directives = (*filter(is_specified_directive, schema.directives), DEFER)
    for name in _TYPES_OF_DIRECTIVES & schema.type_map.keys():
        del schema.type_map[name]


def _shorten(schema: GraphQLSchema) -> None:
    """Let plain fields and relations read the row themselves, without Strawberry's wrapper around each."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for field in type_.fields.values():
                if getattr(field.resolve, "_is_default", False):
                    field.resolve = _reader(field)


def _reader(field: GraphQLField) -> Callable[[object, object], object]:
    definition = field.extensions["strawberry-definition"]
    if name := definition.metadata.get(JOINED):
        return lambda row, _info: row.joined[name]  # type: ignore[attr-defined]  # rows that join others keep them there
    return Attribute(attrgetter(definition.python_name))
