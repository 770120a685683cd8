"""A WeChat Pay v3 of ours on a loopback port, for tests: it checks what merchants sign, signs, seals, and misbehaves.

Signatures and seals are pycryptodome's, so that the adapter's own are checked by other code. Its rules are written
after the public documentation: it proves the wire and what happens when that fails, not Tencent's unwritten rules.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Json = dict[str, Any]
Flow = Literal["create", "query", "void", "refund", "query_refund", "bill", "file", "certificates"]

MCHID, APPID = "1900000001", "wxd678efh567hg6787"
API_V3_KEY, NEXT_API_V3_KEY = "0123456789abcdefghijABCDEFGHIJ!-", "the-key-that-comes-after-it-32-b"
MERCHANT_SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PUBLIC_KEY_ID, NEXT_PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012026092100", "PUB_KEY_ID_0119000000012026092101"
CHINA = timezone(timedelta(hours=8))
WINDOW_S = 300


@dataclass(frozen=True)
class Key:
    """One key pair. `shown` is what the other side has: a certificate, or a public key, in PEM."""

    serial: str
    private_pem: str
    shown: str

    def sign(self, text: bytes) -> str:
        return base64.b64encode(_signer(self.private_pem).sign(SHA256.new(text))).decode()

    def has_signed(self, text: bytes, signature: str) -> bool:
        try:
            _signer(self.private_pem).verify(SHA256.new(text), base64.b64decode(signature))
        except ValueError:
            return False
        return True


@cache
def _signer(private_pem: str) -> pkcs1_15.PKCS115_SigScheme:
    return pkcs1_15.new(RSA.import_key(private_pem))


@cache
def key(serial: str) -> Key:
    """The key of this serial, made once a process; with a certificate unless the serial is a public key's."""
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    if serial.startswith("PUB_KEY_ID_"):
        public = private.public_key()
        shown = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made up for tests")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(int(serial, 16))
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
            .sign(private, hashes.SHA256())
        )
        shown = certificate.public_bytes(serialization.Encoding.PEM)
    return Key(serial, pem, shown.decode())


MERCHANT = MERCHANT_SERIAL
CERTIFICATE, NEXT_CERTIFICATE = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C", "2EEF66BEA9FE82E7FEE5B5B27AA7EF8C58884B9D"
STRANGER = "3FF077CFBA0F93F80FF6C6C38BB8F09D69995CAE"


@dataclass
class Reply:
    status: int
    content: Json | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    is_signed: bool = True

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        return b"" if self.content is None else json.dumps(self.content, ensure_ascii=False).encode()


def no(status: int, code: str) -> Reply:
    return Reply(status, {"code": code, "message": "made up"})


@dataclass
class WeChatPeer:
    """The provider. `faults` are used up one by one: (flow, what); `seen` is every call: flow, headers, body."""

    now_s: Callable[[], float]
    url: str = ""
    signs_with: str = CERTIFICATE
    seals_with: str = API_V3_KEY
    refunds_end_as: str | None = "SUCCESS"  # by the time that the merchant hears of them; None: they are PROCESSING
    gives_coupon: int = 0  # fen of every payment that the merchant's own coupon pays
    trades: dict[str, Json] = field(default_factory=dict)
    orders: dict[str, Json] = field(default_factory=dict)  # as they were placed
    refunds: dict[str, Json] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)  # set: held answers go out
    callers: set[asyncio.Task[None]] = field(default_factory=set)

    # ---- the buyer -------------------------------------------------------------------------------------------------

    async def buyer_pays(self, out_trade_no: str, *, is_told: bool = True) -> None:
        """The trade succeeds, and the notice about it is posted, or lost."""
        trade, order = self.trades[out_trade_no], self.orders[out_trade_no]
        total = order["amount"]["total"]
        paid = {
            "transaction_id": f"4200002026092100000000{len(self.trades):06}",
            "trade_type": order["trade_type"],
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "bank_type": "OTHERS",
            "attach": "",
            "success_time": self._rfc3339(),
            "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            "amount": {
                "total": total,
                "payer_total": total - self.gives_coupon,
                "currency": "CNY",
                "payer_currency": "CNY",
            },
        }
        self.trades[out_trade_no] = trade | paid
        if is_told:
            await self.post(order["notify_url"], "TRANSACTION.SUCCESS", self.trades[out_trade_no])

    async def post(self, url: str, event_type: str, resource: Json, **how: Any) -> int:
        """Deliver a notice; the status of its answer."""
        headers, body = self.notice(event_type, resource, **how)
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            return (await client.post(url, headers=headers, content=body)).status_code

    def notice(
        self,
        event_type: str,
        resource: Json,
        *,
        associated_data: str | None = "transaction",
        event_id: str | None = None,
        at_s: int | None = None,
        by: str | None = None,
    ) -> tuple[dict[str, str], bytes]:
        """The headers and body of a notice, sealed and signed."""
        nonce = hashlib.sha256(f"{event_type}{len(self.seen)}".encode()).hexdigest()[:12]
        event = {
            "id": event_id or f"EV-{hashlib.sha256(json.dumps(resource).encode()).hexdigest()[:24]}",
            "create_time": self._rfc3339(),
            "resource_type": "encrypt-resource",
            "event_type": event_type,
            "summary": "made up",
            "resource": {
                "original_type": event_type.partition(".")[0].lower(),
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": sealed(json.dumps(resource).encode(), self.seals_with, nonce, associated_data or ""),
                **({} if associated_data is None else {"associated_data": associated_data}),
                "nonce": nonce,
            },
        }
        body = json.dumps(event).encode()
        return self.signature_headers(body, at_s=at_s, by=by), body

    def signature_headers(self, body: bytes, *, at_s: int | None = None, by: str | None = None) -> dict[str, str]:
        seconds, nonce, signer = (
            at_s if at_s is not None else int(self.now_s()),
            "c5ac7061fccab6bf",
            key(by or self.signs_with),
        )
        return {
            "wechatpay-timestamp": str(seconds),
            "wechatpay-nonce": nonce,
            "wechatpay-signature": signer.sign(f"{seconds}\n{nonce}\n".encode() + body + b"\n"),
            "wechatpay-serial": signer.serial,
            "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        }

    # ---- what merchants ask ----------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[Flow, Reply]:
        path = urlsplit(target).path
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        content: Json = json.loads(body) if body else {}
        flow, take = self._route(method, path)
        self.seen.append((flow, headers, body))
        if not self._is_from_merchant(method, target, headers, body):
            return flow, no(401, "SIGN_ERROR")
        return flow, take(path.split("/"), query, content)

    def _route(self, method: str, path: str) -> tuple[Flow, Callable[[list[str], Json, Json], Reply]]:
        table: list[tuple[str, str, Flow, Callable[[list[str], Json, Json], Reply]]] = [
            ("POST", r"/v3/pay/transactions/(native|h5|jsapi)", "create", self._place),
            ("GET", r"/v3/pay/transactions/out-trade-no/[^/]+", "query", self._look),
            ("POST", r"/v3/pay/transactions/out-trade-no/[^/]+/close", "void", self._close),
            ("POST", r"/v3/refund/domestic/refunds", "refund", self._give_back),
            ("GET", r"/v3/refund/domestic/refunds/[^/]+", "query_refund", self._look_refund),
            ("GET", r"/v3/bill/tradebill", "bill", self._bill),
            ("GET", r"/v3/billdownload/file", "file", self._file),
            ("GET", r"/v3/certificates", "certificates", self._certificates),
        ]
        [(flow, take)] = [
            (flow, take) for verb, form, flow, take in table if verb == method and re.fullmatch(form, path)
        ]
        return flow, take

    def _is_from_merchant(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        parts = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme != "WECHATPAY2-SHA256-RSA2048" or not headers.get("user-agent") or len(parts) != 5:
            return False
        text = f"{method}\n{target}\n{parts['timestamp']}\n{parts['nonce_str']}\n".encode() + body + b"\n"
        is_now = abs(int(parts["timestamp"]) - self.now_s()) <= WINDOW_S
        is_known = (parts["mchid"], parts["serial_no"]) == (MCHID, MERCHANT_SERIAL)
        return is_now and is_known and key(MERCHANT).has_signed(text, parts["signature"])

    def _place(self, path: list[str], query: Json, order: Json) -> Reply:
        product = path[-1]
        needed = {"appid", "mchid", "description", "out_trade_no", "notify_url", "amount"}
        needed |= {"h5": {"scene_info"}, "jsapi": {"payer"}}.get(product, set())
        if needed - order.keys() or order["amount"]["total"] < 1 or not 6 <= len(order["out_trade_no"]) <= 32:
            return no(400, "PARAM_ERROR")
        if (order["mchid"], order["appid"]) != (MCHID, APPID):
            return no(400, "APPID_MCHID_NOT_MATCH")
        number = order["out_trade_no"]
        placed = order | {"trade_type": {"h5": "MWEB"}.get(product, product.upper())}
        state = self.trades.get(number, {}).get("trade_state")
        if state == "CLOSED":
            return no(400, "ORDER_CLOSED")
        if state not in (None, "NOTPAY"):
            return no(400, "ORDERPAID")
        if state is not None and self.orders[number] != placed:
            return no(400, "INVALID_REQUEST")
        self.orders[number] = placed
        self.trades.setdefault(
            number,
            {
                "appid": APPID,
                "mchid": MCHID,
                "out_trade_no": number,
                "trade_state": "NOTPAY",
                "trade_state_desc": "订单未支付",
                "amount": {"currency": "CNY", "total": order["amount"]["total"]},
                "promotion_detail": [],
            },
        )
        pr = hashlib.sha256(number.encode()).hexdigest()[:9]
        shown = {
            "native": {"code_url": f"weixin://wxpay/bizpayurl?pr={pr}"},
            "h5": {"h5_url": f"https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx{pr}&package=1"},
            "jsapi": {"prepay_id": f"wx{pr}"},
        }
        return Reply(200, shown[product])

    def _look(self, path: list[str], query: Json, content: Json) -> Reply:
        trade = self.trades.get(path[-1])
        if query.get("mchid") != MCHID:
            return no(400, "PARAM_ERROR")
        return Reply(200, trade) if trade else no(404, "ORDER_NOT_EXIST")

    def _close(self, path: list[str], query: Json, content: Json) -> Reply:
        trade = self.trades.get(path[-2])
        if trade is None:
            return no(404, "ORDER_NOT_EXIST")
        if trade["trade_state"] in ("SUCCESS", "REFUND"):
            return no(400, "ORDERPAID")
        trade |= {"trade_state": "CLOSED", "trade_state_desc": "订单已关闭"}
        return Reply(204)

    def _give_back(self, path: list[str], query: Json, asked: Json) -> Reply:
        trade, number, amount = self.trades.get(asked["out_trade_no"]), asked["out_refund_no"], asked["amount"]
        if trade is None:
            return no(404, "RESOURCE_NOT_EXISTS")
        if number in self.refunds:
            return Reply(200, self.refunds[number])
        gone = sum(
            one["amount"]["refund"] for one in self.refunds.values() if one["out_trade_no"] == asked["out_trade_no"]
        )
        if amount["refund"] < 1 or amount["currency"] != "CNY" or amount["total"] != trade["amount"]["total"]:
            return no(400, "PARAM_ERROR")
        if trade["trade_state"] not in ("SUCCESS", "REFUND") or gone + amount["refund"] > amount["total"]:
            return no(400, "INVALID_REQUEST")
        trade |= {"trade_state": "REFUND", "trade_state_desc": "转入退款"}
        self.refunds[number] = {
            "refund_id": f"5030000202609210000000{len(self.refunds):06}",
            "out_refund_no": number,
            "transaction_id": trade["transaction_id"],
            "out_trade_no": asked["out_trade_no"],
            "channel": "ORIGINAL",
            "user_received_account": "支付用户零钱",
            "create_time": self._rfc3339(),
            "status": "PROCESSING",
            "amount": {
                "total": amount["total"],
                "refund": amount["refund"],
                "from": [],
                "payer_total": trade["amount"]["payer_total"],
                "payer_refund": amount["refund"],
                "settlement_refund": amount["refund"],
                "settlement_total": trade["amount"]["payer_total"],
                "discount_refund": 0,
                "currency": "CNY",
            },
        }
        return Reply(200, self.refunds[number])

    async def end_refund(self, out_refund_no: str, status: str) -> None:
        """A refund ends, and the notice about it is posted."""
        refund = self.refunds[out_refund_no]
        refund |= {"status": status} | ({"success_time": self._rfc3339()} if status == "SUCCESS" else {})
        told = {name: refund[name] for name in ("out_trade_no", "transaction_id", "out_refund_no", "refund_id")}
        told |= {"mchid": MCHID, "refund_status": status, "user_received_account": "支付用户零钱"}
        told |= {"success_time": refund["success_time"]} if status == "SUCCESS" else {}
        told["amount"] = {n: refund["amount"][n] for n in ("total", "refund", "payer_total", "payer_refund")}
        url = self.orders[refund["out_trade_no"]]["notify_url"]
        await self.post(url, f"REFUND.{status}", told, associated_data="refund")

    def _look_refund(self, path: list[str], query: Json, content: Json) -> Reply:
        refund = self.refunds.get(path[-1])
        return Reply(200, refund) if refund else no(404, "RESOURCE_NOT_EXISTS")

    # ---- the day's bill, from its own tables -----------------------------------------------------------------------

    def _bill(self, path: list[str], query: Json, content: Json) -> Reply:
        file = self.bill_file(query["bill_date"])
        if file is None:
            return no(400, "NO_STATEMENT_EXIST")
        url = f"{self.url}/v3/billdownload/file?token={query['bill_date']}"
        return Reply(200, {"hash_type": "SHA1", "hash_value": hashlib.sha1(file).hexdigest(), "download_url": url})

    def _file(self, path: list[str], query: Json, content: Json) -> Reply:
        return Reply(200, self.bill_file(query["token"]), is_signed=False)

    def bill_file(self, day: str) -> bytes | None:
        paid = [trade for trade in self.trades.values() if trade.get("success_time", "").startswith(day)]
        given = [one for one in self.refunds.values() if one.get("success_time", "").startswith(day)]
        if not paid and not given:
            return None
        rows = [*(self._paid_row(trade) for trade in paid), *(self._refund_row(one) for one in given)]
        return bill_of(rows)

    def _paid_row(self, trade: Json) -> list[str]:
        total, settled = trade["amount"]["total"], trade["amount"]["payer_total"]
        fee = f"{yuan((total * 6 + 500) // 1000)}000"
        return [
            _local(trade["success_time"]), APPID, MCHID, "0", "", trade["transaction_id"], trade["out_trade_no"],
            trade["payer"]["openid"], trade["trade_type"], "SUCCESS", "OTHERS", "CNY", yuan(settled),
            yuan(total - settled), "0", "0", "0.00", "0.00", "", "", "Order, with a comma", "", fee, "0.60%",
            yuan(total), "0.00", "",
        ]  # fmt: skip

    def _refund_row(self, refund: Json) -> list[str]:
        back = refund["amount"]["refund"]
        return [
            _local(refund["success_time"]), APPID, MCHID, "0", "", refund["transaction_id"], refund["out_trade_no"],
            "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "NATIVE", "REFUND", "OTHERS", "CNY", "0.00", "0.00", refund["refund_id"],
            refund["out_refund_no"], yuan(back), "0.00", "ORIGINAL", "SUCCESS", "Order, with a comma", "",
            f"-{yuan((back * 6 + 500) // 1000)}000", "0.60%", "0.00", yuan(back), "",
        ]  # fmt: skip

    def _certificates(self, path: list[str], query: Json, content: Json) -> Reply:
        nonce = "61f9c719728a"
        shown = [
            {
                "serial_no": serial,
                "effective_time": "2020-01-01T08:00:00+08:00",
                "expire_time": "2049-01-01T08:00:00+08:00",
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "nonce": nonce,
                    "associated_data": "certificate",
                    "ciphertext": sealed(key(serial).shown.encode(), self.seals_with, nonce, "certificate"),
                },
            }
            for serial in (CERTIFICATE, NEXT_CERTIFICATE)
        ]
        return Reply(200, {"data": shown})

    def _rfc3339(self) -> str:
        return datetime.fromtimestamp(int(self.now_s()), CHINA).isoformat()

    # ---- the socket, and what goes wrong on it ---------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None
        self.callers.add(caller)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, target, _ = lines[0].split(" ")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:-2])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if not await self._speak(method, target, headers, body, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()
            self.callers.discard(caller)

    async def _speak(
        self, method: str, target: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        flow, _ = self._route(method, urlsplit(target).path)
        fault = next((what for which, what in self.faults if which == flow), None)
        if fault is not None:
            self.faults.remove((flow, fault))
        if fault == "drop_before":
            return False
        flow, reply = self.answer(method, target, headers, body)
        if flow == "refund" and reply.status == 200 and self.refunds_end_as and isinstance(reply.content, dict):
            number = reply.content["out_refund_no"]
            if self.refunds[number]["status"] == "PROCESSING":
                await self.end_refund(number, self.refunds_end_as)
                reply.content = self.refunds[number]
        if fault == "drop_after":
            return False
        if fault == "hold":
            await self.held.wait()
        wanted = headers.get("wechatpay-serial", "")
        raw = self.sent(reply, fault, by=wanted if wanted in (PUBLIC_KEY_ID, NEXT_PUBLIC_KEY_ID) else None)
        writer.write(raw[: -len(reply.body) // 2] if fault == "truncated" else raw)
        await writer.drain()
        return fault != "truncated"

    def sent(self, reply: Reply, fault: str | None = None, by: str | None = None) -> bytes:
        """An answer's bytes, spoilt by a fault."""
        body = reply.body
        if fault == "html":
            reply, body = Reply(200, is_signed=False), b"<html><body>Bad Gateway</body></html>"
        if fault == "error_500":
            reply = no(500, "SYSTEM_ERROR")
            body = reply.body
        if fault == "tampered_total":
            assert isinstance(reply.content, dict)
            body = json.dumps(reply.content | {"amount": reply.content["amount"] | {"total": 1}}).encode()
        if fault == "foreign_mchid":
            assert isinstance(reply.content, dict)
            body = json.dumps(reply.content | {"mchid": "1900000002"}).encode()
        at_s = int(self.now_s()) + {"stale": -301, "early": 301}.get(fault or "", 0)
        signed = self.signature_headers(body, at_s=at_s, by=STRANGER if fault == "foreign_serial" else by)
        if fault == "bad_signature":
            signed["wechatpay-signature"] = key(STRANGER).sign(b"something else")
        if fault == "probe":
            signed["wechatpay-signature"] = "WECHATPAY/SIGNTEST/" + signed["wechatpay-signature"]
        headers = (signed if reply.is_signed and fault != "unsigned" else {}) | reply.headers
        headers |= {"content-type": "application/json"} if reply.is_signed else {}
        headers |= {} if reply.status == 204 else {"content-length": str(len(body))}
        lines = [f"HTTP/1.1 {reply.status} x", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sealed(text: bytes, api_v3_key: str, nonce: str, associated_data: str) -> str:
    cipher = AES.new(api_v3_key.encode(), AES.MODE_GCM, nonce=nonce.encode())
    cipher.update(associated_data.encode())
    ciphertext, tag = cipher.encrypt_and_digest(text)
    return base64.b64encode(ciphertext + tag).decode()


COLUMNS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"


def bill_of(rows: list[list[str]]) -> bytes:
    """A bill's file: BOM, header, backticked rows, two lines of totals, lines ended as on Windows."""
    lines = [COLUMNS, *(",".join(f"`{value}" for value in row) for row in rows), TOTALS]
    lines.append(f"`{len(rows)},`0.00,`0.00,`0.00,`0.00000,`0.00,`0.00")
    return "\ufeff".encode() + "".join(f"{line}\r\n" for line in lines).encode()


def yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


def _local(rfc3339: str) -> str:
    return rfc3339[:19].replace("T", " ")


@asynccontextmanager
async def wechat_listening(now_s: Callable[[], float]) -> AsyncIterator[WeChatPeer]:
    peer = WeChatPeer(now_s)
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
