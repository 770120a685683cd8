"""What happens to one order, drawn from the seed and its number.

It is bought by one call or two, paid twice at once, tried on another channel after a no, canceled in the middle.
"""

import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hub.domain.orders import Order, OrderStatus
from hub.domain.payments import (
    RESEND_WITHIN_US,
    AttemptState,
    CaptureMethod,
    IntentStatus,
    PaymentAttempt,
    PaymentRequest,
)
from hub.domain.people import Viewer
from hub.domain.refunds import RefundState
from hub.domain.requests import Answer
from hub.flows import captures, orders, purchase, refunds
from hub.flows.purchase import CheckoutRequest
from hub.flows.refunds import RefundRequest
from tests.simulation.providers import MANNERS
from tests.world import operator

if TYPE_CHECKING:
    from hub.domain.catalogue import Listing
    from tests.simulation.town import Town

CHANNELS = tuple(manner.code for manner in MANNERS)
HOLDING = tuple(manner.code for manner in MANNERS if manner.can_authorize)
TRIES = 3  # payments of one order at most


class Life:
    """One order from the first click on."""

    def __init__(self, town: "Town", number: int) -> None:
        self.town, self.number = town, number
        self.chance = town.chance("order", number)
        self.buyer: Viewer = self.chance.choice(town.buyers)
        self.listing: Listing = self.chance.choice(town.listings)
        self._keys = 0

    async def live(self) -> None:
        begins = self.chance.choices(("checkout", "order, then pay", "pays twice at once"), (65, 30, 5))[0]
        order_id = await (self._checked_out() if begins == "checkout" else self._ordered())
        if order_id is None:
            return
        if self.chance.random() < 0.08:
            self.town.spawn(self._canceled(order_id, self.chance.uniform(0, 1200)))
        self.town.spawn(self._taken_up(order_id, self.chance.uniform(30, 10 * 3600)))
        if self.chance.random() < 0.25:
            self.town.spawn(self._regretted(order_id, self.chance.uniform(60, 20 * 3600)))
        if begins == "pays twice at once":
            first, second = self.chance.sample(CHANNELS, 2)
            await self.town.together(self._pay(order_id, first), self._pay(order_id, second))
        elif begins == "order, then pay":
            await self._pay(order_id, self.chance.choice(CHANNELS))
        for _ in range(TRIES - 1):
            await self.town.sleep(self.chance.uniform(20, 2400))
            found = self.town.books.order(order_id)
            if found is None or found.intent_status is not IntentStatus.REQUIRES_PAYMENT_METHOD:
                continue
            if self.chance.random() < 0.7:
                await self._pay(order_id, self.chance.choice(CHANNELS))

    # ---- what a buyer asks for -------------------------------------------------------------------------------------

    async def _checked_out(self) -> str | None:
        price = self.listing.price
        assert price is not None
        channel = self.chance.choice(CHANNELS)
        method = self._method(channel)
        request = CheckoutRequest(self.listing.id, channel, price, self._key(), capture_method=method)
        call = partial(purchase.checkout, viewer=self.buyer, request=request)
        clicks = 2 if self.chance.random() < 0.05 else 1  # an impatient finger
        return self._known(await self.town.together(*(self.town.asked(self.chance, call) for _ in range(clicks))))

    async def _ordered(self) -> str | None:
        call = partial(
            purchase.create_order,
            viewer=self.buyer,
            listing_id=self.listing.id,
            expected=None,
            idempotency_key=self._key(),
        )
        return self._known([await self.town.asked(self.chance, call)])

    async def _pay(self, order_id: str, channel: str) -> None:
        assert self.listing.price is not None
        method = self._method(channel)
        request = PaymentRequest(order_id, channel, self.listing.price, self._key(), capture_method=method)
        call = partial(purchase.request_payment, viewer=self.buyer, request=request)
        await self.town.asked(self.chance, call)

    def _method(self, channel: str) -> CaptureMethod:
        """Some merchants have the money held, where the channel can, until they know that they will deliver."""
        is_manual = channel in HOLDING and self.chance.random() < 0.15
        return CaptureMethod.MANUAL if is_manual else CaptureMethod.AUTOMATIC

    async def _canceled(self, order_id: str, after_s: float) -> None:
        await self.town.sleep(after_s)
        call = partial(orders.cancel_order, viewer=self.buyer, order_id=order_id, idempotency_key=self._key())
        await self.town.asked(self.chance, call)

    # ---- what a merchant does --------------------------------------------------------------------------------------

    async def _taken_up(self, order_id: str, after_s: float) -> None:
        """Held money is taken, all or a part, or let go; sometimes by two at once."""
        await self.town.sleep(after_s)
        chance = self.town.chance("held", self.number)
        held = [one for one in self.town.books.attempts(order_id) if one.state is AttemptState.AUTHORIZED]
        for attempt in held:
            part = replace(attempt.amount, amount_minor=chance.randint(1, attempt.amount.amount_minor))
            calls = [
                partial(captures.capture, attempt_id=attempt.id, amount=amount, idempotency_key=self._key())
                for amount in chance.choice(((None,), (None,), (part,), (None, part), ()))
            ] or [partial(captures.void, attempt_id=attempt.id, idempotency_key=self._key())]
            await self.town.together(*(self.town.asked(chance, partial(call, viewer=operator())) for call in calls))

    async def _regretted(self, order_id: str, after_s: float) -> None:
        """Money goes back: all of it, or in pieces, two of which may be asked for at once; too much is refused."""
        await self.town.sleep(after_s)
        chance = self.town.chance("regret", self.number)
        for _ in range(chance.choice((1, 1, 2, 3))):
            found = self.town.books.order(order_id)
            if found is None or not found.received_minor:
                return
            amounts = [None if chance.random() < 0.4 else chance.randint(1, found.received_minor + 1)]
            if chance.random() < 0.2:
                amounts.append(chance.randint(1, found.received_minor))
            asked = [
                RefundRequest(order_id, amount and replace(found.total, amount_minor=amount), "regret", self._key())
                for amount in amounts
            ]
            calls = [partial(refunds.request, viewer=operator(), asked=one) for one in asked]
            await self.town.together(*(self.town.asked(chance, call) for call in calls))
            await self.town.sleep(chance.uniform(10, 3 * 3600))

    def _known(self, answers: list[Answer[Any] | None]) -> str | None:
        """The order's id, from whatever was answered; None if there is no order."""
        values = [answer.value for answer in answers if answer is not None and answer.value is not None]
        if not values:
            return None
        first: PaymentAttempt | Order = values[0]
        if isinstance(first, Order):
            order_id, number = first.id, first.number
        else:
            order_id, number = first.order_id, first.key.rpartition("-")[0]
        self.town.books.know(order_id, number)
        return order_id if isinstance(first, PaymentAttempt) or first.status is not OrderStatus.PAID else None

    def _key(self) -> str:
        self._keys += 1
        return f"order-{self.number}-{self._keys}"


async def call_off(town: "Town") -> None:
    """What an operator does about refunds that no channel had within a day: their keys are too old to be sent again."""
    for refund in town.books.refunds():
        age_us = town.clock.now_us() - refund.created_at_us
        if refund.state is RefundState.REQUESTED and age_us > RESEND_WITHIN_US:
            await refunds.cancel(town.hubs[0], operator(), refund_id=refund.id, idempotency_key=f"off {refund.id}")


def arrivals(chance: random.Random, number: int, a_second: float) -> list[float]:
    """When each buyer comes, in seconds from the start."""
    return sorted(chance.uniform(0, number / a_second) for _ in range(number))
