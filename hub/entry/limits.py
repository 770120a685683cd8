"""Refuses what is too much before anything is spent on it, and parses and validates the rest once.

    length of the text → what the caller has left → tokens, which cap the parser → parsing → the pass (measuring.py)
    → cost and attempts are drawn (throttling.py) → validation → execution, which has a time

A document that is known is neither parsed, measured nor validated again: what its variables cost is worked out anew.
The same for every transport: the schema that the application serves carries `Limits` around each operation.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import ExecutionResult, ExperimentalIncrementalExecutionResults
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from hub.domain.people import ANONYMOUS, Viewer, ViewerKind
from hub.entry.asked import TAKEN
from hub.entry.bounds import DEFERRED, MAX_NESTING, MAX_TOKENS, too_much
from hub.entry.counting import Counting, counting_of, spent
from hub.entry.measuring import Measured, measure, refuse_pages
from hub.entry.pricing import MAX_COST, PriceList, price_list
from hub.entry.throttling import Throttle
from resolvers.context import Parts, RequestContext
from resolvers.errors import GatekeepingError

__all__ = ["MAX_NESTING", "MAX_TOKENS", "Documents", "Known", "Limits", "checked", "refuse_text"]

log = logging.getLogger(__name__)

MAX_DOCUMENT = 32 * 1024  # bytes; what our clients send has at most a tenth of it
MAX_VARIABLE_BYTES = 64 * 1024  # as JSON
MAX_COMPLAINTS = 10  # of validation about one document: each takes time, of which a liar can have as many as tokens
MAX_CACHED = 512  # documents; an app has some dozens
# Characters of all cached documents together: parsed, each takes up to 160 bytes, so this is 20 MB at worst.
MAX_CACHED_TEXT = 128 * 1024
LARGE = 100  # selections: parsing and validating more is done in two turns of the loop
EXECUTION_S = 10.0  # of a query; what a mutation waits for has bounds of its own, and a caller who must learn its end
# As Strawberry validates, with its own two rules: what they say of an input would else be a fault while it runs.
RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
NOT_HERE = "@defer is for queries and mutations whose HTTP request accepts multipart/mixed: a stream has none"
REFUSED_COST = 100  # what a document costs that was parsed for nothing


def refuse_text(query: str | None) -> GraphQLError | None:
    """Why a document's text is not even parsed, or None. Called where a document comes in."""
    if query and (len(query) > MAX_DOCUMENT or len(query.encode("utf-8", "replace")) > MAX_DOCUMENT):
        return too_much(f"the document has more than {MAX_DOCUMENT} bytes", "size")
    return None


# ---- the documents that we know --------------------------------------------------------------------------------


@dataclass(slots=True)
class Known:
    """A document that was parsed and measured, and what validation said of it once it was asked."""

    document: DocumentNode
    measured: Measured
    errors: list[GraphQLError] | None = None
    _countings: dict[str | None, Counting] = field(default_factory=dict)

    def counting(self, operation: str | None, prices: PriceList) -> Counting:
        """How to count the answers of one of its operations."""
        if operation not in self._countings:
            self._countings[operation] = counting_of(self.document, operation, prices)
        return self._countings[operation]


@dataclass(slots=True)
class Documents:
    """The valid documents that were used last, by their text. One per app; bounded in number and in text."""

    schema: GraphQLSchema
    introspection: frozenset[ViewerKind] = frozenset(ViewerKind)  # who may ask for the schema
    throttle: Throttle = field(default_factory=Throttle)
    execution_s: float = EXECUTION_S
    prices: PriceList = field(init=False)
    _known: "OrderedDict[str, Known]" = field(default_factory=OrderedDict)
    _text: int = 0

    def __post_init__(self) -> None:
        self.prices = price_list(self.schema)

    def find(self, query: str) -> Known | None:
        known = self._known.get(query)
        if known is not None:
            self._known.move_to_end(query)
        return known

    def measured(self, document: DocumentNode) -> Known:
        """A document that was parsed. Raises GraphQLError for one beyond the limits."""
        return Known(document, measure(document, self.prices))

    def complaints(self, known: Known) -> list[GraphQLError]:
        """What validation says of it; empty for a valid one."""
        if known.errors is None:
            known.errors = validate(self.schema, known.document, RULES, max_errors=MAX_COMPLAINTS)
        return known.errors

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


def checked(documents: Documents, query: str, variables: Mapping[str, Any] | None = None) -> Known:
    """The document if it may run with these variables: parsed, within every limit, and valid.

    For whoever takes a document to run it later, such as a webhook's: nothing is drawn from anybody's bucket. Raises
    the first GraphQLError, its code being COST_LIMIT_EXCEEDED or BAD_USER_INPUT (absent for syntax and validation).
    """
    if refusal := refuse_text(query):
        raise refusal
    known = documents.find(query)
    if known is None:
        try:
            known = documents.measured(parse(query, max_tokens=MAX_TOKENS))
        except GraphQLSyntaxError as error:
            raise _of_parser(error) from None
    _refuse_variables(variables)
    refuse_pages(known.measured, variables)
    _refuse_cost(known.measured.cost(None, variables))
    for complaint in documents.complaints(known):
        raise complaint
    documents.keep(query, known)
    return known


def _of_parser(error: GraphQLError) -> GraphQLError:
    """What the parser says; too many tokens and too deep nesting are limits, and get their code."""
    if any(words in error.message for words in ("Document contains more", "nested too deeply")):
        return too_much(error.message, "tokens")
    return error


def _refuse_cost(cost: int) -> None:
    if cost > MAX_COST:
        raise too_much(f"the cost may come to {cost}, beyond {MAX_COST}: ask for less at once", "cost")


def _has_several(document: DocumentNode) -> bool:
    return sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions) > 1


def _refuse_variables(variables: Mapping[str, Any] | None) -> None:
    if not variables:
        return
    try:
        size = len(orjson.dumps(variables))
    except TypeError:  # numbers and texts that JSON has not, nested too deep: whoever reads them will tell
        return
    if size > MAX_VARIABLE_BYTES:
        raise too_much(f"the variables have more than {MAX_VARIABLE_BYTES} bytes", "variables")


# ---- around one operation --------------------------------------------------------------------------------------


class Limits(SchemaExtension):
    """Strawberry's hooks around one operation, as few as will do: each costs some µs. Made anew for each operation."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._throttle = documents.throttle
        self._caller: str | None = None
        self._known: Known | None = None
        self._refusal: GraphQLError | None = None
        self._requested: int | None = None
        self._actual: int | None = None
        self._drawn = 0
        self._is_turned_away = False

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        context.parse_options["max_tokens"] = MAX_TOKENS
        query = context.query or ""
        self._caller = self._throttle.caller(self._viewer)
        self._refusal = self._throttle.turned_away(self._caller)
        self._is_turned_away = self._refusal is not None
        if self._is_turned_away:
            context.graphql_document = _stand_in(context.operation_name)
            yield
            return
        self._known = self._documents.find(query)
        if self._known is not None:
            context.graphql_document = self._known.document
        yield
        if self._known is None and context.graphql_document is not None:
            try:
                self._known = self._documents.measured(context.graphql_document)
            except GraphQLError as refusal:
                self._refusal = refusal
        elif context.pre_execution_errors:
            self._told_by_parser(context.pre_execution_errors[0])

    async def on_validate(self) -> AsyncIterator[None]:
        context = self.execution_context
        try:
            known = self._admitted(context.variables)
        except GraphQLError as refusal:
            self._throttle.refused(self._caller, refusal, 0 if self._drawn else REFUSED_COST)
            context.pre_execution_errors = [refusal]  # and validation is left out
            yield
            return
        if known.errors is None and known.measured.visits > LARGE:
            await asyncio.sleep(0)  # others' turn, between two of ours
        context.pre_execution_errors = list(self._documents.complaints(known))
        if context.pre_execution_errors:
            self._settle(REFUSED_COST)
        else:
            self._documents.keep(context.query or "", known)
            if taken := (context.operation_extensions or {}).get(TAKEN):
                taken.passed()
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        kind = self.execution_context.operation_type.value
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._documents.execution_s if kind == "query" else None):
                yield
        except TimeoutError:
            self._throttle.timed_out()
            raise GatekeepingError(
                "UNAVAILABLE", f"the query took longer than {self._documents.execution_s:g} seconds: ask for less"
            ) from None
        finally:
            self._executed(kind, time.perf_counter() - started)

    def get_results(self) -> dict[str, Any]:
        """`extensions.cost`, to those who ask for it and with every refusal for its sake."""
        if self._refusal is None:
            is_told = self._requested is not None and self._is_cost_told()
        else:
            is_told = self._requested is not None or self._is_turned_away
        if not is_told:
            return {}
        return {"cost": self._throttle.told(self._caller, self._requested, self._actual)}

    def _is_cost_told(self) -> bool:
        """Not with each event of a stream: those who follow the same share its bytes."""
        context = self.execution_context
        is_wanted = self._throttle.is_cost_wanted(context.operation_extensions)
        return is_wanted and context.operation_type.value != "subscription"

    # ---- before ----------------------------------------------------------------------------------------------------

    def _admitted(self, variables: Mapping[str, Any] | None) -> Known:
        """The document, once its cost is drawn. Raises GraphQLError."""
        if self._refusal is not None:
            raise self._refusal
        known = self._known
        assert known is not None
        # Strawberry would run the first of several; its public property cannot tell whether one was named.
        if self.execution_context._provided_operation_name is None and _has_several(known.document):
            raise GraphQLError("Must provide operation name if query contains multiple operations.")
        if known.measured.is_introspection and self._viewer.kind not in self._documents.introspection:
            raise GraphQLError("introspection is off", extensions={"code": "FORBIDDEN"})
        _refuse_variables(variables)
        refuse_pages(known.measured, variables)
        context: RequestContext | None = self.execution_context.context
        if context is not None and context.is_stream and known.measured.is_deferring(variables):
            raise GraphQLError(NOT_HERE, extensions={"code": "BAD_USER_INPUT"})
        operation = self.execution_context.operation_name
        self._requested = known.measured.cost(operation, variables)
        try:
            _refuse_cost(self._requested)
            self._throttle.draw(self._caller, self._requested, known.measured.attempts(operation))
        except GraphQLError as refusal:
            self._refusal = refusal
            raise
        self._drawn = self._requested
        return known

    @property
    def _viewer(self) -> Viewer:
        context: RequestContext | None = self.execution_context.context
        return ANONYMOUS if context is None else context.viewer

    def _told_by_parser(self, error: GraphQLError) -> None:
        """A text that is no document. Strawberry tells this very error, so it gets the code of ours."""
        refusal = _of_parser(error)
        error.extensions = refusal.extensions
        self._throttle.refused(self._caller, refusal, REFUSED_COST)

    # ---- after -----------------------------------------------------------------------------------------------------

    def _executed(self, kind: str, seconds: float) -> None:
        context = self.execution_context
        result = context.result
        if isinstance(result, ExperimentalIncrementalExecutionResults):
            self._await_parts(kind, seconds)
            return
        if isinstance(result, ExecutionResult):
            self._count(result.data)
        if kind != "subscription":
            self._throttle.took(seconds, context.operation_name, context.query or "")

    def _await_parts(self, kind: str, seconds: float) -> None:
        """The rest of an answer in parts has the time that its first part left, and is paid for at its end."""
        context = self.execution_context
        parts: Parts = context.context.parts
        begun = time.perf_counter()

        def ended(data: Mapping[str, Any], number: int) -> dict[str, Any]:
            self._count(data, number)
            self._throttle.took(
                seconds + time.perf_counter() - begun, context.operation_name, context.query or ""
            )  # fmt: skip
            return self.get_results()

        parts.left_s = max(0.0, self._documents.execution_s - seconds) if kind == "query" else None
        parts.ended = ended

    def _count(self, data: Mapping[str, Any] | None, parts: int = 0) -> None:
        known, operation = self._known, self.execution_context.operation_name
        if known is not None:
            counting = known.counting(operation, self._documents.prices)
            self._settle(DEFERRED * parts + (spent(data, counting) if data else 0))

    def _settle(self, actual: int) -> None:
        """Give back what was drawn and not needed."""
        self._actual = actual
        self._throttle.give_back(self._caller, self._drawn - actual)
        self._drawn = actual


def _stand_in(operation: str | None) -> DocumentNode:
    """In place of a document that is not even parsed: Strawberry looks for its operation before we can refuse it."""
    field_ = FieldNode(name=NameNode(value="__typename"))
    node = OperationDefinitionNode(
        operation=OperationType.QUERY,
        name=None if operation is None else NameNode(value=operation),
        selection_set=SelectionSetNode(selections=(field_,)),
    )
    return DocumentNode(definitions=(node,))
