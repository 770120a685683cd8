"""Plays: clients that want one thing and ask for it with the same keys until they have it, whoever dies on the way;
and scenes: which play, on what kind of process, gets to which fail-point."""

import ast
import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import orjson
from joserfc.jwk import ECKey
from websockets.exceptions import WebSocketException

import hub.flows
from hub.entry.demo_client import Client, DemoFailed, pay_by_card
from hub.entry.failpoints import CALLS, EXIT_CODE
from hub.sandbox.signatures import HEADER, signature
from tests.entry.hubs import (
    BREAKS,
    CANCEL,
    CHECKOUT,
    CREATE,
    LINK,
    LIST,
    MEMBER,
    PAY,
    REVOKE,
    House,
    Sandbox,
    Serving,
    Sold,
    order_of,
    reached,
    until,
)  # fmt: skip
from tests.entry.receivers import receiving
from tests.partners import HUB, Partner
from tests.wallets import account, signed

HONOURER = "folio"
# Beyond every lease (a task's 45 s, a request's 40 s) and the sandbox's own 60 s before "never seen" is believed.
AFTER_LEASES_S = 75.0
# Beyond an order's deadline and the time after which an unknown outcome is shown to a person, a day each.
AFTER_A_DAY_S = 25 * 3600.0
DEAD = (httpx.HTTPError, DemoFailed, WebSocketException, ConnectionError)  # what a client sees of a hub that dies


@dataclass
class Stage:
    """A folder with everything that plays need; `hub` is who serves at the moment."""

    house: House
    hub: Serving
    learner_token: str
    partner_token: str
    operator_token: str
    listings: dict[str, Sold] = field(default_factory=dict)
    is_last: bool = False  # the hub lives: plays may wait for their end
    ahead_s: float = (
        0  # how far the clock is ahead: it never goes back while money is under way, or batches wait for it
    )

    @asynccontextmanager
    async def learner(self) -> AsyncIterator[Client]:
        async with Client(self.hub.origin, self.learner_token) as client:
            yield client

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[Client]:
        async with Client(self.hub.origin, self.partner_token) as client:
            yield client

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Client]:
        async with Client(self.hub.origin, self.operator_token) as client:
            yield client

    @property
    def sandbox(self) -> Sandbox:
        return self.house.sandbox()


Play = Callable[[Stage, str], Awaitable[None]]


# ---- plays -----------------------------------------------------------------------------------------------------------


async def sale(stage: Stage, name: str) -> None:
    """Paid at once, granted, told to the platform that honours it, anchored."""
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        await _sold(stage, learner, bought["order"]["id"])


async def in_two_steps(stage: Stage, name: str) -> None:
    """`orderCreate`, then `paymentCreate`."""
    sold = stage.listings[name]
    async with stage.learner() as learner:
        made = await learner.mutate(CREATE, {"listingId": sold.listing_id, "idempotencyKey": name})
        await learner.mutate(PAY, sold.paid(made["order"]["id"], name))
        await _sold(stage, learner, made["order"]["id"])


async def contested(stage: Stage, name: str) -> None:
    """Paid by a card whose payer disputes it at once; the seller answers, and the bank looks at it."""
    async with stage.learner() as learner, stage.partner() as seller:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method="pm_card_createDispute"))
        order_id = asked["order"]["id"]
        disputes: list[dict[str, Any]] = []

        async def is_disputed() -> bool:
            order = (await seller.query(DISPUTES_OF, {"id": order_id}))["order"]
            disputes[:] = order["disputes"] if order else []
            return bool(disputes)

        await until(is_disputed, within_s=60, what="the dispute told")
        answer = {"disputeId": disputes[0]["id"], "evidence": "they opened it daily", "idempotencyKey": name}
        await seller.mutate(SUBMIT_EVIDENCE, answer)

        async def is_taken() -> bool:
            return await is_disputed() and disputes[0]["answerState"] == "TAKEN"

        await until(is_taken, within_s=90, what="the evidence taken")
        await reached(learner, order_id, status="PAID", chainStatus="FINALIZED", within_s=60)


DISPUTES_OF = "query($id: ID!) { order(id: $id) { disputes { id state answerState } } }"
SUBMIT_EVIDENCE = """mutation($input: DisputeSubmitEvidenceInput!) {
  disputeSubmitEvidence(input: $input) { dispute { state } userErrors { message } } }"""


async def undecided(stage: Stage, name: str) -> None:
    """The pay page stands open while the hub asks about it; paid in the end."""
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
        if not stage.is_last:
            await stage.hub.ended()
        order = await order_of(learner, asked["order"]["id"])
        if order["status"] != "PAID":
            action = asked["paymentAttempt"]["nextAction"]
            async with asyncio.timeout(60):
                while action is None:  # sent, and its answer lost: the hub learns of the page by asking
                    asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
                    action = asked["paymentAttempt"]["nextAction"]
                    await asyncio.sleep(0.2)
            await pay_by_card(action["url"], "4242 4242 4242 4242")
        await _sold(stage, learner, order["id"])


async def given_up(stage: Stage, name: str) -> None:
    """Canceled before it is paid."""
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
        order_id = asked["order"]["id"]

        async def canceled() -> bool:
            answer = await learner.query(CANCEL, {"input": {"orderId": order_id, "idempotencyKey": name}})
            return bool((await order_of(learner, order_id))["status"] == "CANCELED" or not answer)

        await until(canceled, what="canceled")
    [movement] = await stage.sandbox.find(f"{asked['order']['number']}-1")
    assert (movement["status"], movement["amount_received"]) == ("canceled", 0)


async def replaced(stage: Stage, name: str) -> None:
    """Shown on one page, and paid by another attempt that takes its place."""
    sold = stage.listings[name]
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, sold.bought(name, method=None))
        order_id = asked["order"]["id"]
        first = (await order_of(learner, order_id))["paymentIntent"]["attempts"][0]["id"]

        async def is_paid() -> bool:
            await learner.query(PAY, {"input": sold.paid(order_id, f"{name} again") | {"replaces": first}})
            return bool((await order_of(learner, order_id))["status"] == "PAID")

        await until(is_paid, within_s=60, what="paid by the other")
        await _sold(stage, learner, order_id)


async def held(stage: Stage, name: str) -> None:
    """Its money is held, and its merchant takes it."""
    async with stage.learner() as learner, stage.partner() as partner:
        asked = await learner.mutate(CHECKOUT, {**stage.listings[name].bought(name), "captureMethod": "MANUAL"})
        attempt_id = asked["paymentAttempt"]["id"]

        async def is_held() -> bool:
            order = await order_of(learner, asked["order"]["id"])
            return order["paymentIntent"]["status"] in ("REQUIRES_CAPTURE", "SUCCEEDED")

        if (await order_of(learner, asked["order"]["id"]))["status"] != "PAID":
            await until(is_held, within_s=60, what="held")
            taken = {"input": {"paymentAttemptId": attempt_id, "idempotencyKey": name}}
            await partner.query(TAKE, taken)  # refused where the money was taken by the hub's own second try
        await _sold(stage, learner, asked["order"]["id"])


TAKE = """mutation($input: PaymentCaptureInput!) {
  paymentCapture(input: $input) { paymentAttempt { id state } userErrors { code } } }"""


async def ruled(stage: Stage, name: str) -> None:
    """A merchant makes a rule and takes it back. Its currency is nobody's here: it chooses for no other play."""
    async with stage.partner() as partner:
        choices = [{"channel": "sandbox", "weight": 2}]
        made = await partner.mutate(RULE_PUT, {"name": name, "currency": "ISK", "choices": choices})
        await partner.mutate(RULE_DELETE, {"routingRuleId": made["routingRule"]["id"]})


RULE_PUT = """mutation($input: RoutingRuleUpsertInput!) {
  routingRuleUpsert(input: $input) { routingRule { id } userErrors { code message } } }"""
RULE_DELETE = """mutation($input: RoutingRuleDeleteInput!) {
  routingRuleDelete(input: $input) { deletedId userErrors { code message } } }"""


async def revoked(stage: Stage, name: str) -> None:
    """Staff end a right whose leaf is on chain: its access list and its leaf follow."""
    await sale(stage, name)
    async with stage.learner() as learner, stage.operator() as operator:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        order = await reached(learner, bought["order"]["id"], chainStatus="FINALIZED")
        asked = {"entitlementId": order["entitlement"]["id"], "reason": "a mistake", "idempotencyKey": name}
        await operator.mutate(REVOKE, asked)
        order = await reached(operator, order["id"], fulfilmentStatus="REVOKED")

        async def is_closed() -> bool:
            accesses = (await order_of(operator, order["id"]))["entitlement"]["accesses"]
            left = await stage.house.rows("SELECT count(*) FROM task WHERE kind = 'revoke_leaf'")
            states = {access["platform"]["slug"]: access["state"] for access in accesses}
            return states[HONOURER] == "CLOSED" and left == [(0,)]

        await until(is_closed, within_s=60, what="revoked everywhere")


async def given_back(stage: Stage, name: str) -> None:
    """The seller gives a whole price back: once, and the right ends."""
    order_id = await _bought(stage, name)
    async with stage.partner() as seller:
        await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
        await reached(seller, order_id, status="REFUNDED", fulfilmentStatus="REVOKED", within_s=60)


async def given_back_in_silence(stage: Stage, name: str) -> None:
    """Likewise, but the answer is lost and no notice comes: the hub asks."""
    await _bought(stage, name)
    if not stage.is_last:
        await stage.sandbox.arm("refund", "drop_after_commit")
        await stage.sandbox.arm("notice", "never")
    await given_back(stage, name)


async def called_off(stage: Stage, name: str) -> None:
    """A refund that the channel did not take is called off; one that has gone meanwhile stays gone."""
    order_id = await _bought(stage, name)
    async with stage.partner() as seller:
        asked = await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
        answer = await seller.query(
            REFUND_CANCEL, {"input": {"refundId": asked["refund"]["id"], "idempotencyKey": name}}
        )
        told = answer["refundCancel"]
        assert told["refund"]["state"] == "CANCELED" or told["userErrors"]


async def refund_lost(stage: Stage, name: str) -> None:
    """Before any death: the money goes back, the answer is lost, and the channel says nothing more."""
    order_id = await _bought(stage, name)
    await stage.sandbox.arm("refund", "drop_after_commit")
    await stage.sandbox.arm("notice", "never", times=0)
    await stage.sandbox.arm("find_refund", "unavailable", times=0)
    async with stage.partner() as seller:
        asked = await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
    assert asked["refund"]["state"] == "UNKNOWN"


async def refund_unresolved(stage: Stage, name: str) -> None:
    """A day without a word: a person is told; then the channel speaks."""
    number = await _number(stage, name)  # the buyer's token has ended by then
    async with stage.operator() as operator:
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]
        order_id = order["id"]

        async def is_shown() -> bool:
            breaks = (await operator.query(BREAKS, {}))["breaks"]["nodes"]
            return ("UNRESOLVED", order_id) in [(one["kind"], (one["order"] or {}).get("id")) for one in breaks]

        if not stage.is_last:
            await until(is_shown, what="a Break")
        else:
            await reached(operator, order_id, status="REFUNDED", within_s=90)


async def refund_unsent(stage: Stage, name: str) -> None:
    """Before any death: the channel takes no refund."""
    order_id = await _bought(stage, name)
    await stage.sandbox.arm("refund", "rate_limit", times=0, reference=f"{await _number(stage, name)}-1")
    async with stage.partner() as seller:
        asked = await seller.mutate(REFUND, {"orderId": order_id, "idempotencyKey": name})
    assert asked["refund"]["state"] == "REQUESTED"


async def refund_expired(stage: Stage, name: str) -> None:
    """It took none for a day: the refund is called off, and the seller has the money."""
    number = await _number(stage, name)
    async with stage.operator() as operator:
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]

        async def is_called_off() -> bool:
            refunds = (await operator.query(REFUNDS_OF, {"id": order["id"]}))["order"]["refunds"]
            return [one["state"] for one in refunds] == ["CANCELED"]

        await until(is_called_off, within_s=60, what="called off")


async def paid_late(stage: Stage, name: str) -> None:
    """Given up, and then paid all the same: the money goes back by itself."""
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method=None))
        order_id, reference = asked["order"]["id"], f"{asked['order']['number']}-1"

        async def is_given_up() -> bool:
            answer = await learner.query(CANCEL, {"input": {"orderId": order_id, "idempotencyKey": name}})
            return bool((await order_of(learner, order_id))["status"] == "CANCELED" or not answer)

        await until(is_given_up, what="given up")
        [movement] = await stage.sandbox.find(reference)
        if movement["status"] == "canceled":
            await stage.sandbox.charge(reference)

        async def is_back() -> bool:
            order = (await learner.query(REFUNDS_OF, {"id": order_id}))["order"]
            return [(one["state"], one["isAutomatic"]) for one in order["refunds"]] == [("SUCCEEDED", True)]

        await until(is_back, within_s=60, what="the money back")


async def policed(stage: Stage, name: str) -> None:
    """A merchant says what becomes of late money."""
    async with stage.partner() as seller:
        merchant = (await seller.query("{ viewer { platform { merchant { id } } } }", {}))["viewer"]["platform"]
        told = await seller.mutate(POLICY, {"merchantId": merchant["merchant"]["id"], "lateMoney": "REFUND"})
    assert told["lateMoney"] == "REFUND"


async def _bought(stage: Stage, name: str) -> str:
    """The paid order of a checkout, which is answered again to whoever asks again."""
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        order_id = str(bought["order"]["id"])

        async def is_paid() -> bool:
            return (await order_of(learner, order_id))["status"] != "AWAITING_PAYMENT"

        await until(is_paid, within_s=60, what="paid")
    return order_id


REFUND = """mutation($input: RefundCreateInput!) { refundCreate(input: $input) {
  refund { id state } userErrors { code message } } }"""
REFUND_CANCEL = """mutation($input: RefundCancelInput!) { refundCancel(input: $input) {
  refund { state } userErrors { code } } }"""
REFUNDS_OF = "query($id: ID!) { order(id: $id) { refunds { state isAutomatic } } }"
POLICY = """mutation($input: MerchantPolicySetInput!) { merchantPolicySet(input: $input) {
  lateMoney userErrors { code message } } }"""


def wallet_of(name: str) -> int:
    """The key of a play's own wallet: names end alike."""
    return 2 + int.from_bytes(sha256(name.encode()).digest()[:8])


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
        text = await challenged(learner, number)
        told = await learner.mutate(WALLET_LINK, {"message": text, "signature": "0x" + signed(text, number).hex()})
        await learner.mutate(WALLET_UNLINK, {"walletId": told["wallet"]["id"]})
        mine = (await learner.query("{ viewer { user { wallets { address } } } }", {}))["viewer"]["user"]["wallets"]
        assert account(number).address not in {wallet["address"] for wallet in mine}


async def claimed(stage: Stage, name: str) -> None:
    """A right whose record is on chain is claimed for a wallet: one leaf stands for it, and the former one ends."""
    number = wallet_of(name)
    await sale(stage, name)
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        order = await order_of(learner, bought["order"]["id"])
        text = await challenged(learner, number)
        told = await learner.mutate(WALLET_LINK, {"message": text, "signature": "0x" + signed(text, number).hex()})
        right = {"entitlementId": order["entitlement"]["id"], "walletId": told["wallet"]["id"]}
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
    async with httpx.AsyncClient(base_url=stage.hub.origin, trust_env=False, timeout=30) as http:
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


async def hooked(stage: Stage, name: str) -> None:
    """A platform has its events sent to a receiver of its own, changes everything about that, and gives it up."""
    async with receiving() as receiver, stage.partner() as partner:
        url = f"{receiver.url}/{name}"
        held = await _endpoint_of(partner, name)
        if held is None:
            await partner.mutate(HOOK_CREATE, {"url": url, "document": HOOK_DOCUMENT})
            held = await _endpoint_of(partner, name)
        assert held is not None
        endpoint = {"webhookEndpointId": held["id"]}
        for change in (HOOK_PAUSE, HOOK_RESUME, HOOK_ROTATE):
            await partner.mutate(change, endpoint)
        await partner.mutate(HOOK_UPDATE, {**endpoint, "url": f"{url}?again"})
        for number in (1, 2):
            await partner.mutate(LIST, {"externalId": f"{name}-hooked", "title": f"{name} {number} {stage.ahead_s}"})
        await until(lambda: receiver.has(f"{name}-hooked"), within_s=60, what="the event posted")
        before = receiver.count
        await partner.mutate(HOOK_REDELIVER, {**endpoint, "after": held["cursor"]})
        await until(lambda: receiver.has_more_than(before), within_s=60, what="the event posted again")
        if not stage.is_last:
            await asyncio.sleep(1)  # what is left of the lane
        await partner.mutate(HOOK_DELETE, endpoint)
    assert receiver.is_consistent


async def _endpoint_of(partner: Client, name: str) -> dict[str, Any] | None:
    answer = await partner.query("{ webhookEndpoints(first: 100) { nodes { id url cursor } } }", {})
    found = [one for one in answer["webhookEndpoints"]["nodes"] if one["url"].partition("?")[0].endswith(f"/{name}")]
    return found[0] if found else None


HOOK_DOCUMENT = "subscription { events { id kind payload { ... on ListingChanged { externalId } } } }"
HOOK_CREATE = """mutation($input: WebhookEndpointCreateInput!) {
  webhookEndpointCreate(input: $input) { secret userErrors { message } } }"""
HOOK_UPDATE = """mutation($input: WebhookEndpointUpdateInput!) {
  webhookEndpointUpdate(input: $input) { userErrors { message } } }"""
HOOK_PAUSE = """mutation($input: WebhookEndpointPauseInput!) {
  webhookEndpointPause(input: $input) { userErrors { message } } }"""
HOOK_RESUME = """mutation($input: WebhookEndpointResumeInput!) {
  webhookEndpointResume(input: $input) { userErrors { message } } }"""
HOOK_ROTATE = """mutation($input: WebhookEndpointRotateSecretInput!) {
  webhookEndpointRotateSecret(input: $input) { secret userErrors { message } } }"""
HOOK_REDELIVER = """mutation($input: WebhookRedeliverInput!) {
  webhookRedeliver(input: $input) { userErrors { message } } }"""
HOOK_DELETE = """mutation($input: WebhookEndpointDeleteInput!) {
  webhookEndpointDelete(input: $input) { deletedId userErrors { message } } }"""


async def unheard_of(stage: Stage, name: str) -> None:
    """A well signed notice about a payment that the hub does not know: kept, acknowledged, tried again."""
    intent = {
        "id": f"pi_{name}", "object": "payment_intent", "livemode": False, "reference": f"TB-{name}-1", "amount": 4900,
        "amount_received": 4900, "currency": "USD", "status": "succeeded", "status_at": 1_790_000_000,
        "last_payment_error": None, "latest_charge": f"ch_{name}", "next_action": None, "cancellation_reason": None,
        "created": 1_790_000_000, "expires_at": 1_790_001_800,
    }  # fmt: skip
    event = {"id": f"evt_{name}", "object": "event", "type": "payment.succeeded", "created": 1_790_000_000,
             "livemode": False, "data": {"object": intent}}  # fmt: skip
    body = orjson.dumps(event)
    headers = {HEADER: signature(body, stage.sandbox.keys["notice_secret"], int(time.time() + stage.ahead_s))}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(f"{stage.hub.origin}/channels/sandbox/notices", content=body, headers=headers)
    assert answer.status_code == 204
    if not stage.is_last:
        return
    kept = await stage.house.rows(f"SELECT state FROM notice_inbox WHERE event_id = 'evt_{name}'")
    assert kept == [("WAITING",)]


async def lost(stage: Stage, name: str) -> None:
    """Before any death: the request never arrives at the channel, and nobody knows that."""
    sold = stage.listings[name]
    async with stage.learner() as learner:
        made = await learner.mutate(CREATE, {"listingId": sold.listing_id, "idempotencyKey": name})
        await stage.sandbox.arm("create", "drop_before", reference=f"{made['order']['number']}-1")
        asked = await learner.mutate(PAY, sold.paid(made["order"]["id"], name))
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"


async def silent(stage: Stage, name: str) -> None:
    """Before any death: the money is taken, its answer is lost, and the channel says nothing more."""
    await stage.sandbox.arm("create", "drop_after_commit")
    await stage.sandbox.arm("notice", "never")
    await stage.sandbox.arm("find", "unavailable", times=0)
    async with stage.learner() as learner:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
    assert asked["paymentAttempt"]["state"] == "UNKNOWN"


async def ordered(stage: Stage, name: str) -> None:
    """Before any death: an order that nobody pays."""
    async with stage.learner() as learner:
        await learner.mutate(CREATE, {"listingId": stage.listings[name].listing_id, "idempotencyKey": name})


async def expired(stage: Stage, name: str) -> None:
    """Its time runs out."""
    async with stage.operator() as operator:
        number = await _number(stage, name)
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]
        await reached(operator, order["id"], status="EXPIRED", chainStatus="NOT_RECORDED")


async def unresolved(stage: Stage, name: str) -> None:
    """A day without a word: a person is told; then the channel speaks, and the order is paid."""
    number = await _number(stage, name)
    async with stage.operator() as operator:
        order = (await operator.query("query($n: String) { order(number: $n) { id } }", {"n": number}))["order"]

        async def is_shown() -> bool:
            breaks = (await operator.query(BREAKS, {}))["breaks"]["nodes"]
            return ("UNRESOLVED", order["id"]) in [(one["kind"], (one["order"] or {}).get("id")) for one in breaks]

        if not stage.is_last:
            await until(is_shown, what="a Break")
        else:
            await reached(operator, order["id"], status="PAID", chainStatus="FINALIZED")


async def resumed_after_a_death(stage: Stage, name: str) -> None:
    """Before the death that is meant: another one, over the call, so that the client's next try resumes."""
    await stage.hub.kill()
    stage.hub = await stage.house.serve(failpoint="channel.create: after answer", ahead_s=stage.ahead_s)
    try:
        await sale(stage, name)
    except DEAD:
        pass
    assert await stage.hub.ended() == EXIT_CODE


async def waiting(stage: Stage, name: str) -> None:
    """Whatever the hub does by itself is what this play is about."""
    if not stage.is_last:
        await stage.hub.ended()


async def unread(stage: Stage, name: str) -> None:
    """Nothing was ever read of the chain."""
    for table in ("chain_watch", "chain_event", "chain_block", "chain_cursor"):
        await stage.house.change(f"DELETE FROM {table}")


async def unwatched(stage: Stage, name: str) -> None:
    """The contract became known after the rest was read."""
    await stage.house.change("DELETE FROM chain_watch")


async def taken_back(stage: Stage, name: str) -> None:
    """One more block was read, which the node will turn out not to have."""
    await stage.house.change(
        "INSERT INTO chain_block (chain_id, number, hash, parent_hash, mined_at_us) "
        "SELECT chain_id, number + 1, '0xgone' || (number + 1), hash, 0 FROM chain_cursor"
    )
    await stage.house.change("UPDATE chain_cursor SET number = number + 1, hash = '0xgone' || (number + 1)")


async def rewritten(stage: Stage, name: str) -> None:
    """What was read as final is not what the node has there."""
    await stage.house.change("UPDATE chain_cursor SET hash = '0xother', final_hash = '0xother'")


async def told_to_go_on(stage: Stage, name: str) -> None:
    """Reading has halted, and the node turns out to have what was final."""
    await stage.house.change("UPDATE chain_cursor SET halt_reason = 'a test', halted_at_us = 1, version = version + 1")


async def halted(stage: Stage, name: str) -> None:
    """Reading halts; once it goes on, a sale is recorded as ever."""
    if not stage.is_last:
        await stage.hub.ended()
        return
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        await reached(learner, bought["order"]["id"], status="PAID", chainStatus="FINALIZED")


async def go_on_reading(stage: Stage) -> None:
    """After a halt, which every later play would meet: the node turns out to be right, and everything is read anew."""
    if await stage.house.rows("SELECT 1 FROM chain_cursor WHERE hash = '0xother' OR halt_reason IS NOT NULL"):
        await unread(stage, "")
        await stage.house.change("DELETE FROM break_ WHERE subject_id LIKE 'chain:%'")


async def refused_for_a_while(stage: Stage, name: str) -> None:
    """The chain says no to this batch; a person is told, and it is anchored when the chain lets it."""
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        if not stage.is_last:
            await stage.hub.ended()
        await reached(learner, bought["order"]["id"], status="PAID", chainStatus="FINALIZED", within_s=90)


async def asked_if_ready(stage: Stage, name: str) -> None:
    """A balancer's look."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as balancer:
        assert (await balancer.get(f"{stage.hub.origin}/readyz")).status_code == 200


async def abandoned(stage: Stage, name: str) -> None:
    """Before any death: a task of a kind that no release knows, at its last try."""
    await stage.house.change(
        "INSERT INTO task (kind, key, body, attempts, run_at_us) "
        f"VALUES ('nobodys', '{name}', CAST('{{}}' AS TEXT), 29, 0)"
    )


async def many_listings(stage: Stage, name: str) -> None:
    """Before any death: more events than the hub's own consumers leave unread behind them, and nobody to read them."""
    await stage.hub.kill()
    path = _catalogue(stage, name, rows=600)
    code, said = await stage.house.command("import", str(path), "--platform", "bulk", "--format", "udemy")
    assert code == 0, said


async def _sold(stage: Stage, learner: Client, order_id: str) -> None:
    """Everything that a sale leads to."""
    order = await reached(learner, order_id, status="PAID", chargeStatus="FULL", chainStatus="FINALIZED", within_s=60)
    assert len(order["entitlement"]["grants"]) == 1
    assert order["entitlement"]["id"]

    async def is_told() -> bool:
        sql = f"SELECT count(*) FROM platform_access WHERE entitlement_id = '{order['entitlement']['id']}'"
        return await stage.house.rows(sql) != [(0,)]

    await until(is_told, what="the platform told")


async def _number(stage: Stage, name: str) -> str:
    sql = f"SELECT number FROM order_ WHERE listing_id = '{stage.listings[name].listing_id}'"
    [(number,)] = await stage.house.rows(sql)
    return str(number)


def _catalogue(stage: Stage, name: str, *, rows: int) -> Path:
    path = stage.house.data.with_name(f"{name}-{rows}.csv")
    head = (
        "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
        "published_timestamp,subject"
    )
    lines = [
        f"{name}-{row},{name} {row},https://example.org/{row},True,20,1,1,1,All Levels,1.5,2017-01-18T20:58:58Z,Crafts"
        for row in range(rows)
    ]
    path.write_text("\n".join([head, *lines, ""]))
    return path


# ---- what a process may be made of, so that it gets where it is to die -----------------------------------------------


def renew_often() -> None:
    import_module("hub.entry.worker").__dict__["LEASE_US"] = 150_000


def refuse_to_anchor() -> None:
    from hub.chain.client import JsonRpcChain
    from hub.ports import ChainRefused

    async def sign_anchor(*_: Any) -> Any:
        raise ChainRefused("paused")

    setattr(JsonRpcChain, "sign_anchor", sign_anchor)  # noqa: B010  # its signature does not matter here


def lose_what_was_sent_first() -> None:
    """Of each nonce; what replaces it, at once, gets through."""
    from hub.chain.client import JsonRpcChain
    from hub.flows import sending

    send, lost = JsonRpcChain.send, dict[int, str]()

    async def send_again(self: Any, transaction: Any) -> None:
        if lost.setdefault(transaction.nonce, transaction.hash) != transaction.hash:
            await send(self, transaction)

    setattr(JsonRpcChain, "send", send_again)  # noqa: B010  # a method of a class is not assigned to
    sending.__dict__["OUTBID_AFTER_US"] = 0


def fail_to_apply() -> None:
    from hub.flows import notices

    async def take(*_: Any) -> bool:
        raise AssertionError("a fault of the hub's own")

    notices.__dict__["take"] = take


def forget_at_once() -> None:
    import_module("hub.flows.deliveries").__dict__["KEEP_DELIVERIES_US"] = -1_000_000


def warn_at_once() -> None:
    import_module("hub.flows.disputes").__dict__["WARN_BEFORE_US"] = 30 * 24 * 3600 * 1_000_000


# ---- which play gets to which point ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """How to get to a point: `before` runs on a hub that lives, `play` on the one that dies."""

    play: Play = sale
    before: Play | None = None
    ahead_s: float = 0
    spoil: Callable[[], None] | None = None
    command: Callable[[Stage, str], list[str]] | None = None  # instead of a server: a command that dies
    may_be_done: bool = False  # given again, the command may say by code 1 that nothing is left to do
    fault: tuple[str, str, str, int | None] | None = None  # peer, operation, fault, value; while it dies
    engines: frozenset[str] = frozenset({"sqlite", "postgres"})


def _import_again(stage: Stage, name: str) -> list[str]:
    return ["import", str(_catalogue(stage, name, rows=2)), "--platform", f"p{name}", "--format", "udemy"]


async def _imported(stage: Stage, name: str) -> None:
    path = _catalogue(stage, name, rows=3)
    code, said = await stage.house.command("import", str(path), "--platform", f"p{name}", "--format", "udemy")
    assert code == 0, said


async def _buried(stage: Stage, name: str) -> None:
    await abandoned(stage, name)

    async def is_dead() -> bool:
        rows = await stage.house.rows(f"SELECT id FROM dead_task WHERE key = '{name}'")
        return len(rows) > 0

    await until(is_dead, what="a dead task")
    [(dead_id,)] = await stage.house.rows(f"SELECT id FROM dead_task WHERE key = '{name}'")
    stage.house.data.with_name(f"dead-{name}").write_text(str(dead_id))


async def _unplaced(stage: Stage, name: str) -> None:
    await unheard_of(replace(stage, is_last=True), name)
    [(notice_id,)] = await stage.house.rows(f"SELECT id FROM notice_inbox WHERE event_id = 'evt_{name}'")
    stage.house.data.with_name(f"notice-{name}").write_text(notice_id)


def _replay(stage: Stage, name: str) -> list[str]:
    return ["channel", "replay", stage.house.data.with_name(f"notice-{name}").read_text()]


def _settle(word: str) -> Callable[[Stage, str], list[str]]:
    return lambda stage, name: ["tasks", word, stage.house.data.with_name(f"dead-{name}").read_text()]


async def old(stage: Stage, name: str) -> None:
    """A sale that the hub's own consumers have passed, and a first event that is as old as time."""
    await sale(stage, name)
    await stage.house.change("UPDATE event SET occurred_at_us = 1 WHERE position = (SELECT oldest FROM log_head)")


SCENES: dict[str, Scene] = {
    # purchase
    "admit_order": Scene(in_two_steps),
    "open_attempt": Scene(in_two_steps),
    "open_checkout": Scene(),
    "record_result": Scene(),
    "finish_request": Scene(before=resumed_after_a_death, ahead_s=AFTER_LEASES_S),
    "begin_cancel": Scene(given_up),
    "finish_cancel": Scene(given_up),
    "close_order": Scene(expired, before=ordered, ahead_s=AFTER_A_DAY_S),
    # attempts
    "record_query": Scene(undecided),
    "record_void": Scene(given_up),
    "promise_void": Scene(replaced),
    "send_again": Scene(in_two_steps, before=lost, ahead_s=AFTER_LEASES_S),
    "record_answer": Scene(in_two_steps, before=lost, ahead_s=AFTER_LEASES_S),
    "instruct": Scene(held),
    "record_instructed": Scene(held),
    "finish_instructed": Scene(held),
    "keep_rule": Scene(ruled),
    "drop_rule": Scene(ruled),
    "keep_standing": Scene(command=lambda *_: ["channel", "start", "sandbox"]),
    "report_unresolved": Scene(unresolved, before=silent, ahead_s=AFTER_A_DAY_S),
    # notices
    "take": Scene(),
    "take_waiting": Scene(unheard_of),
    "take_again": Scene(before=_unplaced, command=_replay),
    "keep_waiting": Scene(spoil=fail_to_apply),
    # disputes
    "tell_due": Scene(contested, spoil=warn_at_once),
    "open_dispute_answer": Scene(contested),
    "record_dispute_answer": Scene(contested),
    # refunds
    "open_refund": Scene(given_back),
    "submit_refund": Scene(given_back),
    "record_refund": Scene(given_back),
    "finish_refund_request": Scene(given_back),
    "record_refund_query": Scene(given_back_in_silence),
    "report_refund_unresolved": Scene(refund_unresolved, before=refund_lost, ahead_s=AFTER_A_DAY_S),
    "expire_refund": Scene(refund_expired, before=refund_unsent, ahead_s=AFTER_A_DAY_S),
    "cancel_refund": Scene(called_off, fault=("payments", "refund", "rate_limit", 30)),
    "open_return": Scene(paid_late),
    "keep_policy": Scene(policed),
    "channel.refund": Scene(given_back),
    "channel.query_refund": Scene(given_back_in_silence),
    # platforms
    "tell_platforms": Scene(),
    "keep_access": Scene(),
    # chain
    "close_batch": Scene(),
    "keep_signed": Scene(),
    "begin_reading": Scene(waiting, before=unread),
    "widen": Scene(waiting, before=unwatched),
    "take_blocks": Scene(),
    "step_back": Scene(before=taken_back),
    "resume_reading": Scene(before=told_to_go_on, command=lambda *_: ["chain", "resume"], may_be_done=True),
    "halt_reading": Scene(halted, before=rewritten, ahead_s=AFTER_LEASES_S + 1),  # last: no record is read after it
    "replace_signed": Scene(refused_for_a_while, spoil=lose_what_was_sent_first),
    "fail_batch": Scene(refused_for_a_while, spoil=refuse_to_anchor),
    "settle_transaction": Scene(revoked),
    "put_contract": Scene(waiting),
    # rights
    "revoke_all": Scene(revoked),
    # wallets
    "keep_challenge": Scene(walleted),
    "link_wallet": Scene(walleted),
    "unlink_wallet": Scene(walleted),
    "claim_right": Scene(claimed),
    "end_former": Scene(claimed),
    "hand_on": Scene(handed_on),
    "keep_course_policy": Scene(handed_on),
    "erase_person": Scene(before=walleted, command=lambda stage, name: ["person", "erase", _mine(stage)]),
    # people and catalogue
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
    "put_platform": Scene(command=_import_again),
    "put_listings": Scene(command=_import_again),
    "withdraw": Scene(before=_imported, command=_import_again),
    # webhooks
    "put_endpoint": Scene(hooked),
    "change_endpoint": Scene(hooked),
    "replay": Scene(hooked),
    "fan_out": Scene(hooked),
    "keep_payload": Scene(hooked),
    "record_attempt": Scene(hooked),
    "leave_lane": Scene(hooked),
    "forget_deliveries": Scene(waiting, before=hooked, spoil=forget_at_once),
    # tasks
    "claim": Scene(),
    "finish": Scene(),
    "retry": Scene(undecided),
    "renew": Scene(spoil=renew_often, fault=(HONOURER, "grant", "latency_ms", 1_000)),
    "bury": Scene(waiting, before=abandoned),
    "reclaim": Scene(waiting, engines=frozenset({"sqlite"})),  # on PostgreSQL leases run out
    "revive": Scene(before=_buried, command=_settle("retry"), may_be_done=True),
    "drop": Scene(before=_buried, command=_settle("drop"), may_be_done=True),
    "move_on": Scene(waiting, before=many_listings),
    "write_and_undo": Scene(asked_if_ready),
    # log
    "prune": Scene(before=old, command=lambda _, name: ["log", "prune"]),
    # calls
    "channel.create": Scene(),
    "channel.capture": Scene(held),
    "channel.void": Scene(given_up),
    "channel.query": Scene(undecided),
    "chain.send": Scene(),
    "platform.grant_access": Scene(),
    "platform.revoke_access": Scene(revoked),
    "sender.post": Scene(hooked),
}  # fmt: skip


def written_units() -> set[str]:
    """The units that the flows hand to a write door: of each call of a `write`, the first argument that is a unit."""
    trees = {path.stem: ast.parse(path.read_text()) for path in Path(hub.flows.__file__).parent.glob("*.py")}
    units = {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.args.args and node.args.args[0].arg == "tx"
    }
    written = set()
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "write":
                handed = [name for name in map(_name_of, node.args) if name in units][:1]
                assert handed or module == "rivals", f"{module}:{node.lineno}: which unit is written?"
                written |= set(handed)
    return written


def _name_of(argument: ast.expr) -> str:
    if isinstance(argument, ast.Attribute):
        return argument.attr
    return argument.id if isinstance(argument, ast.Name) else ""


def points(engine: str) -> list[str]:
    calls = {f"{kind}.{method}" for kind, methods in CALLS.items() for method in methods}
    found = []
    for step, scene in SCENES.items():
        if engine in scene.engines:
            ends = ("before send", "after answer") if step in calls else ("before commit", "after commit")
            found += [f"{step}: {end}" for end in ends]
    return found


def named(point: str) -> str:
    """A point as a name that keys, ids and files may have."""
    return point.replace(": ", "-").replace(" ", "-").replace(".", "-").replace("_", "-")
