"""Money too late or too much: a closed order opens again where its merchant wants that, else it goes back by a Task."""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.entitlements import EntitlementState
from hub.domain.ids import Draw
from hub.domain.orders import Order, reopened
from hub.domain.refunds import LateMoney

if TYPE_CHECKING:
    from hub.store.transactions import Tx

RETURN = "return_money"


async def met(tx: "Tx", order: Order) -> Order:
    """The held order after late money came: open again where it is covered, its merchant takes late money, and the
    buyer has not got the course in the meantime. Otherwise as it was."""
    if not order.is_closed or order.has_conflict or not order.is_covered:
        return order
    if await tx.refunds.late_money(order.merchant_id) is not LateMoney.REOPEN:
        return order
    owned = await tx.entitlements.of(order.user_id, order.course_id)
    if owned is not None and owned.state is EntitlementState.ACTIVE:
        return order
    return reopened(order)


def give_back(tx: "Tx", order: Order, movement: str, draw: Draw) -> None:
    """Have the money that nobody asked for returned; `movement` is what brought it, so that none is forgotten."""
    tx.tasks.add(RETURN, f"{order.id}/{movement}", {"order": order.id}, draw.now_us)


def without_refunds(order: Order) -> Order:
    """The order as if nothing had gone back, for whoever rebuilds it from its charges first."""
    return replace(order, refunded_minor=0, refund_reserved_minor=0, returned_minor=0)
