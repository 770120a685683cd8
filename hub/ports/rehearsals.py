"""What only a sandbox has: a provider that can be told to fail."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hub.domain.disputes import DisputeState
from hub.domain.rehearsals import SandboxDispute, SandboxFault


class RehearsalRefused(Exception):
    """The sandbox cannot do this: `field` is its own name of what it was given, None if it is about none."""

    def __init__(self, field: str | None, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


class RehearsalUnavailable(Exception):
    """The sandbox did not answer, or not sensibly: what was asked may have been done."""


class Rehearsal(Protocol):
    """The hands of the sandbox's operator. Every call may raise RehearsalRefused and RehearsalUnavailable."""

    async def set_fault(self, fault: SandboxFault) -> Sequence[SandboxFault]:
        """Arm it behind those that are armed; gives all. Repeated, it is armed twice."""

    async def clear_faults(self, reference: str | None) -> Sequence[SandboxFault]:
        """Disarm those of one payment, or all; gives what is still armed."""

    async def move_dispute(self, reference: str, state: DisputeState, amount_minor: int | None) -> SandboxDispute:
        """Open the dispute of a charge (`amount_minor`; None: all of it), or move it on."""

    async def advance_clock(self, seconds: int) -> int:
        """Let its days pass; gives its time after that, in microseconds."""


@runtime_checkable
class Rehearsable(Protocol):
    """A channel whose provider can be told to fail. None: nobody has given us its key."""

    rehearsal: Rehearsal | None
