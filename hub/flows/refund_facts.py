"""What we are told about a refund, by whatever way, becomes its state, the books', the order's and the buyer's right.

`apply_fact` is the one door for the answer to a call, a query and a Notice: any order of arrival, the same end.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.entitlements import REFUND
from hub.domain.events import Audience, Change, OrderRefunded, RefundChanged
from hub.domain.ids import Draw
from hub.domain.ledger import JournalEntry, Posting, ReservationState, mirrored
from hub.domain.ledger import held as holdings
from hub.domain.orders import Order, OrderStatus
from hub.domain.payments import Outcome, PaymentAttempt, Result, Source, Stage
from hub.domain.reconciliation import BreakKind
from hub.domain.refunds import (
    RANK,
    Refund,
    RefundFact,
    RefundFactKind,
    RefundState,
    fact_of,
    is_as_asked,
    is_of_another_call,
    parts_now,
    reduce,
    refunded,
)
from hub.flows import disputes, late, looks
from hub.flows.attempt_facts import pay_after_all
from hub.flows.breaks import open_break
from hub.flows.entitlements import audiences_of, restore_grants_of, revoke_grants_of
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.facts import Heard
    from hub.store.transactions import Tx

RESOLVE = "resolve_refund"


async def apply_fact(tx: "Tx", known: Refund, result: Result, source: Source, draw: Draw, vault: Vault) -> Refund:
    """Lock the order, keep the fact, reduce, and write all that follows from it. `known`: as it was when its channel
    was asked, or told of it; what is about one call is about the latest of then."""
    order, before, attempt = await locked(tx, known.id)
    fact = fact_of(known, attempt.channel, result, source)
    if fact is None:
        informed = _informed(before, result)
        return before if informed == before else await tx.refunds.update(informed)
    heard = await tx.refunds.add_fact(known.id, fact)
    await _break_on(tx, before, fact, heard, draw)
    if fact.kind is RefundFactKind.PENDING and _is_given_up(before):
        await _break_on_given_up(tx, before, fact, draw)
    after = before if is_of_another_call(before, fact) else _informed(reduce(before, fact), result)
    if after == before:
        return before
    if after.state is not before.state:
        after = await _booked(tx, before, after, fact, draw)
    after = await tx.refunds.update(after)
    if after.state is not before.state:
        await follow(tx, order, before, after, attempt.channel, f"{source}: {fact.kind}", draw, vault)
        if after.state is RefundState.SUCCEEDED:
            looks.promise(tx, attempt, after, draw)
    return after


def _is_given_up(refund: Refund) -> bool:
    """We called it off as a call that had never come, or our call was refused: its promise is given up, and may be
    given to others. The channel may have had it all the same."""
    is_refused = refund.state is RefundState.FAILED and refund.heard_rank == RANK[RefundFactKind.REJECTED]
    return is_refused or (refund.state is RefundState.CANCELED and not refund.heard_rank)


async def _break_on_given_up(tx: "Tx", refund: Refund, fact: RefundFact, draw: Draw) -> None:
    detail = f"{refund.key} was {refund.state}, and {fact.channel} says {fact.kind}"
    await open_break(tx, BreakKind.STATUS, refund.id, refund.order_id, detail, draw)


# What a code says something about; any other state has outlived it.
_WITH_CODE = frozenset({
    RefundState.REQUESTED, RefundState.UNKNOWN, RefundState.FAILED, RefundState.CANCELED, RefundState.REVERSED,
})  # fmt: skip


def _informed(refund: Refund, result: Result) -> Refund:
    """What a refund shows besides its state. The channel's reference, once known, stays."""
    return replace(
        refund,
        channel_ref=refund.channel_ref or result.movement_ref or result.channel_ref,
        code=(result.code or refund.code) if refund.state in _WITH_CODE else None,
    )


async def _break_on(tx: "Tx", refund: Refund, fact: RefundFact, heard: "Heard", draw: Draw) -> None:
    """A success over another amount than was asked: the money stays promised until a person has looked."""
    if heard.value == "CONTRADICTED" or (heard.value == "NEW" and not is_as_asked(refund, fact)):
        asked, told = refund.amount, fact.amount
        kind = BreakKind.AMOUNT if told is None or told.currency == asked.currency else BreakKind.CURRENCY
        words = f"{told.amount_minor} {told.currency}" if told else "nothing"
        detail = f"asked to give back {asked.amount_minor} {asked.currency}, told {words}"
        await open_break(tx, kind, refund.id, refund.order_id, detail, draw)


async def _booked(tx: "Tx", before: Refund, after: Refund, fact: RefundFact, draw: Draw) -> Refund:
    """What the change does to the books: the promise is kept, given up, or kept and undone; each happens once. And
    money that moved after its promise was given up, which a person is shown."""
    name, state = reference(after), after.state
    if state is RefundState.SUCCEEDED and before.is_open:
        promised = await tx.ledger.end(name, ReservationState.POSTED, draw.now_us)
        await _post(tx, after, name, "refund", promised.postings, fact, draw)
    elif state is RefundState.SUCCEEDED:
        await _break_on_given_up(tx, before, fact, draw)
        return await _post_unpromised(tx, after, fact, draw)
    elif state in (RefundState.FAILED, RefundState.CANCELED) and before.is_open:
        await tx.ledger.end(name, ReservationState.VOIDED, draw.now_us)
    elif state is RefundState.REVERSED:
        postings = await tx.ledger.postings_under(name)
        if not postings:  # it failed first: the same two entries, whatever came first
            reserved = await tx.ledger.reservation(name)
            assert reserved is not None, name
            postings = reserved.postings
            await _post(tx, after, name, "refund", postings, fact, draw)
        undone = f"refund_reversed/{after.key}"
        await _post(tx, after, undone, "refund_reversed", mirrored(postings), fact, draw)
        return replace(after, excess_minor=0)
    return after


async def _post_unpromised(tx: "Tx", refund: Refund, fact: RefundFact, draw: Draw) -> Refund:
    """Booked as it was promised once, if everybody still holds that; else over what is held and promised to nobody."""
    name, order_id = reference(refund), refund.order_id
    given_up = await tx.ledger.reservation(name)
    assert given_up is not None, name
    held_now, reserved = await tx.ledger.postings_of(order_id), await tx.ledger.reserved_of(order_id)
    holds = holdings(held_now, reserved, refund.amount.currency)
    postings, excess = parts_now(given_up.postings, holds, refund.amount, fact.channel)
    await _post(tx, refund, name, "refund", postings, fact, draw)
    return replace(refund, excess_minor=excess)


async def _post(
    tx: "Tx", refund: Refund, name: str, kind: str, postings: tuple[Posting, ...], fact: RefundFact, draw: Draw
) -> None:
    await tx.ledger.post(
        JournalEntry(
            id=draw.id("jen", name),
            reference=name,
            kind=kind,
            order_id=refund.order_id,
            postings=postings,
            effective_at_us=fact.provider_at_us or fact.observed_at_us,
            recorded_at_us=draw.now_us,
        )
    )


async def call_off(
    tx: "Tx", order: Order, after: Refund, before: Refund, channel: str, cause: str, draw: Draw, vault: Vault
) -> Refund:
    """A refund that no channel has is CANCELED: its promise is given up."""
    refund = await tx.refunds.update(after)
    await tx.ledger.end(reference(refund), ReservationState.VOIDED, draw.now_us)
    await tx.tasks.drop(RESOLVE, refund.id)
    await follow(tx, order, before, refund, channel, cause, draw, vault)
    return refund


async def follow(
    tx: "Tx", held: Order, before: Refund, refund: Refund, channel: str, cause: str, draw: Draw, vault: Vault
) -> None:
    """What follows from a change: the order's figures and status, the buyer's right, and everybody being told."""
    audiences = await audiences_of(tx, held, vault)
    tell(tx, before.state, refund, channel, cause, audiences, draw)
    order = await figured(tx, held, draw)
    is_back, was_back = order.status is OrderStatus.REFUNDED, held.status is OrderStatus.REFUNDED
    moved = order
    if is_back and not was_back:
        moved = await revoke_grants_of(tx, order, REFUND, audiences, draw)
    elif was_back and not is_back:
        moved = await restore_grants_of(tx, order, REFUND, audiences, draw, vault)
    if moved != order:
        order = await tx.orders.update(moved)
    if order.refunded_minor != held.refunded_minor:
        change = Change(held.status, order.status, cause)
        tx.events.append(order, OrderRefunded.of(order), audiences, draw, change)
    if order.status is OrderStatus.AWAITING_PAYMENT and order.is_covered:
        await pay_after_all(tx, order, cause, draw, vault)
    if order.is_closed and order.kept_minor > held.kept_minor:
        late.give_back(tx, order, f"{refund.key} {refund.state}", draw)
    if order.returned_minor != held.returned_minor:  # surplus that went back makes up for no lost dispute any more
        await disputes.weigh_right(tx, order.id, audiences, draw, vault)


async def figured(tx: "Tx", held: Order, draw: Draw) -> Order:
    """The order with the figures that its refunds give it, stored."""
    order = refunded(held, await tx.refunds.of_order(held.id), await tx.payments.of_order(held.id), draw.now_us)
    return held if order == held else await tx.orders.update(order)


def tell(
    tx: "Tx", before: str, refund: Refund, channel: str, cause: str, audiences: list[Audience], draw: Draw
) -> None:
    event = RefundChanged(
        refund.id, refund.order_id, channel, refund.amount.amount_minor, refund.amount.currency, refund.state,
        refund.code,
    )  # fmt: skip
    tx.events.append(refund, event, audiences, draw, Change(before, refund.state, cause))


# ---- notices ---------------------------------------------------------------------------------------------------------


async def apply_notice(tx: "Tx", attempt_id: str, refund_key: str, result: Result, draw: Draw, vault: Vault) -> None:
    """A channel's later word about a refund, by our key or its own. One that nobody here has asked for is shown to a
    person."""
    attempt = await tx.payments.by_id(attempt_id)
    assert attempt is not None, attempt_id
    refund = await tx.refunds.by_key(attempt.channel, refund_key)
    if refund is None:
        return await _report_foreign(tx, attempt, refund_key, result, draw)
    if refund.attempt_id != attempt_id:
        detail = f"{attempt.channel} names refund {refund_key} for {attempt.key}, and it is of another payment"
        await open_break(tx, BreakKind.STATUS, attempt.id, attempt.order_id, detail, draw)
        return None
    refund = await apply_fact(tx, refund, result, Source.NOTICE, draw, vault)
    if not refund.is_open:
        await tx.tasks.drop(RESOLVE, refund.id)
    return None


_NOTHING_MOVES = frozenset({Outcome.DECLINED, Outcome.REJECTED})


async def _report_foreign(tx: "Tx", attempt: PaymentAttempt, name: str, result: Result, draw: Draw) -> None:
    """Somebody gave a charge of ours back by other means, such as the provider's own pages. Told once for each, as it
    is first heard; the books wait for a person, since who gives and why is not known."""
    channel, amount = attempt.channel, result.amount
    if result.outcome in _NOTHING_MOVES or result.stage is Stage.VOIDED:
        return
    if not await tx.refunds.add_foreign(channel, name, attempt.id, amount, draw.now_us):
        return
    words = "an amount that it does not name" if amount is None else f"{amount.amount_minor} {amount.currency}"
    detail = f"{channel} gives {words} of {attempt.key} back, as {name}, which nobody here has asked for"
    await open_break(tx, BreakKind.MISSING_LOCALLY, f"{channel}/{name}", attempt.order_id, detail, draw)


# ---- what the steps of a refund share --------------------------------------------------------------------------------


def reference(refund: Refund) -> str:
    """What the books know a refund by."""
    return f"refund/{refund.key}"


async def held(tx: "Tx", refund_id: str) -> Refund:
    refund = await tx.refunds.by_id(refund_id)
    assert refund is not None, refund_id
    return refund


async def locked(tx: "Tx", refund_id: str) -> tuple[Order, Refund, PaymentAttempt]:
    """The order held, and then the refund as it is under that lock."""
    order = await tx.orders.lock((await held(tx, refund_id)).order_id)
    found = await tx.refunds.with_attempt(refund_id)
    assert order is not None
    assert found is not None
    return order, *found
