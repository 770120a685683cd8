"""Where the simulation happens: one store, several workers of one hub on it, and a clock that jumps to what is next.

A step is all that is due at one moment, done at once: lives go on, notices arrive, workers run tasks. Then the orders
that it has moved are looked at.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

from sqlalchemy import text

from hub.domain.catalogue import Listing
from hub.domain.people import Identity, User, UserState, Viewer
from hub.domain.refunds import LateMoney
from hub.domain.requests import InProgress
from hub.entry.worker import HANDLERS
from hub.flows import orders, purchase, tasks
from hub.flows.anchors import keep_contract
from hub.ports import Channel, Hub
from hub.security.keys import Key
from hub.security.signing import Cursors, SignedReceipts
from hub.security.tokens import UserTokens
from hub.security.vault import KeyVault
from hub.store.tasks import LeasedTask
from hub.store.transactions import Store, Unavailable
from hub.wakeups.memory import MemoryWakeups
from tests.flows.scripted import ScriptedChain, ScriptedDocuments, ScriptedSender
from tests.partners import offline_partners
from tests.simulation.deaths import LEASE_S, TROUBLED_OF_1000, Died, MortalStore
from tests.simulation.invariants import Books, Broken
from tests.world import SECOND_US, World, learner

KEY = Key(b"k" * 32, is_development=True)
WORKERS = 4  # processes on one database, each with its own name in the leases
CLAIMED_AT_ONCE = 64
PRICES = (1, 100, 4_900, 9_900, 19_999)
SWEEP_EVERY_S = 600
PATIENCE = 3  # how often somebody asks again whose process has died
STEP_S, LATER_STEP_S = 1, 30  # moments nearer than this are one: the second once nobody comes any more


class Town:
    """One simulated world; after each step the books look at what it has moved."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.seed = store, seed
        self.world = World(store, name=f"town {seed}")
        self.clock = self.world.clock
        self.began_at_us = self.clock.now_us()
        self.books = Books(store)
        self.hubs: list[Hub] = []
        self.listings: list[Listing] = []
        self.buyers: list[Viewer] = []
        self.steps, self.busy = 0, 0  # `busy`: how often the database asked to try again
        self.chain = ScriptedChain()
        self.is_open = True  # more buyers will come
        self.is_safe = False  # at the end: no process dies any more
        self.met: Counter[str] = Counter()  # what became of processes
        self._agenda: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count(1)
        self._busy, self._rest = 0, asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._swept_at_us = 0

    async def build(self, channels: Mapping[str, Channel], buyers: int) -> None:
        """Shops, courses, and people who may buy."""
        self.hubs = [self._hub(f"worker-{number}", channels) for number in range(WORKERS)]
        await keep_contract(self.hubs[0], self.chain.known)
        for slug in ("xue", "lumen"):
            platform = await self.world.platform(slug)
            for price in (*PRICES, *PRICES, 0):
                self.listings.append(await self.world.listing(price_minor=price, platform=platform))
        late_again = self.listings[-1].merchant_id  # one of the two shops takes late money, the other returns it
        await self.store.write(_take_late_money, late_again, self.clock.now_us())
        users = [User(self.world.draw().id("usr"), UserState.ACTIVE, self.clock.now_us()) for _ in range(buyers)]
        await self.store.write(_add_users, users, self.world)
        self.buyers = [learner(user) for user in users]

    def _hub(self, owner: str, channels: Mapping[str, Channel]) -> Hub:
        drawn = count(1)
        return Hub(
            store=self.store, channels=channels, platforms={}, chain=self.chain,  # type: ignore[arg-type]  # as much as flows of money ask of one
            chain_log=self.chain,
            wakeups=MemoryWakeups(), clock=self.clock, vault=KeyVault(KEY), receipts=SignedReceipts(KEY),
            tokens=UserTokens(KEY), partners=offline_partners(), cursors=Cursors(KEY),
            event_documents=ScriptedDocuments(), sender=ScriptedSender(),
            draw_seed=lambda: hashlib.sha256(f"{self.seed} {owner} {next(drawn)}".encode()).digest(), owner=owner,
            is_production=False, batch_after_ms=0,
        )  # fmt: skip

    def chance(self, *about: object) -> random.Random:
        """What chance says about this, whatever else happens in town."""
        return random.Random(f"{self.seed} {about}")

    def mortal(self, hub: Hub, chance: random.Random) -> Hub:
        """The same process for one piece of work, over which it may die or stand still."""
        if self.is_safe or chance.randrange(1000) >= TROUBLED_OF_1000:
            return hub
        return replace(hub, store=MortalStore(self, self.store, chance))  # type: ignore[arg-type]  # as much of a store as flows call

    async def asked(self, chance: random.Random, call: Callable[[Hub], Coroutine[Any, Any, Any]]) -> Any:
        """What one of the processes answers; asked again, with the same key, where it dies over it. None where the
        same request is under way in another, or the database is too busy."""
        for _ in range(PATIENCE):
            try:
                return await call(self.mortal(chance.choice(self.hubs), chance))
            except Died:
                await self.sleep(chance.uniform(1, 3 * LEASE_S))
            except (InProgress, Unavailable):
                return None
        return None

    # ---- what is going on ------------------------------------------------------------------------------------------

    def spawn(self, life: Coroutine[Any, Any, None]) -> None:
        """Begin something that the step in progress waits for, until it sleeps or ends."""
        self._busy += 1
        running = asyncio.ensure_future(self._living(life))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _living(self, life: Coroutine[Any, Any, None]) -> None:
        try:
            await life
        except BaseException as fault:
            self._fault = self._fault or fault
        finally:
            self._pause()

    def _pause(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._rest.set()

    async def sleep(self, seconds: float) -> None:
        """Go on when so much simulated time has passed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at_us = self.clock.now_us() + int(seconds * SECOND_US)
        heappush(self._agenda, (at_us, next(self._numbers), future))
        self._pause()
        try:
            await future
        except asyncio.CancelledError:  # a call that was given up in the middle: it goes on without being woken
            self._busy += 1
            raise

    async def together(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        """All at once, each of which may sleep: the step waits for those that do not."""
        left = len(calls)

        async def one(call: Coroutine[Any, Any, Any]) -> Any:
            nonlocal left
            try:
                return await call
            finally:
                left -= 1
                if left:
                    self._pause()

        if not calls:
            return []
        self._busy += left - 1  # who waits for them lends the first its own place, and gets back the last one's
        answers = await asyncio.gather(*map(one, calls), return_exceptions=True)
        for fault in answers:
            if isinstance(fault, BaseException):
                raise fault
        return answers

    @property
    def passed_s(self) -> float:
        """Simulated seconds since the beginning."""
        return (self.clock.now_us() - self.began_at_us) / SECOND_US

    def expect(self, holds: bool, what: str, detail: str) -> None:
        """For who is called by the hub, which would take what is raised for a fault of theirs."""
        if not holds:
            self._fault = self._fault or Broken(f"{what}: {detail}")

    # ---- steps -----------------------------------------------------------------------------------------------------

    async def step(self) -> bool:
        """All that is due now, then the clock jumps. False: nothing is left to do. Raises what was broken."""
        self.steps += 1
        now_us = self.clock.now_us()
        while self._agenda and self._agenda[0][0] <= now_us:
            future = heappop(self._agenda)[2]
            if not future.done():
                self._busy += 1
                future.set_result(None)
        for hub in self.hubs:
            self.spawn(self._work(hub))
        if now_us - self._swept_at_us >= SWEEP_EVERY_S * SECOND_US:
            self._swept_at_us = now_us
            self.spawn(self._sweep())
        while self._busy:
            self._rest.clear()
            await self._rest.wait()
        if self._fault is not None:
            raise self._fault
        await self.books.look(await self.books.moved())
        return await self._jump(now_us)

    async def _jump(self, now_us: int) -> bool:
        async with self.store.reading() as rx:
            [due_us] = await rx.many(_NEXT_TASK, lambda at_us: at_us)
        moments = [due_us] if due_us is not None else []
        moments += [self._agenda[0][0]] if self._agenda else []
        if not moments:
            return False
        step_s = STEP_S if self.is_open else LATER_STEP_S
        self.clock.at_us = max(min(moments), now_us + step_s * SECOND_US)
        return True

    async def _work(self, hub: Hub) -> None:
        try:
            claimed = await tasks.claim_due(hub, CLAIMED_AT_ONCE)
        except Unavailable:
            self.busy += 1
            return
        for task in claimed:
            self.spawn(self._run(hub, task))

    async def _run(self, hub: Hub, task: LeasedTask) -> None:
        """One task, as a worker runs it; but what it raises is broken, unless the database was busy."""
        try:
            hub = self.mortal(hub, self.chance("work", task.kind, task.key, task.attempts))
            again_at_us = await HANDLERS[task.kind](hub, task)
            if again_at_us is None:
                await tasks.finish_task(hub, task)
            else:
                await tasks.retry_task(hub, task, again_at_us)
        except Unavailable:  # its lease ends, and then it is claimed again
            self.busy += 1
        except Died:  # likewise
            self.met[f"died over {task.kind}"] += 1

    async def unfinished(self) -> list[tuple[str, str, int]]:
        """What stays to be done: kinds, keys and tries of the first tasks."""
        async with self.store.reading() as rx:
            return await rx.many(_TASKS, lambda *columns: columns)

    async def _sweep(self) -> None:
        """Close what is past its deadline, and record on chain what has ended."""
        hub = self.mortal(self.hubs[0], self.chance("sweep", self._swept_at_us))
        try:
            while await orders.expire_orders(hub) == orders.SWEEP:
                pass
            await self.store.stamp()
            await purchase.record_on_chain(hub)
        except (Unavailable, Died):  # at the next sweep, then
            self.busy += 1

    async def expired(self) -> None:
        """Everything that has a deadline is past it."""
        self.clock.pass_us(48 * 3600 * SECOND_US)
        await self._sweep()


async def _take_late_money(tx: Any, merchant_id: str, now_us: int) -> None:
    await tx.refunds.set_late_money(merchant_id, LateMoney.REOPEN, now_us)


async def _add_users(tx: Any, users: list[User], world: World) -> None:
    for user in users:
        await tx.people.add_user(user)
        identity = Identity(world.draw().id("idn"), user.id, "https://id.example", user.id, user.created_at_us)
        assert await tx.people.add_identity(identity)


_TASKS = text("SELECT kind, key, attempts FROM task ORDER BY run_at_us LIMIT 5")
_NEXT_TASK = text("SELECT min(coalesce(lease_until_us, run_at_us)) FROM task")
