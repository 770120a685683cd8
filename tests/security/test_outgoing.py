"""The guarded way out: nothing inside the operator's network is reached, whatever a name, a URL or an answer says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.webhooks import Sent, SentOutcome
from hub.security.outgoing import MAX_ANSWER, Allowed, GuardedSender, is_public
from tests.security.certificates import issued

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once: reading all authorities takes a third of a second
LOOPBACK = Allowed.of(["127.0.0.1"])
HEADERS = {"webhook-id": "evt_1"}
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def said(status: str, body: bytes = b"", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def receiver(answer: bytes | Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers each request so: its port, and the requests it got."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        requests.append(head + await reader.readexactly(length))
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


def resolving(*addresses: str, asked: list[str] | None = None) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        if asked is not None:
            asked.append(host)
        return list(addresses)

    return resolve


async def post(url: str, sender: GuardedSender | None = None) -> Sent:
    return await (sender or GuardedSender(LOOPBACK)).post(url, HEADERS, b'{"data":1}')


# ---- which addresses ------------------------------------------------------------------------------------------------

INSIDE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.1.2.3", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.9.9",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808",
    "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
    "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%1", "2606:4700::1%1", "fec0::1", "ff02::1",
    "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
async def test_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    sender = GuardedSender(ssl_context=TLS, resolve=resolving("8.8.8.8", address))
    assert await sender.refuses("https://shop.example/hook") == (
        "shop.example is, or leads to, an address that is not public"
    )
    sent = await post("https://shop.example/hook", sender)
    assert (sent.outcome, sent.status) == (SentOutcome.FORBIDDEN, None)
    assert address not in sent.answer
    assert sender.outcomes == {"FORBIDDEN": 1}


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1", "2a00::1"])
def test_public_addresses_are_public(address: str) -> None:
    import ipaddress

    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)  # fmt: skip
async def test_an_address_written_in_any_form_is_seen(url: str) -> None:
    sent = await post(url, GuardedSender(ssl_context=TLS))
    assert sent.outcome in (SentOutcome.FORBIDDEN, SentOutcome.UNREACHABLE)
    assert sent.status is None
    assert await GuardedSender(ssl_context=TLS).refuses(url) is not None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://shop.example/", "plain http goes only"),
        ("https://user:word@shop.example/", "user or password"),
        ("https://user@shop.example/", "user or password"),
        ("ftp://shop.example/", "https://host/path"),
        ("file:///etc/passwd", "https://host/path"),
        ("https:///hook", "https://host/path"),
        ("https://shop.example:0/", "https://host/path"),
        ("https://shop.example:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://shop.example/a b", "printable ASCII"),
        ("https://shop.example/\r\nHost: other", "printable ASCII"),
        ("https://shop.example\\@127.0.0.1/", "printable ASCII"),
        ("https://店.example/", "punycode"),
        ("https://shop.example/" + "x" * 2_000, "2000"),
        ("", "https://host/path"),
    ],
)
async def test_what_is_no_plain_https_url_is_refused_before_any_lookup(url: str, reason: str) -> None:
    asked: list[str] = []
    sender = GuardedSender(ssl_context=TLS, resolve=resolving("8.8.8.8", asked=asked))
    refusal = await sender.refuses(url)
    assert refusal is not None
    assert reason in refusal
    assert (await post(url, sender)).outcome is SentOutcome.FORBIDDEN
    assert asked == []


async def test_a_name_that_is_rebound_between_registration_and_attempt_is_refused() -> None:
    answers = [["8.8.8.8"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    sender = GuardedSender(ssl_context=TLS, resolve=rebinding)
    assert await sender.refuses("https://shop.example/") is None
    assert (await post("https://shop.example/", sender)).outcome is SentOutcome.FORBIDDEN


async def test_each_attempt_looks_up_once_and_connects_to_what_was_checked() -> None:
    """A second lookup would find nothing: the resolver has one answer."""
    asked: list[str] = []
    async with receiver(said("204 No Content")) as (port, requests):
        answers = [["127.0.0.1"]]

        async def once(host: str, port: int) -> list[str]:
            asked.append(host)
            return answers.pop()

        sent = await post(f"http://shop.test:{port}/hook?a=1", GuardedSender(Allowed.of(["shop.test"]), resolve=once))
    assert (sent.outcome, sent.status, asked) == (SentOutcome.DELIVERED, 204, ["shop.test"])
    [request] = requests
    assert request.startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert f"\r\nHost: shop.test:{port}\r\n".encode() in request
    assert request.endswith(b'\r\n\r\n{"data":1}')


async def test_the_certificate_and_sni_are_those_of_the_name(tmp_path: Path) -> None:
    names: list[str | None] = []
    serving, trusting = issued(tmp_path, "shop.test")
    serving.sni_callback = lambda _socket, name, _context: names.append(name)
    async with receiver(said("200 OK", b"thanks"), serving) as (port, _):
        good, bad = [
            await post(
                f"https://{name}:{port}/",
                GuardedSender(LOOPBACK, resolve=resolving("127.0.0.1"), ssl_context=trusting),
            )
            for name in ("shop.test", "other.test")
        ]
    assert (good.outcome, good.status, good.answer) == (SentOutcome.DELIVERED, 200, "thanks")
    assert (bad.outcome, bad.status) == (SentOutcome.UNREACHABLE, None)
    assert "TLS" in bad.answer
    assert names == ["shop.test", "other.test"]


async def test_allowed_are_the_listed_names_and_networks_alone() -> None:
    allowed = Allowed.of(["receiver.internal", "10.1.0.0/16", "::1"])
    for name, address, is_taken in (
        ("receiver.internal", "192.168.0.9", True),
        ("other.internal", "10.1.2.3", True),
        ("other.internal", "10.2.0.1", False),
        ("other.internal", "::1", True),
    ):
        sender = GuardedSender(allowed, resolve=resolving(address))
        assert (await sender.refuses(f"https://{name}/") is None) == is_taken
    sender = GuardedSender(allowed, resolve=resolving("10.1.2.3"))
    assert await sender.refuses("http://receiver.internal/") is None
    assert await sender.refuses("http://10.1.2.3/") is None
    assert await sender.refuses("http://[::1]:8080/") is None
    assert await sender.refuses("http://other.internal/") is not None


# ---- what is answered -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    async with receiver(said("200 OK")) as (inner, inner_requests):
        location = f"Location: http://127.0.0.1:{inner}/inside"
        async with receiver(said(status, b"", location)) as (port, requests):
            sent = await post(f"http://127.0.0.1:{port}/")
    assert (sent.outcome, sent.status) == (SentOutcome.REFUSED, int(status[:3]))
    assert (len(requests), inner_requests) == (1, [])


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("200 OK", "DELIVERED"), ("201 Created", "DELIVERED"), ("299 Odd", "DELIVERED"), ("304 Same", "REFUSED"),
        ("400 Bad", "REFUSED"), ("410 Gone", "REFUSED"), ("500 Oops", "REFUSED"),
    ],
)  # fmt: skip
async def test_2xx_alone_is_delivered(status: str, outcome: str) -> None:
    async with receiver(said(status)) as (port, _):
        sent = await post(f"http://127.0.0.1:{port}/")
    assert (sent.outcome, sent.status) == (outcome, int(status[:3]))


async def test_of_ten_megabytes_64_kib_are_read_and_1_kib_kept() -> None:
    written = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")
        for _ in range(160):
            writer.write(b"\0x" * 32_768)
            await writer.drain()
            written += 65_536

    async with receiver(flood) as (port, _):
        sent = await post(f"http://127.0.0.1:{port}/")
    assert (sent.outcome, sent.status) == (SentOutcome.DELIVERED, 200)
    assert sent.answer == "\N{REPLACEMENT CHARACTER}x" * 512
    assert written < 10 * 1024 * 1024
    assert MAX_ANSWER == 65_536


async def test_who_never_answers_or_drips_is_given_up() -> None:
    async def silence(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.05)

    for answer in (silence, drip):
        async with receiver(answer) as (port, _):
            sent = await post(f"http://127.0.0.1:{port}/", GuardedSender(LOOPBACK, total_s=0.2))
        assert (sent.outcome, sent.status) == (SentOutcome.UNREACHABLE, None)
        assert sent.answer == "no whole answer within 0.2 s"
        assert 150 <= sent.latency_ms < 3_000


async def test_who_never_ends_the_tls_handshake_is_given_up_and_no_socket_left() -> None:
    taken: list[asyncio.StreamWriter] = []
    ended = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        while await reader.read(4_096):
            pass
        ended.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        sender = GuardedSender(LOOPBACK, ssl_context=ssl.create_default_context(), total_s=0.2)
        sent = await post(f"https://127.0.0.1:{port}/", sender)
        await asyncio.wait_for(ended.wait(), 5)
    assert (sent.outcome, len(taken)) == (SentOutcome.UNREACHABLE, 1)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01"])
async def test_what_is_no_answer_is_unreachable(answer: bytes) -> None:
    async with receiver(answer) as (port, _):
        sent = await post(f"http://127.0.0.1:{port}/")
    assert (sent.outcome, sent.status) == (SentOutcome.UNREACHABLE, None)
    assert sent.answer


async def test_nobody_there_and_no_such_name_are_unreachable() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("name not known")

    async with receiver(b"") as (port, _):
        pass
    assert (await post(f"http://127.0.0.1:{port}/")).answer == "nobody takes connections there"
    sender = GuardedSender(ssl_context=TLS, resolve=unknown)
    assert (await post("https://shop.example/", sender)).outcome is SentOutcome.UNREACHABLE
    assert "not known" in (await sender.refuses("https://shop.example/") or "")


async def test_the_environments_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(said("200 OK")) as (proxy, proxied), receiver(said("204 No Content")) as (port, requests):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        assert (await post(f"http://127.0.0.1:{port}/")).status == 204
    assert (len(requests), proxied) == (1, [])


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    async with receiver(said("204 No Content")) as (port, _):
        allowed = GuardedSender(Allowed.of(["shop.test"]), resolve=resolving("127.0.0.9", "127.0.0.1"))
        assert (await post(f"http://shop.test:{port}/", allowed)).status == 204


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".example"])
async def test_a_host_that_can_be_no_name_is_an_unknown_name_and_no_fault(host: str) -> None:
    sender = GuardedSender(ssl_context=TLS)
    assert await sender.refuses(f"https://{host}/") == "the name of the host is not known, or was not found in time"
    sent = await sender.post(f"https://{host}/", HEADERS, b"{}")
    assert (sent.outcome, sent.answer) == (SentOutcome.UNREACHABLE, "the name of the host is not known")


@given(st.text(max_size=80), st.sampled_from(["https://", "https://a.", "http://[", "https://shop.example/", "//", ""]))
def test_no_text_makes_the_sender_raise(text: str, start: str) -> None:
    """Whatever a partner writes is an outcome: a fault would be retried for ever and told to nobody."""

    async def both() -> tuple[str | None, Sent]:
        async def nobody(host: str, port: int) -> list[str]:
            raise OSError("no resolver here")

        sender = GuardedSender(ssl_context=TLS, resolve=nobody)
        return await sender.refuses(start + text), await sender.post(start + text, HEADERS, b"")

    refusal, sent = asyncio.run(both())
    assert refusal
    assert sent.outcome in (SentOutcome.FORBIDDEN, SentOutcome.UNREACHABLE)
