"""Late and surplus money goes back by itself: charge by charge, until none of it is left or a person has to look."""

import logging
from typing import TYPE_CHECKING

from hub.domain.disputes import lost_minor
from hub.domain.ids import Draw
from hub.domain.money import Money
from hub.domain.refunds import HUB, Refund, excess_minor, surplus_charge
from hub.domain.refusals import Refusal
from hub.flows.refund_plans import Abilities, abilities, charges_of, planned_of
from hub.flows.refund_sending import send
from hub.flows.refunds import new, promise
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

# Money that cannot go back yet, as its payer's bank asks for it too: how often that is looked at.
LOOK_AGAIN_US = 3600 * 1_000_000


async def return_money(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of money that nobody asked for. Returns when to look again (µs), None when done."""
    opened = await hub.store.write(open_return, task.body["order"], abilities(hub), hub.draw(), hub.vault)
    if isinstance(opened, Refund):
        await send(hub, opened)
        return hub.clock.now_us()
    return opened


async def open_return(tx: "Tx", order_id: str, able: Abilities, draw: Draw, vault: Vault) -> Refund | int | None:
    """The next refund of it; when to look again (µs) while its payer's bank asks for it; None: there is nothing to do,
    or its Break waits for a person, as the channel gives nothing back or has refused to."""
    order = await tx.orders.lock(order_id)
    if order is None:
        return None
    refunds = await tx.refunds.of_order(order_id)
    own = [one for one in await charges_of(tx, order) if one.captured.currency == order.total.currency]
    lost = lost_minor(await tx.disputes.of_order(order_id), order.total.currency)
    charge, excess = surplus_charge(own, refunds), excess_minor(order, refunds, lost)
    if charge is None or not excess:
        return None
    if await tx.disputes.open_of(order_id) is not None:
        return draw.now_us + LOOK_AGAIN_US
    plan = await planned_of(tx, order, charge, Money(min(excess, charge.left.amount_minor), order.total.currency), able)
    if isinstance(plan, Refusal):
        log.warning("order %s keeps money that nobody asked for: %s", order.number, plan.message)
        return None
    refund = new(plan, draw, reason="late or surplus money", requested_by=HUB, request_key=None, is_surplus=True)
    await promise(tx, order, refund, plan, draw, vault)
    return refund
