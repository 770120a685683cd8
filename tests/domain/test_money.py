"""Money is exact or refused, and a split loses nothing."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.money import (
    CURRENCIES,
    MAX_MINOR,
    MAX_PRICE_MINOR,
    Money,
    decimal_text,
    from_decimal,
    largest_remainder,
)

amounts = st.integers(0, 10**3) | st.integers(0, 10**30)
weights = st.lists(st.integers(0, 10_000), min_size=1, max_size=16).filter(any)


@pytest.mark.parametrize("amount_minor", [0, 1, 2**53 - 1, 2**53, 2**53 + 1, MAX_MINOR])
def test_money_keeps_every_unit(amount_minor: int) -> None:
    assert Money(amount_minor, "CNY").amount_minor == amount_minor


@pytest.mark.parametrize("amount_minor", [-1, MAX_MINOR + 1, -(2**63)])
def test_money_out_of_range_is_refused(amount_minor: int) -> None:
    with pytest.raises(ValueError, match=f"between 0 and {MAX_MINOR}"):
        Money(amount_minor, "CNY")


@pytest.mark.parametrize("amount", ["1e2", "100", 1.0, 0.1, float("nan"), float("inf"), True, False, None, b"1"])
def test_money_that_is_no_integer_is_refused(amount: object) -> None:
    with pytest.raises(TypeError, match="integer number of minor units"):
        Money(amount, "CNY")  # type: ignore[arg-type]  # wrong amounts are what is tried


@pytest.mark.parametrize("currency", ["", "cny", "RMB", "XXX", "CNY ", "BTC", None])
def test_money_in_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="unknown currency"):
        Money(1, currency)


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(0, MAX_PRICE_MINOR))
def test_decimal_text_is_read_back_to_the_unit(currency: str, amount_minor: int) -> None:
    money = Money(amount_minor, currency)
    assert from_decimal(money.decimal, currency) == money


@pytest.mark.parametrize("text", ["", "1.", ".5", "1.005", "-1", "1e3", "1,000", " 1", "١", "1.0.0"])
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of CNY"):
        from_decimal(text, "CNY")


def test_the_greatest_price_is_exact_as_a_javascript_number() -> None:
    assert int(float(MAX_PRICE_MINOR)) == MAX_PRICE_MINOR
    assert int(float(MAX_PRICE_MINOR + 1)) != MAX_PRICE_MINOR + 1


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(990, "CNY"), "9.90"),
        (Money(5, "USD"), "0.05"),
        (Money(0, "EUR"), "0.00"),
        (Money(1500, "JPY"), "1500"),
        (Money(0, "JPY"), "0"),
        (Money(1, "KWD"), "0.001"),
        (Money(MAX_MINOR, "CNY"), "92233720368547758.07"),
    ],
)
def test_money_is_written_with_its_currency_s_decimals(money: Money, text: str) -> None:
    assert money.decimal == text


@given(st.integers(-(10**24), 10**24), st.integers(0, 18))
@example(-5, 2)
@settings(max_examples=60, deadline=None)
def test_decimal_text_is_exact(amount: int, scale: int) -> None:
    text = decimal_text(amount, scale)
    assert Fraction(text) == Fraction(amount, 10**scale)
    assert len(text.partition(".")[2]) == scale


def test_every_currency_has_a_code_of_three_letters_and_at_most_three_decimals() -> None:
    assert all(len(code) == 3 and code.isupper() and 0 <= scale <= 3 for code, scale in CURRENCIES.items())


@pytest.mark.parametrize(
    ("amount", "by", "parts"),
    [
        (1, [1] * 7, [1, 0, 0, 0, 0, 0, 0]),
        (6, [1] * 7, [1, 1, 1, 1, 1, 1, 0]),
        (100, [0, 10_000], [0, 100]),
        (990, [10_000], [990]),
        (990, [8_500, 1_000, 500], [842, 99, 49]),  # 841.5, 99, 49.5: the tie goes to the earlier
        (10, [3_333, 3_333, 3_334], [3, 3, 4]),
        (0, [5_000, 5_000], [0, 0]),
        (0, [], []),
        (0, [0, 0], [0, 0]),
        (10**18 + 1, [5_000, 5_000], [5 * 10**17 + 1, 5 * 10**17]),
        (2**53 + 1, [1, 1], [2**52 + 1, 2**52]),
    ],
)
def test_splits_that_go_wrong_elsewhere(amount: int, by: list[int], parts: list[int]) -> None:
    assert largest_remainder(amount, by) == parts


@given(amounts, weights)
@settings(max_examples=300, deadline=None)
def test_a_split_loses_nothing_and_strays_less_than_a_unit(amount: int, by: list[int]) -> None:
    parts = largest_remainder(amount, by)
    assert sum(parts) == amount
    for part, weight in zip(parts, by, strict=True):
        assert part >= 0
        assert weight or part == 0
        assert abs(part - Fraction(amount * weight, sum(by))) < 1


@given(amounts, weights)
@settings(max_examples=150, deadline=None)
def test_units_left_over_go_to_the_largest_remainders_and_among_equals_to_the_earlier(
    amount: int, by: list[int]
) -> None:
    parts = largest_remainder(amount, by)
    ranking = [
        (-(amount * weight % sum(by)), i, part - amount * weight // sum(by))
        for i, (weight, part) in enumerate(zip(by, parts, strict=True))
    ]
    extras = [extra for _, _, extra in sorted(ranking)]
    assert extras == sorted(extras, reverse=True)
    assert set(extras) <= {0, 1}


@given(amounts, weights, st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_only_the_proportion_of_weights_counts(amount: int, by: list[int], factor: int) -> None:
    assert largest_remainder(amount, [weight * factor for weight in by]) == largest_remainder(amount, by)


@pytest.mark.parametrize(("amount", "by"), [(-1, [1]), (1, [1, -1]), (1, [2, -1]), (1, []), (1, [0, 0])])
def test_a_split_that_has_no_answer_is_refused(amount: int, by: list[int]) -> None:
    with pytest.raises(ValueError, match="weight"):
        largest_remainder(amount, by)


@pytest.mark.parametrize(("amount", "by"), [(10.0, [1, 2]), (float("nan"), [1]), (10, [0.5, 0.5]), ("1e2", [1])])
def test_a_float_is_never_split(amount: int, by: list[int]) -> None:
    with pytest.raises(TypeError):
        largest_remainder(amount, by)
