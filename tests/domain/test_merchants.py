"""M admits an order or says the one reason why not."""

from dataclasses import replace

import pytest

from hub.domain.catalogue import Listing, ListingState
from hub.domain.merchants import Admission, MerchantState, may_be_ordered
from hub.domain.money import Money
from hub.domain.people import UserState
from hub.domain.refusals import AlreadyEntitled, NotPurchasable, PriceChanged, ProvisionalUser, Refusal

PRICE = Money(990, "CNY")
LISTING = Listing(
    id="lst_1", platform_id="plt_1", course_id="crs_1", merchant_id="mer_1", external_id="c-1", title="A course",
    url="", price=PRICE, price_text="", is_honoured=True, state=ListingState.ACTIVE, version=1, created_at_us=0,
)  # fmt: skip
ADMISSION = Admission(
    listing=LISTING,
    merchant_state=MerchantState.ACTIVE,
    agreement_id="sha_1",
    course_kind="COURSE",
    user_state=UserState.ACTIVE,
    owned_entitlement_id=None,
)


@pytest.mark.parametrize("expected", [None, PRICE])
def test_a_listing_on_sale_at_the_price_seen_is_admitted(expected: Money | None) -> None:
    assert may_be_ordered(ADMISSION, expected) is None


def test_a_known_price_of_nothing_is_admitted() -> None:
    free = replace(ADMISSION, listing=replace(LISTING, price=Money(0, "CNY")))
    assert may_be_ordered(free, Money(0, "CNY")) is None


def test_a_listing_that_is_not_honoured_elsewhere_is_sold_all_the_same() -> None:
    assert may_be_ordered(replace(ADMISSION, listing=replace(LISTING, is_honoured=False)), PRICE) is None


@pytest.mark.parametrize(
    ("admission", "refusal"),
    [
        (replace(ADMISSION, user_state=UserState.PROVISIONAL), ProvisionalUser()),
        (replace(ADMISSION, owned_entitlement_id="ent_1"), AlreadyEntitled("ent_1")),
        (
            replace(ADMISSION, merchant_state=MerchantState.SUSPENDED),
            NotPurchasable("its merchant is suspended"),
        ),
        (
            replace(ADMISSION, listing=replace(LISTING, state=ListingState.WITHDRAWN)),
            NotPurchasable("its platform no longer offers it"),
        ),
        (
            replace(ADMISSION, listing=replace(LISTING, price=None, price_text="ask us")),
            NotPurchasable("its price is unknown to the hub: buy it on its own platform"),
        ),
    ],
)
def test_one_thing_amiss_is_the_reason_told(admission: Admission, refusal: Refusal) -> None:
    assert may_be_ordered(admission, PRICE) == refusal
    assert may_be_ordered(admission, None) == refusal


@pytest.mark.parametrize("expected", [Money(989, "CNY"), Money(991, "CNY"), Money(990, "USD"), Money(0, "CNY")])
def test_another_price_than_the_buyer_saw_is_refused_with_the_current_one(expected: Money) -> None:
    assert may_be_ordered(ADMISSION, expected) == PriceChanged(990, "CNY")


def test_an_unknown_price_is_never_taken_for_free() -> None:
    unknown = replace(ADMISSION, listing=replace(LISTING, price=None))
    assert isinstance(may_be_ordered(unknown, Money(0, "CNY")), NotPurchasable)
