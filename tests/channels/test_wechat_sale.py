"""A whole hub that is told of WeChat Pay by its settings alone: a QR paid, told by a notice or found by asking."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from hub.entry.demo_client import Client
from tests.channels.bench_wechat import wechat_settings
from tests.channels.wechat_peer import STRANGER, WeChatPeer, wechat_listening
from tests.entry.hubs import LIST, House, reached, until
from tests.servers import free_port

# A whole hub, as other people's clients have it: run beside them.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

CHECKOUT = """mutation($input: CheckoutInput!) { checkout(input: $input) {
  order { id number } paymentAttempt { state nextAction { kind data } } userErrors { code message } } }"""


REFUND = """mutation($input: RefundCreateInput!) { refundCreate(input: $input) {
  refund { id state } userErrors { code message } } }"""
REFUNDS = "query($id: ID) { order(id: $id) { status refunds { state amount { amountMinor } } } }"


@dataclass(frozen=True, slots=True)
class Shop:
    hub: str
    peer: WeChatPeer
    house: House
    learner: Client
    seller: Client

    async def buys(self, work: str) -> dict[str, Any]:
        """A work put on sale for 9.90 yuan, and its checkout."""
        price = {"amountMinor": 990, "currency": "CNY"}
        listed = await self.seller.mutate(LIST, {"externalId": work, "title": work, "price": price})
        return await self.learner.mutate(
            CHECKOUT,
            {
                "listingId": listed["listing"]["id"],
                "channel": "wechat",
                "idempotencyKey": work,
                "expectedAmount": price,
            },
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    house = House(tmp_path_factory.mktemp("wechat") / "data", port=free_port())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        peer = await stack.enter_async_context(wechat_listening(time.time))
        settings = wechat_settings(peer.url, notice_url=f"http://127.0.0.1:{house.port}/channels/wechat/notices")
        hub = await house.serve(**{f"HUB_CHANNEL_WECHAT_{name.upper()}": value for name, value in settings.items()})
        learner = await stack.enter_async_context(Client(hub.origin, await house.token("learner")))
        seller = await stack.enter_async_context(Client(hub.origin, await house.token("partner", platform="lumen")))
        yield Shop(hub.origin, peer, house, learner, seller)


async def test_qr_is_shown_paid_and_told_by_a_notice_that_may_come_again(shop: Shop) -> None:
    sold = await shop.buys("茶经")
    key = f"{sold['order']['number']}-1"
    assert sold["paymentAttempt"]["state"] == "ACTION"
    assert sold["paymentAttempt"]["nextAction"]["kind"] == "QR"
    assert sold["paymentAttempt"]["nextAction"]["data"].startswith("weixin://wxpay/bizpayurl?pr=")

    await shop.peer.buyer_pays(key)

    order = await reached(shop.learner, sold["order"]["id"], status="PAID", chargeStatus="FULL")
    assert order["receivedAmount"] == {"amountMinor": "990"}
    trade, url = shop.peer.trades[key], shop.peer.orders[key]["notify_url"]
    assert await shop.peer.post(url, "TRANSACTION.SUCCESS", trade) == 204
    assert await shop.peer.post(url, "TRANSACTION.SUCCESS", trade, by=STRANGER) == 400
    assert await shop.peer.post(url, "TRANSACTION.SUCCESS", trade | {"appid": "wx0"}) == 400
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        assert (await client.post(url, content=b"{}")).status_code == 400


async def test_lost_notice_is_found_by_asking_and_the_money_goes_back_in_part(shop: Shop) -> None:
    sold = await shop.buys("梦溪笔谈")
    key = f"{sold['order']['number']}-1"
    await shop.peer.buyer_pays(key, is_told=False)
    await reached(shop.learner, sold["order"]["id"], status="PAID", chargeStatus="FULL")

    part = {"amountMinor": 90, "currency": "CNY"}
    asked = {"orderId": sold["order"]["id"], "idempotencyKey": "back", "amount": part}
    await shop.seller.mutate(REFUND, asked)

    async def given_back() -> list[dict[str, Any]] | None:
        refunds = (await shop.seller.query(REFUNDS, {"id": sold["order"]["id"]}))["order"]["refunds"]
        return refunds if [one["state"] for one in refunds] == ["SUCCEEDED"] else None

    [refund] = await until(given_back, what="the refund") or []
    assert refund["amount"] == {"amountMinor": "90"}
    [given] = shop.peer.refunds.values()
    assert (given["out_trade_no"], given["amount"]["refund"], given["amount"]["total"]) == (key, 90, 990)
    assert shop.peer.trades[key]["trade_state"] == "REFUND"
    assert await shop.house.verified()
