"""Idempotency (幂等): whose request it is, and what we know when the same key comes again.

RequestFault                  told to the client as a top-level error, nothing has been done
├── IdempotencyConflict       the key was used for another input
└── InProgress                the first request with this key is still running
"""

from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from hub.domain import refusals
from hub.domain.refusals import Refusal

T = TypeVar("T")

# A request whose process died is resumed by a repeat after this: longer than any call's budget (35 s), and not too
# long to be waited for twice. It is only a delay: what is resumed too early asks what became of the first.
REQUEST_LEASE_US = 40 * 1_000_000


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Whose key it is: another principal or mutation makes another key of the same text."""

    principal: str
    operation: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An earlier request under the same key. `is_dead`: it stopped half-way and may be resumed."""

    subject_id: str
    refusal: Refusal | None
    is_done: bool
    is_dead: bool


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a mutation's flow returns: its object, or why not, and whether it is an earlier answer told again."""

    value: T | None = None
    refusal: Refusal | None = None
    is_replay: bool = False


class RequestFault(Exception):
    pass


class IdempotencyConflict(RequestFault):
    def __init__(self) -> None:
        super().__init__("this idempotencyKey was used for another input: use a new key for a new request")


class InProgress(RequestFault):
    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(f"the first request with this key is still running: ask again in {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms


def refusal_body(refusal: Refusal) -> dict[str, Any]:
    """A refusal as it is stored."""
    return {"type": type(refusal).__name__, **asdict(refusal)}


def refusal_from(body: dict[str, Any]) -> Refusal:
    """The refusal that a stored body was."""
    fields = dict(body)
    type_: type[Refusal] = getattr(refusals, fields.pop("type"))
    return type_(**fields)
