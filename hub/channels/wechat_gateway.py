"""Calls to WeChat Pay's gateway (微信支付网关): each is signed, and an answer is taken for what it provably is."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import httpx
import orjson

from hub.channels import wechat_words as words
from hub.channels.bill_files import Bill, demand_theirs, loaded
from hub.channels.connecting import ChannelSettingRefused
from hub.channels.exchange import Answer, Silence, exchange
from hub.channels.wechat_wire import Merchant, SignatureRefused
from hub.channels.wechat_words import UNKNOWN, Flow, Json, bare
from hub.domain.payments import Result, Stage
from hub.ports import Clock

GATEWAY = "https://api.mch.weixin.qq.com"
DOMAINS = ("api.mch.weixin.qq.com", "api2.mch.weixin.qq.com")  # WeChat Pay's own, and the one that stands in for it
LOOPBACK = ("127.0.0.1", "::1", "localhost")
AGENT = "tongbao"  # WeChat refuses calls without a User-Agent
NONCE_LENGTH = 32  # characters of hexadecimal: 128 bits


class Gateway:
    """One merchant's way to WeChat."""

    def __init__(
        self, merchant: Merchant, url: str, client: httpx.AsyncClient, clock: Clock, draw_seed: Callable[[], bytes]
    ) -> None:
        """`url` is scheme, host and port alone."""
        self.merchant = merchant
        self.clock = clock
        self._url = url
        self._client = client
        self._draw_seed = draw_seed

    async def ask(self, flow: Flow, method: str, target: str, content: Json | None = None) -> Answer | Result:
        """A yes that WeChat signed, or else what its answer, or its silence, comes to."""
        answer = await self.call(method, target, content)
        now_us = self.clock.now_us()
        if isinstance(answer, Silence):
            return bare((answer.outcome, Stage.NONE), now_us, code=answer.code)
        if doubt := self.doubt(answer):
            return bare(UNKNOWN, now_us, answer.body, code=f"signature_{doubt}_{answer.status}")
        return answer if answer.status in (200, 204) else words.refused(flow, answer, now_us)

    async def call(self, method: str, target: str, content: Json | None = None) -> Answer | Silence:
        """One signed call of the API; `target` is path and query. Whether its answer is WeChat's is not looked at."""
        body = b"" if content is None else orjson.dumps(content)
        headers = self._signed(method, target, body)
        return await exchange(self._client, method, self._url + target, headers=headers, content=body)

    def bill(self, url: str, limit: int) -> AbstractAsyncContextManager[Bill]:
        """The file at an address that WeChat gave, by a signed call: to WeChat alone. Raises StatementRefused."""
        theirs = demand_theirs(url, self._url, DOMAINS)
        headers = self._signed("GET", httpx.URL(theirs).raw_path.decode(), b"")
        return loaded(self._client, theirs, limit=limit, headers=headers)

    def _signed(self, method: str, target: str, body: bytes) -> dict[str, str]:
        """The headers of one call; `target` is path and query as they are sent."""
        seconds = self.clock.now_us() // 10**6
        headers = {
            "Authorization": self.merchant.authorization(method, target, body, seconds, self.nonce()),
            "Accept": "application/json",
            "User-Agent": AGENT,
        }
        if body:
            headers["Content-Type"] = "application/json"
        if self.merchant.wanted_serial:
            headers["Wechatpay-Serial"] = self.merchant.wanted_serial
        return headers

    def doubt(self, answer: Answer) -> str | None:
        """Why an answer is not believed, in a word. A no may come unsigned, from WeChat's outer doors; a yes may not,
        and nothing may come with a wrong signature."""
        try:
            self.merchant.signed_at_us(answer.headers, answer.body, self.clock.now_us())
        except SignatureRefused as refused:
            return None if refused.kind == "absent" and answer.status >= 400 else refused.kind
        return None

    def nonce(self) -> str:
        return self._draw_seed().hex()[:NONCE_LENGTH].upper()


def gateway_of(settings: Mapping[str, str]) -> str:
    """Scheme, host and port alone: what is signed is the path as it is sent, and a prefix would be in it."""
    try:
        parts = urlsplit(settings.get("gateway_url", GATEWAY))
    except ValueError:
        parts = urlsplit("")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_safe or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ChannelSettingRefused("gateway_url", "an https address without a path, such as the default")
    return f"{parts.scheme}://{parts.netloc}"
