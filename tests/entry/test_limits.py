"""Documents beyond the caps are refused before anything runs, in time that grows with their length alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError, get_introspection_query, parse
from strawberry.extensions import SchemaExtension

from hub.entry import limits
from hub.entry.app import create_app
from hub.entry.limits import Documents, Known, checked
from hub.entry.measuring import measure
from hub.entry.pricing import price_list
from schema import schema
from tests.entry.toys import SCHEMA, ToyHub, asked, client, client_of, settings_of

ROOT = Path(__file__).parents[2]
PRICES = price_list(SCHEMA._schema)
INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
)


def nested(fields: int) -> str:
    """A document with so many fields under each other."""
    inner = "name"
    for _ in range(fields - 2):
        inner = f"items(first: 1) {{ {inner} }}"
    return f"{{ item {{ {inner} }} }}"


def refusal(query: str) -> dict[str, Any] | None:
    try:
        measure(parse(query), PRICES)
    except GraphQLError as refused:
        return {"message": refused.message, **(refused.extensions or {})}
    return None


async def answered(query: str, variables: dict[str, Any] | None = None, **flags: str) -> tuple[list[str], Any]:
    """Codes of the errors, and the data."""
    async with client(ToyHub(), **flags) as hub:
        answer = (await asked(hub, query, variables)).json()
    return [error["extensions"]["code"] for error in answer.get("errors", [])], answer.get("data")


async def test_document_of_the_greatest_length_runs_and_a_byte_more_does_not() -> None:
    query = "{ viewer }".ljust(limits.MAX_DOCUMENT)
    assert await answered(query) == ([], {"viewer": "ANONYMOUS"})
    assert await answered(query + " ") == (["COST_LIMIT_EXCEEDED"], None)


async def test_length_is_counted_in_bytes() -> None:
    query = "#" + "知" * (limits.MAX_DOCUMENT // 3) + "\n{ viewer }"
    assert len(query) < limits.MAX_DOCUMENT
    assert await answered(query) == (["COST_LIMIT_EXCEEDED"], None)


async def test_tokens_beyond_the_limit_stop_the_parser() -> None:
    aliases = " ".join(f"a{i}: viewer" for i in range(700))  # three tokens each
    assert await answered(f"{{ {aliases} }}") == (["COST_LIMIT_EXCEEDED"], None)


async def test_twelve_fields_deep_runs_and_thirteen_does_not() -> None:
    codes, data = await answered(nested(12))
    assert (codes, list(data)) == ([], ["item"])
    assert await answered(nested(13)) == (["COST_LIMIT_EXCEEDED"], None)


def test_depth_is_counted_through_fragments() -> None:
    assert refusal("{ item { ...A } } fragment A on Item { items { ...B } } fragment B on Item { name }") is None
    chain = "".join(f"fragment F{i} on Item {{ items {{ ...F{i + 1} }} }} " for i in range(11))
    deep = f"{{ item {{ ...F0 }} }} {chain} fragment F11 on Item {{ name }}"
    assert refusal(deep) == {"message": "fields are nested more than 12 deep", "code": "COST_LIMIT_EXCEEDED"}


def test_fragment_that_contains_itself_is_refused() -> None:
    assert refusal("{ item { ...A } } fragment A on Item { ...B } fragment B on Item { items { ...A } }") == {
        "message": "fragment 'A' contains itself",
        "code": "COST_LIMIT_EXCEEDED",
    }


def test_fragment_that_nobody_spreads_is_walked_too() -> None:
    assert refusal("{ item { name } } fragment A on Item { items { ...A } }") is not None


def test_fragments_and_spreads_are_counted() -> None:
    fragments = " ".join(f"fragment F{i} on Item {{ name }}" for i in range(50))
    assert refusal(f"{{ item {{ ...F0 }} }} {fragments}") is None
    assert refusal(f"{{ item {{ ...F0 }} }} {fragments} fragment G on Item {{ name }}") == {
        "message": "more than 50 fragments are defined",
        "code": "COST_LIMIT_EXCEEDED",
    }
    spread = " ".join(f"fragment F{i} on Item {{ ...G items(first: 1) {{ ...G }} }}" for i in range(49))
    last = "fragment G on Item { name }"
    assert refusal(f"{{ item {{ ...F0 ...F1 }} }} {spread} {last}") is None
    assert refusal(f"{{ item {{ ...F0 ...F1 ...F2 }} }} {spread} {last}") == {
        "message": "fragments are spread more than 100 times",
        "code": "COST_LIMIT_EXCEEDED",
    }


def test_nesting_without_fields_is_bounded_too() -> None:
    assert refusal("{ item " + "{ ... " * 70 + "{ name }" + " }" * 70 + " }") == {
        "message": "selections are nested more than 64 deep",
        "code": "COST_LIMIT_EXCEEDED",
    }


@pytest.mark.parametrize("argument", ["first", "last"])
async def test_page_of_100_runs_and_of_101_does_not(argument: str) -> None:
    codes, data = await answered(f"{{ item {{ items({argument}: 100) {{ number }} }} }}")
    assert (codes, len(data["item"]["items"])) == ([], 100)
    assert await answered(f"{{ item {{ items({argument}: 101) {{ number }} }} }}") == (["BAD_USER_INPUT"], None)


@pytest.mark.parametrize(
    ("head", "variables"),
    [("$n: Int", {"n": 101}), ("$n: Int = 101", None), ("$n: Int = 101", {}), ("$n: Int = 1", {"n": 10**9})],
)
async def test_page_size_in_a_variable_is_refused_too(head: str, variables: dict[str, Any] | None) -> None:
    query = f"query ({head}) {{ item {{ items(first: $n) {{ name }} }} }}"
    assert await answered(query, variables) == (["BAD_USER_INPUT"], None)


async def test_known_document_is_asked_anew_for_its_variables() -> None:
    query = "query ($n: Int = 101) { item { items(first: $n) { number } } }"
    async with client() as hub:
        small = await asked(hub, query, {"n": 1})
        large = await asked(hub, query, {"n": 101})
        again = await asked(hub, query, {"n": 2})
    assert small.json()["data"]["item"]["items"] == [{"number": 0}]
    assert "data" not in large.json()
    assert len(again.json()["data"]["item"]["items"]) == 2


async def test_page_size_of_thousands_of_digits_is_refused_like_any_other() -> None:
    assert await answered(f"{{ item {{ items(first: {'9' * 5000}) {{ name }} }} }}") == (["BAD_USER_INPUT"], None)


async def test_introspection_of_graphiql_runs_and_is_refused_where_it_is_off() -> None:
    codes, data = await answered(INTROSPECTION)
    assert (codes, list(data)) == ([], ["__schema"])
    assert await answered(INTROSPECTION, introspection="false") == (["FORBIDDEN"], None)
    assert await answered("{ __typename }", introspection="false") == ([], {"__typename": "Query"})


def test_documents_of_the_tour_are_within_the_limits() -> None:
    tour = sorted((ROOT / "hub" / "web" / "graphiql" / "src" / "tour").glob("*.graphql"))
    assert len(tour) >= 6
    documents = Documents(schema._schema)
    assert [checked(documents, path.read_text()).errors for path in tour] == [[]] * len(tour)


def test_introspection_that_multiplies_is_refused() -> None:
    lists = "{ __schema { types { fields { type { fields { name } } } } } }"
    of_types = "{ __schema { types { fields { type {" + "ofType {" * 10 + "name" + "}" * 10 + "} } } } }"
    by_fragment = '{ __type(name: "Item") { ...T } } fragment T on __Type { fields { type { ...U } } } '
    by_fragment += "fragment U on __Type { possibleTypes { name } }"  # fmt: skip
    assert [refusal(query) and refusal(query)["code"] for query in (lists, of_types, by_fragment)] == [  # type: ignore[index]  # a refusal is JSON with a code
        "COST_LIMIT_EXCEEDED"
    ] * 3


async def test_refused_document_is_never_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    def validated(*_: object) -> list[GraphQLError]:
        raise AssertionError("validation ran")

    monkeypatch.setattr("hub.entry.limits.validate", validated)
    assert await answered(nested(13)) == (["COST_LIMIT_EXCEEDED"], None)


async def test_caches_of_the_schema_itself_are_left_out_as_they_would_validate_first() -> None:
    class Validates(SchemaExtension):
        def on_validate(self) -> Iterator[None]:
            raise AssertionError("validation ran")
            yield

    schema = strawberry.Schema(Hello, extensions=[Validates])
    async with client_of(create_app(ToyHub().hub, settings_of(), schema=schema)) as hub:
        assert (await asked(hub, "{ hello }")).json() == {"data": {"hello": None}}
    assert schema.extensions == (Validates,)


async def test_known_document_is_neither_parsed_nor_validated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as hub:
        first = await asked(hub, "{ viewer }")

        def never(*_: object, **__: object) -> None:
            raise AssertionError("again")

        monkeypatch.setattr("strawberry.schema.schema.parse", never)
        monkeypatch.setattr("hub.entry.limits.validate", never)
        second = await asked(hub, "{ viewer }")
    assert first.json() == second.json() == {"data": {"viewer": "ANONYMOUS"}}


async def test_invalid_document_is_told_each_time_and_not_kept() -> None:
    documents = Documents(HELLO._schema)
    schema = strawberry.Schema(Hello, extensions=[lambda: limits.Limits(documents)])
    told = [(await schema.execute("{ nope }")).errors for _ in range(2)]
    assert [str(errors and errors[0].message) for errors in told] == ["Cannot query field 'nope' on type 'Hello'."] * 2
    assert len(documents) == 0
    await schema.execute("{ hello }")
    assert len(documents) == 1


def test_cache_is_bounded_in_number_and_in_text() -> None:
    document = parse("{ viewer }")
    known = Known(document, measure(document, PRICES), [])
    many, long = Documents(SCHEMA._schema), Documents(SCHEMA._schema)
    for i in range(limits.MAX_CACHED + 5):
        many.keep(f"{{ a{i} }}", known)
    for i in range(20):
        long.keep(f"{i:02}".ljust(limits.MAX_DOCUMENT), known)
    assert len(many) == limits.MAX_CACHED
    assert many.find("{ a4 }") is None
    assert many.find("{ a5 }") is known
    assert len(long) == limits.MAX_CACHED_TEXT // limits.MAX_DOCUMENT


@strawberry.type
class Hello:
    @strawberry.field
    def hello(self) -> str | None:
        return None


HELLO = strawberry.Schema(Hello)
