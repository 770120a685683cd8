"""What each field costs, read once from the schema's @cost and @listSize; and sums of costs whose page sizes may be
variables.

One is an object of an answer, and no less than a row that the store reads for it. A price says how a field adds up:

    a leaf                      its weight, 0 unless @cost says more
    an object                   its weight, 1 unless @cost says otherwise, and what is selected below
    a list                      its size times that; the size is an argument's (first, last), else @listSize's, else 100
    a list in a connection      likewise, but the argument stands on the connection, whose rows count if none is shown
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.federation.schema_directives import Cost, ListSize

MAX_PAGE = 100  # rows of one list; of one whose size nothing tells as many are expected
MAX_COST = 12_000  # of one request: a full page of 100 rows, each with a full list of 100 and what goes with them
HIGHEST = 10**9  # a sum stops here: beyond every limit, and small for whatever adds on

MUTATION_WEIGHT = 10  # transactions, and perhaps a call to a channel, whatever is selected of the answer

_PAGE_ARGUMENTS = ("first", "last")
_COUNTED_ARGUMENTS = ("ids", "representations")  # a list of these gives as many objects
_ATTEMPT = "attempt"  # metadata of a field, see schema/cost.py


@dataclass(slots=True)
class Price:
    """How one field adds up. `size` is its own where no argument tells; `below` is None for leaves."""

    weight: int
    below: "Prices | None" = None
    is_list: bool = False
    size: int = MAX_PAGE
    slicing: frozenset[str] = frozenset()  # arguments that tell a size
    counted: frozenset[str] = frozenset()  # arguments whose length is the size
    is_page: bool = False  # of rows that fields below it show
    is_sized_above: bool = False  # by the argument of the connection
    is_attempt: bool = False  # a try at money or at a credential


@dataclass(slots=True)
class Prices:
    """The prices of one type's fields."""

    name: str
    is_abstract: bool
    fields: dict[str, Price] = field(default_factory=dict)


UNKNOWN = Price(1)  # validation will name it
TYPENAME = Price(0)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Every composite type of a schema by its name, and its roots by the operation's word."""

    types: Mapping[str, Prices]
    roots: Mapping[str, Prices | None]


def price_list(schema: GraphQLSchema) -> PriceList:
    """The prices of a schema. ValueError for @listSize about fields that are not there."""
    composite = {
        name: type_ for name, type_ in schema.type_map.items() if is_composite_type(type_) and not name.startswith("__")
    }
    types = {
        name: Prices(name, isinstance(type_, GraphQLInterfaceType | GraphQLUnionType))
        for name, type_ in composite.items()
    }
    sized: set[tuple[str, str]] = set()
    for name, type_ in composite.items():
        if not isinstance(type_, GraphQLUnionType):
            for field_name, one in type_.fields.items():
                types[name].fields[field_name] = _price(one, schema, types, sized, type_ is schema.mutation_type)
    for type_name, field_name in sized:
        if field_name not in types[type_name].fields:
            raise ValueError(f"@listSize names {type_name}.{field_name}, which is not there")
        types[type_name].fields[field_name].is_sized_above = True
    roots: dict[str, GraphQLObjectType | None] = {
        "query": schema.query_type, "mutation": schema.mutation_type, "subscription": schema.subscription_type,
    }  # fmt: skip
    return PriceList(types, {word: types[root.name] if root else None for word, root in roots.items()})


def _price(
    one: GraphQLField,
    schema: GraphQLSchema,
    types: Mapping[str, Prices],
    sized: set[tuple[str, str]],
    is_mutation: bool,
) -> Price:
    definition = one.extensions.get("strawberry-definition")
    directives = getattr(definition, "directives", None) or ()
    metadata = getattr(definition, "metadata", {})
    weights = _weights(one)
    sizes = [directive for directive in directives if isinstance(directive, ListSize)]
    below = types.get(get_named_type(one.type).name)
    if not weights and below is not None:
        weights = _weights(schema.type_map[below.name])
    usual = MUTATION_WEIGHT if is_mutation else 0 if below is None else 1
    price = Price(
        weights[0] if weights else usual,
        below,
        _is_list(one.type),
        slicing=frozenset(one.args) & frozenset(_PAGE_ARGUMENTS),
        counted=frozenset(one.args) & frozenset(_COUNTED_ARGUMENTS),
        is_attempt=bool(metadata.get(_ATTEMPT)),
    )
    if sizes:
        price.size = sizes[0].assumed_size or MAX_PAGE
        price.slicing = frozenset(sizes[0].slicing_arguments or ()) or price.slicing
        if below is not None and sizes[0].sized_fields:
            price.is_page = True
            sized |= {(below.name, name) for name in sizes[0].sized_fields}
    return price


def _weights(one: GraphQLField | GraphQLNamedType) -> list[int]:
    """What @cost says of a field or type, if it says anything."""
    directives = getattr(one.extensions.get("strawberry-definition"), "directives", None) or ()
    return [directive.weight for directive in directives if isinstance(directive, Cost)]


def _is_list(type_: Any) -> bool:
    return is_list_type(type_.of_type if is_non_null_type(type_) else type_)


# ---- sums --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Size:
    """A page size that variables tell, or some of it: the greatest of what is written and what is given."""

    written: int
    variables: tuple[str, ...]
    otherwise: int  # where a variable has no number


@dataclass(slots=True)
class Formula:
    """A cost that depends on variables: a number, and parts each taken so many times."""

    number: int = 0
    parts: "list[tuple[Size | int, Total]]" = field(default_factory=list)

    def add(self, cost: "Total") -> None:
        self.add_times(1, cost)

    def add_times(self, size: "Size | int", cost: "Total") -> None:
        if isinstance(size, int) and isinstance(cost, int):
            self.number = min(HIGHEST, self.number + size * cost)
        elif cost != 0 and size != 0:
            self.parts.append((size, cost))

    @property
    def total(self) -> "Total":
        return self if self.parts else self.number


Total = int | Formula


def evaluated(cost: Total, sizes: Mapping[str, int], memo: dict[int, int] | None = None) -> int:
    """What a cost comes to with these page sizes. Parts that are shared are worked out once."""
    if isinstance(cost, int):
        return cost
    memo = {} if memo is None else memo
    known = memo.get(id(cost))
    if known is None:
        known = cost.number
        for size, part in cost.parts:
            times = size if isinstance(size, int) else _given(size, sizes)
            known = min(HIGHEST, known + times * evaluated(part, sizes, memo))
        memo[id(cost)] = known
    return known


def _given(size: Size, sizes: Mapping[str, int]) -> int:
    return max(size.written, *(sizes.get(name, size.otherwise) for name in size.variables))
