"""Serves the bundled GraphiQL page, so that a developer needs neither internet access nor Node.

The files come from package data, scripts and styles already compressed. Nothing is kept in memory but their names: a
page that is opened a few times a day must not weigh on the hub at rest.
"""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hub.entry.sign_in import SignIn, sign_in_route

# Only what comes from the hub itself runs here: no inline script, no eval, no other origin. Monaco needs inline styles.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:"
)

# A worker obeys the policy of its own response, hence every answer carries it.
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# The name of an asset holds its hash, so a year is safe; the page names the assets, so it is asked for each time.
ASSET_CACHING = "public, max-age=31536000, immutable"
PAGE_CACHING = "no-cache"

MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}


def graphiql_routes(sign_in: SignIn | None = None) -> list[Route]:
    """The routes of `/graphiql`: the page, its assets by hashed name, the licences of what is bundled, and signing in.

    Reads the bundle's index at once, so that a package without it fails at the start: FileNotFoundError.
    """
    bundle = files("hub.web") / "graphiql" / "bundle"
    return [
        Route("/graphiql", document(bundle / "index.html", "text/html"), methods=["GET"]),
        Route("/graphiql/LICENSES.txt", document(bundle / "LICENSES.txt", "text/plain"), methods=["GET"]),
        Route("/graphiql/assets/{name}", _assets(bundle / "assets"), methods=["GET"]),
        sign_in_route(sign_in),
    ]


def document(
    file: Traversable, media_type: str, security: Mapping[str, str] = SECURITY_HEADERS
) -> Callable[[Request], Response]:
    """What answers with a file of ours, asked for each time and sent when it has changed."""
    etag = f'"{hashlib.sha256(file.read_bytes()).hexdigest()}"'
    headers = {**security, "ETag": etag, "Cache-Control": PAGE_CACHING}

    def answer(request: Request) -> Response:
        if _is_known(etag, request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(file.read_bytes(), media_type=media_type, headers=headers)

    return answer


def _assets(folder: Traversable) -> Callable[[Request], Response]:
    by_name = {file.name.removesuffix(".gz"): file for file in folder.iterdir()}
    headers = SECURITY_HEADERS | {"Cache-Control": ASSET_CACHING, "Vary": "Accept-Encoding"}

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in by_name:
            return PlainTextResponse("No such file.", status_code=404, headers=SECURITY_HEADERS)
        media_type = MEDIA_TYPES[name[name.rindex(".") :]]
        packed = by_name[name].read_bytes()
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(packed, media_type=media_type, headers=headers | {"Content-Encoding": "gzip"})
        return Response(gzip.decompress(packed), media_type=media_type, headers=headers)

    return asset


def _is_known(etag: str, if_none_match: str) -> bool:
    candidates = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return etag in candidates or "*" in candidates


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether the header names gzip, or else `*`, with a weight above 0."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        weights[coding.strip()] = _weight(parameter.strip())
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    try:
        return float(parameter.removeprefix("q=").strip())
    except ValueError:
        return 0.0  # not understood: the plain bytes are always right
