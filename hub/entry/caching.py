"""Answers that may be kept: the tag of their bytes, and 304 for whoever has them already."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

# The answer differs by these headers of the request. Origin, as an allowed page's answer names that page.
VARY = "Accept, Authorization, Origin"


def cacheable(content: bytes, media_type: str, max_age_s: int, request: Request) -> Response:
    """The answer to a GET or HEAD that anybody may keep for so long, or that it is the one which they have."""
    etag = etag_of(content, media_type.encode())
    headers = {"Cache-Control": f"public, max-age={max_age_s}", "ETag": etag, "Vary": VARY}
    if is_known(etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(b"" if request.method == "HEAD" else content, headers=headers, media_type=media_type)


def etag_of(*parts: bytes) -> str:
    """A strong tag: equal for equal parts alone."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return f'"{digest.hexdigest()}"'


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether an If-None-Match header names the tag, also weakly, or any."""
    candidates = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return etag in candidates or "*" in candidates
