"""What events are about, as it is now: each reader's own, and one statement for however many events."""

import json
from contextlib import aclosing

from hub.domain.people import Viewer, ViewerKind
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import buy, market
from tests.resolvers.test_webhooks import delivered, made

EVENTS = """
query ($n: Int!) { events(first: $n) { nodes {
  kind order { number } entitlement { isOpen } course { title } listing { platform { slug } } } } }
"""
FOLLOWED = """
subscription ($kinds: [EventKind!]) { events(after: "", kinds: $kinds) {
  kind order { number } entitlement { isOpen } course { title listings { platform { slug } } } } }
"""


async def test_an_event_shows_the_objects_that_its_reader_may_see(api: Api) -> None:
    scene = await market(api)
    shown = {}
    for who in ("seller", "honouring", "stranger"):
        nodes = (await api.data(scene.viewers[who], EVENTS, n=100))["events"]["nodes"]
        shown[who] = [node for node in nodes if node["kind"] == "ENTITLEMENT_GRANTED"]
    mine, theirs = {"number": scene.mine["number"]}, {"number": scene.theirs["number"]}
    right, course = {"isOpen": True}, {"title": "Knots"}

    def granted(order: object, slug: str) -> dict[str, object]:
        listing = {"platform": {"slug": slug}}
        return {
            "kind": "ENTITLEMENT_GRANTED", "order": order, "entitlement": right, "course": course, "listing": listing
        }  # fmt: skip

    assert shown["seller"] == [granted(mine, "alpha"), granted(theirs, "alpha")]
    assert shown["honouring"] == [granted(None, "beta")] * 2
    assert shown["stranger"] == []


async def test_statements_do_not_depend_on_the_number_of_events(api: Api) -> None:
    scene = await market(api)
    for number in range(3):
        await buy(api, await api.world.user(), scene.listing, f"key {number}")
    counts = []
    for size in (4, 40):
        before = len(api.statements)
        await api.data(scene.viewers["seller"], EVENTS.replace("nodes {", "edges { node {") + "}", n=size)
        counts.append(len(api.statements) - before)
    assert counts[0] == counts[1]


async def test_a_document_that_asks_for_none_reads_none(api: Api) -> None:
    scene = await market(api)
    counts = []
    for document in (EVENTS, "query ($n: Int!) { events(first: $n) { nodes { kind subject } } }"):
        before = len(api.statements)
        await api.data(scene.viewers["seller"], document, n=100)
        counts.append(len(api.statements) - before)
    assert counts[0] - counts[1] == 5  # four nouns, and the grants that say whether a right is open


async def test_a_subscription_shows_them_as_a_query_does(api: Api) -> None:
    scene = await market(api)
    listings = [{"platform": {"slug": slug}} for slug in ("alpha", "beta")]
    for who, order in (("seller", {"number": scene.mine["number"]}), ("honouring", None)):
        async with aclosing(api.follow(scene.viewers[who], FOLLOWED, kinds=["ENTITLEMENT_GRANTED"])) as results:
            first = await anext(results)
        assert first.errors is None
        assert first.data["events"] == {
            "kind": "ENTITLEMENT_GRANTED",
            "order": order,
            "entitlement": {"isOpen": True},
            "course": {"title": "Knots", "listings": listings},
        }


async def test_an_update_of_an_order_shows_them_too(api: Api) -> None:
    scene = await market(api)
    document = (
        'subscription ($id: ID!) { orderUpdated(orderId: $id, after: "") {'
        " event { kind listing { platform { slug } } course { id } } order { number } } }"
    )
    async with aclosing(api.follow(scene.viewers["buyer"], document, id=scene.mine["id"])) as results:
        first = await anext(results)
    assert first.data["orderUpdated"] == {
        "event": {"kind": "ORDER_CREATED", "listing": {"platform": {"slug": "alpha"}}, "course": None},
        "order": {"number": scene.mine["number"]},
    }


async def test_a_key_without_the_scope_gets_an_error_in_place_of_the_order(api: Api) -> None:
    scene = await market(api)
    poor = Viewer(ViewerKind.PLATFORM, platform_id=scene.seller.id, scopes=frozenset({"events:read"}))
    result = await api.ask(poor, "{ events(first: 1) { nodes { kind order { number } } } }")
    assert [(error.path, error.extensions["code"]) for error in result.errors] == [
        (["events", "nodes", 0, "order"], "FORBIDDEN")
    ]
    assert result.data["events"]["nodes"][0]["order"] is None


async def test_a_webhooks_document_shows_them_too(api: Api) -> None:
    scene = await market(api)
    document = "subscription { events(kinds: [ENTITLEMENT_GRANTED]) { id order { number } course { title } } }"
    await made(api, scene.viewers["seller"], document)
    order = await buy(api, await api.world.user(), scene.listing, "told by a webhook")
    await delivered(api)
    (post,) = api.sender.posts
    assert json.loads(post.body)["data"]["events"] == {
        "id": post.id,
        "order": {"number": order["number"]},
        "course": {"title": "Knots"},
    }
