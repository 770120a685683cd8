"""One execution and one encoding of an event for all who would see the same bytes, and a plain loop that sends them.

Subscribers are alike (a Broadcast) if document, operation, variables and viewer are equal, but for the cursor that each
began after and for when each token ends. Each reads by itself what lies behind (Subscriber.run), and encodes it a batch
at a time, which costs less than remembering it; only what the executor made is remembered. At the tail of the stream it
is pushed to, until its reader is slow: then it reads by itself again, from the log, so nothing is queued.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

from graphql import ExecutionResult

from hub.domain.events import Logged
from hub.domain.people import Viewer
from hub.entry.event_encoding import NotPlain, plain_encoder
from hub.entry.likeness import likeness
from hub.entry.tails import Tail, Tails
from hub.entry.wires import MAX_UNSENT, Gone, Stalled, Wire, drained
from resolvers.context import RequestContext, request_context
from resolvers.errors import GatekeepingError
from resolvers.events import Following, demand_token
from resolvers.execution import PlainFirst

MAX_BEHIND = 100_000  # events by which a reader may fall further behind than it began
MAX_MADE = 512  # encoded events that a Broadcast remembers: those of the tail, for whoever comes late
MAX_MADE_BYTES = 1024 * 1024
# Of all Broadcasts together: one platform may have thousands that differ. Beyond it whoever comes late costs anew.
MAX_ALL_MADE_BYTES = 64 * 1024 * 1024
MADE_BYTES = 200  # what remembering an event takes besides its bytes
PIECE = 32 * 1024  # bytes of events that are written at once while reading what lies behind
LOOP_SLICE = 250  # subscribers that are written to before others get a turn: some milliseconds

Encode = Callable[[ExecutionResult, str], bytes]  # the result and the request id that its errors are told under


# ---- from a started operation to its stream ---------------------------------------------------------------------


class Caught:
    """A subscription that was parsed, checked, limited and begun, and whose events are now ours to execute."""

    executor: "SharingExecutor | None" = None
    following: Following | None = None


_catching: ContextVar[Caught | None] = ContextVar("catching", default=None)


@contextmanager
def catching() -> Iterator[Caught]:
    """Within the block an operation that follows the log yields nothing: it is caught instead."""
    caught = Caught()
    token = _catching.set(caught)
    try:
        yield caught
    finally:
        _catching.reset(token)


class SharingExecutor(PlainFirst):
    """The executor, which hands a stream of the log over to whoever is catching it."""

    def cancellable_iterable(self, iterable: Any) -> Any:
        caught = _catching.get()
        if caught is None or not isinstance(iterable, Following):
            return super().cancellable_iterable(iterable)
        caught.executor, caught.following = self, iterable
        return _nothing()

    def of_event(self, source: object) -> "SharingExecutor":
        """The same operation for one event, with loaders of its own."""
        of_event = cast("SharingExecutor", self.build_per_event_executor(source))
        context: RequestContext = self.context_value
        of_event.context_value = replace(
            context, nodes=request_context(context.hub, context.viewer, context.request_id).nodes
        )
        return of_event


async def _nothing() -> Any:
    return
    yield


# ---- the events of all who are alike ------------------------------------------------------------------------------


NOT_FOR_THEM = b""  # instead of an event's bytes
END = type("End", (bytes,), {})()  # the same, and nothing comes after it


@dataclass(slots=True)
class Kept:
    """How much all Broadcasts of a process remember."""

    size: int = 0


class Broadcast:
    """Subscribers who are alike. Executes and encodes an event when the first of them comes to it."""

    def __init__(
        self, alike: Hashable, executor: SharingExecutor, following: Following, tail: Tail, encode: Encode, kept: Kept
    ) -> None:
        self.alike = alike
        self.tail = tail
        self.executions = 0
        self.members = 0
        self._executor = executor
        self._following = following
        self._encode = encode
        self._plain = None if following.is_joined else plain_encoder(executor, following.hub)
        self._made: OrderedDict[int, bytes] = OrderedDict()
        self._made_bytes = 0
        self._kept = kept
        self._making = asyncio.Lock()
        self._at_tail: dict[Subscriber, None] = {}
        self._pushing: asyncio.Task[None] | None = None

    @property
    def at_tail(self) -> int:
        """Members who are pushed to."""
        return len(self._at_tail)

    @property
    def hub(self) -> Any:
        return self._following.hub

    @property
    def stream(self) -> str:
        return self._following.stream

    def made_at_once(self, page: list[Logged]) -> list[bytes] | None:
        """The bytes of each of these events or NOT_FOR_THEM, if that takes neither the executor nor the store."""
        kinds = self._following.kinds
        if self._plain is None:
            return None
        shown = page if kinds is None else [logged for logged in page if logged.kind in kinds]
        try:
            made = self._plain(shown)
        except NotPlain:
            return None  # the executor says what is wrong with one of them
        self.executions += len(made)
        if len(made) == len(page):
            return made
        by_position = dict(zip((logged.position for logged in shown), made, strict=True))
        return [by_position.get(logged.position, NOT_FOR_THEM) for logged in page]

    async def made(self, logged: Logged) -> bytes:
        """The event's bytes, NOT_FOR_THEM or END; executed once, however many ask at once."""
        known = self._made.get(logged.position)
        if known is not None:
            return known
        at_once = self.made_at_once([logged])
        if at_once is not None:
            return at_once[0]
        async with self._making:
            known = self._made.get(logged.position)
            return known if known is not None else self._remember(logged.position, await self._make(logged))

    def enter(self, subscriber: "Subscriber") -> None:
        """Push to it from its position on, which is the tail's end."""
        self._at_tail[subscriber] = None
        if self._pushing is None or self._pushing.done():
            self._pushing = asyncio.create_task(self._push(subscriber.position), name=f"broadcast of {self.stream}")

    def leave(self, subscriber: "Subscriber") -> None:
        self._at_tail.pop(subscriber, None)
        if not self._at_tail and self._pushing is not None:
            self._pushing.cancel()
            self._pushing = None

    async def _push(self, position: int) -> None:
        """For ever: the next events, made once, to each who waits for them."""
        try:
            while True:
                for logged in await self.tail.after(position):
                    made = await self.made(logged)
                    await self._push_one(logged.position, made)
                    position = logged.position
        except Exception as fault:
            for subscriber in tuple(self._at_tail):
                subscriber.wake(fault)

    async def _push_one(self, position: int, made: bytes) -> None:
        now_us = self.hub.clock.now_us()
        for number, subscriber in enumerate(tuple(self._at_tail), start=1):
            if subscriber.position < position and subscriber in self._at_tail:
                subscriber.push(position, made, now_us)
            if number % LOOP_SLICE == 0:
                await asyncio.sleep(0)

    async def _make(self, logged: Logged) -> bytes:
        source = await self._following.shape(logged)
        if source is None:
            return END if self._following.is_over() else NOT_FOR_THEM
        self.executions += 1
        result: Any = self._executor.of_event(source).execute_operation(False)
        if self._executor.is_awaitable(result):
            result = await result
        return self._encode(result, self._executor.context_value.request_id)

    def forget(self) -> None:
        """Nobody comes late any more."""
        while self._made:
            self._forget_one()

    def _remember(self, position: int, made: bytes) -> bytes:
        self._made[position] = made
        self._grow(made, 1)
        while self._made and self._is_too_much():
            self._forget_one()
        return made

    def _is_too_much(self) -> bool:
        is_own = len(self._made) > MAX_MADE or self._made_bytes > MAX_MADE_BYTES
        return is_own or self._kept.size > MAX_ALL_MADE_BYTES

    def _forget_one(self) -> None:
        _, oldest = self._made.popitem(last=False)
        self._grow(oldest, -1)

    def _grow(self, made: bytes, sign: int) -> None:
        size = MADE_BYTES + len(made)
        self._made_bytes += sign * size
        self._kept.size += sign * size


class Subscriber:
    """One subscription of one connection: where it stands, and how its results are framed."""

    __slots__ = ("_after", "_before", "_viewer", "_wire", "_woken", "broadcast", "is_last", "position")

    def __init__(
        self, broadcast: Broadcast, position: int, viewer: Viewer, wire: Wire, *, before: bytes, after: bytes
    ) -> None:
        self.broadcast = broadcast
        self.position = position
        self.is_last = False  # nothing comes after this
        self._viewer = viewer
        self._wire = wire
        self._before = before
        self._after = after
        self._woken: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Send everything from the position on, for ever; returns if the stream ends of itself.

        Raises Gone, and GatekeepingError: SLOW_CONSUMER with the cursor to go on with, UNAUTHENTICATED when the token
        ends, UNAVAILABLE.
        """
        tail = self.broadcast.tail
        allowed = MAX_BEHIND
        batch = await tail.behind(self.position)
        allowed += max(0, tail.head - self.position)
        while True:
            if batch:
                await self._send(batch)
                await asyncio.sleep(0)  # others get a turn
            else:
                await self._be_pushed_to()
            if self.is_last:
                return
            batch = []  # whoever waits holds no events: they are read again
            if self._wire.unsent > MAX_UNSENT:
                await self._drained(allowed)
            batch = await tail.behind(self.position)

    def push(self, position: int, made: bytes, now_us: int) -> None:
        """An event at the tail. Whoever cannot take it is woken, and goes on by itself."""
        expires_at_us = self._viewer.expires_at_us
        if self._wire.unsent > MAX_UNSENT or (expires_at_us is not None and now_us >= expires_at_us):
            self.wake(None)
            return
        try:
            self._take(position, [made])
        except Gone as gone:
            self.wake(gone)

    def wake(self, fault: Exception | None) -> None:
        """Take it out of the loop; `fault` ends it."""
        self.broadcast.leave(self)
        if self._woken is not None and not self._woken.done():
            self._woken.set_exception(fault) if fault else self._woken.set_result(None)

    async def _be_pushed_to(self) -> None:
        self._woken = asyncio.get_running_loop().create_future()
        self.broadcast.enter(self)
        try:
            await self._woken
        finally:
            self._woken = None
            self.broadcast.leave(self)

    async def _send(self, batch: list[Logged]) -> None:
        """What lies behind, as much as the reader takes."""
        made = self.broadcast.made_at_once(batch)
        if made is None:
            await self._send_one_by_one(batch)
            return
        size, begun = 0, 0
        for end, one in enumerate(made, start=1):
            size += len(one)
            if size < PIECE and end < len(made):
                continue
            demand_token(self.broadcast.hub, self._viewer)
            self._take(batch[end - 1].position, made[begun:end])
            if self._wire.unsent > MAX_UNSENT:
                return
            size, begun = 0, end

    async def _send_one_by_one(self, batch: list[Logged]) -> None:
        for logged in batch:
            made = await self.broadcast.made(logged)
            demand_token(self.broadcast.hub, self._viewer)
            self._take(logged.position, [made])
            if self.is_last or self._wire.unsent > MAX_UNSENT:
                return
            await asyncio.sleep(0)  # others get a turn

    def _take(self, position: int, made: list[bytes]) -> None:
        """Events up to a position."""
        self._wire.write(*filter(None, made), before=self._before, after=self._after)
        self.position = position
        if made[-1] is END:
            self.is_last = True
            self.wake(None)

    async def _drained(self, allowed: int) -> None:
        """Wait for the reader, as long as it makes some progress and does not fall too far behind."""
        try:
            await drained(self._wire, lambda: self.broadcast.tail.head - self.position > allowed)
        except Stalled as stalled:
            cursor = self.broadcast.hub.cursors.seal(self.broadcast.stream, self.position)
            raise GatekeepingError(
                "SLOW_CONSUMER", f"{stalled}: go on from the cursor, and read faster", cursor=cursor
            ) from None


# ---- all broadcasts of a process ----------------------------------------------------------------------------------


class Fanout:
    """The Broadcasts of one process, each for as long as it has subscribers."""

    def __init__(self, tails: Tails) -> None:
        self.tails = tails
        self.kept = Kept()
        self._broadcasts: dict[Hashable, Broadcast] = {}

    def join(self, caught: Caught, query: str, variables: dict[str, Any] | None, encode: Encode) -> "Broadcast":
        """The Broadcast of a caught subscription; leave it once. `encode` gives the JSON of a result, masked."""
        executor, following = caught.executor, caught.following
        assert executor is not None
        assert following is not None
        alike = likeness(executor, query, variables, following)
        broadcast = self._broadcasts.get(alike)
        if broadcast is None:
            tail = self.tails.follow(following.stream)
            broadcast = self._broadcasts[alike] = Broadcast(alike, executor, following, tail, encode, self.kept)
        else:
            vars(executor).clear()  # it refers to itself: some 10 KB would wait for the collector
        broadcast.members += 1
        return broadcast

    def leave(self, broadcast: "Broadcast") -> None:
        """One member less; with the last it is gone, and so is the tail if nobody else follows the stream."""
        broadcast.members -= 1
        if not broadcast.members:
            del self._broadcasts[broadcast.alike]
            broadcast.forget()
            self.tails.leave(broadcast.tail)

    @property
    def waiting(self) -> int:
        """Subscribers at the tail of their stream."""
        return sum(broadcast.at_tail for broadcast in self._broadcasts.values())

    def __len__(self) -> int:
        return len(self._broadcasts)
