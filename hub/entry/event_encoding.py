"""What a document wants of the events of the log, as a text with gaps for each kind of event, filled page by page.

A replay of a long log is this and little else. Whatever is not understood here (a directive, a field with arguments,
with a rule of its own or that asks the store) leaves the events of that kind to the executor, and so does a value that
the executor might refuse: both ways give the same bytes, or this way gives none.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import orjson
from graphql import (
    Executor,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLID,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    InlineFragmentNode,
    SelectionNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

from hub.domain.events import EVENTS, Logged
from hub.domain.money import Money
from hub.ports import Hub
from resolvers import events
from resolvers.execution import Attribute

ROOT, ENVELOPE = "events", "EventEnvelope"
STREAM, POSITION, TEXT = map(Logged._fields.index, ("stream", "position", "text"))
LARGEST_INT = 2**31 - 1
REMEMBERED = 512  # amounts of one field, as they were written: prices repeat

Encode = Callable[[Sequence[Logged]], list[bytes]]
Values = Sequence[Any]
# The JSON of one value of each event: what fills one gap, all down a page, made of the columns of the page's rows and
# of their bodies. Raises for a value that is out of order.
Column = Callable[[Sequence[Values], Sequence[dict[str, Any]]], Iterable[str]]
Template = Sequence[str | Column]


class NotPlain(Exception):
    """The executor must say what becomes of these events."""


def plain_encoder(executor: Executor[Any], hub: Hub) -> Encode | None:
    """The function for this operation, or None if the executor must run it. The function may raise NotPlain."""
    node = _root(executor)
    if node is None:
        return None
    plan, templates = _Plan(executor, hub, node), dict[str, Template | None]()

    def of_kind(kind: str, page: Sequence[Logged]) -> Iterator[bytes]:
        if kind not in templates:
            templates[kind] = plan.of_kind(kind)
        template = templates[kind]
        if template is None:
            raise NotPlain
        return _filled(template, page)

    def encoded(page: Sequence[Logged]) -> list[bytes]:
        kinds = {logged.kind for logged in page}
        try:
            if len(kinds) == 1:
                return [*of_kind(page[0].kind, page)]
            made = {kind: of_kind(kind, [logged for logged in page if logged.kind == kind]) for kind in kinds}
            return [next(made[logged.kind]) for logged in page]
        except Exception as fault:
            raise NotPlain from fault

    return encoded


def _filled(template: Template, page: Sequence[Logged]) -> Iterator[bytes]:
    """By columns: what is done for a whole page in one call costs next to nothing for each event."""
    rows = [*zip(*page, strict=True)]
    bodies = orjson.loads(f"[{','.join(rows[TEXT])}]")
    columns = [repeat(part, len(page)) if isinstance(part, str) else part(rows, bodies) for part in template]
    return map(str.encode, map("".join, zip(*columns, strict=True)))


def _root(executor: Executor[Any]) -> FieldNode | None:
    """The field of an operation that is nothing but the log."""
    [node, *more] = executor.operation.selection_set.selections
    is_one = isinstance(node, FieldNode) and not more and node.name.value == ROOT
    if not is_one or node.directives or executor.operation.directives:
        return None
    assert isinstance(node, FieldNode)
    return node


class _Plan:
    """Goes down the selections of one operation."""

    def __init__(self, executor: Executor[Any], hub: Hub, node: FieldNode) -> None:
        self._schema = executor.schema
        self._fragments = executor.fragment_definitions
        self._hub = hub
        self._node = node

    def of_kind(self, kind: str) -> Template | None:
        """None if the executor must say what becomes of these events."""
        key = self._node.alias.value if self._node.alias else ROOT
        try:
            parts = [f'{{"data":{{"{key}":', *self._object(ENVELOPE, [self._node], kind), "}}"]
        except (NotPlain, GraphQLError):
            return None
        return _merged(parts)

    def _object(self, type_name: str, nodes: list[FieldNode], kind: str) -> Iterator[str | Column]:
        type_ = self._schema.type_map.get(type_name)
        if not isinstance(type_, GraphQLObjectType):
            raise NotPlain
        before = "{"
        for key, fields in self._wanted(type_, nodes).items():
            yield f'{before}"{key}":'
            yield from self._field(type_, fields, kind)
            before = ","
        yield "}" if before == "," else "{}"

    def _wanted(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> dict[str, list[FieldNode]]:
        """The fields by response key, in the order in which they are met."""
        found: dict[str, list[FieldNode]] = {}
        for node in self._flat(type_, (one for whole in nodes for one in _selections(whole))):
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

    def _field(self, type_: GraphQLObjectType, nodes: list[FieldNode], kind: str) -> Iterator[str | Column]:
        name = nodes[0].name.value
        if name == "__typename":
            yield f'"{type_.name}"'
            return
        field = type_.fields[name]
        if nodes[0].arguments:
            raise NotPlain
        if not isinstance(field.resolve, Attribute):
            yield from self._resolved(field, nodes, kind)
            return
        attribute = field.extensions["strawberry-definition"].python_name
        before, write, after = _writer(field.type)
        yield before
        if type_.name == ENVELOPE:
            yield _of_row(Logged._fields.index(attribute), write)
        else:
            yield _of_body(attribute, write)
        yield after

    def _resolved(self, field: Any, nodes: list[FieldNode], kind: str) -> Iterator[str | Column]:
        """The few fields of an event that a function computes."""
        definition = field.extensions.get("strawberry-definition")
        resolver = definition.base_resolver.wrapped_func if definition and definition.base_resolver else None
        if "guarded" in field.resolve.__qualname__:
            raise NotPlain
        if resolver is events.cursor:
            seal_all = self._hub.cursors.seal_all
            yield from ('"', lambda rows, _: seal_all(rows[STREAM][0], rows[POSITION]), '"')
        elif resolver is events.payload and kind in EVENTS:
            yield from self._object(EVENTS[kind].__name__, nodes, kind)
        elif resolver is events.amount:
            yield self._amount(get_named_type(field.type), nodes)
        else:
            raise NotPlain

    def _amount(self, type_: Any, nodes: list[FieldNode]) -> Column:
        members = [(key, _member(type_, fields[0])) for key, fields in self._wanted(type_, nodes).items()]

        @lru_cache(maxsize=REMEMBERED, typed=True)
        def written(amount_minor: int, currency: str) -> str:
            money = Money(amount_minor, currency)
            return orjson.dumps({key: read(money) for key, read in members}).decode()

        return lambda _, bodies: [written(body["amount_minor"], body["currency"]) for body in bodies]


def _merged(parts: Iterable[str | Column]) -> Template:
    """Texts that stand side by side as one."""
    merged, text = list[str | Column](), ""
    for part in parts:
        if isinstance(part, str):
            text += part
        else:
            merged += [text, part]
            text = ""
    return [*merged, text]


def _selections(node: FieldNode) -> Iterable[SelectionNode]:
    return node.selection_set.selections if node.selection_set else ()


def _member(type_: Any, node: FieldNode) -> Callable[[Money], object]:
    """Of an amount."""
    if node.name.value == "__typename":
        return lambda _money: type_.name
    field = type_.fields[node.name.value]
    if not isinstance(field.resolve, Attribute):
        raise NotPlain
    read, coerce = field.resolve.read, get_named_type(field.type).coerce_output_value
    return lambda money: coerce(read(money))


# ---- leaves ---------------------------------------------------------------------------------------------------------

Write = Callable[[Values], Iterable[str]]


def _of_row(place: int, write: Write) -> Column:
    return lambda rows, _: write(rows[place])


def _of_body(key: str, write: Write) -> Column:
    return lambda _, bodies: write([body[key] for body in bodies])


def _writer(type_: GraphQLOutputType) -> tuple[str, Write, str]:
    """Writes values as their scalar or enum does, and what stands around each; raises where the executor might."""
    if not isinstance(type_, GraphQLNonNull):
        return "", _each(type_, is_nullable=True), ""
    if type_.of_type in (GraphQLID, GraphQLString):
        return '"', _texts, '"'  # most are
    if type_.of_type is GraphQLInt:
        return "", _ints, ""
    return "", _each(type_.of_type, is_nullable=False), ""


def _texts(values: Values) -> Iterable[str]:
    """As they stand between quotes. A TypeError if one is no text."""
    together = "".join(values)
    if len(orjson.dumps(together)) == len(together.encode()) + 2:
        return values  # there is nothing to escape
    return [orjson.dumps(value)[1:-1].decode() for value in values]


def _ints(values: Values) -> Iterable[str]:
    if {*map(type, values)} != {int} or min(values) < -LARGEST_INT - 1 or max(values) > LARGEST_INT:
        raise NotPlain
    return map(str, values)


def _each(type_: Any, *, is_nullable: bool) -> Write:
    """What repeats down a page, as states and moments do, is written once."""
    if not is_leaf_type(type_):
        raise NotPlain

    def written(value: Any) -> str:
        if value is None and is_nullable:
            return "null"
        if value is None or (coerced := type_.coerce_output_value(value)) is None:
            raise NotPlain
        return orjson.dumps(coerced).decode()

    def write(values: Values) -> Iterable[str]:
        if len({*map(type, values)} - {type(None)}) > 1:
            raise NotPlain  # equal ones of two types may be written differently
        known = {value: written(value) for value in {*values}}
        return map(known.__getitem__, values)

    return write
