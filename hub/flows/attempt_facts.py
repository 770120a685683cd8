"""What we are told about an attempt, by whatever way, becomes its state, the order's, the books' and the buyer's right.

`apply_fact` is the one door for the answer to a call, a query and a Notice.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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
    AttemptState,
    Fact,
    FactKind,
    PaymentAttempt,
    Result,
    Source,
    asked_amount,
    is_as_asked,
    is_of_another_call,
    next_query_after_s,
    reassured,
    reduce,
)
from hub.domain.reconciliation import BreakKind
from hub.flows import disputes, late, looks
from hub.flows.breaks import open_break, tell_of_lost_purchase
from hub.flows.entitlements import audiences_of, grant_purchase, restore_grants_of
from hub.flows.records import record_end
from hub.flows.wallets import holder_of, payer_of
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

RESOLVE = "resolve_attempt"
VOID = "void_attempt"
ANEW = "anew"  # in the body of a Task that asks about an attempt which had ended


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
    attempt = before if is_of_another_call(before, fact) else _informed(reduce(before, fact), result)
    if fact.kind is FactKind.AUTHORIZED and fact.source is Source.QUERY:
        attempt = reassured(attempt)
    others = [other for other in await attempts_of(tx, order, before) if other.id != attempt_id]
    if attempt.state in LIVE and before.state not in LIVE:
        attempt = await _came_to_life(tx, order, before, attempt, others, draw)
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


async def _came_to_life(
    tx: "Tx",
    order: Order,
    before: PaymentAttempt,
    attempt: PaymentAttempt,
    others: Sequence[PaymentAttempt],
    draw: Draw,
) -> PaymentAttempt:
    """An attempt that had ended may take the money after all. It is taken up and asked about; where another one may
    take it, it stays as it is, and there as on an order that waits for no money it is voided. Whoever is just about to
    end the Task of what had ended cannot any more."""
    is_rival = any(other.is_live for other in others)
    is_wanted = order.status is OrderStatus.AWAITING_PAYMENT and not is_rival
    body = {"attempt": attempt.id}
    if is_wanted:
        await tx.tasks.again(RESOLVE, attempt.id, body, draw.now_us + next_query_after_s(0) * 1_000_000)
    else:
        await tx.tasks.again(VOID, attempt.id, body, draw.now_us)
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


async def attempts_of(tx: "Tx", order: Order, known: PaymentAttempt) -> Sequence[PaymentAttempt]:
    """All attempts of a locked order; the order says how many there are, so the usual one needs no look."""
    return [known] if order.attempts == 1 else await tx.payments.of_order(order.id)


async def moved(
    tx: "Tx", order: Order, before: PaymentAttempt, after: PaymentAttempt, cause: str, draw: Draw, vault: Vault
) -> PaymentAttempt:
    """An attempt of a locked order in another state by our own doing, with all who are told of it."""
    others = [other for other in await attempts_of(tx, order, before) if other.id != after.id]
    after = await tx.payments.update(after)
    if after.state is not before.state:
        tell_attempt(tx, before.state, after, cause, await audiences_of(tx, order, vault), draw)
    moved = settled(order, [*others, after], draw.now_us)
    if moved != order:
        await tx.orders.update(moved)
    return after


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
