"""Alipay (支付宝) as a payment channel: a QR to scan, or a page to pay on, over OpenAPI 2.0.

Nothing exists at Alipay until the buyer scans or signs in, so "not there" is no news while a QR or page is out, and
the end of one that was never used once its time is over.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from hub.channels import alipay_codes as codes
from hub.channels import alipay_wire as wire
from hub.channels import alipay_words as words
from hub.channels.alipay_bill import BILL_LIMIT, bill_lines
from hub.channels.alipay_gateway import PRECREATE, Gateway, is_safe, unsigned_words
from hub.channels.alipay_wire import CHINA, EPOCH, SIGN_TYPE, Nonsense
from hub.channels.alipay_words import Heard
from hub.channels.bill_files import given
from hub.channels.connecting import ChannelSettingRefused, Surroundings, demand_known
from hub.channels.exchange import Silence
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, NextAction, Notice, Outcome, PaymentAttempt, Result
from hub.domain.refunds import Refund
from hub.domain.statements import StatementLine
from hub.ports import Ack, AmountRange, Capabilities, Clock, Finding, NoticeRefused, RawNotice, StatementRefused

GATEWAY = "https://openapi.alipay.com/gateway.do"
CLOCK_TOLERANCE_S = 300  # more apart, and Alipay may refuse our calls' times
BILL_AFTER = timedelta(days=1, hours=10)  # from the day's start, in China: earlier no bill is there
NOTICE_FIELDS = 100  # a real one has about thirty
NUMBER = re.compile(r"[0-9]{16}", re.ASCII)
CHECKED = "hub_channel_check"  # a payment that is not there

# method → (Alipay's call, product).
METHODS: dict[str, tuple[str, str]] = {
    "qr": (PRECREATE, "FACE_TO_FACE_PAYMENT"),
    "page": ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    "wap": ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
}
CAPABILITIES = Capabilities(
    currencies={words.CURRENCY: AmountRange(1, 10_000_000_000)},  # 0.01 to 100 000 000 yuan
    not_found_after_ms=65_000,  # said only of what no buyer was given: see `words.not_there`
    is_dated=False,
    can_refund=True,
    can_refund_partly=True,
    has_statement=True,
    methods=tuple(METHODS),
)


class AlipayChannel:
    """The port `Channel` over Alipay's gateway."""

    code = "alipay"
    capabilities = CAPABILITIES

    def __init__(
        self,
        gateway: Gateway,
        *,
        app_id: str,
        seller_id: str,
        return_url: str | None,
        notice_url: str | None,
        clock: Clock,
    ) -> None:
        """`gateway` is closed by us. Notices are believed if they are of this app and this seller."""
        self._gateway = gateway
        self._app_id = app_id
        self._seller_id = seller_id
        self._return_url = return_url
        self._notice_url = notice_url
        self._clock = clock

    @classmethod
    def connected(cls, settings: Mapping[str, str], surroundings: Surroundings) -> "AlipayChannel":
        """The adapter of these settings, its keys read and checked."""
        required = ("app_id", "seller_id", "private_key", "alipay_public_key")
        demand_known(settings, required=required, optional=("gateway_url", "return_url"))
        for name in ("app_id", "seller_id"):
            if not NUMBER.fullmatch(settings[name]):
                raise ChannelSettingRefused(name, "is a number of 16 digits")
        private_key = wire.private_key_in(settings["private_key"], "private_key")
        alipay_keys = wire.public_keys_in(settings["alipay_public_key"], "alipay_public_key")
        if private_key.public_key() in alipay_keys:
            raise ChannelSettingRefused("alipay_public_key", "is the app's own: Alipay shows its key beside it")
        url = settings.get("gateway_url", GATEWAY)
        if not is_safe(url):
            raise ChannelSettingRefused("gateway_url", "is an https address")
        gateway = Gateway(
            url=url,
            app_id=settings["app_id"],
            private_key=private_key,
            alipay_keys=alipay_keys,
            client=surroundings.client,
            clock=surroundings.clock,
        )
        return cls(
            gateway,
            app_id=settings["app_id"],
            seller_id=settings["seller_id"],
            return_url=settings.get("return_url"),
            notice_url=surroundings.notice_url,
            clock=surroundings.clock,
        )

    # ---- calls -------------------------------------------------------------------------------------------------------

    async def create(self, attempt: PaymentAttempt) -> Result:
        """A QR by Alipay's answer, or the signed address of a page: for that nothing is called."""
        reference, method = wire.reference_of(attempt.key), METHODS.get(attempt.method or "qr")
        if attempt.capture_method is CaptureMethod.MANUAL:
            return self._bare(Outcome.REJECTED, "hold_unsupported")
        if reference is None or method is None or not CAPABILITIES.takes(attempt.amount):
            code = "unwritable_key" if reference is None else "unknown_method" if method is None else "wrong_amount"
            return self._bare(Outcome.REJECTED, code)
        api, product = method
        content = {
            "out_trade_no": reference,
            "total_amount": attempt.amount.decimal,
            "subject": f"Order {attempt.key.rpartition('-')[0] or attempt.key}",
            "body": attempt.key,
            "product_code": product,
            "time_expire": wire.moment_text(words.dies_at_us(attempt)),
        }
        if api == PRECREATE:
            return await self._gateway.ask(
                "create", api, content, lambda heard: words.shown(heard, attempt), notice_url=self._notice_url
            )
        return_url = attempt.return_url or self._return_url
        url = self._gateway.address(api, content, notice_url=self._notice_url, return_url=return_url)
        action = NextAction(kind="redirect", url=url, expires_at_us=words.dies_at_us(attempt))
        return replace(words.bare(Outcome.ACTION, self._clock.now_us(), url.encode()), next_action=action)

    async def void(self, attempt: PaymentAttempt) -> Result:
        """Close it (关闭). What has ended already is asked about; `alipay.trade.cancel` is never called, since it gives
        paid money back behind the books."""
        content = {"out_trade_no": wire.reference_of(attempt.key)}
        result = await self._gateway.ask(
            "void", "alipay.trade.close", content, lambda heard: words.closed(heard, attempt)
        )
        if result.code in codes.ENDED:
            return await self.query(attempt)
        return words.not_there(attempt, result) if result.code == codes.NOT_THERE else result

    async def query(self, attempt: PaymentAttempt) -> Result:
        """What Alipay has under our reference."""
        content = {"out_trade_no": wire.reference_of(attempt.key)}
        result = await self._gateway.ask(
            "query", "alipay.trade.query", content, lambda heard: words.trade(heard, attempt)
        )
        return words.not_there(attempt, result) if result.code == codes.NOT_THERE else result

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Nothing is ever held here: what is paid is taken."""
        return self._bare(Outcome.REJECTED, "capture_unsupported")

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Ask for part of it back. A yes means that it was taken on; whether the money went back, the query tells."""
        if refund.amount.currency != words.CURRENCY or refund.amount.amount_minor < 1:
            return self._bare(Outcome.REJECTED, "wrong_amount")
        content = {
            "out_trade_no": wire.reference_of(attempt.key),
            "out_request_no": refund.key,
            "refund_amount": refund.amount.decimal,
        }
        return await self._gateway.ask(
            "refund", "alipay.trade.refund", content, lambda heard: words.taken_on(heard, attempt)
        )

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Whether the money of one refund went back, by its key."""
        content = {
            "out_trade_no": wire.reference_of(attempt.key),
            "out_request_no": refund.key,
            "query_options": ["gmt_refund_pay"],
        }
        return await self._gateway.ask(
            "query_refund",
            "alipay.trade.fastpay.refund.query",
            content,
            lambda heard: words.refunded(heard, attempt, refund),
        )

    async def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """The business bill (业务账单) of one of China's days. Raises StatementRefused."""
        content = {"bill_type": "trade", "bill_date": day.isoformat()}
        call = "alipay.data.dataservice.bill.downloadurl.query"
        heard = self._gateway.heard("bill", call, await self._gateway.send(call, content))
        if isinstance(heard, Result):
            if heard.code == codes.NO_BILL and self._is_due(day):
                return  # nothing was paid or given back that day
            raise StatementRefused(f"Alipay gave no bill ({heard.code}): it comes after 10:00 of the next day in China")
        async with self._gateway.bill(heard.content.get("bill_download_url"), BILL_LIMIT) as bill:
            async for line in given(lambda: bill_lines(bill.file, self.code)):
                yield line

    def _is_due(self, day: date) -> bool:
        midnight = datetime(day.year, day.month, day.day, tzinfo=CHINA)
        return EPOCH + timedelta(microseconds=self._clock.now_us()) >= midnight + BILL_AFTER

    async def check(self) -> Sequence[Finding]:
        """One signed question about a payment that is not there."""
        call = "alipay.trade.query"
        answer = await self._gateway.send(call, {"out_trade_no": CHECKED})
        if isinstance(answer, Silence):
            return [Finding("reach", False, f"Alipay does not answer: {answer.code}")]
        heard = self._gateway.heard("query", call, answer)
        code = heard.code if isinstance(heard, Result) else codes.DONE
        is_signed = code not in ("unsigned", "unreadable", f"http_{answer.status}")
        doubt = f"the answer is not signed with Alipay's key as we have it, and says: {unsigned_words(answer.body)}"
        return [
            Finding("reach", answer.status == 200, f"Alipay answers with {answer.status}"),
            Finding("credentials", code == codes.NOT_THERE, f"asked about no payment it says {code}"),
            Finding("keys", is_signed, "its answer is signed with its key, as we have it" if is_signed else doubt),
            _clock_finding(answer.headers.get("date"), self._clock.now_us()),
        ]

    # ---- notices -----------------------------------------------------------------------------------------------------

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Check the signature over the decoded fields, and whose they are. No notice is dated: its id is kept."""
        try:
            pairs = parse_qsl(
                raw.body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=NOTICE_FIELDS,
            )
        except ValueError as error:
            raise NoticeRefused("this is no form") from error
        fields = dict(pairs)
        signature, sign_type = fields.pop("sign", ""), fields.pop("sign_type", "")
        if len(fields) + 2 != len(pairs) or sign_type != SIGN_TYPE:
            raise NoticeRefused("it is signed in no way that is taken, or names a field twice")
        text = wire.signed_text(fields)
        if not self._gateway.has_signed(text, signature):
            raise NoticeRefused("the signature is wrong")
        if (fields.get("app_id"), fields.get("seller_id")) != (self._app_id, self._seller_id):
            raise NoticeRefused("it is another app's or another seller's")
        try:
            return _notice(Heard(fields, text, now_us))
        except (Nonsense, KeyError) as error:
            raise NoticeRefused("it tells of no trade") from error

    def ack(self, accepted: bool) -> Ack:
        """Exactly this word; every other answer brings the notice back, for 25 hours."""
        return Ack(200, b"success" if accepted else b"failure")

    async def aclose(self) -> None:
        await self._gateway.aclose()

    def _bare(self, outcome: Outcome, code: str) -> Result:
        return words.bare(outcome, self._clock.now_us(), code=code)


def _clock_finding(header: str | None, now_us: int) -> Finding:
    try:
        theirs_s = int(parsedate_to_datetime(header or "").timestamp())
    except ValueError:
        return Finding("clock", True, "its answer is not dated")
    apart_s = abs(now_us // 1_000_000 - theirs_s)
    return Finding("clock", apart_s <= CLOCK_TOLERANCE_S, f"its clock and ours are {apart_s} s apart")


def _notice(heard: Heard) -> Notice:
    """What a verified notice tells. Raises Nonsense, KeyError."""
    fields = heard.content
    status, refund_key = words.identifier(fields["trade_status"]), fields.get("out_biz_no")
    # `refund_fee` is all that went back so far: of this refund it is news, and the query says how much.
    result = (
        words.bare(Outcome.PENDING, heard.at_us, heard.text, code="refund_notice")
        if refund_key
        else words.trade_result(heard, fields.get("gmt_payment"))
    )
    # Each delivery of one notice has its own time, and so its own signature.
    lasting = {name: value for name, value in fields.items() if name != "notify_time"}
    return Notice(
        event_id=words.identifier(fields["notify_id"]),
        attempt_key=wire.key_of(words.identifier(fields["out_trade_no"])),
        result=result,
        digest=hashlib.sha256(wire.signed_text(lasting)).digest(),
        kind=f"refund/{status}" if refund_key else f"trade/{status}",
        refund_key=words.identifier(refund_key) if refund_key else None,
    )
