"""A hub's doors around a toy schema: what HTTP and WebSocket do shows best on fields of which nothing else is asked."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import strawberry
from starlette.applications import Starlette
from strawberry.schema.config import StrawberryConfig

from hub.domain.breakers import Breakers
from hub.domain.ids import Draw
from hub.domain.people import LEARNER_SCOPES
from hub.domain.purses import Purses
from hub.entry.app import create_app
from hub.entry.serving import Server, listen, uvicorn_config
from hub.entry.settings import Settings, read_settings
from hub.ports import Channel, Hub
from hub.security.keys import Key
from hub.security.signing import SignedReceipts
from hub.security.tokens import UserTokens
from hub.store.transactions import Store
from resolvers.context import Info
from resolvers.errors import GatekeepingError
from tests.world import SetClock

USER = "usr_" + "0" * 26
KEY = Key(b"t" * 32, is_development=True)
SECRET = "dsn password 7f3a"  # stands in an exception's text: must never reach a client


@strawberry.type
class Item:
    name: str
    number: int

    @strawberry.field
    def items(self, first: int | None = None, last: int | None = None) -> "list[Item]":
        size = first or last or 1
        return [Item(name=f"{self.name}.{i}", number=i) for i in range(size)]

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError(SECRET)

    @strawberry.field
    def forbidden(self) -> str | None:
        raise GatekeepingError("FORBIDDEN", "not yours")


@strawberry.type
class Query:
    @strawberry.field
    def item(self) -> Item:
        return Item(name="root", number=0)

    @strawberry.field
    def viewer(self, info: Info) -> str:
        return info.context.viewer.principal

    @strawberry.field
    def request_id(self, info: Info) -> str:
        return info.context.request_id

    @strawberry.field
    def echo(self, text: str, times: int = 1) -> str:
        return text * times

    @strawberry.field
    async def slow(self, info: Info) -> str:
        toys = cast("ToyHub", info.context.hub)
        toys.slow_started.set()
        await toys.slow_may_end.wait()
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def buy(self, info: Info, number: int) -> int:
        cast("ToyHub", info.context.hub).bought.append(number)
        return number


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(1, to + 1):
            yield number

    @strawberry.subscription
    async def forever(self, info: Info) -> AsyncGenerator[int, None]:
        toys = cast("ToyHub", info.context.hub)
        toys.followers += 1
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            toys.followers -= 1

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 1
        raise RuntimeError(SECRET)


SCHEMA = strawberry.Schema(
    Query, Mutation, Subscription, config=StrawberryConfig(enable_experimental_incremental_execution=True)
)


@dataclass(slots=True)
class ToyHub:
    """What the doors ask of a Hub, and what the toy resolvers note down."""

    clock: SetClock = field(default_factory=SetClock)
    tokens: UserTokens = field(default_factory=lambda: UserTokens(KEY))
    receipts: SignedReceipts = field(default_factory=lambda: SignedReceipts(KEY))
    channels: Mapping[str, Channel] = field(default_factory=dict)
    store: Store | None = None
    vault: object = None
    wakeups: object = None
    sender: object = None
    breakers: Breakers = field(default_factory=Breakers)
    purses: Purses = field(default_factory=Purses)
    is_production: bool = False
    bought: list[int] = field(default_factory=list)
    followers: int = 0
    slow_started: asyncio.Event = field(default_factory=asyncio.Event)
    slow_may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def draw(self) -> Draw:
        return Draw(self.clock.now_us(), b"d" * 32, "toys")

    @property
    def hub(self) -> Hub:
        return cast("Hub", self)

    def token(self, *, lifetime_s: int = 3600) -> str:
        """A learner's token that ends so long after the clock."""
        return self.tokens.issue_user_token(USER, self.clock.now_us(), lifetime_s, LEARNER_SCOPES)


def settings_of(**flags: str) -> Settings:
    return read_settings({}, flags)


def app_of(toys: ToyHub, **flags: str) -> Starlette:
    return create_app(toys.hub, settings_of(**flags), schema=SCHEMA)


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub.test")


@asynccontextmanager
async def client(toys: ToyHub | None = None, **flags: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_of(toys or ToyHub(), **flags)) as opened:
        yield opened


async def asked(
    opened: httpx.AsyncClient, query: str, variables: dict[str, Any] | None = None, **headers: str
) -> httpx.Response:
    """A POST of one operation."""
    return await opened.post("/graphql", json={"query": query, "variables": variables}, headers=headers)


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The app on a loopback socket, as uvicorn serves it; gives its address without scheme."""
    listener = listen(settings_of(port="0"))
    server = Server(uvicorn_config(app, finish_s=5))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.is_up.wait()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
