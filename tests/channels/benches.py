"""For each registered channel: the adapter wired to a living peer, and the hands to make that peer misbehave."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from hub.channels.sandbox import SandboxChannel
from hub.domain.money import Money
from hub.domain.payments import AttemptState, PaymentAttempt
from hub.ports import Channel, RawNotice
from tests.sandbox.conftest import NOON, Merchant, Sandbox, merchant_listening, sandbox_in
from tests.sandbox.conftest import Clock as PeerClock

NOW_US = NOON * 1_000_000


@dataclass
class Clock:
    at_us: int = NOW_US

    def now_us(self) -> int:
        return self.at_us


def attempt(key: str = "TB-7-1", **fields: Any) -> PaymentAttempt:
    """An attempt as it stands committed before the call: half an hour to live."""
    made = PaymentAttempt(
        id="att_1",
        order_id="ord_1",
        number=1,
        channel="sandbox",
        key=key,
        amount=Money(1250, "USD"),
        state=AttemptState.SUBMITTED,
        method=None,
        return_url=None,
        request_key=None,
        calls=1,
        sent_at_us=NOW_US,
        expires_at_us=NOW_US + 1_800_000_000,
        heard_rank=0,
        heard_at_us=None,
        heard_key="",
        channel_ref=None,
        code=None,
        decline=None,
        next_action=None,
        unknown_since_us=None,
        version=1,
        created_at_us=NOW_US,
    )
    return replace(made, **fields)


@dataclass
class Bench:
    """What the suite asks of a channel's surroundings. `pays`, `declines`: methods that the peer decides at once."""

    channel: Channel
    pays: str
    declines_soft: str
    declines_hard: str
    notice: Callable[[int], Any]  # the n-th notice that the peer has sent, as RawNotice
    lose: Callable[[str], Any]  # the next create: "before" it is done, or "after"
    count: Callable[[str], Any]  # payments that the peer holds under a reference
    unreachable: Channel  # the same adapter, nobody listening


@asynccontextmanager
async def sandbox_bench(directory: Path) -> AsyncIterator[Bench]:
    async with merchant_listening() as merchant, sandbox_in(directory, PeerClock()) as sandbox:
        channel = sandbox_channel(sandbox, notice_url=merchant.url)
        unreachable = sandbox_channel(sandbox, base_url="http://127.0.0.1:9", notice_url=merchant.url)
        try:
            yield Bench(
                channel=channel,
                pays="pm_card_visa",
                declines_soft="pm_card_chargeDeclinedInsufficientFunds",
                declines_hard="pm_card_chargeDeclinedStolenCard",
                notice=lambda n: _notice(merchant, n),
                lose=lambda when: sandbox.arm(
                    "payments", "create", "drop_before" if when == "before" else "drop_after_commit"
                ),
                count=lambda reference: _count(sandbox, reference),
                unreachable=unreachable,
            )
        finally:
            await channel.aclose()
            await unreachable.aclose()


def sandbox_channel(sandbox: Sandbox, **other: Any) -> SandboxChannel:
    fields: dict[str, Any] = {
        "base_url": sandbox.address.base_url,
        "api_key": sandbox.address.api_key,
        "answer_secret": sandbox.address.answer_secret,
        "notice_secrets": (sandbox.address.notice_secret,),
        "notice_url": None,
        "client": httpx.AsyncClient(trust_env=False, verify=False),
        "clock": Clock(),
    }
    return SandboxChannel(**(fields | other))


async def _notice(merchant: Merchant, n: int) -> RawNotice:
    headers, body = (await merchant.got(n))[n - 1]
    return RawNotice(headers, body)


async def _count(sandbox: Sandbox, reference: str) -> int:
    return len(await sandbox.find(reference))


BENCHES: dict[str, Callable[[Path], AbstractAsyncContextManager[Bench]]] = {"sandbox": sandbox_bench}
