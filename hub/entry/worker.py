"""The hands of the hub: claims tasks and calls flows, closes batches, expires orders, polls for lost wake-ups."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from hub.flows import (
    access,
    anchors,
    attempt_facts,
    attempts,
    claims,
    deliveries,
    dispute_answers,
    disputes,
    final_looks,
    indexing,
    late,
    looks,
    notices,
    offers,
    orders,
    purchase,
    purses,
    records,
    refund_facts,
    refund_sending,
    retention,
    revocations,
    root_audit,
    sending,
    surplus,
    tasks,
)
from hub.ports import ChainRefused, ChainUnavailable, Hub
from hub.store.tasks import LEASE_US, MAX_TRIES, LeasedTask

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger(__name__)

Handler = Callable[[Hub, LeasedTask], Awaitable[int | None]]

HANDLERS: dict[str, Handler] = {
    attempt_facts.RESOLVE: attempts.resolve,
    attempt_facts.VOID: attempts.void,
    notices.APPLY: notices.apply_waiting,
    "anchor_batch": anchors.anchor,
    revocations.KIND: revocations.revoke_leaf,
    claims.FOLLOW: claims.follow,
    records.PLACE: records.place,
    access.KIND: access.open_or_close,
    disputes.DUE: disputes.warn,
    dispute_answers.SEND: dispute_answers.send_again,
    refund_facts.RESOLVE: refund_sending.resolve,
    late.RETURN: surplus.return_money,
    deliveries.DELIVER: deliveries.deliver,
    looks.LOOK: final_looks.look,
}
# Money and the chain are asked about for ever, deliveries count their own attempts; anything else waits for a person
# after MAX_TRIES.
TIRELESS = frozenset({
    attempt_facts.RESOLVE, attempt_facts.VOID, notices.APPLY, "anchor_batch", revocations.KIND, deliveries.DELIVER,
    dispute_answers.SEND, claims.FOLLOW, records.PLACE,
    refund_facts.RESOLVE, late.RETURN, looks.LOOK,
})  # fmt: skip

# Tasks worked on at once: each holds at most one remote call. Those of pools, whose ends partners choose, have hands of
# their own: money never waits for them.
HANDS = 16
POOLED_HANDS = 16
POLL_S = 1.0
SWEEP_S = 15.0
COMPARE_OFFERS_EVERY_S = 15.0
PRUNE_EVERY_S = 24 * 3600.0
PRUNE_FIRST_S = 60.0  # after the start, which has enough to do
FORGET_EVERY_S = 600.0  # between looks at deliveries that are over for a month
AUDIT_EVERY_S = 24 * 3600.0  # between the end of a round through all batches and the next
PURSES_EVERY_S = 60.0  # a batch is closed no more often by default, and money goes by batches
BACKOFF_FIRST_S, BACKOFF_MOST_S = 1.0, 3600.0
CHAIN_BACKOFF_MOST_S = 15.0  # a node that comes back is found soon


class Worker:
    """Runs until it is stopped; what it holds then is finished or left to its lease."""

    def __init__(self, hub: Hub, *, sweep_s: float = SWEEP_S, keep_days: int | None = None) -> None:
        """`keep_days`: events that are older leave the log, once a day; None: all stay."""
        self._hub = hub
        self._keep_days = keep_days
        self._is_first_prune = True
        self._sweep_s = sweep_s
        self._stop = asyncio.Event()
        self._busy: set[asyncio.Task[None]] = set()
        self._seen: int | None = None  # the log's head at the last poll
        self._is_chain_away = True  # nobody is told that it takes a while to start
        self._offers_due_at_s = 0.0  # of the loop's own clock
        self._offers_refused = offers.Refusals()
        self._audited = ""  # the last batch of this round
        self._busy_with_pools: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """All loops, until `stop`. A loop that fails is logged and goes on: the database may be away for a while."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever("tasks", self._claim))
            group.create_task(self._forever("pools", self._claim_pooled))
            group.create_task(self._forever("batches", self._gather))
            group.create_task(self._forever("chain", self._follow_chain))
            group.create_task(self._forever("keys", self._look_after_keys))
            group.create_task(self._forever("offers", self._offer))
            group.create_task(self._forever("access", self._tell_platforms))
            group.create_task(self._forever("webhooks", self._fan_out))
            group.create_task(self._forever("deliveries", self._forget))
            group.create_task(self._forever("orders", self._expire))
            group.create_task(self._forever("poll", self._poll))
            group.create_task(self._forever("log", self._prune))
            group.create_task(self._forever("roots", self._audit))
        if busy := self._busy | self._busy_with_pools:
            await asyncio.wait(busy)

    def stop(self) -> None:
        """Claim nothing more, and let `run` return."""
        self._stop.set()

    async def _forever(self, name: str, once: Callable[[], Awaitable[float]]) -> None:
        """`once` says how long to wait before the next time; a wake-up ends the wait early."""
        streams = {"tasks": "tasks", "pools": "tasks", "batches": "hub", "access": "hub", "webhooks": "hub"}
        while not self._stop.is_set():
            mark = self._hub.wakeups.mark(streams.get(name, ""))
            try:
                pause_s = await once()
            except Exception:
                log.exception("the worker's loop %r failed and goes on", name)
                pause_s = POLL_S
            if pause_s > 0:
                await self._pause(pause_s, streams.get(name), mark)

    async def _pause(self, pause_s: float, stream: str | None, mark: int) -> None:
        waits: list[Coroutine[object, object, object]] = [self._stop.wait()]
        if stream is not None:
            waits.append(self._hub.wakeups.wait(stream, mark))
        pending = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(pending, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in pending:
                future.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    # ---- tasks -------------------------------------------------------------------------------------------------------

    async def _claim(self) -> float:
        return await self._claim_into(self._busy, HANDS, is_pooled=False)

    async def _claim_pooled(self) -> float:
        return await self._claim_into(self._busy_with_pools, POOLED_HANDS, is_pooled=True)

    async def _claim_into(self, busy: "set[asyncio.Task[None]]", hands: int, *, is_pooled: bool) -> float:
        free = hands - len(busy)
        if free <= 0:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
            return 0
        claimed = await tasks.claim_due(self._hub, free, is_pooled=is_pooled)
        for task in claimed:
            running = asyncio.create_task(self._work(task), name=f"{task.kind} {task.key}")
            busy.add(running)
            running.add_done_callback(busy.discard)
        return 0 if claimed else POLL_S

    async def _work(self, task: LeasedTask) -> None:
        """One task: its handler says when to come back, or that it is done; what it raises is retried."""
        renewing = asyncio.create_task(self._renew(task))
        try:
            again_at_us = await HANDLERS[task.kind](self._hub, task)
        except ChainUnavailable as error:
            await self._later(task, f"the chain is away: {error}", CHAIN_BACKOFF_MOST_S)
        except Exception as error:
            log.exception("task %s %s failed", task.kind, task.key)
            await self._later(task, f"{type(error).__name__}: {error}", BACKOFF_MOST_S)
        else:
            if again_at_us is None:
                await tasks.finish_task(self._hub, task)
            else:
                await tasks.retry_task(self._hub, task, again_at_us)
        finally:
            renewing.cancel()

    async def _later(self, task: LeasedTask, error: str, most_s: float) -> None:
        if task.attempts >= MAX_TRIES and task.kind not in TIRELESS:
            await tasks.bury_task(self._hub, task, error)
            return
        most = min(BACKOFF_FIRST_S * 2 ** min(task.attempts, 20), most_s)
        pause_us = int(random.uniform(most / 2, most) * 1_000_000)
        again_at_us = self._hub.clock.now_us() + pause_us
        await tasks.retry_task(self._hub, task, again_at_us, error)

    async def _renew(self, task: LeasedTask) -> None:
        """Keep the lease while the handler runs; one that was lost is not taken back."""
        while True:
            await asyncio.sleep(LEASE_US / 3 / 1_000_000)
            if not await tasks.renew_task(self._hub, task):
                return

    # ---- the rest ----------------------------------------------------------------------------------------------------

    async def _gather(self) -> float:
        """Look at once when the log moves, but at most once a second at leaves that wait for their batch to close."""
        await self._hub.store.stamp()
        again_at_us = await purchase.record_on_chain(self._hub)
        if again_at_us is None:
            return POLL_S
        wait_s = min((again_at_us - self._hub.clock.now_us()) / 1_000_000, POLL_S)
        if wait_s > 0:
            await self._pause(wait_s, None, 0)
        return 0

    async def _follow_chain(self) -> float:
        """Once a second and process; whoever is first reads on. A node that is away is told of once."""
        try:
            is_more = await indexing.look(self._hub)
        except ChainUnavailable as error:
            if not self._is_chain_away:
                log.warning("the chain is not read: %s", error)
            self._is_chain_away = True
            return POLL_S
        self._is_chain_away = False
        return 0 if is_more else POLL_S

    async def _look_after_keys(self) -> float:
        """What they hold, once a minute and process, so that each shows what it saw, and what they have sent, though
        they may send nothing more. The chain's being away is told of elsewhere."""
        try:
            await purses.look(self._hub)
            for sender in self._hub.chain.senders:
                await sending.settle_mined(self._hub, sender)
        except (ChainUnavailable, ChainRefused):
            return POLL_S
        return PURSES_EVERY_S

    async def _offer(self) -> float:
        """What is on sale on chain: at the start, when the catalogue has changed, and every few seconds, as orders end
        that held an offer open. The chain's being away is told of elsewhere."""
        await self._hub.store.stamp()
        try:
            is_due = asyncio.get_running_loop().time() >= self._offers_due_at_s
            if await offers.keep_up(self._hub, self._offers_refused, is_due=is_due) and is_due:
                self._offers_due_at_s = asyncio.get_running_loop().time() + COMPARE_OFFERS_EVERY_S
        except ChainUnavailable:
            pass
        return POLL_S

    async def _tell_platforms(self) -> float:
        await self._hub.store.stamp()
        return 0 if await purchase.issue_right(self._hub) else POLL_S

    async def _fan_out(self) -> float:
        return 0 if await deliveries.gather(self._hub) else POLL_S

    async def _forget(self) -> float:
        await notices.take_up(self._hub)
        return 0 if await deliveries.prune(self._hub) else FORGET_EVERY_S

    async def _expire(self) -> float:
        expired = await orders.expire_orders(self._hub)
        return 0 if expired == orders.SWEEP else self._sweep_s

    async def _poll(self) -> float:
        """Once a second and process: find what wake-ups have lost, and wake whoever follows it here."""
        await self._hub.store.stamp()
        seen = self._seen
        async with self._hub.store.reading() as rx:
            head = await rx.events.head()
            moved = await rx.events.streams_since(seen) if seen is not None and head.position > seen else []
        self._seen = head.position
        if seen is None:
            self._hub.wakeups.wake_all()
        for stream in moved:
            self._hub.wakeups.wake(stream)
        return POLL_S

    async def _audit(self) -> float:
        """Through all batches once a day and process, some each second, so that sales do not notice it."""
        self._audited = await root_audit.look(self._hub, self._audited)
        return POLL_S if self._audited else AUDIT_EVERY_S

    async def _prune(self) -> float:
        """Once a day and process; several that meet share the work. Whoever holds old events back is named."""
        if self._keep_days is None or self._is_first_prune:
            self._is_first_prune = False
            return PRUNE_FIRST_S
        pruned = await retention.prune_log(self._hub, self._keep_days)
        if pruned.moved:
            log.info("%d events have left the log, which begins at %d now", pruned.moved, pruned.oldest)
        for behind in pruned.late:
            log.warning("%s has not read event %d of %s, which is due to leave the log", behind.name, behind.position,
                        behind.stream)  # fmt: skip
        return PRUNE_EVERY_S
