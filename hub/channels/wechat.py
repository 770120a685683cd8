"""WeChat Pay v3 (微信支付) as a payment channel: native QR, H5 and JSAPI, refunds, notices and the day's bill.

`method` says how the buyer pays: `native` (the default), `h5[:<payer's address>]` or `jsapi:<openid>`.
"""

import ipaddress
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date, datetime
from urllib.parse import quote

import httpx

from hub.channels import wechat_words as words
from hub.channels.connecting import ChannelSettingRefused, Surroundings, demand_known
from hub.channels.exchange import Answer
from hub.channels.wechat_bill import CHINA, lines_of_day
from hub.channels.wechat_check import findings
from hub.channels.wechat_gateway import Gateway, gateway_of
from hub.channels.wechat_wire import Merchant, SignatureRefused, merchant_of
from hub.channels.wechat_words import CODE, CURRENCY, REJECTED, UNKNOWN, Json, bare, json_of, text_of
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, NextAction, Notice, Outcome, PaymentAttempt, Result, Stage
from hub.domain.refunds import Refund
from hub.domain.statements import StatementLine
from hub.ports import Ack, AmountRange, Capabilities, Clock, Finding, NoticeProbed, NoticeRefused, RawNotice

TRADES = "/v3/pay/transactions"
REFUNDS = "/v3/refund/domestic/refunds"
CHECKED = "hub-channel-check"  # a reference that no attempt has
REASON_BYTES = 80  # of a refund's reason, by WeChat's word
H5_LIFE_US = 5 * 60 * 1_000_000  # after which WeChat's page refuses, by WeChat's word
CAPABILITIES = Capabilities(
    # One fen; the other end is the merchant's contract, and below what any of its products takes.
    currencies={CURRENCY: AmountRange(1, 99_999_999)},
    not_found_after_ms=65_000,  # a slow first call may still land before
    is_dated=True,
    can_refund=True,
    can_refund_partly=True,
    has_statement=True,
    methods=("native", "h5", "jsapi"),
)


class WeChatChannel:
    """The port `Channel` over WeChat Pay's APIv3, for one merchant and one appid."""

    code = CODE
    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        merchant: Merchant,
        gateway_url: str,
        notice_url: str,
        payer_client_ip: str | None,
        client: httpx.AsyncClient,
        clock: Clock,
        draw_seed: Callable[[], bytes],
    ) -> None:
        """`payer_client_ip` stands for the payer's in H5 where `method` names none. `client` is closed by us."""
        self._merchant = merchant
        self._gateway = Gateway(merchant, gateway_url, client, clock, draw_seed)
        self._notice_url = notice_url
        self._payer_client_ip = payer_client_ip
        self._client = client
        self._clock = clock

    @classmethod
    def connected(cls, settings: Mapping[str, str], surroundings: Surroundings) -> "WeChatChannel":
        """The adapter of these settings; what each of them is stands in hub/docs/channels.md."""
        required = ("mchid", "appid", "serial_no", "private_key", "api_v3_key", "platform_keys")
        demand_known(settings, required=required, optional=("gateway_url", "notice_url", "payer_client_ip"))
        notice_url = settings.get("notice_url") or surroundings.notice_url
        if notice_url is None:
            text = "WeChat takes no payment without an address for its notices: set HUB_PUBLIC_URL, or this one"
            raise ChannelSettingRefused("notice_url", text)
        return cls(
            merchant=merchant_of(settings),
            gateway_url=gateway_of(settings),
            notice_url=notice_url,
            payer_client_ip=_address_set(settings.get("payer_client_ip")),
            client=surroundings.client,
            clock=surroundings.clock,
            draw_seed=surroundings.draw_seed,
        )

    async def create(self, attempt: PaymentAttempt) -> Result:
        """Place the order. The attempt's key is `out_trade_no`: placed again, WeChat answers for the same order."""
        product, _, argument = (attempt.method or "native").partition(":")
        if attempt.capture_method is CaptureMethod.MANUAL:
            return bare(REJECTED, self._clock.now_us(), code="hold_unsupported")
        if not self.capabilities.takes(attempt.amount):
            return bare(REJECTED, self._clock.now_us(), code="amount_not_taken")
        try:
            order = self._order(attempt, product, argument)
        except ValueError as error:
            return bare(REJECTED, self._clock.now_us(), code=str(error))
        heard = await self._gateway.ask("create", "POST", f"{TRADES}/{product}", order)
        if isinstance(heard, Result):
            return heard
        try:
            action = self._next_action(attempt, product, json_of(heard.body))
        except (KeyError, TypeError, ValueError):
            return bare(UNKNOWN, self._clock.now_us(), heard.body, code=f"unreadable_{heard.status}")
        return bare((Outcome.ACTION, Stage.NONE), self._clock.now_us(), heard.body, next_action=action)

    async def void(self, attempt: PaymentAttempt) -> Result:
        """Close the order (关单). What WeChat will not close is asked about: it was paid, closed, or never there."""
        closing = {"mchid": self._merchant.mchid}
        heard = await self._gateway.ask("void", "POST", f"{_trade(attempt)}/close", closing)
        if isinstance(heard, Answer):
            return bare((Outcome.DONE, Stage.VOIDED), self._clock.now_us(), heard.body)
        return await self.query(attempt) if heard.outcome is Outcome.REJECTED else heard

    async def query(self, attempt: PaymentAttempt) -> Result:
        """What WeChat has under our reference."""
        heard = await self._gateway.ask("query", "GET", f"{_trade(attempt)}?mchid={self._merchant.mchid}")
        if isinstance(heard, Result):
            return heard
        return words.trade_result(self._merchant, attempt, heard.body, self._clock.now_us())

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Nothing is held here, so there is nothing to take."""
        return bare(REJECTED, self._clock.now_us(), code="capture_unsupported")

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Give back part of a payment. The refund's key is `out_refund_no`: sent again, it is the same refund."""
        asked: Json = {
            "out_trade_no": attempt.key,
            "out_refund_no": refund.key,
            "notify_url": self._notice_url,
            "amount": {
                "refund": refund.amount.amount_minor,
                "total": attempt.amount.amount_minor,
                "currency": refund.amount.currency,
            },
        }
        if refund.reason:
            asked["reason"] = refund.reason.encode()[:REASON_BYTES].decode(errors="ignore")
        heard = await self._gateway.ask("refund", "POST", REFUNDS, asked)
        if isinstance(heard, Result):
            return heard
        return words.refund_result(attempt, refund.key, heard.body, self._clock.now_us())

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """What became of a refund, by our key."""
        heard = await self._gateway.ask("query_refund", "GET", f"{REFUNDS}/{quote(refund.key, safe='')}")
        if isinstance(heard, Result):
            return heard
        return words.refund_result(attempt, refund.key, heard.body, self._clock.now_us())

    async def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """The trade bill (交易账单) of a day of China's, from 10 o'clock of the next. Nothing is told of a file that
        is not whole. Raises StatementRefused."""
        async for line in lines_of_day(self._gateway, day):
            yield line

    async def check(self) -> Sequence[Finding]:
        """One signed look for a trade that is not there; and WeChat's certificates, which only the APIv3 key opens."""
        return await findings(self._gateway, f"{TRADES}/out-trade-no/{CHECKED}?mchid={self._merchant.mchid}")

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Check the signature, its date and what is sealed in a notice. Raises NoticeRefused, NoticeIgnored."""
        try:
            self._merchant.signed_at_us(raw.headers, raw.body, now_us)
        except SignatureRefused as refused:
            raise (NoticeProbed if refused.kind == "probe" else NoticeRefused)(str(refused)) from refused
        return words.notice_of(self._merchant, raw.body, now_us)

    def ack(self, accepted: bool) -> Ack:
        """204 is a yes; anything else brings the notice back, 15 times in 24 hours."""
        return Ack(204) if accepted else Ack(503, b'{"code":"FAIL","message":"again, please"}', "application/json")

    async def aclose(self) -> None:
        await self._client.aclose()

    # ---- what is sent ------------------------------------------------------------------------------------------------

    def _order(self, attempt: PaymentAttempt, product: str, argument: str) -> Json:
        """The same for the same attempt, however often it is sent. Raises ValueError with our code of what is wrong."""
        order: Json = {
            "appid": self._merchant.appid,
            "mchid": self._merchant.mchid,
            "description": f"Order {attempt.key}",
            "out_trade_no": attempt.key,
            "time_expire": datetime.fromtimestamp(attempt.expires_at_us // 10**6, CHINA).isoformat(),
            "notify_url": self._notice_url,
            "amount": {"total": attempt.amount.amount_minor, "currency": attempt.amount.currency},
        }
        if product == "native" and not argument:
            return order
        if product == "jsapi" and argument:
            return order | {"payer": {"openid": argument}}
        if product == "h5":
            address = _address(argument or self._payer_client_ip)
            return order | {"scene_info": {"payer_client_ip": address, "h5_info": {"type": "Wap"}}}
        raise ValueError("method_unknown")

    def _next_action(self, attempt: PaymentAttempt, product: str, placed: Json) -> NextAction:
        """What the buyer does with what WeChat gave for the order."""
        until_us = attempt.expires_at_us
        if product == "native":
            return NextAction("qr", data=text_of(placed["code_url"]), expires_at_us=until_us)
        if product == "jsapi":
            parameters = self._jsapi_parameters(text_of(placed["prepay_id"]))
            return NextAction("client_secret", data=json.dumps(parameters), expires_at_us=until_us)
        url = text_of(placed["h5_url"])
        if attempt.return_url:
            url += f"&redirect_url={quote(attempt.return_url, safe='')}"
        return NextAction("redirect", url=url, expires_at_us=min(until_us, self._clock.now_us() + H5_LIFE_US))

    def _jsapi_parameters(self, prepay_id: str) -> dict[str, str]:
        """What WeixinJSBridge takes to open the payment, under our signature."""
        seconds, nonce, package = str(self._clock.now_us() // 10**6), self._gateway.nonce(), f"prepay_id={prepay_id}"
        return {
            "appId": self._merchant.appid,
            "timeStamp": seconds,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self._merchant.signature(self._merchant.appid, seconds, nonce, package),
        }


def _trade(attempt: PaymentAttempt) -> str:
    return f"{TRADES}/out-trade-no/{quote(attempt.key, safe='')}"


def _address(given: str | None) -> str:
    if given is None:
        raise ValueError("h5_without_payer_client_ip")
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        raise ValueError("h5_payer_client_ip_malformed") from None


def _address_set(given: str | None) -> str | None:
    try:
        return None if given is None else str(ipaddress.ip_address(given))
    except ValueError:
        raise ChannelSettingRefused("payer_client_ip", "this is no IPv4 or IPv6 address") from None
