"""What a document wants of an event of the log, as one plain function from the row to the JSON of its result.

A replay of a long log is this function and little else. Whatever is not understood here (a directive, a field with
arguments, with a rule of its own or that asks the store) leaves the whole document to the executor, and so does a value
that the executor might refuse: both ways give the same bytes, or this way gives none.
"""

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import orjson
from graphql import (
    Executor,
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLID,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLString,
    InlineFragmentNode,
    SelectionNode,
    get_named_type,
    is_abstract_type,
    is_list_type,
)

from hub.domain.events import EVENTS, Logged
from hub.domain.money import Money
from hub.ports import Hub
from resolvers import events
from resolvers.execution import Attribute

ROOT, ENVELOPE = "events", "EventEnvelope"
LARGEST_INT = 2**31 - 1

Getter = Callable[[Any], Any]
EncodeEvent = Callable[[Logged], bytes]


class NotPlain(Exception):
    """The executor must say what becomes of this."""


def plain_encoder(executor: Executor[Any], hub: Hub) -> EncodeEvent | None:
    """The function for this operation, or None if the executor must run it. The function may raise NotPlain."""
    root = executor.schema.subscription_type
    try:
        assert root is not None
        [node] = executor.operation.selection_set.selections
        if not isinstance(node, FieldNode) or node.name.value != ROOT:
            return None
        if node.directives or executor.operation.directives:
            return None
        field = root.fields[ROOT]
        if get_named_type(field.type).name != ENVELOPE or node.selection_set is None:
            return None
        envelope = _Plan(executor, hub).of_type(get_named_type(field.type), [node])
    except (NotPlain, ValueError):
        return None
    key = node.alias.value if node.alias else ROOT

    def encoded(logged: Logged) -> bytes:
        try:
            return orjson.dumps({"data": {key: envelope(logged)}})
        except Exception as fault:
            raise NotPlain from fault

    return encoded


class _Plan:
    """Goes down the selections of one operation."""

    def __init__(self, executor: Executor[Any], hub: Hub) -> None:
        self._schema = executor.schema
        self._fragments = executor.fragment_definitions
        self._hub = hub

    def of_type(self, type_: Any, nodes: list[FieldNode], *, is_body: bool = False) -> Getter:
        """From an object to the values that these fields' selections want of it."""
        if not isinstance(type_, GraphQLObjectType):
            raise NotPlain
        wanted = self._wanted(type_, (one for node in nodes for one in _selections(node)))
        texts = {key: text for key, fields in wanted.items() if (text := _text_of(type_, fields[0])) is not None}
        if len(texts) < 2:
            texts = {}  # one alone is no tuple
        others = [
            (key, self._field(type_, fields, is_body=is_body)) for key, fields in wanted.items() if key not in texts
        ]
        if not texts:
            return lambda value: {key: get(value) for key, get in others}
        read = (itemgetter if is_body else attrgetter)(*(text.attribute for text in texts.values()))
        in_order = dict.fromkeys(wanted)
        kinds = [str] * len(texts)

        def get_all(value: Any) -> dict[str, Any]:
            found = read(value)
            if [*map(type, found)] != kinds:
                _demand(found, texts.values())
            told = in_order.copy()
            told.update(zip(texts, found, strict=True))
            for key, get in others:
                told[key] = get(value)
            return told

        return get_all

    def _wanted(self, type_: GraphQLObjectType, selections: Iterable[SelectionNode]) -> dict[str, list[FieldNode]]:
        """The fields by response key, in the order in which they are met."""
        found: dict[str, list[FieldNode]] = {}
        for node in self._flat(type_, selections):
            found.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        return found

    def _flat(self, type_: GraphQLObjectType, selections: Iterable[SelectionNode]) -> Iterator[FieldNode]:
        for node in selections:
            if node.directives:
                raise NotPlain
            if isinstance(node, FieldNode):
                yield node
                continue
            assert isinstance(node, InlineFragmentNode | FragmentSpreadNode)
            spread = node if isinstance(node, InlineFragmentNode) else self._fragments[node.name.value]
            if spread.directives or getattr(spread, "variable_definitions", ()):
                raise NotPlain
            condition = spread.type_condition
            if condition is None or self._is_a(type_, condition.name.value):
                yield from self._flat(type_, spread.selection_set.selections)

    def _is_a(self, type_: GraphQLObjectType, name: str) -> bool:
        named = self._schema.type_map[name]
        return named is type_ or (is_abstract_type(named) and self._schema.is_sub_type(named, type_))

    def _field(self, type_: GraphQLObjectType, nodes: list[FieldNode], *, is_body: bool) -> Getter:
        name = nodes[0].name.value
        if name == "__typename":
            return lambda _value: type_.name
        field = type_.fields[name]
        if nodes[0].arguments:
            raise NotPlain
        if isinstance(field.resolve, Attribute):
            attribute = field.extensions["strawberry-definition"].python_name
            return _leaf(field.type, attribute, is_body=is_body)
        return self._resolved(field, nodes)

    def _resolved(self, field: Any, nodes: list[FieldNode]) -> Getter:
        """The few fields of an event that a function computes."""
        definition = field.extensions.get("strawberry-definition")
        resolver = definition.base_resolver.wrapped_func if definition and definition.base_resolver else None
        if "guarded" in field.resolve.__qualname__:
            raise NotPlain
        if resolver is events.cursor:
            seal = self._hub.cursors.seal
            return lambda logged: seal(logged.stream, logged.position)
        if resolver is events.payload:
            return self._payload(nodes)
        if resolver is events.amount:
            money = self.of_type(get_named_type(field.type), nodes)
            return lambda body: money(Money(body["amount_minor"], body["currency"]))
        raise NotPlain

    def _payload(self, nodes: list[FieldNode]) -> Getter:
        """By kind; the body's keys are the event's attributes."""
        by_kind = {
            kind: self.of_type(self._schema.type_map[event.__name__], nodes, is_body=True)
            for kind, event in EVENTS.items()
            if event.__name__ in self._schema.type_map
        }

        def payload(logged: Logged) -> Any:
            get = by_kind.get(logged.kind)
            if get is None:
                raise NotPlain
            return get(logged.body)

        return payload


def _selections(node: FieldNode) -> Iterable[SelectionNode]:
    return node.selection_set.selections if node.selection_set else ()


# ---- leaves ---------------------------------------------------------------------------------------------------------


class _Text(NamedTuple):
    """A leaf that is written as it is: most are, and are read together."""

    attribute: str
    is_nullable: bool


def _text_of(type_: GraphQLObjectType, node: FieldNode) -> _Text | None:
    field = type_.fields.get(node.name.value)
    if field is None or node.arguments or not isinstance(field.resolve, Attribute):
        return None
    is_nullable = not isinstance(field.type, GraphQLNonNull)
    if (field.type if is_nullable else field.type.of_type) not in (GraphQLID, GraphQLString):
        return None
    return _Text(field.extensions["strawberry-definition"].python_name, is_nullable)


def _demand(found: Iterable[object], texts: Iterable[_Text]) -> None:
    """Raises NotPlain unless each is a text, or null where it may be."""
    for value, text in zip(found, texts, strict=True):
        if type(value) is not str and not (value is None and text.is_nullable):
            raise NotPlain


def _leaf(type_: Any, attribute: str, *, is_body: bool) -> Getter:
    """Read an attribute and write it as its scalar or enum does."""
    if is_list_type(type_) or is_list_type(getattr(type_, "of_type", None)):
        raise NotPlain
    is_nullable = not isinstance(type_, GraphQLNonNull)
    write = _written(get_named_type(type_))

    def get(value: Any) -> Any:
        try:
            found = value[attribute] if is_body else getattr(value, attribute)
        except (KeyError, AttributeError):
            raise NotPlain from None
        if found is None:
            if is_nullable:
                return None
            raise NotPlain
        return write(found)

    return get


def _written(type_: Any) -> Callable[[Any], Any]:
    if isinstance(type_, GraphQLEnumType):
        return _member(type_)
    if not isinstance(type_, GraphQLScalarType):
        raise NotPlain
    if type_.name in ("ID", "String"):
        return _text
    if type_.name == "Int":
        return _int
    coerce: Callable[[Any], Any] = type_.coerce_output_value
    return coerce


def _text(value: Any) -> str:
    if type(value) is not str:
        raise NotPlain
    return value


def _int(value: Any) -> int:
    if type(value) is not int or not -LARGEST_INT - 1 <= value <= LARGEST_INT:
        raise NotPlain
    return value


def _member(type_: GraphQLEnumType) -> Callable[[Any], Any]:
    """Each member's word, found once."""
    known: dict[str, str] = {}

    def word(value: Any) -> str:
        found = known.get(value)
        if found is None:
            found = type_.coerce_output_value(value)
            known[value] = found
        return found

    return word
