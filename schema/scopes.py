"""The one table of who may ask for what: type.field → scopes and kinds. Rows have their own rules, in the store.

A name of a type stands for every field that gives such an object, `node` and `nodes` included. What is not here is
public to whoever sees the row. The guards wrap these fields once, when the schema is built; no other field is touched.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema, get_named_type

from hub.domain.people import Viewer, ViewerKind
from resolvers.context import RequestContext
from resolvers.errors import GatekeepingError
from resolvers.nodes import type_of


@dataclass(frozen=True, slots=True)
class Rule:
    """All of these scopes, and one of these kinds if any are named."""

    scopes: frozenset[str]
    kinds: frozenset[ViewerKind] = frozenset()

    def lets(self, viewer: Viewer) -> bool:
        return self.scopes <= viewer.scopes and (not self.kinds or viewer.kind in self.kinds)

    def demand(self, viewer: Viewer) -> None:
        """UNAUTHENTICATED for strangers, FORBIDDEN for others whom it does not let."""
        if self.lets(viewer):
            return
        if viewer.kind is ViewerKind.ANONYMOUS:
            raise GatekeepingError("UNAUTHENTICATED", "sign in: this field needs a token")
        needs = " and ".join(sorted(self.scopes)) or "another kind of viewer"
        raise GatekeepingError("FORBIDDEN", f"your token does not allow this field: it needs {needs}")


def _scope(*scopes: str) -> Rule:
    return Rule(frozenset(scopes))


_BUYING = Rule(frozenset({"orders:write"}), frozenset({ViewerKind.USER}))  # nobody buys in another's name
_OWN_RIGHTS = Rule(frozenset({"entitlements:write"}), frozenset({ViewerKind.USER}))
_OWN_WALLETS = Rule(frozenset({"wallets:write"}), frozenset({ViewerKind.USER}))
_OWN_LISTINGS = Rule(frozenset({"catalog:write"}), frozenset({ViewerKind.PLATFORM, ViewerKind.OPERATOR}))
_OWN_MEMBERS = Rule(frozenset({"members:write"}), frozenset({ViewerKind.PLATFORM, ViewerKind.OPERATOR}))
_OWN_KEYS = Rule(frozenset({"keys:write"}), frozenset({ViewerKind.PLATFORM, ViewerKind.OPERATOR}))

_STAFF = Rule(frozenset({"operations:write"}), frozenset({ViewerKind.OPERATOR}))  # rights of every platform

_OWN_PAYMENTS = Rule(frozenset({"payments:write"}), frozenset({ViewerKind.PLATFORM, ViewerKind.OPERATOR}))
_OWN_WEBHOOKS = Rule(frozenset({"webhooks:write"}), frozenset({ViewerKind.PLATFORM, ViewerKind.OPERATOR}))

Resolver = Callable[..., object]

SCOPES: dict[str, Rule] = {
    "Order": _scope("orders:read"),
    "PaymentAttempt": _scope("orders:read"),
    "Refund": _scope("orders:read"),
    "Entitlement": _scope("entitlements:read"),
    "Break": _scope("operations:read"),
    "Dispute": _scope("orders:read"),
    "DisputeConnection": _scope("orders:read"),
    "OrderConnection": _scope("orders:read"),
    "EntitlementConnection": _scope("entitlements:read"),
    "BreakConnection": _scope("operations:read"),
    "AuditEntry": _scope("operations:read"),
    "AuditEntryConnection": _scope("operations:read"),
    "ApiKey": _scope("keys:read"),
    "ApiKeyConnection": _scope("keys:read"),
    "TrustedIssuer": _scope("keys:read"),
    "TrustedIssuerConnection": _scope("keys:read"),
    "EntitlementCheck": _scope("entitlements:read"),
    "WebhookEndpoint": _scope("webhooks:read"),
    "WebhookEndpointConnection": _scope("webhooks:read"),
    "WebhookDelivery": _scope("webhooks:read"),
    "WebhookDeliveryConnection": _scope("webhooks:read"),
    "Wallet": _scope("wallets:read"),
    "Query.events": _scope("events:read"),
    "Subscription.events": _scope("events:read"),
    "Subscription.orderUpdated": _scope("orders:read"),
    "Mutation.checkout": _BUYING,
    "Mutation.orderCreate": _BUYING,
    "Mutation.orderCancel": _BUYING,
    "Mutation.paymentCreate": _BUYING,
    "Mutation.paymentCapture": _OWN_PAYMENTS,
    "Mutation.refundCreate": _OWN_PAYMENTS,
    "Mutation.refundCancel": _OWN_PAYMENTS,
    "Mutation.merchantPolicySet": _OWN_PAYMENTS,
    "Mutation.paymentVoid": _OWN_PAYMENTS,
    "Mutation.routingRuleUpsert": _OWN_PAYMENTS,
    "Mutation.routingRuleDelete": _OWN_PAYMENTS,
    "Mutation.noticeReplay": _STAFF,
    "Query.routingPreview": _OWN_PAYMENTS,
    "Query.routingRules": _OWN_PAYMENTS,
    "Notice": _scope("operations:read"),
    "Mutation.disputeSubmitEvidence": _OWN_PAYMENTS,
    "Mutation.disputeAccept": _OWN_PAYMENTS,
    "Mutation.entitlementClaim": _OWN_WALLETS,
    "Mutation.entitlementTransfer": _OWN_RIGHTS,
    "Mutation.coursePolicySet": _OWN_LISTINGS,
    "Mutation.walletChallenge": _OWN_WALLETS,
    "Mutation.walletLink": _OWN_WALLETS,
    "Mutation.walletUnlink": _OWN_WALLETS,
    "Mutation.listingUpsert": _OWN_LISTINGS,
    "Mutation.memberUpsert": _OWN_MEMBERS,
    "Mutation.memberRemove": _OWN_MEMBERS,
    "Mutation.identityLink": _OWN_MEMBERS,
    "Mutation.apiKeyCreate": _OWN_KEYS,
    "Mutation.apiKeyRotate": _OWN_KEYS,
    "Mutation.apiKeyRevoke": _OWN_KEYS,
    "Mutation.trustedIssuerUpsert": _STAFF,
    "Mutation.entitlementRevoke": _STAFF,
    "Mutation.personErase": _STAFF,
    "Mutation.sandboxFaultSet": _STAFF,
    "Mutation.sandboxFaultsClear": _STAFF,
    "Mutation.sandboxDisputeMove": _STAFF,
    "Mutation.sandboxClockAdvance": _STAFF,
    "Mutation.webhookEndpointCreate": _OWN_WEBHOOKS,
    "Mutation.webhookEndpointUpdate": _OWN_WEBHOOKS,
    "Mutation.webhookEndpointDelete": _OWN_WEBHOOKS,
    "Mutation.webhookEndpointPause": _OWN_WEBHOOKS,
    "Mutation.webhookEndpointResume": _OWN_WEBHOOKS,
    "Mutation.webhookEndpointRotateSecret": _OWN_WEBHOOKS,
    "Mutation.webhookRedeliver": _OWN_WEBHOOKS,
}

# Within a payload the mutation has demanded its own rule: what it gives back is the answer, not a read.
_ANSWERS = "Payload"


def guard(schema: GraphQLSchema) -> None:
    """Put each rule of the table before the fields that it is about. KeyError for a rule that is about none."""
    used = set()
    for type_name, field_name, field in _fields(schema):
        gives = "" if type_name.endswith(_ANSWERS) else get_named_type(field.type).name
        for name in (f"{type_name}.{field_name}", gives):
            rule = SCOPES.get(name)
            if rule is not None:
                used.add(name)
                _put_before(field, rule)
        if gives in ("Node", "_Entity") and type_name == "Query":
            field.resolve = _blanking(field.resolve)
        if gives in ("_Service", "_Entity"):
            field.resolve = _for_gateways(field.resolve)
    unused = SCOPES.keys() - used
    if unused:
        raise KeyError(f"rules about no field: {', '.join(sorted(unused))}")


def _fields(schema: GraphQLSchema) -> Iterator[tuple[str, str, GraphQLField]]:
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                yield type_.name, name, field


def _put_before(field: GraphQLField, rule: Rule) -> None:
    """Of a subscription the source is guarded: its rule is asked once, before the stream begins."""
    if field.subscribe is not None:
        field.subscribe = _demanding(field.subscribe, rule)
    else:
        assert field.resolve is not None
        field.resolve = _demanding(field.resolve, rule)


def _demanding(resolve: Resolver, rule: Rule) -> Resolver:
    def guarded(source: object, info: "GraphQLResolveInfo[RequestContext]", **arguments: object) -> object:
        rule.demand(info.context.viewer)
        return resolve(source, info, **arguments)

    return guarded


def _blanking(resolve: Resolver | None) -> Resolver:
    """`node`, `nodes`, `_entities`: an id of a type that the viewer may not ask for is as good as unknown."""
    assert resolve is not None

    def guarded(source: object, info: "GraphQLResolveInfo[RequestContext]", **arguments: object) -> object:
        viewer = info.context.viewer
        blanked = {name: _blank(viewer, value) for name, value in arguments.items()}
        return resolve(source, info, **blanked)

    return guarded


def _blank(viewer: Viewer, ids: object) -> object:
    if isinstance(ids, list):
        return [_blank(viewer, id_) for id_ in ids]
    if isinstance(ids, dict):  # a representation
        return ids | {"id": _blank(viewer, ids.get("id"))}
    rule = SCOPES.get(type_of(viewer, str(ids)) or "")
    return ids if rule is None or rule.lets(viewer) else ""


def _for_gateways(resolve: Resolver | None) -> Resolver:
    """What a gateway asks for: how a request shows to be one's is the entry's to know."""
    assert resolve is not None

    def guarded(source: object, info: "GraphQLResolveInfo[RequestContext]", **arguments: object) -> object:
        if info.field_name not in info.context.gateway_fields:
            raise GatekeepingError("FORBIDDEN", "this field is for the federation gateway of this hub")
        return resolve(source, info, **arguments)

    return guarded
