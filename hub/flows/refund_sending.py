"""A refund on its way: SUBMITTED is committed, the channel is asked, what it says is recorded.

`resolve` is the Task that goes on where a process died or nobody has told us: UNKNOWN leaves only by the channel's
word, never by time, and what the channel provably never had is sent again with the same key, for a day.
"""

import logging
from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.payments import (
    SEND_WITHIN_US,
    UNRESOLVED_AFTER_US,
    Outcome,
    PaymentAttempt,
    Result,
    Source,
    Stage,
    next_query_at_us,
)
from hub.domain.reconciliation import BreakKind
from hub.domain.refunds import Refund, RefundFactKind, RefundState, given_up, is_too_old, submitted
from hub.flows import late
from hub.flows.asking import ask, asked
from hub.flows.breaks import open_break
from hub.flows.entitlements import audiences_of
from hub.flows.refund_facts import RESOLVE, apply_fact, call_off, locked, tell
from hub.ports import Channel, Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

# When a refund that is still open is asked about for the first time.
FIRST_LOOK_US = 2 * 1_000_000


async def send(hub: Hub, refund: Refund) -> Refund:
    """SUBMITTED is committed, then the channel is asked, then what it says is recorded."""
    sent = await hub.store.write(submit_refund, refund, hub.draw(), hub.vault)
    while sent is not None and hub.clock.now_us() - (sent[0].sent_at_us or 0) >= SEND_WITHIN_US:
        sent = await hub.store.write(submit_refund, sent[0], hub.draw(), hub.vault)
    if sent is None:
        return await _now(hub, refund)
    refund, attempt = sent
    channel = hub.channels[attempt.channel]
    result = await asked(hub, attempt.channel, "refund", lambda: channel.refund(attempt, refund))
    return await hub.store.write(record_refund, refund, result, Source.ANSWER, hub.draw(), hub.vault)


async def _now(hub: Hub, refund: Refund) -> Refund:
    async with hub.store.reading() as rx:
        return await rx.refunds.by_id(refund.id) or refund


async def submit_refund(tx: "Tx", known: Refund, draw: Draw, vault: Vault) -> tuple[Refund, PaymentAttempt] | None:
    """REQUESTED becomes SUBMITTED, or SUBMITTED stays so as one more call, where the process that was to make the last
    one has stood still since; None: somebody else sends it, or it was called off."""
    order, before, attempt = await locked(tx, known.id)
    is_not_made = before.state is RefundState.SUBMITTED and (before.state, before.calls) == (known.state, known.calls)
    if before.state is not RefundState.REQUESTED and not is_not_made:
        return None
    refund = await tx.refunds.update(submitted(before, draw.now_us))
    if not is_not_made:
        tell(tx, before.state, refund, attempt.channel, "sent", await audiences_of(tx, order, vault), draw)
    return refund, attempt


async def record_refund(tx: "Tx", known: Refund, result: Result, source: Source, draw: Draw, vault: Vault) -> Refund:
    """What an answer or a query says; the Task that asks stays as long as there is something to ask."""
    refund = await apply_fact(tx, known, result, source, draw, vault)
    if not refund.is_open:
        await tx.tasks.drop(RESOLVE, refund.id)
    else:
        after_us = max(FIRST_LOOK_US, (result.retry_after_ms or 0) * 1000)
        await tx.tasks.put_back(RESOLVE, refund.id, {"refund": refund.id}, draw.now_us + after_us, draw)
    return refund


async def resolve(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one refund: send what was never sent, else ask. Returns when to look again (µs), None when done."""
    async with hub.store.reading() as rx:
        refund = await rx.refunds.by_id(task.body["refund"])
    if refund is None or not refund.is_open:
        return None
    refund = await ask_once(hub, refund)
    if not refund.is_open:
        return None
    now_us = hub.clock.now_us()
    if now_us - (refund.sent_at_us or refund.created_at_us) >= UNRESOLVED_AFTER_US:
        await hub.store.write(report_refund_unresolved, refund, hub.draw())
    return next_query_at_us(max(task.attempts - 1, 0), refund.created_at_us, now_us)


async def ask_once(hub: Hub, refund: Refund) -> Refund:
    """One round: query, and send again with the same key what the channel provably never had."""
    async with hub.store.reading() as rx:
        found = await rx.refunds.with_attempt(refund.id)
    assert found is not None, refund.id
    refund, attempt = found
    channel = hub.channels.get(attempt.channel)
    if channel is None:
        log.error("refund %s is open on channel %s, which is not configured", refund.id, attempt.channel)
        return refund
    now_us = hub.clock.now_us()
    if refund.state is not RefundState.REQUESTED:
        if not refund.is_open:
            return refund
        told = await ask(channel.query_refund(attempt, refund), now_us)
        if _was_never_there(told) and not _may_be_believed(channel, refund, now_us):
            return refund
        refund = await hub.store.write(record_refund_query, refund, told, hub.draw(), hub.vault)
    if is_too_old(refund, now_us):
        return await _give_up(hub, channel, attempt, refund)
    return await send(hub, refund) if refund.state is RefundState.REQUESTED else refund


async def _give_up(hub: Hub, channel: Channel, attempt: PaymentAttempt, refund: Refund) -> Refund:
    """Its key is too old to be sent once more. One of which nobody ever knew whether it had arrived is asked about
    first: it is called off on its channel's word that it is not there."""
    async with hub.store.reading() as rx:
        facts = await rx.refunds.facts_of([refund.id])
    if any(fact.kind is RefundFactKind.UNKNOWN for _, fact in facts):
        told = await ask(channel.query_refund(attempt, refund), hub.clock.now_us())
        if not _was_never_there(told):
            return await hub.store.write(record_refund_query, refund, told, hub.draw(), hub.vault)
    return await hub.store.write(expire_refund, refund.id, hub.draw(), hub.vault)


async def expire_refund(tx: "Tx", refund_id: str, draw: Draw, vault: Vault) -> Refund:
    """Called off, its money free again; surplus money is given back anew, under another key."""
    order, before, attempt = await locked(tx, refund_id)
    if not is_too_old(before, draw.now_us):
        return before
    refund = await call_off(tx, order, given_up(before), before, attempt.channel, "not sent within a day", draw, vault)
    if refund.is_surplus:
        late.give_back(tx, order, refund.key, draw)
    return refund


async def record_refund_query(tx: "Tx", known: Refund, result: Result, draw: Draw, vault: Vault) -> Refund:
    return await apply_fact(tx, known, result, Source.QUERY, draw, vault)


def _was_never_there(result: Result) -> bool:
    return result.outcome is Outcome.DONE and result.stage is Stage.NONE


def _may_be_believed(channel: Channel, refund: Refund, now_us: int) -> bool:
    """A slow first call may still land: "never saw it" counts only some time after sending, if at all."""
    after_ms = channel.capabilities.not_found_after_ms
    return after_ms is not None and now_us - (refund.sent_at_us or now_us) >= after_ms * 1000


async def report_refund_unresolved(tx: "Tx", refund: Refund, draw: Draw) -> None:
    detail = f"nobody has said what became of refund {refund.key}"
    await open_break(tx, BreakKind.UNRESOLVED, refund.id, refund.order_id, detail, draw)
