"""Whether the database takes writes: asked before requests are let in, by a write that leaves nothing behind."""

from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

KIND = "write_probe"  # of a task that nobody ever sees: it is gone before the commit
# More than a page of either engine, so that a file without room for a further page is found full.
FILLER = "." * 10_000


async def try_writing(hub: Hub) -> None:
    """Raises StoreFault, or what the database says, if a write does not reach the disk."""
    await hub.store.write(write_and_undo, hub.draw())


async def write_and_undo(tx: "Tx", draw: Draw) -> None:
    """Committed, not rolled back: a full or read-only disk speaks up at the commit alone."""
    tx.tasks.add(KIND, draw.owner, {"filler": FILLER}, draw.now_us)
    await tx.tasks.flush(tx)
    await tx.tasks.drop(KIND, draw.owner)
