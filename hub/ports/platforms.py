"""A content platform: what it sells, and who has access there."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hub.domain.money import Money


class Cap(StrEnum):
    """What a platform can do."""

    LIST = "LIST"
    RESOLVE = "RESOLVE"
    GRANT = "GRANT"
    REVOKE = "REVOKE"
    VERIFY = "VERIFY"
    LAUNCH = "LAUNCH"
    IDEMPOTENT_GRANT = "IDEMPOTENT_GRANT"


class PlatformError(Exception):
    """Root of what a platform's adapter raises."""


class Transient(PlatformError):
    """It did not answer, or not in time: what was asked may have happened. Verify, then repeat."""


class RateLimited(PlatformError):
    """Not done; ask again after `after_ms`."""

    def __init__(self, after_ms: int) -> None:
        super().__init__(f"rate limited for {after_ms} ms")
        self.after_ms = after_ms


class NotSupported(PlatformError):
    """The platform cannot do this: a visible state, never silently done."""


class Rejected(PlatformError):
    """The platform said no. Final until a person changes something."""


class Conflict(PlatformError):
    """It answered for something else than was asked. Final."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A listing as its platform tells it; `price` None is unknown."""

    external_id: str
    title: str
    kind: str
    price: Money | None
    url: str


@dataclass(frozen=True, slots=True)
class CataloguePage:
    entries: tuple[CatalogueEntry, ...]
    cursor: str | None  # None: the last page


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Which member is to have, or has, which listing. `key` is the idempotency key of the grant."""

    pairwise_id: str
    member_external_id: str | None  # None: the platform has no member of its own for this buyer yet
    external_id: str
    key: str


class Access(StrEnum):
    """What a platform says about its own access list."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Platform(Protocol):
    """A connected content site: maps and signs, never stores, never retries. Every call ends within its deadline.

    Undeclared capabilities raise NotSupported. `grant_access` and `revoke_access` may be repeated with the same key.
    """

    slug: str
    capabilities: frozenset[Cap]

    async def list_catalogue(self, cursor: str | None, limit: int) -> CataloguePage:
        """A page of what it sells, stable under paging."""

    async def grant_access(self, request: AccessRequest) -> None:
        """Open the listing to the member. After a lost answer (Transient) ask `verify_access` first."""

    async def revoke_access(self, request: AccessRequest) -> None:
        """Close it again; closing what is closed is fine."""

    async def verify_access(self, request: AccessRequest) -> Access:
        """Read after write: what the platform itself would say."""

    async def launch_url(self, request: AccessRequest) -> str:
        """Where the member opens the listing. Minted on click, never stored or logged."""

    async def aclose(self) -> None:
        """Close its connections. Called once, at the end."""
