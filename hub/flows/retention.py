"""The log does not grow for ever: what is older than its horizon and read by everybody moves to the archive.

Nobody's unread event is ever moved: whoever has a position in the log holds back what they have not read, and is named.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from hub.domain.events import HUB_STREAM
from hub.flows.access import CONSUMER
from hub.flows.anchors import BATCHER
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.archive import Reader
    from hub.store.transactions import Rx, Tx

DAY_US = 24 * 3600 * 1_000_000
BATCH = 500  # events of one unit: on SQLite it holds the only writer for some 10 ms
# The hub's own readers. One that has no row yet has read nothing: it must find the log as it is.
OWN_READERS = (BATCHER, CONSUMER)


@dataclass(frozen=True, slots=True)
class Late:
    """A reader that holds back events which are older than the log keeps."""

    name: str
    stream: str
    position: int  # the next that it has to read
    at_us: int  # when that happened


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning did: how many events it moved, where the log begins now, and who held back more."""

    moved: int
    oldest: int
    late: tuple[Late, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """The next events that may leave, from the log's first on: none if `last` lies before `first`."""

    first: int
    last: int
    late: tuple[Late, ...]


async def prune_log(hub: Hub, days: int) -> Pruned:
    """Move every event that is older than `days` days and that every reader has passed, a batch at a time.

    May run in several processes at once, and beside everything else. Events stay in order: a younger one keeps those
    behind it. Raises StoreFault.
    """
    before_us = hub.clock.now_us() - days * DAY_US
    moved = 0
    while True:
        async with hub.store.reading() as rx:
            look = await look_at(rx, before_us)
        if look.last < look.first:
            return Pruned(moved, look.first, look.late)
        moved += await hub.store.write(prune, before_us)


async def prune(tx: "Tx", before_us: int) -> int:
    """One batch, looked at again in the unit: a reader may have gone back. How many; 0 also if another was faster."""
    look = await look_at(tx, before_us)
    if look.last < look.first or not await tx.archive.take(look.first, look.last):
        return 0
    return look.last - look.first + 1


async def look_at(rx: "Rx", before_us: int) -> Look:
    """Up to where the log's oldest events may leave, at most a batch, and who is late."""
    head = await rx.events.head()
    readers = await rx.archive.readers()
    old = takewhile(lambda aged: aged.occurred_at_us < before_us, await rx.archive.oldest(head.oldest, BATCH))
    last_old = max((aged.position for aged in old), default=head.oldest - 1)
    missing = set(OWN_READERS) - {reader.name for reader in readers if reader.stream == HUB_STREAM}
    unread = head.oldest if missing else min(
        (reader.next_position for reader in readers if reader.next_position is not None), default=head.position + 1
    )  # fmt: skip
    return Look(head.oldest, min(last_old, unread - 1), late_of(readers, before_us))


def late_of(readers: "list[Reader]", before_us: int) -> tuple[Late, ...]:
    """Whoever has yet to read something that is older than that."""
    return tuple(
        Late(reader.name, reader.stream, reader.next_position, reader.next_at_us)
        for reader in readers
        if reader.next_position is not None and reader.next_at_us is not None and reader.next_at_us < before_us
    )
