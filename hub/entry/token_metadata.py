"""GET /tokens/{id}.json and /tokens/right.svg: what a wallet shows of a token, as ERC-1155 has it.

Everybody can look up which token ids a wallet has. So this says the same of all of them: no title, no platform, nothing
that tells what its holder reads. Their own view of the hub tells them that.
"""

from collections.abc import Mapping
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.entry.complaints import Complaint

PATH: Final = "/tokens/{id}.json"  # clients put the token's id there: 64 hexadecimal digits, lower case
MAX_URI: Final = 256  # bytes: what the contract keeps of an address
KEPT_S: Final = 86_400
# Wallets and explorers on any page read it: it is public, and the same for everybody.
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": f"public, max-age={KEPT_S}", "Access-Control-Allow-Origin": "*",
}  # fmt: skip

PICTURE: Final = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 256" role="img" aria-label="Tongbao">
<rect width="256" height="256" rx="28" fill="#14342b"/>
<circle cx="128" cy="128" r="96" fill="#c9a24b"/>
<circle cx="128" cy="128" r="84" fill="none" stroke="#14342b" stroke-width="4"/>
<rect x="100" y="100" width="56" height="56" fill="#14342b"/>
</svg>
"""


def token_metadata_routes(public_url: str) -> list[Route]:
    """400 for what is no token id, as ERC-1155 spells it."""
    metadata = orjson.dumps({
        "name": "Tongbao entitlement 通宝知识权益",
        "description": "A right to a work, honoured by every connected platform. It stays with its wallet: it cannot "
        "be sold or sent. Which work it opens is told to its holder alone, by the hub where it was bought.",
        "image": f"{public_url}/tokens/right.svg",
        "external_url": public_url,
        "decimals": 0,
    })  # fmt: skip

    async def told(request: Request) -> Response:
        token_id = request.path_params["token_id"]
        if len(token_id) != 64 or not set(token_id) <= set("0123456789abcdef"):
            message = "a token's id is 64 hexadecimal digits in lower case, without 0x, as ERC-1155 has it"
            return Response(orjson.dumps({"message": message}), 400, media_type="application/json")
        return Response(metadata, media_type="application/json", headers=dict(HEADERS))

    async def picture(_request: Request) -> Response:
        return Response(PICTURE, media_type="image/svg+xml", headers=dict(HEADERS))

    return [
        Route("/tokens/{token_id}.json", told, methods=["GET"]),
        Route("/tokens/right.svg", picture, methods=["GET"]),
    ]


def metadata_uri(public_url: str) -> str:
    """What the contract is told: where this hub answers about its tokens."""
    return f"{public_url}{PATH}"


def uri_in(text: str) -> str:
    """An address that wallets can follow. Raises Complaint."""
    if not text.startswith(("https://", "http://", "ipfs://")) or not text.isascii() or " " in text:
        raise Complaint(f"{text!r} is no address that wallets follow: https://, http:// or ipfs://, with {{id}} in it "
                        "where each token has a page of its own")  # fmt: skip
    if len(text) > MAX_URI:
        raise Complaint(f"an address of {len(text)} bytes: the contract keeps at most {MAX_URI}")
    return text
