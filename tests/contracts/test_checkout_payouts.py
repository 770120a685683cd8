"""CheckoutSplitter: every coin that came in is divided among its payees and paid out, once."""

import pytest
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.coins import BLACKLISTING_COIN, blacklist, shop_with
from tests.contracts.evm import NOBODY, OWNER, STRANGER, Reverted, fresh_account
from tests.contracts.evm import Hub as EntitlementHub
from tests.contracts.splitter import (
    ANOTHER,
    PAYEES,
    PRICE,
    SHARES,
    Shop,
    hexed,
    split_id,
)

BIG_SPLIT = tuple((keccak(b"payee %d" % n)[:20], 600 if n < 15 else 1_000) for n in range(16))


def test_what_came_in_is_divided_and_paid_out_once(shop: Shop) -> None:
    shop.buy()
    shop.buy(ANOTHER)

    assert shop.splitter.logs(shop.divide(), "Divided") == [(hexed(shop.coin.address), split_id(SHARES), 2 * PRICE)]
    assert shop.divide().logs == ()

    assert [shop.due(payee) for payee in PAYEES] == [2 * PRICE * 9 // 10, 2 * PRICE // 10]
    assert shop.splitter.ask("undivided", shop.coin.address, split_id(SHARES)) == 0
    receipt = shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])
    assert shop.holds(PAYEES[0]) == int.from_bytes(receipt.output) == 2 * PRICE * 9 // 10
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
    selling = shop.sells(price=price, parts=parts)
    selling.coin.send(OWNER, "mint", shop.buyer.address, price)
    selling.buy()

    selling.splitter.send(STRANGER, "divide", shop.coin.address, parts)

    dues = [selling.due(payee) for payee, _ in parts]
    assert sum(dues) == price
    assert dues[:-1] == [price * share // 10_000 for share in bps[:-1]]
    assert 0 <= dues[-1] - price * bps[-1] // 10_000 < len(parts)


def test_buying_costs_the_same_however_many_share(shop: Shop) -> None:
    many = shop.sells(parts=BIG_SPLIT)
    assert many.copy().buy().gas_used == pytest.approx(shop.copy().buy().gas_used, abs=200)


def test_06_19_a_payee_who_cannot_be_paid_holds_up_nobody_and_has_a_way_out(deployed: EntitlementHub) -> None:
    shop = shop_with(deployed, BLACKLISTING_COIN)
    shut_out = fresh_account(shop.evm, 11)
    shop = shop.sells(parts=((shut_out.address, 5_000), (PAYEES[1], 5_000)))
    shop.buy()
    shop.splitter.send(STRANGER, "divide", shop.coin.address, ((shut_out.address, 5_000), (PAYEES[1], 5_000)))
    blacklist(shop.coin, shut_out.address)

    with pytest.raises(Reverted, match=r"^listed$"):
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, shut_out.address)
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[1])
    shop.buy(ANOTHER)
    assert (shop.holds(PAYEES[1]), shop.due(shut_out.address)) == (PRICE // 2, PRICE // 2)

    receipt = shop.splitter.send(shut_out, "setPayeeAddress", PAYEES[0])
    assert shop.splitter.logs(receipt, "PayeeAddressSet") == [(hexed(shut_out.address), hexed(PAYEES[0]))]
    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, shut_out.address)
    assert (shop.holds(PAYEES[0]), shop.due(shut_out.address)) == (PRICE // 2, 0)


def test_nobody_sends_a_payees_money_elsewhere_but_that_payee(shop: Shop) -> None:
    shop.buy()
    shop.divide()
    shop.splitter.send(STRANGER, "setPayeeAddress", STRANGER.address)

    shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0])

    assert (shop.holds(PAYEES[0]), shop.holds(STRANGER.address)) == (PRICE * 9 // 10, 0)


def test_coins_that_bought_nothing_can_go_back_and_nothing_else_can(shop: Shop) -> None:
    shop.buy()
    shop.divide()
    shop.buy(ANOTHER)  # undivided
    with pytest.raises(Reverted, match=r"^nothing$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)
    shop.coin.send(shop.buyer, "transfer", shop.splitter.address, 77)

    receipt = shop.splitter.send(OWNER, "sweep", shop.coin.address, STRANGER.address)

    assert shop.holds(STRANGER.address) == int.from_bytes(receipt.output) == 77
    assert shop.splitter.logs(receipt, "Swept") == [(hexed(shop.coin.address), hexed(STRANGER.address), 77)]
    assert shop.holds(shop.splitter.address) == 2 * PRICE
    shop.divide()
    for payee in PAYEES:
        shop.splitter.send(STRANGER, "withdraw", shop.coin.address, payee)
    assert shop.holds(shop.splitter.address) == 0


def test_nothing_is_swept_to_nobody(deployed: EntitlementHub) -> None:
    shop = shop_with(deployed, BLACKLISTING_COIN)  # which would let it
    shop.coin.send(OWNER, "mint", shop.splitter.address, 77)
    with pytest.raises(Reverted, match=r"^to$"):
        shop.splitter.send(OWNER, "sweep", shop.coin.address, NOBODY)
