"""An Alipay of ours on a loopback port, for tests: it checks what apps sign, signs its answers, and misbehaves.

Signatures are pycryptodome's, so that the adapter's are checked by other code. Its rules are written after the public
documentation: it proves the wire and what happens when that fails, not Ant's unwritten rules.
"""

import asyncio
import base64
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from Crypto.Hash import MD5, SHA1, SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Json = dict[str, Any]

APP_ID, SELLER_ID = "9021000100000001", "2088000100000001"
APP, ALIPAY, NEXT_ALIPAY, STRANGER = "app", "alipay", "next alipay", "stranger"
CHINA = timezone(timedelta(hours=8))
DIGESTS: dict[str, Any] = {"RSA2": SHA256, "RSA": SHA1, "MD5": MD5}
CALLS = {
    "alipay.trade.precreate": "create",
    "alipay.trade.query": "query",
    "alipay.trade.close": "void",
    "alipay.trade.refund": "refund",
    "alipay.trade.fastpay.refund.query": "query_refund",
    "alipay.data.dataservice.bill.downloadurl.query": "bill",
}
COLUMNS = (
    "支付宝交易号", "商户订单号", "业务类型", "商品名称", "创建时间", "完成时间", "门店编号", "门店名称",
    "操作员", "终端号", "对方账户", "订单金额（元）", "商家实收（元）", "支付宝红包（元）", "集分宝（元）",
    "支付宝优惠（元）", "商家优惠（元）", "券核销金额（元）", "券名称", "商家红包消费金额（元）",
    "卡消费金额（元）", "退款批次号/请求号", "服务费（元）", "分润（元）", "备注",
)  # fmt: skip


@cache
def key(owner: str) -> RSA.RsaKey:
    """The key pair of an owner, made once a process."""
    made = generate_private_key(65537, 2048)  # in a tenth of the time that pycryptodome takes
    return RSA.import_key(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def pem(owner: str) -> str:
    return key(owner).export_key(pkcs=8).decode()


def public_pem(owner: str) -> str:
    return key(owner).public_key().export_key().decode()


def sign(text: bytes, owner: str, sign_type: str = "RSA2") -> str:
    return base64.b64encode(pkcs1_15.new(key(owner)).sign(DIGESTS[sign_type].new(text))).decode()


def has_signed(text: bytes, signature: str, owner: str) -> bool:
    try:
        pkcs1_15.new(key(owner)).verify(SHA256.new(text), base64.b64decode(signature))
    except ValueError:
        return False
    return True


def text_of(fields: dict[str, str]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in sorted(fields.items())).encode()


def notice_body(fields: dict[str, str], owner: str = ALIPAY, sign_type: str = "RSA2", told: str | None = None) -> bytes:
    """A notice as it is posted; `told`: the sign_type that it claims, if that is another than it has."""
    signature = sign(text_of(fields), owner, sign_type)
    return urlencode({**fields, "sign": signature, "sign_type": told or sign_type}).encode()


@dataclass
class AlipayPeer:
    """The provider. `faults` are used up one by one: (call, what); `seen` is every call: its name, and its content."""

    now_s: Callable[[], float]
    url: str = ""
    signs_with: str = ALIPAY
    scans_at_once: bool = False  # whoever gets a QR scans it, and does not pay yet
    refunds_arrive: bool = True
    orders: dict[str, Json] = field(default_factory=dict)  # as they were placed; a QR is no trade before it is scanned
    trades: dict[str, Json] = field(default_factory=dict)
    refunds: dict[tuple[str, str], Json] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    seen: list[tuple[str, Json]] = field(default_factory=list)
    fields: list[dict[str, str]] = field(default_factory=list)  # of every call, with what signs it
    notices: list[bytes] = field(default_factory=list)
    bills: dict[str, bytes] = field(default_factory=dict)  # day → zip, where a test brings one
    held: asyncio.Event = field(default_factory=asyncio.Event)  # set: held answers go out
    callers: set[asyncio.Task[None]] = field(default_factory=set)

    # ---- the buyer ---------------------------------------------------------------------------------------------------

    def scans(self, reference: str) -> Json:
        """The buyer scans the QR, or signs in on the page: now there is a trade."""
        trade = {
            "trade_no": f"2026092122001400000000{len(self.trades):06}",
            "out_trade_no": reference,
            "trade_status": "WAIT_BUYER_PAY",
            "total_amount": self.orders[reference]["total_amount"],
            "buyer_logon_id": "159****0001",
        }
        return self.trades.setdefault(reference, trade)

    def pays(self, reference: str) -> None:
        trade = self.scans(reference)
        trade |= {"trade_status": "TRADE_SUCCESS", "send_pay_date": self.now()}
        self.tells(reference, {"gmt_payment": trade["send_pay_date"], "receipt_amount": trade["total_amount"]})

    def opens(self, address: str) -> str:
        """The buyer opens a pay page; which reference it is about."""
        fields = dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))
        assert self.is_signed_by_the_app(fields), "the page's address is signed wrongly"
        content = json.loads(fields["biz_content"])
        self.orders[content["out_trade_no"]] = content | {"notify_url": fields.get("notify_url")}
        reference: str = content["out_trade_no"]
        self.scans(reference)
        return reference

    # ---- notices -----------------------------------------------------------------------------------------------------

    def tells(self, reference: str, more: dict[str, str]) -> None:
        """Keep the notice of a trade as it would be posted."""
        if self.orders[reference].get("notify_url"):
            self.notices.append(notice_body(self.notice_fields(reference, more), self.signs_with))

    def notice_fields(self, reference: str, more: dict[str, str]) -> dict[str, str]:
        trade = self.trades[reference]
        return {
            "notify_time": self.now(),
            "notify_type": "trade_status_sync",
            "notify_id": f"20260921002221200{len(self.notices):06}",
            "charset": "utf-8",
            "version": "1.0",
            "auth_app_id": APP_ID,
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "out_trade_no": reference,
            "trade_no": trade["trade_no"],
            "trade_status": trade["trade_status"],
            "total_amount": trade["total_amount"],
            "subject": self.orders[reference]["subject"],
            "fund_bill_list": '[{"amount":"12.50","fundChannel":"ALIPAYACCOUNT"}]',
            "buyer_logon_id": "张三+测试 100%@example.cn",
            **more,
        }

    # ---- calls -------------------------------------------------------------------------------------------------------

    def create(self, content: Json) -> Json:
        reference = content["out_trade_no"]
        before, trade = self.orders.get(reference), self.trades.get(reference)
        if before is not None and before["total_amount"] != content["total_amount"]:
            return no("ACQ.CONTEXT_INCONSISTENT")
        if trade is not None and trade["trade_status"] != "WAIT_BUYER_PAY":
            return no("ACQ.TRADE_HAS_CLOSE" if trade["trade_status"] == "TRADE_CLOSED" else "ACQ.TRADE_HAS_SUCCESS")
        if Decimal(content["total_amount"]) < Decimal("0.01") or content["time_expire"] <= self.now():
            return no("ACQ.INVALID_PARAMETER")
        self.orders[reference] = content
        if self.scans_at_once:
            self.scans(reference)
        tail = hashlib.sha256(reference.encode()).hexdigest()[:20]
        return yes(out_trade_no=reference, qr_code=f"https://qr.alipay.com/bax{tail}")

    def query(self, content: Json) -> Json:
        trade = self.trades.get(content["out_trade_no"])
        return no("ACQ.TRADE_NOT_EXIST") if trade is None else yes(**trade)

    def void(self, content: Json) -> Json:
        trade = self.trades.get(content["out_trade_no"])
        if trade is None:
            return no("ACQ.TRADE_NOT_EXIST")
        if trade["trade_status"] != "WAIT_BUYER_PAY":
            return no("ACQ.TRADE_STATUS_ERROR")
        trade["trade_status"] = "TRADE_CLOSED"
        return yes(out_trade_no=trade["out_trade_no"], trade_no=trade["trade_no"])

    def refund(self, content: Json) -> Json:
        reference, request = content["out_trade_no"], content["out_request_no"]
        trade, known = self.trades.get(reference), self.refunds.get((reference, request))
        if trade is None or "send_pay_date" not in trade:
            return no("ACQ.TRADE_STATUS_ERROR" if trade else "ACQ.TRADE_NOT_EXIST")
        if known is not None and known["refund_amount"] != content["refund_amount"]:
            return no("ACQ.DISCORDANT_REPEAT_REQUEST")
        left = Decimal(trade["total_amount"]) - self.given_back(reference)
        if known is None and Decimal(content["refund_amount"]) > left:
            return no("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
        if known is None:
            self.refunds[reference, request] = {**content, "gmt_refund_pay": self.now()}
            if Decimal(content["refund_amount"]) == left:
                trade["trade_status"] = "TRADE_CLOSED"
            back = {"out_biz_no": request, "refund_fee": str(self.given_back(reference)), "gmt_refund": self.now()}
            self.tells(reference, {"gmt_payment": trade["send_pay_date"]} | back)
        return yes(
            out_trade_no=reference,
            trade_no=trade["trade_no"],
            refund_fee=str(self.given_back(reference)),
            fund_change="Y" if known is None else "N",
        )

    def query_refund(self, content: Json) -> Json:
        reference, request = content["out_trade_no"], content["out_request_no"]
        if reference not in self.trades:
            return no("TRADE_NOT_EXIST")
        known = self.refunds.get((reference, request))
        if known is None or not self.refunds_arrive:
            return yes()
        trade = self.trades[reference]
        return yes(
            trade_no=trade["trade_no"],
            out_trade_no=reference,
            out_request_no=request,
            total_amount=trade["total_amount"],
            refund_amount=known["refund_amount"],
            refund_status="REFUND_SUCCESS",
            gmt_refund_pay=known["gmt_refund_pay"],
        )

    def bill(self, content: Json) -> Json:
        day = content["bill_date"]
        if content["bill_type"] != "trade" or (day not in self.bills and not self.is_over(day)):
            return no("isp.bill_not_exist")
        return yes(bill_download_url=f"{self.url.removesuffix('/gateway.do')}/bills/{day}.zip?token=made-up")

    def given_back(self, reference: str) -> Decimal:
        return sum(
            (Decimal(one["refund_amount"]) for (of, _), one in self.refunds.items() if of == reference), Decimal()
        )

    def is_over(self, day: str) -> bool:
        return datetime.fromtimestamp(self.now_s(), CHINA).date().isoformat() > day

    def file(self, day: str) -> bytes:
        """The day's bill: what the day's zip holds, or what the peer's own tables say."""
        if day in self.bills:
            return self.bills[day]
        rows = []
        for reference, trade in self.trades.items():
            if trade.get("send_pay_date", "").startswith(day):
                amount = trade["total_amount"]
                rows.append(bill_row(trade["trade_no"], reference, "交易", trade["send_pay_date"], amount, amount))
        for (reference, request), one in self.refunds.items():
            if one["gmt_refund_pay"].startswith(day):
                amount, number = f"-{one['refund_amount']}", self.trades[reference]["trade_no"]
                rows.append(bill_row(number, reference, "退款", one["gmt_refund_pay"], amount, amount, request))
        return zipped(bill_table(rows))

    # ---- the wire ----------------------------------------------------------------------------------------------------

    def now(self) -> str:
        return datetime.fromtimestamp(self.now_s(), CHINA).strftime("%Y-%m-%d %H:%M:%S")

    def is_signed_by_the_app(self, fields: dict[str, str]) -> bool:
        """Of a call, `sign_type` is signed with the rest."""
        signed = {name: value for name, value in fields.items() if name != "sign"}
        is_ours = fields.get("app_id") == APP_ID and fields.get("sign_type") == "RSA2"
        return is_ours and has_signed(text_of(signed), fields.get("sign", ""), APP)

    def answer(self, fields: dict[str, str], fault: str | None) -> bytes:
        """The body of one answer, as a fault would have it."""
        method = fields.get("method", "")
        call = CALLS.get(method)
        name = f"{method.replace('.', '_')}_response"
        if call is None or not self.is_signed_by_the_app(fields):
            text = json.dumps({"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"})
            return f'{{"{name if call else "error_response"}":{text}}}'.encode()  # Alipay signs no such answer
        content = json.loads(fields["biz_content"])
        self.seen.append((call, content))
        self.fields.append(fields)
        known = {"notify_url": fields.get("notify_url")} if call == "create" else {}
        said: Json = getattr(self, call)(content | known)
        if fault is not None and fault.startswith("says "):
            said = no(fault.removeprefix("says ")) if not fault[5:].isdigit() else {"code": fault[5:], "msg": "x"}
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        signature = sign(text.encode(), STRANGER if fault == "bad_signature" else self.signs_with)
        if fault == "tampered":
            text = text.replace('"12.50"', '"0.01"')
        if fault == "unsigned":
            return f'{{"{name}":{text}}}'.encode()
        if fault == "two_signatures":
            return f'{{"sign":"{sign(b"x", STRANGER)}","{name}":{text},"sign":"{signature}"}}'.encode()
        return f'{{"{name}":{text},"sign":"{signature}"}}'.encode()

    def takes_fault(self, call: str | None) -> str | None:
        found = next((fault for fault in self.faults if fault[0] in (call, "*")), None)
        if found is None:
            return None
        self.faults.remove(found)
        return found[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None
        self.callers.add(caller)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if not await self._respond(head.decode(), reader, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _respond(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One answer; False: the line is cut."""
        first, *rest = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = first.split(" ")[1]
        if path.startswith("/bills/"):
            if (fault := self.takes_fault("file")) is not None:
                return fault.isdigit() and await self._send(writer, int(fault), b"<html>no</html>")
            return await self._send(writer, 200, self.file(path.removeprefix("/bills/")[:10]))
        parts = (urlsplit(path).query, body.decode())  # fields come in the address, in the body, or in both
        fields = {name: value for part in parts for name, value in parse_qsl(part, keep_blank_values=True)}
        fault = self.takes_fault(CALLS.get(fields.get("method", "")))
        if fault == "drop_before":
            return False
        if fault is not None and fault.isdigit():
            return await self._send(writer, int(fault), b"<html>no</html>")
        answer = self.answer(fields, fault)
        if fault == "drop_after":
            return False
        if fault == "delay":
            await self.held.wait()
        if fault == "html":
            answer = b"<!DOCTYPE html><html><body>System busy</body></html>"
        if fault == "truncated":
            await self._send(writer, 200, answer, less=40)
            return False
        return await self._send(writer, 200, answer)

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: bytes, less: int = 0) -> bool:
        dated = format_datetime(datetime.fromtimestamp(self.now_s(), UTC), usegmt=True)
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Type: text/html;charset=utf-8\r\nDate: {dated}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body[: len(body) - less])
        await writer.drain()
        return True


@asynccontextmanager
async def alipay_listening(now_s: Callable[[], float], **fields: Any) -> AsyncIterator[AlipayPeer]:
    peer = AlipayPeer(now_s, **fields)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/gateway.do"
    try:
        yield peer
    finally:
        server.close()
        for caller in peer.callers:
            caller.cancel()
        await asyncio.gather(*peer.callers, return_exceptions=True)


def yes(**content: Any) -> Json:
    return {"code": "10000", "msg": "Success", **content}


def no(sub_code: str) -> Json:
    return {"code": "40004", "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "交易处理失败"}


def bill_row(number: str, reference: str, kind: str, at: str, amount: str, received: str, request: str = "") -> str:
    fee = f"{-(Decimal(amount) * 6 / 1000).quantize(Decimal('0.01'))}"
    values = {
        "支付宝交易号": f"{number}\t",
        "商户订单号": f"{reference}\t",
        "业务类型": kind,
        "商品名称": '"课程, 第一讲"',
        "创建时间": at,
        "完成时间": at,
        "对方账户": "张*(159****0001)\t",
        "订单金额（元）": amount,
        "商家实收（元）": received,
        "退款批次号/请求号": f"{request}\t" if request else "",
        "服务费（元）": fee,
    }
    return ",".join(values.get(name, "0.00" if name.endswith("（元）") else "") for name in COLUMNS)


def bill_table(rows: list[str]) -> bytes:
    before = ["#支付宝业务明细查询", f"#账号：[{SELLER_ID}0156]", "#-----------------业务明细列表----------------"]
    after = ["#-----------------业务明细列表结束------------", f"#交易合计：{len(rows)}笔", "#导出时间：[made up]"]
    return "\r\n".join([*before, ",".join(COLUMNS), *rows, *after, ""]).encode("gbk")


def zipped(details: bytes, *, name: str = "业务明细") -> bytes:
    """Alipay's zip: two tables, their names in GBK, of which the format knows nothing."""
    packed = io.BytesIO()
    names = [f"20880001000000010156_20260921_{one}.csv".encode("gbk") for one in (f"{name}(汇总)", name)]
    stand_ins = [(letter * len(raw)).encode() for letter, raw in zip("AB", names, strict=True)]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for stand_in, table in zip(stand_ins, ("#汇总\r\n".encode("gbk"), details), strict=True):
            archive.writestr(stand_in.decode(), table)
    file = packed.getvalue()
    for stand_in, raw in zip(stand_ins, names, strict=True):
        file = file.replace(stand_in, raw)
    return file


def quoted(fields: dict[str, str]) -> bytes:
    """A form as a browser would write it, in the order given."""
    return "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items()).encode()
