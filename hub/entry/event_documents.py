"""The EventDocuments port on the hub's own schema: a partner's stored subscription, executed over one event at a time.

Another door to the same data: the document passes the limits and validation when it is stored, and the scopes and row
rules of its platform each time it is executed.
"""

import asyncio
import logging
from functools import cache
from inspect import isawaitable
from typing import TYPE_CHECKING

import orjson
from graphql import (
    DocumentNode,
    EnumValueNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    experimental_execute_incrementally,
)

from hub.domain.events import Logged
from hub.domain.people import Viewer
from hub.entry.limits import Documents, checked
from hub.ports import DocumentFailed, DocumentRefused, Hub
from resolvers.context import request_context
from resolvers.errors import GatekeepingError

if TYPE_CHECKING:
    from schema.scopes import Rule

log = logging.getLogger(__name__)

ROOT = "events"
WITHIN_S = 10.0  # one event's result; a second line behind the limits
FORM = "a webhook's document is one `subscription { events(kinds: [...]) { ... } }`"


class PartnerDocuments:
    """Checks documents when they are stored, and again when they are first executed by this process and release. The
    schema is imported at first use: commands that neither serve nor work do without it."""

    def __init__(self) -> None:
        self._known: Documents | None = None

    def kinds(self, document: str, viewer: Viewer) -> tuple[str, ...] | None:
        """As the port says."""
        try:
            _rule().demand(viewer)
            known = checked(self._documents, document)
        except (GraphQLError, GatekeepingError) as refused:
            raise DocumentRefused(str(refused)) from None
        return _kinds(_root(known.document))

    async def body(self, hub: Hub, viewer: Viewer, document: str, event: Logged) -> str:
        """As the port says: `{"data": …}`, the same JSON that a subscriber gets."""
        try:
            _rule().demand(viewer)
            async with asyncio.timeout(WITHIN_S):
                result = await self._executed(hub, viewer, document, event)
        except (GraphQLError, GatekeepingError, TimeoutError) as failed:
            reason = "it took too long" if isinstance(failed, TimeoutError) else str(failed)
            raise DocumentFailed(f"the document cannot be executed: {reason}") from failed
        if result.errors:
            for error in result.errors:
                log.warning("a stored document failed", exc_info=error.original_error or error)
            raise DocumentFailed(f"the document ended with an error{_place(result.errors[0])}: nothing is sent of it")
        return orjson.dumps({"data": result.data}).decode()

    async def _executed(self, hub: Hub, viewer: Viewer, document: str, event: Logged) -> ExecutionResult:
        known = checked(self._documents, document)
        context = request_context(hub, viewer, event.id)
        # The schema has @defer, so graphql-core asks for this way in; validation lets no subscription defer anything.
        told = experimental_execute_incrementally(
            _schema(), known.document, root_value=event, context_value=context
        )  # fmt: skip
        result = await told if isawaitable(told) else told
        assert isinstance(result, ExecutionResult)
        return result

    @property
    def _documents(self) -> Documents:
        if self._known is None:
            self._known = Documents(_schema())
        return self._known


def _place(error: GraphQLError) -> str:
    """Where, and the code if it is one that clients are told; never the text of a fault."""
    where = f" at {'.'.join(map(str, error.path))}" if error.path else ""
    cause = error.original_error
    return f"{where} ({cause.code})" if isinstance(cause, GatekeepingError) else where


def _root(document: DocumentNode) -> FieldNode:
    """The only field of the only operation. Raises DocumentRefused for any other form."""
    operations = [node for node in document.definitions if not isinstance(node, FragmentDefinitionNode)]
    operation = operations[0] if len(operations) == 1 else None
    if not isinstance(operation, OperationDefinitionNode) or operation.operation is not OperationType.SUBSCRIPTION:
        raise DocumentRefused(FORM)
    if operation.variable_definitions:
        raise DocumentRefused(f"{FORM}: it has no variables, write values in their places")
    field = operation.selection_set.selections[0]
    if len(operation.selection_set.selections) != 1 or not isinstance(field, FieldNode) or field.name.value != ROOT:
        raise DocumentRefused(FORM)
    if field.directives or operation.directives:
        raise DocumentRefused(f"{FORM}: no directive stands at its root")
    if {argument.name.value for argument in field.arguments or ()} - {"kinds"}:
        raise DocumentRefused(f"{FORM}: `kinds` is its only argument, the endpoint keeps its own position")
    return field


def _kinds(root: FieldNode) -> tuple[str, ...] | None:
    """Of a valid document."""
    for argument in root.arguments or ():
        value = argument.value
        nodes = value.values if isinstance(value, ListValueNode) else (value,)
        kinds = tuple(sorted({node.value for node in nodes if isinstance(node, EnumValueNode)}))
        if isinstance(value, ListValueNode) and not kinds:
            raise DocumentRefused("`kinds` names no kind: leave it out for all of them")
        return kinds or None
    return None


@cache
def _schema() -> GraphQLSchema:
    from schema import schema

    return schema._schema


@cache
def _rule() -> "Rule":
    from schema.scopes import SCOPES

    return SCOPES["Subscription.events"]
