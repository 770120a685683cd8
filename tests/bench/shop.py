"""What the benchmarks sell: one course on two platforms, buyers as many as there are orders, and a hub made by hand.

The file is made once and copied for each round, so that both sides of a figure begin on the same rows.
"""

import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.domain.money import Money
from hub.domain.payments import Notice, Outcome, PaymentAttempt, Result, Stage
from hub.domain.people import LEARNER_SCOPES, Identity, User, UserState, Viewer, ViewerKind
from hub.entry.event_documents import PartnerDocuments
from hub.flows.purchase import CheckoutRequest, checkout
from hub.ports import Ack, AmountRange, Capabilities, Hub, NoticeRefused, RawNotice
from hub.security.keys import Key
from hub.security.outgoing import GuardedSender
from hub.security.signing import Cursors, SignedReceipts
from hub.security.tokens import UserTokens
from hub.security.vault import KeyVault
from hub.store.database import open_store
from hub.store.migrate import migrate
from hub.store.transactions import Store
from hub.wakeups.memory import MemoryWakeups
from tests.flows.scripted import ScriptedChain
from tests.partners import offline_partners
from tests.world import World

PRICE = Money(9900, "CNY")
CHANNEL = "sandbox"
KEY = Key(b"k" * 32, is_development=True)


@dataclass(frozen=True, slots=True)
class Shop:
    """A filled database: where it is, what it sells, and who may buy it once each."""

    url: str
    listing_id: str
    buyers: tuple[Viewer, ...]

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    def copied(self, name: str) -> "Shop":
        """The same shop in a fresh file beside it (SQLite)."""
        copy = self.path.with_name(name)
        for leftover in self.path.parent.glob(f"{name}*"):
            leftover.unlink()
        shutil.copyfile(self.path, copy)
        return Shop(f"sqlite:///{copy}", self.listing_id, self.buyers)


async def open_shop(url: str, buyers: int) -> Shop:
    """Migrate and fill the empty database at `url`."""
    await migrate(url)
    store = await open_store(url)
    try:
        world = World(store)
        course = await world.course()
        listing = await world.listing(course=course, price_minor=PRICE.amount_minor)
        await world.listing(course=course, platform=await world.platform("jia"))
        return Shop(url, listing.id, await _people(store, world, buyers))
    finally:
        await store.aclose()


async def _people(store: Store, world: World, count: int) -> tuple[Viewer, ...]:
    draws = [world.draw() for _ in range(count)]
    users = [User(draw.id("usr"), UserState.ACTIVE, draw.now_us) for draw in draws]

    async def put(tx: Any) -> None:
        for draw, user in zip(draws, users, strict=True):
            await tx.people.add_user(user)
            await tx.people.add_identity(Identity(draw.id("idn"), user.id, "https://id.example", user.id, draw.now_us))

    await store.write(put)
    return tuple(Viewer(ViewerKind.USER, user_id=user.id, scopes=LEARNER_SCOPES) for user in users)


@asynccontextmanager
async def open_hub(shop: Shop, **hooks: Any) -> AsyncIterator[Hub]:
    """A hub on the shop's database, with a channel in process that takes the money at once."""
    wakeups = MemoryWakeups()
    store = await open_store(shop.url, moved=lambda stream: wakeups.publish(stream, 0), **hooks)
    channel = AtOnce()
    try:
        yield Hub(
            store=store,
            channels={channel.code: channel},
            platforms={},
            chain=ScriptedChain(),
            chain_log=ScriptedChain(),
            wakeups=wakeups,
            clock=WallClock(),
            vault=KeyVault(KEY),
            receipts=SignedReceipts(KEY),
            tokens=UserTokens(KEY),
            partners=offline_partners(),
            cursors=Cursors(KEY),
            event_documents=PartnerDocuments(),
            sender=GuardedSender(),
            draw_seed=lambda: secrets.token_bytes(32),
            owner="bench",
            is_production=False,
            batch_after_ms=0,
        )
    finally:
        await store.aclose()


async def buy(hub: Hub, shop: Shop, buyer: Viewer) -> None:
    """One paid order; anything else ends the benchmark."""
    request = CheckoutRequest(shop.listing_id, CHANNEL, PRICE, f"bench of {buyer.user_id}")
    answer = await checkout(hub, buyer, request)
    assert isinstance(answer.value, PaymentAttempt), answer.refusal
    assert answer.value.state == "CHARGED", answer.value


class WallClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000


@dataclass(slots=True)
class AtOnce:
    """A payment channel without a wire: `create` takes the money before it returns."""

    code: str = CHANNEL
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities({"CNY": AmountRange(1, 10**12)}, not_found_after_ms=0, is_dated=True)
    )

    async def create(self, attempt: PaymentAttempt) -> Result:
        return Result(
            Outcome.DONE, Stage.CHARGED, bytes(32), attempt.sent_at_us, amount=attempt.amount,
            channel_ref=f"pi_{attempt.key}", provider_at_us=attempt.sent_at_us,
        )  # fmt: skip

    async def void(self, attempt: PaymentAttempt) -> Result:
        raise NotImplementedError

    async def query(self, attempt: PaymentAttempt) -> Result:
        raise NotImplementedError

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        raise NoticeRefused

    def ack(self, accepted: bool) -> Ack:
        return Ack(200)

    async def aclose(self) -> None: ...
