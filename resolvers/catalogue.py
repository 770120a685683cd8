"""What is sold: platforms, courses with search, filters and sorting, listings, and a platform's word about its own."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.catalogue import CourseKind, Listing, ListingDraft
from hub.domain.requests import Answer
from hub.flows import catalogue, transfers
from resolvers.context import Info
from resolvers.errors import bad_input
from resolvers.inputs import (
    BooleanFilter,
    CourseKindFilter,
    MoneyInput,
    PlatformFilter,
    TextFilter,
    chosen,
    id_of,
    money,
    text,
)
from resolvers.paging import After, Before, First, Last, Listed, Page
from resolvers.payloads import Payload, told
from resolvers.reading import again, listed_page, one, one_by, told_of

if TYPE_CHECKING:
    from hub.store.reads import Row

MAX_SEARCH = 200  # characters
MAX_WORDS = 5  # of a search: each is one more condition; the store knows as many


class CourseOrderField(StrEnum):
    """What courses are sorted by."""

    CREATED_AT = "CREATED_AT"
    TITLE = "TITLE"


class OrderDirection(StrEnum):
    """Which end comes first."""

    ASC = "ASC"
    DESC = "DESC"


@strawberry.input(description="How courses are sorted; equal ones by id.")
class CourseOrder:
    field: CourseOrderField = strawberry.field(description="By what.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which end comes first.")


@strawberry.input(description="Which courses: all that are given must hold.")
class CourseFilter:
    kind: CourseKindFilter | None = strawberry.field(default=None, description="What sort of work.")
    language: TextFilter | None = strawberry.field(default=None, description="BCP 47 tag; '' where unknown.")
    level: TextFilter | None = strawberry.field(default=None, description="The source's own word for the level.")
    subject: TextFilter | None = strawberry.field(default=None, description="The source's own word for the subject.")
    is_free: BooleanFilter | None = strawberry.field(
        default=None, description="Whether some listing on sale has the known price 0."
    )
    platform: PlatformFilter | None = strawberry.field(default=None, description="Listed and on sale there.")


_SORT_COLUMNS = {
    CourseOrderField.CREATED_AT: ("created_at_us", "id"),
    CourseOrderField.TITLE: ("title_folded", "id"),
}


async def platforms(
    info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
) -> Page:
    """Every connected platform, by slug."""
    listed = Listed("platforms", ("slug", "id"), is_descending=False)
    return await listed_page(info, "platform", listed, first, after, last, before)


async def platform(
    info: Info,
    id: Annotated[strawberry.ID | None, strawberry.argument(description="Its id.")] = None,
    slug: Annotated[str | None, strawberry.argument(description="Its short name, such as `alpha`.")] = None,
) -> "Row | None":
    """One platform, by id or slug."""
    if (id is None) == (slug is None):
        raise bad_input("give either id or slug")
    if id is not None:
        return await one(info, "Platform", "platform", id)
    return await one_by(info, "platform", {"slug": text(slug or "", "slug")})


async def courses(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    search: Annotated[
        str | None, strawberry.argument(description="Words that the title holds, in any order and case; at most 5.")
    ] = None,
    where: Annotated[CourseFilter | None, strawberry.argument(description="Which courses.")] = None,
    order_by: Annotated[CourseOrder | None, strawberry.argument(description="The newest first, if absent.")] = None,
) -> Page:
    """Courses of all platforms."""
    order_by = order_by or CourseOrder(field=CourseOrderField.CREATED_AT, direction=OrderDirection.DESC)
    name = f"courses:{order_by.field}:{order_by.direction}"
    listed = Listed(name, _SORT_COLUMNS[order_by.field], order_by.direction is OrderDirection.DESC)
    filters = course_filters(where) | search_filters(search)
    return await listed_page(info, "course", listed, first, after, last, before, filters)


def course_filters(where: CourseFilter | None) -> dict[str, object]:
    """Filters by their names in the store."""
    filters: dict[str, object] = {}
    if where is None:
        return filters
    for name in ("kind", "language", "level", "subject", "platform"):
        filter_ = getattr(where, name)
        if filter_ is not None:
            filters[name] = chosen(filter_, name)
    if where.is_free is not None:
        filters["is_free" if where.is_free.eq else "is_not_free"] = None
    return filters


def search_filters(search: str | None) -> dict[str, object]:
    """One pattern per word; what is special in a pattern is escaped. Case is folded here, as in the stored title."""
    words = text(search or "", "search", MAX_SEARCH).casefold().split()
    if len(words) > MAX_WORDS:
        raise bad_input(f"search: at most {MAX_WORDS} words")
    return {f"word_{number}": f"%{_escaped(word)}%" for number, word in enumerate(words)}


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


CourseId = Annotated[strawberry.ID, strawberry.argument(description="The course's id.")]
ListingId = Annotated[strawberry.ID, strawberry.argument(description="The listing's id.")]


async def course(info: Info, id: CourseId) -> "Row | None":
    """One course."""
    return await one(info, "Course", "course", id)


async def listing(info: Info, id: ListingId) -> "Row | None":
    """One listing."""
    return await one(info, "Listing", "listing", id)


# ---- a platform's own word ------------------------------------------------------------------------------------------


async def listing_upsert(
    info: Info,
    external_id: Annotated[str, strawberry.argument(description="The platform's own id, 1 to 200 characters.")],
    title: Annotated[
        str, strawberry.argument(description="At most 500 characters; may be empty with courseId alone.")
    ] = "",
    url: Annotated[str, strawberry.argument(description="Where it is shown: http or https, at most 2000.")] = "",
    kind: Annotated[CourseKind, strawberry.argument(description="What sort of work.")] = CourseKind.COURSE,
    summary: Annotated[str, strawberry.argument(description="At most 20000 characters.")] = "",
    institution: Annotated[str, strawberry.argument(description="Who made it, at most 500 characters.")] = "",
    subject: Annotated[str, strawberry.argument(description="Your own word for it, at most 500 characters.")] = "",
    level: Annotated[str, strawberry.argument(description="Your own word for it, at most 500 characters.")] = "",
    language: Annotated[str, strawberry.argument(description="BCP 47 tag, at most 35 characters.")] = "",
    price: Annotated[
        MoneyInput | None, strawberry.argument(description="Absent: unknown, and it cannot be bought. 0: free.")
    ] = None,
    price_text: Annotated[
        str, strawberry.argument(description="What you say of the price in words, at most 500 characters.")
    ] = "",
    is_honoured: Annotated[
        bool | None,
        strawberry.argument(
            description="Whether you open the course for rights bought elsewhere. Absent: yes for a new listing with "
            "courseId, no for a new one without, unchanged for one that there is."
        ),
    ] = None,
    course_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="List this known Course instead of a new one.")
    ] = None,
    platform_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(description="Whose listing: for operators. A platform's key implies its own."),
    ] = None,
) -> Payload:
    """List a course on a platform, or change its listing."""

    async def flow() -> Answer[Listing]:
        draft = ListingDraft(
            external_id=external_id,
            title=title,
            url=url,
            kind=kind,
            summary=summary,
            institution=institution,
            subject=subject,
            level=level,
            language=language,
            price=None if price is None else money(price, "price"),
            price_text=price_text,
            is_honoured=is_honoured,
            course_id=None if course_id is None else id_of("Course", course_id, "courseId"),
        )
        platform_of = None if platform_id is None else id_of("Platform", platform_id, "platformId")
        return await catalogue.upsert_listing(info.context.hub, info.context.viewer, draft, platform_id=platform_of)

    answer = await told(flow)
    return Payload({"listing": await told_of(info, "listing", answer)}, answer.refusal, answer.is_replay)


async def course_policy_set(
    info: Info,
    course_id: Annotated[strawberry.ID, strawberry.argument(description="The course's id.")],
    is_transferable: Annotated[bool, strawberry.argument(description="Whether a right to it may be handed on.")],
) -> Payload:
    """What rights to a course may be used for."""

    async def flow() -> Answer[str]:
        return await transfers.set_policy(
            info.context.hub,
            info.context.viewer,
            course_id=id_of("Course", course_id, "courseId"),
            is_transferable=is_transferable,
        )

    answer = await told(flow)
    shown = None if answer.value is None else await again(info, "course", "course", answer.value)
    return Payload({"course": shown}, answer.refusal, answer.is_replay)
