"""Wallets, and rights that are claimed for them or handed on."""

import base64
from hashlib import sha256
from typing import Any

import orjson

from hub.entry.demo_client import DemoFailed
from tests.entry.hubs import CHECKOUT, MEMBER, order_of, until
from tests.entry.plays.scene import Scene, sale
from tests.entry.plays.stage import Stage
from tests.wallets import account, signed


def wallet_of(name: str) -> int:
    """The key of a play's own wallet: names end alike."""
    return 2 + int.from_bytes(sha256(name.encode()).digest()[:8])


async def linked(learner: Any, number: int) -> str:
    """The id of that wallet, which is the learner's from now on."""
    text = await challenged(learner, number)
    told = await learner.mutate(WALLET_LINK, {"message": text, "signature": "0x" + signed(text, number).hex()})
    return str(told["wallet"]["id"])


async def challenged(learner: Any, number: int) -> str:
    """The text that the wallet signs, once the chain is up: a hub that has just begun does not know its id yet."""

    async def text() -> str | None:
        try:
            return str((await learner.mutate(WALLET_ASK, {"address": account(number).address}))["challenge"]["message"])
        except DemoFailed as failed:
            if "UNAVAILABLE" not in str(failed):
                raise
            return None

    return str(await until(text, within_s=30, what="the chain's id"))


async def walleted(stage: Stage, name: str) -> None:
    """A learner links a wallet of their own and gives it up; a text whose answer was lost is asked for anew."""
    number = wallet_of(name)
    async with stage.learner() as learner:
        await learner.mutate(WALLET_UNLINK, {"walletId": await linked(learner, number)})
        mine = (await learner.query("{ viewer { user { wallets { address } } } }", {}))["viewer"]["user"]["wallets"]
        assert account(number).address not in {wallet["address"] for wallet in mine}


async def claimed(stage: Stage, name: str) -> None:
    """A right whose record is on chain is claimed for a wallet: one leaf stands for it, and the former one ends."""
    number = wallet_of(name)
    await sale(stage, name)
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        order = await order_of(learner, bought["order"]["id"])
        right = {"entitlementId": order["entitlement"]["id"], "walletId": await linked(learner, number)}
        # Another play erases this learner, wallets and all: what was linked anew is claimed for by another key.
        await learner.mutate(CLAIM, right | {"idempotencyKey": f"{name} {right['walletId']}"})

        async def is_held() -> bool:
            token = (await learner.query(TOKEN, {"id": right["entitlementId"]}))["entitlement"]["token"]
            left = await stage.house.rows("SELECT count(*) FROM task WHERE kind IN ('revoke_leaf', 'follow_claim')")
            return bool(token and token["holder"] == account(number).address and left == [(0,)])

        await until(is_held, within_s=60, what="the token for the wallet")


async def handed_on(stage: Stage, name: str) -> None:
    """A right whose course allows it goes to a platform's member; asked again by the same key, it is theirs already."""
    async with stage.partner() as partner, stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        order = await order_of(learner, bought["order"]["id"])
        await partner.mutate(COURSE_POLICY, {"courseId": stage.listings[name].course_id, "isTransferable": True})
        await partner.mutate(MEMBER, {"externalId": f"{name}-taker"})
        platform = (await partner.query("{ viewer { platform { id } } }", {}))["viewer"]["platform"]["id"]
        asked = {
            "entitlementId": order["entitlement"]["id"], "idempotencyKey": name,
            "to": {"member": {"platformId": platform, "externalId": f"{name}-taker"}},
        }  # fmt: skip
        told = await learner.mutate(HAND_ON, asked)
    assert not told["entitlement"]["isOpen"]

    async def is_on_its_way() -> bool:
        return await stage.house.rows("SELECT count(*) FROM task WHERE kind = 'place_leaf'") == [(0,)]

    await until(is_on_its_way, within_s=60, what="the end of the former holder's leaf")


COURSE_POLICY = """mutation($input: CoursePolicySetInput!) { coursePolicySet(input: $input) {
  course { isTransferable } userErrors { message } } }"""
HAND_ON = """mutation($input: EntitlementTransferInput!) { entitlementTransfer(input: $input) {
  entitlement { isOpen } userErrors { message } } }"""


def _mine(stage: Stage) -> str:
    """The learner's id, as their token says it."""
    body = stage.learner_token.split(".")[1]
    return str(orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"])


CLAIM = """mutation($input: EntitlementClaimInput!) { entitlementClaim(input: $input) {
  entitlement { id } userErrors { message } } }"""
TOKEN = "query($id: ID!) { entitlement(id: $id) { token { holder claimCall { data } } } }"
WALLET_ASK = """mutation($input: WalletChallengeInput!) { walletChallenge(input: $input) {
  challenge { message } userErrors { message } } }"""
WALLET_LINK = """mutation($input: WalletLinkInput!) { walletLink(input: $input) {
  wallet { id } userErrors { message } } }"""
WALLET_UNLINK = """mutation($input: WalletUnlinkInput!) { walletUnlink(input: $input) {
  userErrors { message } } }"""


WALLETS: dict[str, Scene] = {
    "keep_challenge": Scene(walleted),
    "link_wallet": Scene(walleted),
    "unlink_wallet": Scene(walleted),
    "claim_right": Scene(claimed),
    "end_former": Scene(claimed),
    "hand_on": Scene(handed_on),
    "place_leaf": Scene(handed_on),
    "keep_course_policy": Scene(handed_on),
    "erase_person": Scene(before=walleted, command=lambda stage, name: ["person", "erase", _mine(stage)]),
}  # fmt: skip
