"""M 商户管理: who sells, and what admitting an order demands."""

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.catalogue import Listing, ListingState
from hub.domain.money import Money
from hub.domain.people import UserState
from hub.domain.refusals import AlreadyEntitled, NotPurchasable, PriceChanged, ProvisionalUser, Refusal
from hub.domain.routing import StandingState


class MerchantState(StrEnum):
    """Whether a merchant may sell."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class Merchant:
    """The selling party on a platform. `agreement_id` is the ShareAgreement version that new orders freeze."""

    id: str
    platform_id: str
    name: str
    state: MerchantState
    agreement_id: str
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Admission:
    """All that admitting one order looks at, read in one statement."""

    listing: Listing
    merchant_state: MerchantState
    agreement_id: str
    course_kind: str
    user_state: UserState
    owned_entitlement_id: str | None  # a live right of this buyer to this course, if there is one
    standing: StandingState = StandingState.RUNNING  # of the channel that it is to be paid on


def may_be_ordered(admission: Admission, expected: Money | None) -> Refusal | None:
    """Why this order is not admitted, if it is not. `expected` is the price the buyer saw, if they said so."""
    if admission.user_state is UserState.PROVISIONAL:
        return ProvisionalUser()
    if admission.listing.state is ListingState.WITHDRAWN:
        return NotPurchasable("its platform no longer offers it")
    if admission.merchant_state is MerchantState.SUSPENDED:
        return NotPurchasable("its merchant is suspended")
    price = admission.listing.price
    if price is None:
        return NotPurchasable("its price is unknown to the hub: buy it on its own platform")
    if expected is not None and expected != price:
        return PriceChanged(price.amount_minor, price.currency)
    if admission.owned_entitlement_id is not None:
        return AlreadyEntitled(admission.owned_entitlement_id)
    return None
