"""What `hub verify` looks at of refunds: states from facts, promises that end once, no more given back than came."""

from collections.abc import AsyncIterator
from dataclasses import replace

from hub.domain.ledger import Reservation, ReservationState
from hub.domain.orders import OrderStatus
from hub.domain.refunds import Refund, RefundState, reduce, refunded
from hub.entry.checks import PAGE, Check
from hub.flows.refund_facts import reference
from hub.ports import Hub
from hub.store.transactions import Rx

_ENDED_IN: dict[RefundState, frozenset[ReservationState]] = {
    # Given up where our call was refused or called off, and its channel gave the money back all the same.
    RefundState.SUCCEEDED: frozenset({ReservationState.POSTED, ReservationState.VOIDED}),
    RefundState.FAILED: frozenset({ReservationState.VOIDED}),
    RefundState.CANCELED: frozenset({ReservationState.VOIDED}),
    # Whichever word came first: both entries stand all the same.
    RefundState.REVERSED: frozenset({ReservationState.POSTED, ReservationState.VOIDED}),
}


async def refunds(hub: Hub, rx: Rx) -> Check:
    """I6: dropping every refund's state and an order's figures, and making them of facts and refunds, gives them again;
    and no charge has given back, or promised, more than it took."""
    check = Check("refunds follow from facts, within what was captured")
    seen: set[str] = set()
    async for one in _refunds(rx):
        facts = [fact for _, fact in await rx.refunds.facts_of([one.id])]
        is_called_off = one.state is RefundState.CANCELED and one.heard_rank == 0  # by a command of ours
        rebuilt = _blank(one)
        for fact in facts:
            rebuilt = reduce(rebuilt, fact)
        check.expect(
            is_called_off or rebuilt.state is one.state, f"{one.key} is {one.state}, its facts say {rebuilt.state}"
        )
        if one.order_id not in seen:
            seen.add(one.order_id)
            await _order(rx, one.order_id, check)
    return check


def _blank(one: Refund) -> Refund:
    state = RefundState.SUBMITTED if one.calls else RefundState.REQUESTED
    return replace(one, state=state, heard_rank=0, heard_at_us=None, heard_key="")


async def _order(rx: Rx, order_id: str, check: Check) -> None:
    order = await rx.orders.get(order_id)
    assert order is not None, order_id
    all_of_it = await rx.refunds.of_order(order_id)
    again = refunded(order, all_of_it, await rx.payments.of_order(order_id), 0)
    shown = (order.refunded_minor, order.refund_reserved_minor, order.returned_minor, order.status)
    made = (again.refunded_minor, again.refund_reserved_minor, again.returned_minor, again.status)
    check.expect(shown == made, f"{order.number} shows {_words(shown)}, its refunds say {_words(made)}")
    check.expect(order.kept_minor >= 0, f"{order.number} has given back more than it received")
    for charge in await rx.refunds.charges(order_id):
        own = [one for one in all_of_it if one.attempt_id == charge.attempt_id]
        excess = sum(one.excess_minor for one in own if one.amount.currency == charge.captured.currency)
        back = charge.refunded_minor + charge.reserved_minor - excess  # a Break tells of the excess
        took = charge.captured.amount_minor
        check.expect(back <= took, f"{charge.attempt_key} has given back or promised {back} of {took}")


def _words(figures: tuple[int, int, int, OrderStatus]) -> str:
    return "refunded {}, promised {}, returned {}, {}".format(*figures)


async def promises(hub: Hub, rx: Rx) -> Check:
    """I8: each Reservation of a refund has ended as its refund has, once, and in the entries that follow from that."""
    check = Check("each promise of the books ends once")
    async for one in _refunds(rx):
        promised = await rx.ledger.reservation(reference(one))
        if promised is None:
            check.expect(False, f"{one.key} was never promised in the books")
            continue
        allowed = _ENDED_IN.get(one.state, frozenset({ReservationState.PENDING}))
        check.expect(promised.state in allowed, f"{one.key} is {one.state}, its promise {promised.state}")
        amount = sum(posting.amount_minor for posting in promised.postings)
        check.expect(amount == one.amount.amount_minor, f"{one.key} promises {amount} of {one.amount.amount_minor}")
        booked = set(await rx.ledger.references_of(one.order_id))
        is_given = one.state in (RefundState.SUCCEEDED, RefundState.REVERSED)
        check.expect((reference(one) in booked) == is_given, f"{one.key} is {one.state} and its entry says otherwise")
        is_undone = f"refund_reversed/{one.key}" in booked
        check.expect(is_undone == (one.state is RefundState.REVERSED), f"{one.key}: its mirror says otherwise")
    async for reservation in _reservations(rx):
        is_over = reservation.state is not ReservationState.PENDING
        check.expect((reservation.ended_at_us is not None) == is_over, f"{reservation.reference}: ended and pending")
        if reservation.kind == "refund":
            about = reservation.reference.removeprefix("refund/")
            known = [one.key for one in await rx.refunds.of_order(reservation.order_id)]
            check.expect(about in known, f"{reservation.reference} is promised for no refund")
    return check


async def _refunds(rx: Rx) -> AsyncIterator[Refund]:
    """Every refund, by pages in the order of their ids."""
    after = ""
    while page := await rx.refunds.page(after, PAGE):
        for one in page:
            yield one
        after = page[-1].id


async def _reservations(rx: Rx) -> AsyncIterator[Reservation]:
    after = ""
    while page := await rx.ledger.reservations(after, PAGE):
        for one in page:
            yield one
        after = page[-1].id
