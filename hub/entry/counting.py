"""What an answer came to: its objects, counted by the prices of their fields and by the lengths that lists have."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode
from graphql.language import InlineFragmentNode
from graphql.utilities import get_operation_ast

from hub.entry.pricing import TYPENAME, UNKNOWN, PriceList, Prices

# Response key → weight, and what counts below it. Keys that cost nothing, themselves and below, are left out, so that
# a page of rows without relations is counted by its length.
Counting = dict[str, tuple[int, "Counting"]]
Place = tuple[SelectionSetNode, Prices | None]


def spent(data: Mapping[str, Any], counting: "Counting") -> int:
    """What an answer's objects cost: never more than was requested for them."""
    total = 0
    for key, (weight, below) in counting.items():
        value = data.get(key)
        if value is None:
            continue
        if isinstance(value, list):
            total += weight * len(value)
            if below:
                total += sum(spent(item, below) for item in value if item is not None)
        else:
            total += weight + (spent(value, below) if below else 0)
    return total


def counting_of(document: DocumentNode, operation: str | None, prices: PriceList) -> Counting:
    """How to count the answers of an operation of a valid document."""
    node = get_operation_ast(document, operation)
    if node is None:
        return {}
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    return _counted([(node.selection_set, prices.roots.get(node.operation.value))], fragments, prices)


Fragments = Mapping[str, FragmentDefinitionNode]


def _counted(places: list[Place], fragments: Fragments, prices: PriceList) -> Counting:
    weights: dict[str, int] = {}
    below: dict[str, list[Place]] = {}
    for node, of in _fields(places, fragments, prices):
        name = node.name.value
        price = (of.fields.get(name) if of else None) or (TYPENAME if name.startswith("__") else UNKNOWN)
        key = node.alias.value if node.alias else name
        weights[key] = max(weights.get(key, 0), price.weight)
        if node.selection_set is not None:
            below.setdefault(key, []).append((node.selection_set, price.below))
    found = {key: (weight, _counted(below.get(key, []), fragments, prices)) for key, weight in weights.items()}
    return {key: counted for key, counted in found.items() if counted[0] or counted[1]}


def _fields(places: list[Place], fragments: Fragments, prices: PriceList) -> Iterator[tuple[FieldNode, Prices | None]]:
    """Every field of these selections with its type, fragments put in, each once."""
    seen: set[str] = set()
    waiting = list(places)
    while waiting:
        selection_set, of = waiting.pop()
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                yield selection, of
                continue
            if isinstance(selection, FragmentSpreadNode):
                if selection.name.value in seen:
                    continue
                seen.add(selection.name.value)
                part: FragmentDefinitionNode | InlineFragmentNode = fragments[selection.name.value]
            else:
                assert isinstance(selection, InlineFragmentNode)
                part = selection
            condition = part.type_condition
            waiting.append((part.selection_set, prices.types.get(condition.name.value) if condition else of))
