"""Answers as providers gave them, kept as files: what each of them means is said in it, and must stay so.

A sample is {flow, status, headers?, body, known}: `body` JSON or text, `known` the fields of the Result that it gives
(`amount` as [minor units, currency]). Adding a channel is its file, its line in hub.channels.CHANNELS and these.
"""

import ast
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hub.channels import CHANNELS
from hub.channels.sandbox import SandboxChannel
from hub.domain.money import Money
from hub.domain.payments import PaymentAttempt, Result
from hub.entry import wiring
from hub.entry.failpoints import Failpoint
from hub.entry.settings import SettingRefused, read_settings
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


# ---- one more channel --------------------------------------------------------------------------------------------


class ToyChannel(SandboxChannel):
    """All that one more channel is: a file with such a class, and its line in the dict."""

    code = "toy"


async def test_one_more_channel_is_one_line_and_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(CHANNELS, ToyChannel.code, ToyChannel)
    given = {"BASE_URL": "http://127.0.0.1:9", "API_KEY": "sk_1", "ANSWER_SECRET": "a", "NOTICE_SECRET": "n"}
    environ = {f"HUB_CHANNEL_TOY_{name}": value for name, value in given.items()}

    wiring.demand_startable(read_settings(environ | {"HUB_DATA": str(tmp_path)}))
    [channel] = connected(environ).values()

    assert (channel.code, type(channel)) == ("toy", ToyChannel)
    await channel.aclose()
    with pytest.raises(SettingRefused, match="HUB_CHANNEL_TOY_ANSWER_SECRET"):
        connected({"HUB_CHANNEL_TOY_BASE_URL": "http://127.0.0.1:9"})


def connected(environ: dict[str, str]) -> Mapping[str, Channel]:
    return wiring._channels(read_settings(environ), None, None, wiring.SystemClock(), Failpoint(None))


def test_no_source_but_its_own_names_a_channel() -> None:
    """Whoever adds one touches nothing else: nowhere is asked which channel it is. The sandbox rehearses besides."""
    codes = set(CHANNELS) - {"sandbox"}
    named = [
        f"{path}: {node.value}"
        for folder in ("hub", "resolvers", "schema")
        for path in sorted(Path(folder).rglob("*.py"))
        if not path.is_relative_to("hub/channels")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in codes
    ]

    assert named == []
