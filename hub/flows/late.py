"""Money too late or too much: a closed order opens again where its merchant wants that, else it goes back by a Task."""

from typing import TYPE_CHECKING

from hub.domain.entitlements import EntitlementState
from hub.domain.ids import Draw
from hub.domain.orders import Order, reopened
from hub.domain.people import Viewer, ViewerKind
from hub.domain.refunds import LateMoney
from hub.domain.refusals import NotFound
from hub.domain.requests import Answer
from hub.flows import audit
from hub.flows.keys import key_ended
from hub.ports import Hub

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


async def set_policy(hub: Hub, viewer: Viewer, merchant_id: str, wish: LateMoney) -> Answer[LateMoney]:
    """A merchant's platform, or an operator, says what becomes of late money from now on."""
    return await hub.store.write(keep_policy, viewer, merchant_id, wish, hub.draw())


async def keep_policy(tx: "Tx", viewer: Viewer, merchant_id: str, wish: LateMoney, draw: Draw) -> Answer[LateMoney]:
    if ended := await key_ended(tx, viewer, "merchantPolicySet", draw.now_us):
        return Answer(refusal=ended)
    seller = await tx.refunds.seller_of(merchant_id)
    if seller is None or (viewer.kind is not ViewerKind.OPERATOR and viewer.platform_id != seller):
        return Answer(refusal=NotFound("merchantId"))
    await tx.refunds.set_late_money(merchant_id, wish, draw.now_us)
    await audit.note(tx, viewer, "merchantPolicySet", merchant_id, draw, platform_id=seller, lateMoney=str(wish))
    return Answer(wish)
