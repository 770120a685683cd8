"""Leased, retryable work with external effects. A lease is only a delay: correctness hangs on the fence (attempts)."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.ids import Draw
from hub.store.metadata import Serial, inserted, integer, is_one_of, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx, Tx

task = Table(
    "task",
    metadata,
    Column("id", Serial, primary_key=True),
    text("kind"),
    text("key"),
    text("body"),
    integer("attempts"),
    integer("run_at_us", nullable=True),
    integer("lease_until_us", nullable=True),
    text("owner", nullable=True),
    text("last_error", nullable=True),
    text("pool", nullable=True),  # tasks of one pool share a remote end, and at most POOL_SIZE are worked on at once
    UniqueConstraint("kind", "key"),
    sqlite_autoincrement=True,  # the fence rests on it that no id is given twice
)
Index("ix_task_due", task.c.run_at_us)
_is_held = task.c.lease_until_us.is_not(None)
Index("ix_task_pool", task.c.pool, sqlite_where=_is_held, postgresql_where=_is_held)
dead_task = Table(
    "dead_task",
    metadata,
    Column("id", Serial, primary_key=True),
    text("kind"),
    text("key"),
    text("body"),
    integer("attempts"),
    text("last_error", nullable=True),
    integer("died_at_us"),
    sqlite_autoincrement=True,  # operators name them by these
)


# How long a worker holds a task: longer than one call's whole budget, and the delay of recovery after a crash.
LEASE_US = 45 * 1_000_000
# After this many tries a task waits for a person.
MAX_TRIES = 30
# Tasks of one pool that are leased at once: a remote end that answers nobody holds up its own work alone. Several
# claims at the same time may each go up to it.
POOL_SIZE = 4


class Tasks:
    """`tx.tasks`: new ones are collected while the unit runs and written before its commit."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx
        self._rows: list[dict[str, Any]] = []

    def add(self, kind: str, key: str, body: dict[str, Any], run_at_us: int, pool: str | None = None) -> None:
        """Have it done from then on; a task of this kind and key that exists already stays as it is. One with a `pool`
        is claimed apart from all others (`claim(is_pooled=True)`)."""
        self._rows.append(_row(kind, key, body, run_at_us) | {"pool": pool})

    def lease(self, kind: str, key: str, body: dict[str, Any], draw: Draw) -> None:
        """Likewise, already leased to the process that draws: it goes on by itself, others step in if it dies."""
        held = {"attempts": 1, "lease_until_us": draw.now_us + LEASE_US, "owner": draw.owner}
        self._rows.append(_row(kind, key, body, draw.now_us) | held)

    async def flush(self, tx: "Tx") -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            await tx.run_many(_ADD, rows)
            tx.after_commit(partial(tx.moved, "tasks"))

    async def due(self, now_us: int, *, is_pooled: bool = False) -> bool:
        """Whether a claim would find anything: asked by reading, so that an idle worker writes nothing."""
        return await self._rx.one(_ANY_POOLED_DUE if is_pooled else _ANY_DUE, int, now=now_us) is not None

    async def claim(self, draw: Draw, limit: int, *, is_pooled: bool = False) -> "list[LeasedTask]":
        """Lease what is due to this process, the longest waiting first: tasks without a pool, or (`is_pooled`) at most
        POOL_SIZE of those with one. They come in the order in which they were added, whatever RETURNING does."""
        most = min(limit, POOL_SIZE) if is_pooled else limit
        leased = await self._rx.many(
            _CLAIM_POOLED if is_pooled else _CLAIM,
            _leased,
            now=draw.now_us,
            most=most,
            until=draw.now_us + LEASE_US,
            owner_=draw.owner,
        )
        return sorted(leased, key=lambda task: task.id)

    async def finish(self, task: "LeasedTask") -> bool:
        """Done: the row goes. False: the lease was lost, and the task is another's."""
        return await self._rx.run(_FINISH, **task.fence) == 1

    async def drop(self, kind: str, key: str) -> bool:
        """The domain shows that its work is done, whoever holds it."""
        return await self._rx.run(_DROP, kind_=kind, key_=key) == 1

    async def retry(self, task: "LeasedTask", run_at_us: int, error: str, body: dict[str, Any] | None = None) -> bool:
        """Put it back for later. False: the lease was lost."""
        text_body = orjson.dumps(task.body if body is None else body).decode()
        return await self._rx.run(_RETRY, **task.fence, run_at=run_at_us, error=error[:500], body_=text_body) == 1

    async def put_back(self, kind: str, key: str, body: dict[str, Any], run_at_us: int, draw: Draw) -> bool:
        """Let go of a task that this process has leased inline. False: the lease ran out, and it is another's."""
        text_body = orjson.dumps(body).decode()
        binds = {"kind_": kind, "key_": key, "run_at": run_at_us, "body_": text_body, "owner_": draw.owner}
        return await self._rx.run(_PUT_BACK, **binds) == 1

    async def let_go(self, kind: str, key: str, draw: Draw) -> bool:
        """End a task that this process has leased inline. False: it is not there, or another's by now."""
        return await self._rx.run(_LET_GO, kind_=kind, key_=key, owner_=draw.owner) == 1

    async def renew_inline(self, kind: str, key: str, draw: Draw) -> bool:
        """Renew what `lease` has given to this process. False: a worker has taken it over, maybe its own."""
        binds = {"kind_": kind, "key_": key, "owner_": draw.owner, "until": draw.now_us + LEASE_US}
        return await self._rx.run(_RENEW_INLINE, **binds) == 1

    async def again(self, kind: str, key: str, body: dict[str, Any], run_at_us: int) -> None:
        """Have it done from then on, also one that is just being worked on: what its worker has seen is no longer so,
        and it cannot finish what it holds."""
        text_body = orjson.dumps(body).decode()
        if await self._rx.run(_AGAIN, kind_=kind, key_=key, run_at=run_at_us, body_=text_body) == 0:
            self.add(kind, key, body, run_at_us)

    async def hasten(self, kind: str, key: str, now_us: int) -> None:
        """Have one task due from now on; while it is being worked on it stays as it is."""
        await self._rx.run(_HASTEN, kind_=kind, key_=key, now=now_us)

    async def hurry(self, pool: str, now_us: int) -> None:
        """Have every task of a pool due from now on; one that is being worked on stays as it is."""
        await self._rx.run(_HURRY, pool_=pool, now=now_us)

    async def renew(self, task: "LeasedTask", draw: Draw) -> bool:
        return await self._rx.run(_RENEW, **task.fence, until=draw.now_us + LEASE_US) == 1

    async def die(self, task: "LeasedTask", error: str, now_us: int) -> bool:
        """Out of tries: kept where an operator sees it. False: the lease was lost."""
        if not await self.finish(task):
            return False
        await self._rx.changed(
            _BURY, kind=task.kind, key=task.key, body=orjson.dumps(task.body).decode(), attempts=task.attempts,
            last_error=error[:500], died_at_us=now_us,
        )  # fmt: skip
        return True

    async def reclaim_all(self) -> int:
        """Every lease ends. Only who holds the data folder's lock may do this: nobody else can be working."""
        return await self._rx.run(_RECLAIM)

    async def listed(self) -> "list[TaskRow]":
        """What waits and what died, for operators."""
        return await self._rx.many(_LISTED, TaskRow)

    async def revive(self, dead_id: int, now_us: int) -> bool:
        """Try a dead task again from now on."""
        row = await self._rx.one(_EXHUME, _Dead, dead_id=dead_id)
        if row is None:
            return False
        self.add(row.kind, row.key, orjson.loads(row.body), now_us)
        return True

    async def drop_dead(self, dead_id: int) -> bool:
        return await self._rx.one(_EXHUME, _Dead, dead_id=dead_id) is not None


@dataclass(frozen=True, slots=True)
class OpenEnd:
    """One thing that may still change, and whether there is a Task that sees to it."""

    name: str
    state: str
    is_seen_to: bool


def with_task(name: ColumnElement[str], state: ColumnElement[str], key: ColumnElement[str]) -> Select[Any]:
    """The columns of an `OpenEnd`: `key` is that of its Task, whose kind is one of `kinds`."""
    seen_to = exists().where((_c.key == key) & is_one_of(_c.kind, "kinds"))
    return select(name, state, case((seen_to, literal_column("1", Integer)), else_=literal_column("0", Integer)))


def open_end_of(name: str, state: str, is_seen_to: int) -> OpenEnd:
    return OpenEnd(name, state, bool(is_seen_to))


@dataclass(frozen=True, slots=True)
class LeasedTask:
    """A task that this process may work on until its lease ends."""

    id: int
    kind: str
    key: str
    body: dict[str, Any]
    attempts: int
    owner: str

    @property
    def fence(self) -> dict[str, Any]:
        return {"task_id": self.id, "tries": self.attempts}


@dataclass(frozen=True, slots=True)
class TaskRow:
    is_dead: int
    id: int
    kind: str
    key: str
    attempts: int
    run_at_us: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class _Dead:
    kind: str
    key: str
    body: str


def _row(kind: str, key: str, body: dict[str, Any], run_at_us: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "key": key,
        "body": orjson.dumps(body).decode(),
        "attempts": 0,
        "run_at_us": run_at_us,
        "lease_until_us": None,
        "owner": None,
        "last_error": None,
        "pool": None,
    }


def _leased(id_: int, kind: str, key: str, body: str, attempts: int, owner: str) -> LeasedTask:
    return LeasedTask(id_, kind, key, orjson.loads(body), attempts, owner)


_c = task.c
_ADD = inserted(task).on_conflict_do_nothing()
_is_due = (_c.run_at_us <= bindparam("now")) & (_c.lease_until_us.is_(None) | (_c.lease_until_us <= bindparam("now")))
_held = task.alias("held")
_held_of_pool = (
    select(func.count())
    .select_from(_held)
    .where((_held.c.pool == _c.pool) & (_held.c.lease_until_us > bindparam("now")))
    .correlate(task)
    .scalar_subquery()
)
_may_be_claimed = _is_due & _c.pool.is_(None)
_pooled_may_be_claimed = _is_due & _c.pool.is_not(None) & (_held_of_pool < literal_column(str(POOL_SIZE)))
_any = select(literal_column("1", Integer)).select_from(task).limit(literal_column("1"))
_ANY_DUE, _ANY_POOLED_DUE = _any.where(_may_be_claimed), _any.where(_pooled_may_be_claimed)
_FIELDS = (_c.id, _c.kind, _c.key, _c.body, _c.attempts, _c.owner)


def _claiming(may_be: ColumnElement[bool]) -> ReturningUpdate[Any]:
    """The choice is a CTE of its own, which PostgreSQL makes once: as a subquery it is free to make it anew for each
    task that it joins, and each time locks others, so that more would be claimed than were asked for."""
    chosen = (
        select(_c.id)
        .where(may_be)
        .order_by(_c.run_at_us, _c.id)
        .limit(bindparam("most", type_=BigInteger()))
        .with_for_update(skip_locked=True, of=task)
        .cte("chosen")
    )
    return (
        update(task)
        .where(_c.id.in_(select(chosen.c.id)))
        .values(
            attempts=_c.attempts + literal_column("1"),
            lease_until_us=bindparam("until", type_=BigInteger()),
            owner=bindparam("owner_", type_=Text()),
        )
        .returning(*_FIELDS)
    )


_CLAIM, _CLAIM_POOLED = _claiming(_may_be_claimed), _claiming(_pooled_may_be_claimed)
_fenced = (_c.id == bindparam("task_id")) & (_c.attempts == bindparam("tries"))
_FINISH = delete(task).where(_fenced)
_DROP = delete(task).where((_c.kind == bindparam("kind_")) & (_c.key == bindparam("key_")))
_free = {"lease_until_us": null(), "owner": null(), "run_at_us": bindparam("run_at"), "body": bindparam("body_")}
_RETRY = update(task).where(_fenced).values(last_error=bindparam("error"), **_free)
_is_leased_here = (
    (_c.kind == bindparam("kind_")) & (_c.key == bindparam("key_")) & (_c.owner == bindparam("owner_"))
)
_PUT_BACK = update(task).where(_is_leased_here).values(**_free)
_LET_GO = delete(task).where(_is_leased_here)
_RENEW_INLINE = (
    update(task)
    .where(_is_leased_here & (_c.attempts == literal_column("1")))
    .values(lease_until_us=bindparam("until", type_=BigInteger()))
)
_AGAIN = (
    update(task)
    .where((_c.kind == bindparam("kind_")) & (_c.key == bindparam("key_")))
    .values(attempts=_c.attempts + literal_column("1"), **_free)
)
_HASTEN = (
    update(task)
    .where((_c.kind == bindparam("kind_")) & (_c.key == bindparam("key_")) & _c.lease_until_us.is_(None))
    .values(run_at_us=bindparam("now", type_=BigInteger()))
)
_HURRY = (
    update(task)
    .where((_c.pool == bindparam("pool_")) & _c.lease_until_us.is_(None))
    .values(run_at_us=bindparam("now", type_=BigInteger()))
)
_RENEW = update(task).where(_fenced).values(lease_until_us=bindparam("until"))
_RECLAIM = update(task).where(_c.lease_until_us.is_not(None)).values(lease_until_us=null(), owner=null())
_BURY = inserted(dead_task)
_LISTED = union_all(
    select(literal_column("0").label("is_dead"), _c.id, _c.kind, _c.key, _c.attempts, _c.run_at_us, _c.last_error),
    select(
        literal_column("1"), dead_task.c.id, dead_task.c.kind, dead_task.c.key, dead_task.c.attempts,
        dead_task.c.died_at_us, dead_task.c.last_error,
    ),
).order_by(literal_column("1"), literal_column("2"))  # fmt: skip
_EXHUME = (
    delete(dead_task)
    .where(dead_task.c.id == bindparam("dead_id"))
    .returning(dead_task.c.kind, dead_task.c.key, dead_task.c.body)
)
