"""A Stripe of ours on a loopback port, for tests: it keeps idempotency keys, sends signed events, and misbehaves.

Its rules are written after the public API reference, and it signs by Stripe's own SDK: it proves the wire and what
happens when that fails, not Stripe's unwritten rules.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import httpx
import stripe

Json = dict[str, Any]
Call = Literal["create", "capture", "void", "refund", "query", "query_refund"]

SECRET_KEY = "sk_test_of_tests"
WEBHOOK_SECRET, NEXT_WEBHOOK_SECRET = "whsec_first", "whsec_next"
DECLINES = {
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedStolenCard": "stolen_card",
}
THREE_DS = "pm_card_threeDSecure2Required"


@dataclass
class Fault(Exception):
    """What Stripe answers instead."""

    status: int
    code: str | None
    type: str = "invalid_request_error"
    more: Json = field(default_factory=dict)

    @property
    def body(self) -> Json:
        named = {"code": self.code} if self.code else {}
        return {"error": {"type": self.type, "message": "", **named, **self.more}}


class StripePeer:
    """`faults`: what happens to the next call of a kind; `saved`: answers under idempotency keys; `seen`: requests."""

    def __init__(self, now_s: Callable[[], int]) -> None:
        self.url = ""
        self.notice_url: str | None = None
        self.now_s = now_s
        self.intents: dict[str, Json] = {}
        self.charges: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self.movements: list[Json] = []
        self.saved: dict[str, tuple[bytes, int, bytes]] = {}
        self.faults: list[tuple[Call, str]] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.callers: set[asyncio.Task[None]] = set()
        self._made = 0

    # ---- wire ----

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None
        self.callers.add(caller)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                method, target, _ = first.split(" ")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.seen.append((method, target, headers, body))
                status, answer = await self._answer(method, target, headers, body)
                head_back = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}"
                writer.write(f"{head_back}\r\nRequest-Id: req_{len(self.seen)}\r\n\r\n".encode() + answer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(target)
        call = call_of(method, parts.path)
        fault = self._fault(call)
        if fault == "drop_before":
            raise ConnectionError
        if headers["authorization"] != f"Bearer {SECRET_KEY}":
            return 401, json.dumps(Fault(401, None).body).encode()
        key = headers.get("idempotency-key")
        if key and key in self.saved:
            before, status, answer = self.saved[key]
            if before != target.encode() + body:
                return 400, json.dumps(Fault(400, None, "idempotency_error").body).encode()
            return status, answer
        status, content = await self._done(
            method, parts.path, nested(parts.query if method == "GET" else body.decode())
        )
        answer = json.dumps(content).encode()
        if key and not (400 <= status < 500 and status != 402):
            self.saved[key] = (target.encode() + body, status, answer)
        if fault == "drop_after":
            raise ConnectionError
        return status, answer

    def _fault(self, call: Call | None) -> str | None:
        for one in self.faults:
            if one[0] == call:
                self.faults.remove(one)
                return one[1]
        return None

    async def _done(self, method: str, path: str, told: Json) -> tuple[int, Json]:
        try:
            return 200, await self._do(method, path.split("/")[2:], told)
        except Fault as fault:
            return fault.status, fault.body

    async def _do(self, method: str, path: list[str], told: Json) -> Json:
        match method, path:
            case "GET", ["balance"]:
                return {"object": "balance", "livemode": False, "available": [], "pending": []}
            case "GET", ["webhook_endpoints"]:
                return listed(
                    [{"id": "we_1", "object": "webhook_endpoint", "status": "enabled", "url": self.notice_url}], {}
                )
            case "POST", ["payment_intents"]:
                return await self._create(told)
            case "GET", ["payment_intents"]:
                return listed([self._shown(one, told) for one in reversed(self.intents.values())], told)
            case "GET", ["payment_intents", intent]:
                return self._shown(self._intent(intent), told)
            case "POST", ["payment_intents", intent, "cancel"]:
                return await self._cancel(self._intent(intent), told)
            case "POST", ["payment_intents", intent, "capture"]:
                return await self._capture(self._intent(intent), told)
            case "POST", ["payment_intents", intent, "confirm"]:
                return await self._confirm(self._intent(intent), told)
            case "POST", ["refunds"]:
                return await self._refund(told)
            case "GET", ["refunds"]:
                found = [
                    one for one in reversed(self.refunds.values()) if one["payment_intent"] == told["payment_intent"]
                ]
                return listed(found, told)
            case "GET", ["refunds", refund]:
                return self.refunds[refund]
            case "GET", ["balance_transactions"]:
                return listed(list(reversed(self.movements)), told)
        raise Fault(404, None)

    # ---- payments ----

    async def _create(self, told: Json) -> Json:
        if int(told["amount"]) < 50:
            raise Fault(400, "amount_too_small")
        intent = {
            "id": self._id("pi"), "object": "payment_intent", "amount": int(told["amount"]), "amount_capturable": 0,
            "amount_received": 0, "canceled_at": None, "cancellation_reason": None,
            "capture_method": told["capture_method"], "client_secret": f"pi_{self._made}_secret_x",
            "created": self.now_s(), "currency": told["currency"], "last_payment_error": None, "latest_charge": None,
            "livemode": False, "metadata": told["metadata"], "next_action": None, "payment_method": None,
            "payment_method_types": ["card"], "status": "requires_payment_method",
        }  # fmt: skip
        self.intents[intent["id"]] = intent
        return await self._confirm(intent, told) if told.get("confirm") == "true" else self._shown(intent, told)

    async def _confirm(self, intent: Json, told: Json) -> Json:
        method = told["payment_method"]
        if intent["status"] not in ("requires_payment_method", "requires_action"):
            raise self._unexpected(intent)
        if method in DECLINES:
            error = {"type": "card_error", "code": "card_declined", "decline_code": DECLINES[method]}
            intent |= {"status": "requires_payment_method", "last_payment_error": error}
            await self._tell("payment_intent.payment_failed", intent)
            raise Fault(
                402, "card_declined", "card_error", {"decline_code": DECLINES[method], "payment_intent": intent}
            )
        if method == THREE_DS and "authenticated" not in told:
            page = {"url": "https://hooks.stripe.test/3ds", "return_url": told.get("return_url")}
            by_page = {"type": "redirect_to_url", "redirect_to_url": page}
            action = by_page if told.get("return_url") else {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
            intent |= {"status": "requires_action", "next_action": action}
            await self._tell("payment_intent.requires_action", intent)
            return self._shown(intent, told)
        charge = {
            "id": self._id("ch"), "object": "charge", "amount": intent["amount"], "amount_captured": 0,
            "amount_refunded": 0, "created": self.now_s(), "currency": intent["currency"], "livemode": False,
            "metadata": intent["metadata"], "payment_intent": intent["id"],
            "billing_details": {"name": "Jenny Rosen", "email": "jenny@example.com"},
        }  # fmt: skip
        self.charges[charge["id"]] = charge
        intent |= {"latest_charge": charge["id"], "next_action": None, "last_payment_error": None}
        if intent["capture_method"] == "manual":
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
            await self._tell("payment_intent.amount_capturable_updated", intent)
        else:
            await self._take(intent, intent["amount"])
        return self._shown(intent, told)

    async def _take(self, intent: Json, amount: int) -> None:
        intent |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
        self.charges[intent["latest_charge"]]["amount_captured"] = amount
        fee = amount * 29 // 1000 + 30
        self._moved("charge", amount, fee, intent["currency"], self.charges[intent["latest_charge"]])
        await self._tell("payment_intent.succeeded", intent)

    async def _capture(self, intent: Json, told: Json) -> Json:
        if intent["status"] != "requires_capture":
            raise self._unexpected(intent)
        if int(told["amount_to_capture"]) > intent["amount_capturable"]:
            raise Fault(400, "amount_too_large")
        await self._take(intent, int(told["amount_to_capture"]))
        return self._shown(intent, told)

    async def _cancel(self, intent: Json, told: Json) -> Json:
        if intent["status"] in ("succeeded", "canceled"):
            raise self._unexpected(intent)
        intent |= {"status": "canceled", "canceled_at": self.now_s(), "amount_capturable": 0, "next_action": None}
        await self._tell("payment_intent.canceled", intent)
        return self._shown(intent, told)

    async def _refund(self, told: Json) -> Json:
        intent, amount = self._intent(told["payment_intent"]), int(told["amount"])
        charge = self.charges.get(intent["latest_charge"])
        if amount < 1:
            raise Fault(400, "parameter_invalid_integer")
        if charge is None or amount > charge["amount_captured"] - charge["amount_refunded"]:
            raise Fault(400, "charge_already_refunded" if charge else None)
        refund = {
            "id": self._id("re"), "object": "refund", "amount": amount, "charge": charge["id"],
            "created": self.now_s(), "currency": intent["currency"], "failure_reason": None,
            "metadata": told["metadata"], "payment_intent": intent["id"], "status": "succeeded",
        }  # fmt: skip
        self.refunds[refund["id"]] = refund
        charge["amount_refunded"] += amount
        self._moved("refund", -amount, 0, refund["currency"], refund)
        await self._tell("refund.created", refund)
        return refund

    def _unexpected(self, intent: Json) -> Fault:
        return Fault(400, "payment_intent_unexpected_state", more={"payment_intent": intent})

    def _intent(self, intent: str) -> Json:
        if intent not in self.intents:
            raise Fault(404, "resource_missing")
        return self.intents[intent]

    def _shown(self, intent: Json, told: Json) -> Json:
        is_expanded = "latest_charge" in str(told.get("expand")) and intent["latest_charge"]
        return intent | ({"latest_charge": self.charges[intent["latest_charge"]]} if is_expanded else {})

    def _moved(self, category: str, amount: int, fee: int, currency: str, source: Json) -> None:
        line = {"id": self._id("txn"), "object": "balance_transaction", "amount": amount, "created": self.now_s()}
        line |= {"currency": currency, "fee": fee, "net": amount - fee, "reporting_category": category}
        self.movements.append(line | {"source": source, "exchange_rate": None, "fee_details": []})

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made}"

    # ---- events ----

    async def _tell(self, kind: str, told: Json) -> None:
        if self.notice_url is None:
            return
        body = json.dumps(event_of(kind, told, self.now_s(), self._id("evt"))).encode()
        headers = {"stripe-signature": signed(body, WEBHOOK_SECRET, self.now_s()), "content-type": "application/json"}
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            await client.post(self.notice_url, content=body, headers=headers)


def event_of(kind: str, told: Json, at_s: int, event_id: str = "evt_1", **other: Any) -> Json:
    event = {"id": event_id, "object": "event", "api_version": "2026-10-28.endive", "created": at_s, "type": kind}
    event |= {"livemode": False, "pending_webhooks": 1, "request": {"id": "req_1", "idempotency_key": None}}
    return event | {"data": {"object": told}} | other


def signed(body: bytes, secret: str, at_s: int) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at_s)
    return header


def listed(rows: list[Json], told: Json) -> Json:
    """A page, the newest first, as `created`, `starting_after` and `limit` bound it."""
    created = told.get("created", {})
    low, high = int(created.get("gte", 0)), int(created.get("lte", created.get("lt", 10**12)))
    rows = [row for row in rows if low <= row.get("created", 0) <= high]
    after = [n for n, row in enumerate(rows) if row["id"] == told.get("starting_after")]
    start, size = after[0] + 1 if after else 0, int(told.get("limit", 10))
    page = rows[start : start + size]
    return {"object": "list", "data": page, "has_more": start + size < len(rows), "url": "/v1/x"}


def nested(form: str) -> Json:
    """`a[b]=c` as {"a": {"b": "c"}}."""
    told: Json = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+", name)
        here = told
        for deeper in rest:
            here = here.setdefault(first, {})
            first = deeper
        here[first] = value
    return told


def call_of(method: str, path: str) -> Call | None:
    calls: dict[tuple[str, str], Call] = {
        ("POST", "payment_intents"): "create", ("GET", "payment_intents"): "query", ("POST", "cancel"): "void",
        ("POST", "capture"): "capture", ("POST", "refunds"): "refund", ("GET", "refunds"): "query_refund",
    }  # fmt: skip
    words = path.split("/")
    return calls.get((method, words[4] if len(words) > 4 else words[2]))


@asynccontextmanager
async def stripe_listening(now_s: Callable[[], int]) -> AsyncIterator[StripePeer]:
    peer = StripePeer(now_s)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer
    finally:
        server.close()
        callers = list(peer.callers)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
