"""An order's other ends: canceled by its buyer, or expired; neither while an attempt may still take the money."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hub.domain.events import Change, OrderCanceled, OrderEvent, OrderExpired
from hub.domain.ids import Draw, fingerprint
from hub.domain.orders import ChainStatus, Order, OrderStatus, closed, may_be_closed
from hub.domain.payments import AttemptState, PaymentAttempt
from hub.domain.people import Viewer
from hub.domain.refusals import NotFound, Refusal
from hub.domain.requests import Answer, RequestKey
from hub.flows import attempts, late, records
from hub.flows.asking import asked
from hub.flows.entitlements import audiences_of
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


async def cancel_order(hub: Hub, viewer: Viewer, *, order_id: str, idempotency_key: str) -> Answer[Order]:
    """The buyer changes their mind. An attempt that is still payable is closed at its channel first: if it turns out
    paid, the order is paid and the answer says so."""
    key = RequestKey(
        viewer.principal, "orderCancel", idempotency_key, fingerprint("orderCancel", {"orderId": order_id})
    )
    canceled = await hub.store.write(begin_cancel, viewer, order_id, key, hub.draw(), hub.vault)
    if not isinstance(canceled, PaymentAttempt):
        return canceled
    channel = hub.channels.get(canceled.channel)
    if channel is not None and channel.capabilities.can_void:
        result = await asked(hub, canceled.channel, "void", partial(channel.void, canceled))
        await hub.store.write(attempts.record_void, canceled.id, result, hub.draw(), hub.vault)
    return await hub.store.write(finish_cancel, order_id, key, hub.draw(), hub.vault)


async def begin_cancel(
    tx: "Tx", viewer: Viewer, order_id: str, key: RequestKey, draw: Draw, vault: Vault
) -> Answer[Order] | PaymentAttempt:
    """Canceled, refused, or the attempt that has to be closed first."""
    seen = await tx.requests.begin(key, order_id, draw)
    order = await tx.orders.lock(order_id)
    if order is None or order.user_id != viewer.user_id:
        await tx.requests.finish(key, NotFound("orderId"))
        return Answer(refusal=NotFound("orderId"), is_replay=seen is not None)
    if seen is not None and seen.is_done:
        return Answer(order, seen.refusal, is_replay=True)
    for attempt in await tx.payments.of_order(order_id):
        if attempt.state in attempts.VOIDABLE:
            return attempt
    return await finish_cancel(tx, order_id, key, draw, vault)


async def finish_cancel(tx: "Tx", order_id: str, key: RequestKey, draw: Draw, vault: Vault) -> Answer[Order]:
    closing = await close_order(tx, order_id, OrderStatus.CANCELED, key.operation, draw, vault)
    refusal = closing if isinstance(closing, Refusal) else None
    await tx.requests.finish(key, refusal)
    return Answer(await tx.orders.lock(order_id), refusal)


async def close_order(
    tx: "Tx", order_id: str, status: OrderStatus, event: str, draw: Draw, vault: Vault
) -> Order | Refusal:
    """EXPIRED or CANCELED, if no attempt may still take the money. A request that never reached its channel has its
    end now, and is recorded."""
    order = await tx.orders.lock(order_id)
    if order is None:
        return NotFound("orderId")
    made = await tx.payments.of_order(order_id)
    if refusal := may_be_closed(order, made, event):
        return refusal
    ended = closed(order, status, draw.now_us)
    unsent = [attempt for attempt in made if attempt.state is AttemptState.NOT_SENT]
    if unsent:
        ended = replace(ended, chain_status=ChainStatus.QUEUED)
    audiences = await audiences_of(tx, ended, vault)
    for attempt in unsent:
        await records.record_end(
            tx, ended, attempt, grant_id=None, had_ended=False, audiences=audiences, draw=draw, vault=vault
        )
    ended = await tx.orders.update(ended)
    if ended.kept_minor:
        late.give_back(tx, ended, event, draw)
    kind: type[OrderEvent] = OrderCanceled if status is OrderStatus.CANCELED else OrderExpired
    tx.events.append(ended, kind.of(ended), audiences, draw, Change(order.status, status, event))
    return ended


# Orders closed by one sweep: short units, so that buyers do not wait behind them.
SWEEP = 100


async def expire_orders(hub: Hub) -> int:
    """Close the orders whose deadline has passed. Returns how many; those with money under way stay."""
    async with hub.store.reading() as rx:
        overdue = await rx.orders.overdue(hub.clock.now_us(), SWEEP)
    expired = 0
    for order_id in overdue:
        closing = await hub.store.write(close_order, order_id, OrderStatus.EXPIRED, "deadline", hub.draw(), hub.vault)
        expired += isinstance(closing, Order)
    return expired
