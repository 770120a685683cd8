"""API keys as they are read: a platform sees its own, and of none more than that it is there."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, bindparam, case, false, literal_column, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.keys import api_key
from hub.store.metadata import is_one_of
from hub.store.reads.plans import Noun, ToOne, known


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """`scopes` is parted by blanks. The secret's hash is not among the columns: nothing reads it but the entry."""

    id: str
    kind: str
    platform_id: str | None
    scopes: str
    created_at_us: int
    revoked_at_us: int | None
    name: str
    expires_at_us: int | None
    last_used_at_us: int | None
    created_by: str
    joined: dict[str, Any] = field(default_factory=dict)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A platform's keys are its own."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.PLATFORM:
        return alias.c.platform_id == bindparam("viewer_platform")
    return false()


def _is_revoked(alias: FromClause, _kind: ViewerKind) -> ColumnElement[bool]:
    revoked = case((alias.c.revoked_at_us.is_(None), literal_column("0")), else_=literal_column("1"))
    return revoked == bindparam("is_revoked", type_=BigInteger())


known(
    Noun(
        "api_key",
        api_key,
        ApiKeyRow,
        visible,
        ones={"platform": ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id)},
        filters={
            "is_revoked": _is_revoked,
            "names": lambda alias, _kind: is_one_of(alias.c.name, "names"),
        },
    )
)
