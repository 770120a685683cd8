"""How a field is written down: what resolves it, what it is called, what it means. The only page that says Any."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

import strawberry
from graphql import GraphQLResolveInfo
from strawberry.federation.schema_directives import Key, Shareable
from strawberry.federation.types import FieldSet
from strawberry.field_extensions import InputMutationExtension
from strawberry.utils.str_converters import to_camel_case

from schema.cost import ATTEMPT, FREE, at_most, page_of

C = TypeVar("C", bound=type)
JOINED = "joined"
DEFINITION = "__strawberry_definition__"
# On a type: other subgraphs may extend it, and name its objects by their ids.
BY_ID = Key(fields=FieldSet("id"), resolvable=strawberry.UNSET)
SHAREABLE = Shareable()  # on a type: other subgraphs may have the very same


def resolved_by(resolver: Callable[..., Any], description: str, costs: object = None, **more: Any) -> Any:
    """A field that a function computes; the annotation beside it is its type. `costs` is a word of schema/cost.py."""
    directives = page_of(resolver) if costs is None else [costs]
    return strawberry.field(resolver=resolver, description=description, directives=directives, **more)


class OneInput(InputMutationExtension):
    """Strawberry's own, with words on the input type."""

    def apply(self, field: Any) -> None:
        super().apply(field)
        taken: Any = field.arguments[0].type_annotation
        getattr(taken.annotation, DEFINITION).description = f"What {to_camel_case(field.base_resolver.name)} takes."


def changed_by(resolver: Callable[..., Any], description: str, *, is_attempt: bool = False) -> Any:
    """A mutation: the function's parameters become the fields of its one `input`. Attempts to pay or to sign in have a
    rate of their own."""
    return strawberry.mutation(
        resolver=resolver, description=description, extensions=[OneInput()], metadata={ATTEMPT: is_attempt}
    )


def streamed_by(resolver: Callable[..., Any], description: str) -> Any:
    """A subscription."""
    return strawberry.subscription(resolver=resolver, description=description)


def plain(description: str, name: str | None = None, costs: object = None, *, instead: str | None = None) -> Any:
    """An attribute of the row, shown as it is; `name` where the row's own tells its unit. Of one that will go `instead`
    names the field that says the same."""
    reason = None if instead is None else f"Use `{instead}`."
    return strawberry.field(
        description=description, name=name, directives=[] if costs is None else [costs], deprecation_reason=reason
    )


def relation(name: str, description: str, most: int | None = None) -> Any:
    """What the row holds under `joined[name]`, put there by look-ahead: a row joined to it, or a list up to `most`."""
    costs = FREE if most is None else at_most(most)
    return strawberry.field(description=description, metadata={JOINED: name}, directives=[costs])


def represents(*values: type | str) -> Callable[[C], C]:
    """This GraphQL type shows values of these classes; the store's rows by name, as they may not be imported here."""
    names = frozenset(value for value in values if isinstance(value, str))
    classes = frozenset(value for value in values if not isinstance(value, str))

    def mark(cls: C) -> C:
        def is_type_of(value: object, _info: "GraphQLResolveInfo[Any]") -> bool:
            return type(value) in classes or type(value).__name__ in names

        getattr(cls, DEFINITION).is_type_of = is_type_of
        return cls

    return mark


def described(enum: type[Enum], description: str, members: Mapping[str, str], name: str | None = None) -> None:
    """Register a domain's enum with a word on each member. KeyError for a member without one."""
    if not hasattr(enum, DEFINITION):  # an input that names it may have registered it already, without words
        strawberry.enum(enum)
    definition: Any = getattr(enum, DEFINITION)
    definition.description = description
    definition.name = name or definition.name
    for value in definition.values:
        value.description = members[value.name]
