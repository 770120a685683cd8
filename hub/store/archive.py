"""Events that have left the log: kept for audit and export, found by position, and by nothing that is live."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Table, bindparam, delete, insert, literal_column, select, update

from hub.domain.events import Logged
from hub.store.events import consumer, event, log_head
from hub.store.metadata import integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

event_archive = Table(
    "event_archive",
    metadata,
    integer("position", primary_key=True, autoincrement=False),
    text("id"),
    text("stream"),
    text("subject"),
    integer("subject_version"),
    text("kind"),
    text("body"),
    text("from_state", nullable=True),
    text("to_state", nullable=True),
    text("cause", nullable=True),
    integer("occurred_at_us"),
)


class Archive:
    """`tx.archive`: the oldest events of the log, who still has to read them, and their way out of it."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def take(self, first: int, last: int) -> bool:
        """Move the events of these positions, the oldest that the log has, and let it begin after them. False, with
        nothing done: it does not begin at `first`, as somebody else has moved them."""
        if await self._rx.run(_BEGIN_LATER, first=first, next_=last + 1) != 1:
            return False
        await self._rx.run(_TAKE, last=last)
        await self._rx.run(_LEAVE, last=last)
        return True

    async def oldest(self, first: int, limit: int) -> list["Aged"]:
        """The log's events from a position on, in order: how old they are."""
        return await self._rx.many(_OLDEST, Aged, first=first, most=limit)

    async def readers(self) -> list["Reader"]:
        """Everybody who has a position in the log, and what they have to read next."""
        return await self._rx.many(_READERS, Reader)

    async def newest(self) -> int:
        """The last position that was moved; 0: none."""
        return await self._rx.one(_NEWEST, int) or 0

    async def has_taken(self, stream: str, after: int) -> bool:
        """Whether events of a stream after a position have left the log."""
        return await self._rx.one(_HAS_TAKEN, int, stream_=stream, after=after) is not None

    async def read(self, after: int, limit: int) -> list[Logged]:
        """Archived events of all streams, in order."""
        return await self._rx.many(_READ, Logged, after=after, most=limit)


@dataclass(frozen=True, slots=True)
class Aged:
    position: int
    occurred_at_us: int


@dataclass(frozen=True, slots=True)
class Reader:
    """One consumer: where it stands, and its stream's first event after that; None for both: it has read all."""

    name: str
    stream: str
    position: int
    next_position: int | None
    next_at_us: int | None

    def behind(self, head: int) -> int:
        """Positions between what it has read and the log's head; 0 if nothing there is of its stream."""
        return 0 if self.next_position is None else head - self.next_position + 1


_e, _a = event.c, event_archive.c
_ONE: Any = literal_column("1")
_most: Any = bindparam("most", type_=BigInteger())
_BEGIN_LATER = update(log_head).where(log_head.c.oldest == bindparam("first")).values(oldest=bindparam("next_"))
_TAKE = insert(event_archive).from_select(
    [column.name for column in _a],
    select(*(_e[column.name] for column in _a)).where(_e.position <= bindparam("last")),
)
_LEAVE = delete(event).where(_e.position <= bindparam("last"))
_OLDEST = (
    select(_e.position, _e.occurred_at_us).where(_e.position >= bindparam("first")).order_by(_e.position).limit(_most)
)
# By correlated look-ups alone, each one step in the index of streams: a join would read the whole log.
_unread = (_e.stream == consumer.c.stream) & (_e.position > consumer.c.position)
_next = select(_e.position).where(_unread).order_by(_e.position).limit(_ONE).correlate(consumer).scalar_subquery()
_at = select(_e.occurred_at_us).where(_unread).order_by(_e.position).limit(_ONE).correlate(consumer).scalar_subquery()
_READERS = select(consumer, _next, _at).order_by(consumer.c.name, consumer.c.stream)
_NEWEST = select(_a.position).order_by(_a.position.desc()).limit(_ONE)
_HAS_TAKEN = (
    select(_ONE)
    .select_from(event_archive)
    .where((_a.stream == bindparam("stream_")) & (_a.position > bindparam("after")))
    .limit(_ONE)
)
_READ = (
    select(_a.id, _a.stream, _a.position, _a.kind, _a.subject, _a.subject_version, _a.occurred_at_us, _a.body)
    .where(_a.position > bindparam("after"))
    .order_by(_a.position)
    .limit(_most)
)
