"""The Stripe channel over a Stripe of ours on loopback: tests/channels/stripe_peer.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import httpx

from hub.channels.connecting import Surroundings
from hub.channels.stripe import StripeChannel
from hub.domain.money import Money
from hub.ports import Channel, Clock, RawNotice
from tests.channels.benches import NOW_US, Bench, Flow
from tests.channels.benches import Clock as Noon
from tests.channels.stripe_peer import (
    NEXT_WEBHOOK_SECRET,
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripePeer,
    signed,
    stripe_listening,
)
from tests.sandbox.conftest import NOON, Merchant, merchant_listening

SECRETS = {"current": WEBHOOK_SECRET, "next": NEXT_WEBHOOK_SECRET, "stranger": "whsec_of_a_stranger"}


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    async with merchant_listening() as merchant, stripe_listening(lambda: NOON) as peer:
        standing = StripeBench(merchant, peer)
        try:
            yield standing
        finally:
            await standing.channel.aclose()
            await standing.unreachable.aclose()


class StripeBench:
    now_us = NOW_US
    amount = Money(1250, "USD")
    waits: str | None = None
    action = "client_secret"
    pays: str | None = "pm_card_visa"
    declines: tuple[str, str] | None = (
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "pm_card_visa_chargeDeclinedStolenCard",
    )
    rotates = True
    tells_refunds_whole = True
    signs_in_body = False

    def __init__(self, merchant: Merchant, peer: StripePeer) -> None:
        peer.notice_url = merchant.url
        self._merchant = merchant
        self._peer = peer
        self.channel: Channel = stripe_channel(peer.url, notice_url=merchant.url)
        self.unreachable: Channel = stripe_channel("http://127.0.0.1:9")

    async def buyer_pays(self, key: str) -> None:
        [intent] = [one for one in self._peer.intents.values() if one["metadata"]["tongbao_attempt"] == key]
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            answer = await client.post(
                f"{self._peer.url}/v1/payment_intents/{intent['id']}/confirm",
                data={"payment_method": "pm_card_visa"},
                headers={"Authorization": f"Bearer {SECRET_KEY}"},
            )
        assert answer.status_code == 200

    async def notice(self, n: int) -> RawNotice:
        headers, body = (await self._merchant.got(n))[n - 1]
        return RawNotice(headers, body)

    def resigned(self, raw: RawNotice, *, at_us: int, by: Literal["current", "next", "stranger"]) -> RawNotice:
        return RawNotice({"stripe-signature": signed(raw.body, SECRETS[by], at_us // 10**6)}, raw.body)

    async def lose(self, flow: Flow, when: Literal["before", "after"]) -> None:
        self._peer.faults.append((flow, f"drop_{when}"))

    async def count(self, key: str) -> int:
        return sum(one["metadata"]["tongbao_attempt"] == key for one in self._peer.intents.values())

    async def given_back(self, key: str) -> int:
        given = [one for one in self._peer.refunds.values() if one["metadata"]["tongbao_attempt"] == key]
        return sum(one["amount"] for one in given if one["status"] != "failed")

    async def close_day(self) -> date:
        return datetime.fromtimestamp(NOON, UTC).date()

    def hearing(self, status: int, headers: dict[str, str], body: bytes) -> Channel:
        answer = httpx.Response(status, headers=headers, content=body)
        client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
        return stripe_channel(self._peer.url, client=client)


def stripe_channel(
    url: str,
    *,
    client: httpx.AsyncClient | None = None,
    clock: Clock | None = None,
    notice_url: str | None = None,
    **settings: str,
) -> StripeChannel:
    surroundings = Surroundings(
        client=client or httpx.AsyncClient(trust_env=False, verify=False),
        clock=clock or Noon(),
        draw_seed=lambda: b"chance" * 5 + b"__",
        notice_url=notice_url,
    )
    given = {"secret_key": SECRET_KEY, "webhook_secret": f"{WEBHOOK_SECRET},{NEXT_WEBHOOK_SECRET}", "api_url": url}
    return StripeChannel.connected(given | settings, surroundings)
