"""One HTTP call to a provider, with its budgets, and what a transport's failure says about it.

Nothing is repeated here: whether a write may be sent again is the engine's to decide.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from hub.domain.payments import Outcome

CONNECT_S = 3.0  # a provider that does not take the call by then is down
READ_S = 10.0  # between two bytes of its answer
RATE_LIMITED_MS = 1_000  # where no time is named
WHOLE_S = 35.0  # the caller's own patience
ANSWER_LIMIT = 256 * 1024  # bytes; the largest of our answers but statements has a few thousand

TIMEOUTS = httpx.Timeout(READ_S, connect=CONNECT_S)

# Provably never reached the provider; every other failure of the transport may have.
NOT_SENT: tuple[type[Exception], ...] = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, read to its end. `headers` may be asked in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """No whole answer. `outcome` is NOT_SENT or UNKNOWN, `code` the failure's name."""

    outcome: Outcome
    code: str


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    limit: int = ANSWER_LIMIT,
    timeouts: httpx.Timeout = TIMEOUTS,
    **parts: Any,
) -> Answer | Silence:
    """Send one request; `parts` as httpx takes them. `limit`: bytes of answer that are read, packed as unpacked, more
    for a statement; `timeouts` longer where a bank is waited for. Never raises for what the network does."""
    parts["headers"] = {"Accept-Encoding": "identity"} | dict(parts.get("headers") or {})
    try:
        async with (
            asyncio.timeout(WHOLE_S),
            client.stream(method, url, timeout=timeouts, follow_redirects=False, **parts) as answer,
        ):
            body = bytearray()
            async for chunk in _unpacked(answer, limit):
                body += chunk
                if len(body) > limit:
                    return Silence(Outcome.UNKNOWN, "AnswerTooLong")
            return Answer(answer.status_code, answer.headers, bytes(body))
    except NOT_SENT as error:
        return Silence(Outcome.NOT_SENT, type(error).__name__)
    except (httpx.HTTPError, TimeoutError) as error:
        return Silence(Outcome.UNKNOWN, type(error).__name__)


async def _unpacked(answer: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    """Its body. One that was packed unasked is unpacked by no more than `limit` and a byte at once, whereas httpx would
    unpack whatever has come. Raises httpx.DecodingError."""
    packing = answer.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        async for chunk in answer.aiter_bytes():
            yield chunk
        return
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError(f"{packing[:20]!r} was not asked for")
    unpacking, left = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), limit
    async for chunk in answer.aiter_raw():
        left -= len(chunk)
        if left < 0:
            raise httpx.DecodingError("it is too long before it is unpacked")
        try:
            yield unpacking.decompress(chunk, limit + 1)
        except zlib.error as error:
            raise httpx.DecodingError("it cannot be unpacked") from error
    if not unpacking.eof:
        raise httpx.DecodingError("it ends early")


def retry_after_ms(headers: Mapping[str, str]) -> int:
    """How long a provider that took nothing wants to be left alone, by its header in whole seconds."""
    told = headers.get("retry-after", "")
    return int(told) * 1_000 if re.fullmatch(r"[0-9]{1,5}", told) else RATE_LIMITED_MS
