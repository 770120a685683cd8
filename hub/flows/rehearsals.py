"""Rehearsing with the sandbox: faults, disputes and days on demand. Nothing of the hub's own is touched."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hub.domain.disputes import DisputeState
from hub.domain.refusals import InvalidInput, NotFound
from hub.domain.rehearsals import SandboxDispute, SandboxFault
from hub.domain.requests import Answer
from hub.ports import Hub, Rehearsable, Rehearsal, RehearsalRefused

SANDBOX = "sandbox"  # the code of the channel that can be rehearsed with

T = TypeVar("T")

# The sandbox's own words for what it was given, as our inputs call them.
FIELDS = {"fault": "fault", "chance": "chancePercent", "amount": "amountMinor", "advance_s": "seconds"}


async def set_fault(hub: Hub, fault: SandboxFault) -> Answer[Sequence[SandboxFault]]:
    """Arm one more; gives all that are armed. Raises RehearsalUnavailable, as each here does."""
    return await _rehearsed(hub, "fault", lambda sandbox: sandbox.set_fault(fault))


async def clear_faults(hub: Hub, reference: str | None) -> Answer[Sequence[SandboxFault]]:
    """Disarm those of one payment, or all; gives what is still armed."""
    return await _rehearsed(hub, "reference", lambda sandbox: sandbox.clear_faults(reference))


async def move_dispute(
    hub: Hub, reference: str, state: DisputeState, amount_minor: int | None
) -> Answer[SandboxDispute]:
    """Open the dispute of a charge, or move it on: its notice comes as any other."""
    return await _rehearsed(hub, "state", lambda sandbox: sandbox.move_dispute(reference, state, amount_minor))


async def advance_clock(hub: Hub, seconds: int) -> Answer[int]:
    """Let the sandbox's days pass; gives its time after that, in microseconds."""
    return await _rehearsed(hub, "seconds", lambda sandbox: sandbox.advance_clock(seconds))


async def _rehearsed(hub: Hub, field: str, act: Callable[[Rehearsal], Awaitable[T]]) -> Answer[T]:
    channel = hub.channels.get(SANDBOX)
    if not isinstance(channel, Rehearsable) or channel.rehearsal is None:
        return Answer(refusal=NotFound(SANDBOX))
    try:
        return Answer(await act(channel.rehearsal))
    except RehearsalRefused as refused:
        name = refused.field and FIELDS.get(refused.field, refused.field)
        return Answer(refusal=InvalidInput(name or field, refused.text))
