"""Each stream is told what its reader may see, under the names the reader knows."""

import json
from dataclasses import fields
from typing import Any

import pytest

from hub.domain.events import (
    EVENTS,
    HUB_STREAM,
    Audience,
    BreakOpened,
    DisputeEvent,
    EntitlementEvent,
    EntitlementTokenChanged,
    Event,
    ListingChanged,
    Logged,
    MemberLinked,
    OrderEvent,
    PaymentAttemptChanged,
    PaymentRecorded,
    RefundChanged,
    from_body,
)

HUB = Audience(HUB_STREAM, "usr_1", "ext-seller", "lst_seller", sees_order=True)
BUYER = Audience("usr_1", "usr_1", "ext-seller", "lst_seller", sees_order=True)
SELLER = Audience("plt_a", "pair-a", "ext-seller", "lst_seller", sees_order=True)
HONOURING = Audience("plt_b", "pair-b", "ext-honouring", "lst_honouring", sees_order=False)
AUDIENCES = (HUB, BUYER, SELLER, HONOURING)

_NAMES: dict[str, Any] = {
    "buyer": "usr_1",
    "external_id": "ext-seller",
    "listing_id": "lst_seller",
    "platform_id": "plt_a",
    "order_id": "ord_1",
    "amount_minor": 990,
}


def made(type_: type[Event]) -> Event:
    """An event of that kind as a flow makes it: of a sale on platform A to usr_1."""
    return type_(**{field.name: _NAMES.get(field.name, f"{field.name}-1") for field in fields(type_)})


KINDS = pytest.mark.parametrize("event", [made(type_) for type_ in EVENTS.values()], ids=list(EVENTS))


def subclasses(type_: type[Event]) -> set[type[Event]]:
    return {type_}.union(*(subclasses(each) for each in type_.__subclasses__()))


def test_every_event_with_a_kind_is_in_the_register_under_it() -> None:
    # A slotted dataclass leaves its unslotted twin among the subclasses: kinds tell them apart no better than names.
    assert {type_.kind for type_ in subclasses(Event)} - {""} == set(EVENTS)
    assert all(type_.kind == kind for kind, type_ in EVENTS.items())


@KINDS
def test_an_event_survives_its_body_as_json(event: Event) -> None:
    body = json.dumps(event.body())
    assert from_body(event.kind, json.loads(body)) == event
    logged = Logged("evt_1", HUB_STREAM, 1, event.kind, "ord_1", 1, 0, body)
    assert logged.event == event


def test_an_event_of_an_unknown_kind_is_a_fault() -> None:
    with pytest.raises(KeyError):
        from_body("ORDER_EXPLODED", {})


@KINDS
@pytest.mark.parametrize("platform", [SELLER, HONOURING], ids=["seller", "honouring"])
def test_no_platform_hears_the_hub_s_name_of_a_buyer(event: Event, platform: Audience) -> None:
    heard = event.told_to(platform)
    assert heard is None or "usr_" not in json.dumps(heard.body())


@KINDS
def test_an_honouring_platform_hears_nothing_of_the_seller(event: Event) -> None:
    heard = event.told_to(HONOURING)
    if heard is not None:
        text = json.dumps(heard.body())
        assert not any(name in text for name in ("ext-seller", "lst_seller", "plt_a", "pair-a", "ord_1"))


@KINDS
def test_the_hub_s_own_row_keeps_everything(event: Event) -> None:
    assert event.told_to(HUB) == event


@KINDS
def test_telling_changes_neither_the_kind_nor_the_event(event: Event) -> None:
    body = event.body()
    for audience in AUDIENCES:
        heard = event.told_to(audience)
        assert heard is None or type(heard) is type(event)
    assert event.body() == body


_TOLD_TO: dict[type[Event], tuple[Audience, ...]] = {
    OrderEvent: (HUB, BUYER, SELLER),
    PaymentAttemptChanged: (HUB, BUYER),
    PaymentRecorded: (HUB,),
    EntitlementTokenChanged: (HUB, BUYER),  # its moment on chain would tell platforms whose wallet it is
    EntitlementEvent: AUDIENCES,
    ListingChanged: (HUB, SELLER),
    MemberLinked: (HUB, SELLER),
    BreakOpened: (HUB,),
    RefundChanged: (HUB, BUYER, SELLER),
    DisputeEvent: (HUB, SELLER),
}


@KINDS
def test_each_kind_is_told_to_these_and_no_others(event: Event) -> None:
    expected = next(audiences for type_, audiences in _TOLD_TO.items() if isinstance(event, type_))
    assert tuple(audience for audience in AUDIENCES if event.told_to(audience) is not None) == expected


def test_each_platform_hears_of_a_right_under_its_own_names() -> None:
    event = made(EVENTS["ENTITLEMENT_GRANTED"])
    seller, honouring = event.told_to(SELLER), event.told_to(HONOURING)
    assert isinstance(seller, EntitlementEvent)
    assert isinstance(honouring, EntitlementEvent)
    assert (seller.buyer, seller.external_id, seller.listing_id, seller.order_id) == (
        "pair-a", "ext-seller", "lst_seller", "ord_1",
    )  # fmt: skip
    assert (honouring.buyer, honouring.external_id, honouring.listing_id, honouring.order_id) == (
        "pair-b", "ext-honouring", "lst_honouring", None,
    )  # fmt: skip
    assert seller.entitlement_id == honouring.entitlement_id


def test_an_order_is_told_only_to_whoever_sees_orders() -> None:
    blind = Audience("plt_a", "pair-a", "ext-seller", "lst_seller", sees_order=False)
    for type_ in EVENTS.values():
        if issubclass(type_, OrderEvent):
            assert made(type_).told_to(blind) is None


def test_a_member_is_told_to_its_platform_under_the_name_there() -> None:
    heard = made(MemberLinked).told_to(SELLER)
    assert isinstance(heard, MemberLinked)
    assert heard.buyer == "pair-a"
