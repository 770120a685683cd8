"""Ids sort by their moment, a Draw repeats itself, and garbage names nothing."""

import hashlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.ids import ALPHABET, ID_LENGTH, PREFIXES, Draw, base32, fingerprint, kind_of

SEED = bytes(32)
moments = st.integers(0, 2**48 * 1000 - 1)
seeds = st.binary(min_size=32, max_size=32)


def number(id_: str) -> int:
    value = 0
    for character in id_.partition("_")[2]:
        value = value << 5 | ALPHABET.index(character)
    return value


@given(moments, moments, seeds, seeds)
@settings(max_examples=150, deadline=None)
def test_ids_sort_by_millisecond(earlier: int, later: int, one: bytes, other: bytes) -> None:
    a, b = Draw(earlier, one).id("ord"), Draw(later, other).id("ord")
    if earlier // 1000 < later // 1000:
        assert a < b
    elif earlier // 1000 > later // 1000:
        assert a > b


@given(moments, seeds)
@settings(max_examples=80, deadline=None)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_millisecond(now_us: int, seed: bytes) -> None:
    value = number(Draw(now_us, seed).id("ord", 1))
    assert value >> 80 == now_us // 1000
    assert value >> 76 & 0xF == 7
    assert value >> 62 & 0x3 == 0b10
    assert value < 2**128


def test_a_draw_repeats_itself_and_other_parts_give_other_ids() -> None:
    one, again = Draw(1_000_000, SEED), Draw(1_000_000, SEED)
    parts: list[tuple[object, ...]] = [(), ("a",), ("b",), ("a", "b"), ("ab",), ("a, b",), (1,), ("1",), (None,)]
    ids = [one.id("grt", *part) for part in parts]
    assert ids == [again.id("grt", *part) for part in parts]
    assert len({id_[4:] for id_ in ids} | {one.id("ent")[4:]}) == len(parts) + 1


def test_another_seed_gives_other_ids_salts_and_order_numbers() -> None:
    one, other = Draw(1, SEED), Draw(1, bytes([1]) + SEED[1:])
    assert one.id("ord") != other.id("ord")
    assert one.bytes("salt") != other.bytes("salt")
    assert one.order_number() != other.order_number()


def test_drawn_bytes_are_a_hash_so_that_no_id_tells_the_seed() -> None:
    drawn = Draw(0, SEED).bytes("salt", 1)
    assert len(drawn) == hashlib.sha256().digest_size
    assert drawn != Draw(0, SEED).bytes("salt", 2)


@given(moments, seeds)
@settings(max_examples=60, deadline=None)
def test_an_order_number_is_fifteen_characters_that_nobody_misreads(now_us: int, seed: bytes) -> None:
    text = Draw(now_us, seed).order_number()
    assert len(text) == 15
    assert text.startswith("TB")
    assert set(text[2:]) <= set(ALPHABET.upper())
    assert text == Draw(now_us + 1, seed).order_number()  # no time in it


@given(st.integers(0, 2**130 - 1))
@example(0)
@example(2**130 - 1)
@settings(max_examples=60, deadline=None)
def test_base32_keeps_the_number_and_its_order(value: int) -> None:
    text = base32(value, ID_LENGTH)
    assert len(text) == ID_LENGTH
    assert number(f"x_{text}") == value
    assert value == 0 or base32(value - 1, ID_LENGTH) < text


def test_the_alphabet_sorts_as_bytes_and_lacks_what_is_misread() -> None:
    assert list(ALPHABET) == sorted(set(ALPHABET))
    assert len(ALPHABET) == 32
    assert not set("ilou") & set(ALPHABET)


@pytest.mark.parametrize(("prefix", "kind"), sorted(PREFIXES.items()))
def test_the_prefix_names_the_kind(prefix: str, kind: str) -> None:
    assert kind_of(Draw(1, SEED).id(prefix)) == kind


def test_each_prefix_names_another_kind() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)
    assert all(prefix.isalpha() and "_" not in prefix for prefix in PREFIXES)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "_",
        "usr",
        "usr_",
        "usr_" + "0" * 25,
        "usr_" + "0" * 27,
        "usr_" + "u" * 26,
        "usr_" + "A" * 26,
        "USR_" + "0" * 26,
        "xyz_" + "0" * 26,
        "_" + "0" * 26,
        "usr__" + "0" * 25,
        "usr_" + "٠" * 26,
        " usr_" + "0" * 26,
        "usr_" + "0" * 26 + "\n",
        "usr_" + "0" * 25 + "\x00",
        "usr_" + "\ud800" * 26,
    ],
)
def test_garbage_names_nothing(garbage: str) -> None:
    assert kind_of(garbage) is None


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_parsed_without_a_fault(text: str) -> None:
    assert kind_of(text) is None


def test_equal_inputs_have_one_fingerprint_whatever_the_order_of_their_keys() -> None:
    one = fingerprint("paymentCreate", {"orderId": "ord_1", "expectedAmount": [990, "CNY"], "method": None})
    other = fingerprint("paymentCreate", {"method": None, "expectedAmount": [990, "CNY"], "orderId": "ord_1"})
    assert one == other
    assert len(one) == 64


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("orderCreate", {"amount": 990}),
        ("paymentCreate", {"amount": 991}),
        ("paymentCreate", {"amount": "990"}),
        ("paymentCreate", {"amount": 990, "method": None}),
        ("paymentCreate", {}),
    ],
)
def test_another_input_or_mutation_has_another_fingerprint(operation: str, body: dict[str, object]) -> None:
    assert fingerprint(operation, body) != fingerprint("paymentCreate", {"amount": 990})


def test_half_a_character_has_a_fingerprint_too() -> None:
    assert fingerprint("o", {"text": "\ud800"}) != fingerprint("o", {"text": "\ud801"})
