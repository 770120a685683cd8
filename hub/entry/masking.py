"""What a client is told of an error: its own mistakes and the gatekeepers' words as they are, everything else masked.

Done where an answer leaves, for HTTP and WebSocket alike, so that no error can slip past by where it arose: the
extension that Strawberry has for it sees none that another extension raises.
"""

import logging
from typing import Any

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from resolvers.errors import GatekeepingError

log = logging.getLogger(__name__)

MASKED = "internal error"
_SUGGESTION = " Did you mean"

# Not faults: Strawberry's own words about a request that names no operation, or one that may not come this way.
_REQUEST_ERRORS = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)


def told(error: GraphQLError, request_id: str, *, is_production: bool) -> dict[str, Any]:
    """The error as a client sees it, always with `extensions { code requestId }`.

    What is masked is written to the log with its trace. In production no names of the schema are suggested.
    """
    cause = _cause(error)
    if isinstance(cause, GatekeepingError):
        return _formatted(error, cause.args[0], cause.extensions, request_id)
    if _is_the_clients(error, cause):
        message = error.message.split(_SUGGESTION)[0] if is_production else error.message
        return _formatted(error, message, {"code": "BAD_USER_INPUT"} | (error.extensions or {}), request_id)
    log.error("internal error", exc_info=cause or error)
    return _formatted(error, MASKED, {"code": "INTERNAL"}, request_id)


def _cause(error: GraphQLError) -> Exception | None:
    """What was raised in the first place; None if graphql-core found the error itself."""
    cause: Exception | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _is_the_clients(error: GraphQLError, cause: Exception | None) -> bool:
    """Syntax, validation and coercion errors point into the document but at no value of the answer.

    A scalar says by ValueError what it takes; anything else that reading a value raises is a fault of ours.
    """
    if error.path is not None:
        return False
    if cause is None or isinstance(cause, _REQUEST_ERRORS):
        return True
    return isinstance(cause, ValueError) and bool(error.nodes)


def _formatted(error: GraphQLError, message: str, extensions: dict[str, Any], request_id: str) -> dict[str, Any]:
    formatted: dict[str, Any] = {"message": message, "extensions": extensions | {"requestId": request_id}}
    if error.locations:
        formatted["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        formatted["path"] = error.path
    return formatted
