"""Fills the `idempotencyKey` of a mutation's input from the header `Idempotency-Key`, before anything is coerced.

The field stays required in the schema. A document that has no place for the key is given a variable for it, so that
its text is one whatever the key is, and is parsed and validated once like any other.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
    parse,
    value_from_ast_untyped,
)

from hub.domain.ids import MAX_IDEMPOTENCY_KEY
from hub.entry.limits import MAX_NESTING, MAX_TOKENS

HEADER = "idempotency-key"
FIELD = "idempotencyKey"
MAX_REMEMBERED = 128  # documents that were looked through; each has at most 32 KiB, twice where it was rewritten


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document takes its key: in a variable, in an object that is one, or as a text that is written there."""

    text: str
    variable: str | None = None
    is_object: bool = False
    written: str | None = None
    default: Any = None  # of the variable


def key_of(values: Sequence[str]) -> str | None:
    """The key in the header's values, plain or in the quotes of a structured field; None without the header.

    Raises GraphQLError (BAD_USER_INPUT) for one that cannot be.
    """
    if not values:
        return None
    try:
        key = values[0].encode("latin-1").decode("utf-8").strip()
    except UnicodeDecodeError:
        key = ""
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if len(values) > 1 or not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY:
        raise _refused(f"the header Idempotency-Key comes once and has 1 to {MAX_IDEMPOTENCY_KEY} characters")
    return key


@dataclass(slots=True)
class KeyPlaces:
    """Where the documents that were used last take their key. One per app."""

    schema: GraphQLSchema
    _known: "OrderedDict[tuple[str, str | None], Place | None]" = field(default_factory=OrderedDict)

    def filled(
        self, text: str, operation_name: str | None, variables: Mapping[str, Any] | None, key: str
    ) -> tuple[str, dict[str, Any] | None]:
        """Document and variables with the key in its place; as they were where the operation takes none.

        Raises GraphQLError (BAD_USER_INPUT) where another key stands there already, and for several mutations.
        """
        place, given = self._place(text, operation_name), dict(variables or {})
        if place is None:
            return text, given
        if place.variable is None:
            _same(place.written, key)
        elif not place.is_object:
            given[place.variable] = _same(given.get(place.variable, place.default), key)
        elif isinstance(value := given.get(place.variable, place.default), dict):
            given[place.variable] = {**value, FIELD: _same(value.get(FIELD), key)}
        return place.text, given

    def _place(self, text: str, operation_name: str | None) -> Place | None:
        known = (text, operation_name)
        if known in self._known:
            self._known.move_to_end(known)
            return self._known[known]
        try:
            document = parse(text, max_tokens=MAX_TOKENS)
        except GraphQLError:
            return None  # told by whoever executes it
        operation = _operation(document, operation_name)
        if operation is None or operation.operation is not OperationType.MUTATION:
            return None
        place = self._known[known] = self._in_operation(text, document, operation)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return place

    def _in_operation(self, text: str, document: DocumentNode, operation: OperationDefinitionNode) -> Place | None:
        fields = list(_fields(operation.selection_set, document, set(), 0))
        taking = [(node, value) for node in fields if (value := self._input(node))]
        if not taking:
            return None
        if len(fields) > 1:
            raise _refused("the header Idempotency-Key is for one mutation alone: write the keys into the inputs")
        value = taking[0][1]
        if isinstance(value, VariableNode):
            return _in_variable(text, value, operation, is_object=True)
        if not isinstance(value, ObjectValueNode):
            return None
        for each in value.fields:
            if each.name.value == FIELD:
                return _in_literal(text, each.value, operation)
        return _rewritten(text, value, operation)

    def _input(self, node: FieldNode) -> ValueNode | None:
        """The value of a mutation's `input`, if that has an idempotencyKey."""
        mutation = self.schema.mutation_type
        definition = mutation.fields.get(node.name.value) if mutation else None
        if definition is None or "input" not in definition.args:
            return None
        type_ = get_named_type(definition.args["input"].type)
        if not isinstance(type_, GraphQLInputObjectType) or FIELD not in type_.fields:
            return None
        return next((each.value for each in node.arguments or () if each.name.value == "input"), None)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation that will run; None where that is an error, to be told by whoever executes it."""
    found = [
        each
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode) and (name is None or (each.name and each.name.value == name))
    ]
    return found[0] if len(found) == 1 else None


def _fields(selected: SelectionSetNode, document: DocumentNode, seen: set[str], level: int) -> Iterator[FieldNode]:
    """The mutations of an operation, each fragment looked into once; none below what the limits let through."""
    for selection in selected.selections if level < MAX_NESTING else ():
        if isinstance(selection, FieldNode):
            if not selection.name.value.startswith("__"):
                yield selection
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in seen:
                seen.add(name)
                for each in document.definitions:
                    if isinstance(each, FragmentDefinitionNode) and each.name.value == name:
                        yield from _fields(each.selection_set, document, seen, level + 1)
        elif isinstance(selection, InlineFragmentNode):
            yield from _fields(selection.selection_set, document, seen, level + 1)


def _in_variable(text: str, node: VariableNode, operation: OperationDefinitionNode, *, is_object: bool) -> Place:
    name = node.name.value
    for definition in operation.variable_definitions or ():
        if definition.variable.name.value == name and definition.default_value:
            return Place(text, name, is_object, default=value_from_ast_untyped(definition.default_value))
    return Place(text, name, is_object)


def _in_literal(text: str, value: ValueNode, operation: OperationDefinitionNode) -> Place | None:
    if isinstance(value, VariableNode):
        return _in_variable(text, value, operation, is_object=False)
    return Place(text, written=value.value) if isinstance(value, StringValueNode) else None


def _rewritten(text: str, literal: ObjectValueNode, operation: OperationDefinitionNode) -> Place:
    """The document with a variable for the key, in places that are known by their offset in the text."""
    name = FIELD
    while name in text:
        name += "_"
    assert literal.loc
    assert operation.loc
    inserted = {literal.loc.end - 1: f" {FIELD}: ${name}"}
    if operation.variable_definitions:
        last = operation.variable_definitions[-1].loc
        assert last
        inserted[last.end] = f" ${name}: String!"
    else:
        word = operation.name.loc if operation.name else None
        inserted[word.end if word else operation.loc.start + len("mutation")] = f"(${name}: String!)"
    for offset in sorted(inserted, reverse=True):
        text = text[:offset] + inserted[offset] + text[offset:]
    return Place(text, name)


def _same(given: Any, key: str) -> Any:
    """The key where none is given. What is no text is left as it is: coercion names its type."""
    if isinstance(given, str) and given != key:
        raise _refused("the header Idempotency-Key and the input's idempotencyKey are two keys")
    return key if given is None else given


def _refused(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})
