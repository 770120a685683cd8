"""争议: what a channel says of a dispute, by whatever way, becomes its state, the books, and what the buyer may open.

`apply_word` is the one door. A dispute's money is held while it is open, released or lost at its end, each once; the
right that it paid is suspended, and stands again or is revoked. A Task warns of the deadline for evidence.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain import disputes as books
from hub.domain.disputes import OPEN, TAKEN, WARN_BEFORE_US, Dispute, DisputeWord, Told, Warned, fact_of, told_by
from hub.domain.events import Audience, Change, DisputeChanged, DisputeDue, DisputeEvent, DisputeOpened
from hub.domain.ids import Draw
from hub.domain.ledger import JournalEntry, Posting, Reservation, ReservationState, held
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import AttemptState, Result, Source
from hub.domain.reconciliation import BreakKind
from hub.flows import late
from hub.flows.breaks import open_break
from hub.flows.entitlements import (
    audiences_of,
    restore_grants_of,
    resume_grants_of,
    revoke_grants_of,
    suspend_grants_of,
)
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

DUE = "dispute_due"


async def has_charge(tx: "Tx", attempt_id: str) -> bool:
    """Whether we have heard of the charge that a dispute is about. Until then its notice waits for that."""
    attempt = await tx.payments.by_id(attempt_id)
    return attempt is not None and attempt.state is AttemptState.CHARGED


# ---- the one door ----------------------------------------------------------------------------------------------------


async def apply_word(
    tx: "Tx",
    attempt_id: str,
    word: DisputeWord,
    source: Source,
    result: Result,
    draw: Draw,
    vault: Vault,
) -> Dispute:
    """Lock the order, keep the fact, look at all facts of the dispute, and write all that follows. Any order of
    arrival, the same end. The attempt is CHARGED; `result` gives the times alone."""
    held_rows = await tx.orders.lock_with(attempt_id)
    assert held_rows is not None, attempt_id
    order, attempt = held_rows
    assert attempt.state is AttemptState.CHARGED, attempt_id
    if not word.amount.amount_minor:  # a network's early warning names no amount, and so no currency
        word = replace(word, amount=Money(0, attempt.amount.currency))
    fact = fact_of(attempt.channel, word, source, result.provider_at_us, result.observed_at_us)
    before = await tx.disputes.by_ref(attempt.channel, word.channel_ref)
    if before is not None and before.attempt_id != attempt_id:
        detail = f"{attempt.channel} names dispute {word.channel_ref} for this charge and for another"
        await open_break(tx, BreakKind.STATUS, attempt_id, order.id, detail, draw)
        return before
    dispute = before or _new(order, attempt_id, attempt.channel, word, draw)
    if before is None:
        assert await tx.disputes.insert(dispute), word.channel_ref
    if not await tx.disputes.add_fact(dispute.id, fact):
        return dispute
    told = told_by([heard for _, heard in await tx.disputes.facts_of([dispute.id])])
    after = await _booked(tx, order, dispute, told, draw)
    if after == before:
        return after
    audiences = await audiences_of(tx, order, vault)
    after = await tx.disputes.update(after)
    if before is not None and not (after.needs_answer and after.evidence_due_at_us == before.evidence_due_at_us):
        await forget_deadline(tx, before)
    _tell(tx, before, after, f"{source}: {word.state}", audiences, draw)
    moved = await _move_right(tx, order, after, audiences, draw, vault)
    if moved != order:
        await tx.orders.update(moved)
    if _lost(after) < _lost(dispute):  # what had made up for the loss may be nobody's now
        late.give_back(tx, moved, f"{after.id}/{after.version}", draw)
    await _break_on(tx, after, told, draw)
    return after


def _lost(dispute: Dispute) -> int:
    return dispute.deducted_minor + dispute.excess_minor


def _new(order: Order, attempt_id: str, channel: str, word: DisputeWord, draw: Draw) -> Dispute:
    return Dispute(
        id=draw.id("dsp", channel, word.channel_ref),
        order_id=order.id,
        attempt_id=attempt_id,
        channel=channel,
        channel_ref=word.channel_ref,
        state=word.state,
        amount=word.amount,
        reason=word.reason,
        evidence_due_at_us=word.evidence_due_at_us,
        fee=None,
        held_minor=0,
        deducted_minor=0,
        excess_minor=0,
        reservation=None,
        warned=Warned.NO,
        answer=None,
        answers=0,
        version=1,
        created_at_us=draw.now_us,
    )


def _tell(tx: "Tx", before: Dispute | None, after: Dispute, cause: str, audiences: list[Audience], draw: Draw) -> None:
    kind: type[DisputeEvent] = DisputeOpened if before is None else DisputeChanged
    change = Change("" if before is None else before.state, after.state, cause)
    tx.events.append(after, kind.of(after), audiences, draw, change)
    if after.needs_answer and after.evidence_due_at_us is not None:
        due_us = after.evidence_due_at_us
        body = {"dispute": after.id, "due": due_us}
        tx.tasks.add(DUE, _deadline(after), body, max(due_us - WARN_BEFORE_US, draw.now_us))


async def forget_deadline(tx: "Tx", dispute: Dispute) -> None:
    """Nobody has to be warned of it any more."""
    if dispute.evidence_due_at_us is not None:
        await tx.tasks.drop(DUE, _deadline(dispute))


def _deadline(dispute: Dispute) -> str:
    """The key of the Task: a deadline that is moved is another one."""
    return f"{dispute.id}:{dispute.evidence_due_at_us}"


async def _move_right(
    tx: "Tx", order: Order, dispute: Dispute, audiences: list[Audience], draw: Draw, vault: Vault
) -> Order:
    """The policy of this release: an open dispute holds the right back, a lost one ends it unless the price is still
    here, any other end lets it be. A warning alone does nothing to a buyer who may have done nothing.

    Returns the order as it then is, for the caller to store. What one dispute took may decide what another one does.
    """
    found = await tx.disputes.of_order(order.id)
    ending = books.ending(order, found)
    moved = order
    for one in found:
        if one.id in ending:
            moved = await revoke_grants_of(tx, moved, one.id, audiences, draw)
    suspend_or_resume = suspend_grants_of if dispute.is_open else resume_grants_of
    moved = await suspend_or_resume(tx, moved, dispute.id, audiences, draw)
    for one in found:
        if one.id not in ending and (one.id == dispute.id or one.state in TAKEN):
            moved = await restore_grants_of(tx, moved, one.id, audiences, draw, vault)
    return moved


async def weigh_right(tx: "Tx", order_id: str, audiences: list[Audience], draw: Draw, vault: Vault) -> None:
    """What an order's disputes do to a right that was given, or to one whose money has changed, after they had come:
    the same as had all been there before."""
    for dispute in await tx.disputes.of_orders([order_id]):
        order = await tx.orders.lock(order_id)
        assert order is not None
        moved = await _move_right(tx, order, dispute, audiences, draw, vault)
        if moved != order:
            await tx.orders.update(moved)


async def _break_on(tx: "Tx", dispute: Dispute, told: Told, draw: Draw) -> None:
    if told.is_contradicted:
        detail = f"{dispute.channel} told one state of dispute {dispute.channel_ref} with two amounts"
        await open_break(tx, BreakKind.AMOUNT, dispute.id, dispute.order_id, detail, draw)
    if dispute.excess_minor:
        detail = f"{dispute.channel} took {dispute.amount.amount_minor} {dispute.amount.currency} by dispute "
        detail += f"{dispute.channel_ref}, {dispute.excess_minor} more than was left of the charge"
        await open_break(tx, BreakKind.DUPLICATE, dispute.id, dispute.order_id, detail, draw)


# ---- the books -------------------------------------------------------------------------------------------------------


async def _booked(tx: "Tx", order: Order, dispute: Dispute, told: Told, draw: Draw) -> Dispute:
    """The dispute as told, its money moved to where that state has it: held, released or lost, each once."""
    is_same = told.amount == dispute.amount
    now = dispute
    if now.deducted_minor + now.excess_minor and not (told.state in TAKEN and is_same):
        now = await _regain(tx, order, now, draw)
    if now.held_minor and not (told.state in OPEN | TAKEN and is_same):
        now = await _release(tx, order, now, draw)
    now = replace(now, amount=told.amount)
    is_placed = bool(now.held_minor or now.deducted_minor or now.excess_minor)
    if told.state in OPEN | TAKEN and not is_placed:
        now = await _hold(tx, order, now, draw)
    if told.state in TAKEN and now.held_minor:
        now = await _lose(tx, order, now, draw)
    if told.fee != now.fee:
        await _post(tx, order, dispute, "fee", books.fee_charged(now.channel, now.fee, told.fee), draw)
    warned = now.warned if told.evidence_due_at_us == now.evidence_due_at_us else Warned.NO
    return replace(
        now,
        state=told.state,
        reason=told.reason,
        evidence_due_at_us=told.evidence_due_at_us,
        fee=told.fee,
        warned=warned,
    )


async def _hold(tx: "Tx", order: Order, dispute: Dispute, draw: Draw) -> Dispute:
    """The channel has it back for now; what the parties hold of it is promised to nobody else meanwhile."""
    await _post(tx, order, dispute, "opened", books.opened(dispute.id, dispute.channel, dispute.amount), draw)
    promised = books.borne(dispute.id, dispute.amount, await _holds(tx, order, dispute.amount, ()))
    reference = f"dispute/{dispute.id}/{dispute.version}" if promised else None
    if reference is not None:
        await tx.ledger.reserve(
            Reservation(
                draw.id("rsv", reference), reference, "dispute", order.id, promised, ReservationState.PENDING,
                draw.now_us, None,
            )
        )  # fmt: skip
    return replace(dispute, held_minor=dispute.amount.amount_minor, reservation=reference)


async def _release(tx: "Tx", order: Order, dispute: Dispute, draw: Draw) -> Dispute:
    held_money = Money(dispute.held_minor, dispute.amount.currency)
    if dispute.reservation is not None:
        await tx.ledger.end(dispute.reservation, ReservationState.VOIDED, draw.now_us)
    await _post(tx, order, dispute, "won", books.won(dispute.id, dispute.channel, held_money), draw)
    return replace(dispute, held_minor=0, reservation=None)


async def _lose(tx: "Tx", order: Order, dispute: Dispute, draw: Draw) -> Dispute:
    """Deducted once, over what each party still holds now: refunds that failed meanwhile are theirs again."""
    promised: tuple[Posting, ...] = ()
    if dispute.reservation is not None:
        reservation = await tx.ledger.reservation(dispute.reservation)
        promised = () if reservation is None else reservation.postings
    borne = books.borne(dispute.id, dispute.amount, await _holds(tx, order, dispute.amount, promised))
    is_kept = borne == promised
    if dispute.reservation is not None:
        state = ReservationState.POSTED if is_kept else ReservationState.VOIDED
        await tx.ledger.end(dispute.reservation, state, draw.now_us)
    borne_minor = sum(posting.amount_minor for posting in borne)
    beyond = books.excess(dispute.id, dispute.channel, dispute.amount, borne_minor)
    step = dispute.reservation if is_kept and dispute.reservation else "lost"
    await _post(tx, order, dispute, step, (*borne, *beyond), draw)
    return replace(
        dispute,
        held_minor=0,
        deducted_minor=borne_minor,
        excess_minor=dispute.amount.amount_minor - borne_minor,
        reservation=None,
    )


async def _regain(tx: "Tx", order: Order, dispute: Dispute, draw: Draw) -> Dispute:
    """Lost, and then the channel says otherwise: who bore it gets it back, by its own parts."""
    back = books.given_back(dispute.id, await tx.ledger.postings_of(order.id))
    await _post(tx, order, dispute, "regained", back, draw)
    return replace(dispute, held_minor=dispute.amount.amount_minor, deducted_minor=0, excess_minor=0)


async def _holds(tx: "Tx", order: Order, amount: Money, own: tuple[Posting, ...]) -> dict[str, int]:
    """What each party still holds of the order, less what is promised to others than this dispute."""
    reserved = list(await tx.ledger.reserved_of(order.id))
    for posting in own:
        reserved.remove(posting)
    return held(await tx.ledger.postings_of(order.id), reserved, amount.currency)


async def _post(tx: "Tx", order: Order, dispute: Dispute, step: str, postings: tuple[Posting, ...], draw: Draw) -> None:
    """One entry of this version of the dispute. `step` is its name, or a whole reference."""
    if not postings:
        return
    reference = step if "/" in step else f"dispute/{dispute.id}/{dispute.version}/{step}"
    await tx.ledger.post(
        JournalEntry(draw.id("jen", reference), reference, "dispute", order.id, postings, draw.now_us, draw.now_us)
    )


# ---- the deadline ----------------------------------------------------------------------------------------------------


async def warn(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one deadline for evidence. Returns when to look again (µs), None when nobody has to be told more."""
    return await hub.store.write(tell_due, task.body["dispute"], task.body["due"], hub.draw(), hub.vault)


async def tell_due(tx: "Tx", dispute_id: str, due_us: int, draw: Draw, vault: Vault) -> int | None:
    """Told twice: before the deadline, and once it has passed; not at all of one that was answered or moved."""
    dispute = await tx.disputes.by_id(dispute_id)
    order = None if dispute is None else await tx.orders.lock(dispute.order_id)
    dispute = None if order is None else await tx.disputes.by_id(dispute_id)
    if dispute is None or order is None or dispute.evidence_due_at_us != due_us:
        return None
    if not dispute.needs_answer or dispute.warned is Warned.OVER:
        return None
    warned = Warned.OVER if draw.now_us >= due_us else Warned.BEFORE
    if warned is not dispute.warned:
        dispute = await tx.disputes.update(replace(dispute, warned=warned))
        change = Change(dispute.state, dispute.state, f"evidence is due: {warned}")
        tx.events.append(dispute, DisputeDue.of(dispute), await audiences_of(tx, order, vault), draw, change)
    return due_us if warned is Warned.BEFORE else None
