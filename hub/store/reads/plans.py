"""Reads as data: a noun says what its rows hold, who may see them and what hangs on them; statements follow from that.

Whoever reads names the relations that are wanted. To-one relations are joined into the statement of their parent,
to-many relations are one statement for all parents of a page, so a read of n objects makes a number of statements that
does not depend on n. Wherever a noun stands (list, node, nested, joined) its one predicate `visible` stands with it.
Statements are made once per shape and held in bounded caches: values are only ever binds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import BigInteger, BindParameter, Table, bindparam, func, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, FromClause
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import Text

from hub.domain.people import Viewer, ViewerKind
from hub.store.metadata import is_one_of

if TYPE_CHECKING:
    from hub.store.transactions import Rx

# Rows of one to-many relation of one parent, where the relation is no connection: more than any real object has.
MAX_LIST = 100
# Shapes of reads kept: their text comes from clients, so the number is bounded.
MAX_SHAPES = 512

Predicate = Callable[[FromClause, ViewerKind], ColumnElement[bool]]


class bytewise(FunctionElement[str]):
    """Text compared by its bytes on both engines; PostgreSQL alone would ask its locale."""

    type = Text()
    inherit_cache = True


@compiles(bytewise, "sqlite")
def _by_default(element: bytewise, compiler: Any, **kwargs: Any) -> str:
    return str(compiler.process(next(iter(element.clauses)), **kwargs))


@compiles(bytewise, "postgresql")
def _by_c(element: bytewise, compiler: Any, **kwargs: Any) -> str:
    return f'({compiler.process(next(iter(element.clauses)), **kwargs)} COLLATE "C")'


@dataclass(frozen=True, slots=True)
class Sorting:
    """Columns that a list is sorted by, the id last, all in one direction."""

    columns: tuple[str, ...] = ("created_at_us", "id")
    is_descending: bool = True


class Window(Protocol):
    """Part of a list: `size` rows after (is_forward) or before the row with sort values `edge`, else from an end."""

    @property
    def size(self) -> int: ...
    @property
    def is_forward(self) -> bool: ...
    @property
    def edge(self) -> tuple[str | int | None, ...] | None: ...


class Row(Protocol):
    """What every read row is: frozen columns, and the relations that were wanted, by name."""

    @property
    def joined(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of one window in the list's order; `total` is counted when it was wanted."""

    rows: list[Any]
    has_more: bool
    total: int | None = None


@dataclass(frozen=True, slots=True)
class ToOne:
    """Another noun's row of which there is at most one. `on` joins (parent, child)."""

    noun: str
    on: Callable[[FromClause, FromClause], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class ToMany:
    """Another noun's rows by parent. `owner` is the child's column that names the parent's `key`; `link` joins a table
    that holds it where the child does not. `is_paged` relations are connections, others whole lists up to `most`."""

    noun: str
    owner: str
    key: Callable[[Any], str | None]
    sorting: Sorting = Sorting()
    is_paged: bool = False
    link: Callable[[FromClause], tuple[FromClause, ColumnElement[bool]]] | None = None
    most: int = MAX_LIST


@dataclass(frozen=True, eq=False, slots=True)
class Noun:
    """One kind of read row: `row`'s fields name the table's columns, but for `computed` ones and `joined`.

    `needs` says which relation a selected name stands on, `through` which names lead to the same row, `always` which
    relations every row of it carries.
    """

    name: str
    table: Table
    row: type[Any]
    visible: Predicate
    ones: Mapping[str, ToOne] = field(default_factory=dict)
    manys: Mapping[str, ToMany] = field(default_factory=dict)
    computed: Mapping[str, Callable[[FromClause, ViewerKind], ColumnElement[Any]]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    through: frozenset[str] = frozenset()
    always: frozenset[str] = frozenset()
    by_key: Predicate = lambda alias, _kind: is_one_of(alias.c.id, "keys")
    filters: Mapping[str, Predicate] = field(default_factory=dict)

    def columns(self, alias: FromClause, kind: ViewerKind) -> list[ColumnElement[Any]]:
        return [
            self.computed[column.name](alias, kind) if column.name in self.computed else alias.c[column.name]
            for column in fields(self.row)
            if column.name != "joined"
        ]


NOUNS: dict[str, Noun] = {}


def known(noun: Noun) -> Noun:
    """Put a noun where relations find it by name: they form loops, modules may not."""
    NOUNS[noun.name] = noun
    return noun


# ---- reading ---------------------------------------------------------------------------------------------------

Want = frozenset[str]
NOTHING: Want = frozenset()
Windows = Mapping[str, Window]


async def load(
    rx: "Rx", noun: str, keys: Sequence[str], viewer: Viewer, want: Want = NOTHING, windows: Windows | None = None
) -> list[Any]:
    """The rows under `keys`, in their order; None for each that is not there or that this viewer may not see."""
    tree = _tree(noun, want)
    shape = _by_keys(tree, viewer.kind)
    rows = await _rows(rx, shape, viewer, keys=list(dict.fromkeys(keys)))
    found = {row.id: row for row in rows}
    await _fill(rx, tree, rows, viewer, windows or {})
    return [found.get(key) for key in keys]


async def page(
    rx: "Rx", noun: str, viewer: Viewer, window: Window, want: Want = NOTHING, windows: Windows | None = None, *,
    sorting: Sorting = Sorting(), filters: Mapping[str, Any] | None = None,
) -> Slice:  # fmt: skip
    """One window of all rows that the viewer may see and the filters let through; `total_count` in `want` counts."""
    filters = filters or {}
    names = tuple(sorted(filters))
    tree = _tree(noun, _within(want))
    shape = _paged(tree, viewer.kind, names, sorting, window.is_forward, window.edge is not None)
    rows = await _rows(rx, shape, viewer, limit=window.size + 1, **_edge(window), **filters)
    has_more = len(rows) > window.size
    rows = rows[: window.size]
    if not window.is_forward:
        rows.reverse()
    await _fill(rx, tree, rows, viewer, windows or {})
    total = None
    if "total_count" in want:
        total = (await _rows(rx, _counted(noun, viewer.kind, names), viewer, **filters))[0]
    return Slice(rows, has_more, total)


async def _fill(rx: "Rx", tree: "Tree", rows: Sequence[Any], viewer: Viewer, windows: Windows, at: str = "") -> None:
    """Hang the wanted to-many relations on the rows, and on the rows joined to them: one statement each."""
    if not rows:
        return
    for key, relation, below in tree.manys:
        path = at + key
        window = windows.get(path)
        children = await _children(rx, relation, below, rows, viewer, key, window, "total_count" in tree.counted(key))
        await _fill(rx, below, children, viewer, windows, f"{path}.")
    for name, _, below in tree.ones:
        if below.has_manys:
            joined = {id(row.joined[name]): row.joined[name] for row in rows if row.joined[name] is not None}
            await _fill(rx, below, list(joined.values()), viewer, windows, f"{at}{name}.")


async def _children(
    rx: "Rx", relation: ToMany, below: "Tree", parents: Sequence[Any], viewer: Viewer, key: str, window: Window | None,
    counts: bool,
) -> list[Any]:  # fmt: skip
    by_parent: dict[str, list[Any]] = {}
    for parent in parents:
        owner = relation.key(parent)
        if owner is not None:
            by_parent.setdefault(owner, [])
    is_forward, edge = (True, None) if window is None else (window.is_forward, window.edge)
    size = relation.most if window is None else window.size
    totals: dict[str, int] = {}
    if by_parent:
        keys = list(by_parent)
        shape = _of_parents(relation, below, viewer.kind, is_forward, edge is not None)
        binds = _edge(window) if window is not None else {}
        # One more than the page tells whether there are more; a list that is no connection has nowhere to tell it.
        limit = size + relation.is_paged
        for owner, child in await _rows(rx, shape, viewer, keys=keys, limit=limit, **binds):
            by_parent[owner].append(child)
        if counts:
            totals = dict(await _rows(rx, _counted_of_parents(relation, viewer.kind), viewer, keys=keys))
    everybody: list[Any] = []
    slices: dict[str, Slice] = {}
    for owner, children in by_parent.items():
        kept = children[:size]
        if not is_forward:
            kept.reverse()
        slices[owner] = Slice(kept, len(children) > size, totals.get(owner, 0) if counts else None)
        everybody += kept
    none = Slice([], False, 0 if counts else None)
    for parent in parents:
        owner = relation.key(parent)
        part = none if owner is None else slices[owner]
        parent.joined[key] = part if relation.is_paged else part.rows
    return everybody


async def _rows(rx: "Rx", shape: "Shape", viewer: Viewer, **binds: Any) -> list[Any]:
    """Run a shape. A predicate that is false folds its neighbours away, so a bind may be none of the statement's."""
    binds |= {"viewer_user": viewer.user_id, "viewer_platform": viewer.platform_id}
    values = {name: value for name, value in binds.items() if name in shape.names}
    return await rx.many(shape.statement, shape.make, **values)


def _edge(window: Window) -> dict[str, str | int | None]:
    return {f"edge_{i}": value for i, value in enumerate(window.edge or ())}


def _within(want: Want) -> Want:
    """What is wanted of the rows of a connection."""
    return frozenset(
        rest.removeprefix("node.")
        for head, _, rest in (path.partition(".") for path in want)
        if head == "nodes" or (head == "edges" and rest.startswith("node."))
    )


# ---- what is wanted --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """The relations wanted of a noun's rows, and of theirs."""

    noun: Noun
    ones: tuple[tuple[str, ToOne, "Tree"], ...]
    manys: tuple[tuple[str, ToMany, "Tree"], ...]
    counts: frozenset[str]

    @property
    def has_manys(self) -> bool:
        return bool(self.manys) or any(below.has_manys for _, _, below in self.ones)

    def counted(self, key: str) -> Want:
        return frozenset({"total_count"}) if key in self.counts else NOTHING


@lru_cache(maxsize=MAX_SHAPES)
def _tree(name: str, want: Want) -> Tree:
    """The tree of the names that are relations; all others are columns or nothing, and drop out."""
    noun = NOUNS[name]
    heads = _heads(noun, want)
    ones, manys, counts = [], [], set()
    for key in sorted(heads):
        relation = key.partition("@")[0]
        below = frozenset(heads[key])
        if relation in noun.ones:
            ones.append((key, noun.ones[relation], _tree(noun.ones[relation].noun, below)))
        elif relation in noun.manys:
            many = noun.manys[relation]
            if "total_count" in below:
                counts.add(key)
            manys.append((key, many, _tree(many.noun, _within(below) if many.is_paged else below)))
    return Tree(noun, tuple(ones), tuple(manys), frozenset(counts))


def _heads(noun: Noun, want: Want) -> dict[str, set[str]]:
    heads: dict[str, set[str]] = {name: set() for name in noun.always}
    for path in want:
        head, _, rest = path.partition(".")
        if head in noun.through:
            head, _, rest = rest.partition(".")
        head = noun.needs.get(head, head)
        heads.setdefault(head, set())
        if rest:
            heads[head].add(rest)
    return heads


# ---- statements ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement, how a row is made of its columns, and the names of its binds."""

    statement: ClauseElement
    make: Callable[..., Any]
    names: frozenset[str]


def _shape(statement: ClauseElement, make: Callable[..., Any]) -> Shape:
    names = frozenset(part.key for part in iterate(statement) if isinstance(part, BindParameter))
    return Shape(statement, make, names)


@lru_cache(maxsize=MAX_SHAPES)
def _by_keys(tree: Tree, kind: ViewerKind) -> Shape:
    alias = tree.noun.table.alias()
    columns, source, make = _grown(tree, alias, kind)
    seen = tree.noun.visible(alias, kind) & tree.noun.by_key(alias, kind)
    return _shape(select(*columns).select_from(source).where(seen), lambda *values: make(values))


@lru_cache(maxsize=MAX_SHAPES)
def _paged(
    tree: Tree, kind: ViewerKind, filters: tuple[str, ...], sorting: Sorting, is_forward: bool, has_edge: bool
) -> Shape:
    alias = tree.noun.table.alias()
    columns, source, make = _grown(tree, alias, kind)
    seen = tree.noun.visible(alias, kind)
    for name in filters:
        seen &= tree.noun.filters[name](alias, kind)
    if has_edge:
        seen &= _beyond(alias, sorting, is_forward)
    statement = select(*columns).select_from(source).where(seen).order_by(*_ordered(alias, sorting, is_forward))
    return _shape(statement.limit(bindparam("limit", type_=BigInteger())), lambda *values: make(values))


@lru_cache(maxsize=MAX_SHAPES)
def _counted(noun: str, kind: ViewerKind, filters: tuple[str, ...]) -> Shape:
    alias = NOUNS[noun].table.alias()
    seen = NOUNS[noun].visible(alias, kind)
    for name in filters:
        seen &= NOUNS[noun].filters[name](alias, kind)
    return _shape(select(func.count()).select_from(alias).where(seen), int)


@lru_cache(maxsize=MAX_SHAPES)
def _of_parents(relation: ToMany, tree: Tree, kind: ViewerKind, is_forward: bool, has_edge: bool) -> Shape:
    alias = tree.noun.table.alias()
    columns, source, make = _grown(tree, alias, kind)
    source, owner, seen = _owned(relation, alias, kind, source)
    if has_edge:
        seen &= _beyond(alias, relation.sorting, is_forward)
    order = _ordered(alias, relation.sorting, is_forward)
    numbered = func.row_number().over(partition_by=owner, order_by=order)
    labelled = [column.label(f"c{i}") for i, column in enumerate((owner, *columns))]
    inner = select(*labelled, numbered.label("place")).select_from(source).where(seen).subquery()
    chosen = [inner.c[f"c{i}"] for i in range(len(labelled))]
    limit = bindparam("limit", type_=BigInteger())
    statement = select(*chosen).where(inner.c.place <= limit).order_by(inner.c.c0, inner.c.place)
    return _shape(statement, lambda owner, *values: (owner, make(values)))


@lru_cache(maxsize=MAX_SHAPES)
def _counted_of_parents(relation: ToMany, kind: ViewerKind) -> Shape:
    alias = NOUNS[relation.noun].table.alias()
    source, owner, seen = _owned(relation, alias, kind, alias)
    statement = select(owner, func.count()).select_from(source).where(seen).group_by(owner)
    return _shape(statement, lambda owner, count: (owner, count))


def _owned(
    relation: ToMany, alias: FromClause, kind: ViewerKind, source: FromClause
) -> tuple[FromClause, ColumnElement[Any], ColumnElement[bool]]:
    """The source with its link, the column that names the parent, and the condition on both."""
    seen = NOUNS[relation.noun].visible(alias, kind)
    if relation.link is None:
        owner = alias.c[relation.owner]
    else:
        linked, on = relation.link(alias)
        source, owner = source.join(linked, on), linked.c[relation.owner]
    return source, owner, seen & is_one_of(owner, "keys")


Make = Callable[[Sequence[Any]], Any]


def _grown(tree: Tree, alias: FromClause, kind: ViewerKind) -> tuple[list[ColumnElement[Any]], FromClause, Make]:
    """Columns, joins and row maker of a noun with all its joined relations, each under its own predicate."""
    columns: list[ColumnElement[Any]] = []
    source, make = _grow(tree, alias, kind, columns, alias)
    return columns, source, make


def _grow(
    tree: Tree, alias: FromClause, kind: ViewerKind, columns: list[ColumnElement[Any]], source: FromClause
) -> tuple[FromClause, Make]:
    start = len(columns)
    columns += tree.noun.columns(alias, kind)
    end = len(columns)
    branches: list[tuple[str, Make]] = []
    for name, one, below in tree.ones:
        child = below.noun.table.alias()
        source = source.outerjoin(child, one.on(alias, child) & below.noun.visible(child, kind))
        source, make_child = _grow(below, child, kind, columns, source)
        branches.append((name, make_child))
    row = tree.noun.row

    def make(values: Sequence[Any]) -> Any:
        if values[start] is None:  # the id: nothing was joined
            return None
        made = row(*values[start:end])
        for name, make_child in branches:
            made.joined[name] = make_child(values)
        return made

    return source, make


def _ordered(alias: FromClause, sorting: Sorting, is_forward: bool) -> list[ColumnElement[Any]]:
    descends = sorting.is_descending == is_forward
    columns = _sort_columns(alias, sorting)
    return [column.desc() if descends else column.asc() for column in columns]


def _beyond(alias: FromClause, sorting: Sorting, is_forward: bool) -> ColumnElement[bool]:
    columns = _sort_columns(alias, sorting)
    edge = tuple_(*(bindparam(f"edge_{i}", type_=column.type) for i, column in enumerate(columns)))
    return tuple_(*columns) < edge if sorting.is_descending == is_forward else tuple_(*columns) > edge


def _sort_columns(alias: FromClause, sorting: Sorting) -> list[ColumnElement[Any]]:
    return [
        bytewise(alias.c[name]) if isinstance(alias.c[name].type, Text) else alias.c[name] for name in sorting.columns
    ]
