"""CheckoutSplitter and coins that are off its list, take a fee, lie, answer nothing or call back."""

import pytest

from tests.contracts.coins import FEE_COIN, LYING_COIN, NO_COIN, REENTRANT_COIN, SILENT_COIN, arm, deployed_coin, is_in
from tests.contracts.evm import OWNER, STRANGER, Reverted
from tests.contracts.evm import Hub as EntitlementHub
from tests.contracts.splitter import (
    ANOTHER,
    PAYEES,
    PRICE,
    REFUNDER,
    SELLER,
    SHARES,
    Shop,
    fresh_shop,
)


def shop_with(deployed: EntitlementHub, source: str) -> Shop:
    hub = deployed.copy()
    return fresh_shop(hub, deployed_coin(hub.evm, source))


def test_a_coin_off_the_list_is_not_taken_even_for_an_open_offer(shop: Shop) -> None:
    shop.splitter.send(OWNER, "setToken", shop.coin.address, False)
    assert not shop.splitter.ask("isTaken", shop.coin.address)

    with pytest.raises(Reverted, match=r"^token$"):
        shop.buy()

    shop.splitter.send(OWNER, "setToken", shop.coin.address, True)
    shop.buy()
    assert shop.has_right()


@pytest.mark.parametrize(
    ("source", "reason"), [(FEE_COIN, "received"), (LYING_COIN, "received"), (NO_COIN, "transfer")]
)
def test_a_coin_of_which_less_arrives_is_refused(deployed: EntitlementHub, source: str, reason: str) -> None:
    shop = shop_with(deployed, source)
    held = shop.holds(shop.buyer.address)
    with pytest.raises(Reverted, match=f"^{reason}$"):
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


def test_a_permit_of_a_coin_that_knows_none_falls_back_on_the_allowance(deployed: EntitlementHub) -> None:
    shop = shop_with(deployed, SILENT_COIN)
    shop.approve()
    shop.splitter.send(shop.buyer, "buyWithPermit", shop.order(), shop.terms, 27, bytes(32), bytes(32))
    assert shop.has_right()


@pytest.mark.parametrize("function", ["buy", "buyWithPermit", "withdraw", "divide", "refund", "sweep"])
def test_a_coin_that_calls_back_gets_nowhere(deployed: EntitlementHub, function: str) -> None:
    shop = shop_with(deployed, REENTRANT_COIN)
    shop.buy(ANOTHER)
    shop.divide()
    inner = {
        "buy": (shop.order(), shop.terms),
        "buyWithPermit": (shop.order(), shop.terms, 27, bytes(32), bytes(32)),
        "withdraw": (shop.coin.address, PAYEES[0]),
        "divide": (shop.coin.address, SHARES),
        "refund": (shop.order(ANOTHER), shop.terms, shop.buyer.address, SHARES),
        "sweep": (shop.coin.address, STRANGER.address),
    }[function]
    arm(shop.coin, shop.splitter.address, shop.splitter.calldata(function, *inner))
    # It could do each of these, if the door were open: it has the roles, and an owner.
    shop.splitter.send(OWNER, "setRole", shop.coin.address, SELLER | REFUNDER)

    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[1])

    assert not is_in(shop.coin)
    assert shop.due(PAYEES[0]) == PRICE * 9 // 10
    assert shop.holds(shop.splitter.address) == PRICE * 9 // 10
