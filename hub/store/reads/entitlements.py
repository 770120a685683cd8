"""Entitlements as they are read: the owner's, and each platform's that sold them or honours their course."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, case, exists, false, func, literal_column, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.entitlements import LIVE_GRANTS
from hub.domain.people import ViewerKind
from hub.store.anchors import anchor_batch, leaf
from hub.store.catalogue import listing
from hub.store.entitlements import entitlement, grant, grant_of, platform_access
from hub.store.orders import order
from hub.store.reads.plans import Noun, Sorting, ToMany, ToOne, known


@dataclass(frozen=True, slots=True)
class EntitlementRow:
    id: str
    user_id: str
    course_id: str
    state: str
    version: int
    created_at_us: int
    chain_status: str
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GrantRow:
    id: str
    entitlement_id: str
    source: str
    source_ref: str
    state: str
    starts_at_us: int
    ends_at_us: int | None
    version: int
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)

    def is_open(self, now_us: int) -> bool:
        """By the domain's own rule."""
        return grant_of(
            self.id, self.entitlement_id, self.source, self.source_ref, self.state, self.starts_at_us, self.ends_at_us,
            self.version, self.created_at_us,
        ).is_open(now_us)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccessRow:
    platform_id: str
    entitlement_id: str
    state: str
    detail: str
    updated_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A platform sees the rights to a course that it honours, and those that were bought from it."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.USER:
        return alias.c.user_id == bindparam("viewer_user")
    if kind is ViewerKind.PLATFORM:
        return _is_honoured(alias) | _was_sold(alias)
    return false()


def visible_part(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A grant is seen with its entitlement."""
    if kind is ViewerKind.OPERATOR:
        return true()
    whole = entitlement.alias()
    return exists().where((whole.c.id == alias.c.entitlement_id) & visible(whole, kind))


def visible_access(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """What a platform's access list says is that platform's business, the owner's and the operator's."""
    if kind is ViewerKind.PLATFORM:
        return alias.c.platform_id == bindparam("viewer_platform")
    return visible_part(alias, kind)


def _is_honoured(alias: FromClause) -> ColumnElement[bool]:
    here = listing.alias()
    return exists().where(
        (here.c.course_id == alias.c.course_id)
        & (here.c.platform_id == bindparam("viewer_platform"))
        & (here.c.is_honoured == literal_column("1"))
    )


def _was_sold(alias: FromClause) -> ColumnElement[bool]:
    sale, given = order.alias(), grant.alias()
    return exists().where(
        (given.c.entitlement_id == alias.c.id)
        & (sale.c.id == given.c.source_ref)
        & (sale.c.platform_id == bindparam("viewer_platform"))
    )


def _purchase(row: FromClause, column: ColumnElement[Any], *joined: Any) -> ColumnElement[Any]:
    """Of the newest purchase that gave the right."""
    given = grant.alias()
    source: FromClause = given
    for table, on in joined:
        source = source.join(table, on(given))
    return (
        select(given.c.source_ref if column is None else column)
        .select_from(source)
        .where((given.c.entitlement_id == row.c.id) & (given.c.source == literal_column("'PURCHASE'")))
        .order_by(given.c.created_at_us.desc(), given.c.id.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )


def _order_id(row: FromClause) -> ColumnElement[Any]:
    sale = order.alias()
    return _purchase(row, sale.c.id, (sale, lambda given: sale.c.id == given.c.source_ref))


def _chain_status(row: FromClause, _kind: ViewerKind) -> ColumnElement[Any]:
    sale = order.alias()
    status = _purchase(row, sale.c.chain_status, (sale, lambda given: sale.c.id == given.c.source_ref))
    return func.coalesce(status, _batch_state(row), literal_column("'NOT_RECORDED'"))


def _batch_state(row: FromClause) -> ColumnElement[Any]:
    """Of a right that came from another person: how far the batch of its own leaf is."""
    its, batch = leaf.alias(), anchor_batch.alias()
    return (
        select(func.coalesce(batch.c.state, literal_column("'QUEUED'")))
        .select_from(its.outerjoin(batch, batch.c.id == its.c.batch_id))
        .where(its.c.id == _leaf_of_right(row, "id"))
        .scalar_subquery()
    )


def _leaf_of_right(row: FromClause, column: str) -> ColumnElement[Any]:
    """Of the leaf that carries the right: of its newest live grant, else of its newest."""
    its, given = leaf.alias(), grant.alias()
    is_live = case((given.c.state.in_(_LIVE), literal_column("1")), else_=literal_column("0"))
    return (
        select(its.c[column])
        .join_from(its, given, its.c.grant_id == given.c.id)
        .where((given.c.entitlement_id == row.c.id) & (its.c.is_superseded == literal_column("0")))
        .order_by(is_live.desc(), given.c.created_at_us.desc(), given.c.id.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )


_LIVE: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in sorted(LIVE_GRANTS)]


def _child(column: str) -> Any:
    return lambda row, child: row.c[column] == child.c.id


_NEWEST_LAST = Sorting(is_descending=False)
known(
    Noun(
        "entitlement",
        entitlement,
        EntitlementRow,
        visible,
        ones={
            "course": ToOne("course", _child("course_id")),
            "user": ToOne("user", _child("user_id")),
            "order": ToOne("order", lambda row, sale: sale.c.id == _order_id(row)),
            "proof": ToOne("proof", lambda row, its: its.c.id == _leaf_of_right(row, "id")),
        },
        manys={
            "grants": ToMany("grant", "entitlement_id", lambda row: row.id, _NEWEST_LAST),
            "accesses": ToMany(
                "access", "entitlement_id", lambda row: row.id, Sorting(("platform_id",), is_descending=False)
            ),
        },
        computed={"chain_status": _chain_status},
        needs={"is_open": "grants", "token": "proof"},
        filters={
            "course_id": lambda alias, _kind: alias.c.course_id == bindparam("course_id"),
            "user_id": lambda alias, _kind: alias.c.user_id == bindparam("user_id"),
            "order_key": lambda alias, _kind: _has_leaf(alias),
        },
    )
)
known(
    Noun(
        "grant",
        grant,
        GrantRow,
        visible_part,
    )
)
known(
    Noun(
        "access",
        platform_access,
        AccessRow,
        visible_access,
        ones={"platform": ToOne("platform", _child("platform_id"))},
    )
)


def _has_leaf(alias: FromClause) -> ColumnElement[bool]:
    its, given = leaf.alias(), grant.alias()
    return exists().where(
        (given.c.entitlement_id == alias.c.id)
        & (its.c.grant_id == given.c.id)
        & (its.c.order_key == bindparam("order_key"))
    )
