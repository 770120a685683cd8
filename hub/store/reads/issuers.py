"""Trusted issuers as they are read: by operators, and by the platform whose they are."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, false, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.issuers import trusted_issuer
from hub.store.reads.plans import Noun, ToOne, known


@dataclass(frozen=True, slots=True)
class TrustedIssuerRow:
    """`algorithms` and `scopes` are parted by blanks."""

    id: str
    platform_id: str
    issuer: str
    audience: str
    algorithms: str
    subject_claim: str
    keys_url: str | None
    keys_jwks: str | None
    client_keys_url: str | None
    client_keys_jwks: str | None
    scopes: str
    state: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A platform's issuers are its own."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.PLATFORM:
        return alias.c.platform_id == bindparam("viewer_platform")
    return false()


known(
    Noun(
        "trusted_issuer",
        trusted_issuer,
        TrustedIssuerRow,
        visible,
        ones={"platform": ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id)},
    )
)
