"""The pass: what a document would cost, found in one walk before it is validated. The limits stand in bounds.py.

A fragment is walked once, however often it is spread, and its sums are added where it is spread; what its fields are
follows from its own type condition, so its name alone is the key. Whatever is added saturates or is refused on the way,
and a fragment inside itself is refused. So the walk takes time with the document's length, whatever it would expand to.
Validation does not: what it compares pair by pair (fields of one response key) is counted here and refused first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    VariableNode,
)
from graphql.language import InlineFragmentNode, ValueNode

from hub.entry.bounds import (
    DEFERRED,
    MAX_ALIASES,
    MAX_COMPARED,
    MAX_DEPTH,
    MAX_DIRECTIVES,
    MAX_DIRECTIVES_HERE,
    MAX_ENTRIES,
    MAX_FIELDS,
    MAX_FRAGMENTS,
    MAX_INTROSPECTION_LISTS,
    MAX_ITEMS,
    MAX_LABEL,
    MAX_MERGED,
    MAX_MUTATIONS,
    MAX_NESTING,
    MAX_OF_TYPE,
    MAX_OPERATIONS,
    MAX_ROOTS,
    MAX_SAME_KEY,
    MAX_SPREADS,
    MAX_VARIABLES,
    Page,
    refuse_page,
    too_much,
)
from hub.entry.pricing import (
    MAX_PAGE,
    TYPENAME,
    UNKNOWN,
    Formula,
    Price,
    PriceList,
    Prices,
    Size,
    Total,
    evaluated,
)

_DIGITS = 10  # of a page size that is read
_BEYOND = MAX_PAGE + 1  # stands for a number of more digits, which Python may refuse to read
_PAGE_ARGUMENTS = ("first", "last")
_INTROSPECTION = ("__schema", "__type")
_INTROSPECTION_LISTS = ("fields", "inputFields", "interfaces", "possibleTypes")


@dataclass(frozen=True, slots=True)
class Requested:
    """What one operation asks for."""

    cost: Total
    attempts: int  # fields that try to pay or to sign in, each alias one


@dataclass(frozen=True, slots=True)
class Measured:
    """What the pass found; the same for every request with this document."""

    pages: tuple[Page, ...]
    variables: frozenset[str]  # whose values tell sizes
    defaults: Mapping[str, int]  # of these, where they are numbers
    operations: Mapping[str | None, Requested]
    is_introspection: bool
    deferred: frozenset[str | None]  # variables that decide whether fragments are; None: some always are
    visits: int  # selections that the pass looked at, for whoever doubts that it is linear

    def cost(self, operation: str | None, variables: Mapping[str, Any] | None) -> int:
        """What this operation may come to with these variables: an upper bound of the rows read for it."""
        chosen = self._chosen(operation)
        return max((evaluated(requested.cost, self._sizes(variables)) for requested in chosen), default=0)

    def is_deferring(self, variables: Mapping[str, Any] | None) -> bool:
        """Whether some fragment may be deferred with these variables."""
        given = variables or {}
        return any(name is None or given.get(name) is not False for name in self.deferred)

    def attempts(self, operation: str | None) -> int:
        """Tries at money or credentials in this operation."""
        return max((requested.attempts for requested in self._chosen(operation)), default=0)

    def _chosen(self, operation: str | None) -> tuple[Requested, ...]:
        """The named operation; all of them where the name tells none, which will be refused."""
        named = self.operations.get(operation)
        return (named,) if named is not None else tuple(self.operations.values())

    def _sizes(self, variables: Mapping[str, Any] | None) -> dict[str, int]:
        if not self.variables:
            return {}
        given = variables or {}
        sizes = dict(self.defaults)
        for name in self.variables & given.keys():
            value = given[name]
            if isinstance(value, int):
                sizes[name] = min(max(value, 0), _BEYOND)
            elif isinstance(value, list):
                sizes[name] = len(value)
            else:
                sizes.pop(name, None)
        return sizes


def measure(document: DocumentNode, prices: PriceList) -> Measured:
    """Walk the document once. Raises GraphQLError (COST_LIMIT_EXCEEDED, BAD_USER_INPUT) for one beyond the limits."""
    walk = _Walk(document, prices)
    operations: dict[str | None, Requested] = {}
    defaults: dict[str, int] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            defaults |= _defaults(definition)
            name = definition.name.value if definition.name else None
            operations[name] = walk.operation(definition)
    for name in walk.fragments:
        walk.fragment(name, 0)
    if len(operations) == 1:
        operations[None] = next(iter(operations.values()))
    return Measured(
        tuple(walk.pages), frozenset(walk.variables), defaults, operations, walk.is_introspection,
        frozenset(walk.deferred), walk.visits,
    )  # fmt: skip


def _defaults(operation: OperationDefinitionNode) -> dict[str, int]:
    definitions = operation.variable_definitions or ()
    if len(definitions) > MAX_VARIABLES:
        raise too_much(f"more than {MAX_VARIABLES} variables are defined")
    found = {}
    for definition in definitions:
        _few(definition.directives)
        value = definition.default_value
        _small(value)
        if isinstance(value, IntValueNode):
            found[definition.variable.name.value] = _number(value)
        elif isinstance(value, ListValueNode):
            found[definition.variable.name.value] = len(value.values)
    return found


def _number(node: IntValueNode) -> int:
    """The literal, or some number beyond every limit: Python refuses to read thousands of digits."""
    return max(int(node.value), 0) if len(node.value) <= _DIGITS else _BEYOND


def _few(directives: tuple[DirectiveNode, ...] | None) -> int:
    """How many there are. Raises GraphQLError if there are too many for one place."""
    if directives and len(directives) > MAX_DIRECTIVES_HERE:
        raise too_much(f"there are more than {MAX_DIRECTIVES_HERE} directives in one place")
    for directive in directives or ():
        for argument in directive.arguments or ():
            _small(argument.value)
    return len(directives or ())


def _small(value: ValueNode | None) -> None:
    """Raises GraphQLError for a list or object, written out, that is too big. The parser bounds how deep they go."""
    if isinstance(value, ObjectValueNode):
        if len(value.fields) > MAX_ENTRIES:
            raise too_much(f"an object has more than {MAX_ENTRIES} fields")
        for entry in value.fields:
            _small(entry.value)
    elif isinstance(value, ListValueNode):
        if len(value.values) > MAX_ITEMS:
            raise too_much(f"a list has more than {MAX_ITEMS} items: send it as a variable")
        for item in value.values:
            _small(item)


@dataclass(slots=True)
class _Tally:
    """What was found in one selection, all below it included."""

    depth: int = 0  # fields under each other
    height: int = 0  # selections under each other
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    attempts: int = 0
    of_type: int = 0
    lists: int = 0
    cost: Formula = field(default_factory=Formula)
    per_item: Formula | None = None  # what each row of the connection costs whose fields these are
    by_type: dict[str, Formula] | None = None  # what only objects of one type cost, where they may be of several
    keys: "dict[str, _Same]" = field(default_factory=dict)  # by response key

    def total(self) -> Total:
        """An object is of one type, so of what types cost the dearest counts; of formulas, which is not known, all."""
        if self.by_type:
            totals = [formula.total for formula in self.by_type.values()]
            self.cost.add(max((total for total in totals if isinstance(total, int)), default=0))
            for total in totals:
                if not isinstance(total, int):
                    self.cost.add(total)
            self.by_type = None
        return self.cost.total

    def of(self, type_name: str | None) -> Formula:
        """Where to add what objects of this type alone cost; None: all of them."""
        if type_name is None:
            return self.cost
        if self.by_type is None:
            self.by_type = {}
        return self.by_type.setdefault(type_name, Formula())


@dataclass(slots=True)
class _Same:
    """The fields of one response key in one place."""

    below: int  # fields in and below them
    many: int
    here: int  # of them written in a row for one type
    of: Prices | None


class _Walk:
    """One pass: what it has seen of each fragment, and what it counts on its way."""

    def __init__(self, document: DocumentNode, prices: PriceList) -> None:
        self.pages: list[Page] = []
        self.variables: set[str] = set()
        self.is_introspection = False
        self.deferred: set[str | None] = set()
        self.visits = 0
        fragments = [one for one in document.definitions if isinstance(one, FragmentDefinitionNode)]
        if len(fragments) > MAX_FRAGMENTS:
            raise too_much(f"more than {MAX_FRAGMENTS} fragments are defined", "fragments")
        if len(document.definitions) - len(fragments) > MAX_OPERATIONS:
            raise too_much(f"more than {MAX_OPERATIONS} operations are defined")
        self.fragments = {one.name.value: one for one in fragments}
        self._prices = prices
        self._seen: dict[str, _Tally | None] = {}  # None: we are inside of it
        self._spreads = 0
        self._merged = 0
        self._compared = 0

    def operation(self, node: OperationDefinitionNode) -> Requested:
        word = node.operation.value
        tally = _Tally(directives=_few(node.directives))
        self._selections(node.selection_set, self._prices.roots.get(word), tally, None, 0)
        _refuse(tally)
        if tally.depth > MAX_DEPTH:
            raise too_much(f"fields are nested more than {MAX_DEPTH} deep", "depth")
        roots = sum(same.many for same in tally.keys.values())
        if roots > MAX_ROOTS:
            raise too_much(f"an operation has more than {MAX_ROOTS} fields of its own")
        if word == "mutation" and roots > MAX_MUTATIONS:
            raise too_much(f"a request has more than {MAX_MUTATIONS} mutations")
        return Requested(tally.total(), tally.attempts)

    def fragment(self, name: str, level: int) -> _Tally | None:
        """What is in a fragment, walked when first met; None for one that nobody defines, which validation names."""
        if name in self._seen:
            known = self._seen[name]
            if known is None:
                raise too_much(f"fragment {name!r} contains itself", "fragments")
            return known
        if name not in self.fragments:
            return None
        self._seen[name] = None
        node = self.fragments[name]
        tally = _Tally(directives=_few(node.directives))
        of = self._prices.types.get(node.type_condition.name.value)
        self._selections(node.selection_set, of, tally, None, level)
        _refuse(tally)
        self._seen[name] = tally
        return tally

    def _selections(
        self, selection_set: SelectionSetNode, of: Prices | None, tally: _Tally, only: str | None, level: int
    ) -> None:
        """Add what is selected to the tally. `only` names the type whose objects alone have it, if not all do."""
        level += 1
        if level > MAX_NESTING:
            raise too_much(f"selections are nested more than {MAX_NESTING} deep", "depth")
        tally.height = max(tally.height, 1)
        for selection in selection_set.selections:
            self.visits += 1
            if isinstance(selection, FieldNode):
                self._field(selection, of, tally, only, level)
            elif isinstance(selection, FragmentSpreadNode):
                self._spread(selection, of, tally, only, level)
            elif isinstance(selection, InlineFragmentNode):
                self._inline(selection, of, tally, only, level)

    def _inline(self, node: InlineFragmentNode, of: Prices | None, tally: _Tally, only: str | None, level: int) -> None:
        tally.directives += _few(node.directives)
        self._defer(node.directives, tally, only)
        condition = node.type_condition and self._prices.types.get(node.type_condition.name.value)
        if node.type_condition:
            only = _narrowed(of, condition or None, only)
            of = condition or None
        before, tally.height = tally.height, 0
        self._selections(node.selection_set, of, tally, only, level)
        tally.height = max(before, tally.height + 1)

    def _spread(self, node: FragmentSpreadNode, of: Prices | None, tally: _Tally, only: str | None, level: int) -> None:
        self._spreads += 1
        if self._spreads > MAX_SPREADS:
            raise too_much(f"fragments are spread more than {MAX_SPREADS} times", "fragments")
        tally.directives += _few(node.directives)
        self._defer(node.directives, tally, only)
        name = node.name.value
        inner = self.fragment(name, level)
        if inner is None:
            return
        condition = self._prices.types.get(self.fragments[name].type_condition.name.value)
        _join(tally, inner)
        tally.height = max(tally.height, inner.height + 1)
        tally.of(_narrowed(of, condition, only)).add(inner.total())
        if inner.per_item is not None:
            tally.per_item = tally.per_item or Formula()
            tally.per_item.add(inner.per_item.total)
        self._merged += len(inner.keys)
        if self._merged > MAX_MERGED:
            raise too_much("fragments with many fields are spread too often", "fragments")
        for key, same in inner.keys.items():
            self.visits += 1
            self._again(tally, key, same)
        _refuse(tally)

    def _defer(self, directives: tuple[DirectiveNode, ...] | None, tally: _Tally, only: str | None) -> None:
        """A part of its own costs more than its fields: an answer has so many fewer parts than it costs."""
        for directive in directives or ():
            if directive.name.value != "defer":
                continue
            given = {argument.name.value: argument.value for argument in directive.arguments or ()}
            label, condition = given.get("label"), given.get("if")
            if isinstance(label, StringValueNode) and len(label.value) > MAX_LABEL:
                raise too_much(f"a label has more than {MAX_LABEL} characters", "size")
            if isinstance(condition, BooleanValueNode) and not condition.value:
                continue
            self.deferred.add(condition.name.value if isinstance(condition, VariableNode) else None)
            tally.of(only).add(DEFERRED)

    def _field(self, node: FieldNode, of: Prices | None, tally: _Tally, only: str | None, level: int) -> None:
        name = node.name.value
        price = (TYPENAME if name == "__typename" else UNKNOWN) if of is None else of.fields.get(name) or _meta(name)
        tally.fields += 1
        if node.alias is not None:
            tally.aliases += 1
            key = node.alias.value
        else:
            key = name
        if node.directives:
            tally.directives += _few(node.directives)
        if price.is_attempt:
            tally.attempts += 1
        if node.selection_set is None:
            self._same(tally, key, 1, of)
            tally.depth = max(tally.depth, 1)
            if price.weight or price.is_page or node.arguments:
                self._add(node, price, _NOTHING, tally, only)
            return
        inner = _Tally()
        self._selections(node.selection_set, price.below, inner, None, level)
        if name in _INTROSPECTION:
            self._introspected(inner)
        _join(tally, inner, 1, name)
        tally.height = max(tally.height, inner.height + 1)
        self._same(tally, key, 1 + inner.fields, of)
        self._add(node, price, inner, tally, only)
        _refuse(tally)

    def _add(self, node: FieldNode, price: Price, inner: _Tally, tally: _Tally, only: str | None) -> None:
        """Put the field's cost where it belongs: to the object's, or to what each row of its connection costs."""
        size = self._size(node, price) if node.arguments else None
        total: Total = price.weight
        below = inner.total()
        if below != 0 or price.is_page:
            formula = Formula(price.weight)
            formula.add(below)
            if price.is_page:  # its rows are read, whether they are shown or only counted
                per_item = inner.per_item.total if inner.per_item is not None else 0
                formula.add_times(price.size if size is None else size, per_item or 1)
            total = formula.total
        if price.is_sized_above:
            tally.per_item = tally.per_item or Formula()
            tally.per_item.add(total)
        elif price.is_list:
            tally.of(only).add_times(price.size if size is None else size, total)
        else:
            tally.of(only).add(total)

    def _size(self, node: FieldNode, price: Price) -> Size | int | None:
        """The size that arguments tell; None if none does. Every page size is noted, to be held to its limit."""
        if len(node.arguments or ()) > MAX_ENTRIES:
            raise too_much(f"a field has more than {MAX_ENTRIES} arguments")
        numbers: list[int] = []
        variables: list[str] = []
        for argument in node.arguments or ():
            name, value = argument.name.value, argument.value
            _small(value)
            if name in _PAGE_ARGUMENTS:
                self._page(node.name.value, name, value)
            if (name not in price.slicing and name not in price.counted) or isinstance(value, NullValueNode):
                continue
            if isinstance(value, IntValueNode):
                numbers.append(_number(value))
            elif isinstance(value, ListValueNode):
                numbers.append(len(value.values))
            elif isinstance(value, VariableNode):
                variables.append(value.name.value)
        if variables:
            self.variables.update(variables)
            return Size(max(numbers, default=0), tuple(variables), price.size)
        return max(numbers) if numbers else None

    def _page(self, name: str, argument: str, value: ValueNode) -> None:
        if isinstance(value, IntValueNode):
            page = Page(name, argument, _number(value), None)
            refuse_page(page, page.value)
        elif isinstance(value, VariableNode):
            self.pages.append(Page(name, argument, None, value.name.value))

    def _introspected(self, inner: _Tally) -> None:
        self.is_introspection = True
        if inner.of_type > MAX_OF_TYPE or inner.lists > MAX_INTROSPECTION_LISTS:
            raise too_much("the introspection is nested too deep", "introspection")
        inner.depth = 0  # it has limits of its own

    def _same(self, tally: _Tally, key: str, below: int, of: Prices | None) -> None:
        """Note a field of a response key, with so many fields in and below it."""
        same = tally.keys.get(key)
        if same is None:
            tally.keys[key] = _Same(below, 1, 1, of)
            return
        same.here = same.here + 1 if same.of is of else 1  # alternatives for several types are no repetition
        same.of = of
        if same.here > MAX_SAME_KEY:
            raise too_much(f"{key!r} is selected more than {MAX_SAME_KEY} times in one place")
        self._compare(same, below, 1)

    def _again(self, tally: _Tally, key: str, more: "_Same") -> None:
        """Likewise the fields of a response key in a fragment."""
        same = tally.keys.get(key)
        if same is None:
            tally.keys[key] = _Same(more.below, more.many, 0, None)
        else:
            self._compare(same, more.below, more.many)

    def _compare(self, same: "_Same", below: int, many: int) -> None:
        """Validation compares each field of a key with each other one, and all below them likewise."""
        self._compared += same.below * below
        if self._compared > MAX_COMPARED:
            raise too_much("the same fields are selected too often in one place")
        same.below += below
        same.many += many


_NOTHING = _Tally()


def _meta(name: str) -> Price:
    return TYPENAME if name.startswith("__") else UNKNOWN


def _narrowed(of: Prices | None, condition: Prices | None, only: str | None) -> str | None:
    """The one type whose objects match a condition, if there are others."""
    if condition is None or condition.is_abstract or of is None or not of.is_abstract:
        return only
    return condition.name


def _join(tally: _Tally, inner: _Tally, deeper: int = 0, name: str = "") -> None:
    """Take what was found below a field (`deeper` 1) or in a fragment."""
    tally.depth = max(tally.depth, inner.depth + deeper)
    tally.fields += inner.fields
    tally.aliases += inner.aliases
    tally.directives += inner.directives
    tally.attempts += inner.attempts
    if inner.of_type or name == "ofType":
        tally.of_type = max(tally.of_type, inner.of_type + (name == "ofType"))
    if inner.lists or name in _INTROSPECTION_LISTS:
        tally.lists = max(tally.lists, inner.lists + (name in _INTROSPECTION_LISTS))


def _refuse(tally: _Tally) -> None:
    if tally.depth > MAX_DEPTH and not tally.of_type and not tally.lists:
        raise too_much(f"fields are nested more than {MAX_DEPTH} deep", "depth")
    if tally.height > MAX_NESTING:
        raise too_much(f"selections are nested more than {MAX_NESTING} deep", "depth")
    if tally.fields > MAX_FIELDS:
        raise too_much(f"more than {MAX_FIELDS} fields are selected, fragments put in")
    if tally.aliases > MAX_ALIASES:
        raise too_much(f"there are more than {MAX_ALIASES} aliases")
    if tally.directives > MAX_DIRECTIVES:
        raise too_much(f"there are more than {MAX_DIRECTIVES} directives")


def refuse_pages(measured: Measured, variables: Mapping[str, Any] | None) -> None:
    """Raises GraphQLError for a page size in a variable that is beyond the limit."""
    given = variables or {}
    for page in measured.pages:
        if page.variable is not None:
            refuse_page(page, given.get(page.variable, measured.defaults.get(page.variable)))
