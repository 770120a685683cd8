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


def is_own_page(request: Request, hosts: frozenset[str]) -> bool:
    """Whether the page that asks is one of ours, opened under one of these Host headers; so is a program.

    A page of another origin is not: its browser names it, whomever HUB_ALLOWED_ORIGINS lets call the rest; nor is one
    that has given its own name this machine's address: it comes with another Host.
    """
    host, page = request.headers.get("host"), request.headers.get("origin")
    return host in hosts and page in (None, f"http://{host}")


def sign_in_route(sign_in: SignIn | None, path: str = PATH) -> Route:
    """GET says `{"kinds": […]}`, empty where nothing is offered; POST `{"kind": …}` gives `{"token": …}`, to our
    own pages alone."""

    async def answer(request: Request) -> Response:
        kinds = sign_in.kinds if sign_in is not None and is_own_page(request, sign_in.hosts) else ()
        if request.method != "POST":
            return told({"kinds": kinds})
        kind = await said(request, "kind")
        if sign_in is None or kind not in kinds:
            return told({"message": "this hub signs nobody in here: see `hub token`"}, 403)
        return told({"token": await sign_in.mint(kind)})

    return Route(path, answer, methods=["GET", "POST"])


async def said(request: Request, name: str) -> str | None:
    """A text of the request's JSON body; None where there is none."""
    if request.headers.get("content-type") != "application/json":
        return None
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def told(body: object, status: int = 200) -> Response:
    """An answer in JSON that nobody keeps."""
    return Response(orjson.dumps(body), status, media_type="application/json", headers={"Cache-Control": "no-store"})
