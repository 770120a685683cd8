"""Why a field has no value: the small tree of top-level errors, each with its code. Expected refusals are no errors.

GatekeepingError(code)    UNAUTHENTICATED, FORBIDDEN, BAD_USER_INPUT, NOT_FOUND, IDEMPOTENCY_CONFLICT, IN_PROGRESS,
                          CURSOR_EXPIRED, UNAVAILABLE; the entry adds THROTTLED, INTERNAL and the requestId
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hub.domain.requests import IdempotencyConflict, InProgress
from hub.ports import ChainUnavailable


class GatekeepingError(Exception):
    """Told to the client as it is: `extensions` holds the code and what the client can act on."""

    def __init__(self, code: str, message: str, **extensions: str | int) -> None:
        super().__init__(message)
        self.code = code
        self.extensions: dict[str, str | int] = {"code": code, **extensions}


def bad_input(message: str) -> GatekeepingError:
    return GatekeepingError("BAD_USER_INPUT", message)


# Faults of the store by name, as resolvers may not import it; in each the client can only try again.
_TRY_AGAIN = {
    "Unavailable": "the hub cannot reach its database: nothing was done, try again",
    "DatabaseFull": "the database has no room: nothing was done",
    "CommitUnknown": "the connection broke while it was written: repeat with the same idempotencyKey to learn the end",
}


@contextmanager
def gatekept() -> Iterator[None]:
    """Around a flow or a read: the faults that a client should tell apart become errors with a code."""
    try:
        yield
    except IdempotencyConflict as fault:
        raise GatekeepingError("IDEMPOTENCY_CONFLICT", str(fault)) from fault
    except InProgress as fault:
        raise GatekeepingError("IN_PROGRESS", str(fault), retryAfterMs=fault.retry_after_ms) from fault
    except ChainUnavailable as fault:
        raise GatekeepingError("UNAVAILABLE", "the chain node does not answer: try again") from fault
    except Exception as fault:
        told = _TRY_AGAIN.get(type(fault).__name__)
        if told is None:
            raise
        raise GatekeepingError("UNAVAILABLE", told) from fault
