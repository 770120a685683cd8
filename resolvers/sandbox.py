"""Rehearsals from the outside: operators make the sandbox fail, dispute, and let its days pass."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import strawberry

from hub.domain.disputes import DisputeState
from hub.domain.money import MAX_PRICE_MINOR
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.rehearsals import SandboxDispute, SandboxFault, SandboxFaultKind, SandboxOperation
from hub.domain.requests import Answer
from hub.flows import rehearsals
from hub.ports import RehearsalUnavailable
from resolvers.context import Info
from resolvers.errors import GatekeepingError
from resolvers.inputs import storable
from resolvers.payloads import Payload, told
from resolvers.scalars import BigInt

MAX_REFERENCE = 255  # characters, as the sandbox has it
MAX_SEED = 100  # characters
MOST = 2**31 - 1  # of GraphQL's Int; the sandbox has narrower limits of its own

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ArmedView:
    """The faults that wait to strike."""

    faults: Sequence[SandboxFault]


Reference = Annotated[
    str | None,
    strawberry.argument(
        description="Of which payment: the order's number, `-`, the attempt's number, at most 255 characters. "
        "Unset: of any."
    ),
]


async def sandbox_fault_set(
    info: Info,
    operation: Annotated[SandboxOperation, strawberry.argument(description="What it strikes.")],
    fault: Annotated[SandboxFaultKind, strawberry.argument(description="What goes wrong.")],
    value: Annotated[
        int | None,
        strawberry.argument(
            description="LATENCY_MS: milliseconds, LATE_S: seconds, each at most 600000; DUPLICATE_N: how often, at "
            "most 200; RATE_LIMIT: its Retry-After, seconds; STATEMENT_*: which line, from 1. Others take none."
        ),
    ] = None,
    reference: Reference = None,
    times: Annotated[
        int, strawberry.argument(description="How many calls or deliveries, at most 1000000; 0: until it is cleared.")
    ] = 1,
    chance_percent: Annotated[
        int, strawberry.argument(description="How many of a hundred that it could strike, 1 to 100.")
    ] = 100,
    seed: Annotated[
        str,
        strawberry.argument(description="What chance is drawn from: the same strikes the same. 0 to 100 characters."),
    ] = "",
) -> Payload:
    """Arm one more fault."""

    async def flow() -> Answer[ArmedView]:
        armed = SandboxFault(
            operation=operation,
            kind=fault,
            value=value,
            reference=None if reference is None else storable(reference, "reference", MAX_REFERENCE),
            times=_within(times, "times", 0) or None,
            chance_percent=chance_percent,
            seed=storable(seed, "seed", MAX_SEED),
        )
        return _armed(await rehearsals.set_fault(info.context.hub, armed))

    return await _answered("armed", flow)


def _armed(answer: Answer[Sequence[SandboxFault]]) -> Answer[ArmedView]:
    return Answer(None if answer.value is None else ArmedView(answer.value), answer.refusal)


async def sandbox_faults_clear(info: Info, reference: Reference = None) -> Payload:
    """Disarm faults."""

    async def flow() -> Answer[ArmedView]:
        of = None if reference is None else storable(reference, "reference", MAX_REFERENCE)
        return _armed(await rehearsals.clear_faults(info.context.hub, of))

    return await _answered("armed", flow)


async def sandbox_dispute_move(
    info: Info,
    reference: Annotated[
        str,
        strawberry.argument(
            description="Of which charge: the order's number, `-`, the attempt's number, at most 255 characters."
        ),
    ],
    state: Annotated[DisputeState, strawberry.argument(description="What becomes of its dispute.")],
    amount_minor: Annotated[
        BigInt | None,
        strawberry.argument(description="Minor units of what is opened, from 1 to the charge; unset: all of it."),
    ] = None,
) -> Payload:
    """Open a charge's dispute, or move it on."""

    async def flow() -> Answer[SandboxDispute]:
        of = storable(reference, "reference", MAX_REFERENCE)
        amount = None if amount_minor is None else _within(amount_minor, "amountMinor", 1, MAX_PRICE_MINOR)
        return await rehearsals.move_dispute(info.context.hub, of, state, amount)

    return await _answered("dispute", flow)


async def sandbox_clock_advance(
    info: Info, seconds: Annotated[int, strawberry.argument(description="How far, 0 to ten years in all.")]
) -> Payload:
    """Let the sandbox's days pass."""

    async def flow() -> Answer[int]:
        return await rehearsals.advance_clock(info.context.hub, _within(seconds, "seconds", 0))

    return await _answered("now", flow)


async def _answered(name: str, flow: Callable[[], Awaitable[Answer[T]]]) -> Payload:
    try:
        answer = await told(flow)
    except RehearsalUnavailable as fault:
        raise GatekeepingError("UNAVAILABLE", f"{fault}: see what it has done, then try again") from fault
    return Payload({name: answer.value}, answer.refusal)


def _within(value: int, field: str, least: int, most: int = MOST) -> int:
    if not least <= value <= most:
        raise Refused(InvalidInput(field, f"{field} lies between {least} and {most}"))
    return value
