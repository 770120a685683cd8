"""The WeChat Pay channel over a provider of ours on loopback: tests/channels/wechat_peer.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import httpx

from hub.channels.wechat import WeChatChannel
from hub.channels.wechat_wire import Merchant as WeChatMerchant
from hub.channels.wechat_wire import merchant_of
from hub.domain.money import Money
from hub.ports import Channel, RawNotice
from tests.channels.benches import NOW_US, Bench, Clock, Flow
from tests.channels.wechat_peer import (
    API_V3_KEY,
    APPID,
    CERTIFICATE,
    CHINA,
    MCHID,
    MERCHANT,
    MERCHANT_SERIAL,
    NEXT_API_V3_KEY,
    NEXT_CERTIFICATE,
    PUBLIC_KEY_ID,
    STRANGER,
    WeChatPeer,
    key,
    wechat_listening,
)
from tests.sandbox.conftest import Merchant, merchant_listening

SIGNERS = {"current": CERTIFICATE, "next": NEXT_CERTIFICATE, "stranger": STRANGER}


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    async with merchant_listening() as merchant, wechat_listening(lambda: NOW_US / 10**6) as peer:
        standing = WeChatBench(merchant, peer)
        try:
            yield standing
        finally:
            await standing.channel.aclose()
            await standing.unreachable.aclose()


class WeChatBench:
    now_us = NOW_US
    amount = Money(1250, "CNY")
    waits: str | None = None
    action = "qr"
    pays: str | None = None
    declines: tuple[str, str] | None = None
    rotates = True
    tells_refunds_whole = True
    signs_in_body = False

    def __init__(self, merchant: Merchant, peer: WeChatPeer) -> None:
        self._merchant = merchant
        self._peer = peer
        self.channel: Channel = wechat_channel(peer, notice_url=merchant.url)
        self.unreachable: Channel = wechat_channel(peer, notice_url=merchant.url, gateway_url="http://127.0.0.1:9")

    async def buyer_pays(self, key: str) -> None:
        await self._peer.buyer_pays(key)

    async def notice(self, n: int) -> RawNotice:
        headers, body = (await self._merchant.got(n))[n - 1]
        return RawNotice(headers, body)

    def resigned(self, raw: RawNotice, *, at_us: int, by: Literal["current", "next", "stranger"]) -> RawNotice:
        return RawNotice(self._peer.signature_headers(raw.body, at_s=at_us // 10**6, by=SIGNERS[by]), raw.body)

    async def lose(self, flow: Flow, when: Literal["before", "after"]) -> None:
        self._peer.faults.append((flow, f"drop_{when}"))

    async def count(self, key: str) -> int:
        return int(key in self._peer.trades)

    async def given_back(self, key: str) -> int:
        given = [one for one in self._peer.refunds.values() if one["out_trade_no"] == key]
        return sum(one["amount"]["refund"] for one in given if one["status"] != "CLOSED")

    async def close_day(self) -> date:
        return datetime.fromtimestamp(NOW_US // 10**6, CHINA).date()

    def hearing(self, status: int, headers: dict[str, str], body: bytes) -> Channel:
        signed = self._peer.signature_headers(body)
        answer = httpx.Response(status, headers=signed | headers, content=body)
        return wechat_channel(self._peer, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))


def wechat_settings(gateway_url: str, **other: str) -> dict[str, str]:
    """What an operator sets: two generations of certificates and a public key, two APIv3 keys."""
    keys = [key(serial) for serial in (CERTIFICATE, NEXT_CERTIFICATE, PUBLIC_KEY_ID)]
    return {
        "mchid": MCHID,
        "appid": APPID,
        "serial_no": MERCHANT_SERIAL,
        "private_key": key(MERCHANT).private_pem,
        "api_v3_key": f"{API_V3_KEY},{NEXT_API_V3_KEY}",
        "platform_keys": ",".join(f"{one.serial}={one.shown}" for one in keys),
        "gateway_url": gateway_url,
    } | other


@cache
def _merchant(settings: frozenset[tuple[str, str]]) -> WeChatMerchant:
    return merchant_of(dict(settings))


def wechat_channel(
    peer: WeChatPeer,
    *,
    client: httpx.AsyncClient | None = None,
    clock: Clock | None = None,
    notice_url: str = "https://hub.test/channels/wechat/notices",
    payer_client_ip: str | None = None,
    gateway_url: str | None = None,
    **settings: str,
) -> WeChatChannel:
    """The adapter at this peer. Its keys are read once a process: that checks them, which takes a while."""
    return WeChatChannel(
        merchant=_merchant(frozenset((wechat_settings("") | settings).items())),
        gateway_url=gateway_url or peer.url,
        notice_url=notice_url,
        payer_client_ip=payer_client_ip,
        client=client or httpx.AsyncClient(trust_env=False, verify=False),
        clock=clock or Clock(),
        draw_seed=lambda: b"chance" * 5 + b"__",
    )
