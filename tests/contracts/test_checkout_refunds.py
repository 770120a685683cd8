"""CheckoutSplitter: a whole price goes back to who paid it, once, and the right ends."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.contracts.coins import REFUSING_COINS, blacklist, shop_with
from tests.contracts.evm import GATE, OWNER, STRANGER, Receipt, Reverted, as_arguments, result_of, signed
from tests.contracts.evm import Hub as EntitlementHub
from tests.contracts.splitter import (
    ANOTHER,
    PAYEES,
    PRICE,
    REFERENCE,
    SHARES,
    Shop,
    hexed,
    offer_id,
    terms_of,
)


@pytest.mark.parametrize("is_divided", [False, True])
def test_a_refund_gives_the_price_back_and_ends_the_right(shop: Shop, is_divided: bool) -> None:
    held = shop.holds(shop.buyer.address)
    shop.buy()
    if is_divided:
        shop.divide()

    receipt = shop.refund()

    assert shop.holds(shop.buyer.address) == held
    assert shop.holds(shop.splitter.address) == 0
    assert [shop.due(payee) for payee in PAYEES] == [0, 0]
    assert not shop.has_right()
    coin, buyer = hexed(shop.coin.address), hexed(shop.buyer.address)
    assert shop.splitter.logs(receipt, "Refunded") == [(shop.key(), offer_id(shop.terms), buyer, coin, PRICE)]
    assert shop.splitter.logs(receipt, "Withdrawn") == [(coin, buyer, buyer, PRICE)]
    assert shop.coin.logs(receipt, "Transfer") == [(hexed(shop.splitter.address), buyer, PRICE)]  # and no top-up of 0


def test_a_refund_goes_where_the_payer_wants_their_money(shop: Shop) -> None:
    shop.buy()
    shop.splitter.send(shop.buyer, "setPayeeAddress", STRANGER.address)

    shop.refund()

    assert shop.holds(STRANGER.address) == PRICE


def test_a_purchase_is_given_back_once(shop: Shop) -> None:
    shop.buy()
    shop.buy(ANOTHER)
    shop.refund()

    with pytest.raises(Reverted, match=r"^refunded$"):
        shop.refund()

    assert shop.holds(shop.splitter.address) == PRICE
    assert shop.splitter.ask("isRefunded", shop.key())
    assert not shop.splitter.ask("isRefunded", shop.key(ANOTHER))


def test_a_refunded_order_is_not_bought_again(shop: Shop) -> None:
    shop.buy()
    shop.refund()
    with pytest.raises(Reverted, match=r"^settled$"):
        shop.buy()


def test_what_was_never_bought_is_not_given_back(shop: Shop) -> None:
    shop.buy(ANOTHER)
    for order, terms, payer in (
        (shop.order(), shop.terms, shop.buyer.address),
        (shop.order(ANOTHER), shop.terms, STRANGER.address),
        (shop.order(ANOTHER), terms_of(shop.coin, price=2 * PRICE), shop.buyer.address),
    ):
        with pytest.raises(Reverted, match=r"^unknown$"):
            shop.splitter.send(GATE, "refund", order, terms, payer, SHARES)
    assert shop.holds(shop.splitter.address) == PRICE


def test_a_right_settled_by_signature_is_no_purchase_to_give_back(shop: Shop) -> None:
    shop.buy(ANOTHER)
    result = replace(result_of(1, shop.buyer.address), order_key=shop.key())
    shop.hub.send(STRANGER, "settle", as_arguments(result), signed(shop.hub, result))
    with pytest.raises(Reverted, match=r"^unknown$"):
        shop.refund()
    assert shop.has_right()


def test_an_order_that_was_called_off_is_no_purchase_to_give_back(shop: Shop) -> None:
    shop.buy(ANOTHER)
    shop.hub.send(OWNER, "setRole", STRANGER.address, 4)
    shop.hub.send(STRANGER, "revokeOrder", shop.key())  # known to the hub, and not by this contract
    with pytest.raises(Reverted, match=r"^unknown$"):
        shop.refund()


def test_a_refund_takes_back_the_remainder_from_who_got_it(shop: Shop) -> None:
    parts = ((PAYEES[0], 3_333), (PAYEES[1], 6_667))
    shop = shop.sells(price=101, parts=parts)
    shop.buy()
    shop.splitter.send(STRANGER, "divide", shop.coin.address, parts)
    assert [shop.due(payee) for payee in PAYEES] == [33, 68]

    shop.splitter.send(GATE, "refund", shop.order(), shop.terms, shop.buyer.address, parts)

    assert [shop.due(payee) for payee in PAYEES] == [0, 0]
    assert shop.holds(shop.splitter.address) == 0


def test_a_refund_names_the_split_that_was_paid(shop: Shop) -> None:
    shop.buy()
    with pytest.raises(Reverted, match=r"^split$"):
        shop.splitter.send(GATE, "refund", shop.order(), shop.terms, shop.buyer.address, ((PAYEES[0], 10_000),))


def test_who_gives_back_tops_up_what_a_payee_has_been_paid_already(shop: Shop) -> None:
    shop.buy()
    shop.divide()
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])
    missing = PRICE * 9 // 10
    with pytest.raises(Reverted, match=r"^allowance$"):
        shop.refund()
    assert shop.has_right()

    shop.coin.send(OWNER, "mint", GATE.address, missing)
    shop.approve(missing, GATE)
    shop.refund()

    assert shop.holds(shop.buyer.address) == 100 * PRICE
    assert shop.holds(GATE.address) == 0
    assert shop.holds(PAYEES[0]) == missing
    assert shop.holds(shop.splitter.address) == 0


@pytest.mark.parametrize("paid", [(), PAYEES[:1], PAYEES[1:], PAYEES])
def test_after_any_payouts_a_refund_leaves_every_coin_accounted_for(shop: Shop, paid: Sequence[bytes]) -> None:
    sold, references = 2, (REFERENCE, ANOTHER)
    for reference in references:
        shop.buy(reference)
    shop.divide()
    for payee in paid:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)
    shop.coin.send(OWNER, "mint", GATE.address, PRICE)
    shop.approve(PRICE, GATE)

    shop.refund(references[0])

    assert shop.holds(shop.splitter.address) == sum(shop.due(payee) for payee in PAYEES)
    assert shop.holds(shop.buyer.address) == 100 * PRICE - (sold - 1) * PRICE
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)


@pytest.mark.parametrize(("source", "reason"), REFUSING_COINS.items(), ids=["says why", "says nothing", "answers no"])
def test_a_payer_whom_the_coin_refuses_is_owed_the_money(deployed: EntitlementHub, source: str, reason: str) -> None:
    shop = shop_with(deployed, source)
    shop.buy()
    shop.buy(ANOTHER)
    blacklist(shop.coin, shop.buyer.address)

    shop.refund()
    shop.refund(ANOTHER)

    assert not shop.has_right()
    for action in (lambda: shop.buy(b"once more".rjust(32)), lambda: withdraw(shop)):
        with pytest.raises(Reverted, match=f"^{reason}$"):
            action()
    assert shop.due(shop.buyer.address) == 2 * PRICE
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)
    shop.splitter.send(shop.buyer, "setPayeeAddress", STRANGER.address)
    withdraw(shop)
    assert shop.holds(STRANGER.address) == 2 * PRICE


def withdraw(shop: Shop) -> Receipt:
    """What is due to the buyer."""
    return shop.splitter.send(STRANGER, "withdraw", shop.coin.address, shop.buyer.address)


def test_a_refund_works_after_the_offer_the_coin_and_the_right_are_gone(shop: Shop) -> None:
    shop.buy()
    shop.splitter.send(GATE, "closeOffer", offer_id(shop.terms))
    shop.splitter.send(OWNER, "setToken", shop.coin.address, False)
    shop.hub.send(OWNER, "setRole", STRANGER.address, 4)
    shop.hub.send(STRANGER, "revokeOrder", shop.key())

    shop.refund()

    assert shop.holds(shop.buyer.address) == 100 * PRICE
