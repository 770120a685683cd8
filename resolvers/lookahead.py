"""What a field's selection wants of the objects below it, read off the document before anything is read from the store.

Wants are dotted paths of snake_case names, all fragments merged, @skip and @include not looked at: reading a relation
too many is allowed, one too few is not. A field with arguments is named `field@key` by its response key, and its window
stands beside the paths.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode, value_from_ast_untyped

from hub.domain.people import Viewer
from resolvers.errors import GatekeepingError
from resolvers.paging import Listed, Window, window_of

if TYPE_CHECKING:
    from resolvers.context import Info


@dataclass(frozen=True, slots=True)
class Wanted:
    """Paths, and the windows of the connections among them."""

    paths: frozenset[str]
    windows: dict[str, Window]

    def below(self, name: str) -> "Wanted":
        """What is wanted of the object in this field."""
        start = f"{name}."
        return Wanted(
            frozenset(path.removeprefix(start) for path in self.paths if path.startswith(start)),
            {path.removeprefix(start): window for path, window in self.windows.items() if path.startswith(start)},
        )

    def __contains__(self, name: str) -> bool:
        return any(path == name or path.startswith(f"{name}.") for path in self.paths)


def wanted(info: "Info") -> Wanted:
    """What the field that is being resolved wants of its value."""
    paths: set[str] = set()
    windows: dict[str, Window] = {}
    raw = info._raw_info
    for node in raw.field_nodes:
        if node.selection_set is not None:
            _walk(info, node.selection_set.selections, "", "", paths, windows)
    return Wanted(frozenset(paths), windows)


def nested_list(field: str, viewer: Viewer) -> Listed:
    """The list behind a connection that stands on an object: newest first, cursors good for this viewer alone."""
    return Listed(f"{field}:{viewer.principal}")


def _walk(
    info: "Info", selections: Iterable[SelectionNode], at: str, row_at: str, paths: set[str], windows: dict[str, Window]
) -> None:
    """`at` is the path in the document; `row_at` the same without the connections' own levels, as windows are named."""
    for node in _fields(info, selections):
        name = snake_case(node.name.value)
        key = name
        if node.arguments:
            key = f"{name}@{node.alias.value if node.alias else node.name.value}"
        path = f"{at}{key}"
        row_path = row_at if name in ("nodes", "edges", "node") or name in _THROUGH else f"{row_at}{key}."
        paths.add(path)
        if node.arguments:
            window = _window(info, name, node)
            if window is None:
                continue  # its own resolver will say why
            windows[row_path.removesuffix(".")] = window
        if node.selection_set is not None:
            _walk(info, node.selection_set.selections, f"{path}.", row_path, paths, windows)


# Names that lead to the same row: what is below hangs on the row above.
_THROUGH = frozenset({"payment_intent"})


def _window(info: "Info", field: str, node: FieldNode) -> Window | None:
    values = {
        argument.name.value: value_from_ast_untyped(argument.value, info.variable_values)
        for argument in node.arguments or ()
    }
    context = info.context
    try:
        return window_of(
            context.hub.cursors,
            nested_list(field, context.viewer),
            *(values.get(name) for name in ("first", "after", "last", "before")),
        )
    except GatekeepingError:
        return None


def _fields(info: "Info", selections: Iterable[SelectionNode]) -> Iterator[FieldNode]:
    for node in selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(info, node.selection_set.selections)
        elif isinstance(node, FragmentSpreadNode):
            yield from _fields(info, info._raw_info.fragments[node.name.value].selection_set.selections)


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """`anchorBatch` → `anchor_batch`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
