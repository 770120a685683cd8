"""`/demo`: a page on which a learner signs in, buys, and keeps the right in a wallet. `hub demo` alone serves it.

Plain files without a build step, which ask the public GraphQL API. What no API should offer, and the demo does, stands
beside it: signing in by one click, where the embedded node is, and a faucet of TestUSD.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hub.chain.faucet import Purse
from hub.entry.graphiql import MEDIA_TYPES, SECURITY_HEADERS, document
from hub.entry.sign_in import SignIn, is_own_page, said, sign_in_route, told
from hub.ports import ChainRefused, ChainUnavailable

PATH: Final = "/demo"
# The client is the one that the docs show.
CLIENT: Final = "hub.js"
# Nothing but the hub's own files; a wallet that lives in the page asks the node on this machine.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' http://127.0.0.1:*"
)


@dataclass(frozen=True, slots=True)
class WalletHelp:
    """What a wallet needs in order to try the demo's own chain. Both raise ChainUnavailable before the chain is up."""

    chain: Callable[[], Awaitable[dict[str, str]]]  # chainId, name, rpcUrl, coin
    fill: Callable[[str], Awaitable[Purse]]  # gives an address TestUSD and gas money


def demo_routes(sign_in: SignIn, origin: str, wallets: WalletHelp | None) -> list[Route]:
    """The page, its files and what helps it. `origin` is the address under which wallets are asked: whoever comes by
    another name of this machine is sent there. `wallets` is None where the chain is not our own."""
    folder = files("hub.web") / "demo"
    security = SECURITY_HEADERS | {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    page = document(folder / "index.html", "text/html", security)

    def index(request: Request) -> Response:
        if request.headers.get("host") != origin.partition("://")[2]:
            return RedirectResponse(f"{origin}{request.url.path}", 307)
        return page(request)

    own = [file for file in folder.iterdir() if file.name.endswith(tuple(MEDIA_TYPES))]
    served = [files("hub") / "docs" / "examples" / "browser" / CLIENT, *own]
    return [
        Route(PATH, index, methods=["GET"]),
        sign_in_route(sign_in, f"{PATH}/sign-in"),
        *(Route(f"{PATH}/{file.name}", document(file, _type_of(file.name), security)) for file in served),
        *([] if wallets is None else _wallet_routes(wallets, sign_in.hosts)),
    ]


def _type_of(name: str) -> str:
    return MEDIA_TYPES[name[name.rindex(".") :]]


def _wallet_routes(wallets: WalletHelp, hosts: frozenset[str]) -> list[Route]:
    async def chain(request: Request) -> Response:
        try:
            return told(await wallets.chain())
        except ChainUnavailable as fault:
            return told({"message": str(fault)}, 503)

    async def coins(request: Request) -> Response:
        if not is_own_page(request, hosts):
            return told({"message": "the faucet is for the demo's own page"}, 403)
        try:
            purse = await wallets.fill(await said(request, "address") or "")
        except ValueError:
            return told({"message": "address: 0x and 40 hexadecimal digits"}, 400)
        except (ChainUnavailable, ChainRefused) as fault:
            return told({"message": str(fault)}, 503)
        return told({"coins": str(purse.coins), "gasWei": str(purse.gas_wei)})

    return [
        Route(f"{PATH}/chain", chain, methods=["GET"]),
        Route(f"{PATH}/coins", coins, methods=["POST"]),
    ]
