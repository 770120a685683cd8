"""Held money (预授权): its merchant takes it, all or part, or lets go of it. Written down before the channel is told.

What the channel answers goes through the one door; what it does not answer is asked about by the attempt's own Task,
and told again under the same key: once captured, whoever asks how often.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hub.domain.ids import Draw, fingerprint
from hub.domain.money import Money
from hub.domain.orders import OrderStatus, settled
from hub.domain.payments import AttemptState, Instruction, InstructionKind, PaymentAttempt, next_query_after_s
from hub.domain.people import Viewer, ViewerKind
from hub.domain.refusals import ChannelUnavailable, InvalidInput, NotFound, Refusal, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.domain.routing import StandingState
from hub.flows import audit
from hub.flows.attempt_facts import RESOLVE
from hub.flows.attempts import ask_once
from hub.flows.instructions import carry_out
from hub.flows.keys import key_ended
from hub.flows.tasks import take_over
from hub.ports import Capabilities, Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

FIELDS = {InstructionKind.CAPTURE: "paymentCapture", InstructionKind.VOID: "paymentVoid"}


async def capture(
    hub: Hub, viewer: Viewer, *, attempt_id: str, amount: Money | None, idempotency_key: str
) -> Answer[PaymentAttempt]:
    """Take the money that an AUTHORIZED attempt holds; `amount` None is all of it. Of less the rest is given back, and
    the order is settled on what was taken."""
    return await _told(hub, viewer, InstructionKind.CAPTURE, attempt_id, amount, idempotency_key)


async def void(hub: Hub, viewer: Viewer, *, attempt_id: str, idempotency_key: str) -> Answer[PaymentAttempt]:
    """Let go of the money that an AUTHORIZED attempt holds; its order waits for another payment."""
    return await _told(hub, viewer, InstructionKind.VOID, attempt_id, None, idempotency_key)


async def _told(
    hub: Hub, viewer: Viewer, kind: InstructionKind, attempt_id: str, amount: Money | None, idempotency_key: str
) -> Answer[PaymentAttempt]:
    told = {"attemptId": attempt_id, "amount": amount and [amount.amount_minor, amount.currency]}
    key = RequestKey(viewer.principal, FIELDS[kind], idempotency_key, fingerprint(FIELDS[kind], told))
    async with hub.store.reading() as rx:
        seen = await rx.payments.by_id(attempt_id)
    channel = hub.channels.get(seen.channel) if seen is not None else None
    capabilities = channel.capabilities if channel is not None else None
    draw = hub.draw()
    instructed = await hub.store.write(instruct, viewer, kind, attempt_id, amount, key, capabilities, draw)
    attempt = instructed.attempt
    if attempt is None or instructed.is_replay or channel is None:
        return Answer(attempt, instructed.refusal, instructed.is_replay)
    if not instructed.is_resumed:
        attempt, _ = await carry_out(hub, channel, attempt)
    elif attempt.is_instructed:
        attempt = await ask_once(hub, channel, attempt)
    await hub.store.write(finish_instructed, attempt.id, key, hub.draw())
    return Answer(attempt)


@dataclass(frozen=True, slots=True)
class Instructed:
    """What the first unit came to: an attempt whose channel is to be told, one from before, or a refusal."""

    attempt: PaymentAttempt | None = None
    refusal: Refusal | None = None
    is_replay: bool = False
    is_resumed: bool = False  # an earlier process died over it: the channel may have done it


async def instruct(
    tx: "Tx",
    viewer: Viewer,
    kind: InstructionKind,
    attempt_id: str,
    amount: Money | None,
    key: RequestKey,
    capabilities: Capabilities | None,
    draw: Draw,
) -> Instructed:
    """What is to be done with the money, committed before the channel hears of it. Once: it is never changed."""
    if refusal := await key_ended(tx, viewer, key.operation, draw.now_us):
        return Instructed(refusal=refusal)
    if seen := await tx.requests.begin(key, attempt_id, draw):
        if seen.is_done:
            known = None if seen.refusal else await tx.payments.by_id(attempt_id)
            return Instructed(known, seen.refusal, is_replay=True)
        return Instructed(await tx.payments.by_id(attempt_id), is_resumed=True)
    held = await tx.orders.lock_with(attempt_id)
    if held is None or not _is_theirs(viewer, held[0].platform_id):
        return await _refused(tx, key, NotFound("paymentAttemptId"))
    order, attempt = held
    if attempt.state is not AttemptState.AUTHORIZED or attempt.instruction is not None:
        return await _refused(tx, key, StateConflict(attempt.state, key.operation))
    if order.status is not OrderStatus.AWAITING_PAYMENT:
        return await _refused(tx, key, StateConflict(order.status, key.operation))
    asked = attempt.amount if amount is None else amount
    standings = await tx.routing.standings()
    standing = standings.get(attempt.channel)
    is_stopped = standing is not None and standing.state is StandingState.STOPPED
    if refusal := _cannot(attempt, kind, asked, capabilities, is_stopped=is_stopped):
        return await _refused(tx, key, refusal)
    told = await tx.payments.update(replace(attempt, instruction=Instruction(kind, asked, draw.now_us)))
    made = [told if one.id == told.id else one for one in await tx.payments.of_order(order.id)]
    await tx.orders.update(settled(order, made, draw.now_us))
    # Its next look may be an hour away: should this process die, others go on.
    await take_over(tx, RESOLVE, told.id, {"attempt": told.id}, draw)
    await audit.note(
        tx, viewer, key.operation, told.id, draw, platform_id=order.platform_id, amount=asked.amount_minor,
        currency=asked.currency,
    )  # fmt: skip
    return Instructed(told)


def _is_theirs(viewer: Viewer, platform_id: str) -> bool:
    return viewer.kind is ViewerKind.OPERATOR or viewer.platform_id == platform_id


def _cannot(
    attempt: PaymentAttempt, kind: InstructionKind, asked: Money, capabilities: Capabilities | None, *, is_stopped: bool
) -> Refusal | None:
    """Why the channel could not do it, known without asking."""
    if capabilities is None:
        return ChannelUnavailable(attempt.channel, "it is not configured here")
    if kind is InstructionKind.VOID:
        return None if capabilities.can_void else ChannelUnavailable(attempt.channel, "it cannot void")
    if is_stopped:
        return ChannelUnavailable(attempt.channel, "its operator has stopped it")
    if asked.currency != attempt.amount.currency or not 0 < asked.amount_minor <= attempt.amount.amount_minor:
        most = f"{attempt.amount.amount_minor} minor units of {attempt.amount.currency}"
        return InvalidInput("amount.amountMinor", f"from 1 to {most} can be captured, once")
    if not capabilities.can_authorize:
        return ChannelUnavailable(attempt.channel, "it takes held money by itself")
    if asked != attempt.amount and not capabilities.can_capture_partly:
        return ChannelUnavailable(attempt.channel, "it captures all that it holds, or nothing")
    return None


async def _refused(tx: "Tx", key: RequestKey, refusal: Refusal) -> Instructed:
    await tx.requests.finish(key, refusal)
    return Instructed(refusal=refusal)


async def finish_instructed(tx: "Tx", attempt_id: str, key: RequestKey, draw: Draw) -> None:
    """The request has its answer; an attempt that is still open is asked about soon."""
    attempt = await tx.payments.by_id(attempt_id)
    if attempt is None or attempt.is_settled:
        await tx.tasks.drop(RESOLVE, attempt_id)
    else:
        soon_us = draw.now_us + next_query_after_s(0) * 1_000_000
        await tx.tasks.put_back(RESOLVE, attempt_id, {"attempt": attempt_id}, soon_us, draw)
    await tx.requests.finish(key, None)
