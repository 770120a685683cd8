"""A small world for tests: platforms, courses, listings, people and orders, put into a store by its repositories.

Nothing is drawn by chance: the clock stands until it is told to pass, and each draw has the next seed.

    world = World(store)
    listing = await world.listing(price_minor=9900)          # with its platform, merchant and course
    learner = await world.learner()                          # an ACTIVE user who may buy
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hub.domain.catalogue import Course, CourseKind, Listing, ListingState, Platform
from hub.domain.disputes import Dispute, DisputeState, Warned
from hub.domain.entitlements import Entitlement, EntitlementState, Grant, GrantSource, GrantState
from hub.domain.ids import Draw
from hub.domain.ledger import JournalEntry, Posting, charge
from hub.domain.merchants import Merchant, MerchantState
from hub.domain.money import Money
from hub.domain.orders import PAY_WITHIN_US, ChainStatus, ChargeStatus, FulfilmentStatus, Order, OrderStatus
from hub.domain.payments import AttemptState, IntentStatus, PaymentAttempt
from hub.domain.people import (
    LEARNER_SCOPES,
    OPERATOR_SCOPES,
    PARTNER_SCOPES,
    Identity,
    Member,
    User,
    UserState,
    Viewer,
    ViewerKind,
    member_issuer,
    pairwise_id,
)
from hub.domain.refunds import Refund, RefundState
from hub.domain.shares import Share, ShareAgreement
from hub.store.transactions import Store

START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND_US = 1_000_000
DAY_US = 24 * 3600 * SECOND_US
HUB_BPS = 1_000  # what the hub keeps of every sale of this world


@dataclass(slots=True)
class SetClock:
    """A `Clock` that stands still until it is moved, to either side."""

    at_us: int = START_US

    def now_us(self) -> int:
        return self.at_us

    def pass_us(self, microseconds: int) -> None:
        self.at_us += microseconds


@dataclass(slots=True)
class World:
    """Builders, each of which commits what it returns. `name` keeps the draws of two worlds on one store apart."""

    store: Store
    name: str = "world"
    clock: SetClock = field(default_factory=SetClock)
    _numbers: Any = field(default_factory=lambda: count(1))

    # ---- time and chance -----------------------------------------------------------------------------------------

    def draw(self, owner: str = "worker-1") -> Draw:
        """The clock's moment with the next seed; `owner` is the process that leases."""
        return Draw(self.clock.now_us(), self.seed(), owner)

    def seed(self) -> bytes:
        return f"{self.name} {next(self._numbers)}".encode().ljust(32, b".")

    # ---- what is sold --------------------------------------------------------------------------------------------

    async def platform(
        self, slug: str = "xue", *, currency: str = "CNY", merchant_state: MerchantState = MerchantState.ACTIVE
    ) -> Platform:
        """The platform of that slug, made with its merchant if it is not there."""
        async with self.store.reading() as rx:
            if known := await rx.catalogue.platform(slug):
                return known
        draw = self.draw()
        new = Platform(draw.id("plt"), slug, slug.title(), currency, draw.now_us)
        agreement = ShareAgreement(
            draw.id("sha"), draw.id("mer"), 1, (Share(draw.id("mer"), 10_000 - HUB_BPS), Share(None, HUB_BPS))
        )
        merchant = Merchant(agreement.merchant_id, new.id, f"{slug} press", merchant_state, agreement.id, draw.now_us)

        async def put(tx: Any) -> None:
            assert await tx.catalogue.add_platform(new)
            await tx.catalogue.add_merchant(merchant, agreement)

        await self.store.write(put)
        return new

    async def course(self, title: str = "Knots", *, kind: CourseKind = CourseKind.COURSE) -> Course:
        draw = self.draw()
        new = Course(draw.id("crs"), kind, title, "How to tie them.", "Open Rope", "Crafts", "Beginner", "en", 1,
                     draw.now_us)  # fmt: skip

        async def put(tx: Any) -> None:
            await tx.catalogue.add_course(new)

        await self.store.write(put)
        return new

    async def listing(
        self,
        *,
        price_minor: int | None = 9900,
        currency: str = "CNY",
        platform: Platform | None = None,
        course: Course | None = None,
        is_honoured: bool = True,
        state: ListingState = ListingState.ACTIVE,
        external_id: str | None = None,
    ) -> Listing:
        """A course as one platform sells it; `price_minor` None is an unknown price, 0 a free one."""
        platform = platform or await self.platform()
        course = course or await self.course()
        draw = self.draw()
        id_ = draw.id("lst")
        external_id = external_id or f"{platform.slug}-{id_[-6:]}"
        price = None if price_minor is None else Money(price_minor, currency)

        async def put(tx: Any) -> Listing:
            merchant = await tx.catalogue.merchant_of(platform.id)
            new = Listing(
                id_, platform.id, course.id, merchant.id, external_id, course.title,
                f"https://{platform.slug}.example/{external_id}", price, "", is_honoured, state, 1, draw.now_us,
            )  # fmt: skip
            assert await tx.catalogue.add_listing(new, digest=f"digest of {external_id}")
            return new

        return await self.store.write(put)

    # ---- who there is --------------------------------------------------------------------------------------------

    async def user(self, *, state: UserState = UserState.ACTIVE, platforms: Iterable[Platform] = ()) -> User:
        """A person with one identity at `https://id.example`, known by a name of their own to each of `platforms`."""
        draw = self.draw()
        new = User(draw.id("usr"), state, draw.now_us)
        identity = Identity(draw.id("idn"), new.id, "https://id.example", new.id, draw.now_us)
        names = [(new.id, platform.id, self.pairwise(platform, new.id)) for platform in platforms]

        async def put(tx: Any) -> None:
            await tx.people.add_user(new)
            assert await tx.people.add_identity(identity)
            await tx.people.name_pairwise(names)

        await self.store.write(put)
        return new

    async def member(self, platform: Platform, user: User, external_id: str = "m-1") -> Member:
        """The platform's own record of the user."""
        draw = self.draw()
        new = Member(draw.id("mem"), platform.id, external_id, user.id, self.pairwise(platform, user.id), draw.now_us)
        identity = Identity(draw.id("idn"), user.id, member_issuer(platform.id), external_id, draw.now_us)

        async def put(tx: Any) -> None:
            assert await tx.people.add_member(new)
            assert await tx.people.add_identity(identity)
            await tx.people.name_pairwise([(user.id, platform.id, new.pairwise_id)])

        await self.store.write(put)
        return new

    async def learner(self, *, state: UserState = UserState.ACTIVE) -> Viewer:
        """A new user, asking for themselves."""
        return learner(await self.user(state=state))

    def pairwise(self, platform: Platform, user_id: str) -> str:
        return pairwise_id(f"key of {platform.id}".encode(), user_id)

    # ---- what was bought, below the flows --------------------------------------------------------------------------

    async def order(self, listing: Listing | None = None, user: User | None = None) -> Order:
        """An order that waits for its money, without events; the selling platform has its name for the buyer."""
        listing = listing or await self.listing()
        user = user or await self.user()
        assert listing.price is not None
        price, draw = listing.price, self.draw()

        async def put(tx: Any) -> Order:
            merchant = await tx.catalogue.merchant_of(listing.platform_id)
            new = Order(
                id=draw.id("ord"), number=draw.order_number(), user_id=user.id, platform_id=listing.platform_id,
                merchant_id=listing.merchant_id, agreement_id=merchant.agreement_id, listing_id=listing.id,
                course_id=listing.course_id, total=price, status=OrderStatus.AWAITING_PAYMENT,
                charge_status=ChargeStatus.NONE, fulfilment_status=FulfilmentStatus.NONE,
                chain_status=ChainStatus.NOT_RECORDED, intent_id=draw.id("pin"),
                intent_status=IntentStatus.REQUIRES_PAYMENT_METHOD, attempts=0, received_minor=0, partial_minor=0,
                has_exact=False, has_conflict=False, deadline_us=draw.now_us + PAY_WITHIN_US, paid_at_us=None,
                closed_at_us=None, version=1, created_at_us=draw.now_us,
            )  # fmt: skip
            platform = await tx.catalogue.platform(listing.platform_id)
            await tx.people.name_pairwise([(user.id, platform.id, self.pairwise(platform, user.id))])
            await tx.orders.insert(new)
            return new

        return await self.store.write(put)

    def attempt(self, order: Order, number: int = 1, state: AttemptState = AttemptState.SUBMITTED) -> PaymentAttempt:
        """An attempt that is not stored yet: `tx.payments.insert` does that."""
        draw = self.draw()
        return PaymentAttempt(
            id=draw.id("pat"), order_id=order.id, number=number, channel="sandbox", key=f"{order.number}-{number}",
            amount=order.total, state=state, method=None, return_url=None, request_key=None, calls=1,
            sent_at_us=draw.now_us, expires_at_us=draw.now_us + 1800 * SECOND_US, heard_rank=0, heard_at_us=None,
            heard_key="", channel_ref=None, code=None, decline=None, next_action=None, unknown_since_us=None,
            version=1, created_at_us=draw.now_us,
        )  # fmt: skip

    def refund(self, attempt: PaymentAttempt, amount_minor: int, number: int = 1) -> Refund:
        """A refund that is not stored yet: `tx.refunds.insert` does that."""
        draw = self.draw()
        return Refund(
            id=draw.id("rfn"), order_id=attempt.order_id, attempt_id=attempt.id, number=number,
            key=f"{attempt.key}-R{number}", amount=Money(amount_minor, attempt.amount.currency),
            state=RefundState.REQUESTED, reason=None, requested_by="hub", request_key=None, calls=0, sent_at_us=None,
            heard_rank=0, heard_at_us=None, heard_key="", channel_ref=None, code=None, unknown_since_us=None,
            version=1, created_at_us=draw.now_us, is_surplus=True,
        )  # fmt: skip

    def dispute(self, attempt: PaymentAttempt, channel_ref: str = "dp_1") -> Dispute:
        """A warning about a charge that is not stored yet: `tx.disputes.insert` does that."""
        draw = self.draw()
        return Dispute(
            id=draw.id("dsp"), order_id=attempt.order_id, attempt_id=attempt.id, channel=attempt.channel,
            channel_ref=channel_ref, state=DisputeState.EARLY_WARNING, amount=attempt.amount, reason="fraudulent",
            evidence_due_at_us=None, fee=None, held_minor=0, deducted_minor=0, excess_minor=0, reservation=None,
            warned=Warned.NO, answer=None, answers=0, version=1, created_at_us=draw.now_us,
        )  # fmt: skip

    def entry(
        self, order: Order, reference: str = "charge:1", postings: tuple[Posting, ...] | None = None
    ) -> JournalEntry:
        """A journal entry that is not posted yet: the order's charge, or what is given."""
        draw = self.draw()
        postings = charge(order.id, "sandbox", order.total, order.total.currency) if postings is None else postings
        return JournalEntry(draw.id("jen"), reference, "charge", order.id, postings, draw.now_us, draw.now_us)

    def right(self, user_id: str, course_id: str) -> Entitlement:
        draw = self.draw()
        return Entitlement(draw.id("ent"), user_id, course_id, EntitlementState.ACTIVE, 1, draw.now_us)

    def grant(self, entitlement: Entitlement, source_ref: str) -> Grant:
        """A live purchase grant that is not stored yet."""
        draw = self.draw()
        return Grant(draw.id("grt"), entitlement.id, GrantSource.PURCHASE, source_ref, GrantState.ACTIVE, draw.now_us,
                     None, 1, draw.now_us)  # fmt: skip


def learner(user: User) -> Viewer:
    return Viewer(ViewerKind.USER, user_id=user.id, scopes=LEARNER_SCOPES)


def partner(platform: Platform) -> Viewer:
    return Viewer(ViewerKind.PLATFORM, platform_id=platform.id, scopes=PARTNER_SCOPES)


def operator() -> Viewer:
    return Viewer(ViewerKind.OPERATOR, scopes=OPERATOR_SCOPES)
