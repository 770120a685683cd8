"""What clients rely on stays: the schema beside the last release's, and what will go away says what to use instead."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
    is_specified_directive,
)

import hub
from schema import printing

# The SDL for clients as each release had it: add the new one's with the release, take the oldest away when nobody who
# was promised it is left.
RELEASES = Path(printing.__file__).parent / "releases"
# A change that breaks clients of the last release, in the words of the failing test → why it had to be, and what
# clients do now. The list is emptied with each release.
MEANT: dict[str, str] = {}

_NAMED = re.compile(r"`([A-Za-z_]+(?:\.[A-Za-z_]+)?)`")


def last_release() -> Path:
    return max(RELEASES.glob("*.graphql"), key=lambda path: [int(part) for part in path.stem.split(".")])


def broken(old: str, new: str) -> set[str]:
    """What breaks clients of the old SDL, a sentence each."""
    return {change.description for change in find_breaking_changes(build_schema(old), build_schema(new))}


def test_nothing_breaks_clients_of_the_last_release_but_what_is_listed_with_its_reason() -> None:
    assert broken(last_release().read_text(), printing.printed()["schema.graphql"]) == MEANT.keys()
    assert all(len(reason) > 20 for reason in MEANT.values())


def test_the_last_release_is_no_later_than_this_version() -> None:
    released = [int(part) for part in last_release().stem.split(".")]
    assert released <= [int(part) for part in re.findall(r"\d+", hub.__version__)[:3]]


CLIENT = (
    "type Query { course(id: ID!, at: String): Course } type Course { title: String! kind: Kind! } enum Kind { A B }"
)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("title: String!", "name: String!"), ("title: String!", "title: String"), ("kind: Kind!", "kind: String!"),
        (", at: String", ""), (", at: String", ", at: String!"), ("at: String", "at: String, by: ID!"), ("A B", "A"),
    ],
)  # fmt: skip
def test_a_change_that_breaks_clients_is_seen(was: str, becomes: str) -> None:
    assert broken(CLIENT, CLIENT.replace(was, becomes))


def test_what_only_adds_breaks_nobody() -> None:
    added = (
        CLIENT.replace("title", "rank: Int title").replace("A B", "A B C").replace("at: String", "at: String, n: Int")
    )
    assert broken(CLIENT, added) == set()


# ---- deprecations ------------------------------------------------------------------------------------------------


def deprecations(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Where each stands, and its reason."""
    for type_ in schema.type_map.values():
        members: list[tuple[str, str | None]] = []
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in type_.fields.items():
                members.append((name, field.deprecation_reason))
                members += [(f"{name}({key})", argument.deprecation_reason) for key, argument in field.args.items()]
        elif isinstance(type_, GraphQLInputObjectType):
            members = [(name, input_field.deprecation_reason) for name, input_field in type_.fields.items()]
        elif isinstance(type_, GraphQLEnumType):
            members = [(name, value.deprecation_reason) for name, value in type_.values.items()]
        yield from ((f"{type_.name}.{name}", reason) for name, reason in members if reason is not None)


def without_replacement(schema: GraphQLSchema) -> list[str]:
    """Deprecations whose reason names nothing that there is: `field` of the same type, or `Type.field`."""
    return [
        place
        for place, reason in deprecations(schema)
        if not any(_is_there(schema, place.split(".")[0], name) for name in _NAMED.findall(reason))
    ]


def _is_there(schema: GraphQLSchema, type_name: str, name: str) -> bool:
    if "." in name:
        type_name, name = name.split(".")
    type_ = schema.type_map.get(type_name)
    members = getattr(type_, "fields", None) or getattr(type_, "values", None) or {}
    return name in members or any(name in getattr(member, "args", ()) for member in members.values())


def test_what_is_deprecated_names_what_to_use_instead() -> None:
    assert without_replacement(build_schema(printing.printed()["schema.graphql"])) == []


@pytest.mark.parametrize(
    ("reason", "is_named"),
    [("Use `title`.", True), ("Use `Query.course`.", True), ("Use `at` of it: `Query.at`", True),
     ("Use another.", False), ("Use `name`.", False), ("Use `Query.title`.", False), ("No longer supported", False)],
)  # fmt: skip
def test_a_reason_that_names_nothing_is_seen(reason: str, is_named: bool) -> None:
    told = build_schema(CLIENT.replace("kind: Kind!", f'kind: Kind! @deprecated(reason: "{reason}")'))
    assert without_replacement(told) == ([] if is_named else ["Course.kind"])


def test_clients_are_told_of_no_directive_that_their_tools_do_not_know() -> None:
    told = build_schema(printing.printed()["schema.graphql"])
    assert [directive.name for directive in told.directives if not is_specified_directive(directive)] == ["defer"]
