"""Four reads over HTTP: server CPU a request, beside a stock Strawberry server on the same database, for equal answers.

Both are processes of their own on uvicorn; they take turns in one run. A page has at most 100 rows, so the page of 500
is five pages in one document. Cursors are each server's own, and are the only thing in which the two requests differ.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hub.domain.people import User
from hub.security.tokens import UserTokens
from hub.store.database import open_store
from hub.store.migrate import migrate
from tests.bench.figures import Figure, interleaved
from tests.bench.served import Served, served
from tests.servers import open_postgres
from tests.world import World

ROUNDS, REQUESTS, COURSES = 7, 120, 500
QUICK_ROUNDS, QUICK_REQUESTS, QUICK_COURSES = 1, 4, 500
CALLERS, WARM = 4, 3
BUYERS, ORDERS = 5, 10
PAGES, PAGE = 5, 100
TOKEN_S = 24 * 3600
# Nobody is refused while the clock runs, and nothing else is at work.
OURS = {"CHAIN_BATCH_MS": "86400000", "COST_MAXIMUM": "1000000000", "COST_RESTORE": "1000000000"}
STOCK = ("-m", "tests.bench.stock_server")

MONEY = "{ amountMinor currency }"
POINT = f"""query Point($id: ID!) {{ course(id: $id) {{
  id kind title language level
  listings {{ id externalId price {MONEY} platform {{ id slug name }} }} }} }}"""
PAGE_OF_50 = f"""query Page {{ courses(first: 50) {{ nodes {{ id kind title
  listings {{ id price {MONEY} platform {{ id slug name }} merchant {{ id name }} }} }} }} }}"""
THREE_DEEP = f"""query Mine {{ viewer {{ user {{ id state orders(first: {ORDERS}) {{ nodes {{
  id number status total {MONEY} course {{ id title }}
  listing {{ id externalId price {MONEY} platform {{ id slug name }} }} }} }} }} }} }}"""
PAGE_OF_500 = (
    f"query Rows({', '.join(f'$p{number}: String' for number in range(PAGES))}) {{ "
    + " ".join(
        f"p{n}: courses(first: {PAGE}, after: $p{n}) {{ nodes {{ id kind title language }} }}" for n in range(PAGES)
    )
    + " }"
)
CURSORS = "query($after: String) { courses(first: 100, after: $after) { nodes { id } pageInfo { endCursor } } }"


@dataclass(frozen=True, slots=True)
class Library:
    """A filled database: where it is, and what there is to ask for."""

    url: str
    courses: tuple[str, ...]
    users: tuple[str, ...]


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    for engine in ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder, database(engine, Path(folder)) as url:
            library = await stocked(url, QUICK_COURSES if quick else COURSES)
            data = Path(folder) / "data"
            stock_url = url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
            async with (
                served(data, DATABASE=url, **OURS) as hub,
                served(Path(folder) / "stock", program=(*STOCK, stock_url)) as stock,
            ):
                async for figure in figures(engine, library, hub, stock, quick=quick):
                    yield figure


async def figures(engine: str, library: Library, hub: Served, stock: Served, *, quick: bool) -> AsyncIterator[Figure]:
    rounds, requests = (QUICK_ROUNDS, QUICK_REQUESTS) if quick else (ROUNDS, REQUESTS)
    tokens = UserTokens.in_folder(hub.data, is_production=False, draw_seed=lambda: secrets.token_bytes(32))
    now_us = time.time_ns() // 1000
    reader = library.users[0]
    authorization = {"Authorization": f"Bearer {tokens.issue_user_token(reader, now_us, TOKEN_S)}"}
    after = {f"p{n}": library.courses[n * PAGE - 1] if n else None for n in range(PAGES)}
    asked = {
        "point_course": (POINT, {"id": library.courses[7]}, {"id": library.courses[7]}),
        "page_of_50_courses": (PAGE_OF_50, {}, {}),
        "user_with_10_orders": (THREE_DEEP, {}, {}),
        "page_of_500": (PAGE_OF_500, await cursors(hub), after),
    }
    for name, (document, ours, theirs) in asked.items():
        sides = (Reading(hub, document, ours, authorization), Reading(stock, document, theirs, {"X-User": reader}))
        first, second = [await side.answers(WARM) for side in sides]
        assert first == second, name
        yield await interleaved(
            f"reads_{name}_{engine}",
            *(side.spent_by(requests) for side in sides),
            unit="ms server CPU a request",
            rounds=rounds,
            bar="at most 0.5",
            requests_a_round=requests,
            against="stock Strawberry with DataLoaders and SQLAlchemy's async ORM, no limits and no rules",
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """One request to one server, as often as one likes."""

    server: Served
    document: str
    variables: dict[str, Any]
    headers: dict[str, str]

    async def answers(self, count: int) -> dict[str, Any]:
        """The last of `count` answers, each without an error."""
        data: dict[str, Any] = {}
        async with self._client() as client:
            for _ in range(count):
                data = await self._ask(client)
        return data

    def spent_by(self, requests: int) -> Any:
        """CPU of the server in ms for one of so many requests, CALLERS at a time."""

        async def spent() -> float:
            async with self._client() as client:
                left = iter(range(requests))

                async def caller() -> None:
                    for _ in left:
                        await self._ask(client)

                before = self.server.cpu_s
                await asyncio.gather(*(caller() for _ in range(CALLERS)))
                return (self.server.cpu_s - before) * 1000 / requests

        return spent

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.server.url, headers=self.headers, trust_env=False, timeout=60.0)

    async def _ask(self, client: httpx.AsyncClient) -> dict[str, Any]:
        body = {"query": self.document, "variables": self.variables}
        answer = await client.post("/graphql", json=body, follow_redirects=True)
        told: dict[str, Any] = answer.json()
        assert "errors" not in told, told
        data: dict[str, Any] = told["data"]
        return data


async def cursors(hub: Served) -> dict[str, str | None]:
    """The hub's own cursors of the five pages."""
    found: dict[str, str | None] = {"p0": None}
    for number in range(1, PAGES):
        page = await Reading(hub, CURSORS, {"after": found[f"p{number - 1}"]}, {}).answers(1)
        found[f"p{number}"] = page["courses"]["pageInfo"]["endCursor"]
    return found


# ---- what they read --------------------------------------------------------------------------------------------------


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """An empty database; its data folder is `folder`/data."""
    (folder / "data").mkdir()
    if engine == "sqlite":
        yield f"sqlite:///{folder}/data/hub.sqlite3"
        return
    with open_postgres() as server, server.database() as dsn:
        yield dsn


async def stocked(url: str, count: int) -> Library:
    """Courses that two platforms sell, and people with ten orders each."""
    await migrate(url)
    store = await open_store(url)
    try:
        world = World(store)
        sites = [await world.platform("xue"), await world.platform("jia")]
        courses, listings = [], []
        for number in range(count):
            course = await world.course(f"Course {number:04}")
            courses.append(course.id)
            listings += [await world.listing(course=course, platform=site, price_minor=100 + number) for site in sites]
            world.clock.pass_us(1000)
        users: list[User] = []
        for number in range(BUYERS):
            users.append(await world.user(platforms=sites))
            for listing in listings[number : number + 2 * ORDERS : 2]:
                await world.order(listing, users[-1])
                world.clock.pass_us(1000)
        return Library(url, tuple(sorted(courses, reverse=True)), tuple(user.id for user in users))
    finally:
        await store.aclose()
