"""One small market for the reading tests: two buyers, a seller, a platform that honours, one that does neither."""

from dataclasses import dataclass
from typing import Any

from hub.domain.catalogue import Listing, Platform
from hub.domain.chain_log import Block, ChainEvent, Cursor
from hub.domain.disputes import Dispute, DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import Outcome, Result, Source, Stage
from hub.domain.people import ANONYMOUS, User, Viewer, Wallet
from hub.domain.records import KnownContract
from hub.domain.refunds import Refund
from hub.flows import disputes, refunds, wallets
from hub.flows.refunds import RefundRequest
from hub.store.transactions import Tx
from tests.resolvers.conftest import Api
from tests.wallets import account, signed
from tests.world import DAY_US, learner, operator, partner

CHECKOUT = """
mutation ($listing: ID!, $key: String!, $amount: BigInt! = "9900", $channel: String! = "test") {
  checkout(input: {listingId: $listing, channel: $channel, idempotencyKey: $key,
                   expectedAmount: {amountMinor: $amount, currency: "CNY"}}) {
    replayed
    userErrors { __typename code path message ... on PriceChangedError { current { amountMinor } } }
    paymentAttempt { id state lastError { code providerCode retryable } nextAction { kind url } }
    order { id number status buyer { id } entitlement { id } }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Market:
    """`mine` and `theirs` are orders of two learners for one course, sold by `seller` and honoured by `honouring`."""

    seller: Platform
    honouring: Platform
    stranger: Platform
    listing: Listing
    mine: dict[str, Any]
    theirs: dict[str, Any]
    me: User
    other: User

    @property
    def viewers(self) -> dict[str, Viewer]:
        return {
            "buyer": learner(self.me),
            "other": learner(self.other),
            "seller": partner(self.seller),
            "honouring": partner(self.honouring),
            "stranger": partner(self.stranger),
            "operator": operator(),
            "anonymous": ANONYMOUS,
        }


async def market(api: Api) -> Market:
    world = api.world
    seller, honouring, stranger = [await world.platform(slug) for slug in ("alpha", "beta", "gamma")]
    course = await world.course("Knots")
    listing = await world.listing(platform=seller, course=course)
    await world.listing(platform=honouring, course=course)
    await world.listing(platform=stranger)
    me, other = await world.user(), await world.user()
    orders = [await buy(api, user, listing, f"key of {user.id}") for user in (me, other)]
    await world.member(seller, me, "m-me")
    return Market(seller, honouring, stranger, listing, *orders, me, other)


async def buy(api: Api, user: User, listing: Listing, key: str) -> dict[str, Any]:
    """The paid order of one checkout."""
    api.world.clock.pass_us(1)
    assert listing.price is not None
    data = await api.data(learner(user), CHECKOUT, listing=listing.id, key=key, amount=str(listing.price.amount_minor))
    order: dict[str, Any] = data["checkout"]["order"]
    assert order["status"] == "PAID"
    return order


async def walleted(api: Api, user: User, number: int = 1) -> Wallet:
    """The wallet of that number, linked to the user."""
    asked = await wallets.challenge(api.hub, learner(user), address=account(number).address)
    assert asked.value is not None, asked.refusal
    text = asked.value.message
    answer = await wallets.link(api.hub, learner(user), message=text, signature=signed(text, number))
    assert answer.value is not None, answer.refusal
    return answer.value


async def read_chain(api: Api) -> None:
    """A chain of which two blocks were read: in the first a gateway got its role."""
    chain_id, contract, now_us = api.chain.chain_id, api.chain.contract, api.world.clock.now_us()
    blocks = [Block(chain_id, number, f"0xb{number}", f"0xb{number - 1}", now_us) for number in (1, 2)]
    args = {"account": "0x" + "aa" * 20, "roles": "7"}
    event = ChainEvent(chain_id, 1, "0xb1", 0, "0xt1", contract, "RoleSet", args["account"], args)
    cursor = Cursor(chain_id, 2, "0xb2", 3, 2, 1, "0xb1", None, None, 1, now_us)
    known = KnownContract(chain_id, contract, "entitlement_hub", "c0de", 1, now_us)

    async def put(tx: Tx) -> None:
        assert await tx.chain_log.begin(cursor)
        await tx.anchors.add_contract(known)
        await tx.chain_log.add_blocks(blocks)
        assert await tx.chain_log.add_events([event]) == [event]

    await api.hub.store.write(put)


async def refunded(api: Api, order_id: str, minor: int) -> Refund:
    """A part of the order's money, given back."""
    asked = RefundRequest(order_id, Money(minor, "CNY"), "a gift", f"refund {order_id}")
    answer = await refunds.request(api.hub, operator(), asked)
    assert answer.value is not None, answer.refusal
    return answer.value


async def contested(api: Api, order_id: str, state: DisputeState = DisputeState.EARLY_WARNING) -> Dispute:
    """The order's charge, disputed up to `state`; told of twice, the second time with a reason."""
    async with api.hub.store.reading() as rx:
        [attempt] = await rx.payments.of_order(order_id)
    told = Result(Outcome.PENDING, Stage.NONE, b"", api.world.clock.now_us())
    for reason in (None, "fraudulent"):
        word = DisputeWord(f"dp {attempt.key}", state, attempt.amount, reason, api.world.clock.now_us() + DAY_US * 7)
        dispute = await api.hub.store.write(
            disputes.apply_word, attempt.id, word, Source.NOTICE, told, api.hub.draw(), api.hub.vault
        )
    return dispute
