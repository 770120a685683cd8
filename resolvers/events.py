"""The log from the outside: replay and live are one reader, so there is no seam to lose an event in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import strawberry

from hub.domain.events import EVENTS, Event, Logged
from hub.domain.ids import kind_of
from hub.domain.money import Money
from hub.domain.people import Viewer, ViewerKind
from hub.ports import CursorRefused, Hub
from resolvers.context import Info
from resolvers.errors import GatekeepingError, bad_input, gatekept
from resolvers.lookahead import wanted
from resolvers.orders import OrderId
from resolvers.paging import MAX_PAGE, Window
from resolvers.reading import reading
from resolvers.subjects import ABOUT, of_page, shown

if TYPE_CHECKING:
    from hub.domain.events import OrderEvent
    from hub.store.reads import Row

BATCH = 500  # events of one read: what a subscriber who is behind takes of memory

PlatformOf = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Whose stream: for operators; a platform's key implies its own."),
]
AfterEvent = Annotated[
    str | None,
    strawberry.argument(description="Cursor of the last event that you have. Absent: from now. Empty: the oldest."),
]
AfterListed = Annotated[
    str | None,
    strawberry.argument(description="Cursor of the last event that you have. Absent or empty: the oldest kept."),
]
EventKind = StrEnum("EventKind", {kind: kind for kind in EVENTS})  # type: ignore[misc]  # as many as the domain has
Kinds = Annotated[list[EventKind] | None, strawberry.argument(description="Only these kinds; absent: all.")]


# ---- the reader -----------------------------------------------------------------------------------------------------

Shape = Callable[[Logged], Awaitable[object | None]]


@dataclass(frozen=True, slots=True)
class Following:
    """A place in a stream, and how each event after it is shown: iterate it for the events of one subscriber.

    A server with many subscribers reads the parts instead, and lets all who would see the same share one reading and
    one execution: nothing that `shape` gives depends on the position, or on the subscriber beyond their viewer.
    """

    hub: Hub
    viewer: Viewer
    stream: str
    position: int  # events after this one
    shape: Shape  # what an event is the source of; None: this subscriber does not see it
    is_over: Callable[[], bool] = field(default=lambda: False)  # asked after a None: whether more may come
    kinds: frozenset[str] | None = None  # `shape` gives None for all others
    is_joined: bool = True  # else `shape` gives the event itself for these kinds

    async def __aiter__(self) -> AsyncIterator[object]:
        """What there is and what comes, for ever: in order, none left out, none twice. Ends with the token.

        No transaction is open across a `yield`.
        """
        hub, position = self.hub, self.position
        while True:
            seen = hub.wakeups.mark(self.stream)  # before the read: nothing can slip between
            batch = await read_on(hub, self.stream, position)
            for logged in batch:
                demand_token(hub, self.viewer)
                source = await self.shape(logged)
                if source is not None:
                    yield source
                elif self.is_over():
                    return
                position = logged.position
            if not batch:
                await _wait(hub, self.viewer, self.stream, seen)


async def read_on(hub: Hub, stream: str, position: int) -> list[Logged]:
    """The next events of a stream after a position, at most BATCH. UNAVAILABLE if the store cannot answer,
    CURSOR_EXPIRED if some of them have left the log meanwhile: never a silent gap."""
    with gatekept():
        await hub.store.stamp()
        async with hub.store.reading() as rx:
            part = await rx.events.follow(stream, position, BATCH)
            is_gone = position < part.oldest - 1 and await rx.archive.has_taken(stream, position)
    if is_gone:
        raise expired(hub, stream, part.oldest)
    return part.events


async def _wait(hub: Hub, viewer: Viewer, stream: str, seen: int) -> None:
    """Until the stream has moved, or the token has ended."""
    if viewer.expires_at_us is None:
        await hub.wakeups.wait(stream, seen)
        return
    left_us = viewer.expires_at_us - hub.clock.now_us()
    try:
        await asyncio.wait_for(hub.wakeups.wait(stream, seen), max(left_us, 0) / 1_000_000)
    except TimeoutError:
        demand_token(hub, viewer)


def demand_token(hub: Hub, viewer: Viewer) -> None:
    """UNAUTHENTICATED once the viewer's token has ended."""
    if viewer.expires_at_us is not None and hub.clock.now_us() >= viewer.expires_at_us:
        raise GatekeepingError("UNAUTHENTICATED", "your token has ended: sign in and go on from your last cursor")


# ---- whose stream, and from where -----------------------------------------------------------------------------------


def stream_of(viewer: Viewer, platform_id: str | None) -> str:
    """The stream that the viewer means. FORBIDDEN unless it is their own, or they are operators."""
    if viewer.stream is None:
        raise GatekeepingError("UNAUTHENTICATED", "sign in to follow events")
    if platform_id is None or platform_id == viewer.platform_id:
        return viewer.stream
    if viewer.kind is not ViewerKind.OPERATOR:
        raise GatekeepingError("FORBIDDEN", "platform: this is not your stream")
    if kind_of(platform_id) != "Platform":
        raise bad_input("platform: this is no platform's id")
    return platform_id


async def position_of(hub: Hub, stream: str, after: str | None) -> int:
    """The position after which to read. CURSOR_EXPIRED if events behind the cursor are gone."""
    with gatekept():
        if after is None:
            await hub.store.stamp()
        async with hub.store.reading() as rx:
            head = await rx.events.head()
    if after is None:
        return head.position
    if after == "":
        return head.oldest - 1
    try:
        cursor_stream, position = hub.cursors.open(after)
    except CursorRefused:
        raise bad_input("after: this is no cursor of this stream") from None
    if cursor_stream != stream:
        raise bad_input("after: this is no cursor of this stream")
    if position < head.oldest - 1:
        raise expired(hub, stream, head.oldest)
    return position


def expired(hub: Hub, stream: str, oldest: int) -> GatekeepingError:
    """CURSOR_EXPIRED, with the cursor from which everything that is kept can be read."""
    cursor = hub.cursors.seal(stream, oldest - 1)
    return GatekeepingError("CURSOR_EXPIRED", "events after this cursor are gone: read anew", oldest=cursor)


# ---- the fields -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventPageInfo:
    """Where a part of a stream stands, as every PageInfo says it."""

    has_next: bool
    has_previous: bool
    start_cursor: str | None
    end_cursor: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """Part of a stream, in order."""

    rows: list[Logged]
    page_info: EventPageInfo

    @property
    def edges(self) -> list[Logged]:
        return self.rows


async def events(
    info: Info,
    first: Annotated[int, strawberry.argument(description="How many: 1 to 100.")],
    after: AfterListed = "",
    platform: PlatformOf = None,
    kinds: Kinds = None,
) -> EventPage:
    """A part of a stream; absent `after` reads from the oldest kept."""
    if not 1 <= first <= MAX_PAGE:
        raise bad_input(f"first lies between 1 and {MAX_PAGE}")
    hub = info.context.hub
    stream = stream_of(info.context.viewer, platform)
    position = await position_of(hub, stream, after or "")
    with gatekept():
        await hub.store.stamp()
    async with reading(info) as rx:
        rows = await rx.events.read(stream, position, first + 1, None if kinds is None else [*map(str, kinds)])
    kept = await shown(info, of_page(wanted(info)), rows[:first])
    seals = [hub.cursors.seal(stream, logged.position) for logged in (*kept[:1], *kept[-1:])]
    return EventPage(
        kept,
        EventPageInfo(
            has_next=len(rows) > first,
            has_previous=bool(after),
            start_cursor=seals[0] if seals else None,
            end_cursor=seals[-1] if seals else hub.cursors.seal(stream, position),
        ),
    )


async def followed(
    info: Info,
    after: AfterEvent = None,
    platform: PlatformOf = None,
    kinds: Kinds = None,
) -> AsyncIterator[Logged]:
    """A stream from a cursor on, live."""
    hub, viewer = info.context.hub, info.context.viewer
    stream = stream_of(viewer, platform)
    let_through = None if kinds is None else frozenset(map(str, kinds))
    want = wanted(info)
    is_joined = any(name in want for name in ABOUT)  # asked once, and not of each of a hundred thousand events

    async def shape(logged: Logged) -> Logged | None:
        if let_through is not None and logged.kind not in let_through:
            return None
        return (await shown(info, want, [logged]))[0] if is_joined else logged

    position = await position_of(hub, stream, after)
    following = Following(hub, viewer, stream, position, shape, kinds=let_through, is_joined=is_joined)
    return cast("AsyncIterator[Logged]", following)


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An event of an order, and the order as it is now."""

    event: Logged
    joined: "dict[str, Row | None]" = field(default_factory=dict)


async def order_updated(info: Info, order_id: OrderId, after: AfterEvent = None) -> AsyncIterator[OrderUpdate]:
    """What happens to one order, from the caller's own stream. NOT_FOUND alike for unknown and not yours."""
    hub, viewer = info.context.hub, info.context.viewer
    want, of_event = wanted(info).below("order"), wanted(info).below("event")
    stream = stream_of(viewer, None)
    position = await position_of(hub, stream, after)
    if await _order(info, order_id, frozenset(), {}) is None:
        raise GatekeepingError("NOT_FOUND", "orderId: there is no such order, or it is not yours")
    hidden = False

    async def shape(logged: Logged) -> OrderUpdate | None:
        nonlocal hidden
        if logged.subject != order_id and (order_id not in logged.text or logged.body.get("order_id") != order_id):
            return None
        row = await _order(info, order_id, want.paths, want.windows)
        hidden = row is None  # no longer this viewer's to see
        return None if row is None else OrderUpdate((await shown(info, of_event, [logged]))[0], {"order": row})

    return cast("AsyncIterator[OrderUpdate]", Following(hub, viewer, stream, position, shape, lambda: hidden))


async def _order(info: Info, order_id: str, want: frozenset[str], windows: "dict[str, Window]") -> "Row | None":
    if kind_of(order_id) != "Order":
        return None
    async with reading(info) as rx:
        rows: list[Row | None] = await rx.reads.load("order", [order_id], info.context.viewer, want, windows)
    return rows[0]


# ---- what an event shows --------------------------------------------------------------------------------------------


def cursor(info: Info, root: strawberry.Parent[Logged]) -> str:
    return info.context.hub.cursors.seal(root.stream, root.position)


def payload(root: strawberry.Parent[Logged]) -> Event:
    return root.event


def amount(root: "strawberry.Parent[OrderEvent]") -> Money:
    return Money(root.amount_minor, root.currency)


def itself(root: strawberry.Parent[Logged]) -> Logged:
    """An event is its own edge."""
    return root
