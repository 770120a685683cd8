"""Refunds by the stablecoin channel through the flow and the real sender: asked for until they end, and paid once."""

from dataclasses import dataclass, field, replace

import httpx
import pytest

from hub.channels.connecting import OnChain
from hub.channels.stablecoin import StablecoinChannel
from hub.domain.checkout import Part, Sale, Terms
from hub.domain.orders import Order
from hub.domain.payments import PaymentAttempt, Result
from hub.domain.people import Viewer
from hub.domain.records import KeyRole
from hub.domain.refunds import Refund
from hub.flows import offers
from hub.flows.sending import FILL_AFTER_US, finished
from hub.ports import (
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    Paid,
    PurchaseStanding,
    SignedTransaction,
    SplitterCall,
)
from tests.flows.benches import Bench
from tests.flows.refunding import given, now, sold
from tests.flows.scripted import ScriptedChain
from tests.flows.test_sending import looked
from tests.world import DAY_US

KEY = "0x" + "11" * 32
SPLITTER = "0x" + "5a" * 20
DEPTH = 3


@dataclass
class Pool(ScriptedChain):
    """Puts what it takes into blocks, with its refunds failing or not; all blocks are `depth` deep."""

    refunds: set[str] = field(default_factory=set)
    refund_fails: bool = False
    refuses: bool = False
    depth: int = DEPTH

    async def sign_call(
        self, to: str, data: bytes, nonce: int, by: KeyRole = KeyRole.GATEWAY
    ) -> SignedTransaction:
        signed = await super().sign_call(to, data, nonce, by)
        if to == SPLITTER:
            self.refunds.add(signed.hash)
        return signed

    async def send(self, transaction: SignedTransaction) -> None:
        if self.refuses:
            raise ChainRefused("the fee exceeds the configured cap")
        await super().send(transaction)

    def _mined(self, hash_: str) -> ChainReceipt:
        return replace(super()._mined(hash_), is_ok=hash_ not in self.refunds or not self.refund_fails)

    async def receipt(self, hash_: str) -> ChainReceipt | None:
        receipt = await super().receipt(hash_)
        return None if receipt is None else replace(receipt, confirmations=self.depth)

    @property
    def paid_back(self) -> int:
        return sum(receipt.is_ok for hash_, receipt in self.mined.items() if hash_ in self.refunds)


@dataclass
class Splitter:
    """One purchase, given back once a refund is in a block and did not fail."""

    bench: Bench
    chain: Pool
    is_away: bool = False
    former: "tuple[Splitter, ...]" = ()

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        is_back = self.chain.paid_back > 0
        return PurchaseStanding(1, True, is_back, is_back, confirmed_at=2)

    async def paid(self, order_key: bytes) -> Paid | None:
        return Paid(bytes(32), bytes(20), bytes(20), 10_000_000)

    async def terms(self, offer_id: bytes) -> tuple[Terms, tuple[Part, ...]] | None:
        return Terms(bytes(20), 10_000_000, 1, 0, bytes(32)), (Part(bytes(20), 10_000),)

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        if self.is_away:
            raise ChainUnavailable("away")
        return await finished(self.bench.hub, call.purpose, SPLITTER, call.data, by=call.by, depth=DEPTH)


@pytest.fixture
def splitter(bench: Bench) -> Splitter:
    bench.chain = Pool()
    return Splitter(bench, bench.chain)


async def bought(splitter: Splitter) -> tuple[Viewer, Order]:
    """A paid order whose channel gives its money back by the splitter."""
    bench = splitter.bench
    order, seller = await sold(bench)
    await bench.record()

    async def sale_of(order_id: str) -> Sale | None:
        return None

    async def names_of(order_key: str) -> tuple[str | None, str | None]:
        return None, None

    channel = StablecoinChannel(
        currency="CNY", is_test_only=True, treasury=None, payees={}, clock=bench.clock,
        client=httpx.AsyncClient(verify=False),
        on_chain=OnChain(splitter, sale_of, lambda key: bytes(32), names_of, is_embedded=False),  # type: ignore[arg-type]  # what refunds ask of it
    )  # fmt: skip

    async def refund(attempt: PaymentAttempt, refund: Refund) -> Result:
        return await channel.refund(replace(attempt, channel_ref=KEY), refund)

    async def query_refund(attempt: PaymentAttempt, refund: Refund) -> Result:
        return await channel.query_refund(replace(attempt, channel_ref=KEY), refund)

    bench.channel.capabilities = replace(bench.channel.capabilities, not_found_after_ms=None, can_refund=True)
    bench.channel.refund = refund  # type: ignore[method-assign]  # the money came by the sandbox
    bench.channel.query_refund = query_refund  # type: ignore[method-assign]  # as for the refund itself
    return seller, order


async def later(bench: Bench, us: int = DAY_US) -> None:
    bench.clock.pass_us(us)
    await bench.work()


async def test_a_refund_that_a_node_away_never_took_is_asked_for_again(splitter: Splitter) -> None:
    bench, (seller, order) = splitter.bench, await bought(splitter)
    splitter.is_away = True
    refund = await given(bench, seller, order)
    assert refund.state == "UNKNOWN"
    await later(bench)
    assert (await now(bench, refund)).state == "UNKNOWN"
    splitter.is_away = False
    await later(bench)
    assert (await now(bench, refund)).state == "SUCCEEDED"
    assert splitter.chain.paid_back == 1


async def test_a_refund_whose_process_died_before_it_was_signed_is_asked_for_again(splitter: Splitter) -> None:
    bench, (seller, order) = splitter.bench, await bought(splitter)

    class Killed(BaseException):
        pass

    async def die(to: str, data: bytes, nonce: int, by: KeyRole) -> SignedTransaction:
        raise Killed

    sign, splitter.chain.sign_call = splitter.chain.sign_call, die  # type: ignore[method-assign]  # dies in the middle
    with pytest.raises(Killed):
        await given(bench, seller, order)
    splitter.chain.sign_call = sign  # type: ignore[method-assign]  # a process that lives
    assert await bench.rows("SELECT state FROM refund") == [("SUBMITTED",)]
    await later(bench)
    assert await bench.rows("SELECT state FROM refund") == [("SUCCEEDED",)]
    assert splitter.chain.paid_back == 1


async def test_a_refund_that_failed_in_its_block_has_failed_once_that_is_deep(splitter: Splitter) -> None:
    """Anybody may divide and withdraw in front of it: then the gateway's allowance is short."""
    bench, (seller, order) = splitter.bench, await bought(splitter)
    splitter.chain.holds_back = True
    refund = await given(bench, seller, order)
    assert refund.state == "PENDING"
    splitter.chain.holds_back, splitter.chain.refund_fails, splitter.chain.depth = False, True, DEPTH - 1
    await later(bench)
    assert (await now(bench, refund)).state == "PENDING", "that block may go"
    splitter.chain.depth = DEPTH
    await later(bench)
    refund = await now(bench, refund)
    assert (refund.state, refund.code) == ("FAILED", "reverted")

    splitter.chain.refund_fails = False
    again = await given(bench, seller, order, key="r-2")
    assert again.state == "SUCCEEDED"
    [attempt] = await bench.attempts(order.id)
    [[fact]] = await bench.rows("SELECT key FROM channel_fact WHERE kind = 'CAPTURED'")
    named = await offers.names_of(bench.hub, attempt.channel, fact.removeprefix("CAPTURED/"))
    assert named == (attempt.key, again.key), "the one that has failed is not the one that gave it back"
    assert splitter.chain.paid_back == 1


async def test_a_refund_whose_failed_block_went_is_paid(splitter: Splitter) -> None:
    bench, (seller, order) = splitter.bench, await bought(splitter)
    splitter.chain.refund_fails, splitter.chain.depth = True, DEPTH - 1
    refund = await given(bench, seller, order)
    assert refund.state == "PENDING"
    splitter.chain.mined.popitem()
    splitter.chain.refund_fails = False
    await later(bench)
    assert (await now(bench, refund)).state == "SUCCEEDED"
    assert splitter.chain.paid_back == 1


async def test_a_refund_that_is_signed_has_not_failed_by_a_nodes_no(splitter: Splitter) -> None:
    bench, (seller, order) = splitter.bench, await bought(splitter)
    splitter.chain.refuses = True
    refund = await given(bench, seller, order)
    assert refund.state == "PENDING"
    splitter.chain.refuses = False
    assert await looked(bench, "other", KeyRole.REVOKER) is not None  # sends all that lies before it
    assert splitter.chain.paid_back == 1
    await later(bench)
    assert (await now(bench, refund)).state == "SUCCEEDED"
    assert (await bench.order_now(order.id)).status == "REFUNDED"


async def test_a_refund_that_no_node_takes_has_failed_once_its_nonce_is_filled(splitter: Splitter) -> None:
    bench, (seller, order) = splitter.bench, await bought(splitter)
    send = splitter.chain.send

    async def refuse(transaction: SignedTransaction) -> None:
        if transaction.hash in splitter.chain.refunds:
            raise ChainRefused("exceeds block gas limit")
        await send(transaction)

    splitter.chain.send = refuse  # type: ignore[method-assign]  # no refunds from now on
    refund = await given(bench, seller, order)
    await later(bench, FILL_AFTER_US - 1)
    assert (await now(bench, refund)).state == "PENDING"
    await later(bench)
    refund = await now(bench, refund)
    assert (refund.state, refund.code) == ("FAILED", "refused: exceeds block gas limit")
    assert splitter.chain.paid_back == 0
