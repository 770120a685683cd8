"""Which subscribers are alike: those to whom every event of a stream gives the same bytes."""

from collections.abc import Hashable, Mapping
from dataclasses import replace

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    Node,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
)

from resolvers.events import Following
from resolvers.execution import PlainFirst

CURSOR = "after"  # the one argument in which like subscribers may differ


def likeness(
    executor: PlainFirst, query: str, variables: Mapping[str, object] | None, following: Following
) -> Hashable:
    """Equal for two subscribers only if every event gives both the same bytes."""
    document = DocumentNode(definitions=(executor.operation, *executor.fragment_definitions.values()))
    cursor = _cursor_variable(executor.operation, document)
    rest = {name: value for name, value in (variables or {}).items() if name != cursor}
    name = executor.operation.name.value if executor.operation.name else None
    return (
        query,
        name,
        orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode(),
        following.stream,
        replace(following.viewer, expires_at_us=None),
    )


def _cursor_variable(operation: OperationDefinitionNode, document: DocumentNode) -> str | None:
    """The variable that is the root field's cursor and nothing else; None if there is none, or it has another use."""
    fields = operation.selection_set.selections
    if len(fields) != 1 or not isinstance(fields[0], FieldNode):
        return None
    for argument in fields[0].arguments or ():
        if argument.name.value == CURSOR and isinstance(argument.value, VariableNode):
            name = argument.value.name.value
            return name if _uses(document, name) == 1 else None
    return None


def _uses(node: Node, name: str) -> int:
    """How often a variable is used below a node, its own definition aside."""
    if isinstance(node, VariableNode):
        return int(node.name.value == name)
    if isinstance(node, VariableDefinitionNode):
        return 0
    count = 0
    for key in node.keys:
        below = getattr(node, key)
        for child in below if isinstance(below, tuple | list) else (below,):
            if isinstance(child, Node):
                count += _uses(child, name)
    return count
