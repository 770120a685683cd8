"""What an event is about, as it is now: read for all events of an answer at once, and only where it is asked for."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

import strawberry

from hub.domain.events import Logged
from resolvers.context import Info
from resolvers.lookahead import Wanted, wanted
from resolvers.reading import reading

if TYPE_CHECKING:
    from hub.store.reads import Row

# Noun → where an event's body names its object.
ABOUT = {"order": "order_id", "entitlement": "entitlement_id", "course": "course_id", "listing": "listing_id"}


class Shown(Logged):
    """An event with the objects that were asked for, null for each that is not the viewer's to see."""

    joined: "dict[str, Row | None]"


async def shown(info: Info, want: Wanted, events: Sequence[Logged]) -> list[Logged]:
    """The events, each with what `want` asks of its objects: one statement for each noun."""
    names = [name for name in ABOUT if name in want]
    if not names:
        return list(events)
    found: dict[str, Row | None] = {}
    async with reading(info) as rx:
        for name in names:
            ids = list(dict.fromkeys(id_ for event in events if (id_ := event.body.get(ABOUT[name]))))
            below = want.below(name)
            if ids:
                rows = await rx.reads.load(name, ids, info.context.viewer, below.paths, below.windows)
                found |= zip(ids, rows, strict=True)
    return [_with(event, {name: found.get(event.body.get(ABOUT[name]) or "") for name in names}) for event in events]


def of_page(want: Wanted) -> Wanted:
    """What the events of a connection are wanted for: windows are named by rows alone."""
    return Wanted(want.below("nodes").paths | want.below("edges").below("node").paths, want.windows)


def _with(event: Logged, joined: "dict[str, Row | None]") -> Shown:
    with_them = Shown(*event)
    with_them.joined = joined
    return with_them


# ---- the fields ----------------------------------------------------------------------------------------------------


def order(info: Info, root: strawberry.Parent[Logged]) -> "Row | Awaitable[Row | None] | None":
    return _about(info, root, "order")


def entitlement(info: Info, root: strawberry.Parent[Logged]) -> "Row | Awaitable[Row | None] | None":
    return _about(info, root, "entitlement")


def course(info: Info, root: strawberry.Parent[Logged]) -> "Row | Awaitable[Row | None] | None":
    return _about(info, root, "course")


def listing(info: Info, root: strawberry.Parent[Logged]) -> "Row | Awaitable[Row | None] | None":
    return _about(info, root, "listing")


def _about(info: Info, event: Logged, name: str) -> "Row | Awaitable[Row | None] | None":
    return event.joined[name] if isinstance(event, Shown) else _alone(info, event, name)


async def _alone(info: Info, event: Logged, name: str) -> "Row | None":
    """The object of an event that came by itself, as a webhook's does."""
    id_, want = event.body.get(ABOUT[name]), wanted(info)
    if not id_:
        return None
    async with reading(info) as rx:
        rows: list[Row | None] = await rx.reads.load(name, [id_], info.context.viewer, want.paths, want.windows)
    return rows[0]
