"""Between a hub and its embedded node, for what only other people's nodes do: they forget what is old, and keep
transactions waiting.

async with go_between(data) as node:
    hub = await house.serve(HUB_CHAIN_URL=node.url)
    node.holds.add(address)
    node.forgets = lambda method, params: (4444, "pruned history unavailable") if ... else None
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_utils.crypto import keccak
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.entry.test_stablecoin_sale import Node
from tests.entry.toys import served


def remembers(method: str, params: list[Any]) -> object | None:
    return None


@dataclass
class GoBetween:
    """A node of somebody else's. `holds`: senders whose transactions it takes and mines only when `let_go` is called.
    `forgets` gives what it answers instead of an old thing: (code, message) of an error, or [a result]."""

    data: Path
    client: httpx.AsyncClient
    url: str = ""
    holds: set[str] = field(default_factory=set)
    held: list[tuple[str, str]] = field(default_factory=list)  # sender, raw
    forgets: Callable[[str, list[Any]], object | None] = remembers

    def waiting_of(self, sender: str) -> int:
        """How many different transactions."""
        return len({raw for one, raw in self.held if one == sender})

    async def let_go(self) -> None:
        """Have all that was held mined, in the order in which it came. What is sent again meanwhile is held too, so
        that the node sees each once."""
        node, sent = Node(self.data), set[str]()
        while self.held:
            _, raw = self.held.pop(0)
            if raw not in sent:
                sent.add(raw)
                await node.ask("eth_sendRawTransaction", raw)
        self.holds.clear()

    async def answer(self, request: Request) -> JSONResponse:
        asked = await request.json()
        if isinstance(asked, list):
            return JSONResponse([await self._answered(one) for one in asked])
        return JSONResponse(await self._answered(asked))

    async def _answered(self, asked: dict[str, Any]) -> dict[str, Any]:
        method, params = asked["method"], list(asked.get("params", ()))
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        forgotten = self.forgets(method, params)
        if isinstance(forgotten, tuple):
            code, message = forgotten
            return answer | {"error": {"code": code, "message": message}}
        if isinstance(forgotten, list):
            return answer | {"result": forgotten[0]}
        if method == "eth_sendRawTransaction" and (sender := Account.recover_transaction(params[0])) in self.holds:
            self.held.append((sender, params[0]))
            return answer | {"result": "0x" + keccak(hexstr=params[0]).hex()}
        return dict((await self.client.post(Node(self.data).url, json=asked)).json())


@asynccontextmanager
async def go_between(data: Path) -> AsyncIterator[GoBetween]:
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client:
        node = GoBetween(data, client)
        async with served(Starlette(routes=[Route("/", node.answer, methods=["POST"])])) as address:
            node.url = f"http://{address}/"
            yield node
