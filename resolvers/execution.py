"""Plain values are read in one loop; every other field goes graphql-core's own way.

Most of what a long page costs is what graphql-core does around each attribute: it builds a description of the field for
a resolver that asks for none, arguments where there are none, and looks three times whether a string can be awaited.
What it decides, it still decides: an object with a value that is out of order is executed by it from the beginning, so
that its errors are the ones that clients get.

Deferred fragments are deferred only for who takes an answer in parts; for everybody else they come with the rest.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLNonNull, GraphQLObjectType, GraphQLOutputType, Undefined, is_leaf_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from resolvers.context import GATEWAY_FIELDS


class Attribute:
    """A resolver that does nothing but read: it may be passed by."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[Any], object]) -> None:
        self.read = read

    def __call__(self, row: object, _info: object) -> object:
        return self.read(row)


@dataclass(frozen=True, slots=True)
class _Leaf:
    name: str  # in the answer
    read: Callable[[Any], object]
    coerce: Callable[[Any], object]
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """A selection of one type: its plain leaves, and what else there is."""

    selection: Any  # kept, so that its identity stays its own
    leaves: tuple[_Leaf, ...]
    others: dict[str, Any]
    names: tuple[str, ...]  # all of them, in the order of the document


class _OutOfOrder(Exception):
    """A null where there may be none, or a value that its scalar does not take."""


class PlainFirst(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation."""

    _plans: dict[tuple[str, int], _Plan] | None = None
    _is_deferring = False

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,
        grouped_field_set: Any,
        serially: bool,
        new_defer_usages: Any,
    ) -> Any:
        """Decides for the whole operation. A gateway's own fields are never deferred: it puts the answer together."""
        if getattr(self.context_value, "parts", None) is not None:
            names = {details[0].node.name.value for details in grouped_field_set.values()}
            self._is_deferring = not names & GATEWAY_FIELDS
        usages = new_defer_usages if self._is_deferring else ()
        return super().execute_collected_root_fields(root_type, root_value, grouped_field_set, serially, usages)

    def execute_collected_subfields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: Any,
        new_defer_usages: Any,
        delivery_group_map: Any,
    ) -> Any:
        usages = new_defer_usages if self._is_deferring else ()
        return super().execute_collected_subfields(
            parent_type, source_value, path, grouped_field_set, usages, delivery_group_map
        )

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        plan = self._plan(parent_type, grouped_field_set)
        if not plan.leaves:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        try:
            values = {leaf.name: _value(leaf, source_value) for leaf in plan.leaves}
        except Exception:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        if not plan.others:
            return values
        others = super().execute_fields(parent_type, source_value, path, plan.others, position_context)
        return _joined(plan, values, others) if isinstance(others, dict) else _awaited(plan, values, others)

    def _plan(self, parent_type: GraphQLObjectType, selection: Any) -> _Plan:
        """Made once for each selection: a list of rows has one."""
        if self._plans is None:
            self._plans = {}
        key = (parent_type.name, id(selection))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _planned(parent_type, selection)
        return plan


def _planned(parent_type: GraphQLObjectType, selection: dict[str, Any]) -> _Plan:
    leaves = []
    for name, details in selection.items():
        field = parent_type.fields.get(details[0].node.name.value)
        if field is not None and isinstance(field.resolve, Attribute) and not field.args:
            kind, is_nullable = _unwrapped(field.type)
            if is_leaf_type(kind):
                leaves.append(_Leaf(name, field.resolve.read, kind.coerce_output_value, is_nullable))
    plain = {leaf.name for leaf in leaves}
    others = {name: details for name, details in selection.items() if name not in plain}
    return _Plan(selection, tuple(leaves), others, tuple(selection))


def _unwrapped(kind: GraphQLOutputType) -> tuple[Any, bool]:
    return (kind.of_type, False) if isinstance(kind, GraphQLNonNull) else (kind, True)


def _value(leaf: _Leaf, source: object) -> object:
    value = leaf.read(source)
    if value is None and leaf.is_nullable:
        return None
    told = leaf.coerce(value) if value is not None else None
    if told is None or told is Undefined or isinstance(value, Exception):
        raise _OutOfOrder
    return told


def _joined(plan: _Plan, values: dict[str, object], others: dict[str, object]) -> dict[str, object]:
    """Both in the order of the document; a field that graphql-core left out stays out."""
    both = values | others
    return {name: both[name] for name in plan.names if name in both}


async def _awaited(plan: _Plan, values: dict[str, object], others: Awaitable[dict[str, object]]) -> dict[str, object]:
    return _joined(plan, values, await others)
