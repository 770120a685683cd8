"""No document of the corpus hurts: each is refused by its code or started, after steps whose number is bounded."""

import sys
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values
from graphql.utilities import get_operation_ast

from hub.entry.app import create_app
from hub.entry.limits import Documents, checked
from hub.entry.measuring import measure
from schema import schema
from tests.entry.hostile import Hostile, corpus
from tests.entry.toys import ToyHub, asked, client_of, settings_of

DOCUMENTS = Documents(schema._schema)
# Calls of Python functions until a document is refused or started; the bench `limits` tells the time that they take.
MAX_CALLS = 100_000


def test_the_corpus_is_large_and_no_document_stands_there_twice() -> None:
    found = list(corpus())
    assert len({one.name for one in found}) == len({one.text + repr(one.variables) for one in found}) == len(found)
    assert len(found) >= 60


@pytest.mark.parametrize("hostile", [*corpus()], ids=lambda hostile: hostile.name)
def test_hostile_document_is_refused_or_started_after_so_many_steps(hostile: Hostile) -> None:
    calls = Calls()
    with calls:
        code = code_of(hostile)
    assert code == hostile.then
    assert calls.made < MAX_CALLS


def code_of(hostile: Hostile, documents: Documents = DOCUMENTS) -> str | None:
    """What it is refused with, up to where its variables have been read; None if it is started."""
    try:
        known = checked(documents, hostile.text, hostile.variables)
        refused = read_variables(known.document, hostile.variables)
    except GraphQLError as error:
        return str((error.extensions or {}).get("code", "BAD_USER_INPUT"))
    return "BAD_USER_INPUT" if refused else None


def read_variables(document: DocumentNode, variables: dict[str, Any]) -> bool:
    """Whether graphql-core refuses them."""
    operation = get_operation_ast(document)
    assert isinstance(operation, OperationDefinitionNode)
    read = get_variable_values(schema._schema, operation.variable_definitions or (), variables, max_errors=50)
    return not isinstance(read, VariableValues)


class Calls:
    """Counts the calls of Python functions in its block: the same on every machine, unlike time."""

    def __init__(self) -> None:
        self.made = 0

    def __enter__(self) -> None:
        def called(_frame: object, event: str, _argument: object) -> None:
            self.made += event == "call"

        sys.setprofile(called)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


async def test_the_same_codes_come_by_http_and_nothing_of_them_is_kept() -> None:
    app = create_app(ToyHub().hub, settings_of(), schema=schema)
    async with client_of(app) as hub:
        for hostile in corpus():
            if hostile.then is None or hostile.text.startswith("subscription"):
                continue  # no hub is behind these doors; and HTTP has its own word for a subscription
            answer = await asked(hub, hostile.text, hostile.variables)
            codes = {error["extensions"]["code"] for error in answer.json()["errors"]}
            assert (answer.status_code, codes, hostile.name) in (
                (200, {hostile.then}, hostile.name), (400, {"BAD_USER_INPUT"}, hostile.name)
            )  # fmt: skip
            assert "data" not in answer.json(), hostile.name


# ---- linear ------------------------------------------------------------------------------------------------------

PRICES = DOCUMENTS.prices


def visits(document: str) -> int:
    return measure(parse(document), PRICES).visits


def test_the_pass_visits_each_selection_once_whatever_it_expands_to() -> None:
    """Doubling the levels of a chain in which each fragment is spread twice doubles the visits, not their square."""

    def chained(levels: int) -> str:
        spreads = " ".join(
            f"fragment F{i} on Platform {{ merchant {{ platform {{ id }} }} ...G{i} }} "
            f"fragment G{i} on Platform {{ ...F{i + 1} }}"
            for i in range(levels)
        )
        last = f"fragment F{levels} on Platform {{ id }}"
        return f"{{ a: platform(id: 1) {{ ...F0 }} b: platform(id: 1) {{ ...F0 }} }} {spreads} {last}"

    numbers = [visits(chained(levels)) for levels in (4, 8, 16)]
    assert (numbers[2] - numbers[1]) == 2 * (numbers[1] - numbers[0])


def test_the_pass_takes_as_many_steps_as_the_document_has_selections() -> None:
    for number in (10, 100, 590):
        assert visits(f"{{ course(id: 1) {{ {' '.join(f'a{i}' for i in range(number))} }} }}") == number + 1
