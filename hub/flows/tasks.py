"""A worker's own units: claim what is due, and finish, put back, keep or bury what it holds. Each is fenced."""

from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.flows import audit
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

# Events that one of the hub's own consumers may leave unread behind it, before it moves on without any effect:
# otherwise it would read over the same ones at every look.
SKIP = 1_000


async def claim_due(hub: Hub, limit: int, *, is_pooled: bool = False) -> "list[LeasedTask]":
    """At most `limit` tasks, of pools or of none, leased to this process; an idle look writes nothing."""
    async with hub.store.reading() as rx:
        if not await rx.tasks.due(hub.clock.now_us(), is_pooled=is_pooled):
            return []
    return await hub.store.write(claim, hub.draw(), limit, is_pooled)


async def claim(tx: "Tx", draw: Draw, limit: int, is_pooled: bool) -> "list[LeasedTask]":
    return await tx.tasks.claim(draw, limit, is_pooled=is_pooled)


async def finish_task(hub: Hub, task: "LeasedTask") -> bool:
    """Done. False: the lease was lost meanwhile, and the task is another's."""
    return await hub.store.write(finish, task)


async def finish(tx: "Tx", task: "LeasedTask") -> bool:
    return await tx.tasks.finish(task)


async def retry_task(hub: Hub, task: "LeasedTask", run_at_us: int, error: str = "") -> bool:
    """Later; `error` is empty when the task itself asked to come back."""
    return await hub.store.write(retry, task, run_at_us, error)


async def retry(tx: "Tx", task: "LeasedTask", run_at_us: int, error: str) -> bool:
    return await tx.tasks.retry(task, run_at_us, error)


async def renew_task(hub: Hub, task: "LeasedTask") -> bool:
    return await hub.store.write(renew, task, hub.draw())


async def renew(tx: "Tx", task: "LeasedTask", draw: Draw) -> bool:
    return await tx.tasks.renew(task, draw)


async def holds(tx: "Tx", kind: str, key: str, task: "LeasedTask | None", draw: Draw) -> bool:
    """Whether the caller is who works on this: a worker by its fence, or the process that leased the task as it made it
    (`task` None). Its lease begins anew."""
    return await (tx.tasks.renew_inline(kind, key, draw) if task is None else tx.tasks.renew(task, draw))


async def take_over(tx: "Tx", kind: str, key: str, body: "dict[str, object]", draw: Draw) -> None:
    """Lease a task to this process, whoever has it: that one cannot end it any more."""
    await tx.tasks.drop(kind, key)
    tx.tasks.lease(kind, key, body, draw)


async def keeps_or_takes(
    tx: "Tx", kind: str, key: str, body: "dict[str, object]", task: "LeasedTask | None", draw: Draw
) -> bool:
    """Whether the caller may go on with this: a worker who still has the task, or anybody else (`task` None), who takes
    it over."""
    if task is not None:
        return await tx.tasks.renew(task, draw)
    await take_over(tx, kind, key, body, draw)
    return True


async def bury_task(hub: Hub, task: "LeasedTask", error: str) -> bool:
    """Out of tries: kept for a person."""
    return await hub.store.write(bury, task, error, hub.draw())


async def bury(tx: "Tx", task: "LeasedTask", error: str, draw: Draw) -> bool:
    return await tx.tasks.die(task, error, draw.now_us)


async def reclaim_leases(hub: Hub) -> int:
    """End every lease. Only who holds a SQLite data folder's lock may: nobody else can be working."""
    return await hub.store.write(reclaim)


async def reclaim(tx: "Tx") -> int:
    return await tx.tasks.reclaim_all()


async def revive_task(hub: Hub, dead_id: int) -> bool:
    """An operator's word: try a dead task again."""
    return await hub.store.write(revive, dead_id, hub.draw())


async def revive(tx: "Tx", dead_id: int, draw: Draw) -> bool:
    is_there = await tx.tasks.revive(dead_id, draw.now_us)
    if is_there:
        await audit.note(tx, audit.COMMAND, "tasksRetry", str(dead_id), draw)
    return is_there


async def drop_task(hub: Hub, dead_id: int) -> bool:
    """An operator's word: a dead task is not tried again."""
    return await hub.store.write(drop, dead_id, hub.draw())


async def drop(tx: "Tx", dead_id: int, draw: Draw) -> bool:
    is_there = await tx.tasks.drop_dead(dead_id)
    if is_there:
        await audit.note(tx, audit.COMMAND, "tasksDrop", str(dead_id), draw)
    return is_there


async def skip(hub: Hub, consumer: str, held: int, head: int) -> None:
    """Move a consumer over events that it had nothing to do for, once there are many of them."""
    if head - held >= SKIP:
        await hub.store.write(move_on, consumer, head)


async def move_on(tx: "Tx", consumer: str, head: int) -> None:
    await tx.events.advance(consumer, head)
