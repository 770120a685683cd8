"""CheckoutSplitter: what each way of buying does and, beside it, what it must not do."""

from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak

from contracts import artifact
from hub.domain.anchors import NO_END
from tests.contracts.evm import CHAIN_ID, GATE, NOBODY, NOW, OWNER, STRANGER, TOKEN, Reverted
from tests.contracts.splitter import (
    ANOTHER,
    DEADLINE,
    PRICE,
    REFERENCE,
    SHARES,
    Contract,
    Shop,
    hexed,
    offer_id,
    split_id,
    terms_of,
)


def test_buying_takes_the_price_credits_the_split_and_gives_the_right(shop: Shop) -> None:
    held = shop.holds(shop.buyer.address)

    receipt = shop.buy()

    assert shop.holds(shop.buyer.address) == held - PRICE
    assert shop.holds(shop.splitter.address) == PRICE
    assert shop.splitter.ask("undivided", shop.coin.address, split_id(SHARES)) == PRICE
    assert shop.is_bought()
    assert shop.has_right()
    assert shop.hub.ask("expiresAt", shop.buyer.address, TOKEN) == NO_END
    assert shop.hub.ask("balanceOf", shop.buyer.address, TOKEN) == 1
    [said] = shop.splitter.logs(receipt, "Purchased")
    assert said == (shop.key(), offer_id(shop.terms), hexed(shop.buyer.address), hexed(shop.coin.address), PRICE)
    [settled] = shop.hub.logs(receipt, "Settled")
    assert settled == (shop.key(), offer_id(shop.terms), hexed(shop.buyer.address), TOKEN, NO_END)


@pytest.mark.parametrize("way", ["buyWithPermit", "buyWithAuthorization"])
def test_buying_by_signature_needs_no_approval(shop: Shop, way: str) -> None:
    proof = shop.permit() if way == "buyWithPermit" else (shop.buyer.address, *shop.authorization())

    shop.splitter.send(shop.buyer, way, shop.order(), shop.terms, *proof)

    assert shop.has_right()
    assert shop.holds(shop.splitter.address) == PRICE
    assert shop.coin.ask("allowance", shop.buyer.address, shop.splitter.address) == 0


def test_anybody_may_bring_an_authorization_and_the_right_is_the_signers(shop: Shop) -> None:
    proof = shop.authorization()

    shop.splitter.send(STRANGER, "buyWithAuthorization", shop.order(), shop.terms, shop.buyer.address, *proof)

    assert shop.has_right()
    assert not shop.has_right(STRANGER.address)


def test_an_authorization_buys_nothing_but_what_was_signed(shop: Shop) -> None:
    proof = (shop.buyer.address, *shop.authorization())
    same_price = terms_of(shop.coin, token_id=TOKEN + 1)
    shop.splitter.send(GATE, "setOffer", offer_id(same_price), same_price)
    before = shop.evm.header.state_root

    for order, terms in (
        (shop.order(to=STRANGER.address), shop.terms),
        (shop.order(ANOTHER), shop.terms),
        (shop.order(deadline=DEADLINE + 1), shop.terms),
        (shop.order(), same_price),
    ):
        with pytest.raises(Reverted, match=r"^signature$"):
            shop.splitter.send(STRANGER, "buyWithAuthorization", order, terms, *proof)
    assert shop.evm.header.state_root == before


def test_an_authorization_to_transfer_is_none_to_receive_and_cannot_be_sent_ahead(shop: Shop) -> None:
    plain = shop.authorization("TransferWithAuthorization")
    with pytest.raises(Reverted, match=r"^signature$"):
        shop.splitter.send(STRANGER, "buyWithAuthorization", shop.order(), shop.terms, shop.buyer.address, *plain)
    ahead = (shop.buyer.address, shop.splitter.address, PRICE, 0, DEADLINE + 1, shop.key())
    for function, reason in (("receiveWithAuthorization", "receiver"), ("transferWithAuthorization", "signature")):
        with pytest.raises(Reverted, match=f"^{reason}$"):
            shop.coin.send(STRANGER, function, *ahead, *shop.authorization())
    assert shop.holds(shop.splitter.address) == 0


def test_a_permit_sent_ahead_by_somebody_else_does_not_hurt(shop: Shop) -> None:
    proof = shop.permit()
    shop.coin.send(STRANGER, "permit", shop.buyer.address, shop.splitter.address, PRICE, DEADLINE, *proof)

    shop.splitter.send(shop.buyer, "buyWithPermit", shop.order(), shop.terms, *proof)

    assert shop.has_right()
    assert shop.coin.ask("nonces", shop.buyer.address) == 1


def test_an_approval_sent_ahead_does_not_let_a_stranger_buy_with_it(shop: Shop) -> None:
    shop.approve()

    with pytest.raises(Reverted, match=r"^allowance$"):
        shop.splitter.send(STRANGER, "buy", shop.order(to=STRANGER.address), shop.terms)
    with pytest.raises(Reverted, match=r"^allowance$"):
        shop.splitter.send(STRANGER, "buyWithPermit", shop.order(), shop.terms, *shop.permit())
    assert shop.holds(shop.splitter.address) == 0


def test_a_wrong_permit_counts_for_nothing(shop: Shop) -> None:
    v, r, s = shop.permit(value=PRICE - 1)

    with pytest.raises(Reverted, match=r"^allowance$"):
        shop.splitter.send(shop.buyer, "buyWithPermit", shop.order(), shop.terms, v, r, s)
    assert not shop.is_bought()


@pytest.mark.parametrize("way", ["buy", "buyWithPermit", "buyWithAuthorization"])
def test_an_order_is_bought_once_by_whatever_way(shop: Shop, way: str) -> None:
    shop.buy()
    held = shop.holds(shop.buyer.address)
    proof = shop.ways()[way]

    with pytest.raises(Reverted, match=r"^settled$"):
        shop.splitter.send(shop.buyer, way, shop.order(), shop.terms, *proof)

    assert shop.holds(shop.buyer.address) == held
    assert shop.splitter.ask("undivided", shop.coin.address, split_id(SHARES)) == PRICE


def test_a_cheap_offer_is_bought_under_another_key_than_the_dear_one(shop: Shop) -> None:
    cheap = terms_of(shop.coin, price=1)
    shop.splitter.send(GATE, "setOffer", offer_id(cheap), cheap)
    shop.approve()

    shop.splitter.send(shop.buyer, "buy", shop.order(), cheap)

    assert not shop.is_bought()
    assert replace(shop, terms=cheap).is_bought()


def test_a_key_names_chain_splitter_offer_reference_payer_holder_and_deadline(shop: Shop) -> None:
    other = Contract(shop.evm, another_splitter(shop), "checkout_splitter")
    forked = shop.splitter.on(shop.evm.forked(CHAIN_ID + 1))
    keys = [
        shop.key(),
        shop.key(ANOTHER),
        shop.key(to=STRANGER.address),
        shop.key(deadline=DEADLINE - 1),
        shop.key(payer=STRANGER.address),
        replace(shop, terms=terms_of(shop.coin, price=1)).key(),
        other.ask("keyOf", offer_id(shop.terms), shop.order(), shop.buyer.address),
        forked.ask("keyOf", offer_id(shop.terms), shop.order(), shop.buyer.address),
    ]
    assert len(set(keys)) == len(keys)
    kinds = ["uint256", "address", "bytes32", "(bytes32,address,uint64)", "address"]
    order = (REFERENCE, hexed(shop.buyer.address), DEADLINE)
    place = [CHAIN_ID, hexed(shop.splitter.address), offer_id(shop.terms), order, hexed(shop.buyer.address)]
    assert keys[0] == keccak(encode(kinds, place))


def another_splitter(shop: Shop) -> bytes:
    code = artifact("checkout_splitter").bytecode
    return shop.evm.send(OWNER, b"", code + encode(["address"] * 3, [OWNER.address, shop.hub.address, NOBODY])).contract


def test_somebody_elses_purchase_of_the_same_order_is_another_key_and_can_go_back(shop: Shop) -> None:
    stranger = shop.visited(8)
    stranger.approve()
    stranger.splitter.send(stranger.buyer, "buy", shop.order(), shop.terms)  # the victim's order, as seen in a pool

    assert not shop.is_bought()
    shop.splitter.send(GATE, "refund", shop.order(), shop.terms, stranger.buyer.address, SHARES)
    shop.buy()

    assert shop.is_bought()
    assert shop.has_right()


def test_the_last_second_counts_and_the_next_does_not(shop: Shop) -> None:
    shop.approve(2 * PRICE)
    shop.evm.at(DEADLINE)
    shop.splitter.send(shop.buyer, "buy", shop.order(), shop.terms)
    shop.evm.at(DEADLINE + 1)

    with pytest.raises(Reverted, match=r"^late$"):
        shop.splitter.send(shop.buyer, "buy", shop.order(ANOTHER), shop.terms)


def test_a_term_ends_so_many_seconds_after_the_purchase(shop: Shop) -> None:
    month = terms_of(shop.coin, term=30 * 86_400)
    shop.splitter.send(GATE, "setOffer", offer_id(month), month)

    replace(shop, terms=month).buy()

    assert shop.hub.ask("expiresAt", shop.buyer.address, TOKEN) == NOW + 30 * 86_400


def test_the_right_may_be_somebody_elses(shop: Shop) -> None:
    shop.approve()
    shop.splitter.send(shop.buyer, "buy", shop.order(to=STRANGER.address), shop.terms)

    assert shop.has_right(STRANGER.address)
    assert not shop.has_right()


def test_nothing_is_bought_for_nobody(shop: Shop) -> None:
    shop.approve()
    with pytest.raises(Reverted, match=r"^to$"):
        shop.splitter.send(shop.buyer, "buy", shop.order(to=NOBODY), shop.terms)
    assert shop.holds(shop.splitter.address) == 0


def test_terms_that_were_never_offered_buy_nothing(shop: Shop) -> None:
    shop.approve()
    for terms in (
        terms_of(shop.coin, price=1),
        terms_of(shop.coin, token_id=TOKEN + 1),
        terms_of(shop.coin, term=1),
        terms_of(shop.coin, parts=((shop.buyer.address, 10_000),)),
    ):
        with pytest.raises(Reverted, match=r"^offer$"):
            shop.splitter.send(shop.buyer, "buy", shop.order(), terms)
    assert shop.holds(shop.splitter.address) == 0


def test_a_closed_offer_buys_nothing_until_it_is_set_again(shop: Shop) -> None:
    shop.splitter.send(GATE, "closeOffer", offer_id(shop.terms))
    with pytest.raises(Reverted, match=r"^offer$"):
        shop.buy()

    shop.splitter.send(GATE, "setOffer", offer_id(shop.terms), shop.terms)
    shop.buy()

    assert shop.is_bought()


def test_who_has_too_little_buys_nothing(shop: Shop) -> None:
    poor = shop.visited(9, coins=PRICE - 1)
    with pytest.raises(Reverted, match=r"^balance$"):
        poor.buy()
    assert not poor.has_right()
