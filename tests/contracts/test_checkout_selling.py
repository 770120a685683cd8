"""CheckoutSplitter: who may do what, what a pause stops, and what can be on sale."""

import json

import pytest
from eth_utils import keccak

from contracts import abi
from tests.contracts import gas
from tests.contracts.evm import GATE, GUARD, NOBODY, OWNER, STRANGER, TOKEN, Reverted
from tests.contracts.splitter import (
    ANOTHER,
    PAUSER,
    PAYEES,
    PRICE,
    REFUNDER,
    SELLER,
    SHARES,
    Shop,
    hexed,
    offer_id,
    split_id,
    terms_of,
)

BIG_SPLIT = tuple((keccak(b"payee %d" % n)[:20], 600 if n < 15 else 1_000) for n in range(16))


@pytest.mark.parametrize("way", ["buy", "buyWithPermit", "buyWithAuthorization"])
def test_06_20_pause_stops_buying(shop: Shop, way: str) -> None:
    proof = shop.ways()[way]
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

    shop.refund()
    shop.divide()
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


def test_pausing_is_told_and_twice_it_is_refused(shop: Shop) -> None:
    with pytest.raises(Reverted, match=r"^not paused$"):
        shop.splitter.send(GATE, "unpause")
    receipt = shop.splitter.send(GATE, "pause")
    assert shop.splitter.logs(receipt, "Paused") == [(hexed(GATE.address),)]
    with pytest.raises(Reverted, match=r"^paused$"):
        shop.splitter.send(GATE, "pause")
    receipt = shop.splitter.send(GATE, "unpause")
    assert shop.splitter.logs(receipt, "Unpaused") == [(hexed(GATE.address),)]


def test_a_pause_reaches_every_coin_after_others_came_twice_and_left_twice(shop: Shop) -> None:
    one, two, three = (keccak(b"coin %d" % n)[:20] for n in range(3))
    for coin in (one, two, three, one):
        shop.splitter.send(OWNER, "setToken", coin, True)
    for coin in (two, two, one):
        shop.splitter.send(OWNER, "setToken", coin, False)
    shop.splitter.send(GATE, "pause")
    for coin, reason in ((shop.coin.address, "paused"), (three, "paused"), (one, "token"), (two, "token")):
        with pytest.raises(Reverted, match=f"^{reason}$"):
            shop.splitter.send(shop.buyer, "buy", shop.order(), (coin, *shop.terms[1:]))


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


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("setRole", (NOBODY, SELLER), "account"),
        ("setRole", (STRANGER.address, 8), "roles"),
        ("setToken", (NOBODY, True), "token"),
    ],
)
def test_what_the_owner_cannot_mean_is_refused(
    shop: Shop, function: str, arguments: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(Reverted, match=f"^{reason}$"):
        shop.splitter.send(OWNER, function, *arguments)


def test_a_splitter_is_born_with_owner_hub_and_seller(shop: Shop) -> None:
    without = shop.evm.send(OWNER, b"", abi.creation("checkout_splitter", OWNER.address, shop.hub.address, NOBODY))
    assert shop.splitter.logs(without, "OwnerChanged") == [(hexed(NOBODY), hexed(OWNER.address))]
    assert shop.splitter.logs(without, "RoleSet") == []
    assert shop.splitter.ask("hub") == hexed(shop.hub.address)
    assert shop.splitter.ask("roles", GATE.address) == SELLER | REFUNDER | PAUSER
    for owner, hub, reason in ((NOBODY, shop.hub.address, "owner"), (OWNER.address, NOBODY, "hub")):
        with pytest.raises(Reverted, match=f"^{reason}$"):
            shop.evm.send(OWNER, b"", abi.creation("checkout_splitter", owner, hub, GATE.address))


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


def test_what_is_closed_is_told_once(shop: Shop) -> None:
    first, again = (shop.splitter.send(GATE, "closeOffer", offer_id(shop.terms)) for _ in range(2))
    assert shop.splitter.logs(first, "OfferClosed") == [(offer_id(shop.terms),)]
    assert again.logs == ()


def test_roles_and_coins_are_told(shop: Shop) -> None:
    receipt = shop.splitter.send(OWNER, "setRole", STRANGER.address, PAUSER)
    assert shop.splitter.logs(receipt, "RoleSet") == [(hexed(STRANGER.address), PAUSER)]
    for is_taken in (False, True):
        receipt = shop.splitter.send(OWNER, "setToken", shop.coin.address, is_taken)
        assert shop.splitter.logs(receipt, "TokenSet") == [(hexed(shop.coin.address), is_taken)]


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
