"""Who gives back how much, before anything is promised: what a refund is refused for, and the postings it will make."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hub.domain.ledger import Posting, clearing, held, taken_from
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.refunds import MAX_REFUNDS, Refundable, chosen, may_be_refunded, most_refundable
from hub.domain.refusals import NotRefundable, Refusal
from hub.ports import Capabilities, Hub

if TYPE_CHECKING:
    from hub.store.transactions import Rx

# What each configured channel can do, by its code: a unit knows no adapters.
Abilities = Mapping[str, Capabilities]


def abilities(hub: Hub) -> Abilities:
    return {code: channel.capabilities for code, channel in hub.channels.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """A refund that may be promised: of which charge, how much, and what each party gives."""

    order_id: str
    charge: Refundable
    amount: Money
    postings: tuple[Posting, ...]


async def charges_of(rx: "Rx", order: Order) -> list[Refundable]:
    """The charges of an order with what is really left of each, first to last."""
    return [await _capped(rx, order, charge) for charge in await rx.refunds.charges(order.id)]


@dataclass(frozen=True, slots=True)
class Asked:
    """An order of which somebody wants to know how much can be given back."""

    order_id: str
    currency: str
    kept_minor: int


async def refundable(rx: "Rx", asked: Sequence[Asked], able: Abilities) -> list[int]:
    """The most that one refund of each order may be now, in minor units: what `planned` accepts and no more."""
    ids = [one.order_id for one in asked]
    charges, disputes = defaultdict(list), defaultdict(list)
    for order_id, charge in await rx.refunds.charges_of(ids):
        charges[order_id].append(charge)
    for dispute in await rx.disputes.of_orders(ids):
        disputes[dispute.order_id].append(dispute)
    return [
        most_refundable(
            charges[one.order_id], disputes[one.order_id], partial(_can_give, able), one.kept_minor, one.currency
        )
        for one in asked
    ]


def _can_give(able: Abilities, charge: Refundable) -> bool:
    """Whether its channel, as it is configured here, gives back what is left of a charge."""
    can = able.get(charge.channel)
    if can is None or not can.can_refund or charge.refunds >= MAX_REFUNDS:
        return False
    return can.can_refund_partly or charge.left == charge.captured


async def planned(rx: "Rx", order: Order, amount: Money | None, able: Abilities) -> Plan | Refusal:
    """The refund of `amount` of an order, or why not; without an amount, of all that is left of its latest charge."""
    charges = await charges_of(rx, order)
    charge, wanted = chosen([one for one in charges if _can_give(able, one)] or charges, amount)
    if charge is None or wanted is None:
        return NotRefundable("nothing was charged for it")
    return await planned_of(rx, order, charge, wanted, able)


async def planned_of(rx: "Rx", order: Order, charge: Refundable, amount: Money, able: Abilities) -> Plan | Refusal:
    """Likewise of one charge."""
    charge = await _capped(rx, order, charge)
    dispute = await rx.disputes.open_of(order.id)
    capabilities = able.get(charge.channel)
    refusal = may_be_refunded(
        charge,
        amount,
        has_channel=capabilities is not None,
        can_refund=capabilities is not None and capabilities.can_refund,
        can_refund_partly=capabilities is not None and capabilities.can_refund_partly,
        open_dispute_id=None if dispute is None else dispute.id,
    )
    if refusal is not None:
        return refusal
    holds = await _held(rx, order, amount.currency)
    return Plan(order.id, charge, amount, taken_from(holds, amount, clearing(charge.channel)))


async def _capped(rx: "Rx", order: Order, charge: Refundable) -> Refundable:
    """A charge with no more left than a lost dispute has left of it, and than the parties to the order still hold."""
    currency = charge.captured.currency
    lost = [
        one.deducted_minor + one.excess_minor
        for one in await rx.disputes.of_order(order.id)
        if one.attempt_id == charge.attempt_id and one.amount.currency == currency
    ]
    holds = await _held(rx, order, currency)
    return replace(charge, held_minor=sum(holds.values()), lost_minor=sum(lost))


async def _held(rx: "Rx", order: Order, currency: str) -> dict[str, int]:
    return held(await rx.ledger.postings_of(order.id), await rx.ledger.reserved_of(order.id), currency)
