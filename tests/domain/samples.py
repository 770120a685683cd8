"""One attempt and one order of 990 CNY fen, to be varied: what the tests of payments and orders start from."""

from dataclasses import replace
from typing import Any

from hub.domain.money import Money
from hub.domain.orders import ChainStatus, ChargeStatus, FulfilmentStatus, Order, OrderStatus
from hub.domain.payments import AttemptState, IntentStatus, PaymentAttempt

PRICE = Money(990, "CNY")
HOUR_US = 3_600_000_000

_ATTEMPT = PaymentAttempt(
    id="pat_1", order_id="ord_1", number=1, channel="sandbox", key="TB1-1", amount=PRICE,
    state=AttemptState.SUBMITTED, method=None, return_url=None, request_key="k", calls=1, sent_at_us=0,
    expires_at_us=HOUR_US, heard_rank=0, heard_at_us=None, heard_key="", channel_ref=None, code=None, decline=None,
    next_action=None, unknown_since_us=None, version=1, created_at_us=0,
)  # fmt: skip
_ORDER = Order(
    id="ord_1", number="TB1", user_id="usr_1", platform_id="plt_1", merchant_id="mer_1", agreement_id="sha_1",
    listing_id="lst_1", course_id="crs_1", total=PRICE, status=OrderStatus.AWAITING_PAYMENT,
    charge_status=ChargeStatus.NONE, fulfilment_status=FulfilmentStatus.NONE, chain_status=ChainStatus.NOT_RECORDED,
    intent_id="pin_1", intent_status=IntentStatus.REQUIRES_PAYMENT_METHOD, attempts=0, received_minor=0,
    partial_minor=0, has_exact=False, has_conflict=False, deadline_us=24 * HOUR_US, paid_at_us=None, closed_at_us=None,
    version=1, created_at_us=0,
)  # fmt: skip


def attempt(**changes: Any) -> PaymentAttempt:
    """A freshly submitted attempt, but for `changes`."""
    return replace(_ATTEMPT, **changes)


def order(**changes: Any) -> Order:
    """An order that waits for its money, but for `changes`."""
    return replace(_ORDER, **changes)
