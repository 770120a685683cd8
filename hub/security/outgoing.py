"""The Sender port: posts to addresses that strangers have chosen, and never to one inside the operator's network.

A name is looked up once for each attempt, every address of it is checked, and the connection goes to a checked address
with the original name in Host and SNI: there is no second lookup that could say something else. Redirects are answers
like any other, and the environment's proxies are not asked.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpcore

from hub.domain.webhooks import EXCERPT, MAX_URL, Sent, SentOutcome

TOTAL_S = 10.0  # name, connection, request and answer together
MAX_ANSWER = 64 * 1024  # bytes that are read of an answer; nobody needs more than its status
LOOKUP_S = 3.0  # at registration, where somebody waits
OK = range(200, 300)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

# What IANA's registries set apart, written out: Python's own `is_global` changes between releases and lets multicast
# through.
_NOT_PUBLIC_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
            "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
# Of IPv6 the unicast block alone is public, less what is set apart in it. Everything that carries an IPv4 address
# (mapped, compatible, NAT64, 6to4, Teredo) is left out with the rest, whatever it carries.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class Forbidden(Exception):
    """An address that is never connected to. The text repeats the name, never what it resolved to."""


def is_public(address: IPAddress) -> bool:
    """Whether anybody on the internet may be there."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in _PUBLIC_V6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator lets be reached although it is not public, and over plain http: names and networks."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Allowed":
        """From names, addresses and networks in CIDR form."""
        names, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                names.add(entry.lower())
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str) -> bool:
        """Whether the host itself is listed; an address as host by a network that holds it."""
        if host in self.names:
            return True
        try:
            return self.has_address(ipaddress.ip_address(host))
        except ValueError:
            return False

    def has_address(self, address: IPAddress) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)


async def system_resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the machine's resolver says. Raises OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long: no name, and no question for a resolver
        raise socket.gaierror(socket.EAI_NONAME, "not a name") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedSender:
    """One per process. `outcomes` counts what came of the attempts, by outcome."""

    def __init__(
        self,
        allowed: Allowed = Allowed(),
        *,
        user_agent: str = "tongbao",
        resolve: Resolve = system_resolve,
        ssl_context: ssl.SSLContext | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._allowed = allowed
        self._user_agent = user_agent
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._total_s = total_s

    async def refuses(self, url: str) -> str | None:
        """Why nothing would be sent there, or None. Looks the name up; whether somebody listens is not asked."""
        try:
            parts = self._parts(url)
            async with asyncio.timeout(LOOKUP_S):
                await self._checked(parts.hostname or "", parts.port or 443)
        except Forbidden as no:
            return str(no)
        except (OSError, TimeoutError):
            return "the name of the host is not known, or was not found in time"
        return None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """One attempt. Never raises for what name, network or receiver do: that is an outcome."""
        sent = await self._attempt(url, headers, body)
        self.outcomes[sent.outcome] += 1
        return sent

    async def _attempt(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        loop = asyncio.get_running_loop()
        started = loop.time()

        def ended(outcome: SentOutcome, status: int | None = None, answer: str = "") -> Sent:
            return Sent(outcome, round((loop.time() - started) * 1000), status, answer)

        try:
            async with asyncio.timeout(self._total_s):
                status, answer = await self._exchange(self._parts(url), headers, body)
        except Forbidden as no:
            return ended(SentOutcome.FORBIDDEN, answer=str(no))
        except TimeoutError:
            return ended(SentOutcome.UNREACHABLE, answer=f"no whole answer within {self._total_s:g} s")
        except (OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as fault:
            return ended(SentOutcome.UNREACHABLE, answer=_reason(fault))
        outcome = SentOutcome.DELIVERED if status in OK else SentOutcome.REFUSED
        return ended(outcome, status, _excerpt(answer))

    async def _exchange(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """The status, and the beginning of the answer. A connection of its own: none outlives its check."""
        host = parts.hostname or ""
        scheme, port = parts.scheme, parts.port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        url = httpcore.URL(scheme=scheme, host=host, port=port, target=target)
        all_headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": self._user_agent,
            "Connection": "close",
            **headers,
        }
        network = _Checked(self._checked)
        connection = httpcore.AsyncHTTPConnection(
            origin=url.origin, ssl_context=await self._tls(scheme), network_backend=network
        )
        asking = connection.stream("POST", url, headers=list(all_headers.items()), content=body)
        try:
            async with connection, asking as answer:
                read = b""
                async for part in answer.aiter_stream():
                    read += part
                    if len(read) >= MAX_ANSWER:
                        break
                return answer.status, read
        finally:
            await network.aclose()

    async def _tls(self, scheme: str) -> ssl.SSLContext | None:
        """Made once: reading all authorities takes a third of a second."""
        if self._ssl_context is None and scheme == "https":
            self._ssl_context = await asyncio.to_thread(httpcore.default_ssl_context)
        return self._ssl_context

    def _parts(self, url: str) -> SplitResult:
        """Raises Forbidden for a URL that is never posted to, whatever its host resolves to."""
        if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise Forbidden(
                f"a webhook's URL has at most {MAX_URL} printable ASCII characters; write names in punycode"
            )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise Forbidden("this is no URL") from None
        if not host or port == 0 or parts.scheme not in ("https", "http"):
            raise Forbidden("a webhook's URL is https://host/path")
        if "@" in parts.netloc:
            raise Forbidden("a URL with user or password is not taken: requests are signed instead")
        if parts.scheme == "http" and not self._allowed.has_name(host):
            raise Forbidden("plain http goes only to hosts that the operator of the hub has allowed: use https")
        return parts

    async def _checked(self, host: str, port: int) -> list[str]:
        """The addresses of a host, each fit to be connected to. Raises Forbidden, OSError."""
        found = await self._resolve(host, port)
        if not found:
            raise OSError("no address")
        for text in found:
            address = ipaddress.ip_address(text)
            if not (is_public(address) or self._allowed.has_name(host) or self._allowed.has_address(address)):
                raise Forbidden(f"{host} is, or leads to, an address that is not public")
        return found

    async def aclose(self) -> None:
        """Nothing is kept open."""


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to an address that was checked just now, in place of the name."""

    def __init__(self, checked: Resolve) -> None:
        self._checked = checked
        self._plain = httpcore.AnyIOBackend()
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def aclose(self) -> None:
        """Close the socket, whatever came of it: a TLS handshake that is given up leaves it open."""
        if self._stream is not None:
            await self._stream.aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """To the first address that takes the connection."""
        *others, last = await self._checked(host, port)
        for address in others:
            try:
                self._stream = await self._plain.connect_tcp(address, port, TOTAL_S / 4, local_address, socket_options)
                return self._stream
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        self._stream = await self._plain.connect_tcp(last, port, timeout, local_address, socket_options)
        return self._stream


def _reason(fault: Exception) -> str:
    """What a partner can act on, and nothing about the hub's own network."""
    cause = fault.__cause__ or fault.__context__ or fault
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "TLS: no common way to speak"
    if isinstance(fault, socket.gaierror):
        return "the name of the host is not known"
    if isinstance(fault, httpcore.ConnectError):
        return "nobody takes connections there"
    if isinstance(fault, httpcore.ProtocolError):
        return "the answer is not HTTP"
    return "the connection broke before there was an answer"


def _excerpt(answer: bytes) -> str:
    """The beginning as text that every database keeps."""
    return answer[:EXCERPT].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
