"""A payment channel: what it can do, how it is asked, and how its notices come in."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from hub.domain.money import Money
from hub.domain.payments import Notice, PaymentAttempt, Result
from hub.domain.refunds import Refund
from hub.domain.statements import StatementLine


@dataclass(frozen=True, slots=True)
class AmountRange:
    """What a channel takes in one currency, in minor units, both ends included."""

    minimum_minor: int
    maximum_minor: int
    step_minor: int = 1  # amounts are multiples of it: some providers take three decimals whose last is 0

    def takes(self, amount_minor: int) -> bool:
        return self.minimum_minor <= amount_minor <= self.maximum_minor and amount_minor % self.step_minor == 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do. A flow that it lacks is refused before any call."""

    currencies: Mapping[str, AmountRange]
    # A query that says "never saw it" is believed if asked this long after sending; None: never.
    not_found_after_ms: int | None
    is_dated: bool  # its notices carry a time, and old or future ones are refused
    can_void: bool = True
    declined_stays_payable: bool = False  # what it declined another card may pay all the same, until it is voided
    can_authorize: bool = False  # takes CaptureMethod.MANUAL, and `capture`
    can_capture_partly: bool = False  # and then gives back the rest by itself
    can_refund: bool = False
    can_refund_partly: bool = False
    has_disputes: bool = False
    has_statement: bool = False
    methods: tuple[str, ...] = ()  # what `method` may be, or begin with before a colon; empty: a token of the provider
    is_test_only: bool = False

    def takes(self, money: Money) -> bool:
        amounts = self.currencies.get(money.currency)
        return amounts is not None and amounts.takes(money.amount_minor)


@dataclass(frozen=True, slots=True)
class RawNotice:
    """A notice as it came: raw bytes, header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """How a channel wants to hear that a notice was taken."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"


class NoticeRefused(Exception):
    """A notice that is not provably the channel's, now: nothing of it is kept but a count. Final."""


class NoticeIgnored(Exception):
    """A notice that is provably the channel's, and about nothing of ours: acknowledged, so that it is not sent again,
    and not kept."""


class NoticeProbed(NoticeRefused):
    """The provider looks whether signatures are checked: refused as any other, and no reason for alarm."""


class StatementRefused(Exception):
    """A channel's day that cannot be had, or that makes no sense. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check of a channel looked at."""

    name: str  # credentials, keys, clock, …
    is_good: bool
    detail: str  # in words, without a secret


class Channel(Protocol):
    """A payment channel adapter: maps, signs, verifies, says what we now know. Never stores, retries or decides.

    No method but `statement` raises for what a provider or the network does: that is an Outcome. `create`, `capture`,
    `void` and `refund` may be repeated with the same arguments, since our key is the channel's idempotency key.
    """

    code: str
    capabilities: Capabilities

    async def create(self, attempt: PaymentAttempt) -> Result:
        """Ask for the money. Called once the attempt is committed SUBMITTED, and again only after NOT_SENT."""

    async def void(self, attempt: PaymentAttempt) -> Result:
        """Close an unpaid attempt, for instance after its deadline. DONE with VOIDED, or CHARGED if paid first."""

    async def query(self, attempt: PaymentAttempt) -> Result:
        """What became of it, by OUR reference; `channel_ref` may be None. DONE with NONE: it was never seen."""

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Take an AUTHORIZED attempt's money, all or part of it: once. DONE with CHARGED and what was taken."""

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Give back part of a CHARGED attempt. DONE with REFUNDED and the amount of this refund."""

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """What became of a refund, by OUR key. DECLINED: it failed. DONE with NONE: it was never seen."""

    def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """Every movement of one of the channel's days, in its own order. Raises StatementRefused."""

    async def check(self) -> Sequence[Finding]:
        """What an operator wants to know before real money comes: credentials, keys, clock, one signed no-op."""

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Check signature and time over the raw bytes, without I/O. Raises NoticeRefused, NoticeIgnored."""

    def ack(self, accepted: bool) -> Ack:
        """The answer to a notice that was stored (accepted), or that is to be sent again."""

    async def aclose(self) -> None:
        """Close its connections. Called once, at the end."""
