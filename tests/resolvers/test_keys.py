"""API keys and issuers by GraphQL: who sees which, through every door, and that a secret is in one answer alone."""

from typing import Any

import pytest

from hub.domain.people import ANONYMOUS, OPERATOR_SCOPES, PARTNER_SCOPES, Viewer, ViewerKind
from tests.partners import HUB, Partner
from tests.resolvers.conftest import Api
from tests.world import learner, operator, partner

CREATE = """mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) {
  secret replayed userErrors { __typename code path message }
  apiKey { id name kind scopes isLive createdAt createdBy expiresAt lastUsedAt revokedAt platform { slug } } } }"""
ROTATE = """mutation($input: ApiKeyRotateInput!) { apiKeyRotate(input: $input) {
  secret userErrors { code path } apiKey { id name expiresAt } } }"""
REVOKE = """mutation($input: ApiKeyRevokeInput!) { apiKeyRevoke(input: $input) {
  replayed userErrors { code path } apiKey { id isLive revokedAt } } }"""
LIST = """query($where: ApiKeyFilter) { apiKeys(first: 10, where: $where) {
  totalCount nodes { id name isLive expiresAt platform { slug } } } }"""
AT = "2026-01-01T00:00:00.000000Z"
# What says nothing about the database is asked on the embedded one alone.
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


async def created(api: Api, viewer: Viewer, name: str, **more: Any) -> dict[str, Any]:
    payload = await api.data(viewer, CREATE, input={"name": name, "scopes": ["orders:read"]} | more)
    assert payload["apiKeyCreate"]["userErrors"] == []
    api.world.clock.pass_us(1)
    key: dict[str, Any] = payload["apiKeyCreate"]
    return key


async def test_key_is_made_listed_rotated_and_revoked(api: Api) -> None:
    platform = await api.world.platform()
    viewer = partner(platform)
    made = await created(api, viewer, "shop", expiresInDays=2)
    key = made["apiKey"]
    assert made["secret"].startswith(f"hub_live_{key['id'].removeprefix('key_')}_")
    assert key == {
        "id": key["id"], "name": "shop", "kind": "PLATFORM", "scopes": ["orders:read"], "isLive": True,
        "createdAt": AT, "createdBy": "command", "expiresAt": "2026-01-03T00:00:00.000000Z", "lastUsedAt": None,
        "revokedAt": None, "platform": {"slug": "xue"},
    }  # fmt: skip
    turned = (await api.data(viewer, ROTATE, input={"id": key["id"], "graceSeconds": 60}))["apiKeyRotate"]
    assert (turned["userErrors"], turned["apiKey"]["name"]) == ([], "shop")
    assert turned["secret"] != made["secret"]
    listed = (await api.data(viewer, LIST))["apiKeys"]
    assert [(node["id"], node["isLive"], node["expiresAt"]) for node in listed["nodes"]] == [
        (turned["apiKey"]["id"], True, "2026-01-03T00:00:00.000000Z"),
        (key["id"], True, "2026-01-01T00:01:00.000001Z"),
    ]
    ended = (await api.data(viewer, REVOKE, input={"id": key["id"]}))["apiKeyRevoke"]
    assert (ended["replayed"], ended["apiKey"]["isLive"]) == (False, False)
    assert (await api.data(viewer, REVOKE, input={"id": key["id"]}))["apiKeyRevoke"]["replayed"] is True
    unrevoked = (await api.data(viewer, LIST, where={"isRevoked": {"eq": False}}))["apiKeys"]
    assert [node["id"] for node in unrevoked["nodes"]] == [turned["apiKey"]["id"]]
    assert unrevoked["totalCount"] == 1


@EMBEDDED
async def test_no_answer_but_the_first_holds_a_secret(api: Api) -> None:
    platform = await api.world.platform()
    made = await created(api, partner(platform), "shop")
    secret = made["secret"].rpartition("_")[2]
    document = "query($id: ID!) { node(id: $id) { __typename ... on ApiKey { name createdBy } } apiKeys(first: 9) {"
    shown = await api.data(operator(), document + " nodes { id name scopes } } }", id=made["apiKey"]["id"])
    entries = await api.data(operator(), "{ auditEntries(first: 9) { nodes { actor action subjectId detail } } }")
    assert secret not in str(shown) + str(entries)
    assert entries["auditEntries"]["nodes"][0]["action"] == "apiKeyCreate"


async def test_keys_through_every_door(api: Api) -> None:
    mine, other = [await api.world.platform(slug) for slug in ("alpha", "beta")]
    own = (await created(api, partner(mine), "one"))["apiKey"]["id"]
    foreign = (await created(api, partner(other), "one"))["apiKey"]["id"]
    staff = (await created(api, operator(), "one"))["apiKey"]["id"]
    door = "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }"
    for viewer, seen in (
        (partner(mine), [own]), (partner(other), [foreign]), (operator(), [staff, foreign, own]),
    ):  # fmt: skip
        listed = (await api.data(viewer, LIST))["apiKeys"]
        assert [node["id"] for node in listed["nodes"]] == seen
        assert listed["totalCount"] == len(seen)
        for id_ in (own, foreign, staff):
            expected = {"id": id_} if id_ in seen else None
            assert await api.data(viewer, door, id=id_) == {"node": expected, "nodes": [expected]}
    user = learner(await api.world.user())
    for viewer, code in ((ANONYMOUS, "UNAUTHENTICATED"), (user, "FORBIDDEN")):
        assert await api.codes(viewer, LIST) == [code]
        assert await api.data(viewer, door, id=own) == {"node": None, "nodes": [None]}
    poor = Viewer(ViewerKind.PLATFORM, platform_id=mine.id, scopes=PARTNER_SCOPES - {"keys:read", "keys:write"})
    assert await api.codes(poor, LIST) == ["FORBIDDEN"]
    assert await api.data(poor, door, id=own) == {"node": None, "nodes": [None]}
    assert await api.codes(poor, CREATE, input={"name": "x", "scopes": ["orders:read"]}) == ["FORBIDDEN"]


@EMBEDDED
async def test_what_is_wrong_is_told_where_it_stands(api: Api) -> None:
    platform = await api.world.platform()
    taken = (await created(api, partner(platform), "shop"))["apiKey"]["id"]
    for input_, path in (
        ({"name": "shop", "scopes": ["orders:read"]}, ["input", "name"]),
        ({"name": "x", "scopes": ["operations:write"]}, ["input", "scopes"]),
        ({"name": "x", "scopes": []}, ["input", "scopes"]),
        ({"name": "x", "scopes": ["orders:read"] * 51}, ["input", "scopes"]),
        ({"name": "x", "scopes": ["orders:read"], "expiresInDays": 0}, ["input", "expiresInDays"]),
        ({"name": "x", "scopes": ["orders:read"], "expiresInDays": 1826}, ["input", "expiresInDays"]),
        ({"name": "x", "scopes": ["orders:read"], "platformId": "nonsense"}, ["input", "platformId"]),
    ):
        payload = (await api.data(partner(platform), CREATE, input=input_))["apiKeyCreate"]
        assert [error["path"] for error in payload["userErrors"]] == [path], input_
        assert (payload["apiKey"], payload["secret"]) == (None, None)
    for grace in (-1, 604_801):
        payload = await api.data(partner(platform), ROTATE, input={"id": taken, "graceSeconds": grace})
        assert payload["apiKeyRotate"]["userErrors"] == [{"code": "INVALID_INPUT", "path": ["input", "graceSeconds"]}]
    payload = await api.data(partner(platform), REVOKE, input={"id": "nonsense"})
    assert payload["apiKeyRevoke"]["userErrors"] == [{"code": "NOT_FOUND", "path": ["input", "id"]}]


# ---- issuers ---------------------------------------------------------------------------------------------------------

TRUST = """mutation($input: TrustedIssuerUpsertInput!) { trustedIssuerUpsert(input: $input) {
  replayed userErrors { code path message }
  trustedIssuer { id issuer audience algorithms subjectClaim jwksUrl jwks clientJwksUrl clientJwks scopes state
    platform { slug } } } }"""


def trusted(platform_id: str, **more: Any) -> dict[str, Any]:
    return {
        "platformId": platform_id, "issuer": "https://xue.example", "audience": HUB, "scopes": ["orders:read"],
        "jwksUrl": "https://xue.example/jwks.json",
    } | more  # fmt: skip


async def test_issuer_is_made_known_changed_and_the_same_again(api: Api) -> None:
    platform = await api.world.platform()
    made = (await api.data(operator(), TRUST, input=trusted(platform.id)))["trustedIssuerUpsert"]
    issuer = made["trustedIssuer"]
    assert made == {
        "replayed": False, "userErrors": [],
        "trustedIssuer": {
            "id": issuer["id"], "issuer": "https://xue.example", "audience": HUB, "algorithms": ["ES256"],
            "subjectClaim": "sub", "jwksUrl": "https://xue.example/jwks.json", "jwks": None,
            "clientJwksUrl": "https://xue.example/jwks.json", "clientJwks": None, "scopes": ["orders:read"],
            "state": "ACTIVE", "platform": {"slug": "xue"},
        },
    }  # fmt: skip
    same = (await api.data(operator(), TRUST, input=trusted(platform.id)))["trustedIssuerUpsert"]
    assert (same["replayed"], same["trustedIssuer"]) == (True, issuer)
    changed = trusted(platform.id, state="PAUSED", algorithms=["RS256", "RS256"], clientJwks=Partner("plt_1").jwks)
    paused = (await api.data(operator(), TRUST, input=changed))["trustedIssuerUpsert"]["trustedIssuer"]
    assert (paused["id"], paused["state"], paused["algorithms"]) == (issuer["id"], "PAUSED", ["RS256"])
    assert paused["clientJwksUrl"] is None
    log = await api.data(
        operator(),
        "query($s: String) { auditEntries(first: 9, where: {subject: {eq: $s}}) { totalCount nodes { action detail"
        " platform { slug } } } }",
        s=issuer["id"],
    )
    assert log["auditEntries"]["totalCount"] == 2
    assert {node["action"] for node in log["auditEntries"]["nodes"]} == {"trustedIssuerUpsert"}


@EMBEDDED
async def test_issuer_that_cannot_be_trusted_is_refused(api: Api) -> None:
    platform, other = [await api.world.platform(slug) for slug in ("alpha", "beta")]
    await api.data(operator(), TRUST, input=trusted(other.id, issuer="https://other.example"))
    private = {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}]}
    for more, field in (
        ({"jwksUrl": "http://xue.example/jwks.json"}, "jwksUrl"),
        ({"jwksUrl": "https://user:pw@xue.example/"}, "jwksUrl"),
        ({"jwksUrl": "file:///etc/passwd"}, "jwksUrl"),
        ({"jwksUrl": "https://" + "x" * 500}, "jwksUrl"),
        ({"jwks": Partner("plt_1").jwks}, "jwksUrl"),  # both
        ({"jwksUrl": None}, "jwks"),  # neither
        ({"jwksUrl": None, "jwks": "{}"}, "jwks"),
        ({"jwksUrl": None, "jwks": str(private).replace("'", '"')}, "jwks"),
        ({"clientJwksUrl": "http://169.254.169.254/"}, "clientJwksUrl"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["ES256", "HS256"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"scopes": ["operations:write"]}, "scopes"),
        ({"issuer": ""}, "issuer"),
        ({"audience": "a b"}, "audience"),
        ({"subjectClaim": ""}, "subjectClaim"),
        ({"issuer": "https://other.example"}, "issuer"),
        ({"platformId": "plt_00000000000000000000000000"}, "platformId"),
    ):
        payload = (await api.data(operator(), TRUST, input=trusted(platform.id) | more))["trustedIssuerUpsert"]
        assert [error["path"] for error in payload["userErrors"]] == [["input", field]], more
        assert payload["trustedIssuer"] is None
    assert (await api.data(operator(), "{ trustedIssuers(first: 9) { totalCount } }"))["trustedIssuers"] == {
        "totalCount": 1
    }


async def test_issuers_are_staffs_to_set_and_their_platforms_to_see(api: Api) -> None:
    mine, other = [await api.world.platform(slug) for slug in ("alpha", "beta")]
    issuer = (await api.data(operator(), TRUST, input=trusted(mine.id)))["trustedIssuerUpsert"]["trustedIssuer"]["id"]
    everything = Viewer(ViewerKind.PLATFORM, platform_id=mine.id, scopes=OPERATOR_SCOPES)
    assert await api.codes(everything, TRUST, input=trusted(mine.id)) == ["FORBIDDEN"]
    document = "query($id: ID!) { trustedIssuers(first: 9) { nodes { id } } node(id: $id) { id } }"
    for viewer, is_seen in ((partner(mine), True), (operator(), True), (partner(other), False)):
        expected = {"id": issuer}
        assert await api.data(viewer, document, id=issuer) == {
            "trustedIssuers": {"nodes": [expected] if is_seen else []}, "node": expected if is_seen else None,
        }  # fmt: skip
    assert await api.codes(learner(await api.world.user()), document, id=issuer) == ["FORBIDDEN"]
