"""Platforms, merchants, courses and listings as they are read: the catalogue is public."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, exists, func, literal_column, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.money import Money
from hub.domain.people import ViewerKind
from hub.store.catalogue import course, course_policy, listing, merchant, platform
from hub.store.metadata import is_one_of
from hub.store.reads.plans import Noun, Sorting, ToMany, ToOne, known

MAX_WORDS = 5  # of a search: each is one more condition


@dataclass(frozen=True, slots=True)
class PlatformRow:
    id: str
    slug: str
    name: str
    currency: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MerchantRow:
    id: str
    platform_id: str
    name: str
    state: str
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CourseRow:
    id: str
    kind: str
    title: str
    title_folded: str
    summary: str
    institution: str
    subject: str
    level: str
    language: str
    version: int
    created_at_us: int
    is_transferable: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListingRow:
    id: str
    platform_id: str
    course_id: str
    merchant_id: str
    external_id: str
    title: str
    url: str
    price_minor: int | None
    currency: str | None
    price_text: str
    is_honoured: int
    state: str
    version: int
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)

    @property
    def price(self) -> Money | None:
        """None: unknown."""
        if self.price_minor is None or self.currency is None:
            return None
        return Money(self.price_minor, self.currency)


def visible(_alias: FromClause, _kind: ViewerKind) -> ColumnElement[bool]:
    """Everybody sees what is sold, also those who have not signed in."""
    return true()


def _is_listed(alias: FromClause, condition: Any) -> ColumnElement[bool]:
    on_sale = listing.alias()
    return exists().where(
        (on_sale.c.course_id == alias.c.id) & (on_sale.c.state == literal_column("'ACTIVE'")) & condition(on_sale)
    )


def _is_free(on_sale: FromClause) -> ColumnElement[bool]:
    return on_sale.c.price_minor == literal_column("0")


def _on_platform(on_sale: FromClause) -> ColumnElement[bool]:
    site = platform.alias()
    is_meant = is_one_of(site.c.id, "platform") | is_one_of(site.c.slug, "platform")
    return exists().where((site.c.id == on_sale.c.platform_id) & is_meant)


def _is_any(column: str) -> Any:
    return lambda alias, _kind: is_one_of(alias.c[column], column)


def _has_word(number: int) -> Any:
    return lambda alias, _kind: alias.c.title_folded.like(bindparam(f"word_{number}"), escape="\\")


known(
    Noun(
        "platform",
        platform,
        PlatformRow,
        visible,
        ones={"merchant": ToOne("merchant", lambda row, merchant: merchant.c.platform_id == row.c.id)},
        filters={"slug": lambda alias, _kind: alias.c.slug == bindparam("slug")},
    )
)
known(
    Noun(
        "merchant",
        merchant,
        MerchantRow,
        visible,
        ones={"platform": ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id)},
    )
)
def _is_transferable(alias: FromClause) -> ColumnElement[int]:
    said = select(course_policy.c.is_transferable).where(course_policy.c.course_id == alias.c.id)
    return func.coalesce(said.scalar_subquery(), literal_column("0"))


known(
    Noun(
        "course",
        course,
        CourseRow,
        visible,
        manys={"listings": ToMany("listing", "course_id", lambda row: row.id, Sorting(is_descending=False))},
        computed={"is_transferable": lambda alias, _kind: _is_transferable(alias)},
        filters={
            **{name: _is_any(name) for name in ("kind", "language", "level", "subject")},
            "is_free": lambda alias, _kind: _is_listed(alias, _is_free),
            "is_not_free": lambda alias, _kind: ~_is_listed(alias, _is_free),
            "platform": lambda alias, _kind: _is_listed(alias, _on_platform),
            **{f"word_{number}": _has_word(number) for number in range(MAX_WORDS)},
        },
    )
)
known(
    Noun(
        "listing",
        listing,
        ListingRow,
        visible,
        ones={
            "platform": ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id),
            "course": ToOne("course", lambda row, course: row.c.course_id == course.c.id),
            "merchant": ToOne("merchant", lambda row, merchant: row.c.merchant_id == merchant.c.id),
        },
        filters={
            "course_id": lambda alias, _kind: alias.c.course_id == bindparam("course_id"),
            "platform_id": lambda alias, _kind: alias.c.platform_id == bindparam("platform_id"),
        },
    )
)
