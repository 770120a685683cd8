"""Signing in to GraphiQL by one click, in the demo: the page asks which kinds of caller it may become, and for a token.

A hub that serves offers nobody, and the demo offers it on a loopback address alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/graphiql/sign-in"


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who one may become, and what gives the token. `hosts` are the Host headers under which alone it is given."""

    kinds: tuple[str, ...]
    mint: Callable[[str], Awaitable[str]]
    hosts: frozenset[str]


def own_names(port: int) -> frozenset[str]:
    """What this machine calls itself, as Host headers have it."""
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def may_offer(host: str) -> bool:
    """Whether only this machine reaches an address: whoever else does would be given every right."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def sign_in_route(sign_in: SignIn | None) -> Route:
    """GET says `{"kinds": […]}`, empty where nothing is offered; POST `{"kind": …}` gives `{"token": …}`.

    A page of another origin gets no token: its browser names it, whomever HUB_ALLOWED_ORIGINS lets call the rest; and
    one that has given its own name this machine's address comes with another Host.
    """

    async def answer(request: Request) -> Response:
        host, page = request.headers.get("host"), request.headers.get("origin")
        is_ours = sign_in is not None and host in sign_in.hosts and page in (None, f"http://{host}")
        kinds = sign_in.kinds if sign_in is not None and is_ours else ()
        if request.method != "POST":
            return _json({"kinds": kinds})
        kind = await _kind(request)
        if sign_in is None or kind not in kinds:
            return _json({"message": "this hub signs nobody in here: see `hub token`"}, 403)
        return _json({"token": await sign_in.mint(kind)})

    return Route(PATH, answer, methods=["GET", "POST"])


async def _kind(request: Request) -> str | None:
    if request.headers.get("content-type") != "application/json":
        return None
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
    kind = body.get("kind") if isinstance(body, dict) else None
    return kind if isinstance(kind, str) else None


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json", headers={"Cache-Control": "no-store"})
