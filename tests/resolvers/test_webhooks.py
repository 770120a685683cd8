"""Endpoints and deliveries through the API: who sees and changes them, what a document may be, what is sent of it."""

import json
from typing import Any

from hub.domain.people import ANONYMOUS, Viewer, ViewerKind
from hub.flows import deliveries, tasks
from tests.flows.scripted import REFUSED
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import Market, buy, market
from tests.world import learner, operator, partner

URL = "https://shop.example/hook"
DOCUMENT = """subscription { events { id cursor kind occurredAt subject subjectVersion payload { __typename
  ... on OrderEvent { orderId number buyer amount { amountMinor currency } status }
  ... on EntitlementGranted { entitlementId courseId externalId buyer } } } }"""
CREATE = """mutation($url: String!, $text: String!, $platform: ID) {
  webhookEndpointCreate(input: {url: $url, document: $text, platformId: $platform}) {
    secret webhookEndpoint { id url document state platform { slug } } userErrors { __typename path message } } }"""
LISTED = """{ webhookEndpoints(first: 10) { totalCount nodes { id url state pauseReason failingSince lastDeliveredAt
  formerSecretEndsAt createdAt cursor platform { slug } } } }"""
DELIVERIES = """query($where: WebhookDeliveryFilter) { webhookDeliveries(first: 50, where: $where) { totalCount nodes {
  id eventId kind subject cursor state attempts nextAttemptAt deliveredAt webhookEndpoint { id }
  tries { number outcome status latencyMs answer } } } }"""


def change(name: str, more: str = "") -> str:
    return f"mutation($id: ID!) {{ {name}(input: {{webhookEndpointId: $id {more}}}) {{ userErrors {{ code path }} }} }}"


CHANGES = [
    change("webhookEndpointUpdate", 'url: "https://other.example"'), change("webhookEndpointDelete"),
    change("webhookEndpointPause"), change("webhookEndpointResume"), change("webhookEndpointRotateSecret"),
    change("webhookRedeliver", 'after: ""'),
]  # fmt: skip


async def made(api: Api, viewer: Viewer, document: str = DOCUMENT, url: str = URL) -> dict[str, Any]:
    answer = (await api.data(viewer, CREATE, url=url, text=document))["webhookEndpointCreate"]
    assert answer["userErrors"] == []
    return {"secret": answer["secret"], **answer["webhookEndpoint"]}


async def delivered(api: Api) -> None:
    while await deliveries.gather(api.hub):
        pass
    while claimed := await tasks.claim_due(api.hub, 16, is_pooled=True):
        for task in claimed:
            again = await deliveries.deliver(api.hub, task)
            if again is not None:
                await tasks.retry_task(api.hub, task, again)


async def scene_with_endpoint(api: Api) -> tuple[Market, dict[str, Any]]:
    scene = await market(api)
    endpoint = await made(api, partner(scene.seller))
    await buy(api, await api.world.user(), scene.listing, "for the endpoint")
    await delivered(api)
    return scene, endpoint


async def test_a_platform_makes_an_endpoint_and_sees_its_secret_once(api: Api) -> None:
    platform = await api.world.platform("alpha")
    endpoint = await made(api, partner(platform))
    assert endpoint["secret"].startswith("whsec_")
    assert (endpoint["state"], endpoint["platform"]) == ("ACTIVE", {"slug": "alpha"})
    listed = await api.data(partner(platform), LISTED)
    assert [node["id"] for node in listed["webhookEndpoints"]["nodes"]] == [endpoint["id"]]
    assert endpoint["secret"] not in json.dumps(listed)
    rotated = await api.data(
        partner(platform),
        "mutation($id: ID!) { webhookEndpointRotateSecret(input: {webhookEndpointId: $id}) { secret"
        " webhookEndpoint { formerSecretEndsAt } } }",
        id=endpoint["id"],
    )
    answer = rotated["webhookEndpointRotateSecret"]
    assert answer["secret"] != endpoint["secret"]
    assert answer["webhookEndpoint"] == {"formerSecretEndsAt": "2026-01-02T00:00:00.000000Z"}


async def test_the_body_is_what_a_subscriber_gets(api: Api) -> None:
    scene, _ = await scene_with_endpoint(api)
    seller = partner(scene.seller)
    selection = DOCUMENT.removeprefix("subscription { events {").removesuffix("} }")
    told = await api.data(seller, f"{{ events(first: 100) {{ nodes {{ {selection} }} }} }}")
    nodes = {node["id"]: node for node in told["events"]["nodes"]}
    posts = api.sender.posts
    assert posts
    assert [post.headers["webhook-id"] for post in posts] == [
        json.loads(post.body)["data"]["events"]["id"] for post in posts
    ]
    for post in posts:
        assert json.loads(post.body) == {"data": {"events": nodes[post.id]}}
        assert "usr_" not in post.body.decode()
    assert len({post.id for post in posts}) == len(posts)


async def test_kinds_of_the_document_are_what_is_sent(api: Api) -> None:
    scene = await market(api)
    seller = partner(scene.seller)
    await made(api, seller, "subscription { events(kinds: [ORDER_PAID]) { id } }")
    await made(api, seller, "subscription { it: events(kinds: ENTITLEMENT_GRANTED) { id ...On } }"
                            " fragment On on EventEnvelope { kind }", "https://shop.example/2")  # fmt: skip
    await buy(api, await api.world.user(), scene.listing, "key")
    await delivered(api)
    found = await api.data(seller, DELIVERIES)
    assert sorted(node["kind"] for node in found["webhookDeliveries"]["nodes"]) == ["ENTITLEMENT_GRANTED", "ORDER_PAID"]
    assert {post.url: sorted(json.loads(post.body)["data"]) for post in api.sender.posts} == {
        URL: ["events"], "https://shop.example/2": ["it"],
    }  # fmt: skip


async def test_a_document_that_is_refused_makes_no_endpoint(api: Api) -> None:
    platform = await api.world.platform()
    for document in ("subscription {", "{ viewer { kind } }", "subscription { events { id } }" + " " * 33_000):
        answer = (await api.data(partner(platform), CREATE, url=URL, text=document))["webhookEndpointCreate"]
        assert (answer["webhookEndpoint"], answer["secret"]) == (None, None)
        [error] = answer["userErrors"]
        assert (error["__typename"], error["path"]) == ("InvalidInputError", ["input", "document"])
    assert (await api.data(partner(platform), LISTED))["webhookEndpoints"]["totalCount"] == 0


async def test_a_key_that_may_not_read_events_has_none_sent(api: Api) -> None:
    platform = await api.world.platform()
    poor = Viewer(ViewerKind.PLATFORM, platform_id=platform.id, scopes=frozenset({"webhooks:write", "webhooks:read"}))
    answer = (await api.data(poor, CREATE, url=URL, text=DOCUMENT))["webhookEndpointCreate"]
    assert answer["webhookEndpoint"] is None
    assert "events:read" in answer["userErrors"][0]["message"]


async def test_of_a_document_that_ends_with_an_error_nothing_is_sent(api: Api, monkeypatch: Any) -> None:
    from hub.domain.events import Logged

    def broken(_: Logged) -> None:
        raise RuntimeError("a secret of the hub")

    scene = await market(api)
    await made(api, partner(scene.seller))
    await buy(api, await api.world.user(), scene.listing, "key")
    monkeypatch.setattr(Logged, "event", property(broken))
    await delivered(api)
    assert api.sender.posts == []
    found = await api.data(partner(scene.seller), DELIVERIES, where={"state": {"eq": "PENDING"}})
    tries = [node["tries"][0] for node in found["webhookDeliveries"]["nodes"] if node["tries"]]
    assert {one["outcome"] for one in tries} == {"DOCUMENT_FAILED"}
    assert {one["answer"] for one in tries} == {
        "the document ended with an error at events.payload: nothing is sent of it"
    }


# ---- who ------------------------------------------------------------------------------------------------------------


async def test_endpoints_and_deliveries_through_every_door(api: Api) -> None:
    scene, endpoint = await scene_with_endpoint(api)
    for who in ("seller", "operator", "honouring", "stranger"):
        viewer, is_seen = scene.viewers[who], who in ("seller", "operator")
        listed = await api.data(viewer, LISTED)
        assert [node["id"] for node in listed["webhookEndpoints"]["nodes"]] == ([endpoint["id"]] if is_seen else [])
        found = (await api.data(viewer, DELIVERIES))["webhookDeliveries"]
        assert (found["totalCount"] > 0) == is_seen
        known = (await api.data(operator(), DELIVERIES))["webhookDeliveries"]["nodes"][0]["id"]
        for id_ in (endpoint["id"], known):
            door = "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } webhookEndpoint(id: $id) { id } }"
            answer = await api.data(viewer, door, id=id_)
            assert answer["node"] == ({"id": id_} if is_seen else None)
            assert answer["nodes"] == [answer["node"]]
            assert answer["webhookEndpoint"] == (answer["node"] if id_ == endpoint["id"] else None)


async def test_nobody_else_changes_an_endpoint(api: Api) -> None:
    scene, endpoint = await scene_with_endpoint(api)
    before = await api.data(operator(), LISTED)
    for document in CHANGES:
        name = document.partition("{ ")[2].partition("(")[0]
        for id_ in (endpoint["id"], "whe_" + "0" * 26, "garbage"):
            answer = (await api.data(scene.viewers["honouring"], document, id=id_))[name]
            assert answer["userErrors"] == [{"code": "NOT_FOUND", "path": ["input", "webhookEndpointId"]}], name
        assert await api.codes(learner(scene.me), document, id=endpoint["id"]) == ["FORBIDDEN"], name
        assert await api.codes(ANONYMOUS, document, id=endpoint["id"]) == ["UNAUTHENTICATED"], name
    assert await api.data(operator(), LISTED) == before
    for document in sorted(CHANGES, key=lambda text: "Delete" in text):
        name = document.partition("{ ")[2].partition("(")[0]
        assert (await api.data(operator(), document, id=endpoint["id"]))[name]["userErrors"] == [], name


async def test_learners_and_strangers_ask_in_vain(api: Api) -> None:
    scene, _ = await scene_with_endpoint(api)
    for document in (LISTED, DELIVERIES):
        assert await api.codes(ANONYMOUS, document) == ["UNAUTHENTICATED"]
        assert await api.codes(learner(scene.me), document) == ["FORBIDDEN"]


async def test_the_log_of_deliveries_is_filtered_by_endpoint_and_state(api: Api) -> None:
    scene = await market(api)
    seller = partner(scene.seller)
    first = await made(api, seller)
    api.sender.says.append(REFUSED)
    await buy(api, await api.world.user(), scene.listing, "one")
    await delivered(api)
    second = await made(api, seller, url="https://shop.example/2")
    await buy(api, await api.world.user(), scene.listing, "two")
    await delivered(api)

    async def count(**where: Any) -> int:
        total: int = (await api.data(seller, DELIVERIES, where=where))["webhookDeliveries"]["totalCount"]
        return total

    everything = await count()
    of_first, of_second = [await count(endpoint={"eq": one["id"]}) for one in (first, second)]
    assert of_first + of_second == everything
    assert of_first > of_second > 0
    assert await count(endpoint={"oneOf": [first["id"], second["id"]]}) == everything
    pending = await count(state={"eq": "PENDING"})
    assert pending > 0
    assert await count(state={"oneOf": ["PENDING", "DELIVERED"]}) == everything
    assert await count(endpoint={"eq": second["id"]}, state={"eq": "PENDING"}) == 0
    assert await count(endpoint={"eq": "garbage"}) == 0
    found = await api.data(seller, DELIVERIES, where={"state": {"eq": "PENDING"}})
    [tried] = [node for node in found["webhookDeliveries"]["nodes"] if node["attempts"]]
    assert tried["tries"] == [{"number": 1, "outcome": "REFUSED", "status": 500, "latencyMs": 9, "answer": "no"}]
    assert tried["nextAttemptAt"] is not None


async def test_redelivery_begins_after_a_deliverys_cursor(api: Api) -> None:
    scene, endpoint = await scene_with_endpoint(api)
    seller = partner(scene.seller)
    nodes = (await api.data(seller, DELIVERIES))["webhookDeliveries"]["nodes"]
    told = {post.id for post in api.sender.posts}  # events of different orders and rights may come in any order
    newest, before = sorted(nodes, key=lambda node: api.hub.cursors.open(node["cursor"]), reverse=True)[:2]
    document = """mutation($id: ID!, $after: String!) {
      webhookRedeliver(input: {webhookEndpointId: $id, after: $after}) {
        webhookEndpoint { state } userErrors { code } } }"""
    answer = await api.data(seller, document, id=endpoint["id"], after=before["cursor"])
    assert answer["webhookRedeliver"] == {"webhookEndpoint": {"state": "ACTIVE"}, "userErrors": []}
    await delivered(api)
    assert [post.id for post in api.sender.posts[len(told):]] == [newest["eventId"]]
    theirs = api.hub.cursors.seal(scene.honouring.id, 1)
    for wrong in ("garbage", theirs):
        assert await api.codes(seller, document, id=endpoint["id"], after=wrong) == ["BAD_USER_INPUT"]


async def test_redelivering_tells_nobody_that_another_platform_has_such_an_endpoint(api: Api) -> None:
    scene, endpoint = await scene_with_endpoint(api)
    document = """mutation($id: ID!, $after: String!) {
      webhookRedeliver(input: {webhookEndpointId: $id, after: $after}) { userErrors { code path } } }"""
    own = api.hub.cursors.seal(scene.honouring.id, 1)
    answers = [
        await api.data(partner(scene.honouring), document, id=id_, after=own)
        for id_ in (endpoint["id"], "whe_" + "0" * 26)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["webhookRedeliver"]["userErrors"][0]["code"] == "NOT_FOUND"


async def test_a_deleted_endpoint_is_gone_and_its_deliveries_stay_in_the_log(api: Api) -> None:
    scene, endpoint = await scene_with_endpoint(api)
    seller = partner(scene.seller)
    document = "mutation($id: ID!) { webhookEndpointDelete(input: {webhookEndpointId: $id}) { deletedId } }"
    answer = await api.data(seller, document, id=endpoint["id"])
    assert answer["webhookEndpointDelete"] == {"deletedId": endpoint["id"]}
    assert (await api.data(seller, LISTED))["webhookEndpoints"]["totalCount"] == 0
    nodes = (await api.data(seller, DELIVERIES))["webhookDeliveries"]["nodes"]
    assert nodes
    assert {node["state"] for node in nodes} == {"DELIVERED"}
    assert [node["webhookEndpoint"] for node in nodes] == [None] * len(nodes)
    again = "mutation($id: ID!) { webhookEndpointDelete(input: {webhookEndpointId: $id}) { userErrors { code } } }"
    assert (await api.data(seller, again, id=endpoint["id"]))["webhookEndpointDelete"]["userErrors"] == [
        {"code": "NOT_FOUND"}
    ]
