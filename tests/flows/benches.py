"""A Hub built by hand on a migrated store, with scripted neighbours, and the looks that the tests of flows share."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

from sqlalchemy import text

from hub.domain.catalogue import Listing
from hub.domain.entitlements import Grant
from hub.domain.ledger import Posting
from hub.domain.money import Money
from hub.domain.orders import Order
from hub.domain.payments import AttemptState, PaymentAttempt, PaymentRequest
from hub.domain.people import Viewer
from hub.domain.reconciliation import Break
from hub.domain.requests import Answer
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
    late,
    looks,
    notices,
    purchase,
    records,
    refund_facts,
    refund_sending,
    revocations,
    surplus,
    tasks,
)
from hub.flows.purchase import CheckoutRequest
from hub.ports import ChainUnavailable, Hub, Vault
from hub.security.exchange import PartnerKeys
from hub.security.keys import Key
from hub.security.signing import Cursors, SignedReceipts
from hub.security.tokens import UserTokens
from hub.security.vault import KeyVault
from hub.store.sqlite import SqliteStore
from hub.store.tasks import LeasedTask
from hub.store.transactions import Store
from hub.wakeups.memory import MemoryWakeups
from tests.flows.scripted import (
    UNKNOWN,
    ScriptedChain,
    ScriptedChannel,
    ScriptedDocuments,
    ScriptedPlatform,
    ScriptedSender,
)
from tests.partners import offline_partners
from tests.world import SetClock, World

KEY = Key(b"k" * 32, is_development=True)
Disturbance = Callable[[], Awaitable[object]]
HANDLERS = {
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


@dataclass
class Bench:
    """One hub with its neighbours."""

    store: Store
    world: World
    channel: ScriptedChannel = field(default_factory=ScriptedChannel)
    other: ScriptedChannel = field(default_factory=lambda: ScriptedChannel("other"))
    chain: ScriptedChain = field(default_factory=ScriptedChain)
    platforms: dict[str, ScriptedPlatform] = field(default_factory=dict)
    tokens: UserTokens = field(default_factory=lambda: UserTokens(KEY))
    vault: Vault = field(default_factory=lambda: KeyVault(KEY))
    partners: PartnerKeys = field(default_factory=offline_partners)
    event_documents: ScriptedDocuments = field(default_factory=ScriptedDocuments)
    sender: ScriptedSender = field(default_factory=ScriptedSender)
    owner: str = "worker-1"
    settles_at_once: bool = False
    _seeds: Any = field(default_factory=lambda: count(1))

    @property
    def clock(self) -> SetClock:
        return self.world.clock

    @property
    def is_embedded(self) -> bool:
        """Whether this is the embedded engine, on which a test can afford every case rather than some."""
        return isinstance(self.store, SqliteStore)

    @property
    def hub(self) -> Hub:
        return Hub(
            store=self.store,
            channels={self.channel.code: self.channel, self.other.code: self.other},
            platforms=self.platforms,
            chain=self.chain,
            chain_log=self.chain,
            wakeups=MemoryWakeups(),
            clock=self.clock,
            vault=self.vault,
            receipts=SignedReceipts(KEY),
            tokens=self.tokens,
            partners=self.partners,
            cursors=Cursors(KEY),
            event_documents=self.event_documents,
            sender=self.sender,
            draw_seed=self.seed,
            owner=self.owner,
            is_production=False,
            batch_after_ms=0,
            settles_at_once=self.settles_at_once,
        )

    def seed(self) -> bytes:
        return hashlib.sha256(f"{self.owner} {next(self._seeds)}".encode()).digest()

    def rival(self, owner: str = "worker-2") -> "Bench":
        """Another process on the same database and the same neighbours."""
        return replace(self, owner=owner, _seeds=count(1))

    # ---- buying --------------------------------------------------------------------------------------------------

    async def buy(
        self, viewer: Viewer, listing: Listing, key: str = "key-1", *, channel: str = "sandbox", **more: Any
    ) -> Answer[PaymentAttempt | Order]:
        """`checkout` at the listing's own price."""
        expected = more.pop("expected", listing.price)
        request = CheckoutRequest(listing.id, channel, expected, key, **more)
        return await purchase.checkout(self.hub, viewer, request)

    async def order(self, viewer: Viewer, listing: Listing, key: str = "order-1") -> Order:
        """`orderCreate`, admitted."""
        answer = await purchase.create_order(
            self.hub, viewer, listing_id=listing.id, expected=None, idempotency_key=key
        )
        assert answer.value is not None, answer.refusal
        return answer.value

    async def pay(
        self,
        viewer: Viewer,
        order: Order,
        key: str = "pay-1",
        *,
        channel: str = "sandbox",
        expected: Money | None = None,
    ) -> Answer[PaymentAttempt]:
        """`paymentCreate` for what the order costs."""
        request = PaymentRequest(order.id, channel, expected or order.total, key)
        return await purchase.request_payment(self.hub, viewer, request)

    async def waiting(
        self, viewer: Viewer | None = None, listing: Listing | None = None, told: Any = None
    ) -> tuple[Order, PaymentAttempt]:
        """An order of `viewer` with one attempt that came to `told` (UNKNOWN if not said)."""
        viewer = viewer or await self.world.learner()
        listing = listing or await self.world.listing()
        order = await self.order(viewer, listing, key=f"order of {viewer.user_id} {listing.id}")
        self.channel.then("create", told or UNKNOWN)
        answer = await self.pay(viewer, order, key=f"pay {order.id}")
        assert answer.value is not None, answer.refusal
        return await self.order_now(order.id), answer.value

    # ---- working -------------------------------------------------------------------------------------------------

    async def claimed(self) -> list[LeasedTask]:
        return await tasks.claim_due(self.hub, 100)

    async def run(self, task: LeasedTask) -> int | None:
        """One task as the worker runs it."""
        if task.kind == "anchor_batch":
            await anchors.keep_contract(self.hub, self.chain.known)
        try:
            again = await HANDLERS[task.kind](self.hub, task)
        except ChainUnavailable:
            again = self.clock.now_us() + 1_000_000
        if again is None:
            await tasks.finish_task(self.hub, task)
        else:
            await tasks.retry_task(self.hub, task, again)
        return again

    async def work(self, rounds: int = 20) -> int:
        """Every task that is due now, until none is. Returns how many were run."""
        done = 0
        for _ in range(rounds):
            claimed = await self.claimed()
            if not claimed:
                return done
            for task in claimed:
                await self.run(task)
                done += 1
        raise AssertionError("the tasks do not come to rest")

    async def die(self, times: int) -> None:
        """So many processes claim what is due, and die over it."""
        for _ in range(times):
            await self.claimed()
            await tasks.reclaim_leases(self.hub)

    async def record(self) -> None:
        """Close a batch if one is due, tell the platforms, and do all that follows."""
        await self.store.stamp()
        await purchase.record_on_chain(self.hub)
        await purchase.issue_right(self.hub)
        await self.work()

    # ---- looking -------------------------------------------------------------------------------------------------

    async def order_now(self, order_id: str) -> Order:
        """The order as it stands, from the buyer's or anybody's side: the row itself."""

        async def look(tx: Any) -> Order | None:
            found: Order | None = await tx.orders.lock(order_id)
            return found

        order = await self.store.write(look)
        assert order is not None
        return order

    async def attempts(self, order_id: str) -> list[PaymentAttempt]:
        async with self.store.reading() as rx:
            return await rx.payments.of_order(order_id)

    async def states(self, order_id: str) -> list[AttemptState]:
        return [attempt.state for attempt in await self.attempts(order_id)]

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a SELECT."""
        async with self.store.reading() as rx:
            return await rx.many(text(sql), lambda *columns: columns)

    async def one(self, sql: str) -> Any:
        [[value]] = await self.rows(sql)
        return value

    async def breaks(self) -> list[Break]:
        async with self.store.reading() as rx:
            return await rx.breaks.listed()

    async def break_kinds(self) -> list[str]:
        return sorted(found.kind for found in await self.breaks())

    async def grants(self, user_id: str, course_id: str) -> list[Grant]:
        async with self.store.reading() as rx:
            right = await rx.entitlements.of(user_id, course_id)
            return [] if right is None else await rx.entitlements.grants(right.id)

    async def balance(self, address: str, asset: str = "CNY") -> int:
        """Credits less debits."""
        async with self.store.reading() as rx:
            found = [balance for balance in await rx.ledger.balances() if balance.account_id == f"{address}/{asset}"]
        return sum(balance.credits - balance.debits for balance in found)

    async def postings(self) -> list[Posting]:
        rows = await self.rows("SELECT debit_account, credit_account, asset, amount_minor FROM posting")
        return [Posting(debit, credit, asset, amount) for debit, credit, asset, amount in rows]

    async def assert_books_fold(self) -> None:
        """I1, I2 and I4: sides are equal, and every balance is the fold of its postings."""
        async with self.store.reading() as rx:
            balances, folded = await rx.ledger.balances(), await rx.ledger.folded()
        assert balances == folded
        assert sum(balance.debits for balance in balances) == sum(balance.credits for balance in balances)

    async def events(self, stream: str = "hub") -> list[str]:
        await self.store.stamp()
        async with self.store.reading() as rx:
            return [event.kind for event in await rx.events.read(stream, 0, 10_000)]


class DisturbedStore:
    """A store around one of whose units something else happens, once."""

    def __init__(self, store: Store, unit: Any, before: Disturbance | None, after: Disturbance | None) -> None:
        self._store, self._unit, self._before, self._after = store, unit, before, after

    async def write(self, unit: Any, *args: Any) -> Any:
        is_it = unit is self._unit
        if is_it:
            self._unit = None
        if is_it and self._before:
            await self._before()
        value = await self._store.write(unit, *args)
        if is_it and self._after:
            await self._after()
        return value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def disturbed(
    bench: Bench, unit: Any, *, before: Disturbance | None = None, after: Disturbance | None = None
) -> Bench:
    """The same process, while something else happens before it begins this unit, or after its commit; once."""
    return replace(bench, store=cast(Store, DisturbedStore(bench.store, unit, before, after)))


def standing_still(bench: Bench, still_us: int) -> Disturbance:
    """It does nothing for so long, and nobody else does."""

    async def stands_still() -> None:
        bench.clock.pass_us(still_us)

    return stands_still


def taken_up(rival: Bench, still_us: int) -> Disturbance:
    """It does nothing for so long, and another process does what is due by then, once."""

    async def others_go_on() -> None:
        rival.clock.pass_us(still_us)
        for task in await rival.claimed():
            await rival.run(task)

    return others_go_on
