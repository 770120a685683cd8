"""Asking the channel what became of an attempt when nobody has told us, and telling it what we want of one.

`resolve` is the Task that asks: UNKNOWN leaves only by the channel's word, never by time.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.orders import OrderStatus
from hub.domain.payments import (
    MOST_RETRY_AFTER_MS,
    RANK,
    RESEND_WITHIN_US,
    SEND_WITHIN_US,
    UNRESOLVED_AFTER_US,
    AttemptState,
    FactKind,
    Outcome,
    PaymentAttempt,
    Result,
    Source,
    Stage,
    fact_of,
    is_denied,
    next_query_after_s,
    next_query_at_us,
    resent,
    void_fact_of,
)
from hub.domain.reconciliation import BreakKind
from hub.flows.asking import ask, asked
from hub.flows.attempt_facts import ANEW, RESOLVE, VOID, apply_fact, attempts_of, moved
from hub.flows.breaks import open_break
from hub.flows.instructions import carry_out
from hub.flows.tasks import keeps_or_takes
from hub.ports import Channel, Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)


async def resolve(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one attempt: ask its channel, apply what it says. Returns when to ask again (µs), None when done."""
    async with hub.store.reading() as rx:
        attempt = await rx.payments.by_id(task.body["attempt"])
    if attempt is None or (attempt.is_settled and ANEW not in task.body):
        return None  # one that is NOT_SENT may have lost its process before it was sent again
    channel = hub.channels.get(attempt.channel)
    if channel is None:
        return await _without_channel(hub, attempt)
    was_settled = attempt.is_settled
    attempt, retry_after_ms = await _asked_round(hub, channel, attempt, task)
    if was_settled and attempt.state is not AttemptState.CHARGED and retry_after_ms:
        return _ask_again_at(hub, attempt, task, retry_after_ms)
    if attempt.is_settled or attempt.state is AttemptState.NOT_SENT:
        return None
    await _report_if_late(hub, attempt)
    return _ask_again_at(hub, attempt, task, retry_after_ms)


async def _without_channel(hub: Hub, attempt: PaymentAttempt) -> int:
    """Looked at again in a minute, maybe by a process that has its channel."""
    log.error("attempt %s is open on channel %s, which is not configured", attempt.id, attempt.channel)
    await _report_if_late(hub, attempt)
    return hub.clock.now_us() + 60 * 1_000_000


async def ask_once(hub: Hub, channel: Channel, attempt: PaymentAttempt) -> PaymentAttempt:
    """One round: void what is past its time, query, and send again what the channel provably never had."""
    attempt, _ = await _asked_round(hub, channel, attempt, None)
    return attempt


async def _asked_round(
    hub: Hub, channel: Channel, attempt: PaymentAttempt, task: "LeasedTask | None"
) -> tuple[PaymentAttempt, int]:
    """Likewise, and for how many milliseconds the channel does not want to be asked again. `task`: the attempt's, if it
    is that which asks."""
    now_us = hub.clock.now_us()
    is_due = now_us >= attempt.due_at_us and channel.capabilities.can_void and not attempt.is_instructed
    if is_due and attempt.state in VOIDABLE:
        voided = await asked(hub, attempt.channel, "void", partial(channel.void, attempt))
        attempt = await hub.store.write(record_void, attempt.id, voided, hub.draw(), hub.vault)
        if not attempt.is_live:
            return attempt, 0
    told = await ask(channel.query(attempt), now_us)
    after_ms = told.retry_after_ms or 0
    if _was_never_there(told) and not _may_be_believed(channel, attempt, now_us):
        return attempt, after_ms
    attempt = await hub.store.write(record_query, attempt, told, hub.draw(), hub.vault)
    if attempt.is_instructed and attempt.state is AttemptState.AUTHORIZED:
        return await carry_out(hub, channel, attempt, task)
    if attempt.state is not AttemptState.NOT_SENT or now_us - attempt.created_at_us > RESEND_WITHIN_US:
        return attempt, after_ms
    again, is_ours = await hub.store.write(send_again, attempt, task, hub.draw(), hub.vault)
    if not is_ours:
        return again, after_ms
    again, answer = await send(hub, channel, again, task)
    if answer is None:
        return again, after_ms
    again = await hub.store.write(record_answer, again, answer, hub.draw(), hub.vault)
    return again, answer.retry_after_ms or 0


async def send(
    hub: Hub, channel: Channel, attempt: PaymentAttempt, task: "LeasedTask | None" = None
) -> tuple[PaymentAttempt, Result | None]:
    """Ask a channel to take the money, as was written down a moment ago. A process that has stood still since writes
    it down anew: others may have taken its call for lost, and gone on without it. Then nothing is sent (None)."""
    while hub.clock.now_us() - attempt.sent_at_us >= SEND_WITHIN_US:
        attempt, is_ours = await hub.store.write(send_again, attempt, task, hub.draw(), hub.vault)
        if not is_ours:
            return attempt, None
    return attempt, await asked(hub, attempt.channel, "create", partial(channel.create, attempt))


VOIDABLE = frozenset({AttemptState.ACTION, AttemptState.PENDING, AttemptState.AUTHORIZED})


def _was_never_there(result: Result) -> bool:
    return result.outcome is Outcome.DONE and result.stage is Stage.NONE


def _may_be_believed(channel: Channel, attempt: PaymentAttempt, now_us: int) -> bool:
    """A slow first call may still land: "never saw it" counts only some time after sending, if at all. Of money that
    it has told of already, it always counts: as a contradiction."""
    if attempt.heard_rank >= RANK[FactKind.AUTHORIZED]:
        return True
    after_ms = channel.capabilities.not_found_after_ms
    return after_ms is not None and now_us - attempt.sent_at_us >= after_ms * 1000


async def record_query(tx: "Tx", known: PaymentAttempt, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    """`known`: as it was when its channel was asked. That it never saw it is about the latest call of then."""
    if is_denied(known, result):
        detail = f"{known.channel} told of {known.key} and says now that it never saw it"
        await open_break(tx, BreakKind.STATUS, known.id, known.order_id, detail, draw)
        return await _held(tx, known.id)
    return await apply_fact(tx, known.id, result, fact_of(known, result, Source.QUERY), draw, vault)


async def record_void(tx: "Tx", attempt_id: str, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    attempt = await _held(tx, attempt_id)
    return await apply_fact(tx, attempt_id, result, void_fact_of(attempt, result), draw, vault)


async def record_answer(tx: "Tx", known: PaymentAttempt, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    return await apply_fact(tx, known.id, result, fact_of(known, result, Source.ANSWER), draw, vault)


async def _held(tx: "Tx", attempt_id: str) -> PaymentAttempt:
    attempt = await tx.payments.by_id(attempt_id)
    assert attempt is not None, attempt_id
    return attempt


async def send_again(
    tx: "Tx", known: PaymentAttempt, task: "LeasedTask | None", draw: Draw, vault: Vault
) -> tuple[PaymentAttempt, bool]:
    """One more call with the same bytes, SUBMITTED before it is made: of an attempt that is NOT_SENT, or whose last
    call has not been made; unless somebody has gone on with it since it was `known`, or another one is live. Whether it
    is for the caller to send it: what is sent has a Task that asks about it. A worker must still hold that, as an
    earlier answer may have ended it meanwhile; anybody else (`task` None) leases it."""
    held = await tx.orders.lock_with(known.id)
    assert held is not None
    order, attempt = held
    others = [other for other in await attempts_of(tx, order, attempt) if other.id != attempt.id]
    is_as_known = (attempt.state, attempt.calls) == (known.state, known.calls) and attempt.state in _NOT_MADE
    is_wanted = order.status is OrderStatus.AWAITING_PAYMENT and draw.now_us < order.deadline_us
    if not is_as_known or not is_wanted or any(other.is_live for other in others):
        return attempt, False
    if not await keeps_or_takes(tx, RESOLVE, attempt.id, {"attempt": attempt.id}, task, draw):
        return attempt, False
    return await moved(tx, order, attempt, resent(attempt, draw.now_us), "sent again", draw, vault), True


_NOT_MADE = frozenset({AttemptState.NOT_SENT, AttemptState.SUBMITTED})


def _ask_again_at(hub: Hub, attempt: PaymentAttempt, task: "LeasedTask", retry_after_ms: int) -> int:
    """The schedule: soon at first, then hourly; at its deadline in any case; never before the channel allows it."""
    now_us = hub.clock.now_us()
    since_us = attempt.created_at_us if attempt.instruction is None else attempt.instruction.at_us
    at_us = next_query_at_us(max(task.attempts - 1, 0), since_us, now_us)
    if now_us < attempt.due_at_us:
        at_us = min(at_us, attempt.due_at_us)
    return max(at_us, now_us + min(retry_after_ms, MOST_RETRY_AFTER_MS) * 1_000)


async def _report_if_late(hub: Hub, attempt: PaymentAttempt) -> None:
    """What nobody has told is a person's a day after the call; what could not be closed, a day after its deadline."""
    since_us = attempt.due_at_us
    if attempt.state is AttemptState.UNKNOWN:
        since_us = attempt.unknown_since_us or attempt.sent_at_us
    elif attempt.instruction is not None:
        since_us = attempt.instruction.at_us
    if hub.clock.now_us() - since_us >= UNRESOLVED_AFTER_US:
        await hub.store.write(report_unresolved, attempt, hub.draw())


async def report_unresolved(tx: "Tx", attempt: PaymentAttempt, draw: Draw) -> None:
    detail = f"{attempt.channel} has not said what became of {attempt.key}"
    await open_break(tx, BreakKind.UNRESOLVED, attempt.id, attempt.order_id, detail, draw)


async def promise_void(tx: "Tx", attempt_id: str, draw: Draw) -> None:
    """That an attempt is to be closed at its channel, before the channel is told: a Task goes on if this process dies,
    or nobody hears the answer."""
    tx.tasks.add(VOID, attempt_id, {"attempt": attempt_id}, draw.now_us + next_query_after_s(0) * 1_000_000)


async def void(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task that closes an attempt which came to life beside another one."""
    async with hub.store.reading() as rx:
        attempt = await rx.payments.by_id(task.body["attempt"])
    if attempt is None or attempt.state in (AttemptState.CHARGED, AttemptState.VOIDED):
        return None
    channel = hub.channels.get(attempt.channel)
    if channel is None:
        return await _without_channel(hub, attempt)
    result = await asked(hub, attempt.channel, "void", partial(channel.void, attempt))
    attempt = await hub.store.write(record_void, attempt.id, result, hub.draw(), hub.vault)
    if result.outcome is Outcome.DONE and not attempt.is_live:
        return None
    await _report_if_late(hub, attempt)
    return _ask_again_at(hub, attempt, task, result.retry_after_ms or 0)
