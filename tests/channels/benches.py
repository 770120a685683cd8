"""What the one suite asks of each channel: its adapter, a living peer, and the hands to make that peer misbehave.

A channel's bench is `bench(directory)` in tests/channels/bench_<code>.py, its recorded answers are the files of
tests/channels/samples/<code>/: nothing is listed here, the code in hub.channels.CHANNELS finds both.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from hub.domain.money import Money
from hub.domain.payments import AttemptState, CaptureMethod, PaymentAttempt
from hub.domain.refunds import Refund, RefundState
from hub.ports import Channel, RawNotice
from tests.sandbox.conftest import NOON

NOW_US = NOON * 1_000_000  # the moment of adapter and peer alike, unless a bench says otherwise

Flow = Literal["create", "capture", "void", "refund", "answer_dispute"]


@dataclass
class Clock:
    at_us: int = NOW_US

    def now_us(self) -> int:
        return self.at_us


class Bench(Protocol):
    """One channel's adapter over a peer that answers on loopback, each fresh for its test."""

    channel: Channel
    unreachable: Channel  # the same adapter, nobody listening
    now_us: int  # when this is, for adapter and peer
    amount: Money  # what the suite asks for: at least 100 minor units, in a currency that the channel takes
    waits: str | None  # `method` of an attempt that waits for its buyer
    action: str  # the kind of its NextAction
    pays: str | None  # `method` that is charged at once; None: this channel charges nobody without them
    declines: tuple[str, str] | None  # methods declined at once: softly, hard
    rotates: bool  # the adapter takes two secrets, or keys, of the peer at once
    tells_refunds_whole: bool  # a notice about a refund says how much of it; else which one alone
    signs_in_body: bool  # a notice's headers say nothing that the channel looks at

    async def buyer_pays(self, key: str) -> None:
        """The buyer does what a waiting attempt asked them to; the peer's notice goes out."""

    async def notice(self, n: int) -> RawNotice:
        """The n-th notice that the peer has sent, from 1, waited for."""

    def resigned(self, raw: RawNotice, *, at_us: int, by: Literal["current", "next", "stranger"]) -> RawNotice:
        """The same content, signed anew: dated `at_us` (where the channel dates), by the secret in use, by the one
        that replaces it (where `rotates`), or by somebody else's."""

    async def lose(self, flow: Flow, when: Literal["before", "after"]) -> None:
        """Cut the peer's next answer to `flow`, before or after it has done what was asked."""

    async def count(self, key: str) -> int:
        """Payments that the peer holds under a reference."""

    async def given_back(self, key: str) -> int:
        """Minor units of a payment that the peer has given back, or is about to."""

    async def close_day(self) -> date:
        """End the peer's day, so that its statement can be had; which day it was. Where `has_statement`."""

    def hearing(self, status: int, headers: dict[str, str], body: bytes) -> Channel:
        """The adapter, at `now_us`, over a provider that gives each call this one answer, signed as a provider's
        is where they are signed."""


def bench_of(code: str, directory: Path) -> AbstractAsyncContextManager[Bench]:
    standing: AbstractAsyncContextManager[Bench] = import_module(f"tests.channels.bench_{code}").bench(directory)
    return standing


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


def attempt_at(bench: Bench, key: str = "TB-7-1", **fields: Any) -> PaymentAttempt:
    """An attempt that waits for its buyer, in the bench's currency and at its time."""
    at = {"sent_at_us": bench.now_us, "created_at_us": bench.now_us, "expires_at_us": bench.now_us + 1_800_000_000}
    standing = {"channel": bench.channel.code, "amount": bench.amount, "method": bench.waits} | at
    return attempt(key, **(standing | fields))


def held_at(bench: Bench, key: str = "TB-7-1", **fields: Any) -> PaymentAttempt:
    """The same, whose money is to be held until it is captured."""
    return attempt_at(bench, key, capture_method=CaptureMethod.MANUAL, **fields)


def refund_of(charged: PaymentAttempt, amount_minor: int, number: int = 1, **fields: Any) -> Refund:
    """A refund as it stands committed before the call."""
    made = Refund(
        id=f"rfd_{number}",
        order_id=charged.order_id,
        attempt_id=charged.id,
        number=number,
        key=f"{charged.key}-R{number}",
        amount=Money(amount_minor, charged.amount.currency),
        state=RefundState.SUBMITTED,
        reason=None,
        requested_by="usr_1",
        request_key=None,
        calls=1,
        sent_at_us=charged.created_at_us,
        heard_rank=0,
        heard_at_us=None,
        heard_key="",
        channel_ref=None,
        code=None,
        unknown_since_us=None,
        version=1,
        created_at_us=charged.created_at_us,
    )
    return replace(made, **fields)
