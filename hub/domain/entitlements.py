"""T Token 化: a User's right to a Course. Access is the OR of live Grants; the chain mirrors it and never gates it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class GrantSource(StrEnum):
    """Where a right comes from."""

    PURCHASE = "PURCHASE"
    SUBSCRIPTION = "SUBSCRIPTION"
    GIFT = "GIFT"
    TRANSFER = "TRANSFER"
    IMPORT = "IMPORT"
    PROMOTION = "PROMOTION"


class GrantState(StrEnum):
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    TRANSFERRED = "TRANSFERRED"


LIVE_GRANTS = frozenset({GrantState.PENDING, GrantState.ACTIVE, GrantState.SUSPENDED})

# from, event, to: what a Grant can become in this release. A refund that is reversed, and a dispute that is won after
# all, restore the same Grant: any order of the same facts ends in one.
GRANT_TRANSITIONS: frozenset[tuple[GrantState, str, GrantState]] = frozenset({
    (GrantState.PENDING, "activate", GrantState.ACTIVE),
    (GrantState.PENDING, "revoke", GrantState.REVOKED),
    (GrantState.ACTIVE, "suspend", GrantState.SUSPENDED),
    (GrantState.SUSPENDED, "resume", GrantState.ACTIVE),
    (GrantState.ACTIVE, "revoke", GrantState.REVOKED),
    (GrantState.SUSPENDED, "revoke", GrantState.REVOKED),
    (GrantState.REVOKED, "restore", GrantState.ACTIVE),
    (GrantState.REVOKED, "restore", GrantState.SUSPENDED),
})  # fmt: skip
# Who revoked a Grant for good: nothing restores what staff have ended.
STAFF = "staff"
REFUND = "refund"  # what ends a right whose price went back, until money comes again


class EntitlementState(StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    ENDED = "ENDED"


class TokenState(StrEnum):
    """How far the token of a right is, as the chain tells."""

    UNCLAIMED = "UNCLAIMED"
    CLAIMED = "CLAIMED"
    BURNED = "BURNED"  # its right had ended before: nothing else can be burned


@dataclass(frozen=True, slots=True)
class ClaimedToken:
    """That a wallet has claimed the token of a leaf: when last, and when it was taken off that wallet, by the clock of
    the blocks."""

    leaf_id: str
    claimed_at_us: int
    burned_at_us: int | None

    @property
    def state(self) -> TokenState:
        return token_state(self.claimed_at_us, self.burned_at_us)


def token_state(claimed_at_us: int, burned_at_us: int | None) -> TokenState:
    """Of one that was claimed: what was burned before its newest claim is there again."""
    is_burned = burned_at_us is not None and burned_at_us >= claimed_at_us
    return TokenState.BURNED if is_burned else TokenState.CLAIMED


@dataclass(frozen=True, slots=True)
class Grant:
    """One source of a right. `ends_at_us` None means no end; `source_ref` is the order's id for a purchase."""

    id: str
    entitlement_id: str
    source: GrantSource
    source_ref: str
    state: GrantState
    starts_at_us: int
    ends_at_us: int | None
    version: int
    created_at_us: int
    suspended_by: frozenset[str] = frozenset()  # causes that hold it back: ids of open disputes, chain:<attempt>
    revoked_by: frozenset[str] = frozenset()  # causes that ended it: "refund", ids of lost disputes, STAFF

    def is_open(self, now_us: int) -> bool:
        """Whether this grant alone gives access at that moment."""
        in_time = self.starts_at_us <= now_us and (self.ends_at_us is None or now_us < self.ends_at_us)
        return self.state is GrantState.ACTIVE and in_time


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A User's right to a Course: the projection of its Grants, with an id of its own."""

    id: str
    user_id: str
    course_id: str
    state: EntitlementState
    version: int
    created_at_us: int


def suspended(grant: Grant, cause: str) -> Grant:
    """The grant with one more cause that holds it back; it is the same object where that is known."""
    return _weighed(grant, grant.suspended_by | {cause}, grant.revoked_by)


def resumed(grant: Grant, cause: str) -> Grant:
    """Likewise without this cause: it stands again once none is left."""
    return _weighed(grant, grant.suspended_by - {cause}, grant.revoked_by)


def revoked(grant: Grant, cause: str) -> Grant:
    """The grant ended by one more cause."""
    return _weighed(grant, grant.suspended_by, grant.revoked_by | {cause})


def restored(grant: Grant, cause: str) -> Grant:
    """Likewise without this cause: it stands again, or is held back, once no other has ended it."""
    return _weighed(grant, grant.suspended_by, grant.revoked_by - {cause})


def _weighed(grant: Grant, suspended_by: frozenset[str], revoked_by: frozenset[str]) -> Grant:
    """The state follows from the set of causes, whatever their order. EXPIRED and TRANSFERRED have ended otherwise."""
    if (suspended_by, revoked_by) == (grant.suspended_by, grant.revoked_by):
        return grant
    return replace(
        grant,
        suspended_by=suspended_by,
        revoked_by=revoked_by,
        state=state_under(grant.state, suspended_by, revoked_by),
    )


def state_under(state: GrantState, suspended_by: frozenset[str], revoked_by: frozenset[str]) -> GrantState:
    """What a grant is under these causes, having been `state` before."""
    if state in (GrantState.EXPIRED, GrantState.TRANSFERRED):
        return state
    if revoked_by:
        return GrantState.REVOKED
    if suspended_by:
        return GrantState.SUSPENDED
    return GrantState.PENDING if state is GrantState.PENDING else GrantState.ACTIVE


class PlatformAccessState(StrEnum):
    """What is known of a platform's own access list."""

    PENDING = "PENDING"
    OPEN = "OPEN"
    UNKNOWN = "UNKNOWN"  # no answer: it may have been done, and is looked at again
    UNVERIFIED = "UNVERIFIED"
    UNSUPPORTED = "UNSUPPORTED"
    REFUSED = "REFUSED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class AccessState:
    """Whether a platform has opened its own access list to a right; a hint beside the hub's own word."""

    entitlement_id: str
    platform_id: str
    state: PlatformAccessState


def has_access(grants: Iterable[Grant], now_us: int) -> bool:
    """Access is the OR of live grants: losing one of two keeps it, losing the last ends it."""
    return any(grant.is_open(now_us) for grant in grants)


def state_of(grants: Iterable[Grant]) -> EntitlementState:
    """The Entitlement's state as the projection of its Grants, time apart."""
    states = {grant.state for grant in grants}
    if GrantState.ACTIVE in states:
        return EntitlementState.ACTIVE
    if states & {GrantState.SUSPENDED, GrantState.PENDING}:
        return EntitlementState.SUSPENDED
    return EntitlementState.ENDED


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a leaf's commitment. Only the buyer and the hub hold it: whoever shows it holds the right."""

    request_hash: bytes
    result_hash: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """收据: the hub's signed word at purchase, before there is a root or a proof. Never a PaymentResult."""

    order_key: bytes
    to: str
    token_id: int
    expiry: int
    commitment: bytes
    issued_at_us: int
    opening: Opening
