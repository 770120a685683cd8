"""Plain values read in one loop give what graphql-core gives: the same data in the same order, the same errors."""

from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import GraphQLObjectType, build_schema, execute, parse
from graphql.execution import ExecutionResult
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from resolvers.execution import Attribute, PlainFirst

SDL = """
enum Colour { RED BLUE }
type Query { things: [Thing!]!  maybe: [Thing] }
type Thing { id: ID!  name: String  size: Int!  colour: Colour  shown(as: String): String  part: Thing  slow: Thing }
"""


def schema() -> Any:
    built = build_schema(SDL)
    thing = built.type_map["Thing"]
    assert isinstance(thing, GraphQLObjectType)
    for name, field in thing.fields.items():
        field.resolve = Attribute(attrgetter(name))
    thing.fields["shown"].resolve = lambda row, _info, **given: given.get("as", row.name)

    async def slow(row: Any, _info: Any) -> Any:
        return row.slow

    thing.fields["slow"].resolve = slow
    return built


def thing(**more: Any) -> SimpleNamespace:
    whole = {"id": "t1", "name": "rope", "size": 3, "colour": "RED", "part": None, "slow": None}
    return SimpleNamespace(**(whole | more))


async def both_ways(document: str, **root: Any) -> tuple[Any, Any]:
    """What the stock executor answers, and ours."""
    answers = []
    for executor in (StrawberryGraphQLCoreExecutionContext, PlainFirst):
        told = execute(schema(), parse(document), SimpleNamespace(**root), executor_class=executor)
        result = told if isinstance(told, ExecutionResult) else await told  # type: ignore[misc]  # it may be either
        errors = [(error.message, error.path, error.locations) for error in result.errors or ()]
        answers.append((list_of_pairs(result.data), errors))
    return answers[0], answers[1]


def list_of_pairs(data: Any) -> Any:
    """With the order of the keys."""
    if isinstance(data, dict):
        return [(name, list_of_pairs(value)) for name, value in data.items()]
    return [list_of_pairs(value) for value in data] if isinstance(data, list) else data


ROWS = [
    [thing()],
    [thing(name=None, colour=None), thing(id=7)],
    [thing(size=None)],  # null where there may be none
    [thing(), thing(size="many")],  # no Int
    [thing(colour="GREEN")],  # no member
    [thing(part=thing(id=None))],
    [thing(slow=thing(size=None)), thing(slow=thing(name=None))],
    [SimpleNamespace(id="t1")],  # attributes are missing
]
DOCUMENTS = [
    "{ things { id name size colour } }",
    "{ maybe { colour size name id } }",
    '{ things { a: size part { id b: name __typename } id size slow { name size } __typename c: shown(as: "x") } }',
    "{ maybe { ...a id ...b } } fragment a on Thing { name slow { id } } fragment b on Thing { size part { id } }",
]


@pytest.mark.parametrize("rows", ROWS, ids=range(len(ROWS)))
@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
async def test_every_answer_is_that_of_the_stock_executor(document: str, rows: list[Any]) -> None:
    stock, ours = await both_ways(document, things=rows, maybe=rows)
    assert ours == stock


async def test_a_field_that_is_guarded_is_not_passed_by() -> None:
    built = schema()
    asked = []
    guarded = built.type_map["Thing"].fields["name"]
    guarded.resolve = lambda row, _info: asked.append(row.id)
    execute(built, parse("{ things { id name } }"), SimpleNamespace(things=[thing()]), executor_class=PlainFirst)
    assert asked == ["t1"]
