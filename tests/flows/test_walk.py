"""A seeded random walk: buyers, a provider that loses answers, notices in any order, crashes, a chain that goes away.

The walk looks at the books after every step, and at everything when it has come to rest.
"""

import os
import random
from typing import Any

from hub.domain.orders import Order, OrderStatus
from hub.domain.people import Viewer
from hub.domain.requests import InProgress
from hub.entry.verification import verified
from hub.flows import notices, orders, purchase
from hub.ports import ChainUnavailable
from tests.flows.benches import Bench
from tests.flows.provider import Died, Fuse, MortalStore, Provider, chosen
from tests.world import SECOND_US

STEPS = int(os.environ.get("HUB_TEST_WALK_STEPS", "250"))
SEED = int(os.environ.get("HUB_TEST_WALK_SEED", "2"))


class Walk:
    """One walk over one bench."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.chance = bench, random.Random(seed)
        self.providers = {code: self.provider(code) for code in ("sandbox", "other")}
        bench.channel, bench.other = self.providers["sandbox"], self.providers["other"]
        self.orders: list[tuple[Viewer, Order]] = []
        self.number = 0

    def provider(self, code: str) -> Provider:
        return Provider(
            code,
            decide=chosen(self.chance, TAKEN=5, OPEN=4, DECLINED=2, AUTHORIZED=1),
            fault=chosen(self.chance, none=7, lost_before=1, lost_after=1, refused=1),
            is_dated=code == "sandbox",
        )

    async def step(self) -> None:
        act = self.chance.choice([
            self.order, self.order, self.pay, self.pay, self.pay, self.checkout, self.buyer_acts, self.buyer_acts,
            self.deliver, self.deliver, self.deliver, self.cancel, self.time, self.work, self.work, self.record,
            self.chain,
        ])  # fmt: skip
        self.number += 1
        for provider in self.providers.values():
            provider.fuse = Fuse()
        try:
            await act(self.process())
        except (Died, InProgress, ChainUnavailable):
            pass

    def process(self) -> Bench:
        """A process that may die soon."""
        fuse = Fuse(self.chance.choice([0, 0, 0, self.chance.randint(1, 8)]))
        for provider in self.providers.values():
            provider.fuse = fuse
        process = self.bench.rival(f"process-{self.number}")
        process.store = MortalStore(self.bench.store, fuse)
        return process

    # ---- what may happen -------------------------------------------------------------------------------------------

    async def order(self, process: Bench) -> None:
        viewer = await self.bench.world.learner()
        listing = self.chance.choice(self.listings)
        answer = await purchase.create_order(
            process.hub, viewer, listing_id=listing.id, expected=None, idempotency_key=f"o-{self.number}"
        )
        assert answer.value is not None
        self.orders.append((viewer, answer.value))

    async def checkout(self, process: Bench) -> None:
        channel = self.chance.choice(["sandbox", "other"])
        viewer = await self.bench.world.learner()
        listing = self.chance.choice(self.listings)
        await process.buy(viewer, listing, f"c-{self.number}", channel=channel)

    async def pay(self, process: Bench) -> None:
        if not self.orders:
            return
        viewer, order = self.chance.choice(self.orders)
        channel = self.chance.choice(["sandbox", "other"])
        await process.pay(viewer, order, f"p-{self.number}", channel=channel)

    async def buyer_acts(self, process: Bench) -> None:
        """On an open page, and now and then on one that was declined or closed: the late money of real channels."""
        provider = self.chance.choice(list(self.providers.values()))
        payments = [p for p in provider.payments.values() if p.state != "TAKEN"]
        if not payments:
            return
        payment = self.chance.choice(payments)
        if payment.state == "AUTHORIZED":
            provider.move(payment.key, "TAKEN")
        elif payment.state == "OPEN":
            provider.move(payment.key, self.chance.choice(["TAKEN", "TAKEN", "DECLINED", "AUTHORIZED"]))
        elif self.chance.random() < 0.2:
            provider.move(payment.key, self.chance.choice(["TAKEN", "AUTHORIZED"]))

    async def deliver(self, process: Bench) -> None:
        """One notice out of order; it may come again."""
        code, provider = self.chance.choice(list(self.providers.items()))
        if not provider.notices:
            return
        raw = self.chance.choice(provider.notices)
        await notices.receive(process.hub, code, raw)
        if self.chance.random() < 0.7:
            provider.notices.remove(raw)

    async def cancel(self, process: Bench) -> None:
        if not self.orders:
            return
        viewer, order = self.chance.choice(self.orders)
        await orders.cancel_order(process.hub, viewer, order_id=order.id, idempotency_key=f"x-{self.number}")

    async def time(self, process: Bench) -> None:
        seconds = self.chance.choice([1, 5, 30, 60, 600, 3600, 6 * 3600, -30])
        self.bench.clock.pass_us(seconds * SECOND_US)
        await orders.expire_orders(process.hub)

    async def work(self, process: Bench) -> None:
        for task in await process.claimed():
            await process.run(task)

    async def record(self, process: Bench) -> None:
        await process.store.stamp()
        await purchase.record_on_chain(process.hub)
        await purchase.issue_right(process.hub)

    async def chain(self, process: Bench) -> None:
        self.bench.chain.is_away = not self.bench.chain.is_away

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def rest(self) -> None:
        """Nothing fails any more, every notice arrives, and time passes until nothing is left to do."""
        self.bench.chain.is_away = False
        for provider in self.providers.values():
            provider.fuse, provider.fault, provider.decide = Fuse(), lambda: "", lambda: "TAKEN"
            self.chance.shuffle(provider.notices)
            while provider.notices:
                await notices.receive(self.bench.hub, provider.code, provider.notices.pop())
        for _ in range(60):
            self.bench.clock.pass_us(3600 * SECOND_US)
            for task in await self.bench.claimed():
                await self.bench.run(task)
            await self.record(self.bench)
            await orders.expire_orders(self.bench.hub)
            for provider in self.providers.values():
                while provider.notices:
                    await notices.receive(self.bench.hub, provider.code, provider.notices.pop())

    async def assert_true(self) -> None:
        """The hub's books against the provider's, and the hub's against themselves."""
        bench = self.bench
        await bench.assert_books_fold()
        bought = await bench.rows("SELECT id, number, status, total_minor, received_minor FROM order_")
        for id_, number, status, total_minor, received_minor in bought:
            taken = sum(provider.taken_minor(number) for provider in self.providers.values())
            assert (await bench.balance(f"order:{id_}:escrow"), received_minor) == (taken, taken), number
            rights = await bench.one(f"SELECT count(*) FROM grant_ WHERE source_ref = '{id_}'")
            assert rights == (status == OrderStatus.PAID), number
            assert status != OrderStatus.PAID or taken >= total_minor, number
            if taken and status != OrderStatus.PAID:
                assert status in (OrderStatus.CANCELED, OrderStatus.EXPIRED), number
                assert ("LATE_PAYMENT",) in await bench.rows(f"SELECT kind FROM break_ WHERE order_id = '{id_}'"), (
                    number
                )
            if taken > total_minor and status == OrderStatus.PAID:
                assert ("DUPLICATE",) in await bench.rows(f"SELECT kind FROM break_ WHERE order_id = '{id_}'"), number
        for check in await verified(bench.hub, with_chain=False):
            assert check.is_fine, (check.name, check.wrong)
        live = "'SUBMITTED', 'ACTION', 'PENDING', 'AUTHORIZED', 'UNKNOWN'"
        assert await bench.rows(f"SELECT key, state FROM payment_attempt WHERE state IN ({live})") == []
        assert await bench.rows("SELECT kind, key FROM task") == []
        assert await bench.rows("SELECT id FROM leaf WHERE batch_id IS NULL") == []
        assert await bench.rows("SELECT id FROM anchor_batch WHERE state <> 'CONFIRMED'") == []

    listings: list[Any]


async def test_random_walk_with_faults_and_crashes_keeps_every_invariant(bench: Bench) -> None:
    walk = Walk(bench, SEED)
    walk.listings = [await bench.world.listing(price_minor=price) for price in (1, 9900, 0)]
    try:
        for _ in range(STEPS):
            await walk.step()
            await bench.assert_books_fold()
        await walk.rest()
        await walk.assert_true()
    except BaseException as fault:
        fault.add_note(f"HUB_TEST_WALK_SEED={SEED} HUB_TEST_WALK_STEPS={STEPS}, at step {walk.number}")
        raise
    reached = {status for [status] in await bench.rows("SELECT DISTINCT status FROM order_")}
    assert reached >= {"PAID", "EXPIRED"}, "the walk goes somewhere"
