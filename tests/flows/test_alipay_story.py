"""A sale by Alipay's adapter over a provider of ours: what is told by call, query and notice, and what gets lost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hub.domain.orders import OrderStatus
from hub.domain.payments import AttemptState, PaymentAttempt
from hub.domain.refunds import RefundState
from hub.flows import notices, refunds
from hub.flows.refunds import RefundRequest
from hub.ports import NoticeRefused, RawNotice
from tests.channels.alipay_peer import AlipayPeer, alipay_listening
from tests.channels.bench_alipay import at
from tests.flows.benches import Bench
from tests.world import SECOND_US, partner


@dataclass
class Shop:
    bench: Bench
    peer: AlipayPeer
    attempt: PaymentAttempt | None = None

    async def sells(self, **more: Any) -> PaymentAttempt:
        platform = await self.bench.world.platform()
        listing = await self.bench.world.listing(price_minor=1250, platform=platform)
        viewer = await self.bench.world.learner()
        answer = await self.bench.buy(viewer, listing, channel="alipay", **more)
        assert isinstance(answer.value, PaymentAttempt), answer.refusal
        self.attempt = answer.value
        return answer.value

    async def now(self) -> PaymentAttempt:
        assert self.attempt is not None
        [attempt] = await self.bench.attempts(self.attempt.order_id)
        return attempt

    async def status(self) -> OrderStatus:
        assert self.attempt is not None
        return (await self.bench.order_now(self.attempt.order_id)).status

    async def passes(self, seconds: int) -> None:
        self.bench.clock.pass_us(seconds * SECOND_US)
        await self.bench.work()

    async def told(self, n: int) -> None:
        ack = await notices.receive(self.bench.hub, "alipay", RawNotice({}, self.peer.notices[n - 1]))
        assert (ack.status, ack.body) == (200, b"success")

    @property
    def reference(self) -> str:
        assert self.attempt is not None
        return self.attempt.key.replace("-", "_")


@pytest.fixture
async def shop(bench: Bench) -> AsyncIterator[Shop]:
    async with alipay_listening(lambda: bench.clock.at_us / SECOND_US) as peer:
        channel: Any = at(peer.url, clock=bench.clock)
        yield Shop(replace(bench, channel=channel), peer)
        await channel.aclose()


async def test_a_qr_stays_with_its_buyer_until_a_notice_says_paid_once(shop: Shop) -> None:
    attempt = await shop.sells()
    assert attempt.next_action is not None
    for _ in range(3):
        await shop.passes(15)
    assert ((await shop.now()).state, (await shop.now()).next_action) == (AttemptState.ACTION, attempt.next_action)
    shop.peer.scans(shop.reference)
    await shop.passes(60)
    assert ((await shop.now()).state, (await shop.now()).next_action) == (AttemptState.ACTION, attempt.next_action)

    shop.peer.pays(shop.reference)
    for _ in range(3):
        await shop.told(1)
    await shop.passes(300)

    assert ((await shop.now()).state, await shop.status()) == (AttemptState.CHARGED, OrderStatus.PAID)
    assert (await shop.now()).channel_ref == shop.peer.trades[shop.reference]["trade_no"]
    assert await shop.bench.rows("SELECT count(*) FROM notice_inbox") == [(1,)]
    assert await shop.bench.breaks() == []
    assert [call for call, _ in shop.peer.seen].count("create") == 1


async def test_05_5_a_lost_qr_is_asked_for_again_under_its_reference_after_a_minute(shop: Shop) -> None:
    shop.peer.faults.append(("create", "drop_after"))
    assert (await shop.sells()).state is AttemptState.UNKNOWN

    await shop.passes(30)
    assert (await shop.now()).state is AttemptState.UNKNOWN
    await shop.passes(60)

    shown = await shop.now()
    assert (shown.state, shown.calls) == (AttemptState.ACTION, 2)
    assert shown.next_action is not None
    first, second = [content for call, content in shop.peer.seen if call == "create"]
    assert first == second
    shop.peer.pays(shop.reference)
    await shop.told(1)
    assert await shop.status() is OrderStatus.PAID


async def test_a_qr_that_nobody_scans_ends_with_its_attempt(shop: Shop) -> None:
    attempt = await shop.sells()

    for _ in range(8):
        await shop.passes(300)

    assert (await shop.now()).state is AttemptState.EXPIRED
    assert (await shop.now()).expires_at_us == attempt.expires_at_us
    assert shop.peer.trades == {}


async def test_05_19_another_amount_than_was_asked_grants_nothing(shop: Shop) -> None:
    await shop.sells()
    shop.peer.orders[shop.reference]["total_amount"] = "0.01"
    shop.peer.pays(shop.reference)

    await shop.told(1)

    assert await shop.status() is OrderStatus.AWAITING_PAYMENT
    assert [one.kind for one in await shop.bench.breaks()] == ["AMOUNT"]


async def test_05_12_a_notice_of_another_app_changes_nothing(shop: Shop) -> None:
    await shop.sells()
    shop.peer.pays(shop.reference)
    shop.peer.notices[0] = shop.peer.notices[0].replace(b"app_id=9021000100000001", b"app_id=9021000100000002")

    with pytest.raises(NoticeRefused):
        await shop.told(1)

    assert await shop.status() is OrderStatus.AWAITING_PAYMENT
    assert await shop.bench.rows("SELECT count(*) FROM notice_inbox") == [(0,)]


@pytest.mark.parametrize("lost", [None, "drop_before", "drop_after"])
async def test_05_3_a_refund_goes_back_once_and_is_done_when_the_query_says_so(shop: Shop, lost: str | None) -> None:
    attempt = await shop.sells()
    shop.peer.pays(shop.reference)
    await shop.told(1)
    platform = await shop.bench.world.platform()
    if lost:
        shop.peer.faults.append(("refund", lost))

    answer = await refunds.request(
        shop.bench.hub, partner(platform), RefundRequest(attempt.order_id, None, "not as shown", "r-1")
    )
    assert answer.value is not None, answer.refusal
    refund = answer.value
    assert refund.state is (RefundState.UNKNOWN if lost else RefundState.PENDING)
    if lost != "drop_before":
        await shop.told(2)  # names the refund: news, and no proof
    await shop.passes(120)
    await shop.passes(120)

    assert await shop.bench.rows("SELECT state FROM refund") == [("SUCCEEDED",)]
    assert shop.peer.given_back(shop.reference) * 100 == 1250
    assert await shop.status() is OrderStatus.REFUNDED
    assert await shop.bench.breaks() == []
