"""What a merchant wants done with held money is told to its channel: once, by whoever it is for to tell."""

from functools import partial
from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.payments import (
    SEND_WITHIN_US,
    InstructionKind,
    Outcome,
    PaymentAttempt,
    Result,
    instruction_told,
    void_fact_of,
)
from hub.domain.reconciliation import BreakKind
from hub.flows.asking import asked
from hub.flows.attempt_facts import RESOLVE, apply_fact, moved
from hub.flows.breaks import open_break
from hub.flows.tasks import holds, keeps_or_takes
from hub.ports import Channel, Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx


async def carry_out(
    hub: Hub, channel: Channel, attempt: PaymentAttempt, task: "LeasedTask | None" = None
) -> tuple[PaymentAttempt, int]:
    """Tell the channel what its merchant wants done with held money: once or again, it is one capture or one void.
    Whoever comes to it late makes sure first that it is still wanted, and for them to tell."""
    instruction = attempt.instruction
    assert instruction is not None, attempt.id
    since_us = instruction.at_us
    while hub.clock.now_us() - since_us >= SEND_WITHIN_US:
        draw = hub.draw()
        attempt, is_ours = await hub.store.write(hold_on, attempt, task, draw)
        if not is_ours:
            return attempt, 0
        since_us = draw.now_us
    if instruction.kind is InstructionKind.CAPTURE:
        told = await asked(hub, attempt.channel, "capture", partial(channel.capture, attempt, instruction.amount))
    else:
        told = await asked(hub, attempt.channel, "void", partial(channel.void, attempt))
    attempt = await hub.store.write(record_instructed, attempt, told, task, hub.draw(), hub.vault)
    return attempt, told.retry_after_ms or 0


async def hold_on(
    tx: "Tx", known: PaymentAttempt, task: "LeasedTask | None", draw: Draw
) -> tuple[PaymentAttempt, bool]:
    """Before a channel is told what is to become of held money: whether that is still wanted, and for the caller to
    tell. Who is no worker (`task` None) takes over from whoever has its Task."""
    held = await tx.orders.lock_with(known.id)
    assert held is not None
    _, attempt = held
    if not attempt.is_instructed or attempt.instruction != known.instruction:
        return attempt, False
    return attempt, await keeps_or_takes(tx, RESOLVE, attempt.id, {"attempt": attempt.id}, task, draw)


async def record_instructed(
    tx: "Tx", known: PaymentAttempt, result: Result, task: "LeasedTask | None", draw: Draw, vault: Vault
) -> PaymentAttempt:
    """The answer to a capture or a void of held money: an end is a fact like any other, the rest is asked about. What
    is no end counts only from who still has the Task: others have told the channel since, and it may have done it."""
    fact = void_fact_of(known, result)
    if fact is not None:
        return await apply_fact(tx, known.id, result, fact, draw, vault)
    held = await tx.orders.lock_with(known.id)
    assert held is not None
    order, before = held
    if before.instruction != known.instruction or not await holds(tx, RESOLVE, before.id, task, draw):
        return before
    after = instruction_told(before, result)
    if result.outcome is Outcome.DECLINED and after != before:
        detail = f"{before.channel} held {before.key} and does not pay it out ({result.code}): it is voided"
        await open_break(tx, BreakKind.STATUS, before.id, order.id, detail, draw)
    return before if after == before else await moved(tx, order, before, after, "capture", draw, vault)
