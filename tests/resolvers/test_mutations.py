"""Payloads: objects, refusals as data, replays; and what a repeated key comes to."""

import asyncio
from typing import Any

import pytest

from hub.domain.payments import Outcome, Stage
from hub.domain.people import UserState
from tests.resolvers.conftest import Api, until
from tests.resolvers.scenes import CHECKOUT, market
from tests.world import learner, operator, partner

ORDER_CREATE = """
mutation ($listing: ID!, $key: String!) {
  orderCreate(input: {listingId: $listing, idempotencyKey: $key}) {
    replayed userErrors { __typename code path message } order { id number status total { amountMinor } }
  }
}
"""
PAYMENT_CREATE = """
mutation ($order: ID!, $key: String!, $amount: BigInt!, $currency: CurrencyCode! = "CNY", $channel: String! = "test") {
  paymentCreate(input: {orderId: $order, idempotencyKey: $key, channel: $channel,
                        expectedAmount: {amountMinor: $amount, currency: $currency}}) {
    replayed
    userErrors { __typename code path message ... on PriceChangedError { current { amountMinor currency } }
                 ... on StateConflictError { currentStatus } ... on AttemptIsLiveError { paymentAttemptId } }
    paymentAttempt { id number state channel lastError { code providerCode retryable } nextAction { kind url }
                     order { status } }
  }
}
"""


async def test_checkout_pays_and_a_repeat_is_replayed(api: Api) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    first = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k"))["checkout"]
    assert (first["replayed"], first["userErrors"], first["paymentAttempt"]["state"]) == (False, [], "CHARGED")
    again = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k"))["checkout"]
    assert again == {**first, "replayed": True}
    assert api.channel.calls == 1
    assert await api.codes(viewer, CHECKOUT, listing=listing.id, key="k", channel="else") == ["IDEMPOTENCY_CONFLICT"]
    assert api.channel.calls == 1


async def test_the_same_key_of_another_principal_or_mutation_is_another(api: Api) -> None:
    listing, viewer, other = await api.world.listing(), await api.world.learner(), await api.world.learner()
    first = (await api.data(viewer, ORDER_CREATE, listing=listing.id, key="k"))["orderCreate"]
    theirs = (await api.data(other, ORDER_CREATE, listing=listing.id, key="k"))["orderCreate"]
    assert theirs["replayed"] is False
    assert theirs["order"]["id"] != first["order"]["id"]
    paid = await api.data(viewer, PAYMENT_CREATE, order=first["order"]["id"], key="k", amount="9900")
    assert paid["paymentCreate"]["replayed"] is False
    assert paid["paymentCreate"]["paymentAttempt"]["order"] == {"status": "PAID"}


async def test_fifty_order_creates_at_once_are_one_order_and_49_replays(api: Api) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    answers = await asyncio.gather(*(api.data(viewer, ORDER_CREATE, listing=listing.id, key="k") for _ in range(50)))
    payloads = [answer["orderCreate"] for answer in answers]
    assert len({payload["order"]["id"] for payload in payloads}) == 1
    assert sorted(payload["replayed"] for payload in payloads) == [False] + [True] * 49


async def test_while_a_payment_runs_its_key_is_in_progress(api: Api) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    api.channel.gate = asyncio.Event()
    running = asyncio.create_task(api.data(viewer, CHECKOUT, listing=listing.id, key="k"))
    await until(lambda: api.channel.calls > 0)
    result = await api.ask(viewer, CHECKOUT, listing=listing.id, key="k")
    (error,) = result.errors
    assert error.extensions["code"] == "IN_PROGRESS"
    assert 0 < error.extensions["retryAfterMs"] <= 1000
    api.channel.gate.set()
    assert (await running)["checkout"]["paymentAttempt"]["state"] == "CHARGED"
    assert api.channel.calls == 1


async def test_another_expected_amount_is_price_changed_and_no_channel_is_called(api: Api) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    told = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k", amount="9800"))["checkout"]
    assert (told["order"], told["paymentAttempt"]) == (None, None)
    (error,) = told["userErrors"]
    assert error["__typename"] == "PriceChangedError"
    assert error["path"] == ["input", "expectedAmount"]
    assert error["current"] == {"amountMinor": "9900"}
    order = (await api.data(viewer, ORDER_CREATE, listing=listing.id, key="k2"))["orderCreate"]["order"]
    for amount, currency in (("1", "CNY"), ("9900", "USD")):
        told = (
            await api.data(viewer, PAYMENT_CREATE, order=order["id"], key=f"{amount}", amount=amount, currency=currency)
        )["paymentCreate"]
        assert told["userErrors"][0]["current"] == {"amountMinor": "9900", "currency": "CNY"}
        assert told["paymentAttempt"] is None
    assert api.channel.calls == 0


@pytest.mark.parametrize(
    ("amount", "currency", "path"),
    [
        ("-1", "CNY", ["input", "expectedAmount", "amountMinor"]),
        (str(2**53 + 1), "CNY", ["input", "expectedAmount", "amountMinor"]),
        (str(2**200), "CNY", ["input", "expectedAmount", "amountMinor"]),
        ("1", "XXX", ["input", "expectedAmount", "currency"]),
    ],
)
async def test_amounts_that_cannot_be(api: Api, amount: str, currency: str, path: list[str]) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    order = (await api.data(viewer, ORDER_CREATE, listing=listing.id, key="k"))["orderCreate"]["order"]
    told = await api.data(viewer, PAYMENT_CREATE, order=order["id"], key="k", amount=amount, currency=currency)
    (error,) = told["paymentCreate"]["userErrors"]
    assert (error["__typename"], error["path"]) == ("InvalidInputError", path)
    assert api.channel.calls == 0


@pytest.mark.parametrize("amount", ["1e2", "NaN", "1.5", ""])
async def test_what_is_no_number_never_reaches_a_flow(api: Api, amount: str) -> None:
    viewer = await api.world.learner()
    result = await api.ask(viewer, CHECKOUT, listing="lst_1", key="k", amount=amount)
    assert result.data is None
    assert result.errors[0].path is None


@pytest.mark.parametrize("key", ["", "x" * 256, "\x00", "\ud800"], ids=repr)
async def test_keys_that_cannot_be(api: Api, key: str) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    told = (await api.data(viewer, CHECKOUT, listing=listing.id, key=key))["checkout"]
    assert told["userErrors"][0]["path"] == ["input", "idempotencyKey"]
    assert (await api.data(viewer, "{ orders(first: 1) { totalCount } }"))["orders"]["totalCount"] == 0


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "//shop.test/x",
        "https:///x",
        "http://[::1",
        "https://a b",
        "https://a\nb",
        "https://\ud800",
    ],
    ids=repr,
)
async def test_address_to_return_to_that_no_browser_could_go_to_makes_no_order(api: Api, address: str) -> None:
    listing, viewer = await api.world.listing(), await api.world.learner()
    document = (
        'mutation ($listing: ID!, $url: String!) { checkout(input: {listingId: $listing, channel: "test",'
        ' idempotencyKey: "k", returnUrl: $url, expectedAmount: {amountMinor: "1900", currency: "CNY"}}) {'
        " userErrors { __typename path } } }"
    )
    told = (await api.data(viewer, document, listing=listing.id, url=address))["checkout"]
    assert told["userErrors"] == [{"__typename": "InvalidInputError", "path": ["input", "returnUrl"]}]
    assert (await api.data(viewer, "{ orders(first: 1) { totalCount } }"))["orders"]["totalCount"] == 0


@pytest.mark.parametrize("listing", ["", "nonsense", "lst_" + "0" * 26, "ord_" + "0" * 26, "\x00"], ids=repr)
async def test_an_unknown_or_malformed_listing_is_not_found(api: Api, listing: str) -> None:
    viewer = await api.world.learner()
    told = (await api.data(viewer, CHECKOUT, listing=listing, key="k"))["checkout"]
    assert [error["__typename"] for error in told["userErrors"]] == ["NotFoundError"]


async def test_a_decline_is_data_with_an_order(api: Api) -> None:
    api.channel.outcome = Outcome.DECLINED
    listing, viewer = await api.world.listing(), await api.world.learner()
    told = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k"))["checkout"]
    assert told["userErrors"] == []
    assert told["order"]["status"] == "AWAITING_PAYMENT"
    assert told["paymentAttempt"]["state"] == "DECLINED"
    assert told["paymentAttempt"]["lastError"] == {
        "code": "DECLINED", "providerCode": "card_declined", "retryable": True
    }  # fmt: skip


async def test_a_next_action_is_shown(api: Api) -> None:
    api.channel.outcome, api.channel.stage = Outcome.ACTION, Stage.NONE
    listing, viewer = await api.world.listing(), await api.world.learner()
    told = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k"))["checkout"]
    assert told["paymentAttempt"]["nextAction"] == {"kind": "REDIRECT", "url": "https://pay.example/1"}
    shown = await api.data(
        viewer,
        "query($id: ID!) { order(id: $id) { paymentIntent { status allowedActions"
        " attempts { nextAction { url } } } } }",
        id=told["order"]["id"],
    )
    assert shown["order"]["paymentIntent"] == {
        "status": "REQUIRES_ACTION",
        "allowedActions": ["FOLLOW_NEXT_ACTION", "CANCEL"],
        "attempts": [{"nextAction": {"url": "https://pay.example/1"}}],
    }
    second = await api.data(viewer, PAYMENT_CREATE, order=told["order"]["id"], key="k2", amount="9900")
    (error,) = second["paymentCreate"]["userErrors"]
    assert (error["__typename"], error["paymentAttemptId"]) == ("AttemptIsLiveError", told["paymentAttempt"]["id"])


async def test_a_free_listing_is_granted_without_an_attempt(api: Api) -> None:
    listing, viewer = await api.world.listing(price_minor=0), await api.world.learner()
    told = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k", amount="0"))["checkout"]
    assert (told["order"]["status"], told["paymentAttempt"], api.channel.calls) == ("PAID", None, 0)
    assert told["order"]["entitlement"] is not None
    again = (await api.data(viewer, CHECKOUT, listing=listing.id, key="k", amount="0"))["checkout"]
    assert again == {**told, "replayed": True}


async def test_refusals_by_type(api: Api) -> None:
    world = api.world
    unknown, free = await world.listing(price_minor=None), await world.listing(price_minor=0)
    viewer, provisional = await world.learner(), await world.learner(state=UserState.PROVISIONAL)

    async def refused(who: Any, listing: Any, key: str, **more: Any) -> str:
        told = (await api.data(who, CHECKOUT, listing=listing.id, key=key, **more))["checkout"]
        assert (told["order"], told["paymentAttempt"]) == (None, None)
        return str(told["userErrors"][0]["__typename"])

    assert await refused(viewer, unknown, "1") == "NotPurchasableError"
    assert await refused(provisional, free, "1", amount="0") == "ProvisionalUserError"
    assert await refused(viewer, await world.listing(), "2", channel="nowhere") == "ChannelUnavailableError"
    await api.data(viewer, CHECKOUT, listing=free.id, key="3", amount="0")
    assert await refused(viewer, free, "4", amount="0") == "AlreadyEntitledError"


async def test_order_cancel(api: Api) -> None:
    listing, viewer, other = await api.world.listing(), await api.world.learner(), await api.world.learner()
    order = (await api.data(viewer, ORDER_CREATE, listing=listing.id, key="k"))["orderCreate"]["order"]
    document = (
        "mutation($o: ID!, $k: String!) { orderCancel(input: {orderId: $o, idempotencyKey: $k}) { replayed"
        " userErrors { __typename ... on StateConflictError { currentStatus } } order { status closedAt } } }"
    )
    foreign = (await api.data(other, document, o=order["id"], k="k"))["orderCancel"]
    assert foreign["userErrors"] == [{"__typename": "NotFoundError"}]
    done = (await api.data(viewer, document, o=order["id"], k="k"))["orderCancel"]
    assert done["order"] == {"status": "CANCELED", "closedAt": "2026-01-01T00:00:00.000000Z"}
    assert (await api.data(viewer, document, o=order["id"], k="k"))["orderCancel"]["replayed"] is True
    again = (await api.data(viewer, document, o=order["id"], k="k2"))["orderCancel"]
    assert again["userErrors"] == [{"__typename": "StateConflictError", "currentStatus": "CANCELED"}]


LISTING_UPSERT = """
mutation ($id: String!, $price: MoneyInput, $course: ID, $platform: ID, $title: String! = "Rope") {
  listingUpsert(input: {externalId: $id, title: $title, price: $price, courseId: $course, platformId: $platform}) {
    replayed userErrors { __typename path }
    listing { id externalId price { amount } isHonoured platform { slug } course { id listings { platform { slug } } } }
  }
}
"""


async def test_a_platform_lists_a_course_of_another(api: Api) -> None:
    beta = await api.world.platform("beta")
    course = await api.world.course()
    await api.world.listing(course=course, platform=await api.world.platform("alpha"))
    told = (await api.data(partner(beta), LISTING_UPSERT, id="b-1", course=course.id))["listingUpsert"]
    assert told["userErrors"] == []
    assert told["listing"]["platform"] == {"slug": "beta"}
    assert told["listing"]["course"]["id"] == course.id
    assert {of["platform"]["slug"] for of in told["listing"]["course"]["listings"]} == {"alpha", "beta"}
    again = (await api.data(partner(beta), LISTING_UPSERT, id="b-1", course=course.id))["listingUpsert"]
    assert again["listing"]["id"] == told["listing"]["id"]
    price = {"amountMinor": "-1", "currency": "CNY"}
    wrong = (await api.data(partner(beta), LISTING_UPSERT, id="b-2", price=price))["listingUpsert"]
    assert wrong["userErrors"] == [{"__typename": "InvalidInputError", "path": ["input", "price", "amountMinor"]}]
    assert wrong["listing"] is None
    empty = (await api.data(partner(beta), LISTING_UPSERT, id="", title="x"))["listingUpsert"]
    assert empty["userErrors"] == [{"__typename": "InvalidInputError", "path": ["input", "externalId"]}]


@pytest.mark.parametrize(
    ("mutation", "rest"),
    [
        ("listingUpsert", ', title: "x"'),
        ("memberUpsert", ""),
        ("identityLink", ', userToken: "x"'),
    ],
)
async def test_a_platform_writes_for_no_other(api: Api, mutation: str, rest: str) -> None:
    own, other = await api.world.platform("own"), await api.world.platform("other")
    document = (
        f'mutation ($p: ID!) {{ {mutation}(input: {{externalId: "x", platformId: $p{rest}}})'
        " { userErrors { __typename path } } }"
    )
    told = (await api.data(partner(own), document, p=other.id))[mutation]
    assert told["userErrors"] == [{"__typename": "NotFoundError", "path": ["input", "platformId"]}]
    seen = await api.data(operator(), "{ courses(first: 1) { totalCount } }")
    assert seen["courses"]["totalCount"] == 0


async def test_members_are_made_known_and_linked(api: Api) -> None:
    platform, user = await api.world.platform(), await api.world.user()
    upsert = (
        'mutation { memberUpsert(input: {externalId: "m-9"}) { replayed userErrors { code }'
        " member { externalId user { id state } platform { slug } } } }"
    )
    made = (await api.data(partner(platform), upsert))["memberUpsert"]
    assert made["member"]["user"]["state"] == "PROVISIONAL"
    assert not made["member"]["user"]["id"].startswith("usr_")
    assert (await api.data(partner(platform), upsert))["memberUpsert"]["member"] == made["member"]
    link = (
        'mutation($t: String!) { identityLink(input: {externalId: "m-9", userToken: $t}) {'
        " userErrors { __typename path } member { user { id state } } } }"
    )
    refused = (await api.data(partner(platform), link, t="no token"))["identityLink"]
    assert refused["userErrors"][0]["path"] == ["input", "userToken"]
    token = api.hub.tokens.issue_user_token(user.id, api.world.clock.now_us(), 600)  # type: ignore[attr-defined]  # the hub's own tokens: the port has no such word
    linked = (await api.data(partner(platform), link, t=token))["identityLink"]
    assert linked["userErrors"] == []
    assert linked["member"]["user"]["state"] == "ACTIVE"


async def test_staff_end_a_right(api: Api) -> None:
    scene = await market(api)
    document = (
        'mutation($e: ID!, $k: String!) { entitlementRevoke(input: {entitlementId: $e, reason: "fraud",'
        " idempotencyKey: $k}) { replayed userErrors { __typename } entitlement { isOpen state order { id"
        " fulfilmentStatus } } } }"
    )
    right = scene.mine["entitlement"]["id"]
    assert await api.codes(scene.viewers["seller"], document, e=right, k="k") == ["FORBIDDEN"]
    done = (await api.data(operator(), document, e=right, k="k"))["entitlementRevoke"]
    assert done["entitlement"] == {
        "isOpen": False, "state": "ENDED", "order": {"id": scene.mine["id"], "fulfilmentStatus": "REVOKED"}
    }  # fmt: skip
    assert (await api.data(operator(), document, e=right, k="k"))["entitlementRevoke"] == {**done, "replayed": True}
    shown = await api.data(learner(scene.other), "{ entitlements(first: 5) { nodes { isOpen } } }")
    assert shown["entitlements"]["nodes"] == [{"isOpen": True}]
