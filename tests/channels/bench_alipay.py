"""The Alipay channel over a peer of ours, whose buyers scan each QR at once and pay when they are told to."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from hub import ports
from hub.channels.alipay import AlipayChannel
from hub.channels.alipay_gateway import Gateway
from hub.channels.alipay_wire import private_key_in, public_keys_in
from hub.channels.connecting import Surroundings
from hub.domain.money import Money
from hub.ports import Channel, RawNotice
from tests.channels.alipay_peer import (
    ALIPAY,
    APP,
    APP_ID,
    CHINA,
    NEXT_ALIPAY,
    SELLER_ID,
    STRANGER,
    AlipayPeer,
    alipay_listening,
    notice_body,
    pem,
    public_pem,
    sign,
)
from tests.channels.benches import NOW_US, Clock, Flow

NOTICE_URL = "https://hub.test/channels/alipay/notices"
OWNERS = {"current": ALIPAY, "next": NEXT_ALIPAY, "stranger": STRANGER}


def connected(
    url: str, *, client: httpx.AsyncClient | None = None, clock: Clock | None = None, **other: str
) -> AlipayChannel:
    """The adapter of an app's settings, as an operator gives them."""
    settings = {
        "app_id": APP_ID,
        "seller_id": SELLER_ID,
        "private_key": pem(APP),
        "alipay_public_key": f"{public_pem(ALIPAY)},{public_pem(NEXT_ALIPAY)}",
        "gateway_url": url,
    }
    client = client or httpx.AsyncClient(trust_env=False, verify=False)
    return AlipayChannel.connected(
        settings | other, Surroundings(client, clock or Clock(), lambda: bytes(32), NOTICE_URL)
    )


def at(url: str, *, client: httpx.AsyncClient | None = None, clock: ports.Clock | None = None) -> AlipayChannel:
    """The same, of keys that were read before: reading a private key checks it, which takes its time."""
    client, clock = client or httpx.AsyncClient(trust_env=False, verify=False), clock or Clock()
    private_key, alipay_keys = keys()
    gateway = Gateway(
        url=url, app_id=APP_ID, private_key=private_key, alipay_keys=alipay_keys, client=client, clock=clock
    )
    return AlipayChannel(
        gateway, app_id=APP_ID, seller_id=SELLER_ID, return_url=None, notice_url=NOTICE_URL, clock=clock
    )


@cache
def keys() -> tuple[RSAPrivateKey, tuple[RSAPublicKey, ...]]:
    public = f"{public_pem(ALIPAY)},{public_pem(NEXT_ALIPAY)}"
    return private_key_in(pem(APP), "private_key"), public_keys_in(public, "alipay_public_key")


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator["AlipayBench"]:
    clock = Clock()
    async with alipay_listening(lambda: clock.at_us / 1_000_000, scans_at_once=True) as peer:
        standing = AlipayBench(peer, clock)
        try:
            yield standing
        finally:
            await standing.channel.aclose()
            await standing.unreachable.aclose()


class AlipayBench:
    now_us = NOW_US
    amount = Money(1250, "CNY")
    waits = None
    action = "qr"
    pays = None
    declines = None
    rotates = True
    tells_refunds_whole = False
    signs_in_body = True

    def __init__(self, peer: AlipayPeer, clock: Clock) -> None:
        self._peer = peer
        self._clock = clock
        self.channel: Channel = at(peer.url, clock=clock)
        self.unreachable: Channel = at("http://127.0.0.1:9/gateway.do", clock=clock)

    async def buyer_pays(self, key: str) -> None:
        self._peer.pays(key.replace("-", "_"))

    async def notice(self, n: int) -> RawNotice:
        return RawNotice({"content-type": "application/x-www-form-urlencoded"}, self._peer.notices[n - 1])

    def resigned(self, raw: RawNotice, *, at_us: int, by: Literal["current", "next", "stranger"]) -> RawNotice:
        fields = dict(parse_qsl(raw.body.decode(), keep_blank_values=True))
        lasting = {name: value for name, value in fields.items() if name not in ("sign", "sign_type")}
        return RawNotice(raw.headers, notice_body(lasting, OWNERS[by]))

    async def lose(self, flow: Flow, when: Literal["before", "after"]) -> None:
        self._peer.faults.append((flow, f"drop_{when}"))

    async def count(self, key: str) -> int:
        return int(key.replace("-", "_") in self._peer.orders)

    async def given_back(self, key: str) -> int:
        return int(self._peer.given_back(key.replace("-", "_")) * Decimal(100))

    async def close_day(self) -> date:
        day = datetime.fromtimestamp(self._clock.at_us / 1_000_000, CHINA).date()
        self._clock.at_us += timedelta(days=1) // timedelta(microseconds=1)
        return day

    def hearing(self, status: int, headers: dict[str, str], body: bytes) -> Channel:
        return hearing(status, headers, signed(body))


def hearing(status: int, headers: dict[str, str], body: bytes) -> AlipayChannel:
    """The adapter over a provider that gives each call this one answer, as it is."""
    answer = httpx.Response(status, headers=headers, content=body)
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
    return at("https://gateway.test/gateway.do", client=client)


def signed(body: bytes, owner: str = ALIPAY) -> bytes:
    """A recorded answer, its signature made anew: the text between the answer's name and its last "sign"."""
    found = re.fullmatch(rb'(\{\s*"\w+_response"\s*:\s*)(\{.*\})(\s*,\s*"sign"\s*:\s*)"[^"]*"(\s*\})', body, re.DOTALL)
    if found is None:
        return body
    before, text, between, end = found.groups()
    return before + text + between + b'"' + sign(text, owner).encode() + b'"' + end
