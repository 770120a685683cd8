"""CheckoutSplitter: each function with what it does and, beside it, what it must not do."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import artifact
from hub.domain.anchors import NO_END
from tests.contracts import gas
from tests.contracts.evm import GATE, GUARD, NOBODY, NOW, OWNER, STRANGER, TOKEN, Account, Reverted, fresh_account
from tests.contracts.evm import Hub as EntitlementHub
from tests.contracts.splitter import (
    BLACKLISTING_COIN,
    DEADLINE,
    FEE_COIN,
    LYING_COIN,
    NO_COIN,
    PAUSER,
    PAYEES,
    PRICE,
    REENTRANT_COIN,
    REFERENCE,
    REFUNDER,
    SELLER,
    SHARES,
    SILENT_COIN,
    Contract,
    Shop,
    fresh_shop,
    offer_id,
    split_id,
    terms_of,
)

ANOTHER = keccak(b"another attempt")
BIG_SPLIT = tuple((keccak(b"payee %d" % n)[:20], 600 if n < 15 else 1_000) for n in range(16))


@pytest.fixture(scope="session")
def standing(deployed: EntitlementHub) -> Shop:
    return fresh_shop(deployed.copy())


@pytest.fixture
def shop(standing: Shop) -> Shop:
    """A shop of the test's own: one offer, a buyer with coins, nothing bought."""
    return standing.copy()


def with_coin(deployed: EntitlementHub, source: str) -> Shop:
    return fresh_shop(deployed.copy(), source)


def ways(shop: Shop) -> dict[str, tuple[object, ...]]:
    """Function → its arguments after order and terms, ready to be sent by the buyer."""
    shop.approve(shop.terms[1])  # type: ignore[arg-type]  # the price among terms of several types
    return {
        "buy": (),
        "buyWithPermit": shop.permit(),
        "buyWithAuthorization": (shop.buyer.address, *shop.authorization()),
    }


# ---- buying ----------------------------------------------------------------------------------------------------------


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
    proof = ways(shop)[way]

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
    other = Contract(shop.evm, another_splitter(shop), shop.splitter.abi)
    keys = [
        shop.key(),
        shop.key(ANOTHER),
        shop.key(to=STRANGER.address),
        shop.key(deadline=DEADLINE - 1),
        shop.key(payer=STRANGER.address),
        replace(shop, terms=terms_of(shop.coin, price=1)).key(),
        other.ask("keyOf", offer_id(shop.terms), shop.order(), shop.buyer.address),
    ]
    assert len(set(keys)) == len(keys)
    kinds = ["uint256", "address", "bytes32", "(bytes32,address,uint64)", "address"]
    order = (REFERENCE, hexed(shop.buyer.address), DEADLINE)
    place = [31_337, hexed(shop.splitter.address), offer_id(shop.terms), order, hexed(shop.buyer.address)]
    assert keys[0] == keccak(encode(kinds, place))


def another_splitter(shop: Shop) -> bytes:
    code = artifact("checkout_splitter").bytecode
    return shop.evm.send(OWNER, b"", code + encode(["address"] * 3, [OWNER.address, shop.hub.address, NOBODY])).contract


def test_somebody_elses_purchase_of_the_same_order_is_another_key_and_can_go_back(shop: Shop) -> None:
    stranger = buyer_of(shop, 8)
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
    poor = buyer_of(shop, 9, coins=PRICE - 1)
    with pytest.raises(Reverted, match=r"^balance$"):
        poor.buy()
    assert not poor.has_right()


# ---- coins -----------------------------------------------------------------------------------------------------------


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
    shop = with_coin(deployed, source)
    held = shop.holds(shop.buyer.address)
    with pytest.raises(Reverted, match=f"^{reason}$"):
        shop.buy()
    assert shop.holds(shop.buyer.address) == held
    assert not shop.is_bought()


def test_a_coin_that_answers_nothing_is_taken_paid_out_and_given_back(deployed: EntitlementHub) -> None:
    shop = with_coin(deployed, SILENT_COIN)
    shop.buy()
    shop.buy(ANOTHER)
    refund(shop)
    divide(shop)
    for payee in PAYEES:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)

    assert sum(shop.holds(payee) for payee in PAYEES) == PRICE
    assert shop.holds(shop.splitter.address) == 0
    assert shop.holds(shop.buyer.address) == 99 * PRICE


def test_a_permit_of_a_coin_that_knows_none_falls_back_on_the_allowance(deployed: EntitlementHub) -> None:
    shop = with_coin(deployed, SILENT_COIN)
    shop.approve()
    shop.splitter.send(shop.buyer, "buyWithPermit", shop.order(), shop.terms, 27, bytes(32), bytes(32))
    assert shop.has_right()


@pytest.mark.parametrize("function", ["buy", "buyWithPermit", "withdraw", "divide", "refund", "sweep"])
def test_a_coin_that_calls_back_gets_nowhere(deployed: EntitlementHub, function: str) -> None:
    shop = with_coin(deployed, REENTRANT_COIN)
    shop.buy(ANOTHER)
    divide(shop)
    inner = {
        "buy": (shop.order(), shop.terms),
        "buyWithPermit": (shop.order(), shop.terms, 27, bytes(32), bytes(32)),
        "withdraw": (shop.coin.address, PAYEES[0]),
        "divide": (shop.coin.address, SHARES),
        "refund": (shop.order(ANOTHER), shop.terms, shop.buyer.address, SHARES),
        "sweep": (shop.coin.address, STRANGER.address),
    }[function]
    shop.coin.send(OWNER, "arm", shop.splitter.address, shop.splitter.calldata(function, *inner))
    # It could do each of these, if the door were open: it has the roles, and an owner.
    shop.splitter.send(OWNER, "setRole", shop.coin.address, SELLER | REFUNDER)

    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[1])

    assert not shop.coin.ask("isIn")
    assert shop.due(PAYEES[0]) == PRICE * 9 // 10
    assert shop.holds(shop.splitter.address) == PRICE * 9 // 10


# ---- dividing and paying out -----------------------------------------------------------------------------------------


def divide(shop: Shop) -> None:
    shop.splitter.send(STRANGER, "divide", shop.coin.address, SHARES)


def refund(shop: Shop, reference: bytes = REFERENCE, by: Account = GATE) -> None:
    shop.splitter.send(by, "refund", shop.order(reference), shop.terms, shop.buyer.address, SHARES)


def test_what_came_in_is_divided_and_paid_out_once(shop: Shop) -> None:
    shop.buy()
    shop.buy(ANOTHER)

    divide(shop)
    divide(shop)

    assert [shop.due(payee) for payee in PAYEES] == [2 * PRICE * 9 // 10, 2 * PRICE // 10]
    assert shop.splitter.ask("undivided", shop.coin.address, split_id(SHARES)) == 0
    receipt = shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])
    assert shop.holds(PAYEES[0]) == 2 * PRICE * 9 // 10
    assert shop.splitter.logs(receipt, "Withdrawn") == [
        (hexed(shop.coin.address), hexed(PAYEES[0]), hexed(PAYEES[0]), 2 * PRICE * 9 // 10)
    ]
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])
    assert shop.due(PAYEES[1]) == 2 * PRICE // 10


def bps_vectors() -> st.SearchStrategy[tuple[int, ...]]:
    """Every way to cut 10,000 basis points into 1 to 16 parts, none of them empty."""
    cuts = st.lists(st.integers(1, 9_999), max_size=15, unique=True)
    return cuts.map(lambda at: tuple(b - a for a, b in zip([0, *sorted(at)], [*sorted(at), 10_000], strict=True)))


PRICES = st.integers(1, 2**100)


@given(bps=bps_vectors(), price=PRICES)
@settings(max_examples=8, deadline=None)
def test_06_19_parts_sum_to_the_price_for_every_split(standing: Shop, bps: tuple[int, ...], price: int) -> None:
    demand_whole(standing.copy(), bps, price)


@pytest.mark.chaos
@given(bps=bps_vectors(), price=PRICES)
@settings(max_examples=60, deadline=None)
def test_06_19_parts_sum_to_the_price_for_many_splits(standing: Shop, bps: tuple[int, ...], price: int) -> None:
    demand_whole(standing.copy(), bps, price)


def demand_whole(shop: Shop, bps: tuple[int, ...], price: int) -> None:
    """A purchase is divided to the last unit, each part rounded down but the last."""
    parts = tuple((keccak(b"party %d" % n)[:20], share) for n, share in enumerate(bps))
    selling = on_sale(shop, price=price, parts=parts)
    selling.coin.send(OWNER, "mint", shop.buyer.address, price)
    selling.buy()

    selling.splitter.send(STRANGER, "divide", shop.coin.address, parts)

    dues = [selling.due(payee) for payee, _ in parts]
    assert sum(dues) == price
    assert dues[:-1] == [price * share // 10_000 for share in bps[:-1]]
    assert 0 <= dues[-1] - price * bps[-1] // 10_000 < len(parts)


def test_buying_costs_the_same_however_many_share(shop: Shop) -> None:
    many = on_sale(shop, parts=BIG_SPLIT)
    assert many.copy().buy().gas_used == pytest.approx(shop.copy().buy().gas_used, abs=200)


def test_06_19_a_payee_who_cannot_be_paid_holds_up_nobody_and_has_a_way_out(deployed: EntitlementHub) -> None:
    shop = with_coin(deployed, BLACKLISTING_COIN)
    shut_out = fresh_account(shop.evm, 11)
    shop = on_sale(shop, parts=((shut_out.address, 5_000), (PAYEES[1], 5_000)))
    shop.buy()
    shop.splitter.send(STRANGER, "divide", shop.coin.address, ((shut_out.address, 5_000), (PAYEES[1], 5_000)))
    shop.coin.send(OWNER, "list", shut_out.address, True)

    with pytest.raises(Reverted, match=r"^listed$"):
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, shut_out.address)
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[1])
    shop.buy(ANOTHER)
    assert (shop.holds(PAYEES[1]), shop.due(shut_out.address)) == (PRICE // 2, PRICE // 2)

    shop.splitter.send(shut_out, "setPayeeAddress", PAYEES[0])
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, shut_out.address)
    assert (shop.holds(PAYEES[0]), shop.due(shut_out.address)) == (PRICE // 2, 0)


def test_nobody_sends_a_payees_money_elsewhere_but_that_payee(shop: Shop) -> None:
    shop.buy()
    divide(shop)
    shop.splitter.send(STRANGER, "setPayeeAddress", STRANGER.address)

    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])

    assert (shop.holds(PAYEES[0]), shop.holds(STRANGER.address)) == (PRICE * 9 // 10, 0)


def test_coins_that_bought_nothing_can_go_back_and_nothing_else_can(shop: Shop) -> None:
    shop.buy()
    divide(shop)
    shop.buy(ANOTHER)  # undivided
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)
    shop.coin.send(shop.buyer, "transfer", shop.splitter.address, 77)

    shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)

    assert shop.holds(STRANGER.address) == 77
    assert shop.holds(shop.splitter.address) == 2 * PRICE
    divide(shop)
    for payee in PAYEES:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)
    assert shop.holds(shop.splitter.address) == 0


# ---- giving back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_divided", [False, True])
def test_a_refund_gives_the_price_back_and_ends_the_right(shop: Shop, is_divided: bool) -> None:
    held = shop.holds(shop.buyer.address)
    shop.buy()
    if is_divided:
        divide(shop)

    receipt = shop.splitter.send(GATE, "refund", shop.order(), shop.terms, shop.buyer.address, SHARES)

    assert shop.holds(shop.buyer.address) == held
    assert shop.holds(shop.splitter.address) == 0
    assert [shop.due(payee) for payee in PAYEES] == [0, 0]
    assert not shop.has_right()
    [said] = shop.splitter.logs(receipt, "Refunded")
    assert said == (shop.key(), offer_id(shop.terms), hexed(shop.buyer.address), hexed(shop.coin.address), PRICE)


def test_a_purchase_is_given_back_once(shop: Shop) -> None:
    shop.buy()
    shop.buy(ANOTHER)
    refund(shop)

    with pytest.raises(Reverted, match=r"^refunded$"):
        refund(shop)

    assert shop.holds(shop.splitter.address) == PRICE
    assert shop.splitter.ask("isRefunded", shop.key())
    assert not shop.splitter.ask("isRefunded", shop.key(ANOTHER))


def test_a_refunded_order_is_not_bought_again(shop: Shop) -> None:
    shop.buy()
    refund(shop)
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
    shop.hub.send(OWNER, "setRole", STRANGER.address, 4)
    shop.hub.send(STRANGER, "revokeOrder", shop.key())  # known to the hub, and not by this contract
    with pytest.raises(Reverted, match=r"^unknown$"):
        refund(shop)


def test_a_refund_names_the_split_that_was_paid(shop: Shop) -> None:
    shop.buy()
    with pytest.raises(Reverted, match=r"^split$"):
        shop.splitter.send(GATE, "refund", shop.order(), shop.terms, shop.buyer.address, ((PAYEES[0], 10_000),))


def test_who_gives_back_tops_up_what_a_payee_has_been_paid_already(shop: Shop) -> None:
    shop.buy()
    divide(shop)
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])
    missing = PRICE * 9 // 10
    with pytest.raises(Reverted, match=r"^allowance$"):
        refund(shop)
    assert shop.has_right()

    shop.coin.send(OWNER, "mint", GATE.address, missing)
    shop.approve(missing, GATE)
    refund(shop)

    assert shop.holds(shop.buyer.address) == 100 * PRICE
    assert shop.holds(GATE.address) == 0
    assert shop.holds(PAYEES[0]) == missing
    assert shop.holds(shop.splitter.address) == 0


@pytest.mark.parametrize("paid", [(), PAYEES[:1], PAYEES[1:], PAYEES])
def test_after_any_payouts_a_refund_leaves_every_coin_accounted_for(shop: Shop, paid: Sequence[bytes]) -> None:
    sold, references = 2, (REFERENCE, ANOTHER)
    for reference in references:
        shop.buy(reference)
    divide(shop)
    for payee in paid:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)
    shop.coin.send(OWNER, "mint", GATE.address, PRICE)
    shop.approve(PRICE, GATE)

    refund(shop, references[0])

    assert shop.holds(shop.splitter.address) == sum(shop.due(payee) for payee in PAYEES)
    assert shop.holds(shop.buyer.address) == 100 * PRICE - (sold - 1) * PRICE
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)


def test_a_payer_whom_the_coin_refuses_is_owed_the_money(deployed: EntitlementHub) -> None:
    shop = with_coin(deployed, BLACKLISTING_COIN)
    shop.buy()
    shop.coin.send(OWNER, "list", shop.buyer.address, True)

    refund(shop)

    assert not shop.has_right()
    assert shop.due(shop.buyer.address) == PRICE
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)
    shop.splitter.send(shop.buyer, "setPayeeAddress", STRANGER.address)
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, shop.buyer.address)
    assert shop.holds(STRANGER.address) == PRICE


def test_a_refund_works_after_the_offer_the_coin_and_the_right_are_gone(shop: Shop) -> None:
    shop.buy()
    shop.splitter.send(GATE, "closeOffer", offer_id(shop.terms))
    shop.splitter.send(OWNER, "setToken", shop.coin.address, False)
    shop.hub.send(OWNER, "setRole", STRANGER.address, 4)
    shop.hub.send(STRANGER, "revokeOrder", shop.key())

    refund(shop)

    assert shop.holds(shop.buyer.address) == 100 * PRICE


# ---- pause and roles -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["buy", "buyWithPermit", "buyWithAuthorization"])
def test_06_20_pause_stops_buying(shop: Shop, way: str) -> None:
    proof = ways(shop)[way]
    shop.splitter.send(GATE, "pause")
    with pytest.raises(Reverted, match=r"^paused$"):
        shop.splitter.send(shop.buyer, way, shop.order(), shop.terms, *proof)
    assert shop.holds(shop.splitter.address) == 0

    shop.splitter.send(GATE, "unpause")
    shop.splitter.send(shop.buyer, way, shop.order(), shop.terms, *proof)
    assert shop.has_right()


def test_06_20_pause_stops_neither_dividing_nor_paying_out_nor_giving_back(shop: Shop) -> None:
    shop.buy()
    shop.buy(ANOTHER)
    shop.splitter.send(GATE, "pause")
    shop.hub.send(OWNER, "setRole", GUARD.address, 2)
    shop.hub.send(GUARD, "pause")

    refund(shop)
    divide(shop)
    for payee in PAYEES:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)

    assert shop.holds(shop.splitter.address) == 0
    assert shop.holds(shop.buyer.address) == 99 * PRICE


def test_a_paused_hub_stops_buying_too_and_no_money_moves(shop: Shop) -> None:
    shop.hub.send(OWNER, "setRole", GUARD.address, 2)
    shop.hub.send(GUARD, "pause")
    with pytest.raises(Reverted, match=r"^paused$"):
        shop.buy()
    assert shop.holds(shop.splitter.address) == 0


def test_a_coin_listed_during_a_pause_is_paused(shop: Shop) -> None:
    shop.splitter.send(OWNER, "setToken", shop.coin.address, False)
    shop.splitter.send(GATE, "pause")
    shop.splitter.send(OWNER, "setToken", shop.coin.address, True)
    with pytest.raises(Reverted, match=r"^paused$"):
        shop.buy()
    shop.splitter.send(GATE, "unpause")
    shop.buy()
    assert shop.has_right()


def test_pausing_twice_is_refused(shop: Shop) -> None:
    with pytest.raises(Reverted, match=r"^not paused$"):
        shop.splitter.send(GATE, "unpause")
    shop.splitter.send(GATE, "pause")
    with pytest.raises(Reverted, match=r"^paused$"):
        shop.splitter.send(GATE, "pause")


@pytest.mark.parametrize(
    ("function", "role", "reason"),
    [
        ("setSplit", SELLER, "role"),
        ("setOffer", SELLER, "role"),
        ("closeOffer", SELLER, "role"),
        ("refund", REFUNDER, "role"),
        ("pause", PAUSER, "role"),
        ("unpause", PAUSER, "role"),
        ("setToken", 0, "owner"),
        ("setRole", 0, "owner"),
        ("proposeOwner", 0, "owner"),
        ("sweep", 0, "owner"),
        ("acceptOwner", 0, "proposed"),
    ],
)
def test_who_lacks_the_role_is_refused(shop: Shop, function: str, role: int, reason: str) -> None:
    shop.buy()
    arguments: tuple[object, ...] = {
        "setSplit": (split_id(SHARES), SHARES),
        "setOffer": (offer_id(shop.terms), shop.terms),
        "closeOffer": (offer_id(shop.terms),),
        "refund": (shop.order(), shop.terms, shop.buyer.address, SHARES),
        "setToken": (STRANGER.address, True),
        "setRole": (STRANGER.address, 7),
        "proposeOwner": (STRANGER.address,),
        "sweep": (shop.coin.address, STRANGER.address),
    }.get(function, ())
    shop.splitter.send(OWNER, "setRole", STRANGER.address, 7 & ~role)
    before = shop.evm.header.state_root
    with pytest.raises(Reverted, match=f"^{reason}$"):
        shop.splitter.send(STRANGER, function, *arguments)
    assert shop.evm.header.state_root == before


def test_the_owner_changes_in_two_steps(shop: Shop) -> None:
    shop.splitter.send(OWNER, "proposeOwner", STRANGER.address)
    assert shop.splitter.ask("owner") == hexed(OWNER.address)
    shop.splitter.send(STRANGER, "acceptOwner")
    assert shop.splitter.ask("owner") == hexed(STRANGER.address)
    with pytest.raises(Reverted, match=r"^owner$"):
        shop.splitter.send(OWNER, "setToken", STRANGER.address, True)


def test_without_the_minter_role_nothing_is_bought_and_no_money_moves(shop: Shop) -> None:
    shop.hub.send(OWNER, "setRole", shop.splitter.address, 0)
    with pytest.raises(Reverted, match=r"^role$"):
        shop.buy()
    assert shop.holds(shop.splitter.address) == 0


def test_06_24_buying_stays_under_its_gas_goal() -> None:
    checkout = json.loads(gas.TABLE.read_text(encoding="utf-8"))["checkout"]
    assert checkout["buy_with_permit_next"] <= 130_000
    assert max(checkout.values()) <= 200_000


# ---- what is on sale -------------------------------------------------------------------------------------------------


def on_sale(
    shop: Shop, *, price: int = PRICE, parts: Sequence[tuple[bytes, int]] = SHARES, token_id: int = TOKEN
) -> Shop:
    terms = terms_of(shop.coin, price=price, parts=parts, token_id=token_id)
    shop.splitter.send(GATE, "setSplit", split_id(parts), parts)
    shop.splitter.send(GATE, "setOffer", offer_id(terms), terms)
    return replace(shop, terms=terms)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((), "bps"),
        (((PAYEES[0], 9_999),), "bps"),
        (((PAYEES[0], 10_000), (PAYEES[1], 1)), "bps"),
        (((PAYEES[0], 10_000), (PAYEES[1], 0)), "bps"),
        (((PAYEES[0], 65_535), (PAYEES[1], 10_001)), "bps"),
        (((NOBODY, 10_000),), "payee"),
    ],
)
def test_a_split_that_does_not_add_up_is_refused(shop: Shop, parts: tuple[tuple[bytes, int], ...], reason: str) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        shop.splitter.send(GATE, "setSplit", split_id(parts), parts)
    assert not shop.splitter.ask("isSplit", split_id(parts))


def test_a_name_is_the_hash_of_what_it_stands_for(shop: Shop) -> None:
    with pytest.raises(Reverted, match=r"^id$"):
        shop.splitter.send(GATE, "setSplit", split_id(SHARES), BIG_SPLIT)
    with pytest.raises(Reverted, match=r"^id$"):
        shop.splitter.send(GATE, "setOffer", offer_id(shop.terms), terms_of(shop.coin, price=1))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"price": 0}, "price"),
        ({"token_id": 0}, "tokenId"),
        ({"term": 2**48}, "term"),
        ({"parts": BIG_SPLIT}, "split"),
    ],
)
def test_an_offer_that_could_not_be_kept_is_refused(shop: Shop, changed: dict[str, object], reason: str) -> None:
    terms = terms_of(shop.coin, **changed)  # type: ignore[arg-type]  # one of several keywords
    with pytest.raises(Reverted, match=f"^{reason}$"):
        shop.splitter.send(GATE, "setOffer", offer_id(terms), terms)
    assert not shop.splitter.ask("isOpen", offer_id(terms))


def test_an_offer_in_a_coin_that_is_not_taken_is_refused(shop: Shop) -> None:
    terms = terms_of(shop.hub)
    with pytest.raises(Reverted, match=r"^token$"):
        shop.splitter.send(GATE, "setOffer", offer_id(terms), terms)


def test_setting_what_is_set_says_nothing_and_changes_nothing(shop: Shop) -> None:
    again = shop.splitter.send(GATE, "setSplit", split_id(SHARES), SHARES)
    also = shop.splitter.send(GATE, "setOffer", offer_id(shop.terms), shop.terms)
    assert again.logs == also.logs == ()


def test_only_so_many_coins_are_listed_at_a_time(shop: Shop) -> None:
    coins = [keccak(b"coin %d" % n)[:20] for n in range(8)]
    for coin in coins[:7]:
        shop.splitter.send(OWNER, "setToken", coin, True)
    with pytest.raises(Reverted, match=r"^tokens$"):
        shop.splitter.send(OWNER, "setToken", coins[7], True)
    shop.splitter.send(OWNER, "setToken", coins[0], False)
    shop.splitter.send(OWNER, "setToken", coins[7], True)
    assert [shop.splitter.ask("isTaken", coin) for coin in coins] == [False, *[True] * 7]


def test_the_events_of_split_and_offer_tell_their_terms(shop: Shop) -> None:
    halves = ((PAYEES[1], 5_000), (PAYEES[0], 5_000))
    receipt = shop.splitter.send(GATE, "setSplit", split_id(halves), halves)
    parts = tuple((hexed(payee), bps) for payee, bps in halves)
    assert shop.splitter.logs(receipt, "SplitSet") == [(split_id(halves), parts)]
    terms = terms_of(shop.coin, parts=halves, term=60)
    receipt = shop.splitter.send(GATE, "setOffer", offer_id(terms), terms)
    told = (hexed(shop.coin.address), PRICE, TOKEN, 60, split_id(halves))
    assert shop.splitter.logs(receipt, "OfferSet") == [(offer_id(terms), told)]


def hexed(address: bytes) -> str:
    return "0x" + address.hex()


def buyer_of(shop: Shop, number: int, coins: int = 100 * PRICE) -> Shop:
    """The same shop with another buyer."""
    account = fresh_account(shop.evm, number)
    shop.coin.send(OWNER, "mint", account.address, coins)
    return replace(shop, buyer=account)
