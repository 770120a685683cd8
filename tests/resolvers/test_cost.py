"""What a document may cost, told before it runs, bounds the rows read for it and what its answer counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    parse,
    validate,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.federation.schema_directives import ListSize

from hub.domain.anchors import MAX_LEAVES
from hub.entry.counting import counting_of, spent
from hub.entry.measuring import measure
from hub.entry.pricing import price_list
from hub.store.reads.plans import NOUNS
from hub.store.transactions import Rx
from resolvers.lookahead import snake_case
from schema import schema
from schema.cost import ONE_TREE
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import Market, buy, market
from tests.world import learner, operator, partner

TYPES = schema._schema.type_map
PRICES = price_list(schema._schema)
ROOT = Path(__file__).parents[2]
TOUR = [
    path.read_text()
    for path in sorted((ROOT / "hub" / "web" / "graphiql" / "src" / "tour").glob("*.graphql"))
    if "subscription" not in path.read_text()
]

ORDERS = """
query ($n: Int!) { orders(first: $n) { totalCount nodes {
  listing { platform { slug } merchant { name } course { title listings { externalId platform { slug } } } }
  buyer { members { externalId } orders(last: 1) { totalCount edges { node { number course { title } } } }
          entitlements(first: $n) { nodes { isOpen grants { source } accesses { state } } } }
  paymentIntent { unknownSince attempts { state order { number } } }
} } }
"""


class Counted:
    rows = 0


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts every row that any statement of the reading door gives back."""
    counted = Counted()
    many = Rx.many

    async def counting(self: Rx, *arguments: Any, **binds: Any) -> list[Any]:
        rows = await many(self, *arguments, **binds)
        counted.rows += len(rows)
        return rows

    monkeypatch.setattr(Rx, "many", counting)
    return counted


def cost_of(document: str, variables: dict[str, Any] | None = None) -> int:
    return measure(parse(document), PRICES).cost(None, variables)


@pytest.mark.parametrize(
    ("document", "variables", "cost"),
    [
        ("{ viewer { kind scopes } }", {}, 1),
        ("{ courses(first: 5) { nodes { id title } pageInfo { hasNextPage } } }", {}, 1 + 5),
        ("{ courses(first: 5) { edges { cursor node { id } } } }", {}, 1 + 5),
        ("{ courses(last: 5) { nodes { listings { platform { slug } price { amount } } } } }", {}, 1 + 5 * (1 + 100)),
        ("query ($n: Int) { courses(first: $n) { nodes { id } } }", {"n": 7}, 1 + 7),
        ("query ($n: Int = 9) { courses(first: $n) { nodes { id } } }", {}, 1 + 9),
        ("query ($n: Int = 9) { courses(first: $n) { nodes { id } } }", {"n": None}, 1 + 100),
        ("query ($n: Int) { courses(first: $n) { totalCount } }", {"n": 100}, 1 + 100 + 10),
        ("{ courses(first: 5) { edges { cursor } } }", {}, 1 + 5),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a", "b", "c"]}, 3),
        ('{ nodes(ids: ["a", "b"]) { id ... on User { members { id } } ... on Course { listings { id } } } }', {}, 202),
        ("mutation ($i: OrderCreateInput!) { orderCreate(input: $i) { order { id total { scale } } } }", {}, 10),
        ('{ order(id: "o") { proof { root } entitlement { isOpen } } }', {}, 1 + 1024 + 100),
        ("{ events(first: 10) { nodes { payload { ... on OrderPaid { orderId } ... on OrderCreated { orderId } } } } }",
         {}, 2 + 10),
        (ORDERS, {"n": 2}, 1 + 10 + 2 * (1 + 100 + (100 + (1 + 10 + 1) + (1 + 2 * (1 + 300))) + (100 + 100))),
    ],
)  # fmt: skip
def test_cost_is_what_may_be_read_and_shown(document: str, variables: dict[str, Any], cost: int) -> None:
    assert validate(schema._schema, parse(document)) == []
    assert cost_of(document, variables) == cost


def test_fragment_costs_at_each_of_its_places_and_an_alias_as_much_as_its_field() -> None:
    fragment = "fragment P on CourseConnection { nodes { id listings { id } } }"
    one = cost_of(f"{{ courses(first: 3) {{ ...P }} }} {fragment}")
    assert one == 1 + 3 * (1 + 100)
    assert cost_of(f"query ($n: Int!) {{ courses(first: $n) {{ ...P }} }} {fragment}", {"n": 3}) == one
    assert cost_of(f"{{ a: courses(first: 3) {{ ...P }} b: courses(first: 3) {{ ...P }} }} {fragment}") == 2 * one


def test_every_list_tells_its_size_and_no_longer_one_is_ever_read() -> None:
    own = [type_ for name, type_ in TYPES.items() if isinstance(type_, GraphQLObjectType) and name[0] != "_"]
    for of, name, field in [(type_.name, name, field) for type_ in own for name, field in type_.fields.items()]:
        price = PRICES.types[of].fields[name]
        sizes = [one for one in field.extensions["strawberry-definition"].directives if isinstance(one, ListSize)]
        if is_page(get_named_type(field.type)) and field.args:
            assert [one.slicing_arguments for one in sizes] == [[key for key in field.args if key in ("first", "last")]]
        if is_list(field) and price.below is not None and price.weight:
            assert price.is_sized_above or sizes, f"{of}.{name}"
        kept = {many.most for noun in NOUNS.values() for key, many in noun.manys.items() if key == snake_case(name)}
        assert not (sizes and sizes[0].assumed_size and kept) or max(kept) <= price.size
    assert ONE_TREE.weight == MAX_LEAVES


def is_page(type_: GraphQLNamedType) -> bool:
    return type_.name.endswith("Connection")


def is_list(field: GraphQLField) -> bool:
    return is_list_type(field.type.of_type if is_non_null_type(field.type) else field.type)


async def test_cost_bounds_the_rows_read_by_the_tour(api: Api, read: Counted) -> None:
    scene = await busy(api)
    values = {
        "input": {
            "listingId": scene.listing.id, "channel": "test", "idempotencyKey": "k",
            "expectedAmount": {"amountMinor": "9900", "currency": "CNY"},
        },
        "order": scene.mine["id"], "member": "m-me", "course": scene.listing.course_id, "first": 5,
    }  # fmt: skip
    for document in [*TOUR, ORDERS]:
        named = {key: value for key, value in ({**values, "n": 3}).items() if f"${key}:" in document}
        for viewer in (operator(), learner(scene.other), partner(scene.seller)):
            await bounded(api, read, viewer, document, named)


async def test_cost_bounds_the_rows_read_by_whatever_is_made_up(api: Api, read: Counted) -> None:
    await busy(api)
    made: list[tuple[str, int]] = []

    @settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(documents(), st.integers(1, 3))
    def collect(document: str, size: int) -> None:
        made.append((document, size))

    collect()
    read_in_all = 0
    for document, size in made:
        assert validate(schema._schema, parse(document)) == [], document
        read_in_all += await bounded(api, read, operator(), document, {"n": size})
    assert read_in_all > 50  # or else it is no test


async def bounded(api: Api, read: Counted, viewer: Any, document: str, variables: dict[str, Any]) -> int:
    """Run it; returns the rows read for it."""
    requested = cost_of(document, variables)
    is_mutation = document.lstrip().partition("\n")[0].startswith("#") and "mutation" in document
    before = read.rows
    result = await api.ask(viewer, document, **variables)
    rows = read.rows - before
    actual = spent(result.data or {}, counting_of(parse(document), None, PRICES))
    assert actual <= requested, document
    assert is_mutation or rows <= requested, (rows, requested, document)
    return rows


async def busy(api: Api) -> Market:
    """A market in which every list has more than a page of three."""
    scene = await market(api)
    course = await api.world.course("Splices")
    for slug in ("delta", "epsilon", "zeta", "eta"):
        listing = await api.world.listing(platform=await api.world.platform(slug), course=course)
        await buy(api, scene.me, listing, f"key of {slug}") if slug == "delta" else None
    for number in range(4):
        await buy(api, scene.me, await api.world.listing(platform=scene.seller), f"key {number}")
    return scene


# ---- documents made up -------------------------------------------------------------------------------------------

ROOTS = ("courses", "orders", "entitlements", "platforms", "events", "breaks")
DEEP = 5


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A query for some lists, with some of what is below them."""
    query = TYPES["Query"]
    assert isinstance(query, GraphQLObjectType)
    names = draw(st.lists(st.sampled_from(ROOTS), min_size=1, max_size=2, unique=True))
    parts = " ".join(draw(selected(query.fields[name], name, DEEP)) for name in names)
    return f"query ($n: Int!) {{ {parts} ...N }} fragment N on Query {{ viewer {{ kind }} }}".replace(
        "$n: Int!", "$n: Int!" if "$n" in parts else "$m: Int"
    ).replace("($m: Int)", "")


@st.composite
def selected(draw: st.DrawFn, field: GraphQLField, name: str, deep: int) -> str:
    """A field with its page size, and some of what is below it."""
    size = ""
    if "first" in field.args:
        word = draw(st.sampled_from(["first", "last"])) if "last" in field.args else "first"
        size = f"({word}: {draw(st.sampled_from(['1', '2', '$n']))})"
    type_ = get_named_type(field.type)
    if is_leaf_type(type_):
        return f"{name}{size}"
    return f"{name}{size} {{ __typename {' '.join(draw(below(type_, deep)))} }}"


@st.composite
def below(draw: st.DrawFn, type_: GraphQLNamedType, deep: int) -> list[str]:
    if not isinstance(type_, GraphQLObjectType):
        return []
    leaves = [name for name, field in fields_of(type_) if is_leaf_type(get_named_type(field.type))]
    composite = [(name, field) for name, field in fields_of(type_) if not is_leaf_type(get_named_type(field.type))]
    names = draw(st.lists(st.sampled_from(leaves), max_size=2, unique=True)) if leaves else []
    if deep and composite:
        more = 1 if type_.name.endswith("Connection") else 2
        chosen = st.lists(st.sampled_from(composite), min_size=1, max_size=more, unique_by=lambda one: one[0])
        for name, field in draw(chosen):
            names.append(draw(selected(field, name, deep - 1)))
    return names


def fields_of(type_: GraphQLObjectType) -> Iterator[tuple[str, GraphQLField]]:
    """Fields that need nothing but a page size."""
    return (
        (name, field)
        for name, field in type_.fields.items()
        if not {key for key, argument in field.args.items() if argument.default_value} - {"first", "last"}
    )
