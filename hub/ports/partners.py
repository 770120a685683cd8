"""What partners sign."""

from collections.abc import Sequence
from typing import Protocol

from hub.domain.exchange import Signed
from hub.domain.issuers import KeySource


class SignatureNotTaken(Exception):
    """A partner's token that is not provably theirs. The reason never repeats a word of it. Final."""


class KeysUnavailable(Exception):
    """The partner's keys cannot be had now: nothing is known about the token. Retry."""


class PartnerTokens(Protocol):
    """What partners sign: a word about a person, or about themselves. Fetches key sets; every call may be repeated."""

    def source_fault(self, source: KeySource) -> str | None:
        """Why keys cannot come from there, for whoever registers it; None: they can."""

    async def signed(self, text: str, source: KeySource, algorithms: Sequence[str], now_us: int) -> Signed:
        """The words of a JWT whose signature fits a key of that source. Raises SignatureNotTaken, KeysUnavailable."""

    def said(self, text: str, claim: str) -> str | None:
        """What it says under a claim, before anything is checked: for finding whose keys to check it with."""

    async def aclose(self) -> None:
        """Close connections."""
