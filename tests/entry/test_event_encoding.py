"""The short way from a row of the log to its JSON gives the executor's bytes, or nothing."""

import random
from dataclasses import fields
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, GraphQLEnumType, get_named_type, is_nullable_type, parse

from hub.domain.events import EVENTS, Logged
from hub.entry.event_encoding import NotPlain, plain_encoder
from hub.entry.fanout import NOT_FOR_THEM, Broadcast, Kept, SharingExecutor
from hub.entry.tails import Tails
from hub.store.transactions import Store
from hub.wakeups.memory import MemoryWakeups
from resolvers.context import request_context
from resolvers.events import Following
from schema import schema
from tests.entry.live import hub_on, partner_of
from tests.world import World

PLATFORM = "plt_" + "1" * 26
TYPES = schema._schema.type_map
DOCUMENTS = 25
LETTERS = ["a", " ", '"', "\\", "\n", "\0", "\x1f", "\x7f", "/", "é", "识", "\u2028", "😀", "<", "%s", "{}"]
MONEY = "amount { amountMinor currency scale amount __typename }"


def payload_of(kind: str) -> str:
    """Every field of a kind's payload."""
    names = [name for name in TYPES[EVENTS[kind].__name__].fields if name != "amount"]  # type: ignore[attr-defined]  # an object type
    has_money = "amount" in TYPES[EVENTS[kind].__name__].fields  # type: ignore[attr-defined]  # a payload is an object type
    return f"... on {EVENTS[kind].__name__} {{ {' '.join(names)} {MONEY if has_money else ''} }}"


EVERYTHING = f"""
subscription Named($after: String) {{
  told: events(after: $after) {{
    __typename id cursor kind occurredAt subject number: subjectVersion
    payload {{ __typename {" ".join(payload_of(kind) for kind in EVENTS if EVENTS[kind].__name__ in TYPES)} ...Order }}
    payload {{ ... on EntitlementEvent {{ buyer }} }}
  }}
}}
fragment Order on OrderEvent {{ orderId status }}
"""


def body_of(kind: str, *, nulls: bool) -> dict[str, Any]:
    """A body as the log holds one: words of the enums, null where it may be."""
    found: dict[str, Any] = {"amount_minor": 9900, "currency": "CNY"}
    shown = {field.extensions["strawberry-definition"].python_name: field.type
             for field in TYPES[EVENTS[kind].__name__].fields.values()}  # type: ignore[attr-defined]  # an object type  # fmt: skip
    for column in fields(EVENTS[kind]):
        type_ = shown.get(column.name)
        named = get_named_type(type_) if type_ is not None else None
        if isinstance(named, GraphQLEnumType):
            found[column.name] = str(next(iter(named.values)))
        elif column.name.endswith("_at_us"):
            found[column.name] = 1_767_225_600_000_002
        elif column.name not in found:
            is_null = nulls and type_ is not None and is_nullable_type(type_)
            found[column.name] = None if is_null else f'知识 "{column.name}'
    return found


def logged_of(kind: str, *, nulls: bool = False) -> Logged:
    body = body_of(kind, nulls=nulls)
    return Logged("evt_1", PLATFORM, 7, kind, "lst_1", 3, 1_767_225_600_000_001, orjson.dumps(body).decode())


def executor_of(hub: Any, document: str, **variables: Any) -> SharingExecutor:
    built = SharingExecutor.build(
        schema._schema,
        parse(document),
        None,
        request_context(hub, partner_of(PLATFORM), "req_1"),
        variables,
    )
    assert isinstance(built, SharingExecutor), built
    return built


@pytest.fixture
def hub(store: Store) -> Any:
    return hub_on(store, World(store), MemoryWakeups())


@pytest.mark.parametrize("store_url", [pytest.param("sqlite", id="")], indirect=True)
@pytest.mark.parametrize("nulls", [False, True])
async def test_both_ways_give_the_same_bytes_for_every_kind(hub: Any, nulls: bool) -> None:
    executor = executor_of(hub, EVERYTHING)
    encode = plain_encoder(executor, hub)
    assert encode is not None
    seen = 0
    for kind, event in EVENTS.items():
        if event.__name__ not in TYPES:
            continue
        result: Any = executor.of_event(logged_of(kind, nulls=nulls)).execute_operation(False)
        result = await result if executor.is_awaitable(result) else result
        assert isinstance(result, ExecutionResult)
        assert result.errors is None, (kind, result.errors)
        assert encode([logged_of(kind, nulls=nulls)]) == [orjson.dumps({"data": result.data})]
        seen += 1
    assert seen >= 13


@pytest.mark.parametrize("store_url", [pytest.param("sqlite", id="")], indirect=True)
async def test_both_ways_give_the_same_bytes_for_documents_and_texts_by_chance(hub: Any) -> None:
    chance = random.Random(11)
    for number in range(DOCUMENTS):
        document, page = document_of(chance), [chanced(chance, position) for position in range(1, 6)]
        executor = executor_of(hub, document)
        encode = plain_encoder(executor, hub)
        assert encode is not None
        wanted = []
        for logged in page:
            result: Any = executor.of_event(logged).execute_operation(False)
            result = await result if executor.is_awaitable(result) else result
            assert result.errors is None, (number, document, result.errors)
            wanted.append(orjson.dumps({"data": result.data}))
        assert encode(page) == wanted, (number, document)


def document_of(chance: random.Random) -> str:
    """Fields in any order, under other names, twice, in fragments; what differs by kind for some kinds."""
    fields_ = ["__typename", "id", "cursor", "kind", "occurredAt", "subject", "subjectVersion", "also: id"]
    kinds = chance.sample([kind for kind in EVENTS if EVENTS[kind].__name__ in TYPES], 6)
    payload = f"payload {{ __typename {' '.join(map(payload_of, kinds))} ...Order }}"
    chosen = [*chance.sample(fields_, chance.randrange(len(fields_))), payload]
    chance.shuffle(chosen)
    again = chance.choice(["", "payload { ... on EntitlementEvent { buyer } } ... on EventEnvelope { subject }"])
    order = "fragment Order on OrderEvent { orderId status }"
    return f"subscription {{ events {{ {' '.join(chosen)} {again} }} }} {order}"


def chanced(chance: random.Random, position: int) -> Logged:
    kind = chance.choice([kind for kind in EVENTS if EVENTS[kind].__name__ in TYPES])
    body = body_of(kind, nulls=chance.random() < 0.5)
    for key, value in body.items():
        if isinstance(value, str) and value.startswith("知识"):
            body[key] = "".join(chance.choices(LETTERS, k=chance.randrange(9)))
    if "amount_minor" in body:
        body["amount_minor"], body["currency"] = chance.randrange(10**6), chance.choice(["CNY", "JPY", "KWD"])
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    return Logged(f"evt_{position}", PLATFORM, position, kind, "lst_1", chance.randrange(9), 10**15 + position, text)


@pytest.mark.parametrize("store_url", [pytest.param("sqlite", id="")], indirect=True)
@pytest.mark.parametrize(
    "document",
    [
        "subscription ($if: Boolean = true) { events { id @include(if: $if) } }",
        "subscription { events @skip(if: false) { id } }",
        "subscription { events { id ... @include(if: true) { kind } } }",
        "subscription { events { id order { id } } }",
        "subscription { events { id listing { id } } }",
        'subscription { orderUpdated(orderId: "ord_1") { event { id } } }',
    ],
)
async def test_what_is_not_understood_is_left_to_the_executor(hub: Any, document: str) -> None:
    encode = plain_encoder(executor_of(hub, document), hub)
    if encode is not None:
        with pytest.raises(NotPlain):
            encode([logged_of("ORDER_PAID")])


@pytest.mark.parametrize("store_url", [pytest.param("sqlite", id="")], indirect=True)
@pytest.mark.parametrize(
    "wrong",
    [{"kind": "NOT_YET_KNOWN"}, {"subject_version": 2**31}, {"text": "{}"}, {"subject": None}],
    ids=["kind", "size", "body", "null"],
)
async def test_a_value_that_is_out_of_order_is_left_to_the_executor(hub: Any, wrong: dict[str, Any]) -> None:
    encode = plain_encoder(executor_of(hub, EVERYTHING), hub)
    assert encode is not None
    with pytest.raises(NotPlain):
        encode([logged_of("LISTING_CHANGED")._replace(**wrong)])


@pytest.mark.parametrize("store_url", [pytest.param("sqlite", id="")], indirect=True)
async def test_an_event_that_a_filter_holds_back_leaves_the_others_in_their_places(hub: Any) -> None:
    async def shape(_logged: Logged) -> None:
        raise AssertionError("nothing is executed")

    only = frozenset({"ORDER_PAID"})
    following = Following(hub, partner_of(PLATFORM), PLATFORM, 0, shape, kinds=only, is_joined=False)
    executor = executor_of(hub, "subscription { events { subjectVersion } }")
    broadcast = Broadcast("alike", executor, following, Tails(hub).follow(PLATFORM), lambda *_: b"", Kept())
    kinds = ["LISTING_CHANGED", "ORDER_PAID", "LISTING_CHANGED", "ORDER_PAID"]
    page = [logged_of(kind)._replace(position=n, subject_version=n) for n, kind in enumerate(kinds)]
    shown = [b'{"data":{"events":{"subjectVersion":%d}}}' % n for n in range(4)]
    assert broadcast.made_at_once(page) == [NOT_FOR_THEM, shown[1], NOT_FOR_THEM, shown[3]]
    assert broadcast.made_at_once(page[:1]) == [NOT_FOR_THEM]
    assert broadcast.executions == 2
