"""Held money, choosing a channel and notices, as they are asked for from outside."""

from dataclasses import replace
from typing import Any

import pytest

from hub.domain.payments import Outcome
from hub.flows.notices import keep_waiting
from tests.flows.scripted import NOTICES, delivery, result
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import market
from tests.world import learner, operator, partner

HOLD = """mutation($listing: ID!, $key: String!) { checkout(input: {listingId: $listing, idempotencyKey: $key,
  captureMethod: MANUAL, channel: "test", expectedAmount: {amountMinor: "9900", currency: "CNY"}}) {
    paymentAttempt { id } order { id } userErrors { message } } }"""
SEEN = """query($id: ID!) { order(id: $id) { status paymentIntent { status allowedActions
  attempts { id state captureMethod } } } }"""
CAPTURE = """mutation($id: ID!) { paymentCapture(input: {paymentAttemptId: $id, idempotencyKey: "c-1",
  amount: {amountMinor: "9901", currency: "CNY"}}) { paymentAttempt { id } userErrors { code path } } }"""
PREVIEW = """query($order: ID, $listing: ID) { routingPreview(orderId: $order, listingId: $listing) {
  chosen rule { name } candidates { channel isIn reasons score weight costBps successBps tried } } }"""
RULE = """mutation($name: String!, $choices: [RoutingChoiceInput!]!) {
  routingRuleUpsert(input: {name: $name, choices: $choices, currency: "CNY"}) {
    routingRule { id name version priority choices { channel weight costBps } } userErrors { code path message } } }"""
RULES = "{ routingRules { id name currency minimumMinor maximumMinor changedAt } }"


@pytest.fixture
def holding(api: Api) -> Api:
    """A channel that holds money."""
    api.channel.capabilities = replace(api.channel.capabilities, can_authorize=True, can_capture_partly=True)
    return api


async def test_held_money_is_its_merchants_to_take_and_nobody_elses_to_see(holding: Api) -> None:
    api = holding
    listing, buyer = await api.world.listing(), learner(await api.world.user())
    api.channel.outcome = Outcome.PENDING
    made = (await api.data(buyer, HOLD, listing=listing.id, key="k-1"))["checkout"]
    attempt = {"id": made["paymentAttempt"]["id"]}
    seller, stranger = partner(await api.world.platform()), partner(await api.world.platform("bo"))
    for viewer, is_seen in ((buyer, True), (seller, True), (operator(), True), (stranger, False)):
        order = (await api.data(viewer, SEEN, id=made["order"]["id"]))["order"]
        if not is_seen:
            assert order is None
            continue
        assert order["paymentIntent"]["attempts"] == [{**attempt, "state": "PENDING", "captureMethod": "MANUAL"}]
    answer = await api.data(seller, CAPTURE, **attempt)
    assert [error["code"] for error in answer["paymentCapture"]["userErrors"]] == ["STATE_CONFLICT"]
    answer = await api.data(stranger, CAPTURE, **attempt)
    assert [error["code"] for error in answer["paymentCapture"]["userErrors"]] == ["NOT_FOUND"]
    assert await api.codes(buyer, CAPTURE, **attempt) == ["FORBIDDEN"]


async def test_a_merchant_sees_why_a_channel_would_be_asked(api: Api) -> None:
    scene = await market(api)
    found = (await api.data(scene.viewers["seller"], PREVIEW, listing=scene.listing.id))["routingPreview"]
    assert (found["chosen"], found["rule"], len(found["candidates"])) == ("test", None, 1)
    assert found["candidates"][0] == {
        "channel": "test", "isIn": True, "reasons": [], "score": 9166, "weight": 1, "costBps": 0, "successBps": 9166,
        "tried": 2,
    }  # fmt: skip
    for who in ("stranger", "honouring"):
        assert (await api.data(scene.viewers[who], PREVIEW, order=scene.mine["id"]))["routingPreview"] is None
    assert await api.codes(scene.viewers["buyer"], PREVIEW, order=scene.mine["id"]) == ["FORBIDDEN"]
    assert await api.codes(operator(), PREVIEW) == ["BAD_USER_INPUT"]


async def test_rules_are_made_listed_and_deleted(api: Api) -> None:
    scene = await market(api)
    seller, choice = scene.viewers["seller"], {"channel": "test", "weight": 2, "costBps": 60}
    made = (await api.data(seller, RULE, name="r", choices=[choice]))["routingRuleUpsert"]
    assert made["userErrors"] == []
    assert (made["routingRule"]["version"], made["routingRule"]["choices"]) == (1, [choice])
    assert [rule["name"] for rule in (await api.data(seller, RULES))["routingRules"]] == ["r"]
    assert (await api.data(scene.viewers["stranger"], RULES))["routingRules"] == []
    bad: list[tuple[dict[str, Any], list[str]]] = [
        ({"name": "", "choices": [choice]}, ["input", "name"]),
        ({"name": "r", "choices": []}, ["input", "choices"]),
        ({"name": "r", "choices": [choice, choice]}, ["input", "choices"]),
        ({"name": "r", "choices": [{"channel": "nobody"}]}, ["input", "choices"]),
        ({"name": "r", "choices": [{"channel": "test", "weight": 101}]}, ["input", "choices", "weight"]),
    ]
    for asked, path in bad:
        refused = (await api.data(seller, RULE, **asked))["routingRuleUpsert"]
        assert [error["path"] for error in refused["userErrors"]] == [path]
    drop = "mutation($id: ID!) { routingRuleDelete(input: {routingRuleId: $id}) { deletedId userErrors { code } } }"
    gone = (await api.data(seller, drop, id=made["routingRule"]["id"]))["routingRuleDelete"]
    assert gone == {"deletedId": made["routingRule"]["id"], "userErrors": []}
    assert (await api.data(seller, RULES))["routingRules"] == []


async def test_channels_that_fit_an_order_are_told_with_what_they_can_do(api: Api) -> None:
    scene = await market(api)
    ask = """query($order: ID, $manual: CaptureMethod! = AUTOMATIC) { channels(orderId: $order, captureMethod: $manual)
      { code methods canAuthorize canCapturePartly canRefund canRefundPartly hasDisputes } }"""
    found = (await api.data(scene.viewers["buyer"], ask, order=scene.mine["id"]))["channels"]
    assert [channel["code"] for channel in found] == ["test"]
    assert found[0]["canAuthorize"] is False
    assert (await api.data(scene.viewers["other"], ask, order=scene.mine["id"]))["channels"] == []
    assert (await api.data(scene.viewers["buyer"], ask, manual="MANUAL"))["channels"] == []


async def test_the_hub_chooses_where_no_channel_is_named(api: Api) -> None:
    listing, buyer = await api.world.listing(), learner(await api.world.user())
    document = HOLD.replace('captureMethod: MANUAL, channel: "test", ', "")
    bought = (await api.data(buyer, document, listing=listing.id, key="k-1"))["checkout"]
    assert (bought["userErrors"], bought["paymentAttempt"] is not None) == ([], True)


async def test_operators_list_and_replay_notices(api: Api) -> None:
    raw = delivery("evt-1", "TB-UNKNOWN-1", result(Outcome.PENDING))
    await api.hub.store.write(keep_waiting, "test", NOTICES[raw.body], api.world.draw())
    ask = "{ notices { id channel eventId attemptKey kind state tries receivedAt } }"
    [kept] = (await api.data(operator(), ask))["notices"]
    assert (kept["eventId"], kept["state"], kept["tries"]) == ("evt-1", "WAITING", 0)
    replay = "mutation($id: ID!) { noticeReplay(input: {noticeId: $id}) { notice { state tries } userErrors { code }}}"
    again = (await api.data(operator(), replay, id=kept["id"]))["noticeReplay"]
    assert again == {"notice": {"state": "WAITING", "tries": 1}, "userErrors": []}
    assert await api.codes(partner(await api.world.platform()), ask) == ["FORBIDDEN"]
