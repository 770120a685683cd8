"""Answers as providers gave them, kept as files: what each of them means is said in it, and must stay so.

A sample is {flow, status, headers?, body, known}: `body` JSON or text, `known` the fields of the Result that it gives
(`amount` as [minor units, currency]). Adding a channel is its file, its line in hub.channels.CHANNELS and these.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hub.channels import CHANNELS
from hub.domain.money import Money
from hub.domain.payments import PaymentAttempt, Result
from hub.ports import Channel
from tests.channels.benches import attempt_at, bench_of, refund_of

SAMPLES = Path(__file__).with_name("samples")
ASKED: dict[str, Callable[[Channel, PaymentAttempt, Money], Awaitable[Result]]] = {
    "create": lambda channel, asked, _: channel.create(asked),
    "void": lambda channel, asked, _: channel.void(asked),
    "query": lambda channel, asked, _: channel.query(asked),
    "capture": lambda channel, asked, amount: channel.capture(asked, amount),
    "refund": lambda channel, asked, amount: channel.refund(asked, refund_of(asked, amount.amount_minor)),
    "query_refund": lambda channel, asked, amount: channel.query_refund(asked, refund_of(asked, amount.amount_minor)),
}


def samples_of(code: str) -> list[Path]:
    return sorted((SAMPLES / code).glob("*.json"))


@pytest.mark.parametrize("code", sorted(CHANNELS))
def test_every_channel_has_recorded_samples_of_each_thing_that_it_does(code: str) -> None:
    can = CHANNELS[code].capabilities
    recorded = {json.loads(path.read_text())["flow"] for path in samples_of(code)}

    does = {"create", "query"}
    does |= {"void"} if can.can_void else set()
    does |= {"capture"} if can.can_authorize else set()
    does |= {"refund", "query_refund"} if can.can_refund else set()
    assert does <= recorded
    assert recorded <= set(ASKED)


def test_no_samples_lie_about_without_their_channel() -> None:
    assert {path.name for path in SAMPLES.iterdir()} <= set(CHANNELS)


@pytest.mark.parametrize("code", sorted(CHANNELS))
async def test_each_recorded_answer_keeps_its_meaning(code: str, tmp_path: Path) -> None:
    async with bench_of(code, tmp_path) as bench:
        for path in samples_of(code):
            sample = json.loads(path.read_text())
            body = sample["body"]
            raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            channel = bench.hearing(sample["status"], sample.get("headers", {}), raw)
            amount = Money(30, bench.amount.currency)

            result = await ASKED[sample["flow"]](channel, attempt_at(bench, channel_ref="x"), amount)

            assert {name: shown(result, name) for name in sample["known"]} == sample["known"], path.name
            await channel.aclose()


def shown(result: Result, name: str) -> Any:
    value = getattr(result, name)
    return [value.amount_minor, value.currency] if isinstance(value, Money) else value
