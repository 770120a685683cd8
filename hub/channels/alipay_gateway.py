"""Alipay's gateway: calls that we sign, and answers that are believed only where Alipay signed them."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from hub.channels import alipay_codes as codes
from hub.channels import alipay_wire as wire
from hub.channels.alipay_codes import Call
from hub.channels.alipay_words import Heard, bare, refused
from hub.channels.bill_files import Bill, demand_theirs, loaded
from hub.channels.exchange import Answer, Silence, exchange, retry_after_ms
from hub.domain.payments import Outcome, Result
from hub.ports import Clock

LOOPBACK = ("127.0.0.1", "::1", "localhost")  # a gateway there needs no TLS: a test peer
PRECREATE = "alipay.trade.precreate"
DOMAINS = ("alipay.com", "alipaydev.com")  # where Alipay's files lie, and its sandbox's


class Gateway:
    """Whom we ask, as whom, and whose signature we believe."""

    def __init__(
        self,
        *,
        url: str,
        app_id: str,
        private_key: RSAPrivateKey,
        alipay_keys: Sequence[RSAPublicKey],
        client: httpx.AsyncClient,
        clock: Clock,
    ) -> None:
        self._url = url
        self._app_id = app_id
        self._private_key = private_key
        self._alipay_keys = tuple(alipay_keys)
        self._client = client
        self._clock = clock

    async def ask(
        self,
        call: Call,
        method: str,
        content: Mapping[str, Any],
        read: Callable[[Heard], Result],
        *,
        notice_url: str | None = None,
    ) -> Result:
        """One call. `read` says what a yes means; one that makes no sense is UNKNOWN."""
        heard = self.heard(call, method, await self.send(method, content, notice_url=notice_url))
        if isinstance(heard, Result):
            return heard
        try:
            return read(heard)
        except (KeyError, TypeError, ValueError):
            return bare(Outcome.UNKNOWN, heard.at_us, heard.text, code="unreadable")

    async def send(self, method: str, content: Mapping[str, Any], *, notice_url: str | None = None) -> Answer | Silence:
        """The call itself, its answer not looked at."""
        fields = self._signed(method, content, notify_url=notice_url)
        return await exchange(self._client, "POST", self._url, params={"charset": "utf-8"}, data=fields)

    def heard(self, call: Call, method: str, answer: Answer | Silence) -> Heard | Result:
        """A yes that Alipay has signed; everything else is a result already."""
        now_us = self._clock.now_us()
        if isinstance(answer, Silence):
            return bare(answer.outcome, now_us, code=answer.code)
        if answer.status != 200:
            return _refused_by_http(call, answer, now_us)
        try:
            said = wire.said_in(answer.body, method)
            if not self.has_signed(said.text, said.sign):
                return bare(Outcome.UNKNOWN, now_us, answer.body, code="unsigned")
            heard = Heard(said.content, said.text, now_us)
            return heard if said.content["code"] == codes.DONE else refused(call, heard)
        except (wire.Nonsense, KeyError):
            return bare(Outcome.UNKNOWN, now_us, answer.body, code="unreadable")

    def address(
        self, method: str, content: Mapping[str, Any], *, notice_url: str | None, return_url: str | None
    ) -> str:
        """Where a browser goes to make the call by itself."""
        fields = self._signed(method, content, notify_url=notice_url, return_url=return_url)
        return f"{self._url}?{urlencode(fields)}"

    def bill(self, url: object, limit: int) -> AbstractAsyncContextManager[Bill]:
        """The file at an address that Alipay gave. Raises StatementRefused."""
        return loaded(self._client, demand_theirs(url, self._url, DOMAINS), limit=limit)

    def has_signed(self, text: bytes, signature: object) -> bool:
        return wire.is_signed(text, signature, self._alipay_keys)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _signed(self, method: str, content: Mapping[str, Any], **addresses: str | None) -> dict[str, str]:
        fields = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": wire.SIGN_TYPE,
            "timestamp": wire.moment_text(self._clock.now_us()),
            "version": "1.0",
            "biz_content": orjson.dumps(content).decode(),
        }
        return wire.signed(fields | {name: url for name, url in addresses.items() if url}, self._private_key)


def is_safe(url: object) -> bool:
    """Whether what is said there stays between us and Alipay: https, or a peer on this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


def unsigned_words(body: bytes) -> str:
    """For a person: what an answer says that Alipay has not signed, which is all that wrong credentials get."""
    told = b" ".join(re.findall(rb'"sub_(?:code|msg)"\s*:\s*"([^"]{1,200})"', body)[:2])
    return told.decode(errors="replace") or "nothing that we can read"


def _refused_by_http(call: Call, answer: Answer, now_us: int) -> Result:
    outcome = codes.BY_STATUS.get((call, answer.status), Outcome.UNKNOWN)
    result = bare(outcome, now_us, answer.body, code=f"http_{answer.status}")
    if outcome is not Outcome.NOT_SENT:
        return result
    return replace(result, retry_after_ms=retry_after_ms(answer.headers))
