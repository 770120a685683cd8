"""CheckoutSplitter and coins that are off its list, take a fee, lie, answer nothing or call back."""

import pytest

from tests.contracts.coins import (
    FEE_COIN,
    LYING_COIN,
    REENTRANT_COIN,
    SILENT_COIN,
    arm,
    charge,
    is_in,
    shop_with,
)
from tests.contracts.evm import GATE, OWNER, STRANGER, Reverted
from tests.contracts.evm import Hub as EntitlementHub
from tests.contracts.splitter import (
    ANOTHER,
    NO_BOUND,
    PAYEES,
    PRICE,
    REFUNDER,
    SELLER,
    SHARES,
    Contract,
    Shop,
)


def test_a_coin_off_the_list_is_not_taken_even_for_an_open_offer(shop: Shop) -> None:
    shop.splitter.send(OWNER, "setToken", shop.coin.address, False)
    assert not shop.splitter.ask("isTaken", shop.coin.address)

    with pytest.raises(Reverted, match=r"^token$"):
        shop.buy()

    shop.splitter.send(OWNER, "setToken", shop.coin.address, True)
    shop.buy()
    assert shop.has_right()


@pytest.mark.parametrize("percent", [1, -1])
def test_a_coin_of_which_more_or_less_arrives_buys_nothing_and_tops_nothing_up(
    deployed: EntitlementHub, percent: int
) -> None:
    shop = shop_with(deployed, FEE_COIN)
    shop.buy(ANOTHER)
    shop.divide()
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])
    shop.coin.send(OWNER, "mint", GATE.address, PRICE)
    shop.approve(PRICE, GATE)
    charge(shop.coin, percent)
    with pytest.raises(Reverted, match=r"^received$"):
        shop.buy()
    with pytest.raises(Reverted, match=r"^received$"):
        shop.refund(ANOTHER)
    charge(shop.coin, 0)
    shop.refund(ANOTHER)
    assert shop.holds(shop.splitter.address) == 0


def test_a_coin_that_says_yes_and_moves_nothing_is_refused(deployed: EntitlementHub) -> None:
    shop = shop_with(deployed, LYING_COIN)
    held = shop.holds(shop.buyer.address)
    with pytest.raises(Reverted, match=r"^received$"):
        shop.buy()
    assert shop.holds(shop.buyer.address) == held
    assert not shop.is_bought()


def test_a_coin_that_answers_nothing_is_taken_paid_out_and_given_back(deployed: EntitlementHub) -> None:
    shop = shop_with(deployed, SILENT_COIN)
    shop.buy()
    shop.buy(ANOTHER)
    shop.refund()
    shop.divide()
    for payee in PAYEES:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)

    assert sum(shop.holds(payee) for payee in PAYEES) == PRICE
    assert shop.holds(shop.splitter.address) == 0
    assert shop.holds(shop.buyer.address) == 99 * PRICE
    assert shop.due(shop.buyer.address) == 0


def test_a_permit_of_a_coin_that_knows_none_falls_back_on_the_allowance(deployed: EntitlementHub) -> None:
    shop = shop_with(deployed, SILENT_COIN)
    shop.approve()
    shop.splitter.send(shop.buyer, "buyWithPermit", shop.order(), shop.terms, 27, bytes(32), bytes(32))
    assert shop.has_right()


FUNCTIONS = ("buy", "buyWithPermit", "buyWithAuthorization", "withdraw", "divide", "refund", "sweep")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_coin_that_calls_back_gets_nowhere(deployed: EntitlementHub, function: str) -> None:
    shop = shop_with(deployed, REENTRANT_COIN)
    shop.buy(ANOTHER)
    shop.divide()
    let_do_all(shop.coin, shop)
    inner = {
        "buy": (shop.order(), shop.terms),
        "buyWithPermit": (shop.order(), shop.terms, 27, bytes(32), bytes(32)),
        "buyWithAuthorization": (shop.order(), shop.terms, shop.coin.address, 27, bytes(32), bytes(32)),
        "withdraw": (shop.coin.address, PAYEES[0]),
        "divide": (shop.coin.address, SHARES),
        "refund": (shop.order(ANOTHER), shop.terms, shop.buyer.address, SHARES),
        "sweep": (shop.coin.address, STRANGER.address),
    }[function]
    call = shop.splitter.calldata(function, *inner)
    arm(shop.coin, shop.splitter.address, call)

    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[1])

    assert not is_in(shop.coin)
    assert shop.due(PAYEES[0]) == PRICE * 9 // 10
    assert shop.holds(shop.splitter.address) == PRICE * 9 // 10 + 77
    acts(shop, shop.splitter.address, call)  # from outside it may: nothing but the lock kept it out


def let_do_all(coin: Contract, shop: Shop) -> None:
    """The coin owns the splitter, sells and refunds, has coins and lets the splitter take them; 77 could be swept."""
    shop.splitter.send(OWNER, "setRole", coin.address, SELLER | REFUNDER)
    shop.splitter.send(OWNER, "proposeOwner", coin.address)
    acts(shop, shop.splitter.address, shop.splitter.calldata("acceptOwner"))
    acts(shop, coin.address, coin.calldata("approve", shop.splitter.address, NO_BOUND))
    coin.send(OWNER, "mint", coin.address, PRICE)
    coin.send(OWNER, "mint", shop.splitter.address, 77)


def acts(shop: Shop, target: bytes, call: bytes) -> None:
    """The coin makes a call, while the buyer moves nothing."""
    arm(shop.coin, target, call)
    shop.coin.send(shop.buyer, "transfer", STRANGER.address, 0)
    assert is_in(shop.coin)
