"""The sandbox channel over its provider: served for the test, controlled over its own control API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from hub.channels.sandbox import SandboxChannel
from hub.domain.money import Money
from hub.ports import Channel, RawNotice
from hub.sandbox.signatures import HEADER, signature
from tests.channels.benches import NOW_US, Bench, Clock, Flow
from tests.sandbox.conftest import Clock as PeerClock
from tests.sandbox.conftest import Merchant, Sandbox, merchant_listening, sandbox_in

NEXT_SECRET = "whsec_next"
OPERATIONS: dict[Flow, str] = {
    "create": "create", "capture": "capture", "void": "cancel", "refund": "refund", "answer_dispute": "answer_dispute",
}  # fmt: skip


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    async with merchant_listening() as merchant, sandbox_in(directory, PeerClock()) as sandbox:
        standing = SandboxBench(merchant, sandbox)
        try:
            yield standing
        finally:
            await standing.channel.aclose()
            await standing.unreachable.aclose()


class SandboxBench:
    now_us = NOW_US
    amount = Money(1250, "USD")
    waits: str | None = None
    action = "redirect"
    pays: str | None = "pm_card_visa"
    declines: tuple[str, str] | None = ("pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedStolenCard")
    rotates = True
    tells_refunds_whole = True
    signs_in_body = False

    def __init__(self, merchant: Merchant, sandbox: Sandbox) -> None:
        self._merchant = merchant
        self._sandbox = sandbox
        self.channel: Channel = self._connected()
        self.unreachable: Channel = self._connected(base_url="http://127.0.0.1:9")

    async def buyer_pays(self, key: str) -> None:
        await self._confirm(key, "pm_card_visa")

    async def _confirm(self, key: str, method: str) -> None:
        [intent] = await self._sandbox.find(key)
        answer = await self._sandbox.client.post(
            f"/v1/payment_intents/{intent['id']}/confirm",
            json={"payment_method": method},
            headers=self._sandbox.as_hub,
        )
        assert answer.status_code == 200

    async def notice(self, n: int) -> RawNotice:
        headers, body = (await self._merchant.got(n))[n - 1]
        return RawNotice(headers, body)

    def resigned(self, raw: RawNotice, *, at_us: int, by: Literal["current", "next", "stranger"]) -> RawNotice:
        secret = {"current": self._sandbox.address.notice_secret, "next": NEXT_SECRET, "stranger": "whsec_no"}[by]
        return RawNotice({HEADER.lower(): signature(raw.body, secret, at_us // 1_000_000)}, raw.body)

    async def lose(self, flow: Flow, when: Literal["before", "after"]) -> None:
        fault = "drop_before" if when == "before" else "drop_after_commit"
        await self._sandbox.arm("payments", OPERATIONS[flow], fault)

    async def count(self, key: str) -> int:
        return len(await self._sandbox.find(key))

    async def given_back(self, key: str) -> int:
        answer = await self._sandbox.client.get(
            "/v1/refunds", params={"payment_reference": key}, headers=self._sandbox.as_hub
        )
        return sum(refund["amount"] for refund in answer.json()["data"] if refund["status"] != "failed")

    async def close_day(self) -> date:
        day = datetime.fromtimestamp(self._sandbox.clock.now_s, UTC).date()
        self._sandbox.clock.now_s += 24 * 60 * 60
        return day

    def hearing(self, status: int, headers: dict[str, str], body: bytes) -> Channel:
        sealed = {"Sandbox-Signature": signature(body, self._sandbox.address.answer_secret, NOW_US // 1_000_000)}
        answer = httpx.Response(status, headers=sealed | headers, content=body)
        return self._connected(client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))

    def _connected(self, **other: Any) -> SandboxChannel:
        fields: dict[str, Any] = {
            "base_url": self._sandbox.address.base_url,
            "api_key": self._sandbox.address.api_key,
            "answer_secret": self._sandbox.address.answer_secret,
            "notice_secrets": (self._sandbox.address.notice_secret, NEXT_SECRET),
            "notice_url": self._merchant.url,
            "client": httpx.AsyncClient(trust_env=False, verify=False),
            "clock": Clock(),
        }
        return SandboxChannel(**(fields | other))
