"""CheckoutSplitter against a model of a page: whatever is bought, divided, withdrawn and given back, in any order, both
hold and owe the same coins, and refuse the same steps. No coin is made or lost, and no more is owed than is held."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.coins import BLACKLISTING_COIN, blacklist, shop_with
from tests.contracts.evm import GATE, OWNER, STRANGER, Receipt, Reverted, fresh_hub
from tests.contracts.splitter import NO_BOUND, PAYEES, PRICE, SHARES, Shop, split_id

PUBLISHER, OPERATOR = PAYEES
# Two offers of one right: prices and parts, of which the second leave remainders.
OFFERS = ((PRICE, SHARES), (101, ((PUBLISHER, 3_333), (OPERATOR, 6_667))))
FUNDS = 100 * PRICE  # of the buyer, and of GATE for what payees have been paid already
STRAY = 77  # coins that come without buying anything
Purchase = tuple[int, int]  # offer, number
Verb = Literal["buy", "divide", "withdraw", "refund", "stray", "sweep", "pause", "shut out"]
Step = tuple[Verb, int, int]


@dataclass
class Model:
    """Who holds what, what is owed, and what was bought and given back."""

    buyer: bytes
    splitter: bytes
    held: Counter[bytes] = field(default_factory=Counter)
    undivided: Counter[int] = field(default_factory=Counter)
    due: Counter[bytes] = field(default_factory=Counter)
    bought: set[Purchase] = field(default_factory=set)
    refunded: set[Purchase] = field(default_factory=set)
    is_paused: bool = False
    is_shut_out: bool = False  # the coin lets nobody else take from the buyer any more, and gives them nothing

    def does(self, verb: Verb, offer: int, number: int) -> str | None:
        """Takes the step; the reason if it is refused."""
        match verb:
            case "buy":
                return self.buy((offer, number))
            case "divide":
                self.divide(offer)
            case "withdraw":
                return self.withdraw((*PAYEES, self.buyer)[number])
            case "refund":
                return self.refund((offer, number))
            case "stray":
                self.move(self.buyer, self.splitter, STRAY)
            case "sweep":
                amount = self.held[self.splitter] - self.owed
                self.move(self.splitter, OWNER.address, amount)
                return None if amount else "nothing"
            case "pause":
                self.is_paused = not self.is_paused
            case "shut out":
                self.is_shut_out = True
        return None

    @property
    def owed(self) -> int:
        return self.undivided.total() + self.due.total()

    def buy(self, purchase: Purchase) -> str | None:
        if self.is_paused:
            return "paused"
        if self.is_shut_out:
            return "listed"
        if purchase in self.bought:
            return "settled"
        self.bought.add(purchase)
        price, _ = OFFERS[purchase[0]]
        self.move(self.buyer, self.splitter, price)
        self.undivided[purchase[0]] += price
        return None

    def divide(self, offer: int) -> None:
        for payee, part in shared(self.undivided.pop(offer, 0), offer):
            self.due[payee] += part

    def withdraw(self, payee: bytes) -> str | None:
        if self.due[payee] == 0:
            return "nothing"
        if payee == self.buyer and self.is_shut_out:
            return "listed"
        self.move(self.splitter, payee, self.due.pop(payee))
        return None

    def refund(self, purchase: Purchase) -> str | None:
        if purchase not in self.bought:
            return "unknown"
        if purchase in self.refunded:
            return "refunded"
        self.refunded.add(purchase)
        self.divide(purchase[0])
        price, _ = OFFERS[purchase[0]]
        for payee, part in shared(price, purchase[0]):
            taken = min(part, self.due[payee])
            self.due[payee] -= taken
            self.move(GATE.address, self.splitter, part - taken)
        if self.is_shut_out:
            self.due[self.buyer] += price
        else:
            self.move(self.splitter, self.buyer, price)
        return None

    def move(self, giver: bytes, taker: bytes, amount: int) -> None:
        self.held[giver] -= amount
        self.held[taker] += amount


def shared(amount: int, offer: int) -> list[tuple[bytes, int]]:
    """Each payee's part, rounded down; the last gets what is left."""
    _, parts = OFFERS[offer]
    first, (last, _) = [(payee, amount * bps // 10_000) for payee, bps in parts[:-1]], parts[-1]
    return [*first, (last, amount - sum(part for _, part in first))]


@cache
def pristine() -> tuple[Shop, ...]:
    """The same shop with either of its offers."""
    shop = shop_with(fresh_hub(), BLACKLISTING_COIN)
    shop.coin.send(OWNER, "mint", GATE.address, FUNDS)
    for account in (shop.buyer, GATE):
        shop.approve(NO_BOUND, account)
    return tuple(shop.sells(price=price, parts=parts) for price, parts in OFFERS)


def taken(shop: Shop, verb: Verb, offer: int, number: int) -> str | None:
    """The same step at the contract, at the offer that the shop is for."""
    reference, coin = keccak(b"purchase %d" % number), shop.coin.address
    is_paused = shop.splitter.ask("paused")
    does: dict[Verb, Callable[[], Receipt | None]] = {
        "buy": lambda: shop.splitter.send(shop.buyer, "buy", shop.order(reference), shop.terms),
        "divide": lambda: shop.splitter.send(STRANGER, "divide", coin, OFFERS[offer][1]),
        "withdraw": lambda: shop.splitter.send(STRANGER, "withdraw", coin, (*PAYEES, shop.buyer.address)[number]),
        "refund": lambda: shop.splitter.send(
            GATE, "refund", shop.order(reference), shop.terms, shop.buyer.address, OFFERS[offer][1]
        ),
        "stray": lambda: shop.coin.send(shop.buyer, "transfer", shop.splitter.address, STRAY),
        "sweep": lambda: shop.splitter.send(OWNER, "sweep", coin, OWNER.address),
        "pause": lambda: shop.splitter.send(GATE, "unpause" if is_paused else "pause"),
        "shut out": lambda: blacklist(shop.coin, shop.buyer.address),
    }
    try:
        does[verb]()
    except Reverted as refusal:
        return str(refusal)
    return None


# As often as a life has them; what stops or ends much is rare.
VERBS: tuple[Verb, ...] = (
    *("buy",) * 6, *("refund",) * 4, *("divide",) * 2, *("withdraw",) * 3, "stray", "sweep", "pause", "shut out",
)  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 1), st.integers(0, 2)), min_size=8, max_size=20)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_any_sequence_of_sales_and_refunds_holds_and_owes_what_the_model_does(steps: list[Step]) -> None:
    walk(steps, each_step=False)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_many_more_sequences_of_sales_hold_and_owe_what_the_model_does(steps: list[Step]) -> None:
    walk(steps, each_step=True)


def walk(steps: list[Step], *, each_step: bool) -> None:
    offers = pristine()
    evm = offers[0].evm.copy()
    shops = [
        replace(shop, evm=evm, hub=shop.hub.on(evm), splitter=shop.splitter.on(evm), coin=shop.coin.on(evm))
        for shop in offers
    ]
    shop = shops[0]
    model = Model(shop.buyer.address, shop.splitter.address, Counter({shop.buyer.address: FUNDS, GATE.address: FUNDS}))
    for place, (verb, offer, number) in enumerate(steps, 1):
        assert taken(shops[offer], verb, offer, number) == model.does(verb, offer, number), (verb, offer, number)
        if each_step or place == len(steps):
            agree(shop, model)


def agree(shop: Shop, model: Model) -> None:
    everybody = (model.buyer, model.splitter, GATE.address, OWNER.address, *PAYEES)
    held = [shop.holds(account) for account in everybody]
    assert held == [model.held[account] for account in everybody]
    assert sum(held) == 2 * FUNDS
    undivided = [shop.splitter.ask("undivided", shop.coin.address, split_id(parts)) for _, parts in OFFERS]
    assert undivided == [model.undivided[offer] for offer in range(len(OFFERS))]
    due = [shop.due(account) for account in everybody]
    assert due == [model.due[account] for account in everybody]
    assert sum(undivided) + sum(due) <= shop.holds(model.splitter)
