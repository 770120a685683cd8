"""Every field of every type, asked by every kind of caller through every door to it: what may not be seen is nowhere.

The documents are made from the schema, so a new field is asked from the day it is there; what a caller may see is said
here by hand. All that comes back is searched as text: data of every depth, counts, messages and paths of errors.
"""

import json
from collections.abc import Awaitable, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import cache
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
    experimental_execute_incrementally,
    get_named_type,
    is_required_argument,
    parse,
    validate,
)
from sqlalchemy import select, update

from hub.domain.people import LEARNER_SCOPES, PARTNER_SCOPES, Viewer
from hub.domain.reconciliation import Break, BreakKind, BreakState
from hub.flows import settlements
from hub.store.anchors import anchor_batch
from hub.store.payments import payment_attempt
from hub.store.reads.plans import NOUNS as TABLES
from hub.store.refunds import refund as refund_table
from resolvers.context import GATEWAY_FIELDS, request_context
from resolvers.loaders import MAX_NODES
from resolvers.nodes import ENTITIES, NOUNS
from schema import schema
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import Market, buy, contested, market, read_chain, refunded, walleted
from tests.resolvers.test_keys import created
from tests.resolvers.test_verifying import anchored
from tests.resolvers.test_webhooks import delivered, made
from tests.world import learner

CORE = schema._schema
DEPTH = 1  # objects under each other; every type is the outermost of some document, so more shows nothing new


# ---- documents from the schema ------------------------------------------------------------------------------------


def selection(type_: Any, depth: int, above: tuple[str, ...] = ()) -> str:
    """Everything of a type that needs no argument but a page's; aliased, since types differ in what a name gives."""
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        parts = [f"... on {each.name} {selection(each, depth, above)}" for each in CORE.get_possible_types(type_)]
        return f"{{ __typename {' '.join(parts)} }}"
    parts = ["__typename"]
    for name, field in type_.fields.items():
        asked = f"{type_.name}_{name}: {name}{arguments(field)}"
        below = get_named_type(field.type)
        if isinstance(below, GraphQLScalarType | GraphQLEnumType):
            parts.append(asked)
        elif below.name not in above and (depth > 0 or _is_wrapping(below.name)):
            is_object = not _is_wrapping(below.name)
            parts.append(f"{asked} {selection(below, depth - is_object, (*above, type_.name))}")
    return f"{{ {' '.join(parts)} }}"


def _is_wrapping(name: str) -> bool:
    """Types that stand between an object and its own: they cost no depth."""
    return name.endswith(("Connection", "Edge", "PageInfo")) or name in (
        "Money", "PaymentIntent", "Opening", "Node", "ChainContract",
    )  # fmt: skip


def arguments(field: GraphQLField) -> str:
    return "(first: 50)" if "first" in field.args else ""


def roots() -> Iterator[str]:
    """A document of each root field that needs no more than a page."""
    assert CORE.query_type is not None
    for name, field in CORE.query_type.fields.items():
        needs = {key for key, argument in field.args.items() if is_required_argument(argument)} - {"first"}
        if not needs and name not in ("platform", "order", "routingPreview", "_service"):
            yield f"{{ {name}{arguments(field)} {selection(get_named_type(field.type), DEPTH)} }}"


NODES = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {selection(CORE.type_map['Node'], 1)} }}"
ENTITIES_OF = f"query ($of: [_Any!]!) {{ _entities(representations: $of) {selection(CORE.type_map['_Entity'], 1)} }}"
BY_ID = """
query ($id: ID!) { node(id: $id) { id } course(id: $id) { id } listing(id: $id) { id } order(id: $id) { id number }
  entitlement(id: $id) { id } anchorBatch(id: $id) { id } platform(id: $id) { id } }
"""
FOLLOW = f"""
subscription {{ events(after: "") {selection(CORE.type_map["EventEnvelope"], 1)} }}
"""


@cache
def checked(document: str) -> DocumentNode:
    """The document, parsed and validated once for all callers: both take longer than to run it."""
    parsed = parse(document)
    assert validate(CORE, parsed) == []
    return parsed


# ---- the walk ------------------------------------------------------------------------------------------------------


class Walk:
    """All that one viewer was told, as text, and the fields of the objects that they met."""

    def __init__(self, api: Api, viewer: Viewer) -> None:
        self.api, self.viewer = api, viewer
        self.told = ""
        self.met: set[str] = set()
        self.counts: list[tuple[int, int]] = []  # totalCount, and the rows that came

    async def ask(self, document: str, **variables: Any) -> None:
        context = request_context(self.api.hub, self.viewer, "req_1", GATEWAY_FIELDS)
        result = experimental_execute_incrementally(
            CORE, checked(document), context_value=context, variable_values=variables
        )  # fmt: skip
        self.note(await result if isinstance(result, Awaitable) else result)

    def note(self, result: Any) -> None:
        errors = [[error.message, error.path, error.extensions] for error in result.errors or ()]
        codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
        assert codes <= {"UNAUTHENTICATED", "FORBIDDEN"}, result.errors
        self.told += json.dumps([result.data, errors])
        self._meet(result.data)

    def _meet(self, value: Any) -> None:
        if isinstance(value, list):
            for each in value:
                self._meet(each)
        if isinstance(value, dict):
            name = value.get("__typename", "")
            self.met.add(name)
            if {f"{name}_totalCount", f"{name}_nodes"} <= value.keys():
                self.counts.append((value[f"{name}_totalCount"], len(value[f"{name}_nodes"])))
            for each in value.values():
                self._meet(each)


async def walked(api: Api, viewer: Viewer, ids: dict[str, list[str]]) -> Walk:
    walk = Walk(api, viewer)
    for document in roots():
        await walk.ask(document)
    everything = [id_ for of_noun in ids.values() for id_ in of_noun]
    for start in range(0, len(everything), MAX_NODES):
        await walk.ask(NODES, ids=everything[start : start + MAX_NODES])
    await walk.ask(ENTITIES_OF, of=[{"__typename": name, "id": id_} for name in ENTITIES for id_ in ids[NOUNS[name]]])
    for id_ in everything:
        await walk.ask(BY_ID, id=id_)
    if "events:read" in viewer.scopes:
        async with aclosing(api.follow(viewer, FOLLOW)) as results:
            for _ in range(await events_of(api, viewer)):
                walk.note(await anext(results))
    return walk


async def events_of(api: Api, viewer: Viewer) -> int:
    """How many events the viewer's stream holds."""
    return len((await api.data(viewer, "{ events(first: 100) { nodes { id } } }"))["events"]["nodes"])


async def all_ids(api: Api) -> dict[str, list[str]]:
    """The ids of all rows of every noun, as the tables have them."""
    async with api.hub.store.reading() as rx:
        return {noun: await rx.many(select(TABLES[noun].table.c.id), str) for noun in NOUNS.values()}


# ---- who may see what ----------------------------------------------------------------------------------------------


async def secrets_of(api: Api, scene: Market) -> dict[str, str]:
    """What stands for each private row of the scene: words that are found in no answer but to whom they are shown."""
    found = {}
    receipt = "query($id: ID!) { order(id: $id) { receipt { jws } paymentIntent { attempts { id } } } }"
    member = "query($id: ID!) { node(id: $id) { ... on User { members { id } } } }"
    for whose, order, user in (("my", scene.mine, scene.me), ("their", scene.theirs, scene.other)):
        mine = (await api.data(learner(user), receipt, id=order["id"]))["order"]
        found |= {
            f"{whose} order": order["id"], f"{whose} number": order["number"],
            f"{whose} attempt": mine["paymentIntent"]["attempts"][0]["id"],
            f"{whose} receipt": mine["receipt"]["jws"],
            f"{whose} right": order["entitlement"]["id"], f"{whose} user": user.id,
        }  # fmt: skip
    named = "{ entitlements(first: 2) { nodes { id user { id } } } }"
    for platform in ("seller", "honouring"):
        for right in (await api.data(scene.viewers[platform], named))["entitlements"]["nodes"]:
            whose = "my" if right["id"] == scene.mine["entitlement"]["id"] else "their"
            found[f"{whose} name at the {platform}"] = right["user"]["id"]
    (linked,) = (await api.data(learner(scene.me), member, id=scene.me.id))["node"]["members"]
    return found | {"my member": linked["id"], "my account": "m-me"} | await made_by_others(api, scene)


async def made_by_others(api: Api, scene: Market) -> dict[str, str]:
    """Two API keys, a difference in the books, a batch on chain, and a change of a listing that a webhook tells."""
    keys = {
        name: (await created(api, scene.viewers[whose], name))["apiKey"]["id"]
        for name, whose in (("the seller's key", "seller"), ("the staff's key", "operator"))
    }
    draw = api.world.draw()
    differing = Break(
        draw.id("brk"), BreakKind.AMOUNT, scene.mine["id"], scene.mine["id"], BreakState.OPEN, "1 more", draw.now_us
    )

    async def put(tx: Any) -> None:
        assert await tx.breaks.open(differing)

    await api.hub.store.write(put)
    refund = await refunded(api, scene.mine["id"], 100)
    dispute = await contested(api, scene.mine["id"])
    wallet = await walleted(api, scene.me)
    await anchored(api)
    alone = await settled_alone(api, scene)
    await read_chain(api)
    endpoint = await made(api, scene.viewers["seller"])
    await api.data(scene.viewers["seller"], LIST, input={"externalId": "x1", "title": "Knots, again"})
    await delivered(api)
    return keys | {
        "the difference": differing.id, "the seller's endpoint": endpoint["id"], "my dispute": dispute.id,
        "my refund": refund.id, "my wallet": wallet.id, "my address": wallet.address, **alone,
    }  # fmt: skip


async def settled_alone(api: Api, scene: Market) -> dict[str, str]:
    """Coins bought a right, which is on chain by itself, and a part of them went back: by each of these words anybody
    finds the wallet there."""
    order = await buy(api, scene.me, await api.world.listing(platform=scene.seller), "by coins")
    await refunded(api, order["id"], 100)
    draw, key, transaction = api.world.draw(), bytes([0x5E]) * 32, "0x" + "7a" * 32

    async def put(tx: Any) -> str:
        for table, more in ((payment_attempt, {"channel": "stablecoin"}), (refund_table, {})):
            its = update(table).where(table.c.order_id == order["id"])
            await tx.run(its.values(channel_ref=f"0x{key.hex()}", **more))
        [right] = await tx.anchors.rights_of(order["id"])
        assert await tx.anchors.add_batch(settlements.batch_of(right, key, 10, draw), [right.id])
        await tx.run(update(anchor_batch).where(anchor_batch.c.root == key).values(transaction_hash=transaction))
        return str(await tx.chain_log.batch_of(key))

    batch = await api.hub.store.write(put)
    return {"its batch": batch, "its key": key.hex(), "its transaction": transaction}


LIST = "mutation($input: ListingUpsertInput!) { listingUpsert(input: $input) { userErrors { message } } }"


def both(*names: str) -> set[str]:
    return {f"{whose} {name}" for whose in ("my", "their") for name in names}


ON_CHAIN = {"its batch", "its key", "its transaction"}  # of what was bought by coins; public, but never by its order
SHOWN: dict[str, set[str]] = {
    "buyer": {
        f"my {name}"
        for name in ("order", "number", "attempt", "refund", "receipt", "right", "user", "member", "account",
                     "wallet", "address")
    } | ON_CHAIN,
    "other": {f"their {name}" for name in ("order", "number", "attempt", "receipt", "right", "user")} | ON_CHAIN,
    "seller": both("order", "number", "right", "name at the seller")
    | {"my member", "my account", "my dispute", "my refund", "the seller's key", "the seller's endpoint"},
    "honouring": both("right", "name at the honouring"),
    "stranger": set(),
    "operator": both("order", "number", "attempt", "right", "user")
    | {"my member", "my account", "my dispute", "my refund", "the seller's key", "the staff's key", "the difference",
       "my wallet",  # by its id alone, in the audit log
       "the seller's endpoint"} | ON_CHAIN,
    "anonymous": {"its batch"},  # echoed; what it is, anybody finds on chain
    # Events are the stream's own words: `events:read` shows which order, and nothing that hangs on it.
    "seller without orders": both("order", "number", "right", "name at the seller")
    | {"my member", "my account", "my dispute", "my refund", "the seller's key", "the seller's endpoint"},
    "buyer without rights": {
        f"my {name}"
        for name in ("order", "number", "attempt", "refund", "receipt", "user", "member", "account", "wallet",
                     "address")
    } | ON_CHAIN,
    "buyer without wallets": {
        f"my {name}"
        for name in ("order", "number", "attempt", "refund", "receipt", "right", "user", "member", "account")
    } | ON_CHAIN,
}
# Types of which a market has no object: their own tests make them.
NOT_IN_THE_SCENE = {
    "BreakOpened", "ContractCall",
    "EntitlementCheck", "EntitlementRevoked", "EntitlementToken", "MemberLinked", "NextAction",
    "EntitlementSuspended", "EntitlementResumed", "EntitlementTokenChanged", "DisputeDue", "OrderCanceled",
    "OrderExpired", "OrderMoneyChanged", "OrderRecorded", "OrderUpdate", "PlatformAccess",
    "TrustedIssuer", "TrustedIssuerEdge", "RefundPart", "RefundPlan", "Notice",
    "RoutingCandidate", "RoutingChoice", "RoutingPreview", "RoutingRule",
    "SandboxArmed", "SandboxDispute", "SandboxFault", "WalletChallenge",  # of mutations alone
}  # fmt: skip


async def test_a_caller_is_told_of_what_they_may_see_and_of_nothing_else_by_any_door(api: Api) -> None:
    scene = await market(api)
    secrets, ids = await secrets_of(api, scene), await all_ids(api)
    viewers = scene.viewers | {
        "seller without orders": replace(scene.viewers["seller"], scopes=PARTNER_SCOPES - {"orders:read"}),
        "buyer without rights": replace(scene.viewers["buyer"], scopes=LEARNER_SCOPES - {"entitlements:read"}),
        "buyer without wallets": replace(scene.viewers["buyer"], scopes=LEARNER_SCOPES - {"wallets:read"}),
    }
    met = set()
    for who, shown in SHOWN.items():
        walk = await walked(api, viewers[who], ids)
        assert {name for name, secret in secrets.items() if secret in walk.told} == shown, who
        assert walk.counts
        for total, rows in walk.counts:
            assert total == rows, f"{who}: a count tells of rows that are not shown"
        met |= walk.met
    assert sorted(of_answers() - met - NOT_IN_THE_SCENE) == []


def of_answers() -> set[str]:
    """Every type that a read may give."""
    return {
        name
        for name, type_ in CORE.type_map.items()
        if isinstance(type_, GraphQLObjectType)
        and not name.startswith("__")
        and not name.endswith(("Payload", "Error"))
        and name not in ("Mutation", "Query", "Subscription", "_Service")
    }
