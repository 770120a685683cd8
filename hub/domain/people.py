"""Who there is (User, Identity, Member) and who asks now (Viewer)."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum


class UserState(StrEnum):
    """Whether the person has proven to be there."""

    PROVISIONAL = "PROVISIONAL"  # made by a partner; may hold grants, may not spend
    ACTIVE = "ACTIVE"


class ViewerKind(StrEnum):
    """In what capacity somebody asks."""

    ANONYMOUS = "ANONYMOUS"
    USER = "USER"
    PLATFORM = "PLATFORM"
    OPERATOR = "OPERATOR"


LEARNER_SCOPES = frozenset({
    "orders:read", "orders:write", "entitlements:read", "entitlements:write", "wallets:read", "wallets:write",
})  # fmt: skip
PARTNER_SCOPES = frozenset({
    "catalog:write", "members:write", "orders:read", "entitlements:read", "events:read", "keys:read", "keys:write",
    "webhooks:read", "webhooks:write", "payments:write",
})  # fmt: skip
OPERATOR_SCOPES = LEARNER_SCOPES | PARTNER_SCOPES | {"operations:read", "operations:write"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks now. `user_id` is set for USER, `platform_id` for PLATFORM; neither for an operator or a stranger."""

    kind: ViewerKind
    user_id: str | None = None
    platform_id: str | None = None
    scopes: frozenset[str] = frozenset()
    expires_at_us: int | None = None  # when the token or the key ends; streams end with it
    key_id: str | None = None  # the API key that asks
    issuer_id: str | None = None  # of a user: the partner's issuer through whose exchange the token came

    @property
    def principal(self) -> str:
        """Whose idempotency keys these are."""
        return self.user_id or self.platform_id or self.kind.value

    @property
    def stream(self) -> str | None:
        """The event stream that is this viewer's own; a stranger has none."""
        return "hub" if self.kind is ViewerKind.OPERATOR else self.user_id or self.platform_id

    def acting_for(self, platform_id: str | None) -> str | None:
        """The platform that the viewer may write for: its own, of an operator the named one. None: no such."""
        if self.platform_id is None:
            return platform_id
        return self.platform_id if platform_id in (None, self.platform_id) else None


ANONYMOUS = Viewer(ViewerKind.ANONYMOUS)


@dataclass(frozen=True, slots=True)
class User:
    """A person. Everything personal about them lives with their identities, not here."""

    id: str
    state: UserState
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Identity:
    """One proven account of a User: unique by (issuer, subject), never joined by e-mail."""

    id: str
    user_id: str
    issuer: str
    subject: str
    verified_at_us: int
    ended_at_us: int | None = None  # the issuer has removed this account: it is nobody's any more


@dataclass(frozen=True, slots=True)
class Wallet:
    """An EVM address that a User has proven to hold (hub/domain/siwe.py): one User's at a time."""

    id: str
    user_id: str
    address: str  # as EIP-55 spells it
    nonce: str  # of the message that proved it: each proves once
    linked_at_us: int
    unlinked_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class WalletChallenge:
    """What a User is asked to sign with a wallet, once and soon."""

    nonce: str
    user_id: str
    address: str
    expires_at_us: int
    used_at_us: int | None
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Member:
    """A platform's own record of a person, and the User it is linked to."""

    id: str
    platform_id: str
    external_id: str
    user_id: str
    pairwise_id: str
    created_at_us: int


def member_issuer(platform_id: str) -> str:
    """The issuer under which a platform's members are identities."""
    return f"platform:{platform_id}"


def pairwise_id(platform_key: bytes, user_id: str) -> str:
    """The only name under which a partner knows a User: another one for each partner. 26 lower-case characters."""
    digest = hmac.digest(platform_key, user_id.encode(), hashlib.sha256)
    return base64.b32encode(digest).decode().lower()[:26]
