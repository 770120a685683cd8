"""Lets some kinds of viewers to GraphiQL's page and no others. A browser cannot send a token with an address, so it is
asked by HTTP Basic: any name, and the token or API key as the password. `/graphql` itself takes no Basic credential.
"""

import base64
import binascii

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.domain.people import ViewerKind
from hub.entry.viewers import Viewers
from resolvers.errors import GatekeepingError

CHALLENGE = {"WWW-Authenticate": 'Basic realm="GraphiQL", charset="UTF-8"'}
ASKED = "Sign in with any name, and a token or API key of this hub as the password."


def for_viewers(routes: list[Route], kinds: frozenset[ViewerKind], viewers: Viewers) -> list[Route]:
    """The routes, each behind a gate that these kinds of viewers pass."""
    for route in routes:
        route.app = _Gate(route.app, kinds, viewers)
    return routes


class _Gate:
    def __init__(self, app: ASGIApp, kinds: frozenset[ViewerKind], viewers: Viewers) -> None:
        self._app = app
        self._kinds = kinds
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp
        try:
            viewer = await self._viewers.viewer(_bearer(Request(scope).headers.get("authorization")))
        except GatekeepingError as refused:
            is_down = refused.code == "UNAVAILABLE"
            app = PlainTextResponse(str(refused), 503) if is_down else PlainTextResponse(ASKED, 401, CHALLENGE)
        else:
            if viewer.kind in self._kinds:
                app = self._app
            elif viewer.kind is ViewerKind.ANONYMOUS:
                app = PlainTextResponse(ASKED, 401, CHALLENGE)
            else:
                app = PlainTextResponse("This page is not for you.", 403)
        await app(scope, receive, send)


def _bearer(authorization: str | None) -> str | None:
    """The header as `/graphql` takes it: a Basic password is the credential."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        _, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        password = ""
    return f"Bearer {password}"
