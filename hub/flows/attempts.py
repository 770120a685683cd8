"""What we are told about an attempt, by whatever way, becomes its state, the order's, the books' and the buyer's right.

`apply_fact` is the one door for the answer to a call, a query and a Notice. `resolve` is the Task that asks when nobody
has told us: UNKNOWN leaves only by the channel's word, never by time.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hub.domain import checkout, ledger
from hub.domain.entitlements import REFUND
from hub.domain.events import Audience, Change, OrderEvent, OrderMoneyChanged, OrderPaid, PaymentAttemptChanged
from hub.domain.ids import Draw
from hub.domain.ledger import JournalEntry
from hub.domain.money import Money
from hub.domain.orders import PAID_ONCE, ChainStatus, FulfilmentStatus, Order, OrderStatus, received, settled
from hub.domain.payments import (
    ENDED,
    LIVE,
    MOST_RETRY_AFTER_MS,
    RANK,
    RESEND_WITHIN_US,
    UNRESOLVED_AFTER_US,
    AttemptState,
    Fact,
    FactKind,
    InstructionKind,
    Outcome,
    PaymentAttempt,
    Result,
    Source,
    Stage,
    asked_amount,
    fact_of,
    instruction_told,
    is_as_asked,
    is_denied,
    next_query_after_s,
    reassured,
    reduce,
    resent,
    void_fact_of,
)
from hub.domain.reconciliation import BreakKind
from hub.flows import disputes, late, looks
from hub.flows.breaks import open_break, tell_of_lost_purchase
from hub.flows.entitlements import audiences_of, grant_purchase, restore_grants_of
from hub.flows.records import record_end
from hub.flows.wallets import holder_of, payer_of
from hub.ports import Channel, Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

RESOLVE = "resolve_attempt"
VOID = "void_attempt"
ANEW = "anew"  # in the body of a Task that asks about an attempt which had ended
# A call that takes longer is given up as UNKNOWN; adapters' own budgets (connect 3 s, read 10 s) end before.
CALL_WITHIN_S = 35


async def ask(call: Coroutine[Any, Any, Result], now_us: int) -> Result:
    """One call of an adapter. Whatever goes wrong in it, what we know afterwards is UNKNOWN, never failure."""
    try:
        async with asyncio.timeout(CALL_WITHIN_S):
            return await call
    except Exception:  # whatever it is, the call may have reached the channel
        log.exception("a channel's adapter raised: its outcome is unknown")
        return Result(Outcome.UNKNOWN, Stage.NONE, hashlib.sha256(b"").digest(), now_us, code="adapter_fault")


async def asked(hub: Hub, code: str, operation: str, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """One write to a channel through its breaker: while that is open, nothing is sent, and the answer says so."""
    breaker = hub.breakers.of(code, operation)
    admission = hub.breakers.admit(code, operation, hub.clock.now_us())
    if admission.wait_us:
        nothing = hashlib.sha256(b"").digest()
        after_ms = admission.wait_us // 1000 + 1
        return Result(
            Outcome.NOT_SENT, Stage.NONE, nothing, hub.clock.now_us(), code="breaker_open", retry_after_ms=after_ms
        )
    outcome = Outcome.UNKNOWN  # what is known of a call that was cut off
    try:
        result = await ask(call(), hub.clock.now_us())
        outcome = result.outcome
    finally:
        breaker.record(admission, outcome, hub.clock.now_us())
    return result


# ---- the one door ----------------------------------------------------------------------------------------------------


async def apply_fact(
    tx: "Tx", attempt_id: str, result: Result, fact: Fact | None, draw: Draw, vault: Vault
) -> PaymentAttempt:
    """Lock the order, keep the fact, reduce, and write all that follows from it. Any order of arrival, the same end."""
    held = await tx.orders.lock_with(attempt_id)
    assert held is not None, attempt_id
    order, before = held
    if fact is None:
        return await _noted(tx, before, result)
    heard = await tx.payments.add_fact(attempt_id, fact)
    attempt = _informed(reduce(before, fact), result)
    if fact.kind is FactKind.AUTHORIZED and fact.source is Source.QUERY:
        attempt = reassured(attempt)
    others = [other for other in await _attempts(tx, order, before) if other.id != attempt_id]
    if attempt.state in LIVE and before.state not in LIVE:
        attempt = _came_to_life(tx, order, before, attempt, others, draw)
    is_new = heard.value == "NEW"
    if heard.value == "CONTRADICTED":
        order = replace(order, has_conflict=True)
    if is_new and fact.kind is FactKind.AUTHORIZED and not is_as_asked(before, fact):
        order = replace(order, has_conflict=True)
    if is_new and fact.kind is FactKind.CAPTURED and fact.amount is not None:
        if before.instruction is not None and fact.amount == asked_amount(before):
            order = replace(order, due_minor=_due(order, fact.amount))
        order = received(order, fact.amount)
        await _book(tx, order, before, fact, draw)
        order = await late.met(tx, order)
    if attempt != before:
        attempt = await tx.payments.update(attempt)
    after = settled(order, [*others, attempt], draw.now_us)
    await _break_on(tx, after, attempt, fact, heard.value, draw)
    if attempt.version != before.version or after != held[0]:
        await _follow(tx, held[0], after, before, attempt, f"{fact.source}: {fact.kind}", draw, vault)
    return attempt


async def pay_after_all(tx: "Tx", held: Order, cause: str, draw: Draw, vault: Vault) -> None:
    """A locked order that awaits its payment and has it: a part of it was to go back, and did not."""
    attempts = await tx.payments.of_order(held.id)
    last = next(one for one in reversed(attempts) if one.state is AttemptState.CHARGED)
    await _follow(tx, held, settled(held, attempts, draw.now_us), last, last, cause, draw, vault)


def _came_to_life(
    tx: "Tx",
    order: Order,
    before: PaymentAttempt,
    attempt: PaymentAttempt,
    others: Sequence[PaymentAttempt],
    draw: Draw,
) -> PaymentAttempt:
    """An attempt that had ended may take the money after all. It is taken up and asked about; where another one may
    take it, it stays as it is, and there as on an order that waits for no money it is voided."""
    is_rival = any(other.is_live for other in others)
    is_wanted = order.status is OrderStatus.AWAITING_PAYMENT and not is_rival
    body = {"attempt": attempt.id}
    if is_wanted:
        tx.tasks.add(RESOLVE, attempt.id, body, draw.now_us + next_query_after_s(0) * 1_000_000)
    else:
        tx.tasks.add(VOID, attempt.id, body, draw.now_us)
    return before if is_rival else attempt


def _due(order: Order, captured: Money) -> int | None:
    """What pays an order whose merchant took this much of the money held for it."""
    return captured.amount_minor if captured.amount_minor < order.total.amount_minor else order.due_minor


async def _noted(tx: "Tx", attempt: PaymentAttempt, result: Result) -> PaymentAttempt:
    """Nothing about money; but the channel's reference or next action may be worth keeping."""
    informed = _informed(attempt, result)
    return attempt if informed == attempt else await tx.payments.update(informed)


# What a code says something about; any other state has outlived it.
_WITH_CODE = frozenset({AttemptState.DECLINED, AttemptState.REJECTED, AttemptState.NOT_SENT, AttemptState.UNKNOWN})


def _informed(attempt: PaymentAttempt, result: Result) -> PaymentAttempt:
    """What an attempt shows besides its state. The channel's reference, once known, stays."""
    next_action = result.next_action or attempt.next_action
    explains = attempt.state in _WITH_CODE
    return replace(
        attempt,
        channel_ref=attempt.channel_ref or result.channel_ref,
        code=(result.code or attempt.code) if explains else None,
        # One that was declined for good stays so when it is voided: no other channel is asked in its stead.
        decline=(result.decline or attempt.decline) if explains or attempt.state is AttemptState.VOIDED else None,
        next_action=next_action if attempt.state is AttemptState.ACTION else None,
    )


async def _attempts(tx: "Tx", order: Order, known: PaymentAttempt) -> Sequence[PaymentAttempt]:
    """All attempts of a locked order; the order says how many there are, so the usual one needs no look."""
    return [known] if order.attempts == 1 else await tx.payments.of_order(order.id)


async def _book(tx: "Tx", order: Order, attempt: PaymentAttempt, fact: Fact, draw: Draw) -> None:
    """The posting of what the channel really took."""
    assert fact.amount is not None
    if fact.amount.amount_minor == 0:
        return
    await tx.ledger.post(
        JournalEntry(
            id=draw.id("jen", fact.key),
            reference=f"charge/{fact.channel}/{fact.key}",
            kind="charge",
            order_id=order.id,
            postings=ledger.charge(order.id, attempt.channel, fact.amount, order.total.currency),
            effective_at_us=fact.provider_at_us or fact.observed_at_us,
            recorded_at_us=draw.now_us,
        )
    )


async def _break_on(
    tx: "Tx",
    order: Order,
    attempt: PaymentAttempt,
    fact: Fact,
    heard: str,
    draw: Draw,
) -> None:
    """Money that is not what we asked, came twice, or came too late: open until a person settles it."""
    if heard == "SAME":
        return
    if heard == "CONTRADICTED" or not is_as_asked(attempt, fact):
        told, asked = fact.amount, attempt.amount
        kind = BreakKind.AMOUNT if told and told.currency == asked.currency else BreakKind.CURRENCY
        detail = f"asked {asked.amount_minor} {asked.currency}, told "
        detail += f"{told.amount_minor} {told.currency}" if told else "nothing"
        await open_break(tx, kind, attempt.id, order.id, f"{detail} ({heard.lower()} {fact.kind})", draw)
    if attempt.channel == checkout.CHANNEL and attempt.state is AttemptState.VOIDED:
        await tell_of_lost_purchase(tx, attempt, draw)
    if fact.kind is not FactKind.CAPTURED or heard != "NEW" or fact.amount is None:
        return
    if fact.amount.currency != order.total.currency:
        return
    if order.is_closed:
        detail = f"{order.received_minor} {order.total.currency} came after the order was {order.status}"
        await open_break(tx, BreakKind.LATE_PAYMENT, order.id, order.id, detail, draw)
        late.give_back(tx, order, fact.key, draw)
    elif order.received_minor > order.due and is_as_asked(attempt, fact):
        detail = f"{order.received_minor} of {order.due} {order.total.currency} by several movements"
        await open_break(tx, BreakKind.DUPLICATE, order.id, order.id, detail, draw)
        late.give_back(tx, order, fact.key, draw)


async def _follow(
    tx: "Tx",
    held: Order,
    order: Order,
    before: PaymentAttempt,
    attempt: PaymentAttempt,
    cause: str,
    draw: Draw,
    vault: Vault,
) -> None:
    """What follows from a change: the right, the record for the chain, the order's row, and everybody being told."""
    is_paid_now = order.status is OrderStatus.PAID and held.status is not OrderStatus.PAID
    # The last of several movements on one attempt pays without another state: the right has its leaf all the same.
    has_ended = attempt.state in ENDED and (attempt.state is not before.state or is_paid_now)
    if is_paid_now:
        order = replace(order, fulfilment_status=FulfilmentStatus.FULFILLED)
    if has_ended and (is_paid_now or order.status not in PAID_ONCE):
        order = replace(order, chain_status=ChainStatus.QUEUED)
    audiences = await audiences_of(tx, order, vault)
    if attempt.state is not before.state:
        tell_attempt(tx, before.state, attempt, cause, audiences, draw)
        if attempt.state is AttemptState.CHARGED:
            looks.promise(tx, attempt, None, draw)
    if order != held:
        order = await tx.orders.update(order)
        _tell_money(tx, held, order, cause, audiences, draw)
    grant_id = await grant_purchase(tx, order, audiences, draw) if is_paid_now else None
    if has_ended:
        await record_end(
            tx,
            order,
            attempt,
            grant_id=grant_id,
            # This request may have had an end before, whatever it has been since: declined, authorised, then charged.
            had_ended=held.chain_status is not ChainStatus.NOT_RECORDED,
            audiences=audiences,
            draw=draw,
            vault=vault,
            holder=payer_of(attempt, vault) or await holder_of(tx, order),
        )
    if held.status is OrderStatus.REFUNDED and order.status is not held.status:
        # Money came again: until that goes back too the price is paid, whatever came first.
        again = await restore_grants_of(tx, order, REFUND, audiences, draw, vault)
        if again != order:
            await tx.orders.update(again)
    # What came before may be in dispute already, and what a lost one took of the price may be here again.
    if held.received_minor and order.received_minor != held.received_minor and order.status in PAID_ONCE:
        await disputes.weigh_right(tx, order.id, audiences, draw, vault)


def _tell_money(tx: "Tx", held: Order, order: Order, cause: str, audiences: list[Audience], draw: Draw) -> None:
    """Paid, or money that does not pay: too little, too much, too late, or not as asked."""
    is_paid_now = order.status is OrderStatus.PAID and held.status is not OrderStatus.PAID
    is_about_money = order.received_minor != held.received_minor or order.has_conflict != held.has_conflict
    if is_paid_now or is_about_money:
        kind: type[OrderEvent] = OrderPaid if is_paid_now else OrderMoneyChanged
        change = Change(held.status, order.status, cause)
        tx.events.append(order, kind.of(order), audiences, draw, change)


def tell_attempt(
    tx: "Tx", before: str, attempt: PaymentAttempt, cause: str, audiences: list[Audience], draw: Draw
) -> None:
    event = PaymentAttemptChanged(attempt.id, attempt.order_id, attempt.channel, attempt.state, attempt.code)
    tx.events.append(attempt, event, audiences, draw, Change(before, attempt.state, cause))


# ---- asking ----------------------------------------------------------------------------------------------------------


async def resolve(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one attempt: ask its channel, apply what it says. Returns when to ask again (µs), None when done."""
    async with hub.store.reading() as rx:
        attempt = await rx.payments.by_id(task.body["attempt"])
    if attempt is None or (attempt.is_settled and ANEW not in task.body):
        return None  # one that is NOT_SENT may have lost its process before it was sent again
    channel = hub.channels.get(attempt.channel)
    if channel is None:
        log.error("attempt %s is live on channel %s, which is not configured", attempt.id, attempt.channel)
        await _report_if_late(hub, attempt)
        return hub.clock.now_us() + 60 * 1_000_000
    was_settled = attempt.is_settled
    attempt, retry_after_ms = await _asked_round(hub, channel, attempt)
    if was_settled and attempt.state is not AttemptState.CHARGED and retry_after_ms:
        return _ask_again_at(hub, attempt, task, retry_after_ms)
    if attempt.is_settled or attempt.state is AttemptState.NOT_SENT:
        return None
    await _report_if_late(hub, attempt)
    return _ask_again_at(hub, attempt, task, retry_after_ms)


async def ask_once(hub: Hub, channel: Channel, attempt: PaymentAttempt) -> PaymentAttempt:
    """One round: void what is past its time, query, and send again what the channel provably never had."""
    attempt, _ = await _asked_round(hub, channel, attempt)
    return attempt


async def _asked_round(hub: Hub, channel: Channel, attempt: PaymentAttempt) -> tuple[PaymentAttempt, int]:
    """Likewise, and for how many milliseconds the channel does not want to be asked again."""
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
    attempt = await hub.store.write(record_query, attempt.id, told, hub.draw(), hub.vault)
    if attempt.is_instructed and attempt.state is AttemptState.AUTHORIZED:
        return await carry_out(hub, channel, attempt)
    if attempt.state is not AttemptState.NOT_SENT or now_us - attempt.created_at_us > RESEND_WITHIN_US:
        return attempt, after_ms
    again = await hub.store.write(send_again, attempt.id, hub.draw(), hub.vault)
    if again.state is not AttemptState.SUBMITTED:
        return again, after_ms
    answer = await asked(hub, again.channel, "create", partial(channel.create, again))
    again = await hub.store.write(record_answer, again.id, answer, hub.draw(), hub.vault)
    return again, answer.retry_after_ms or 0


async def carry_out(hub: Hub, channel: Channel, attempt: PaymentAttempt) -> tuple[PaymentAttempt, int]:
    """Tell the channel what its merchant wants done with held money: once or again, it is one capture or one void."""
    instruction = attempt.instruction
    assert instruction is not None, attempt.id
    if instruction.kind is InstructionKind.CAPTURE:
        told = await asked(hub, attempt.channel, "capture", partial(channel.capture, attempt, instruction.amount))
    else:
        told = await asked(hub, attempt.channel, "void", partial(channel.void, attempt))
    attempt = await hub.store.write(record_instructed, attempt.id, told, hub.draw(), hub.vault)
    return attempt, told.retry_after_ms or 0


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


async def record_query(tx: "Tx", attempt_id: str, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    attempt = await _held(tx, attempt_id)
    if is_denied(attempt, result):
        detail = f"{attempt.channel} told of {attempt.key} and says now that it never saw it"
        await open_break(tx, BreakKind.STATUS, attempt.id, attempt.order_id, detail, draw)
        return attempt
    return await apply_fact(tx, attempt_id, result, fact_of(attempt, result, Source.QUERY), draw, vault)


async def record_instructed(tx: "Tx", attempt_id: str, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    """The answer to a capture or a void of held money: an end is a fact like any other, the rest is asked about."""
    attempt = await _held(tx, attempt_id)
    fact = void_fact_of(attempt, result)
    if fact is not None:
        return await apply_fact(tx, attempt_id, result, fact, draw, vault)
    held = await tx.orders.lock_with(attempt_id)
    assert held is not None
    order, before = held
    after = instruction_told(before, result)
    if result.outcome is Outcome.DECLINED and after != before:
        detail = f"{before.channel} held {before.key} and does not pay it out ({result.code}): it is voided"
        await open_break(tx, BreakKind.STATUS, before.id, order.id, detail, draw)
    return before if after == before else await _moved(tx, order, before, after, "capture", draw, vault)


async def _moved(
    tx: "Tx", order: Order, before: PaymentAttempt, after: PaymentAttempt, cause: str, draw: Draw, vault: Vault
) -> PaymentAttempt:
    """An attempt of a locked order in another state by our own doing, with all who are told of it."""
    others = [other for other in await _attempts(tx, order, before) if other.id != after.id]
    after = await tx.payments.update(after)
    if after.state is not before.state:
        tell_attempt(tx, before.state, after, cause, await audiences_of(tx, order, vault), draw)
    moved = settled(order, [*others, after], draw.now_us)
    if moved != order:
        await tx.orders.update(moved)
    return after


async def record_void(tx: "Tx", attempt_id: str, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    attempt = await _held(tx, attempt_id)
    return await apply_fact(tx, attempt_id, result, void_fact_of(attempt, result), draw, vault)


async def record_answer(tx: "Tx", attempt_id: str, result: Result, draw: Draw, vault: Vault) -> PaymentAttempt:
    attempt = await _held(tx, attempt_id)
    return await apply_fact(tx, attempt_id, result, fact_of(attempt, result, Source.ANSWER), draw, vault)


async def _held(tx: "Tx", attempt_id: str) -> PaymentAttempt:
    attempt = await tx.payments.by_id(attempt_id)
    assert attempt is not None, attempt_id
    return attempt


async def send_again(tx: "Tx", attempt_id: str, draw: Draw, vault: Vault) -> PaymentAttempt:
    """NOT_SENT → SUBMITTED, before the same bytes are sent once more; unless another attempt is live by now."""
    held = await tx.orders.lock_with(attempt_id)
    assert held is not None
    order, attempt = held
    attempts = await _attempts(tx, order, attempt)
    is_free = attempt.state is AttemptState.NOT_SENT and not any(other.is_live for other in attempts)
    if not is_free or order.status is not OrderStatus.AWAITING_PAYMENT:
        return attempt
    again = await tx.payments.update(resent(attempt, draw.now_us))
    audiences = await audiences_of(tx, order, vault)
    tell_attempt(tx, attempt.state, again, "sent again", audiences, draw)
    moved = settled(order, [again if other.id == again.id else other for other in attempts], draw.now_us)
    if moved != order:
        await tx.orders.update(moved)
    return again


def _ask_again_at(hub: Hub, attempt: PaymentAttempt, task: "LeasedTask", retry_after_ms: int) -> int:
    """The schedule: soon at first, then hourly; at its deadline in any case; never before the channel allows it."""
    now_us = hub.clock.now_us()
    at_us = now_us + next_query_after_s(max(task.attempts - 1, 0)) * 1_000_000
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
    channel = hub.channels.get(attempt.channel) if attempt else None
    if attempt is None or channel is None or attempt.state in (AttemptState.CHARGED, AttemptState.VOIDED):
        return None
    result = await asked(hub, attempt.channel, "void", partial(channel.void, attempt))
    attempt = await hub.store.write(record_void, attempt.id, result, hub.draw(), hub.vault)
    if result.outcome is Outcome.DONE:
        return None
    await _report_if_late(hub, attempt)
    return _ask_again_at(hub, attempt, task, result.retry_after_ms or 0)
