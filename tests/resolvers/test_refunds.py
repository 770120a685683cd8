"""Refunds by the API: shown beforehand, asked for by who sold, followed by whose money it is, refused by a word."""

from typing import Any

from tests.resolvers.conftest import Api
from tests.resolvers.scenes import Market, market
from tests.world import partner

REFUND = """
mutation ($order: ID!, $key: String!, $minor: BigInt!, $dry: Boolean! = false, $reason: String) {
  refundCreate(input: {orderId: $order, idempotencyKey: $key, dryRun: $dry, reason: $reason,
                       amount: {amountMinor: $minor, currency: "CNY"}}) {
    replayed
    userErrors { __typename code path ... on RefundExceedsError { left { amountMinor } } }
    plan { parts { holder payeeId amount { amountMinor } } }
    refund { id state number channel amount { amountMinor } reason isAutomatic
             order { status refundedAmount { amountMinor } refundable { amountMinor } } }
  }
}
"""
WHOLE = """
mutation ($order: ID!, $key: String!) {
  refundCreate(input: {orderId: $order, idempotencyKey: $key}) {
    userErrors { code } refund { amount { amountMinor } order { status fulfilmentStatus entitlement { isOpen } } } } }
"""
FOLLOWED = """
query ($id: ID!) {
  order(id: $id) { status refundedAmount { amountMinor } refundable { amountMinor }
                   refunds { id state amount { amountMinor } channelReference createdAt sentAt } } }
"""
CANCEL = """
mutation ($id: ID!) { refundCancel(input: {refundId: $id, idempotencyKey: "c"}) {
  userErrors { __typename code } refund { state } } }
"""
POLICY = """
mutation ($id: ID!, $wish: LateMoney!) { merchantPolicySet(input: {merchantId: $id, lateMoney: $wish}) {
  lateMoney userErrors { code } } }
"""


async def asked(api: Api, scene: Market, whose: str, minor: int, key: str = "r", **more: Any) -> dict[str, Any]:
    variables = {"order": scene.mine["id"], "key": key, "minor": str(minor), **more}
    told: dict[str, Any] = (await api.data(scene.viewers[whose], REFUND, **variables))["refundCreate"]
    return told


async def test_a_dry_run_shows_who_would_give_what_and_writes_nothing(api: Api) -> None:
    scene = await market(api)
    told = await asked(api, scene, "seller", 300, dry=True)
    part = {"holder": "ESCROW", "payeeId": None, "amount": {"amountMinor": "300"}}
    assert told == {"replayed": False, "userErrors": [], "plan": {"parts": [part]}, "refund": None}
    over = await asked(api, scene, "seller", 9901, dry=True)
    assert (over["userErrors"][0]["code"], over["plan"]) == ("REFUND_EXCEEDS", None)
    assert (await api.data(scene.viewers["seller"], FOLLOWED, id=scene.mine["id"]))["order"]["refunds"] == []


async def test_a_seller_gives_a_part_back_and_its_buyer_sees_where_it_stands(api: Api) -> None:
    scene = await market(api)
    told = await asked(api, scene, "seller", 300, reason="a gift")
    assert told["refund"] == {
        "id": told["refund"]["id"], "state": "SUCCEEDED", "number": 1, "channel": "test",
        "amount": {"amountMinor": "300"}, "reason": "a gift", "isAutomatic": False,
        "order": {"status": "PARTIALLY_REFUNDED", "refundedAmount": {"amountMinor": "300"},
                  "refundable": {"amountMinor": "9600"}},
    }  # fmt: skip
    again = await asked(api, scene, "seller", 300, reason="a gift")
    assert (again["replayed"], again["refund"], again["plan"]) == (True, told["refund"], told["plan"])
    for whose in ("buyer", "seller", "operator"):
        order = (await api.data(scene.viewers[whose], FOLLOWED, id=scene.mine["id"]))["order"]
        assert [one["id"] for one in order["refunds"]] == [told["refund"]["id"]]
        found = await api.data(scene.viewers[whose], "query ($id: ID!) { refund(id: $id) { state } }",
                               id=told["refund"]["id"])  # fmt: skip
        assert found == {"refund": {"state": "SUCCEEDED"}}
    for whose in ("other", "honouring", "stranger"):
        found = await api.data(scene.viewers[whose], "query ($id: ID!) { refund(id: $id) { state } }",
                               id=told["refund"]["id"])  # fmt: skip
        assert found == {"refund": None}


async def test_all_of_it_ends_the_right(api: Api) -> None:
    scene = await market(api)
    told = await api.data(scene.viewers["operator"], WHOLE, order=scene.mine["id"], key="w")
    assert told["refundCreate"] == {
        "userErrors": [],
        "refund": {
            "amount": {"amountMinor": "9900"},
            "order": {"status": "REFUNDED", "fulfilmentStatus": "REVOKED", "entitlement": {"isOpen": False}},
        },
    }


async def test_too_much_is_refused_with_what_is_left_and_a_stranger_is_told_of_nothing(api: Api) -> None:
    scene = await market(api)
    over = (await asked(api, scene, "seller", 9901))["userErrors"]
    assert over == [{
        "__typename": "RefundExceedsError", "code": "REFUND_EXCEEDS", "path": ["input", "amount"],
        "left": {"amountMinor": "9900"},
    }]  # fmt: skip
    foreign = (await asked(api, scene, "stranger", 1, "s"))["userErrors"]
    assert [error["code"] for error in foreign] == ["NOT_FOUND"]


async def test_what_has_gone_cannot_be_called_off(api: Api) -> None:
    scene = await market(api)
    told = await asked(api, scene, "seller", 300)
    answer = await api.data(scene.viewers["seller"], CANCEL, id=told["refund"]["id"])
    assert answer["refundCancel"] == {
        "userErrors": [{"__typename": "StateConflictError", "code": "STATE_CONFLICT"}],
        "refund": {"state": "SUCCEEDED"},
    }


async def test_a_merchant_is_asked_what_becomes_of_late_money(api: Api) -> None:
    scene = await market(api)
    merchant = scene.listing.merchant_id
    told = await api.data(scene.viewers["seller"], POLICY, id=merchant, wish="REOPEN")
    assert told["merchantPolicySet"] == {"lateMoney": "REOPEN", "userErrors": []}
    told = await api.data(partner(scene.stranger), POLICY, id=merchant, wish="REFUND")
    assert told["merchantPolicySet"] == {"lateMoney": None, "userErrors": [{"code": "NOT_FOUND"}]}
