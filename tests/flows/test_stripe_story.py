"""A purchase by card through the engine and the real adapter, against a Stripe of ours on loopback."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest

from hub.domain.money import Money
from hub.domain.orders import OrderStatus
from hub.domain.payments import AttemptState, PaymentAttempt
from hub.flows import notices, refunds
from hub.flows.refunds import RefundRequest
from hub.ports import RawNotice
from tests.channels.bench_stripe import stripe_channel
from tests.channels.stripe_peer import SECRET_KEY, WEBHOOK_SECRET, StripePeer, event_of, signed, stripe_listening
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


async def at_stripe(shop: Shop, path: str, **form: str) -> int:
    """Somebody else's call to Stripe: a browser's, or that of a person in the dashboard. Returns the status."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        headers = {"authorization": f"Bearer {SECRET_KEY}"}
        answer = await client.post(f"{shop.peer.url}/v1/{path}", data=form, headers=headers)
    return answer.status_code


async def test_what_was_declined_in_the_browser_is_canceled_before_another_channel_is_asked(shop: Shop) -> None:
    bench, viewer = shop.bench, await shop.bench.world.learner()
    order = await bench.order(viewer, await bench.world.listing())
    first = (await bench.pay(viewer, order, "pay-1", channel="stripe")).value
    assert first is not None
    assert first.state is AttemptState.ACTION
    [intent] = shop.peer.intents.values()
    confirm = f"payment_intents/{intent['id']}/confirm"
    assert await at_stripe(shop, confirm, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds") == 402
    await shop.tell()
    assert await bench.states(order.id) == [AttemptState.DECLINED]
    assert intent["status"] == "requires_payment_method"  # and so payable by another card

    second = (await bench.pay(viewer, order, "pay-2")).value
    assert second is not None
    assert (second.channel, second.state) == ("sandbox", AttemptState.CHARGED)
    assert intent["status"] == "canceled"
    assert await at_stripe(shop, confirm, payment_method="pm_card_visa") == 400
    await shop.tell()
    await bench.work()
    assert await bench.states(order.id) == [AttemptState.VOIDED, AttemptState.CHARGED]
    assert ((await bench.order_now(order.id)).received_minor, await bench.break_kinds()) == (9900, [])


async def test_refund_made_in_the_dashboard_opens_one_break_and_one_of_anothers_charge_none(shop: Shop) -> None:
    bench, viewer = shop.bench, await shop.bench.world.learner()
    bought = (await bench.buy(viewer, await bench.world.listing(), channel="stripe", method="pm_card_visa")).value
    assert isinstance(bought, PaymentAttempt)
    [intent] = shop.peer.intents.values()
    await shop.tell()
    told = {"object": "refund", "amount": 900, "created": 1, "currency": "cny", "failure_reason": None, "metadata": {}}
    for event, kind, of in (
        ("evt_a", "refund.created", {"id": "re_a", "charge": intent["latest_charge"], "status": "pending"}),
        ("evt_b", "refund.updated", {"id": "re_a", "charge": intent["latest_charge"], "status": "succeeded"}),
        ("evt_c", "refund.created", {"id": "re_c", "charge": "ch_of_others", "status": "succeeded"}),
    ):
        at_s = bench.clock.now_us() // 1_000_000
        event_told = event_of(kind, {**told, "payment_intent": "pi_x", **of}, at_s, event_id=event)
        body = json.dumps(event_told).encode()
        headers = {"stripe-signature": signed(body, WEBHOOK_SECRET, at_s)}
        assert (await notices.receive(bench.hub, "stripe", RawNotice(headers, body))).status == 200
    [found] = await bench.breaks()
    assert (found.kind, found.subject_id, found.order_id) == ("MISSING_LOCALLY", "stripe/re_a", bought.order_id)
    for _ in range(2):
        bench.clock.pass_us(25 * 3600 * SECOND_US)
        await bench.work()
    states = dict(await bench.rows("SELECT event_id, state FROM notice_inbox"))
    assert [states[event] for event in ("evt_a", "evt_b", "evt_c")] == ["APPLIED", "APPLIED", "IGNORED"]
