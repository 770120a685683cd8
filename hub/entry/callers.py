"""Where a request comes from, and whether it asks to be told its cost: noted once for everything that answers it."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from hub.domain.people import Viewer, ViewerKind

COST_HEADER = b"graphql-cost"  # with anything but 0 or false: report the cost in the answer
OWN_NETWORK_BITS = 64  # of an IPv6 address: whoever has one address has the others of its network
MAX_FORWARDED = 20  # addresses of a header that are looked at
NOBODY = "unknown"  # a caller without an address, such as one on a Unix socket

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    address: str
    is_cost_wanted: bool = False


# None: the hub asks itself, which nothing holds back.
origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def note_origin(scope: Scope, trusted: Sequence[Network]) -> None:
    """Note where the request comes from. Called where a connection or request enters."""
    wanted = next((value for name, value in scope["headers"] if name == COST_HEADER), b"0")
    origin.set(Origin(address_of(scope, trusted), wanted.strip().lower() not in (b"", b"0", b"false")))


def caller_of(viewer: Viewer) -> str | None:
    """Whose bucket it is: the principal's, of strangers the address's. None: the hub's own."""
    where = origin.get()
    if where is None:
        return None
    return where.address if viewer.kind is ViewerKind.ANONYMOUS else viewer.principal


def address_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address that a request comes from; of an IPv6 address its network.

    X-Forwarded-For counts only where the peer is one of our own proxies, and of it the last address that is none:
    whatever stands before that, the caller may have written.
    """
    peer = scope.get("client")
    at = _parsed(peer[0]) if peer else None
    if at is None:
        return NOBODY
    for hop in reversed(_forwarded(scope)):
        if not _is_within(at, trusted):
            break
        behind = _parsed(hop)
        if behind is None:
            break
        at = behind
    return _own(at)


def _forwarded(scope: Scope) -> list[str]:
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = b",".join(lines).decode("latin-1").split(",") if lines else []
    return [hop.strip() for hop in hops[-MAX_FORWARDED:]]


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        at = ip_address(text)
    except ValueError:
        return None
    return (at.ipv4_mapped or at) if isinstance(at, IPv6Address) else at


def _is_within(at: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(at.version == network.version and at in network for network in networks)


def _own(at: IPv4Address | IPv6Address) -> str:
    if at.version == 4:
        return str(at)
    return str(IPv6Network((at.packed, OWN_NETWORK_BITS), strict=False))
