"""A purchase by card through the engine and the real adapter, against a Stripe of ours on loopback."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from hub.domain.money import Money
from hub.domain.orders import OrderStatus
from hub.domain.payments import AttemptState, PaymentAttempt
from hub.flows import notices, refunds
from hub.flows.refunds import RefundRequest
from hub.ports import RawNotice
from tests.channels.bench_stripe import stripe_channel
from tests.channels.stripe_peer import WEBHOOK_SECRET, StripePeer, event_of, signed, stripe_listening
from tests.channels.test_stripe_notices import DISPUTE, WARNING
from tests.flows.benches import Bench
from tests.sandbox.conftest import Merchant, merchant_listening
from tests.world import SECOND_US, partner


@dataclass
class Shop:
    bench: Bench
    peer: StripePeer
    merchant: Merchant
    read: int = 0

    async def tell(self) -> None:
        """Hand the hub what Stripe has sent since."""
        for headers, body in self.merchant.received[self.read :]:
            ack = await notices.receive(self.bench.hub, "stripe", RawNotice(headers, body))
            assert ack.status == 200
        self.read = len(self.merchant.received)


@pytest.fixture
async def shop(bench: Bench) -> AsyncIterator[Shop]:
    def now_s() -> int:
        return bench.clock.now_us() // 1_000_000

    async with merchant_listening() as merchant, stripe_listening(now_s) as peer:
        peer.notice_url = merchant.url
        channel = stripe_channel(peer.url, clock=bench.clock)
        yield Shop(replace(bench, other=channel), peer, merchant)
        await channel.aclose()


async def test_card_is_charged_once_by_answer_and_event_and_part_of_it_given_back(shop: Shop) -> None:
    bench, platform = shop.bench, await shop.bench.world.platform()
    viewer, listing = await bench.world.learner(), await bench.world.listing(platform=platform)

    answer = await bench.buy(viewer, listing, channel="stripe", method="pm_card_visa")
    await shop.tell()
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    order = await bench.order_now(answer.value.order_id)
    assert (answer.value.state, order.status) == (AttemptState.CHARGED, OrderStatus.PAID)
    assert await bench.balance(f"order:{order.id}:escrow") == 9900
    [intent] = shop.peer.intents.values()
    assert intent["metadata"] == {
        "tongbao_attempt": answer.value.key,
        "tongbao_order": order.number,
        "tongbao_order_id": order.id,
    }

    asked = RefundRequest(order.id, Money(900, "CNY"), "not as shown", "r-1")
    refund = await refunds.request(bench.hub, partner(platform), asked)
    await bench.work()
    await shop.tell()
    assert refund.value is not None, refund.refusal
    assert [one["amount"] for one in shop.peer.refunds.values()] == [900]
    assert (await bench.order_now(order.id)).status is OrderStatus.PARTIALLY_REFUNDED
    assert await bench.balance(f"order:{order.id}:escrow") == 9000
    await bench.assert_books_fold()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_answer_is_resolved_by_the_list_and_charged_once(shop: Shop, when: str) -> None:
    bench = shop.bench
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    shop.peer.faults += [("create", f"drop_{when}")]

    answer = await bench.buy(viewer, listing, channel="stripe", method="pm_card_visa")
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    assert answer.value.state is AttemptState.UNKNOWN
    for _ in range(3):
        bench.clock.pass_us(61 * SECOND_US)
        await bench.work()

    assert (await bench.order_now(answer.value.order_id)).status is OrderStatus.PAID
    assert len(shop.peer.charges) == 1
    asked = [path for method, path, _, _ in shop.peer.seen if method == "POST"]
    assert len(asked) == (2 if when == "before" else 1)


async def test_early_warning_is_shown_in_the_orders_currency_and_takes_nothing(shop: Shop) -> None:
    bench = shop.bench
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    answer = await bench.buy(viewer, listing, channel="stripe", method="pm_card_visa")
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    [charge] = shop.peer.charges.values()
    told = WARNING | {"charge": charge["id"], "payment_intent": charge["payment_intent"]}

    raw = event(bench, "radar.early_fraud_warning.created", told)
    assert (await notices.receive(bench.hub, "stripe", raw)).status == 200

    rows = await bench.rows("SELECT channel_ref, state, amount_minor, currency, held_minor FROM dispute")
    assert rows == [("issfr_1", "EARLY_WARNING", 0, "CNY", 0)]
    [grant] = await bench.grants(viewer.user_id or "", listing.course_id)
    assert grant.state.value == "ACTIVE"


async def test_dispute_of_a_card_suspends_the_right_and_names_no_key_of_ours(shop: Shop) -> None:
    bench = shop.bench
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    answer = await bench.buy(viewer, listing, channel="stripe", method="pm_card_visa")
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    order = await bench.order_now(answer.value.order_id)
    [charge] = shop.peer.charges.values()
    lines = [{"fee": 1500, "currency": "cny"}]
    contested = DISPUTE | {"charge": charge["id"], "payment_intent": charge["payment_intent"], "amount": 9900}
    told = contested | {"currency": "cny", "balance_transactions": lines}

    assert (await notices.receive(bench.hub, "stripe", event(bench, "charge.dispute.created", told))).status == 200

    rows = await bench.rows("SELECT order_id, channel_ref, state, held_minor FROM dispute")
    assert rows == [(order.id, "du_1", "NEEDS_RESPONSE", 9900)]
    [grant] = await bench.grants(order.user_id, order.course_id)
    assert grant.state.value == "SUSPENDED"
    await bench.assert_books_fold()


def event(bench: Bench, kind: str, told: dict[str, object]) -> RawNotice:
    at_s = bench.clock.now_us() // 1_000_000
    body = json.dumps(event_of(kind, told, at_s)).encode()
    return RawNotice({"stripe-signature": signed(body, WEBHOOK_SECRET, at_s)}, body)
