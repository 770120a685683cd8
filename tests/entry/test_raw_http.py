"""Bytes that are hardly HTTP, on a real socket: each is refused or dropped, and the next caller is served as ever."""

import asyncio
import logging

import pytest

from tests.entry.toys import ToyHub, app_of, served

WITHIN_S = 10.0
GOOD = b'{"query":"{ viewer }"}'
HEAD = b"POST /graphql HTTP/1.1\r\nHost: hub.test\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n"


async def answer_to(address: str, sent: bytes) -> bytes:
    """What comes back until the other side closes, to a client that says nothing more; nothing where it cuts us off."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), WITHIN_S)
    except OSError:
        return b""
    finally:
        writer.close()


RAW = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"POST /graphql\r\n\r\n",
    "NUL in a header": HEAD + b"X-A: \x00\r\n" + LENGTH % 0,
    "NUL in the path": b"GET /graph\x00ql HTTP/1.1\r\nHost: hub.test\r\n\r\n",
    "space in a header's name": HEAD + b"X A: b\r\n" + LENGTH % 0,
    "header without end": HEAD + b"X-A: " + b"a" * 100_000,
    "thousands of headers": HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(20_000)) + LENGTH % 0,
    "length that is no number": HEAD + b"Content-Length: many\r\n\r\n" + GOOD,
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 22\r\n\r\n" + GOOD,
    "length beyond every body": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + GOOD,
    "body that ends early": HEAD + LENGTH % 1000 + GOOD,
    "chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + GOOD,
    "chunk that ends early": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + GOOD,
    "other coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + GOOD,
    "no host": b"GET /graphql?query=%7Bviewer%7D HTTP/1.1\r\n\r\n",
    "bytes in the query": b"GET /graphql?query=\xff\xfe HTTP/1.1\r\nHost: hub.test\r\n\r\n",
    "credential of bytes": HEAD + b"Authorization: Bearer \xff\xfe\r\n" + LENGTH % len(GOOD) + GOOD,
    "accept of bytes": HEAD + b"Accept: \xff/\xfe;q=\xff\r\n" + LENGTH % len(GOOD) + GOOD,
    "upgrade to nothing known": HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + LENGTH % 0,
    "half a WebSocket": b"GET /graphql HTTP/1.1\r\nHost: hub.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.filterwarnings("default")  # uvicorn warns of each
async def test_bytes_that_are_hardly_http_get_4xx_or_nothing_and_leave_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    statuses = {}
    async with served(app_of(ToyHub())) as address:
        for name, sent in RAW.items():
            answer = await answer_to(address, sent)
            statuses[name] = answer.split(b" ", 2)[1].decode() if answer else "dropped"
        after = await answer_to(address, HEAD + b"Connection: close\r\n" + LENGTH % len(GOOD) + GOOD)
    assert {name: status for name, status in statuses.items() if not (status == "dropped" or status[0] == "4")} == {}
    assert after.startswith(b"HTTP/1.1 200 ")
    assert after.endswith(b'{"data":{"viewer":"ANONYMOUS"}}')
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
