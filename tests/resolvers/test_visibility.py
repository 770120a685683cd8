"""Who may see what, through every door to the same rows: list, node, number, nested field."""

from typing import Any

import pytest

from hub.domain.people import ANONYMOUS, Viewer, ViewerKind
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import market
from tests.world import learner, operator, partner

# Which of the two orders each viewer may see.
SEES_ORDERS = {
    "buyer": ["mine"], "other": ["theirs"], "seller": ["theirs", "mine"], "honouring": [], "stranger": [],
    "operator": ["theirs", "mine"],
}  # fmt: skip
SEES_RIGHTS = {**SEES_ORDERS, "honouring": ["theirs", "mine"]}


@pytest.mark.parametrize("who", SEES_ORDERS)
async def test_orders_through_every_door(api: Api, who: str) -> None:
    scene = await market(api)
    viewer = scene.viewers[who]
    ids = {"mine": scene.mine["id"], "theirs": scene.theirs["id"]}
    listed = await api.data(viewer, "{ orders(first: 10) { totalCount nodes { id } edges { node { id } } } }")
    seen = [ids[name] for name in SEES_ORDERS[who]]
    assert [node["id"] for node in listed["orders"]["nodes"]] == seen
    assert [edge["node"]["id"] for edge in listed["orders"]["edges"]] == seen
    assert listed["orders"]["totalCount"] == len(seen)
    for name, order in (("mine", scene.mine), ("theirs", scene.theirs)):
        found = await api.data(
            viewer,
            "query($id: ID!, $no: String!) { node(id: $id) { id } nodes(ids: [$id]) { id } order(id: $id) { id }"
            " byNumber: order(number: $no) { id } }",
            id=order["id"],
            no=order["number"],
        )
        expected = {"id": order["id"]} if name in SEES_ORDERS[who] else None
        assert found == {"node": expected, "nodes": [expected], "order": expected, "byNumber": expected}


@pytest.mark.parametrize("who", SEES_RIGHTS)
async def test_rights_and_the_order_behind_them(api: Api, who: str) -> None:
    scene = await market(api)
    listed = await api.data(
        scene.viewers[who], "{ entitlements(first: 10) { nodes { id isOpen order { id } accesses { state } } } }"
    )
    rights = {"mine": scene.mine["entitlement"]["id"], "theirs": scene.theirs["entitlement"]["id"]}
    nodes = listed["entitlements"]["nodes"]
    assert [node["id"] for node in nodes] == [rights[name] for name in SEES_RIGHTS[who]]
    assert all(node["isOpen"] for node in nodes)
    has_order = who != "honouring"
    assert all((node["order"] is not None) == has_order for node in nodes)


async def test_a_learner_sees_no_other_user_anywhere(api: Api) -> None:
    scene = await market(api)
    me = scene.viewers["buyer"]
    found = await api.data(
        me,
        "query($me: ID!, $other: ID!) { me: node(id: $me) { id ... on User { orders(first: 5) { nodes { id } } } }"
        " other: node(id: $other) { id ... on User { orders(first: 5) { nodes { id } } } }"
        " orders(first: 5) { nodes { buyer { id orders(first: 5) { nodes { id buyer { id } } } } } } }",
        me=scene.me.id,
        other=scene.other.id,
    )
    mine = [{"id": scene.mine["id"]}]
    assert found["me"] == {"id": scene.me.id, "orders": {"nodes": mine}}
    assert found["other"] is None
    (order,) = found["orders"]["nodes"]
    assert order["buyer"]["orders"]["nodes"] == [{"id": scene.mine["id"], "buyer": {"id": scene.me.id}}]


@pytest.mark.parametrize("who", ["seller", "honouring"])
async def test_a_platform_meets_users_under_pairwise_ids_alone(api: Api, who: str) -> None:
    scene = await market(api)
    viewer = scene.viewers[who]
    result = await api.ask(
        viewer,
        "{ entitlements(first: 5) { nodes { user { id members { externalId } orders(first: 5) { nodes { id } } } } }"
        " orders(first: 5) { nodes { buyer { id } paymentIntent { status attempts { id } } receipt { jws } } }"
        " events(first: 100) { nodes { subject payload { ... on OrderEvent { buyer } ... on EntitlementEvent { buyer }"
        " } } } }",
    )
    assert result.errors is None
    assert "usr_" not in str(result.data)
    names = {node["user"]["id"] for node in result.data["entitlements"]["nodes"]}
    assert len(names) == 2
    told = {node["payload"].get("buyer") for node in result.data["events"]["nodes"]} - {None}
    assert told == names
    for order in result.data["orders"]["nodes"]:
        assert order["paymentIntent"] == {"status": "SUCCEEDED", "attempts": []}
        assert order["receipt"] is None
    for name in names:
        assert (await api.data(viewer, "query($id: ID!) { node(id: $id) { id } }", id=name))["node"] == {"id": name}
        other = scene.viewers["honouring" if who == "seller" else "seller"]
        assert (await api.data(other, "query($id: ID!) { node(id: $id) { id } }", id=name))["node"] is None
    assert (await api.data(viewer, "query($id: ID!) { node(id: $id) { id } }", id=scene.me.id))["node"] is None


async def test_the_receipt_is_the_buyers_alone(api: Api) -> None:
    scene = await market(api)
    document = "query($id: ID!) { order(id: $id) { receipt { jws commitment opening { salt } } } }"
    shown = await api.data(scene.viewers["buyer"], document, id=scene.mine["id"])
    assert shown["order"]["receipt"]["jws"].count(".") == 2
    for who in ("operator", "seller"):
        assert (await api.data(scene.viewers[who], document, id=scene.mine["id"]))["order"] == {"receipt": None}


async def test_members_are_their_platforms_and_their_own(api: Api) -> None:
    scene = await market(api)
    document = "query($id: ID!) { node(id: $id) { ... on User { members { externalId platform { slug } } } } }"
    mine = [{"externalId": "m-me", "platform": {"slug": "alpha"}}]
    bought = await api.data(
        scene.viewers["seller"], "query($id: ID!) { order(id: $id) { buyer { id } } }", id=scene.mine["id"]
    )
    for viewer, id_, members in (
        (scene.viewers["buyer"], scene.me.id, mine),
        (scene.viewers["seller"], bought["order"]["buyer"]["id"], mine),
        (operator(), scene.me.id, mine),
        (operator(), scene.other.id, []),
    ):
        assert (await api.data(viewer, document, id=id_))["node"] == {"members": members}


GARBAGE = [
    "",
    "ord_",
    "nonsense",
    "ord_" + "!" * 26,
    "zzz_" + "0" * 26,
    "ord_" + "0" * 26,
    "\x00",
    "\ud800",
    "x" * 10_000,
]


@pytest.mark.parametrize("id_", GARBAGE, ids=repr)
async def test_unknown_malformed_and_forbidden_ids_look_alike(api: Api, id_: str) -> None:
    viewer = await api.world.learner()
    found = await api.data(
        viewer,
        "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id, $id]) { id } order(id: $id) { id }"
        " entitlement(id: $id) { id } course(id: $id) { id } listing(id: $id) { id } platform(id: $id) { id }"
        " anchorBatch(id: $id) { id } }",
        id=id_,
    )
    assert found.pop("nodes") == [None, None]
    assert set(found.values()) == {None}


async def test_what_a_stranger_may_not_ask_is_unauthenticated(api: Api) -> None:
    scene = await market(api)
    for document in (
        "{ orders(first: 1) { nodes { id } } }",
        "{ entitlements(first: 1) { nodes { id } } }",
        "{ events(first: 1) { nodes { id } } }",
        "{ breaks(first: 1) { nodes { id } } }",
    ):
        assert await api.codes(ANONYMOUS, document) == ["UNAUTHENTICATED"]
    found = await api.data(ANONYMOUS, "query($id: ID!) { node(id: $id) { id } }", id=scene.mine["id"])
    assert found == {"node": None}


async def test_a_key_without_a_scope_sees_none_of_its_types_by_any_door(api: Api) -> None:
    scene = await market(api)
    poor = Viewer(ViewerKind.PLATFORM, platform_id=scene.seller.id, scopes=frozenset({"entitlements:read"}))
    assert await api.codes(poor, "{ orders(first: 1) { nodes { id } } }") == ["FORBIDDEN"]
    document = "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }"
    assert await api.data(poor, document, id=scene.mine["id"]) == {"node": None, "nodes": [None]}
    nested = await api.ask(poor, "{ entitlements(first: 1) { nodes { id order { id } } } }")
    assert [(error.path, error.extensions["code"]) for error in nested.errors] == [
        (["entitlements", "nodes", 0, "order"], "FORBIDDEN")
    ]
    assert nested.data["entitlements"]["nodes"][0]["order"] is None


async def test_breaks_are_for_operators(api: Api) -> None:
    scene = await market(api)
    document = "{ breaks(first: 5) { totalCount nodes { id } } }"
    assert await api.data(operator(), document) == {"breaks": {"totalCount": 0, "nodes": []}}
    for who in ("buyer", "seller"):
        assert await api.codes(scene.viewers[who], document) == ["FORBIDDEN"]


async def test_a_forbidden_purchase_does_nothing(api: Api) -> None:
    listing = await api.world.listing()
    document = 'mutation($l: ID!) { orderCreate(input: {listingId: $l, idempotencyKey: "k"}) { order { id } } }'
    platform = await api.world.platform()
    for viewer, code in ((ANONYMOUS, "UNAUTHENTICATED"), (operator(), "FORBIDDEN"), (partner(platform), "FORBIDDEN")):
        assert await api.codes(viewer, document, l=listing.id) == [code]
    assert (await api.data(operator(), "{ orders(first: 5) { totalCount } }"))["orders"] == {"totalCount": 0}


async def test_viewer_says_who_asks(api: Api) -> None:
    scene = await market(api)
    document = "{ viewer { kind scopes user { id orders(first: 1) { totalCount } } platform { slug } } }"

    async def view(viewer: Viewer) -> Any:
        return (await api.data(viewer, document))["viewer"]

    assert await view(learner(scene.me)) == {
        "kind": "USER",
        "scopes": [
            "entitlements:read", "entitlements:write", "orders:read", "orders:write", "wallets:read", "wallets:write",
        ],
        "user": {"id": scene.me.id, "orders": {"totalCount": 1}},
        "platform": None,
    }
    seller = await view(scene.viewers["seller"])
    assert (seller["kind"], seller["user"], seller["platform"]) == ("PLATFORM", None, {"slug": "alpha"})
    assert await view(ANONYMOUS) == {"kind": "ANONYMOUS", "scopes": [], "user": None, "platform": None}
