"""Names and amounts of purchases on chain: the same as Solidity's and Vyper's abi.encode give."""

import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.checkout import (
    Part,
    Purchase,
    Terms,
    Wallet,
    money_of,
    offer_id,
    order_key,
    order_key_in,
    parts_of,
    split_id,
    units_of,
    wallet_of,
)
from hub.domain.money import MAX_MINOR, Money

ALICE, BOB = bytes([1]) * 20, bytes([2]) * 20
TERMS = Terms(ALICE, 12_340_000, 7 << 160, 60, keccak(b"split"))
PURCHASE = Purchase(keccak(b"reference"), ALICE, 1_800_000_000, BOB)


def test_names_are_the_hashes_of_what_they_stand_for() -> None:
    parts = [Part(ALICE, 9_000), Part(BOB, 1_000)]
    plain = [("0x" + ALICE.hex(), 9_000), ("0x" + BOB.hex(), 1_000)]
    assert split_id(parts, keccak) == keccak(encode(["(address,uint16)[]"], [plain]))

    terms = ("0x" + ALICE.hex(), TERMS.price, TERMS.token_id, TERMS.term, TERMS.split_id)
    offer = keccak(encode(["(address,uint128,uint256,uint64,bytes32)"], [terms]))
    assert offer_id(TERMS, keccak) == offer

    kinds = ["uint256", "address", "bytes32", "(bytes32,address,uint64)", "address"]
    order = (PURCHASE.reference, "0x" + ALICE.hex(), PURCHASE.deadline)
    wanted = keccak(encode(kinds, [31_337, "0x" + BOB.hex(), offer, order, "0x" + BOB.hex()]))
    assert order_key(31_337, BOB, offer, PURCHASE, keccak) == wanted


@given(minor=st.integers(0, 2**53), decimals=st.integers(2, 18))
def test_money_becomes_units_and_money_again(minor: int, decimals: int) -> None:
    units = units_of(Money(minor, "USD"), decimals)
    assert units == minor * 10 ** (decimals - 2)
    assert money_of(units, "USD", decimals) == Money(minor, "USD")


def test_what_has_no_exact_form_is_refused() -> None:
    assert units_of(Money(1_234, "KWD"), 2) is None
    assert units_of(Money(1_230, "KWD"), 2) == 123
    assert money_of(12_345, "USD", 6) is None
    assert money_of(20_000, "USD", 6) == Money(2, "USD")
    assert money_of(5, "KWD", 2) == Money(50, "KWD")
    assert money_of((MAX_MINOR + 1) * 10**4, "USD", 6) is None


def test_shares_become_parts_of_addresses() -> None:
    addresses = {"pye_1": ALICE, "pye_2": BOB, None: BOB}
    shares = (("pye_1", 7_000), ("pye_2", 2_000), (None, 1_000), ("pye_3", 0))
    assert parts_of(shares, addresses.get) == [Part(ALICE, 7_000), Part(BOB, 3_000)]
    with pytest.raises(KeyError, match="pye_3"):
        parts_of((("pye_3", 10_000),), addresses.get)


@pytest.mark.parametrize(
    "method", [None, "", "permit", "permit:", "permit:0x12", "card:0x" + "11" * 20, "permit:" + "11" * 21,
               "permit:0x" + "zz" * 20, "permit:0x" + "00" * 20, "permit:0x" + "11" * 20 + "0"]
)  # fmt: skip
def test_no_wallet_is_seen_where_none_is_named(method: str | None) -> None:
    assert wallet_of(method) is None


@pytest.mark.parametrize("way", ["permit", "authorization", "approve"])
def test_a_wallet_is_way_and_address(way: str) -> None:
    assert wallet_of(f"{way}:0x{'aB' * 20}") == Wallet(way, bytes([0xAB]) * 20)


@pytest.mark.parametrize("reference", [None, "", "0x", "ab" * 33, "0x" + "ab" * 31, "0x" + "AB" * 32, "0x" + "zz" * 32])
def test_no_order_key_is_seen_where_none_is_told(reference: str | None) -> None:
    assert order_key_in(reference) is None


def test_an_order_key_is_0x_and_64_digits() -> None:
    assert order_key_in("0x" + "ab" * 32) == bytes([0xAB]) * 32
