"""The two doors to the database: `await store.write(unit, …)` and `async with store.reading() as rx`.

A unit is a function of its arguments and its transaction: it may run again, so time and chance come in drawn, and it
does nothing remote. Its caller is answered only after the commit. The engines are in sqlite.py and postgresql.py.

    StoreFault
    ├── Unavailable           the queue is full, or the database is away or takes no writes: nothing was done
    ├── DatabaseFull          the disk or the file has no room: nothing was done, make room
    ├── RemoteWorkInUnit      a unit awaited something other than its transaction: it was rolled back
    ├── NestedWrite           a unit called `write`
    ├── LostRow               a row that the unit had locked is not as it left it: the unit is at fault
    └── CommitUnknown         the connection broke during COMMIT: the caller's idempotency record says what happened
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy.sql import ClauseElement

from hub.store.anchors import Anchors
from hub.store.archive import Archive
from hub.store.audit import Audit
from hub.store.catalogue import Catalogue
from hub.store.chain_log import ChainLog
from hub.store.chain_transactions import ChainTransactions
from hub.store.disputes import Disputes
from hub.store.entitlements import Entitlements
from hub.store.events import Events
from hub.store.issuers import Issuers
from hub.store.keys import ApiKeys
from hub.store.ledger import Ledger
from hub.store.notices import Notices
from hub.store.orders import Orders
from hub.store.payments import Payments
from hub.store.people import People
from hub.store.reads import Reads
from hub.store.reconciliation import Breaks
from hub.store.refunds import Refunds
from hub.store.requests import Requests
from hub.store.routing import Routing
from hub.store.salts import Salts
from hub.store.statements import Statements
from hub.store.tasks import Tasks
from hub.store.tokens import Tokens
from hub.store.wallets import Wallets
from hub.store.webhooks import Webhooks

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class StoreFault(Exception):
    """Root of what the doors raise."""


class Unavailable(StoreFault):
    pass


class DatabaseFull(StoreFault):
    pass


class RemoteWorkInUnit(StoreFault):
    pass


class NestedWrite(StoreFault):
    pass


class LostRow(StoreFault):
    pass


class CommitUnknown(StoreFault):
    pass


class Connection(Protocol):
    """One driver connection: SQL text and parameters in, plain rows out."""

    statements: Statements

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]: ...
    async def execute(self, sql: str, parameters: Sequence[Any]) -> int: ...
    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None: ...


# The unit that is running, so that a write inside a write is refused on both engines.
running_unit: ContextVar[str | None] = ContextVar("running_unit", default=None)


class Rx:
    """What may be read: statements, and one repository per noun."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> str:
        return self._connection.statements.dialect.name

    async def many(self, statement: ClauseElement, row: Callable[..., T], **binds: Any) -> list[T]:
        """All rows, each as `row(*columns)`."""
        return [row(*columns) for columns in await self.rows(statement, **binds)]

    async def rows(self, statement: ClauseElement, **binds: Any) -> Sequence[Sequence[Any]]:
        """All rows as the driver has them."""
        sql, parameters = self._connection.statements.bound(statement, binds)
        return await self._connection.fetch(sql, parameters)

    async def one(self, statement: ClauseElement, row: Callable[..., T], **binds: Any) -> T | None:
        """The only row, None if there is none; more than one is a fault."""
        rows = await self.many(statement, row, **binds)
        if len(rows) > 1:
            raise LostRow(f"{len(rows)} rows where one was expected")
        return rows[0] if rows else None

    @cached_property
    def reads(self) -> Reads:
        return Reads(self)

    @cached_property
    def people(self) -> People:
        return People(self)

    @cached_property
    def keys(self) -> ApiKeys:
        return ApiKeys(self)

    @cached_property
    def issuers(self) -> Issuers:
        return Issuers(self)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self)

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self)

    @cached_property
    def orders(self) -> Orders:
        return Orders(self)

    @cached_property
    def payments(self) -> Payments:
        return Payments(self)

    @cached_property
    def notices(self) -> Notices:
        return Notices(self)

    @cached_property
    def routing(self) -> Routing:
        return Routing(self)

    @cached_property
    def refunds(self) -> Refunds:
        return Refunds(self)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self)

    @cached_property
    def disputes(self) -> Disputes:
        return Disputes(self)

    @cached_property
    def entitlements(self) -> Entitlements:
        return Entitlements(self)

    @cached_property
    def breaks(self) -> Breaks:
        return Breaks(self)

    @cached_property
    def anchors(self) -> Anchors:
        return Anchors(self)

    @cached_property
    def chain_transactions(self) -> ChainTransactions:
        return ChainTransactions(self)

    @cached_property
    def chain_log(self) -> ChainLog:
        return ChainLog(self)

    @cached_property
    def requests(self) -> Requests:
        return Requests(self)

    @cached_property
    def salts(self) -> Salts:
        return Salts(self)

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self)

    @cached_property
    def wallets(self) -> Wallets:
        return Wallets(self)

    @cached_property
    def webhooks(self) -> Webhooks:
        return Webhooks(self)

    @cached_property
    def events(self) -> Events:
        return Events(self)

    @cached_property
    def archive(self) -> Archive:
        return Archive(self)

    @cached_property
    def tasks(self) -> Tasks:
        return Tasks(self)

    async def run(self, statement: ClauseElement, **binds: Any) -> int:
        """Change rows and say how many. Refused by a reading connection."""
        sql, parameters = self._connection.statements.bound(statement, binds)
        return await self._connection.execute(sql, parameters)

    async def run_many(self, statement: ClauseElement, rows: Sequence[Mapping[str, Any]]) -> None:
        """The same statement for many rows, as one."""
        if not rows:
            return
        await self._connection.execute_many(*self._connection.statements.bound_many(statement, rows))

    async def changed(self, statement: ClauseElement, **binds: Any) -> None:
        """Change exactly one row; any other number means the unit did not hold what it thought it held."""
        count = await self.run(statement, **binds)
        if count != 1:
            raise LostRow(f"{count} rows changed where one was held")


class Tx(Rx):
    """A transaction: what may be read, and what happens at its end."""

    def __init__(self, connection: Connection, moved: Callable[[str], None]) -> None:
        """`moved(stream)` is told after the commit that a stream, or the tasks, have something new: a hint."""
        super().__init__(connection)
        self.moved = moved
        self.hooks: list[Callable[[], None]] = []

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call `hook` once the commit has happened. It must not raise; nothing may depend on its being called."""
        self.hooks.append(hook)

    async def flush(self) -> None:
        """Write what the unit has collected: its events and its new tasks. Called by the door, before the commit."""
        await self.events.flush(self)
        await self.tasks.flush(self)


Unit = Callable[Concatenate[Tx, P], Awaitable[T]]


def nobody_told(_stream: str) -> None:
    """For stores without subscribers: polls find everything."""


def run_hooks(hooks: Sequence[Callable[[], None]]) -> None:
    """After a commit. One that raises is a fault of its own: the commit stands, and its caller hears of that."""
    for hook in hooks:
        try:
            hook()
        except Exception:
            log.exception("a hook failed after a commit")


class Store(Protocol):
    """One database."""

    async def write(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `unit(tx, …)` in one transaction and return its value once that has committed.

        Returning commits, a Refusal too; raising rolls this unit alone back. Raises StoreFault as on top of this page.
        """

    def reading(self) -> AbstractAsyncContextManager[Rx]:
        """Read outside of any transaction: each statement sees what is committed when it runs."""

    async def stamp(self) -> None:
        """Give the events committed so far their positions, where that is not done at once. Call it before reading."""

    async def aclose(self) -> None:
        """Finish what is queued, then close every connection."""
