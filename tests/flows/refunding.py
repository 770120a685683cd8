"""Sold orders and asked refunds for the tests of money that goes back."""

from dataclasses import replace
from typing import Any

from hub.domain.ledger import escrow
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import Outcome, PaymentAttempt, Stage
from hub.domain.people import Viewer
from hub.domain.refunds import Refund
from hub.domain.requests import Answer
from hub.flows import notices, orders, refunds
from hub.flows.refunds import RefundRequest
from tests.flows.benches import Bench
from tests.flows.scripted import UNKNOWN, charged, delivery, result
from tests.world import DAY_US, partner

AT = 1_767_225_600_000_000


async def sold(bench: Bench, price_minor: int = 1000) -> tuple[Order, Viewer]:
    """A paid order, and its platform's key."""
    platform = await bench.world.platform()
    listing = await bench.world.listing(price_minor=price_minor, platform=platform)
    viewer = await bench.world.learner()
    answer = await bench.buy(viewer, listing, f"buy {listing.id}")
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    return await bench.order_now(answer.value.order_id), partner(platform)


async def ask(bench: Bench, viewer: Viewer, order: Order, minor: int | None = None, key: str = "r-1") -> Answer[Refund]:
    amount = None if minor is None else Money(minor, order.total.currency)
    return await refunds.request(bench.hub, viewer, RefundRequest(order.id, amount, "not as shown", key))


async def given(bench: Bench, viewer: Viewer, order: Order, minor: int | None = None, key: str = "r-1") -> Refund:
    answer = await ask(bench, viewer, order, minor, key)
    assert answer.value is not None, answer.refusal
    return answer.value


async def now(bench: Bench, refund: Refund) -> Refund:
    async with bench.store.reading() as rx:
        found = await rx.refunds.by_id(refund.id)
    assert found is not None
    return found


async def reservations(bench: Bench) -> list[str]:
    async with bench.store.reading() as rx:
        return [one.state for one in await rx.ledger.reservations("", 99)]


async def figures(bench: Bench, order: Order) -> tuple[Any, ...]:
    """What the refunds of an order have come to, ids apart."""
    order = await bench.order_now(order.id)
    return (
        order.status, order.charge_status, order.fulfilment_status, order.refunded_minor, order.refund_reserved_minor,
        await bench.balance(escrow(order.id)),
        [grant.state for grant in await bench.grants(order.user_id, order.course_id)],
    )  # fmt: skip


async def paid_late(bench: Bench) -> tuple[Order, Viewer]:
    """An order that was given up, and then paid on its page."""
    viewer = await bench.world.learner()
    order, attempt = await bench.waiting(viewer, told=replace(UNKNOWN, outcome=Outcome.ACTION))
    bench.channel.then("query", result(Outcome.DONE, Stage.VOIDED))
    bench.clock.pass_us(DAY_US)
    await bench.work()
    await orders.expire_orders(bench.hub)
    assert (await bench.order_now(order.id)).status == "EXPIRED"
    await notices.receive(bench.hub, "sandbox", delivery(f"late {order.id}", attempt.key, charged(attempt)))
    return order, viewer
