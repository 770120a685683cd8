"""Refuses documents that are too big before anything is spent on them, and parses and validates the others once.

The order is: length of the text, tokens (which cap the parser), parsing, one pass over the document, validation. The
pass is linear: a fragment is walked once, however often it is spread; validation is not, so it comes after.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)
from graphql.language import InlineFragmentNode, ValueNode
from strawberry.extensions import SchemaExtension

from hub.domain.people import ViewerKind
from resolvers.context import RequestContext

MAX_DOCUMENT = 32 * 1024  # bytes; what our clients send has at most a tenth of it
MAX_TOKENS = 2000  # the parser stops here: time and memory of what follows are bounded by it
MAX_DEPTH = 12  # fields under each other; the deepest of the tour's documents has 9
MAX_FRAGMENTS = 50  # validation takes time with their square: 50 took 11 ms
MAX_SPREADS = 100
MAX_PAGE = 100  # rows of one list
MAX_OF_TYPE = 9  # how deep GraphiQL unwraps a type
MAX_INTROSPECTION_LISTS = 1  # lists of fields within lists of fields grow with the power of the schema
MAX_NESTING = 64  # selections in each other, however they are nested: the pass calls itself as deep
MAX_CACHED = 512  # documents; an app has some dozens
# Characters of all cached documents together: parsed, each takes up to 160 bytes, so this is 20 MB at worst.
MAX_CACHED_TEXT = 128 * 1024

_DIGITS = 10  # of a page size that is read
_PAGE_ARGUMENTS = ("first", "last")
_INTROSPECTION = ("__schema", "__type")
_INTROSPECTION_LISTS = ("fields", "inputFields", "interfaces", "possibleTypes")


def refuse_text(query: str | None) -> GraphQLError | None:
    """Why a document's text is not even parsed, or None. Called where a document comes in."""
    if query and (len(query) > MAX_DOCUMENT or len(query.encode("utf-8", "replace")) > MAX_DOCUMENT):
        return _too_much(f"the document has more than {MAX_DOCUMENT} bytes")
    return None


def _too_much(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "COST_LIMIT_EXCEEDED"})


# ---- the pass --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page size that a document asks for: written there, or a variable with the default that it may have."""

    field: str
    argument: str
    value: int | None
    variable: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What the pass found; the same for every request with this document."""

    pages: tuple[Page, ...]
    defaults: Mapping[str, int]  # of variables, where they are numbers
    is_introspection: bool


@dataclass(frozen=True, slots=True)
class _Depths:
    """The longest way down from here: fields, and what counts inside an introspection alone."""

    fields: int = 0
    of_type: int = 0
    lists: int = 0

    def joined(self, other: "_Depths") -> "_Depths":
        return _Depths(
            max(self.fields, other.fields), max(self.of_type, other.of_type), max(self.lists, other.lists)
        )  # fmt: skip


def measure(document: DocumentNode) -> Measured:
    """Walk the document once. Raises GraphQLError (COST_LIMIT_EXCEEDED, BAD_USER_INPUT) for one beyond the limits."""
    walk = _Walk(document)
    defaults: dict[str, int] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            if walk.selections(definition.selection_set, 0).fields > MAX_DEPTH:
                raise _too_much(f"fields are nested more than {MAX_DEPTH} deep")
            defaults |= _defaults(definition)
        elif isinstance(definition, FragmentDefinitionNode):
            walk.fragment(definition.name.value, 0)
    return Measured(tuple(walk.pages), defaults, walk.is_introspection)


def _defaults(operation: OperationDefinitionNode) -> dict[str, int]:
    found = {}
    for definition in operation.variable_definitions or ():
        if isinstance(definition.default_value, IntValueNode):
            found[definition.variable.name.value] = _number(definition.default_value)
    return found


def _number(node: IntValueNode) -> int:
    """The literal, or some number beyond every limit: Python refuses to read thousands of digits."""
    return int(node.value) if len(node.value) <= _DIGITS else MAX_PAGE + 1


class _Walk:
    """One pass: what it has seen of each fragment, and what it counts on its way."""

    def __init__(self, document: DocumentNode) -> None:
        self.pages: list[Page] = []
        self.is_introspection = False
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        if len(self._fragments) > MAX_FRAGMENTS:
            raise _too_much(f"more than {MAX_FRAGMENTS} fragments are defined")
        self._seen: dict[str, _Depths | None] = {}  # None: we are inside of it
        self._spreads = 0

    def selections(self, selection_set: SelectionSetNode | None, level: int) -> _Depths:
        if level > MAX_NESTING:
            raise _too_much(f"selections are nested more than {MAX_NESTING} deep")
        deepest = _Depths()
        for selection in selection_set.selections if selection_set else ():
            deepest = deepest.joined(self._selection(selection, level + 1))
        return deepest

    def fragment(self, name: str, level: int) -> _Depths:
        """A fragment's depths, walked when first met. One that nobody defines is named by validation."""
        if name in self._seen:
            known = self._seen[name]
            if known is None:
                raise _too_much(f"fragment {name!r} contains itself")
            return known
        if name not in self._fragments:
            return _Depths()
        self._seen[name] = None
        self._seen[name] = depths = self.selections(self._fragments[name].selection_set, level)
        return depths

    def _selection(self, selection: SelectionNode, level: int) -> _Depths:
        if isinstance(selection, FieldNode):
            return self._field(selection, level)
        if isinstance(selection, FragmentSpreadNode):
            self._spreads += 1
            if self._spreads > MAX_SPREADS:
                raise _too_much(f"fragments are spread more than {MAX_SPREADS} times")
            return self.fragment(selection.name.value, level)
        assert isinstance(selection, InlineFragmentNode)
        return self.selections(selection.selection_set, level)

    def _field(self, node: FieldNode, level: int) -> _Depths:
        name = node.name.value
        for argument in node.arguments or ():
            if argument.name.value in _PAGE_ARGUMENTS:
                self._page(name, argument.name.value, argument.value)
        below = self.selections(node.selection_set, level)
        if name in _INTROSPECTION:
            self.is_introspection = True
            if below.of_type > MAX_OF_TYPE or below.lists > MAX_INTROSPECTION_LISTS:
                raise _too_much("the introspection is nested too deep")
            return _Depths(1)
        return _Depths(
            below.fields + 1, below.of_type + (name == "ofType"), below.lists + (name in _INTROSPECTION_LISTS)
        )  # fmt: skip

    def _page(self, name: str, argument: str, value: ValueNode) -> None:
        if isinstance(value, IntValueNode):
            page = Page(name, argument, _number(value), None)
            _refuse_page(page, page.value)
            self.pages.append(page)
        elif isinstance(value, VariableNode):
            self.pages.append(Page(name, argument, None, value.name.value))


def refuse_pages(measured: Measured, variables: Mapping[str, Any] | None) -> None:
    """Raises GraphQLError for a page size in a variable that is beyond the limit."""
    given = variables or {}
    for page in measured.pages:
        if page.variable is not None:
            _refuse_page(page, given.get(page.variable, measured.defaults.get(page.variable)))


def _refuse_page(page: Page, size: object) -> None:
    if isinstance(size, int) and size > MAX_PAGE:
        raise GraphQLError(
            f"{page.field}({page.argument}:) is at most {MAX_PAGE}, not {size}: ask for more by its cursor",
            extensions={"code": "BAD_USER_INPUT"},
        )


# ---- the documents that we know --------------------------------------------------------------------------------


@dataclass(slots=True)
class Known:
    """A document that was parsed and measured, and what validation said of it once it was asked."""

    document: DocumentNode
    measured: Measured
    errors: list[GraphQLError] | None = None


@dataclass(slots=True)
class Documents:
    """The valid documents that were used last, by their text. One per app; bounded in number and in text."""

    introspection: frozenset[ViewerKind] = frozenset(ViewerKind)  # who may ask for the schema
    _known: "OrderedDict[str, Known]" = field(default_factory=OrderedDict)
    _text: int = 0

    def find(self, query: str) -> Known | None:
        known = self._known.get(query)
        if known is not None:
            self._known.move_to_end(query)
        return known

    def keep(self, query: str, known: Known) -> None:
        if query in self._known:
            return
        self._known[query] = known
        self._text += len(query)
        while len(self._known) > MAX_CACHED or self._text > MAX_CACHED_TEXT:
            oldest, _ = self._known.popitem(last=False)
            self._text -= len(oldest)

    def __len__(self) -> int:
        return len(self._known)


class Limits(SchemaExtension):
    """Strawberry's hooks around one operation: tokens, the pass and the cache. Made anew for each operation."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._known: Known | None = None
        self._refusal: GraphQLError | None = None

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = MAX_TOKENS
        yield

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        query = context.query or ""
        self._known = self._documents.find(query)
        if self._known is not None:
            context.graphql_document = self._known.document
        yield
        if self._known is None and context.graphql_document is not None:
            try:
                self._known = Known(context.graphql_document, measure(context.graphql_document))
            except GraphQLError as refusal:
                self._refusal = refusal

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        known = self._known
        try:
            self._refuse(known, context.variables)
        except GraphQLError as refusal:
            context.pre_execution_errors = [refusal]  # and validation is left out
            yield
            return
        assert known is not None
        if known.errors is not None:
            context.pre_execution_errors = known.errors
        yield
        if known.errors is None and not context.pre_execution_errors:
            known.errors = []
            self._documents.keep(context.query or "", known)

    def _refuse(self, known: Known | None, variables: Mapping[str, Any] | None) -> None:
        if self._refusal is not None:
            raise self._refusal
        assert known is not None
        if known.measured.is_introspection and not self._may_introspect():
            raise GraphQLError("introspection is off", extensions={"code": "FORBIDDEN"})
        refuse_pages(known.measured, variables)

    def _may_introspect(self) -> bool:
        context: RequestContext = self.execution_context.context
        return context.viewer.kind in self._documents.introspection
