"""Reading one object or a page of them, with all that is selected below: the only way from a field to the store."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from hub.domain.ids import kind_of
from hub.domain.requests import Answer
from resolvers.context import Info
from resolvers.errors import gatekept
from resolvers.lookahead import wanted
from resolvers.paging import Listed, Page, Window, page_of, window_of

if TYPE_CHECKING:
    from hub.store.reads import Row
    from hub.store.transactions import Rx

_ONE = Window(1, is_forward=True, edge=None)


@asynccontextmanager
async def reading(info: Info) -> "AsyncIterator[Rx]":
    """A reading connection; a store that cannot answer is UNAVAILABLE at this field."""
    with gatekept():
        async with info.context.hub.store.reading() as rx:
            yield rx


async def one(info: Info, type_name: str, noun: str, id_: str) -> "Row | None":
    """The object under an id with all that is selected of it; null for unknown, garbage and forbidden alike."""
    if kind_of(id_) != type_name:
        return None
    want = wanted(info)
    async with reading(info) as rx:
        rows: list[Row | None] = await rx.reads.load(noun, [id_], info.context.viewer, want.paths, want.windows)
    return rows[0]


async def one_by(info: Info, noun: str, filters: Mapping[str, object]) -> "Row | None":
    """The only visible object that the filters let through, likewise."""
    want = wanted(info)
    paths = frozenset(f"nodes.{path}" for path in want.paths)
    async with reading(info) as rx:
        part = await rx.reads.page(noun, info.context.viewer, _ONE, paths, want.windows, filters=filters)
    return part.rows[0] if part.rows else None


async def listed_page(
    info: Info, noun: str, listed: Listed, first: int | None, after: str | None, last: int | None, before: str | None,
    filters: Mapping[str, object] | None = None,
) -> Page:  # fmt: skip
    """A page of all that the viewer may see and the filters let through."""
    window = window_of(info.context.hub.cursors, listed, first, after, last, before)
    want = wanted(info)
    async with reading(info) as rx:
        part = await rx.reads.page(
            noun,
            info.context.viewer,
            window,
            want.paths,
            want.windows,
            sort_by=listed.sort_by,
            is_descending=listed.is_descending,
            filters=filters,
        )
    return page_of(part, window, listed)


class HasId(Protocol):
    """What a mutation's object is known by."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=HasId)


async def told_of(info: Info, noun: str, answer: Answer[T]) -> object:
    """The object of a mutation's answer, read afresh as it is selected; None if there is none or nobody asks."""
    if answer.value is None or noun not in wanted(info):
        return None
    return await again(info, noun, noun, answer.value.id)


async def again(info: Info, field: str, noun: str, id_: str) -> "Row | None":
    """The object under `field` of a payload, with what is selected there."""
    want = wanted(info).below(field)
    async with reading(info) as rx:
        rows: list[Row | None] = await rx.reads.load(noun, [id_], info.context.viewer, want.paths, want.windows)
    return rows[0]
