"""The ways a payment may go: the channel that the buyer named, or those of the hub's choice, the best first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from hub.domain.money import Money
from hub.domain.payments import AttemptState, CaptureMethod, PaymentAttempt
from hub.domain.people import Viewer
from hub.domain.refusals import ChannelUnavailable
from hub.domain.routing import Candidate, Plan, Standing
from hub.flows import attempts, routing
from hub.flows.asking import asked
from hub.flows.routing import Wish, cannot_take
from hub.ports import Capabilities, Hub


class Request(Protocol):
    """What `paymentCreate` and `checkout` both say about the way."""

    @property
    def channel(self) -> str | None: ...
    @property
    def method(self) -> str | None: ...
    @property
    def capture_method(self) -> CaptureMethod: ...


@dataclass(frozen=True, slots=True)
class Way:
    """The channels that a request may be sent over, the best first: the one that was named, or those of the plan."""

    channels: tuple[tuple[str, Capabilities | None], ...]
    plan: Plan | None = None  # None: the buyer named the channel
    closable: frozenset[str] = frozenset()  # channels where a declined payment stays payable until it is voided
    has_closed: bool = False  # those of the order have been told to be closed

    def explained(self, channel: str) -> str | None:
        return None if self.plan is None else routing.explained(self.plan, channel)


async def way_of(hub: Hub, request: Request, **payable: str) -> Way:
    able = {code: channel.capabilities for code, channel in hub.channels.items()}
    closable = frozenset(code for code, one in able.items() if one.declined_stays_payable and one.can_void)
    if request.channel is not None:
        return Way(((request.channel, able.get(request.channel)),), closable=closable)
    plan = await routing.plan(hub, wish_of(request), **payable)
    candidates = plan.candidates if plan is not None else ()
    told = tuple((one.channel, able[one.channel]) for one in candidates if one.is_in)
    return Way(told, plan or Plan(None, ()), closable)


def wish_of(request: Request) -> Wish:
    return Wish(request.method, request.capture_method)


def way_refusal(
    request: Request, way: Way, total: Money, standings: Mapping[str, Standing]
) -> ChannelUnavailable | None:
    """Why the first channel of the way cannot take it. An operator's word counts from its commit on."""
    if not way.channels:
        return no_channel(
            "; ".join(f"{one.channel}: {', '.join(one.reasons)}" for one in _out_of(way)) or "none is here"
        )
    code, capabilities = way.channels[0]
    why = cannot_take(capabilities, total, wish_of(request), standings.get(code))
    return None if why is None else ChannelUnavailable(code, why)


def _out_of(way: Way) -> tuple[Candidate, ...]:
    return () if way.plan is None else way.plan.candidates


def no_channel(reason: str) -> ChannelUnavailable:
    return ChannelUnavailable("", reason)


# ---- one after another ----------------------------------------------------------------------------------------------


async def close_former(hub: Hub, viewer: Viewer, order_id: str, attempt_id: str) -> None:
    """A buyer who changes the channel: what they were shown before can still be paid, so it is closed there first.
    If its channel does not confirm that, it stays live, and another attempt is refused."""
    async with hub.store.reading() as rx:
        former = await rx.payments.by_id(attempt_id)
        payable = await rx.routing.of_order(order_id)
    channel = hub.channels.get(former.channel) if former is not None else None
    if former is None or channel is None or payable is None or payable.user_id != viewer.user_id:
        return
    is_closable = former.order_id == order_id and former.state in attempts.VOIDABLE and not former.is_instructed
    if is_closable and channel.capabilities.can_void:
        await _close(hub, former)


class StillPayable(Exception):
    """Raised by a unit that was to open another attempt, and so undone: these were declined and can still be paid."""

    def __init__(self, attempts: Sequence[PaymentAttempt]) -> None:
        super().__init__(f"{len(attempts)} declined attempts can still be paid")
        self.attempts = tuple(attempts)


def still_payable(made: Sequence[PaymentAttempt], way: Way) -> list[PaymentAttempt]:
    """Those of an order that were declined, and that the buyer's browser could pay by another card until they are
    closed. A decline is no proof there that no money moves."""
    return [
        one
        for one in made
        if one.state is AttemptState.DECLINED and one.channel in way.closable and one.may_be_confirmed_elsewhere
    ]


async def close_declined(hub: Hub, way: Way, payable: Sequence[PaymentAttempt]) -> Way:
    """Have them closed: one that turns out paid pays the order; one whose channel does not confirm blocks the next."""
    for former in payable:
        await _close(hub, former)
    return replace(way, has_closed=True)


async def _close(hub: Hub, former: PaymentAttempt) -> None:
    """The instruction is committed before the channel hears of it."""
    await hub.store.write(attempts.promise_void, former.id, hub.draw())
    result = await asked(hub, former.channel, "void", partial(hub.channels[former.channel].void, former))
    await hub.store.write(attempts.record_void, former.id, result, hub.draw(), hub.vault)


def last_of(made: Sequence[PaymentAttempt], first: PaymentAttempt) -> PaymentAttempt:
    """What a request came to: its attempt, or the last of those that the hub made in its stead."""
    last = first
    for attempt in made:
        is_next = attempt.number == last.number + 1 and attempt.request_key == first.request_key
        if is_next and attempt.routing is not None and last.routing is not None:
            last = attempt
    return last
