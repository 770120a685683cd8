"""The append-only log: one row per stream and fact, in the commit of the change, with dense positions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy import event as ddl_event

from hub.domain.events import HUB_STREAM, Audience, Change, Event, Logged
from hub.domain.ids import Draw
from hub.store.metadata import Serial, inserted, integer, is_one_of, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx, Tx

event = Table(
    "event",
    metadata,
    Column("seq", Serial, primary_key=True),
    text("id", unique=True),
    integer("position", unique=True, nullable=True),  # NULL until stamped (PostgreSQL)
    text("stream"),
    text("subject"),
    integer("subject_version"),
    text("kind"),
    text("body"),
    text("from_state", nullable=True),  # on the `hub` stream: the history of every machine
    text("to_state", nullable=True),
    text("cause", nullable=True),
    integer("occurred_at_us"),
    UniqueConstraint("stream", "subject", "subject_version", "kind"),
)
Index("event_stream", event.c.stream, event.c.position)
Index("event_unstamped", event.c.seq, sqlite_where=event.c.position.is_(None),
      postgresql_where=event.c.position.is_(None))  # fmt: skip
log_head = Table(
    "log_head",
    metadata,
    integer("one", CheckConstraint("one = 1", name="single"), primary_key=True),
    integer("position"),
    integer("oldest"),
)
consumer = Table(
    "consumer",
    metadata,
    text("name", primary_key=True),
    text("stream", primary_key=True),
    integer("position"),
)


class Events:
    """`tx.events`: collected while the unit runs, written as one statement before its commit."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx
        self._rows: list[dict[str, Any]] = []

    def append(
        self, locked: "Versioned", event: Event, audiences: Iterable[Audience], draw: Draw, change: Change | None = None
    ) -> None:
        """Tell every audience that may hear it. `locked` is the row, held and in its new version, that changed:
        lock order is then the order of the log."""
        for audience in audiences:
            told = event.told_to(audience)
            if told is None:
                continue
            history = change if audience.stream == HUB_STREAM else None
            self._rows.append({
                "id": draw.id("evt", audience.stream, locked.id, locked.version, event.kind),
                "position": None,
                "stream": audience.stream,
                "subject": locked.id,
                "subject_version": locked.version,
                "kind": event.kind,
                "body": orjson.dumps(told.body(), option=orjson.OPT_SORT_KEYS).decode(),
                "from_state": history and history.from_state,
                "to_state": history and history.to_state,
                "cause": history and history.cause,
                "occurred_at_us": draw.now_us,
            })  # fmt: skip

    async def flush(self, tx: "Tx") -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        if tx.dialect == "sqlite":
            for row in rows:
                del row["position"]
            await tx.run_many(_APPEND_STAMPED, rows)
        else:
            await tx.run_many(_APPEND, rows)
        for stream in {row["stream"] for row in rows}:
            tx.after_commit(partial(tx.moved, stream))

    async def read(self, stream: str, after: int, limit: int, kinds: Sequence[str] | None = None) -> list[Logged]:
        """The next events of a stream after a position, in order. Stamp first (`store.stamp`)."""
        if kinds is None:
            return await self._rx.many(_READ, Logged, stream=stream, after=after, most=limit)
        return await self._rx.many(_READ_KINDS, Logged, stream=stream, after=after, most=limit, kinds=list(kinds))

    async def follow(self, stream: str, after: int, limit: int) -> "Part":
        """The same for whoever must know what they can no longer read: one statement says both, of one moment."""
        rows = await self._rx.rows(_FOLLOW, stream=stream, after=after, most=limit)
        return Part([*map(_logged, map(_without_oldest, rows))], rows[0][-1] if rows else 1)

    async def head(self) -> "Head":
        """The newest position given out, and the oldest kept."""
        head = await self._rx.one(_HEAD, Head)
        return head or Head(0, 1)

    async def streams_since(self, after: int) -> list[str]:
        """Which streams have events after a position: what a poll must wake."""
        return await self._rx.many(_STREAMS, str, after=after)

    async def position_of(self, name: str, stream: str = HUB_STREAM) -> int:
        """How far one of the hub's own consumers has come; 0 before its first event."""
        return await self._rx.one(_CONSUMED, int, name_=name, stream_=stream) or 0

    async def move(self, name: str, held: int, position: int, stream: str = HUB_STREAM) -> None:
        """Move a consumer in the unit of its effects; LostRow if another has moved it meanwhile."""
        if held == 0 and await self._rx.one(_START, str, name=name, stream=stream, position=position) is not None:
            return
        await self._rx.changed(_MOVE, name_=name, stream_=stream, held=held, position_=position)

    async def advance(self, name: str, position: int, stream: str = HUB_STREAM) -> None:
        """Let a consumer go on to a position unless it is there: where nothing else depends on who was first."""
        await self._rx.run(_ADVANCE, name=name, stream=stream, position=position)

    async def drop_consumer(self, name: str, stream: str) -> None:
        """Nobody reads the stream under this name any more: what it has not read may be pruned."""
        await self._rx.run(_DROP_CONSUMER, name_=name, stream_=stream)

    async def count_stamped(self) -> int:
        """Events with a position: dense means as many as there are positions."""
        return await self._rx.one(_STAMPED, int) or 0

    async def unstamped(self) -> int:
        return await self._rx.one(_UNSTAMPED, int) or 0


class Versioned(Protocol):
    """A row that has an id and a version."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Head:
    position: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Part:
    """Events in order, and the oldest position that the log still had when they were read; 1 if there are none."""

    events: list[Logged]
    oldest: int


_c = event.c
_APPEND = inserted(event)
# SQLite has one writer: the position is given at once. The trigger below moves the head with each row.
_APPEND_STAMPED = inserted(event).values(
    {_c.position: select(log_head.c.position + literal_column("1")).scalar_subquery()}
)
_READ = (
    select(_c.id, _c.stream, _c.position, _c.kind, _c.subject, _c.subject_version, _c.occurred_at_us, _c.body)
    .where((_c.stream == bindparam("stream")) & (_c.position > bindparam("after")))
    .order_by(_c.position)
    .limit(bindparam("most", type_=BigInteger()))
)
_READ_KINDS = _READ.where(is_one_of(_c.kind, "kinds"))
_FOLLOW = _READ.add_columns(select(log_head.c.oldest).scalar_subquery())
# What Logged._make does, without a call of Python for each of a hundred thousand events.
_logged, _without_oldest = partial(tuple.__new__, Logged), itemgetter(slice(0, -1))
_HEAD = select(log_head.c.position, log_head.c.oldest)
_STREAMS = select(_c.stream).where(_c.position > bindparam("after")).distinct()
_is_consumer = (consumer.c.name == bindparam("name_")) & (consumer.c.stream == bindparam("stream_"))
_CONSUMED = select(consumer.c.position).where(_is_consumer)
_DROP_CONSUMER = delete(consumer).where(_is_consumer)
_START = inserted(consumer).on_conflict_do_nothing().returning(consumer.c.name)
_MOVE = (
    update(consumer)
    .where(_is_consumer & (consumer.c.position == bindparam("held")))
    .values(position=bindparam("position_"))
)
_further = inserted(consumer)
_ADVANCE = _further.on_conflict_do_update(
    index_elements=[consumer.c.name, consumer.c.stream],
    set_={"position": _further.excluded.position},
    where=consumer.c.position < _further.excluded.position,
)
_STAMPED = select(func.count()).select_from(event).where(_c.position.is_not(None))
_UNSTAMPED = select(func.count()).select_from(event).where(_c.position.is_(None))

# PostgreSQL: an idle look costs one statement, by the partial index.
UNSTAMPED = "SELECT 1 FROM event WHERE position IS NULL LIMIT 1"
# Whoever reads first stamps, in two statements, since the second needs a snapshot taken after the lock.
# A locked head (SKIP LOCKED, no row) means that another is stamping: just read.
LOCK_HEAD = "SELECT position FROM log_head FOR UPDATE SKIP LOCKED"
STAMP = """
WITH fresh AS MATERIALIZED (
  SELECT seq, row_number() OVER (ORDER BY seq) AS n
  FROM (SELECT seq FROM event WHERE position IS NULL ORDER BY seq LIMIT 2000) AS q),
stamped AS (
  UPDATE event AS e SET position = $1::bigint + fresh.n FROM fresh
  WHERE e.seq = fresh.seq AND e.position IS NULL RETURNING e.stream),
moved AS (
  UPDATE log_head SET position = position + (SELECT count(*) FROM stamped)
  WHERE EXISTS (SELECT 1 FROM stamped))
SELECT DISTINCT stream FROM stamped
"""

SQLITE_TRIGGER = """
CREATE TRIGGER event_moves_head AFTER INSERT ON event WHEN NEW.position IS NOT NULL
BEGIN UPDATE log_head SET position = NEW.position; END
"""
FIRST_HEAD = "INSERT INTO log_head (one, position, oldest) VALUES (1, 0, 1)"

ddl_event.listen(event, "after_create", DDL(SQLITE_TRIGGER).execute_if(dialect="sqlite"))
ddl_event.listen(log_head, "after_create", DDL(FIRST_HEAD))
