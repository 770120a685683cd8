"""Members, keys and issuers of platforms."""

import time
from typing import Any

import httpx
from joserfc.jwk import ECKey

from hub.entry.demo_client import Client
from tests.entry.hubs import LINK, LIST, MEMBER
from tests.entry.plays.scene import Scene
from tests.entry.plays.stage import AFTER_LEASES_S, Stage
from tests.partners import HUB, Partner


async def partnership(stage: Stage, name: str) -> None:
    """A platform lists, brings a member, and links them."""
    async with stage.partner() as partner:
        for _ in range(2):  # a listing or a member that is there already stays as it is
            listed = await partner.mutate(LIST, {"externalId": name, "title": name})
            member = await partner.mutate(MEMBER, {"externalId": name})
        linked = await partner.mutate(LINK, {"externalId": name, "userToken": stage.learner_token})
    assert listed["listing"]["course"]["id"]
    assert linked["member"]["id"] == member["member"]["id"]


async def keyed(stage: Stage, name: str) -> None:
    """A platform makes a key, rotates it and revokes both: a key whose text was lost with a process is rotated too."""
    async with stage.partner() as partner:
        made = [key for key in await _keys_of(partner) if key["name"] == name]
        if not made:
            await partner.mutate(KEY_CREATE, {"name": name, "scopes": ["orders:read"]})
            made = [key for key in await _keys_of(partner) if key["name"] == name]
        if len(made) == 1:
            await partner.mutate(KEY_ROTATE, {"id": made[0]["id"]})
        for key in await _keys_of(partner):
            if key["name"] == name:
                await partner.mutate(KEY_REVOKE, {"id": key["id"]})
        assert [key["revokedAt"] is not None for key in await _keys_of(partner) if key["name"] == name] == [True] * 2
    if not stage.is_last:
        await stage.hub.ended()


async def trusting(stage: Stage, name: str) -> None:
    """Staff make a platform's issuer known."""
    async with stage.operator() as operator, stage.partner() as partner:
        platform = (await partner.query("{ viewer { platform { id } } }", {}))["viewer"]["platform"]["id"]
        asked = {
            "platformId": platform, "issuer": f"https://{name}.example", "audience": "hub", "scopes": ["orders:read"],
            "jwksUrl": f"https://{name}.example/jwks",
        }  # fmt: skip
        await operator.mutate(TRUST, asked)
        assert (await operator.mutate(TRUST, asked))["replayed"]


async def exchanged(stage: Stage, name: str) -> None:
    """A platform's word about a member is exchanged; what died with the hub is said anew, as a word counts once."""
    async with stage.operator() as operator, stage.partner() as partner:
        platform = (await partner.query("{ viewer { platform { id } } }", {}))["viewer"]["platform"]["id"]
        signer = Partner(platform, issuer=f"https://{name}.example", key=SIGNING_KEY)
        asked = {
            "platformId": platform, "issuer": signer.issuer, "audience": HUB, "scopes": ["orders:read"],
            "jwks": signer.jwks,
        }  # fmt: skip
        signer.id = (await operator.mutate(TRUST, asked))["trustedIssuer"]["id"]
    async with httpx.AsyncClient(base_url=stage.hub.origin, trust_env=False, verify=False, timeout=30) as http:
        endpoint = (await http.get("/.well-known/oauth-authorization-server")).json()["token_endpoint"]
        for _ in range(2):
            signer.now_us = int((time.time() + stage.ahead_s) * 1_000_000)
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": signer.assertion(aud=endpoint), "subject_token": signer.subject_token(name),
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            }  # fmt: skip
            answer = await http.post("/oauth/token", data=form)
            assert answer.status_code == 200, answer.text
    async with Client(stage.hub.origin, answer.json()["access_token"]) as learner:
        viewer = (await learner.query("{ viewer { kind user { state } } }", {}))["viewer"]
    assert viewer == {"kind": "USER", "user": {"state": "ACTIVE"}}


async def removed(stage: Stage, name: str) -> None:
    """A platform deletes an account."""
    async with stage.partner() as partner:
        if not (await partner.query(REMOVE, {"input": {"externalId": name}}))["memberRemove"]["member"]:
            await partner.mutate(MEMBER, {"externalId": name})
            await partner.mutate(REMOVE, {"externalId": name})
        assert (await partner.mutate(REMOVE, {"externalId": name}))["replayed"]


async def _keys_of(partner: Client) -> list[dict[str, Any]]:
    answer = await partner.query("{ apiKeys(first: 100) { nodes { id name revokedAt } } }", {})
    return list(answer["apiKeys"]["nodes"])


KEY_CREATE = """mutation($input: ApiKeyCreateInput!) {
  apiKeyCreate(input: $input) { secret userErrors { message } } }"""
KEY_ROTATE = """mutation($input: ApiKeyRotateInput!) {
  apiKeyRotate(input: $input) { secret userErrors { message } } }"""
SIGNING_KEY = ECKey.generate_key("P-256", {"kid": "k-1"}, auto_kid=False)
TRUST = """mutation($input: TrustedIssuerUpsertInput!) {
  trustedIssuerUpsert(input: $input) { replayed trustedIssuer { id } userErrors { message } } }"""
REMOVE = """mutation($input: MemberRemoveInput!) {
  memberRemove(input: $input) { replayed member { id } userErrors { message } } }"""
KEY_REVOKE = """mutation($input: ApiKeyRevokeInput!) {
  apiKeyRevoke(input: $input) { userErrors { message } } }"""


PEOPLE: dict[str, Scene] = {
    "put_member": Scene(partnership),
    "link_member": Scene(partnership),
    "put_listing": Scene(partnership),
    "put_development_user": Scene(command=lambda _, name: ["token", "--as", "learner", "--user", name]),
    "put_key": Scene(command=lambda _, name: ["token", "--as", "operator"]),
    "turn_key": Scene(keyed),
    "end_key": Scene(keyed),
    "mark_used": Scene(keyed, ahead_s=AFTER_LEASES_S),  # a use within the minute is known already
    "put_issuer": Scene(trusting),
    "end_member": Scene(removed),
    "sign_in": Scene(exchanged),
}  # fmt: skip
