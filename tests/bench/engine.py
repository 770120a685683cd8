"""What the hub itself takes of a payment: its CPU beside a bare httpx call with the same signing, and 200 at once.

The orders are there, and the provider is a process of its own. Ours is `paymentCreate` until its result is recorded;
the bare side sends the same body and verifies the same answer.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from statistics import median

import httpx

from hub.channels.sandbox import SIGNATURE_HEADER, SandboxChannel
from hub.channels.sandbox_words import verified_at
from hub.domain.payments import PaymentRequest
from hub.domain.people import Viewer
from hub.entry import wiring
from hub.flows.purchase import create_order, request_payment
from hub.ports import Hub
from tests.bench.figures import Figure, interleaved
from tests.bench.shop import CHANNEL, PRICE, Shop, WallClock, open_hub, open_shop

ROUNDS, PAYMENTS = 9, 200
QUICK_ROUNDS, QUICK_PAYMENTS = 1, 10
AT_ONCE, SLOW_S = 200, 2.0
QUICK_AT_ONCE, QUICK_SLOW_S = 20, 0.2
SECRET = "secret of the answers"
BODY = {
    "reference": "TB0000000000000-1", "amount": 9900, "currency": "CNY", "description": "Order TB0000000000000-1",
    "metadata": {"order": "TB0000000000000"}, "capture_method": "automatic", "expires_in_s": 1800,
}  # fmt: skip


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, payments = (QUICK_ROUNDS, QUICK_PAYMENTS) if quick else (ROUNDS, PAYMENTS)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        shop = await open_shop(f"sqlite:///{folder}/shop.sqlite3", payments)
        async with provider(0) as url:
            spent: list[tuple[float, float]] = []
            figure = await interleaved(
                "engine_cpu",
                lambda: engine_ms(shop, url, spent),
                lambda: bare_ms(url, payments),
                unit="ms of CPU a payment",
                rounds=rounds,
                bar="ratio at most 3",
                against="httpx with the same body, and the answer's signature verified",
                counted="the loop's thread in paymentCreate: all but the channel's answer and the units that commit",
            )
            yield figure
            units = [in_units for _, in_units in spent]
            yield Figure.of("engine_units_cpu", units, unit="ms of CPU a payment", counted="its two units, not COMMIT")
        at_once, slow_s = (QUICK_AT_ONCE, QUICK_SLOW_S) if quick else (AT_ONCE, SLOW_S)
        crowd = await open_shop(f"sqlite:///{folder}/crowd.sqlite3", at_once + 1)
        async with provider(slow_s) as url:
            bare, taken = [], []
            for _ in range(1 if quick else 3):
                bare.append(await bare_crowd_s(url, at_once))
                taken.append(await crowd_s(crowd, url))
            figure = Figure.of(
                f"engine_{at_once}_at_once",
                taken,
                unit="s",
                bar="ratio at most 1.2",
                answers_after_s=slow_s,
                bare_httpx_s=round(median(bare), 2),
            )
            yield replace(figure, beside=slow_s, ratio=figure.ours / slow_s)


@dataclass(slots=True)
class Commits:
    """CPU time that the writer's thread spends in COMMIT."""

    spent_s: float = 0.0
    _since_s: float = field(default=0.0)

    def on_step(self, step: str, _unit: str) -> None:
        now_s = time.thread_time()
        if step == "before commit":
            self._since_s = now_s
        elif self._since_s:
            self.spent_s += now_s - self._since_s
            self._since_s = 0.0


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that waits for its money, and whose it is."""

    order_id: str
    buyer: Viewer

    async def pay(self, hub: Hub) -> str:
        """Charged, under the key that is returned; anything else ends the benchmark."""
        request = PaymentRequest(self.order_id, CHANNEL, PRICE, f"bench of {self.order_id}")
        answer = await request_payment(hub, self.buyer, request)
        assert answer.value is not None, answer.refusal
        assert answer.value.state == "CHARGED", answer.value
        return answer.value.key


async def ordered(hub: Hub, shop: Shop, buyer: Viewer) -> Ordered:
    answer = await create_order(
        hub, buyer, listing_id=shop.listing_id, expected=PRICE, idempotency_key=f"bench of {buyer.user_id}"
    )
    assert answer.value is not None, answer.refusal
    return Ordered(answer.value.id, buyer)


async def engine_ms(shop: Shop, url: str, spent: list[tuple[float, float]]) -> float:
    """CPU of one payment after another in the loop's thread; `spent` gets that of the units' too, without COMMIT."""
    commits = Commits()
    async with hub_on(shop.copied("ours.sqlite3"), url, commits) as hub:
        first, *others = [await ordered(hub, shop, buyer) for buyer in shop.buyers]
        await first.pay(hub)  # statements are rendered once for all
        began_s, own_s, commits.spent_s = time.process_time(), time.thread_time(), 0.0
        for order in others:
            await order.pay(hub)
        all_s = time.process_time() - began_s - commits.spent_s
        loop_ms = (time.thread_time() - own_s) * 1000 / len(others)
        units_ms = all_s * 1000 / len(others) - loop_ms
        spent.append((loop_ms, units_ms))
        return loop_ms


async def bare_ms(url: str, payments: int) -> float:
    """CPU of a call that does nothing but sign, send, receive and verify."""
    async with wiring._client() as client:
        began_s = time.thread_time()
        for _ in range(payments):
            await bare_call(client, url)
        return (time.thread_time() - began_s) * 1000 / payments


async def bare_crowd_s(url: str, payments: int) -> float:
    """So many of them at once, until the last is answered: what nobody who calls by httpx gets below."""
    async with wiring._client() as client:
        began_s = time.perf_counter()
        await asyncio.gather(*(bare_call(client, url) for _ in range(payments)))
        return time.perf_counter() - began_s


async def bare_call(client: httpx.AsyncClient, url: str) -> None:
    headers = {"Authorization": "Bearer key", "Idempotency-Key": str(BODY["reference"])}
    answer = await client.post(f"{url}/v1/payment_intents", json=BODY, headers=headers)
    assert verified_at(answer.headers[SIGNATURE_HEADER], answer.content, (SECRET,)) is not None


async def crowd_s(shop: Shop, url: str) -> float:
    """All buyers at once, until the last of them is answered."""
    copy = shop.copied("crowd-now.sqlite3")
    async with hub_on(copy, url, Commits()) as hub:
        first, *others = [await ordered(hub, copy, buyer) for buyer in copy.buyers]
        await first.pay(hub)
        began_s = time.perf_counter()
        await asyncio.gather(*(order.pay(hub) for order in others))
        return time.perf_counter() - began_s


@asynccontextmanager
async def hub_on(shop: Shop, url: str, commits: Commits) -> AsyncIterator[Hub]:
    """The shop's hub, with the sandbox's adapter and the client that the wiring gives it."""
    channel = SandboxChannel(
        base_url=url, api_key="key", answer_secret=SECRET, notice_secrets=("notices",), notice_url=None,
        client=wiring._client(), clock=WallClock(),
    )  # fmt: skip
    async with open_hub(shop, on_step=commits.on_step) as hub:
        try:
            yield replace(hub, channels={channel.code: channel})
        finally:
            await channel.aclose()


@asynccontextmanager
async def provider(delay_s: float) -> AsyncIterator[str]:
    """The address of a provider that answers after so long."""
    program = ("-m", "tests.bench.provider_server", SECRET, str(delay_s))
    process = await asyncio.create_subprocess_exec(sys.executable, *program, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = json.loads(await process.stdout.readline())["port"]
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()
