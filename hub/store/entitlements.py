"""Entitlements, their grants, and what platforms' access lists say: tables and repository."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    bindparam,
    column,
    exists,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy import table as lightweight

from hub.domain.entitlements import (
    LIVE_GRANTS,
    AccessState,
    Entitlement,
    EntitlementState,
    Grant,
    GrantSource,
    GrantState,
)
from hub.store.catalogue import listing, platform
from hub.store.metadata import inserted, integer, metadata, text
from hub.store.people import member, pairwise

if TYPE_CHECKING:
    from hub.store.transactions import Rx

entitlement = Table(
    "entitlement",
    metadata,
    text("id", primary_key=True),
    text("user_id", ForeignKey("user_.id")),
    text("course_id", ForeignKey("course.id"), index=True),
    text("state"),
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("user_id", "course_id"),
)
grant = Table(
    "grant_",
    metadata,
    text("id", primary_key=True),
    text("entitlement_id", ForeignKey("entitlement.id"), index=True),
    text("source"),
    text("source_ref"),  # '' where there is none: SQLite takes NULLs for distinct
    text("state"),
    integer("starts_at_us"),
    integer("ends_at_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
    text("suspended_by", server_default=literal_column("''")),  # causes, sorted and parted by spaces
    text("revoked_by", server_default=literal_column("''")),
)
_is_live = grant.c.state.in_(sorted(LIVE_GRANTS))
Index(
    "one_live_grant",
    grant.c.entitlement_id,
    grant.c.source,
    grant.c.source_ref,
    unique=True,
    sqlite_where=_is_live,
    postgresql_where=_is_live,
)
Index("ix_grant_source_ref", grant.c.source_ref)
_is_of_an_order = _is_live & grant.c.source.in_([GrantSource.PURCHASE, GrantSource.TRANSFER])
Index(
    "one_live_holder",
    grant.c.source_ref,
    unique=True,
    sqlite_where=_is_of_an_order,
    postgresql_where=_is_of_an_order,
)
platform_access = Table(
    "platform_access",
    metadata,
    text("entitlement_id", ForeignKey("entitlement.id"), primary_key=True),
    text("platform_id", ForeignKey("platform.id"), primary_key=True),
    text("state"),  # of PlatformAccessState
    text("detail"),
    integer("version"),
    integer("updated_at_us"),
)


class Entitlements:
    """`tx.entitlements`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def touch(self, new: Entitlement) -> Entitlement:
        """The user's entitlement to the course, ACTIVE and held under its next version: `new`, or the one there is."""
        row = await self._rx.one(_TOUCH, entitlement_of, **{name: getattr(new, name) for name in _ENTITLEMENT})
        assert row is not None
        return row

    async def add_grant(self, new: Grant) -> bool:
        """False: this source has given this right already."""
        return await self._rx.one(_ADD_GRANT, str, **_grant_columns(new)) is not None

    async def grants_per_order(self) -> dict[str, int]:
        """How many rights each order has given, in whatever state they are."""
        return dict(await self._rx.many(_PER_ORDER, lambda order_id, count: (order_id, count)))

    async def lock(self, entitlement_id: str) -> Entitlement | None:
        return await self._rx.one(_LOCK, entitlement_of, entitlement_id=entitlement_id)

    async def get(self, entitlement_id: str) -> Entitlement | None:
        return await self._rx.one(_GET, entitlement_of, entitlement_id=entitlement_id)

    async def targets(self, entitlement_id: str) -> "list[AccessTarget]":
        """The platforms whose access list follows the right: those that sold it or honour the course."""
        rows = await self._rx.many(_TARGETS, AccessTarget, entitlement_id=entitlement_id)
        return list({row.platform_id: row for row in reversed(rows)}.values())

    async def of(self, user_id: str, course_id: str) -> Entitlement | None:
        return await self._rx.one(_OF, entitlement_of, owner_id=user_id, right_to=course_id)

    async def held_by(self, user_id: str) -> list[str]:
        """The rights that a person has or has had, in the order of their ids."""
        return await self._rx.many(_HELD_BY, str, owner_id=user_id)

    async def grants(self, entitlement_id: str) -> list[Grant]:
        return await self._rx.many(_GRANTS, grant_of, entitlement_id=entitlement_id)

    async def given_by(self, order_id: str) -> list[str]:
        """The rights that hold, or have held, what an order gave, in the order of their ids."""
        return await self._rx.many(_GIVEN_BY, str, of_order=order_id)

    async def update(self, changed: Entitlement) -> Entitlement:
        await self._rx.changed(_UPDATE, entitlement_id=changed.id, held_version=changed.version, state_=changed.state)
        return replace(changed, version=changed.version + 1)

    async def update_grant(self, changed: Grant) -> Grant:
        """Store a grant's new state and causes under the next version, which is returned; its right is held."""
        columns = _grant_columns(changed)
        mutable = {name: columns[name] for name in ("state", "suspended_by", "revoked_by")}
        await self._rx.changed(_UPDATE_GRANT, grant_id=changed.id, held_version=changed.version, **mutable)
        return replace(changed, version=changed.version + 1)

    async def set_access(self, access: AccessState, detail: str, now_us: int) -> None:
        await self._rx.run(
            _SET_ACCESS, entitlement_id=access.entitlement_id, platform_id=access.platform_id, state=access.state,
            detail=detail, version=1, updated_at_us=now_us,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccessTarget:
    """A platform as the adapter needs it: its own ids of listing and member, its own name for the holder."""

    platform_id: str
    platform_slug: str
    external_id: str
    pairwise_id: str | None
    member_external_id: str | None


def entitlement_of(id_: str, user_id: str, course_id: str, state: str, version: int, created_at_us: int) -> Entitlement:
    return Entitlement(id_, user_id, course_id, EntitlementState(state), version, created_at_us)


def grant_of(
    id_: str, entitlement_id: str, source: str, source_ref: str, state: str, starts_at_us: int, ends_at_us: int | None,
    version: int, created_at_us: int, suspended_by: str = "", revoked_by: str = "",
) -> Grant:  # fmt: skip
    return Grant(
        id_, entitlement_id, GrantSource(source), source_ref, GrantState(state), starts_at_us, ends_at_us, version,
        created_at_us, frozenset(suspended_by.split()), frozenset(revoked_by.split()),
    )  # fmt: skip


def _grant_columns(made: Grant) -> dict[str, Any]:
    columns = {name: getattr(made, name) for name in _GRANT}
    causes = {name: " ".join(sorted(columns[name])) for name in ("suspended_by", "revoked_by")}
    return columns | causes


_e, _g, _a = entitlement.c, grant.c, platform_access.c
_ENTITLEMENT = tuple(c.name for c in _e)
_GRANT = tuple(c.name for c in _g)
_TOUCH = (
    inserted(entitlement)
    .on_conflict_do_update(
        index_elements=[_e.user_id, _e.course_id],
        set_={"state": literal_column("'ACTIVE'"), "version": _e.version + literal_column("1")},
    )
    .returning(*_e)
)
_ADD_GRANT = inserted(grant).on_conflict_do_nothing().returning(_g.id)
_LOCK = select(entitlement).where(_e.id == bindparam("entitlement_id")).with_for_update(of=entitlement)
# The orders' own page imports this one.
_sale = lightweight("order_", column("id"), column("platform_id"))
_was_sold_there = exists().where(
    (_g.entitlement_id == _e.id) & (_sale.c.id == _g.source_ref) & (_sale.c.platform_id == listing.c.platform_id)
)
_GET = select(entitlement).where(_e.id == bindparam("entitlement_id"))
_TARGETS = (
    select(
        listing.c.platform_id, platform.c.slug, listing.c.external_id, pairwise.c.pairwise_id, member.c.external_id
    )
    .join_from(entitlement, listing, listing.c.course_id == _e.course_id)
    .join(platform, platform.c.id == listing.c.platform_id)
    .outerjoin(pairwise, (pairwise.c.platform_id == platform.c.id) & (pairwise.c.user_id == _e.user_id))
    .outerjoin(member, (member.c.platform_id == platform.c.id) & (member.c.user_id == _e.user_id))
    .where(
        (_e.id == bindparam("entitlement_id"))
        & ((listing.c.is_honoured == literal_column("1")) | _was_sold_there)
    )
    .order_by(listing.c.platform_id, listing.c.id, member.c.id)
)  # fmt: skip
_OF = select(entitlement).where((_e.user_id == bindparam("owner_id")) & (_e.course_id == bindparam("right_to")))
_HELD_BY = select(_e.id).where(_e.user_id == bindparam("owner_id")).order_by(_e.id)
_PER_ORDER = (
    select(_g.source_ref, func.count()).where(_g.source == literal_column("'PURCHASE'")).group_by(_g.source_ref)
)
_GIVEN_BY = (
    select(_g.entitlement_id)
    .where(
        (_g.source_ref == bindparam("of_order"))
        & _g.source.in_([literal_column("'PURCHASE'"), literal_column("'TRANSFER'")])
    )
    .group_by(_g.entitlement_id)
    .order_by(_g.entitlement_id)
)
_GRANTS = select(grant).where(_g.entitlement_id == bindparam("entitlement_id")).order_by(_g.created_at_us, _g.id)
_UPDATE = (
    update(entitlement)
    .where((_e.id == bindparam("entitlement_id")) & (_e.version == bindparam("held_version")))
    .values(state=bindparam("state_"), version=_e.version + literal_column("1"))
)
_UPDATE_GRANT = (
    update(grant)
    .where((_g.id == bindparam("grant_id")) & (_g.version == bindparam("held_version")))
    .values(
        {
            **{name: bindparam(name, type_=_g[name].type) for name in ("state", "suspended_by", "revoked_by")},
            "version": _g.version + literal_column("1"),
        }
    )
)
_set = inserted(platform_access)
_SET_ACCESS = _set.on_conflict_do_update(
    index_elements=[_a.entitlement_id, _a.platform_id],
    set_={
        "state": _set.excluded.state,
        "detail": _set.excluded.detail,
        "version": _a.version + literal_column("1"),
        "updated_at_us": _set.excluded.updated_at_us,
    },
)
