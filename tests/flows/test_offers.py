"""Offers on chain follow the catalogue: what is sold is put on sale, what nothing sells and no order waits for is taken
off, each once a generation, whoever carries it out and whatever dies over it."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import httpx
import pytest
from eth_utils.crypto import keccak
from sqlalchemy import text

from contracts import abi
from hub.channels.connecting import OnChain
from hub.channels.stablecoin import StablecoinChannel
from hub.domain.catalogue import Listing, ListingDraft
from hub.domain.checkout import Terms, offer_id, parts_of, split_id
from hub.domain.money import Money
from hub.domain.orders import ATTEMPT_WITHIN_US, PAY_WITHIN_US, Order
from hub.domain.payments import PaymentAttempt, PaymentRequest
from hub.domain.people import Viewer
from hub.domain.records import KeyRole
from hub.flows import anchors, catalogue, indexing, offers, orders, purchase, records
from hub.flows.offers import AT_ONCE, REFUSED_FOR_US
from hub.flows.sending import finished
from hub.ports import (
    ChainReceipt,
    ChainRefused,
    CheckoutPlace,
    Obstacle,
    PurchaseStanding,
    SignedTransaction,
    SplitterCall,
)
from tests.flows.benches import Bench
from tests.flows.scripted import ScriptedChain, Told
from tests.world import partner

NEXT = "0x" + "5b" * 20  # the splitter of an upgrade
TOKEN, TREASURY = bytes([2]) * 20, bytes([7]) * 20
WALLET = "permit:0x" + "ab" * 20
CALLS = {
    abi.call("checkout_splitter", "setSplit", bytes(32), [])[:4]: "SplitSet",
    abi.call("checkout_splitter", "setOffer", bytes(32), ("0x" + "00" * 20, 0, 0, 0, bytes(32)))[:4]: "OfferSet",
    abi.call("checkout_splitter", "closeOffer", bytes(32))[:4]: "OfferClosed",
}


class Killed(BaseException):
    pass


@dataclass
class Splitter(ScriptedChain):
    """Does what its blocks hold; dies, or is refused, where a test says."""

    dies_at: str = ""
    refused: set[bytes] = field(default_factory=set)
    signings: int = 0
    tried: int = 0

    async def sign_call(self, to: str, data: bytes, nonce: int, by: KeyRole = KeyRole.GATEWAY) -> SignedTransaction:
        self.die("sign")
        self.tried += 1
        name, subject = CALLS[data[:4]], data[4:36]
        has_split = name != "OfferSet" or data[164:196] in self.holding("SplitSet", at=to)
        if subject in self.refused or not has_split:
            raise ChainRefused("no")
        self.signings += 1
        return self._sign(
            f"call {data.hex()}", nonce, lambda: None, Told(name, f"0x{subject.hex()}", {}, to), self.accounts[by]
        )

    async def send(self, transaction: SignedTransaction) -> None:
        self.die("send")
        await super().send(transaction)
        self.die("sent")

    def die(self, at: str) -> None:
        if self.dies_at == at:
            self.dies_at = ""
            raise Killed

    def holding(self, set_by: str, ended_by: str = "", at: str = "") -> set[bytes]:
        """What the events of the blocks leave standing at a splitter, the first one unless it is said."""
        held: set[bytes] = set()
        telling = (self.telling[hash_] for hash_ in self.mined if hash_ in self.telling)
        for told in (one for one in telling if (one.contract or self.contract) == (at or self.contract)):
            subject = bytes.fromhex(told.subject[2:])
            if told.name == set_by:
                held.add(subject)
            elif told.name == ended_by:
                held.discard(subject)
        return held

    @property
    def open(self) -> set[bytes]:
        return self.open_at(self.contract)

    def open_at(self, splitter: str) -> set[bytes]:
        return self.holding("OfferSet", "OfferClosed", splitter)


@dataclass
class Counter:
    """The port `Checkout` over that chain; nothing is ever bought."""

    bench: Bench
    chain: Splitter
    splitter: str
    former: "tuple[Counter, ...]" = ()

    async def place(self) -> CheckoutPlace:
        address = bytes.fromhex(self.splitter[2:])
        return CheckoutPlace(self.chain.chain_id, address, TOKEN, "Test USD", "1", 6, has_signatures=True)

    async def open_among(self, offer_ids: Collection[bytes]) -> set[bytes]:
        return self.chain.open_at(self.splitter) & set(offer_ids)

    async def set_among(self, split_ids: Collection[bytes]) -> set[bytes]:
        return self.chain.holding("SplitSet", at=self.splitter) & set(split_ids)

    async def obstacle(self, offer_id: bytes, order_key: bytes) -> Obstacle | None:
        return None if offer_id in self.chain.open_at(self.splitter) else Obstacle.OFFER

    async def permit_nonce(self, payer: bytes) -> int:
        return 0

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        return PurchaseStanding(None, False, False, False, self.bench.clock.now_us() // 10**6)

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        return await finished(self.bench.hub, call.purpose, self.splitter, call.data, by=call.by)


@dataclass
class Stall:
    """A hub that sells one course on chain."""

    bench: Bench
    chain: Splitter
    counter: Counter
    listing: Listing
    refusals: offers.Refusals = field(default_factory=offers.Refusals)

    async def priced(self, minor: int) -> None:
        """What the platform asks from now on, and the offers in line with it."""
        await put(self.bench, minor)
        await self.kept_up()

    async def kept_up(self, bench: Bench | None = None, *, is_due: bool = True) -> None:
        """The chain is read, and looked at until nothing is left to do."""
        bench = bench or self.bench
        await bench.store.stamp()
        for _ in range(20):
            while await indexing.look(bench.hub):
                pass
            if await offers.keep_up(bench.hub, self.refusals, is_due=is_due):
                return
        raise AssertionError("it does not come to rest")

    def offer(self, minor: int, listing: Listing | None = None) -> bytes:
        """The name of the course's offer at a price."""
        split = split_id(parts_of([("anybody", 10_000)], lambda _: TREASURY), keccak)
        token = records.token_id((listing or self.listing).course_id, self.bench.vault)
        return offer_id(Terms(TOKEN, minor * 10**4, token, 0, split), keccak)

    @property
    def on_sale(self) -> list[int]:
        """The prices at which the contract sells the course."""
        named = {self.offer(minor): minor for minor in range(100, 1_000, 100)}
        return sorted(named[one] for one in self.chain.open)

    async def done(self) -> list[str]:
        """What was carried out for the course, in its order: verb, price and generation."""
        named = {self.offer(minor).hex(): minor for minor in range(100, 1_000, 100)}
        rows = await self.bench.rows("SELECT purpose, state FROM chain_transaction ORDER BY nonce")
        assert {state for _, state in rows} <= {"CONFIRMED"}, rows
        told = [purpose.split(":") for purpose, _ in rows]
        return [f"{verb} {named[one]} {number}" for verb, one, _, number in told if verb != "split"]

    async def ordered(self, viewer: Viewer, key: str) -> Order:
        listing = await put(self.bench, 100)
        answer = await purchase.create_order(
            self.bench.hub, viewer, listing_id=listing.id, expected=None, idempotency_key=key
        )
        assert answer.value is not None, answer.refusal
        return answer.value

    async def asked(self, viewer: Viewer, order: Order) -> PaymentAttempt:
        request = PaymentRequest(order.id, "stablecoin", order.total, f"pay {order.id}", method=WALLET)
        answer = await purchase.request_payment(self.bench.hub, viewer, request)
        assert answer.value is not None, answer.refusal
        return answer.value

    async def later(self, us: int) -> None:
        self.bench.clock.pass_us(us)
        await self.bench.work()
        await orders.expire_orders(self.bench.hub)
        await self.kept_up()


async def put(bench: Bench, minor: int, course: str = "c-1") -> Listing:
    platform = await catalogue.connect_platform(bench.hub, slug="xue", name="Xue", currency="USD")
    draft = ListingDraft(course, "Knots", price=Money(minor, "USD"))
    answer = await catalogue.upsert_listing(bench.hub, partner(platform), draft)
    assert answer.value is not None, answer.refusal
    return answer.value


@pytest.fixture
async def stall(bench: Bench) -> Stall:
    return await opened(bench)


@pytest.fixture
async def embedded_stall(embedded: Bench) -> Stall:
    """For what is the same on both engines."""
    return await opened(embedded)


async def opened(bench: Bench) -> Stall:
    """Its course costs 1.00 USD, and is on sale on chain at that price."""
    bench.chain = chain = Splitter()
    counter = Counter(bench, chain, chain.contract)
    await anchors.keep_contract(bench.hub, chain.known)

    async def sale_of(order_id: str) -> object:
        return await offers.sale_of(bench.hub, order_id)

    async def named(order_key: str) -> tuple[str | None, str | None]:
        return await offers.names_of(bench.hub, "stablecoin", order_key)

    bench.other = StablecoinChannel(  # type: ignore[assignment]  # in the place of the second scripted channel
        currency="USD", is_test_only=True, treasury=TREASURY, payees={}, clock=bench.clock,
        client=httpx.AsyncClient(verify=False),
        on_chain=OnChain(counter, sale_of, lambda key: keccak(text=key), named, is_embedded=False),  # type: ignore[arg-type]  # what offers ask of it
    )  # fmt: skip
    stall = Stall(bench, chain, counter, await put(bench, 100))
    await stall.kept_up()
    assert stall.on_sale == [100]
    return stall


async def test_an_old_price_is_taken_off_sale_once_no_order_can_be_paid_at_it(stall: Stall) -> None:
    bench = stall.bench
    first, second = await bench.world.learner(), await bench.world.learner()
    shown = await stall.asked(first, await stall.ordered(first, "one"))
    untried = await stall.ordered(second, "two")
    assert shown.state == "ACTION"

    await stall.priced(200)
    assert stall.on_sale == [100, 200], "both can still be paid as they were ordered"
    await stall.later(ATTEMPT_WITHIN_US - 1)
    assert (await stall.asked(second, untried)).state == "ACTION", "an order that froze the old price still pays"
    assert stall.on_sale == [100, 200]

    await stall.later(max(ATTEMPT_WITHIN_US, PAY_WITHIN_US) + 2_000_000)
    assert await bench.rows("SELECT DISTINCT state FROM payment_attempt") == [("VOIDED",)]
    assert stall.on_sale == [200]
    assert await stall.done() == ["offer 100 0", "offer 200 0", "close 100 0"]


async def test_a_former_splitter_sells_what_was_shown_there_until_it_is_over_and_nothing_else(stall: Stall) -> None:
    bench, chain, counter = stall.bench, stall.chain, stall.counter
    learner = await bench.world.learner()
    assert (await stall.asked(learner, await stall.ordered(learner, "before the upgrade"))).state == "ACTION"
    await stall.priced(200)
    untried = stall.offer(200)
    counter.former, counter.splitter = (Counter(bench, chain, counter.splitter),), NEXT
    await anchors.keep_contract(bench.hub, replace(chain.known, address=NEXT, name="checkout_splitter"))

    await stall.kept_up()
    assert chain.open_at(NEXT) == {stall.offer(100), untried}, "the order is payable here too, by another attempt"
    assert chain.open == {stall.offer(100)}
    await stall.later(max(ATTEMPT_WITHIN_US, PAY_WITHIN_US) + 2_000_000)
    assert (chain.open_at(NEXT), chain.open) == ({untried}, set())


async def test_a_price_that_comes_back_is_opened_closed_and_opened_again_each_once(stall: Stall) -> None:
    for price in (200, 100, 200):
        await stall.priced(price)
        await stall.kept_up()
        assert stall.on_sale == [price]
    assert await stall.done() == [
        "offer 100 0", "close 100 0", "offer 200 0", "close 200 0", "offer 100 1", "close 100 1", "offer 200 1",
    ]  # fmt: skip
    assert await stall.bench.rows("SELECT count(*) FROM chain_transaction WHERE purpose LIKE 'split:%'") == [(1,)]


async def test_a_changed_listing_is_looked_at_at_once_and_one_that_did_not_change_not_before_it_is_due(
    embedded_stall: Stall,
) -> None:
    await put(embedded_stall.bench, 300)
    await embedded_stall.kept_up(is_due=False)
    assert embedded_stall.on_sale == [300]
    signed = embedded_stall.chain.signings
    embedded_stall.chain.told_by_others("OfferClosed", f"0x{embedded_stall.offer(300).hex()}", {})
    await embedded_stall.kept_up(is_due=False)
    assert (embedded_stall.on_sale, embedded_stall.chain.signings) == ([], signed)


async def test_a_course_that_is_withdrawn_or_whose_merchant_may_not_sell_is_taken_off_sale(
    embedded_stall: Stall,
) -> None:
    bench = embedded_stall.bench
    platform = embedded_stall.listing.platform_id
    await catalogue.import_listings(bench.hub, platform, [], withdraw_all_but=frozenset())
    await embedded_stall.kept_up()
    assert embedded_stall.on_sale == []
    await embedded_stall.priced(100)
    assert embedded_stall.on_sale == [100]

    async def suspend(tx: object) -> None:
        await tx.run(text("UPDATE merchant SET state = 'SUSPENDED'"))  # type: ignore[attr-defined]  # a unit's Tx

    await bench.store.write(suspend)
    await embedded_stall.kept_up()
    assert embedded_stall.on_sale == []


@pytest.mark.parametrize("at", ["sign", "send", "sent"])
async def test_what_a_dying_process_left_undone_is_done_once_by_the_next(stall: Stall, at: str) -> None:
    await put(stall.bench, 200)
    deaths = 0
    for _ in range(2):  # over closing the old offer, then over the new one
        stall.chain.dies_at = at
        try:
            await stall.kept_up(stall.bench.rival(f"worker-{deaths + 5}"))
        except Killed:
            deaths += 1
    await stall.kept_up(stall.bench.rival("worker-9"))
    assert (deaths, stall.on_sale) == (2, [200])
    assert len(stall.chain.mined) == 4, "a split, two offers and one that was closed"


async def test_two_processes_that_look_at_once_carry_each_out_once(stall: Stall) -> None:
    await put(stall.bench, 200)
    await asyncio.gather(stall.kept_up(), stall.kept_up(stall.bench.rival()))
    await stall.kept_up()
    assert stall.on_sale == [200]
    assert await stall.done() == ["offer 100 0", "close 100 0", "offer 200 0"]


async def test_what_a_fork_takes_back_is_done_again(embedded_stall: Stall) -> None:
    await embedded_stall.priced(200)
    assert embedded_stall.on_sale == [200]
    embedded_stall.chain.mined.popitem()  # the new price
    embedded_stall.chain.branch += 1
    embedded_stall.chain.mined["0xnothing"] = embedded_stall.chain._mined("0xnothing")
    assert embedded_stall.on_sale == []
    await embedded_stall.kept_up()
    assert embedded_stall.on_sale == [200]


async def test_what_somebody_else_opened_or_closed_is_put_right(embedded_stall: Stall) -> None:
    embedded_stall.chain.told_by_others("OfferClosed", f"0x{embedded_stall.offer(100).hex()}", {})
    embedded_stall.chain.told_by_others("OfferSet", f"0x{embedded_stall.offer(700).hex()}", {})
    assert embedded_stall.on_sale == [700]
    await embedded_stall.kept_up()
    assert embedded_stall.on_sale == [100]
    assert await embedded_stall.done() == ["offer 100 0", "close 700 0", "offer 100 1"]


async def test_what_the_contract_refuses_holds_up_nothing_else_and_is_tried_again(embedded_stall: Stall) -> None:
    bench, chain = embedded_stall.bench, embedded_stall.chain
    courses = [await put(bench, 200, f"c-{number}") for number in range(2, AT_ONCE + 3)]
    named = sorted(embedded_stall.offer(200, listing) for listing in courses)
    chain.refused = set(named[:-1])
    await put(bench, 300)

    await embedded_stall.kept_up()
    assert chain.open == {named[-1], embedded_stall.offer(300)}, "behind more refusals than one look tries"
    tried = chain.tried
    await embedded_stall.kept_up()
    assert chain.tried == tried, "left alone for a while"

    bench.clock.pass_us(REFUSED_FOR_US)
    chain.refused.clear()
    await embedded_stall.kept_up()
    assert chain.open == {*named, embedded_stall.offer(300)}


async def test_a_lagging_log_makes_nothing_happen_twice(embedded_stall: Stall) -> None:
    embedded_stall.chain.behind = 9
    await embedded_stall.priced(200)
    signed = embedded_stall.chain.signings
    await embedded_stall.kept_up()
    assert embedded_stall.chain.signings == signed
    embedded_stall.chain.behind = 0
    await embedded_stall.kept_up()
    assert await embedded_stall.done() == ["offer 100 0", "offer 200 0", "close 100 0"]
