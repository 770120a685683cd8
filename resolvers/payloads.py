"""What a mutation answers: its objects by name, the refusal if there is one, and whether it is an earlier answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import strawberry

from hub.domain.refusals import Refusal, Refused
from hub.domain.requests import Answer
from resolvers.errors import gatekept

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Payload:
    """`joined` holds the payload's objects under their fields' names."""

    joined: dict[str, object] = field(default_factory=dict)
    refusal: Refusal | None = None
    is_replay: bool = False


def user_errors(root: strawberry.Parent[Payload]) -> list[Refusal]:
    return [] if root.refusal is None else [root.refusal]


async def told(flow: Callable[[], Awaitable[Answer[T]]]) -> Answer[T]:
    """Run a flow: a Refused on the way in is an answer, faults that the client should know become errors."""
    with gatekept():
        try:
            return await flow()
        except Refused as refused:
            return Answer(refusal=refused.refusal)
