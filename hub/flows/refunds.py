"""退款: money of a charge goes back. Promised in the books before the channel is asked, then sent, then followed.

request        refuses what cannot be, commits the refund with its Reservation; then it is sent
cancel         calls off what no channel has yet

refund_plans   who gives back how much, shown beforehand and fixed when it is promised
refund_sending SUBMITTED, the call, its answer, and the Task that asks until it is known
refund_facts   the one door for what we are told
surplus        the Task that returns late and surplus money by itself
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hub.domain.ids import Draw, fingerprint
from hub.domain.ledger import Posting, Reservation, ReservationState
from hub.domain.money import Money
from hub.domain.orders import PAID_ONCE, Order
from hub.domain.people import Viewer, ViewerKind
from hub.domain.refunds import Refund, RefundState, may_be_canceled
from hub.domain.refusals import NotFound, Refusal
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit
from hub.flows.entitlements import audiences_of
from hub.flows.keys import key_ended
from hub.flows.refund_facts import RESOLVE, call_off, figured, held, locked, reference, tell
from hub.flows.refund_plans import Abilities, Plan, abilities, planned
from hub.flows.refund_sending import ask_once, send
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What `refundCreate` asks. Without an amount: all that is left of the latest charge."""

    order_id: str
    amount: Money | None
    reason: str | None
    idempotency_key: str

    @property
    def normalised(self) -> dict[str, object]:
        amount = self.amount and [self.amount.amount_minor, self.amount.currency]
        return {"orderId": self.order_id, "amount": amount, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Opened:
    """What the first unit came to: a refund to send, one from before, or a refusal."""

    refund: Refund | None = None
    refusal: Refusal | None = None
    is_replay: bool = False
    is_resumed: bool = False  # an earlier process died over it: ask first, since it may have been sent


async def request(hub: Hub, viewer: Viewer, asked: RefundRequest) -> Answer[Refund]:
    """Give money of an order back. The answer's refund says what is known; what the channel refuses is FAILED."""
    key = RequestKey(viewer.principal, "refundCreate", asked.idempotency_key, fingerprint("refund", asked.normalised))
    opened = await hub.store.write(open_refund, viewer, asked, key, abilities(hub), hub.draw(), hub.vault)
    refund = opened.refund
    if refund is None or opened.is_replay:
        return Answer(refund, opened.refusal, opened.is_replay)
    refund = await (ask_once if opened.is_resumed else send)(hub, refund)
    return Answer(await hub.store.write(finish_refund_request, refund.id, key, hub.draw()))


async def open_refund(
    tx: "Tx",
    viewer: Viewer,
    asked: RefundRequest,
    key: RequestKey,
    able: Abilities,
    draw: Draw,
    vault: Vault,
) -> Opened:
    if refusal := await key_ended(tx, viewer, key.operation, draw.now_us):
        return Opened(refusal=refusal)
    if seen := await tx.requests.begin(key, draw.id("rfn"), draw):
        refund = await tx.refunds.by_id(seen.subject_id)
        return Opened(refund, seen.refusal, is_replay=seen.is_done, is_resumed=seen.is_dead)
    order = await tx.orders.lock(asked.order_id)
    if order is None or not may_refund(viewer, order):
        return await _refuse(tx, key, NotFound("orderId"))
    plan = await planned(tx, order, asked.amount, able)
    if isinstance(plan, Refusal):
        return await _refuse(tx, key, plan)
    by, its_key = viewer.principal, asked.idempotency_key
    # What goes back before the price is paid is no part of it: other money may pay it yet.
    is_early = order.status not in PAID_ONCE
    refund = new(plan, draw, reason=asked.reason, requested_by=by, request_key=its_key, is_surplus=is_early)
    await promise(tx, order, refund, plan, draw, vault)
    await audit.note_staff(tx, viewer, "refundCreate", refund.id, draw, platform_id=order.platform_id)
    return Opened(refund)


async def preview(hub: Hub, viewer: Viewer, asked: RefundRequest) -> Answer[Plan]:
    """What `request` would promise, or why it would refuse: nothing is written."""
    async with hub.store.reading() as rx:
        order = await rx.orders.get(asked.order_id)
        if order is None or not may_refund(viewer, order):
            return Answer(refusal=NotFound("orderId"))
        plan = await planned(rx, order, asked.amount, abilities(hub))
    return Answer(refusal=plan) if isinstance(plan, Refusal) else Answer(plan)


async def promised(hub: Hub, refund: Refund) -> tuple[Posting, ...]:
    """Who gives back how much of a refund."""
    async with hub.store.reading() as rx:
        reservation = await rx.ledger.reservation(reference(refund))
    return () if reservation is None else reservation.postings


def may_refund(viewer: Viewer, order: Order) -> bool:
    """Operators, and the platform that sold it."""
    return viewer.kind is ViewerKind.OPERATOR or viewer.platform_id == order.platform_id


async def _refuse(tx: "Tx", key: RequestKey, refusal: Refusal) -> Opened:
    await tx.requests.finish(key, refusal)
    return Opened(refusal=refusal)


def new(
    plan: Plan, draw: Draw, *, reason: str | None, requested_by: str, request_key: str | None, is_surplus: bool
) -> Refund:
    """The next refund of a charge, REQUESTED: its key is the channel's idempotency key."""
    number = plan.charge.refunds + 1
    return Refund(
        id=draw.id("rfn"),
        order_id=plan.order_id,
        attempt_id=plan.charge.attempt_id,
        number=number,
        key=f"{plan.charge.attempt_key}-R{number}",
        amount=plan.amount,
        state=RefundState.REQUESTED,
        reason=reason,
        requested_by=requested_by,
        request_key=request_key,
        calls=0,
        sent_at_us=None,
        heard_rank=0,
        heard_at_us=None,
        heard_key="",
        channel_ref=None,
        code=None,
        unknown_since_us=None,
        version=1,
        created_at_us=draw.now_us,
        is_surplus=is_surplus,
    )


async def promise(tx: "Tx", order: Order, refund: Refund, plan: Plan, draw: Draw, vault: Vault) -> None:
    """REQUESTED with its Reservation, and the Task that goes on should this process die: all before any call."""
    await tx.refunds.insert(refund)
    await tx.ledger.reserve(
        Reservation(
            id=draw.id("rsv", refund.key),
            reference=reference(refund),
            kind="refund",
            order_id=order.id,
            postings=plan.postings,
            state=ReservationState.PENDING,
            created_at_us=draw.now_us,
            ended_at_us=None,
        )
    )
    await figured(tx, order, draw)
    audiences = await audiences_of(tx, order, vault)
    tell(tx, "", refund, plan.charge.channel, refund.requested_by, audiences, draw)
    tx.tasks.lease(RESOLVE, refund.id, {"refund": refund.id}, draw)


async def finish_refund_request(tx: "Tx", refund_id: str, key: RequestKey, draw: Draw) -> Refund:
    refund = await held(tx, refund_id)
    await tx.requests.finish(key, None)
    return refund


# ---- calling off -----------------------------------------------------------------------------------------------------


async def cancel(hub: Hub, viewer: Viewer, *, refund_id: str, idempotency_key: str) -> Answer[Refund]:
    """Call a refund off that no channel has yet; its money is free again."""
    told = fingerprint("refundCancel", {"refundId": refund_id})
    key = RequestKey(viewer.principal, "refundCancel", idempotency_key, told)
    return await hub.store.write(cancel_refund, viewer, refund_id, key, hub.draw(), hub.vault)


async def cancel_refund(
    tx: "Tx", viewer: Viewer, refund_id: str, key: RequestKey, draw: Draw, vault: Vault
) -> Answer[Refund]:
    if ended := await key_ended(tx, viewer, key.operation, draw.now_us):
        return Answer(refusal=ended)
    seen = await tx.requests.begin(key, refund_id, draw)
    known = await tx.refunds.by_id(refund_id)
    order = None if known is None else await tx.orders.lock(known.order_id)
    if order is None or not may_refund(viewer, order):
        await tx.requests.finish(key, NotFound("refundId"))
        return Answer(refusal=NotFound("refundId"), is_replay=seen is not None)
    _, before, attempt = await locked(tx, refund_id)
    if seen is not None:
        return Answer(before, seen.refusal, is_replay=True)
    refusal = may_be_canceled(before)
    await tx.requests.finish(key, refusal)
    if refusal is not None:
        return Answer(before, refusal)
    canceled = replace(before, state=RefundState.CANCELED)
    refund = await call_off(tx, order, canceled, before, attempt.channel, key.operation, draw, vault)
    await audit.note_staff(tx, viewer, "refundCancel", refund.id, draw, platform_id=order.platform_id)
    return Answer(refund)
