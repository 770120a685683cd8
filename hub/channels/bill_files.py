"""A provider's bill as a file: loaded from that provider alone, into one without a name that goes with its last line.

Its size is bounded, packed and unpacked, and it is never in memory as a whole: a million lines take as much as ten.
"""

import asyncio
import hashlib
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

import httpx

from hub.channels.exchange import TIMEOUTS
from hub.domain.statements import StatementLine
from hub.ports import StatementRefused

LOAD_WITHIN_S = 300.0  # the largest bill over a slow line; nobody waits for it
CHUNK = 64 * 1024  # bytes written at once
LINE_LIMIT = 64 * 1024  # bytes of one line: a real one has less than a thousand
TURN_EVERY = 200  # lines, after which everybody else in the process has a turn
NUMBERING_KIB = 2_048  # what the numbering of lines may keep in memory; the rest of it lies in a temporary file


@dataclass(frozen=True, slots=True)
class Bill:
    """A whole file, to be read from its start. `sha1` is of all its bytes, in hexadecimal."""

    file: IO[bytes]
    sha1: str


@asynccontextmanager
async def loaded(
    client: httpx.AsyncClient, url: str, *, limit: int, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Bill]:
    """The file at an address that `demand_theirs` let pass, of `limit` bytes at most. No redirect is followed. Raises
    StatementRefused."""
    asked = {"Accept-Encoding": "identity"} | dict(headers or {})
    digest, size = hashlib.sha1(usedforsecurity=False), 0
    with tempfile.TemporaryFile() as file:
        try:
            async with (
                asyncio.timeout(LOAD_WITHIN_S),
                client.stream("GET", url, headers=asked, timeout=TIMEOUTS, follow_redirects=False) as answer,
            ):
                if answer.status_code != 200:
                    raise StatementRefused(f"the bill could not be loaded ({answer.status_code}): ask again")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise StatementRefused("the bill came packed in a way that nobody asked for")
                async for chunk in answer.aiter_bytes(CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise StatementRefused(f"the bill is larger than {limit} bytes: fetch it by hand and look")
                    digest.update(chunk)
                    file.write(chunk)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise StatementRefused(f"the bill could not be loaded ({type(error).__name__}): ask again") from error
        yield Bill(file, digest.hexdigest())


def demand_theirs(url: object, gateway: str, domains: Sequence[str]) -> str:
    """The address of a bill, if it is at the gateway's own origin, or by https within the provider's domains: what we
    sign is sent to nobody else. Raises StatementRefused."""
    try:
        asked, ours = httpx.URL(url if isinstance(url, str) else ""), httpx.URL(gateway)
    except httpx.InvalidURL as error:
        raise StatementRefused("the provider's word on where the bill lies makes no sense") from error
    is_at_gateway = (asked.scheme, asked.host, asked.port) == (ours.scheme, ours.host, ours.port)
    is_within = any(asked.host == domain or asked.host.endswith(f".{domain}") for domain in domains)
    is_theirs = is_at_gateway or (asked.scheme == "https" and asked.port is None and is_within)
    if asked.userinfo or not is_theirs:
        text = f"the bill lies at {asked.scheme}://{asked.host[:100]}, which is no https address of the provider's"
        raise StatementRefused(text)
    return str(asked)


async def given(lines: Callable[[], Iterator[StatementLine]]) -> AsyncIterator[StatementLine]:
    """All lines of a bill, once all of them were read: nothing of one that makes no sense. Raises StatementRefused."""
    for number, _ in enumerate(lines(), 1):
        if number % TURN_EVERY == 0:
            await asyncio.sleep(0)
    for number, line in enumerate(lines(), 1):
        yield line
        if number % TURN_EVERY == 0:
            await asyncio.sleep(0)


def lines_in(file: IO[bytes]) -> Iterator[bytes]:
    """Its lines with their ends. Raises ValueError for one that is longer than any real one."""
    while line := file.readline(LINE_LIMIT + 1):
        if len(line) > LINE_LIMIT:
            raise ValueError("a line without an end")
        yield line


class Numbering:
    """How often each id came up in one bill: the same twice is legal. In a file of its own, as the ids are as many as
    the lines."""

    def __init__(self) -> None:
        self._counted = sqlite3.connect("", isolation_level=None)  # without a name: gone once it is closed
        self._counted.execute(f"PRAGMA cache_size = -{NUMBERING_KIB}")
        self._counted.execute("PRAGMA journal_mode = OFF")
        self._counted.execute("CREATE TABLE line (id BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._counted.execute("BEGIN")

    def number(self, line_id: str) -> int:
        """1 for an id that is new, then 2, 3, …"""
        key = hashlib.blake2b(line_id.encode(), digest_size=16).digest()
        [times] = self._counted.execute(_COUNT, (key,)).fetchone()
        return int(times)

    def close(self) -> None:
        self._counted.close()


_COUNT = "INSERT INTO line VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET times = times + 1 RETURNING times"
