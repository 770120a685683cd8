"""Users and members as they are read: a platform meets a user under its own pairwise id, and no other way."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, exists, false, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.metadata import is_one_of
from hub.store.people import member, pairwise, user
from hub.store.reads.plans import Noun, Sorting, ToMany, ToOne, known


@dataclass(frozen=True, slots=True)
class UserRow:
    """`id` is what the viewer may know: the hub's own id, for a platform the pairwise one. `key` is never shown."""

    id: str
    key: str
    state: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberRow:
    id: str
    platform_id: str
    external_id: str
    user_id: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible_user(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A learner sees themselves, a platform the users that it has a name for."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.USER:
        return alias.c.id == bindparam("viewer_user")
    if kind is ViewerKind.PLATFORM:
        known_here = pairwise.alias()
        return exists().where(
            (known_here.c.user_id == alias.c.id) & (known_here.c.platform_id == bindparam("viewer_platform"))
        )
    return false()


def visible_member(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A platform sees its own members, a learner their own accounts."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.USER:
        return alias.c.user_id == bindparam("viewer_user")
    if kind is ViewerKind.PLATFORM:
        return alias.c.platform_id == bindparam("viewer_platform")
    return false()


def shown_id(alias: FromClause, kind: ViewerKind) -> ColumnElement[Any]:
    if kind is not ViewerKind.PLATFORM:
        return alias.c.id
    named = pairwise.alias()
    return (
        select(named.c.pairwise_id)
        .where((named.c.user_id == alias.c.id) & (named.c.platform_id == bindparam("viewer_platform")))
        .scalar_subquery()
    )


def _by_key(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    if kind is not ViewerKind.PLATFORM:
        return is_one_of(alias.c.id, "keys")
    named = pairwise.alias()
    meant = select(named.c.user_id).where(
        (named.c.platform_id == bindparam("viewer_platform")) & is_one_of(named.c.pairwise_id, "keys")
    )
    return alias.c.id.in_(meant)


known(
    Noun(
        "user",
        user,
        UserRow,
        visible_user,
        computed={"id": shown_id, "key": lambda alias, _kind: alias.c.id},
        by_key=_by_key,
        manys={
            "orders": ToMany("order", "user_id", lambda row: row.key, is_paged=True),
            "entitlements": ToMany("entitlement", "user_id", lambda row: row.key, is_paged=True),
            "members": ToMany("member", "user_id", lambda row: row.key, Sorting(is_descending=False)),
            "wallets": ToMany(
                "wallet", "user_id", lambda row: row.key, Sorting(("linked_at_us", "id"), is_descending=False)
            ),
        },
    )
)
known(
    Noun(
        "member",
        member,
        MemberRow,
        visible_member,
        ones={
            "user": ToOne("user", lambda row, user: row.c.user_id == user.c.id),
            "platform": ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id),
        },
        filters={"external_id": lambda alias, _kind: alias.c.external_id == bindparam("external_id")},
    )
)
