"""EIP-4361, "Sign-In with Ethereum": the text that a wallet signs, written and read letter by letter.

`parse` takes a whole message and nothing but one: a missing line, a line out of place, another case or a letter too
many is a refusal. `fault_of` says what speaks against a message that could be read. Who signed it is not asked here.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import urlsplit

Keccak = Callable[[bytes], bytes]

MAX_MESSAGE = 4_000  # characters; a message with a statement and five resources has about 700
MIN_NONCE = 8
MAX_CHAIN_ID = 2**63 - 1
CLOCK_SKEW_US = 30 * 1_000_000  # how far the clock of whoever wrote `Issued At` may be ahead of ours
VERSION = "1"

_UNRESERVED, _SUB = r"A-Za-z0-9\-._~", r"!$&'()*+,;="
_PCT = r"%[0-9A-Fa-f]{2}"
_PCHAR = rf"(?:[{_UNRESERVED}{_SUB}:@]|{_PCT})"
_SCHEME = r"[A-Za-z][A-Za-z0-9+\-.]*"
_IP_LITERAL = rf"\[(?:[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUB}:]+)\]"
_HOST = rf"(?:{_IP_LITERAL}|(?:[{_UNRESERVED}{_SUB}]|{_PCT})*)"
_AUTHORITY = rf"(?:(?:[{_UNRESERVED}{_SUB}:]|{_PCT})*@)?{_HOST}(?::[0-9]*)?"
_PATH = rf"(?://{_AUTHORITY}(?:/{_PCHAR}*)*|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?|{_PCHAR}+(?:/{_PCHAR}*)*|)"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_URI = rf"{_SCHEME}:{_PATH}{_TAIL}"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+\-][0-9]{2}:[0-9]{2})"
_STATEMENT = rf"[{_UNRESERVED}:/?#\[\]@{_SUB} ]+"
# RFC 3986 and EIP-4361 in one expression. `\Z` and not `$`, which would let a line break stand at the end.
_MESSAGE = re.compile(
    rf"(?:(?P<scheme>{_SCHEME})://)?(?P<domain>{_AUTHORITY}) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9A-Fa-f]{40})\n\n"
    rf"(?:(?P<statement>{_STATEMENT})\n)?\n"
    rf"URI: (?P<uri>{_URI})\n"
    r"Version: (?P<version>1)\n"
    r"Chain ID: (?P<chain_id>[0-9]+)\n"
    rf"Nonce: (?P<nonce>[A-Za-z0-9]{{{MIN_NONCE},}})\n"
    rf"Issued At: (?P<issued_at>{_TIME})"
    rf"(?:\nExpiration Time: (?P<expiration_time>{_TIME}))?"
    rf"(?:\nNot Before: (?P<not_before>{_TIME}))?"
    rf"(?:\nRequest ID: (?P<request_id>{_PCHAR}*))?"
    rf"(?P<resources>\nResources:(?:\n- {_URI})*)?\Z"
)


class SiweRefused(ValueError):
    """A text that is no message of EIP-4361; says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class SiweMessage:
    """A message by its fields. Times are texts of RFC 3339 with a zone, as they stand in it; `*_us` are their moments.

    `resources` None: the message has no such list; an empty one stands in it as a heading.
    """

    domain: str
    address: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: str
    statement: str | None = None
    scheme: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port of its URI."""
        parts = urlsplit(self.uri)
        return f"{parts.scheme.lower()}://{parts.netloc.lower()}"

    @property
    def text(self) -> str:
        """What is signed."""
        asks = "wants you to sign in with your Ethereum account:"
        lines = [f"{self.scheme}://{self.domain} {asks}" if self.scheme else f"{self.domain} {asks}", self.address, ""]
        if self.statement is not None:
            lines.append(self.statement)
        lines += ["", f"URI: {self.uri}", f"Version: {VERSION}", f"Chain ID: {self.chain_id}", f"Nonce: {self.nonce}"]
        lines.append(f"Issued At: {self.issued_at}")
        for name, value in (
            ("Expiration Time", self.expiration_time),
            ("Not Before", self.not_before),
            ("Request ID", self.request_id),
        ):
            if value is not None:
                lines.append(f"{name}: {value}")
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in self.resources)]
        return "\n".join(lines)


def parse(text: str, keccak: Keccak) -> SiweMessage:
    """The message that `text` is, all of it. Raises SiweRefused."""
    if len(text) > MAX_MESSAGE:
        raise SiweRefused(f"the message has more than {MAX_MESSAGE} characters")
    found = _MESSAGE.match(text)
    if found is None:
        raise SiweRefused("this is no message of EIP-4361: sign the text exactly as it was given")
    fields = found.groupdict()
    resources: str | None = fields["resources"]
    message = SiweMessage(
        domain=fields["domain"],
        address=fields["address"],
        uri=fields["uri"],
        chain_id=_chain_id(fields["chain_id"]),
        nonce=fields["nonce"],
        issued_at=fields["issued_at"],
        statement=fields["statement"],
        scheme=fields["scheme"],
        expiration_time=fields["expiration_time"],
        not_before=fields["not_before"],
        request_id=fields["request_id"],
        resources=None if resources is None else tuple(line[2:] for line in resources.split("\n")[2:]),
    )
    for literal in re.findall(r"\[([0-9A-Fa-f:.]+)\]", f"{message.domain} {message.uri} {resources}"):
        _demand_ipv6(literal)
    for time in (message.issued_at, message.expiration_time, message.not_before):
        if time is not None:
            moment_us(time)
    if not message.domain or message.domain.endswith("@"):
        raise SiweRefused("the message names no domain")
    if checksummed(message.address, keccak) != message.address:
        raise SiweRefused("the address is not spelt as EIP-55 demands")
    return message


def fault_of(message: SiweMessage, *, origins: Collection[str], chain_id: int, address: str, now_us: int) -> str | None:
    """Why a message is not taken here and now, if it is not: its nonce apart, which whoever gave it out must look up.

    `origins` are pages whose word counts, as `https://app.example`; `address` is whose wallet was meant.
    """
    pages = {origin.partition("://")[2]: origin for origin in origins}
    if message.domain.lower() not in pages:
        return "its domain is not one of this hub's pages"
    if message.origin not in origins or message.origin.partition("://")[2] != message.domain.lower():
        return "its URI is not of the page that it names"
    if message.scheme is not None and f"{message.scheme.lower()}://{message.domain.lower()}" not in origins:
        return "its scheme is not that of the page that it names"
    if message.chain_id != chain_id:
        return f"it is for chain {message.chain_id}, and this hub's is {chain_id}"
    if message.address != address:
        return "it is for another address than was asked about"
    if moment_us(message.issued_at) > now_us + CLOCK_SKEW_US:
        return "it was issued in the future: check the clock"
    if message.expiration_time is not None and moment_us(message.expiration_time) <= now_us:
        return "its time is over"
    if message.not_before is not None and moment_us(message.not_before) > now_us:
        return "its time has not come"
    return None


def checksummed(address: str, keccak: Keccak) -> str:
    """The address as EIP-55 spells it. ValueError unless it is 0x and 40 hexadecimal digits, in whatever case."""
    if not re.fullmatch("0x[0-9A-Fa-f]{40}", address):
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    digits = address[2:].lower()
    weights = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(weight, 16) >= 8 else digit for digit, weight in zip(digits, weights, strict=False)
    )


def moment_us(time: str) -> int:
    """Microseconds since 1970 of a time of RFC 3339 with its zone. Raises SiweRefused for a day or hour that is not."""
    whole, fraction, zone = re.fullmatch(r"([^.]{19})(\.[0-9]+)?(.+)", time).groups()  # type: ignore[union-attr]  # its form was checked by the message's own
    try:
        moment = datetime.fromisoformat(f"{whole}{zone.replace('Z', '+00:00')}")
        seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        raise SiweRefused("one of its times is no moment") from None
    return seconds * 1_000_000 + int(f"{(fraction or '.')[1:]:0<6.6}")


def instant(at_us: int) -> str:
    """A moment as a message writes it: UTC, to the millisecond."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{at_us // 1000 % 1000:03}Z"
    )


def _chain_id(digits: str) -> int:
    if len(digits) > 20 or int(digits) > MAX_CHAIN_ID:
        raise SiweRefused("there is no such chain id")
    return int(digits)


def _demand_ipv6(literal: str) -> None:
    try:
        IPv6Address(literal)
    except AddressValueError:
        raise SiweRefused("an address in brackets is none of IPv6") from None
