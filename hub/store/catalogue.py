"""Platforms, merchants, courses and listings: tables and the repository of what is sold."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    bindparam,
    literal_column,
    select,
    update,
)

from hub.domain.catalogue import Course, CourseKind, Listing, ListingState, Platform
from hub.domain.merchants import Merchant, MerchantState
from hub.domain.money import Money
from hub.domain.shares import Share, ShareAgreement
from hub.store.metadata import BytewiseText, inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

platform = Table(
    "platform",
    metadata,
    text("id", primary_key=True),
    text("slug", unique=True),
    text("name"),
    text("currency"),
    integer("created_at_us"),
)
share_agreement = Table(
    "share_agreement",
    metadata,
    text("id", primary_key=True),
    text("merchant_id"),
    integer("version"),
    text("shares"),  # JSON: [[payee or null, bps], …] in party order
    integer("created_at_us"),
    UniqueConstraint("merchant_id", "version"),
)
merchant = Table(
    "merchant",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id"), unique=True),
    text("name"),
    text("state"),
    text("agreement_id", ForeignKey("share_agreement.id")),
    integer("created_at_us"),
)
course = Table(
    "course",
    metadata,
    text("id", primary_key=True),
    text("kind"),
    text("title"),
    Column("title_folded", BytewiseText, nullable=False),  # casefolded, for search and for sorting alike on both
    text("summary"),
    text("institution"),
    text("subject"),
    text("level"),
    text("language"),
    integer("version"),
    integer("created_at_us"),
)
Index("ix_course_title_folded", course.c.title_folded, course.c.id)
listing = Table(
    "listing",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id")),
    text("course_id", ForeignKey("course.id"), index=True),
    text("merchant_id", ForeignKey("merchant.id")),
    text("external_id"),
    text("title"),
    text("url"),
    integer("price_minor", nullable=True),  # NULL: unknown
    text("currency", nullable=True),
    text("price_text"),
    integer("is_honoured"),
    text("state"),
    text("digest"),  # of what the source said, so that importing the same again changes nothing
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("platform_id", "external_id"),
)

# What a course's rights may be used for beyond opening it; a course without a row allows nothing more.
course_policy = Table(
    "course_policy",
    metadata,
    text("course_id", ForeignKey("course.id"), primary_key=True),
    integer("is_transferable"),
    integer("updated_at_us"),
)


class Catalogue:
    """`tx.catalogue`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def platform(self, slug_or_id: str) -> Platform | None:
        return await self._rx.one(_PLATFORM, Platform, wanted=slug_or_id)

    async def platforms(self) -> list[Platform]:
        """All of them, by slug: a hub has tens."""
        return await self._rx.many(_PLATFORMS, Platform)

    async def add_platform(self, new: Platform) -> bool:
        """False: the slug is taken."""
        return await self._rx.one(_ADD_PLATFORM, str, **_fields(new)) is not None

    async def add_merchant(self, new: Merchant, agreement: ShareAgreement) -> None:
        """A platform's selling party, with the first version of who gets what."""
        shares = orjson.dumps([[share.payee, share.bps] for share in agreement.shares]).decode()
        await self._rx.changed(
            _ADD_AGREEMENT, id=agreement.id, merchant_id=new.id, version=agreement.version, shares=shares,
            created_at_us=new.created_at_us,
        )  # fmt: skip
        await self._rx.changed(_ADD_MERCHANT, **_fields(new))

    async def merchant_of(self, platform_id: str) -> Merchant | None:
        return await self._rx.one(_MERCHANT_OF, _merchant, platform_id=platform_id)

    async def course(self, course_id: str) -> Course | None:
        return await self._rx.one(_COURSE, course_of, course_id=course_id)

    async def add_course(self, new: Course) -> None:
        await self._rx.changed(_ADD_COURSE, **_course_columns(new))

    async def maker_of(self, course_id: str) -> str | None:
        """The platform whose listing the course came with; None: there is no such course."""
        return await self._rx.one(_MAKER_OF, str, of_course=course_id)

    async def is_transferable(self, course_id: str) -> bool:
        """Whether its rights may be handed on: not unless it was said."""
        return bool(await self._rx.one(_IS_TRANSFERABLE, int, of_course=course_id))

    async def set_transferable(self, course_id: str, is_transferable: bool, now_us: int) -> None:
        await self._rx.run(
            _SET_TRANSFERABLE, course_id=course_id, is_transferable=int(is_transferable), updated_at_us=now_us
        )

    async def update_course(self, changed: Course) -> None:
        """A course's own words; its version is the next one."""
        columns = {name: value for name, value in _course_columns(changed).items() if name in _COURSE_MUTABLE}
        await self._rx.changed(_UPDATE_COURSE, course_id=changed.id, **columns)

    async def lock_listing(self, platform_id: str, external_id: str) -> tuple[Listing, str] | None:
        """A platform's listing by its own id, with the digest of what was last said of it; held."""
        return await self._rx.one(_LOCK_LISTING, _listing_and_digest, platform_id=platform_id, external_id=external_id)

    async def add_listing(self, new: Listing, digest: str) -> bool:
        """False: the platform has one under this external id already."""
        return await self._rx.one(_ADD_LISTING, str, **_listing_columns(new, digest)) is not None

    async def update_listing(self, changed: Listing, digest: str) -> Listing:
        columns = {name: value for name, value in _listing_columns(changed, digest).items() if name in _LISTING_MUTABLE}
        await self._rx.changed(_UPDATE_LISTING, listing_id=changed.id, held_version=changed.version, **columns)
        return replace(changed, version=changed.version + 1)

    async def digests(self, platform_id: str) -> dict[str, tuple[str, str]]:
        """External id → (digest, state) of everything a platform lists, for imports."""
        rows = await self._rx.many(_DIGESTS, _Digest, platform_id=platform_id)
        return {row.external_id: (row.digest, row.state) for row in rows}

    async def on_sale(self) -> "list[Sold]":
        """What all listings sell now, each right at a price once, and how it is shared by the agreement that new orders
        freeze; what is withdrawn, free, of unknown price or of a merchant who may not sell is left out."""
        return await self._rx.many(_ON_SALE, sold_of)

    async def course_of_listing(self, platform_id: str, external_id: str) -> str | None:
        return await self._rx.one(_COURSE_OF, str, platform_id=platform_id, external_id=external_id)


@dataclass(frozen=True, slots=True)
class Sold:
    """A right at a price, and who gets what of it."""

    course_id: str
    price: Money
    shares: tuple[Share, ...]


def sold_of(course_id: str, amount_minor: int, currency: str, shares: str) -> Sold:
    parts = tuple(Share(payee, bps) for payee, bps in orjson.loads(shares))
    return Sold(course_id, Money(amount_minor, currency), parts)


@dataclass(frozen=True, slots=True)
class _Digest:
    external_id: str
    digest: str
    state: str


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _merchant(id_: str, platform_id: str, name: str, state: str, agreement_id: str, created_at_us: int) -> Merchant:
    return Merchant(id_, platform_id, name, MerchantState(state), agreement_id, created_at_us)


def course_of(
    id_: str, kind: str, title: str, title_folded: str, summary: str, institution: str, subject: str, level: str,
    language: str, version: int, created_at_us: int,
) -> Course:  # fmt: skip
    return Course(id_, CourseKind(kind), title, summary, institution, subject, level, language, version, created_at_us)


def listing_of(
    id_: str, platform_id: str, course_id: str, merchant_id: str, external_id: str, title: str, url: str,
    price_minor: int | None, currency: str | None, price_text: str, is_honoured: int, state: str, digest: str,
    version: int, created_at_us: int,
) -> Listing:  # fmt: skip
    return Listing(
        id=id_, platform_id=platform_id, course_id=course_id, merchant_id=merchant_id, external_id=external_id,
        title=title, url=url, price=None if price_minor is None or currency is None else Money(price_minor, currency),
        price_text=price_text, is_honoured=bool(is_honoured), state=ListingState(state), version=version,
        created_at_us=created_at_us,
    )  # fmt: skip


def _listing_and_digest(*columns: Any) -> tuple[Listing, str]:
    return listing_of(*columns), columns[12]


def _course_columns(value: Course) -> dict[str, Any]:
    return {**_fields(value), "title_folded": value.title.casefold()}


def _listing_columns(value: Listing, digest: str) -> dict[str, Any]:
    columns = _fields(value)
    price = columns.pop("price")
    return columns | {
        "price_minor": None if price is None else price.amount_minor,
        "currency": None if price is None else price.currency,
        "is_honoured": int(value.is_honoured),
        "digest": digest,
    }


_COURSE_MUTABLE = ("kind", "title", "title_folded", "summary", "institution", "subject", "level", "language")
_LISTING_MUTABLE = (
    "course_id", "title", "url", "price_minor", "currency", "price_text", "is_honoured", "state", "digest",
)  # fmt: skip
_PLATFORM = select(platform).where((platform.c.id == bindparam("wanted")) | (platform.c.slug == bindparam("wanted")))
_PLATFORMS = select(platform).order_by(platform.c.slug)
_ADD_PLATFORM = inserted(platform).on_conflict_do_nothing().returning(platform.c.id)
_ADD_AGREEMENT = inserted(share_agreement)
_ADD_MERCHANT = inserted(merchant)
_MERCHANT_OF = select(merchant).where(merchant.c.platform_id == bindparam("platform_id"))
_COURSE = select(course).where(course.c.id == bindparam("course_id"))
_ADD_COURSE = inserted(course)
_UPDATE_COURSE = (
    update(course)
    .where(course.c.id == bindparam("course_id"))
    .values({
        **{name: bindparam(name, type_=course.c[name].type) for name in _COURSE_MUTABLE},
        "version": course.c.version + literal_column("1"),
    })
)  # fmt: skip
_LOCK_LISTING = (
    select(listing)
    .where((listing.c.platform_id == bindparam("platform_id")) & (listing.c.external_id == bindparam("external_id")))
    .with_for_update(of=listing)
)
_ADD_LISTING = inserted(listing).on_conflict_do_nothing().returning(listing.c.id)
_UPDATE_LISTING = (
    update(listing)
    .where((listing.c.id == bindparam("listing_id")) & (listing.c.version == bindparam("held_version")))
    .values({
        **{name: bindparam(name, type_=listing.c[name].type) for name in _LISTING_MUTABLE},
        "version": listing.c.version + literal_column("1"),
    })
)  # fmt: skip
_DIGESTS = select(listing.c.external_id, listing.c.digest, listing.c.state).where(
    listing.c.platform_id == bindparam("platform_id")
)
_COURSE_OF = select(listing.c.course_id).where(
    (listing.c.platform_id == bindparam("platform_id")) & (listing.c.external_id == bindparam("external_id"))
)
_ON_SALE = (
    select(listing.c.course_id, listing.c.price_minor, listing.c.currency, share_agreement.c.shares)
    .join_from(listing, merchant, merchant.c.id == listing.c.merchant_id)
    .join(share_agreement, share_agreement.c.id == merchant.c.agreement_id)
    .where(listing.c.state == literal_column(f"'{ListingState.ACTIVE}'"))
    .where(listing.c.price_minor > literal_column("0"), listing.c.currency.is_not(None))
    .where(merchant.c.state == literal_column(f"'{MerchantState.ACTIVE}'"))
    .distinct()
)
_allowed = course_policy.c
_MAKER_OF = (
    select(listing.c.platform_id)
    .where(listing.c.course_id == bindparam("of_course"))
    .order_by(listing.c.created_at_us, listing.c.id)
    .limit(literal_column("1", BigInteger()))
)
_IS_TRANSFERABLE = select(_allowed.is_transferable).where(_allowed.course_id == bindparam("of_course"))
_policy = inserted(course_policy)
_SET_TRANSFERABLE = _policy.on_conflict_do_update(
    index_elements=[_allowed.course_id],
    set_={"is_transferable": _policy.excluded.is_transferable, "updated_at_us": _policy.excluded.updated_at_us},
)
