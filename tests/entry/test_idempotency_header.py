"""The header Idempotency-Key: where the key goes, and that two keys are refused."""

from typing import Any

import httpx
import pytest
import strawberry
from graphql import GraphQLInputObjectType, get_named_type

from hub.entry.app import create_app
from hub.entry.idempotency import MAX_REMEMBERED, KeyPlaces, key_of
from schema import schema as hub_schema
from tests.entry.toys import ToyHub, client_of, settings_of


@strawberry.input
class PayInput:
    listing: str
    idempotency_key: str


@strawberry.input
class NoteInput:
    text: str


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "hello"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def pay(self, input: PayInput) -> str:
        return f"{input.listing} by {input.idempotency_key}"

    @strawberry.mutation
    def note(self, input: NoteInput) -> str:
        return input.text


SCHEMA = strawberry.Schema(Query, Mutation)

OBJECT = "mutation P($input: PayInput!) { pay(input: $input) }"
SCALAR = 'mutation ($key: String!) { pay(input: {listing: "a", idempotencyKey: $key}) }'
LITERAL = 'mutation { pay(input: {listing: "a"}) }'


async def paid(
    query: str, variables: dict[str, Any] | None = None, key: str | bytes | None = "k-1", **more: object
) -> httpx.Response:
    app = create_app(ToyHub().hub, settings_of(), schema=SCHEMA)
    headers: list[tuple[bytes, bytes]] = []
    if key is not None:
        headers = [(b"idempotency-key", key.encode() if isinstance(key, str) else key)]
    async with client_of(app) as hub:
        return await hub.post("/graphql", json={"query": query, "variables": variables, **more}, headers=headers)


def told(answer: httpx.Response) -> tuple[str, str]:
    error = answer.json()["errors"][0]
    assert "data" not in answer.json()
    return error["message"], error["extensions"]["code"]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (OBJECT, {"input": {"listing": "a"}}),
        (OBJECT, {"input": {"listing": "a", "idempotencyKey": None}}),
        (OBJECT, {"input": {"listing": "a", "idempotencyKey": "k-1"}}),
        ('mutation ($i: PayInput! = {listing: "a", idempotencyKey: "k-1"}) { pay(input: $i) }', None),
        (SCALAR, None),
        (SCALAR, {"key": "k-1"}),
        ('mutation ($key: String! = "k-1") { pay(input: {listing: "a", idempotencyKey: $key}) }', None),
        (LITERAL, None),
        ('mutation { pay(input: {listing: "a", idempotencyKey: "k-1"}) }', None),
        ("mutation ($l: String!) { pay(input: {listing: $l}) }", {"l": "a"}),
        ("mutation P { pay(input: {listing: \"a\" # why }\n}) }", None),
        ("mutation P($l: String!,) { __typename ...F } fragment F on Mutation { pay(input: {listing: $l}) }",
         {"l": "a"}),
        ("mutation { ... on Mutation { ... { pay(input: {listing: \"a\"}) } } }", None),
    ],
)  # fmt: skip
async def test_header_fills_the_key_where_there_is_none(query: str, variables: dict[str, Any] | None) -> None:
    assert (await paid(query, variables)).json()["data"]["pay"] == "a by k-1"


async def test_only_the_operation_that_runs_is_filled() -> None:
    query = f"query Q {{ hello }} {OBJECT}"
    answer = await paid(query, {"input": {"listing": "a"}}, operationName="P")
    assert answer.json() == {"data": {"pay": "a by k-1"}}


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (OBJECT, {"input": {"listing": "a", "idempotencyKey": "k-2"}}),
        ('mutation ($i: PayInput! = {listing: "a", idempotencyKey: "k-2"}) { pay(input: $i) }', None),
        (SCALAR, {"key": "k-2"}),
        ('mutation ($key: String! = "k-2") { pay(input: {listing: "a", idempotencyKey: $key}) }', None),
        ('mutation { pay(input: {listing: "a", idempotencyKey: "k-2"}) }', None),
    ],
)
async def test_two_keys_are_refused_wherever_the_second_stands(query: str, variables: dict[str, Any] | None) -> None:
    assert told(await paid(query, variables)) == (
        "the header Idempotency-Key and the input's idempotencyKey are two keys", "BAD_USER_INPUT",
    )  # fmt: skip


async def test_several_mutations_under_one_header_are_refused() -> None:
    query = 'mutation { a: pay(input: {listing: "a"}) b: pay(input: {listing: "b"}) }'
    assert told(await paid(query))[1] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ('mutation { note(input: {text: "a"}) }', {"note": "a"}),
        ("{ hello }", {"hello": "hello"}),
        ("mutation { __typename }", {"__typename": "Mutation"}),
    ],
)
async def test_header_means_nothing_to_what_takes_no_key(query: str, data: dict[str, str]) -> None:
    assert (await paid(query)).json() == {"data": data}


async def test_key_stays_required_without_the_header() -> None:
    assert "idempotencyKey" in told(await paid(LITERAL, key=None))[0]


@pytest.mark.parametrize("value", [7, [], {}, True])
async def test_key_of_another_type_is_named_by_coercion(value: object) -> None:
    message, code = told(await paid(OBJECT, {"input": {"listing": "a", "idempotencyKey": value}}))
    assert code == "BAD_USER_INPUT"
    assert "String cannot represent a non string value" in message


@pytest.mark.parametrize("variables", [{"input": 7}, {"input": None}, {}])
async def test_input_that_is_no_object_is_named_by_coercion(variables: dict[str, Any]) -> None:
    assert told(await paid(OBJECT, variables))[1] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "query",
    ["mutation {", "mutation { pay }", "mutation { pay(input: 1) }", "mutation { nope(input: {}) }",
     "mutation " + "{ ... " * 500 + "{ pay }" + " }" * 500, "mutation { ...F } fragment F on Mutation { ...F }"],
)  # fmt: skip
async def test_document_that_is_wrong_is_told_as_without_the_header(query: str) -> None:
    assert told(await paid(query)) == told(await paid(query, key=None))


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"k-1", "k-1"),
        (b" k-1 ", "k-1"),
        (b'"k-1"', "k-1"),  # a structured field's string
        (rb'"a\"b\\c"', 'a"b\\c'),
        ("知识".encode(), "知识"),
        (b"k" * 255, "k" * 255),
    ],
)
async def test_key_is_read_plain_or_in_quotes(header: bytes, key: str) -> None:
    assert (await paid(LITERAL, key=header)).json() == {"data": {"pay": f"a by {key}"}}


@pytest.mark.parametrize("header", [b"", b" ", b'""', b"k" * 256, b"\xff\xfe"])
async def test_key_that_cannot_be_is_refused(header: bytes) -> None:
    assert told(await paid(LITERAL, key=header)) == (
        "the header Idempotency-Key comes once and has 1 to 255 characters", "BAD_USER_INPUT",
    )  # fmt: skip


def test_two_headers_are_refused_and_none_is_no_key() -> None:
    assert key_of([]) is None
    with pytest.raises(Exception, match="comes once"):
        key_of(["a", "b"])


def test_places_are_remembered_for_so_many_documents_and_hold_no_key() -> None:
    places = KeyPlaces(SCHEMA._schema)
    first = places.filled(LITERAL, None, None, "k-1")
    second = places.filled(LITERAL, None, None, "k-2")
    keyed = 'mutation($idempotencyKey: String!) { pay(input: {listing: "a" idempotencyKey: $idempotencyKey}) }'
    assert first[0] == second[0] == keyed
    assert (first[1], second[1]) == ({"idempotencyKey": "k-1"}, {"idempotencyKey": "k-2"})
    for i in range(MAX_REMEMBERED * 2):
        places.filled(f"{LITERAL} # {i}", None, None, "k")
    assert len(places._known) == MAX_REMEMBERED


def _taking_a_key() -> list[tuple[str, str]]:
    """Each mutation of the hub whose input has an idempotencyKey, with the type of that input."""
    mutation = hub_schema._schema.mutation_type
    assert mutation
    inputs = [(name, get_named_type(field.args["input"].type)) for name, field in mutation.fields.items()]
    return [
        (name, type_.name)
        for name, type_ in inputs
        if isinstance(type_, GraphQLInputObjectType) and "idempotencyKey" in type_.fields
    ]


@pytest.mark.parametrize(("name", "input_type"), _taking_a_key())
def test_header_fills_every_mutation_of_the_hub_that_takes_a_key(name: str, input_type: str) -> None:
    places = KeyPlaces(hub_schema._schema)
    by_variable = places.filled(
        f"mutation ($in: {input_type}!) {{ {name}(input: $in) {{ replayed }} }}", None, {"in": {"a": 1}}, "k"
    )
    text, variables = places.filled(f"mutation {{ {name}(input: {{}}) {{ replayed }} }}", None, None, "k")
    assert by_variable[1] == {"in": {"a": 1, "idempotencyKey": "k"}}
    assert text == (
        f"mutation($idempotencyKey: String!) {{ {name}(input: {{ idempotencyKey: $idempotencyKey}}) {{ replayed }} }}"
    )
    assert variables == {"idempotencyKey": "k"}


def test_mutations_of_money_and_rights_are_among_them() -> None:
    taking = dict(_taking_a_key())
    assert {"checkout", "orderCreate", "paymentCreate", "orderCancel", "entitlementRevoke"} <= taking.keys()
