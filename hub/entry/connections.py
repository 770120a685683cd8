"""The connections of one HTTP client: what a call costs does not grow with the number of calls that wait for an answer.

httpx's own pool looks through all of its connections, and for each idle one through all of them again, whenever a call
begins or ends: two hundred payments that wait for a slow provider kept it busy for longer than everything else did.
Here each call has a pool of a single connection, taken from a stack.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache

import httpx

# How long an idle connection is kept: clearly shorter than servers usually do (gunicorn 2 s, Node, Apache and uvicorn
# 5 s). A call that meets the end of its connection may have been taken or not: a payment would be UNKNOWN for that.
KEPT_S = 1.5


@cache
def trusted() -> ssl.SSLContext:
    """Whom every client of this process believes: reading all authorities takes longer than making the client."""
    return httpx.create_ssl_context(trust_env=False)


class Connections(httpx.AsyncBaseTransport):
    """As many connections as there are calls at once: at most `most`, of which `kept` stay open when they are idle."""

    def __init__(self, *, most: int, kept: int) -> None:
        """A call that finds `most` others under way waits for as long as its `pool` timeout: httpx.PoolTimeout."""
        self._tls = trusted()
        self._limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEPT_S)
        self._free = asyncio.Semaphore(most)
        self._kept = kept
        self._idle: deque[_Idle] = deque()  # the last used one is at its end, and the first to be used again

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._admitted(request)
        lane = self._idle.pop().lane if self._idle else self._opened()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            await self.give_back(lane)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Answer(response.stream, self, lane)
        return response

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().lane.aclose()

    async def _admitted(self, request: httpx.Request) -> None:
        if not self._free.locked():
            await self._free.acquire()  # at once: no timer for the usual case
            return
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._free.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("every connection is in use", request=request) from None

    def _opened(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=self._limits)

    async def give_back(self, lane: httpx.AsyncHTTPTransport) -> None:
        """For the next call. What has been idle for too long, or is too much, is closed: the longest idle first."""
        self._free.release()
        now_s = asyncio.get_running_loop().time()
        self._idle.append(_Idle(lane, now_s))
        while self._idle and (len(self._idle) > self._kept or self._idle[0].since_s < now_s - KEPT_S):
            await self._idle.popleft().lane.aclose()


@dataclass(frozen=True, slots=True)
class _Idle:
    lane: httpx.AsyncHTTPTransport
    since_s: float


class _Answer(httpx.AsyncByteStream):
    """An answer's body, after whose end or abandonment the connection is free again."""

    def __init__(self, body: httpx.AsyncByteStream, connections: Connections, lane: httpx.AsyncHTTPTransport) -> None:
        self._body = body
        self._connections = connections
        self._lane: httpx.AsyncHTTPTransport | None = lane

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        lane, self._lane = self._lane, None
        if lane is None:
            return
        try:
            await self._body.aclose()
        finally:
            await self._connections.give_back(lane)
