"""A listing is stored as it is or refused with the field's name, and a price is never mended."""

from dataclasses import replace

import pytest

from hub.domain.catalogue import (
    MAX_EXTERNAL_ID,
    MAX_SUMMARY,
    MAX_TITLE,
    MAX_URL,
    ListingDraft,
    asked_price,
    checked,
    is_storable,
)
from hub.domain.money import MAX_PRICE_MINOR, Money
from hub.domain.refusals import InvalidInput

DRAFT = ListingDraft("c-1", "通宝 for beginners", price=Money(990, "CNY"))


def refused_field(draft: ListingDraft) -> str | None:
    refusal = checked(draft)
    return None if refusal is None else refusal.field


@pytest.mark.parametrize(
    "draft",
    [
        DRAFT,
        replace(DRAFT, price=None, price_text="from 9.90 a month"),
        replace(DRAFT, price=Money(0, "CNY")),
        replace(DRAFT, price=Money(MAX_PRICE_MINOR, "CNY")),
        replace(DRAFT, title="t" * MAX_TITLE, external_id="e" * MAX_EXTERNAL_ID, summary="s" * MAX_SUMMARY),
        replace(DRAFT, url="https://" + "u" * (MAX_URL - 8)),
        replace(DRAFT, title="", course_id="crs_1"),
    ],
)
def test_a_draft_within_the_limits_is_taken(draft: ListingDraft) -> None:
    assert checked(draft) is None


@pytest.mark.parametrize(
    ("field", "draft"),
    [
        ("externalId", replace(DRAFT, external_id="e" * (MAX_EXTERNAL_ID + 1))),
        ("externalId", replace(DRAFT, external_id=" \t")),
        ("title", replace(DRAFT, title="t" * (MAX_TITLE + 1))),
        ("title", replace(DRAFT, title="  ")),
        ("url", replace(DRAFT, url="https://" + "u" * (MAX_URL - 7))),
        ("url", replace(DRAFT, url="javascript:alert(1)")),
        ("url", replace(DRAFT, url="//evil.example")),
        ("summary", replace(DRAFT, summary="s" * (MAX_SUMMARY + 1))),
        ("institution", replace(DRAFT, institution="i" * (MAX_TITLE + 1))),
        ("subject", replace(DRAFT, subject="s" * (MAX_TITLE + 1))),
        ("level", replace(DRAFT, level="l" * (MAX_TITLE + 1))),
        ("language", replace(DRAFT, language="l" * 36)),
        ("priceText", replace(DRAFT, price_text="p" * (MAX_TITLE + 1))),
        ("price", replace(DRAFT, price=Money(MAX_PRICE_MINOR + 1, "CNY"))),
        ("externalId", replace(DRAFT, external_id="c\x001")),
        ("title", replace(DRAFT, title="half \ud83d")),
        ("summary", replace(DRAFT, summary="\udcff")),
    ],
)
def test_the_first_field_that_cannot_be_kept_is_named(field: str, draft: ListingDraft) -> None:
    assert refused_field(draft) == field


def test_text_of_any_script_is_storable() -> None:
    assert is_storable("通宝 \U0001f600 قیمت\n")
    assert not is_storable("\x00")
    assert not is_storable("\ud800")


@pytest.mark.parametrize("amount_minor", [0, 1, 2**53])
def test_an_amount_within_range_is_money(amount_minor: int) -> None:
    assert asked_price(amount_minor, "CNY") == Money(amount_minor, "CNY")


@pytest.mark.parametrize(
    ("amount_minor", "currency", "field"),
    [
        (-1, "CNY", "amountMinor"),
        (2**53 + 1, "CNY", "amountMinor"),
        (10**30, "CNY", "amountMinor"),
        (1, "XXX", "currency"),
        (1, "cny", "currency"),
        (-1, "", "currency"),
    ],
)
def test_an_amount_that_cannot_be_asked_is_refused_by_field(amount_minor: int, currency: str, field: str) -> None:
    answer = asked_price(amount_minor, currency)
    assert isinstance(answer, InvalidInput)
    assert answer.field == field


def test_a_refused_currency_is_quoted_in_short() -> None:
    answer = asked_price(1, "x" * 10_000)
    assert isinstance(answer, InvalidInput)
    assert len(answer.message) < 120


@pytest.mark.parametrize("amount", ["1e2", 1.5, float("nan"), True])
def test_an_amount_that_is_no_integer_never_becomes_money(amount: int) -> None:
    with pytest.raises(TypeError):
        asked_price(amount, "CNY")
