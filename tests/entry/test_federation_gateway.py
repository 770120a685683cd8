"""The guide's example, run: the hub, a partner's subgraph and Hive Gateway, from npm as the clients are that ask it."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.entry.demo_client import Client
from tests.entry.hubs import CHECKOUT, House, Serving, Sold, put_on_sale, until
from tests.entry.npm import installed
from tests.entry.toys import served
from tests.servers import PostgresServer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "hub/docs/examples/federation"
SECRET = "secret-of-the-gateway".ljust(32, "x")
UP_WITHIN_S = 120.0  # the gateway takes three seconds of a machine that does nothing else
HEARD_WITHIN_S = 30.0
# What a gateway's own configuration may say instead of the example's: Hive's own signature.
STOCK = """
import { gatewayConfig as base } from './gateway.config.mjs'
const { plugins, ...rest } = base
export const gatewayConfig = { ...rest, hmacSignature: { secret: process.env.STOCK_SECRET } }
"""

# The first test waits for the packages too.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@dataclass(slots=True)
class Graph:
    """Everything up: one learner has bought `sold` from the seller. `turns` counts each hub's connections."""

    url: str
    hubs: list[Serving]
    turns: list[int]
    peers: Path
    tokens: dict[str, str]
    sold: Sold
    entitlement: str
    told_partner: list[dict[str, str]]

    async def ask(self, who: str | None, query: str, **variables: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.post(self.url, json={"query": query, "variables": variables}, headers=headers)
        told: dict[str, Any] = answer.json()
        return told

    async def buy(self, who: str, sold: Sold, key: str, hub: int = 0) -> None:
        async with Client(self.hubs[hub].origin, self.tokens[who]) as client:
            assert (await client.mutate(CHECKOUT, sold.bought(key)))["order"]["status"] == "PAID"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def graph(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Graph]:
    """Two hubs on one database, behind one address, are the gateway's one subgraph."""
    async with AsyncExitStack() as stack:
        dsn = stack.enter_context(postgres_server.database())
        house = House(tmp_path_factory.mktemp("federation") / "hub", dsn)
        await stack.enter_async_context(house.node_kept())
        stack.push_async_callback(house.aclose)
        policy = {"HUB_ENTITIES": "signed", "HUB_INTROSPECTION": "false", "HUB_GET": "false", "HUB_PORT": "0"}
        hubs = [await house.serve(HUB_GATEWAY_SECRET=SECRET, **policy) for _ in range(2)]
        tokens = {
            "seller": await house.token("partner", platform="lumen"),
            "learner": await house.token("learner"),
            "other": await house.token("learner", user="other"),
        }
        async with Client(hubs[0].origin, tokens["seller"]) as seller:
            sold = await put_on_sale(seller, "Double Entry in a Weekend")
        told_partner: list[dict[str, str]] = []
        partner = await stack.enter_async_context(partner_up(told_partner))
        address, turns = await stack.enter_async_context(balanced(hubs))
        url = await stack.enter_async_context(
            gateway_up(house.data.parent, f"http://{address}", partner, HUB_GATEWAY_SECRET=SECRET)
        )
        peers = await asyncio.to_thread(installed, ROOT / "tests/peers/federation")
        graph = Graph(url, hubs, turns, peers, tokens, sold, "", told_partner)
        await graph.buy("learner", sold, "first")
        bought = await graph.ask("learner", "{ entitlements(first: 1) { nodes { id } } }")
        graph.entitlement = bought["data"]["entitlements"]["nodes"][0]["id"]
        yield graph


@asynccontextmanager
async def partner_up(told: list[dict[str, str]]) -> AsyncIterator[str]:
    """The example's partner, behind a door that notes the headers of what it is sent."""
    async with running(sys.executable, str(EXAMPLE / "partner.py"), str(port := free_port())):

        async def passed_on(request: Request) -> Response:
            told.append(dict(request.headers))
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                answer = await client.post(
                    f"http://127.0.0.1:{port}/graphql", content=await request.body(),
                    headers={"content-type": "application/json"},
                )  # fmt: skip
            return Response(answer.content, answer.status_code, media_type="application/json")

        await until(lambda: answers(f"http://127.0.0.1:{port}/graphql"), within_s=UP_WITHIN_S, what="the partner")
        async with served(Starlette(routes=[Route("/graphql", passed_on, methods=["POST"])])) as address:
            yield f"http://{address}/graphql"


@asynccontextmanager
async def gateway_up(
    folder: Path, hub: str, partner: str, config: str = "gateway.config.mjs", **environ: str
) -> AsyncIterator[str]:
    """The supergraph composed and served as the example's README says; gives the gateway's URL."""
    example = await asyncio.to_thread(installed, EXAMPLE)
    environ |= {
        "HUB_URL": f"{hub}/graphql", "PARTNER_URL": partner, "SUPERGRAPH": str(folder / "supergraph.graphql")
    }  # fmt: skip
    composing = await asyncio.create_subprocess_exec("node", "compose.mjs", cwd=example, env=os.environ | environ)
    assert await asyncio.wait_for(composing.wait(), UP_WITHIN_S) == 0
    origin = f"http://127.0.0.1:{(port := free_port())}"
    serve = ("node", "node_modules/.bin/hive-gateway", "supergraph", "--config-path", config)
    async with running(*serve, "--host", "127.0.0.1", "--port", str(port), cwd=example, environ=environ) as gateway:
        await until(lambda: answers(f"{origin}/readiness", gateway), within_s=UP_WITHIN_S, what="the gateway")
        yield f"{origin}/graphql"


@asynccontextmanager
async def running(
    *command: str, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=os.environ | (environ or {}), stdout=PIPE, limit=2**20
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def answers(url: str, process: Process | None = None) -> bool:
    """Whether somebody answers there, be it with a no about the request. AssertionError if the process has ended."""
    assert process is None or process.returncode is None, "it has ended: see its output"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            return (await client.get(url)).status_code < 500
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


# ---- what holds behind a gateway -----------------------------------------------------------------------------------


async def test_one_query_joins_the_hubs_rows_with_a_partners_fields_and_what_they_require(graph: Graph) -> None:
    answer = await graph.ask(
        "learner",
        "{ orders(first: 5) { nodes { course { title shelfMark readers } buyer { borrowed }"
        " entitlement { isOpen seat } } } }",
    )
    assert answer == {
        "data": {
            "orders": {
                "nodes": [
                    {
                        "course": {
                            "title": "Double Entry in a Weekend", "shelfMark": "DOUBLE-ENTRY",
                            "readers": len(graph.sold.course_id),
                        },
                        "buyer": {"borrowed": 3},
                        "entitlement": {"isOpen": True, "seat": f"seat of {graph.entitlement}"},
                    }
                ]
            }
        }
    }  # fmt: skip


async def test_a_partners_root_field_is_joined_with_the_hubs_fields(graph: Graph) -> None:
    answer = await graph.ask(
        None,
        "query($id: ID!) { recommended(id: $id) { title shelfMark listings { platform { slug } } } }",
        id=graph.sold.course_id,
    )
    assert answer["data"]["recommended"] == {
        "title": "Double Entry in a Weekend", "shelfMark": "DOUBLE-ENTRY", "listings": [{"platform": {"slug": "lumen"}}]
    }  # fmt: skip


async def test_entities_behind_a_gateway_are_the_callers_alone(graph: Graph) -> None:
    query = "query($id: ID!) { seat(id: $id) { seat isOpen } }"
    mine = await graph.ask("learner", query, id=graph.entitlement)
    assert mine["data"]["seat"] == {"seat": f"seat of {graph.entitlement}", "isOpen": True}
    unknown = await graph.ask("learner", query, id="ent_" + "0" * 26)
    for who in ("other", None):
        told = await graph.ask(who, query, id=graph.entitlement)
        assert told["data"] == {"seat": None}
        assert told == unknown


async def test_what_is_inaccessible_is_not_there(graph: Graph) -> None:
    told = await graph.ask(None, "query($id: ID!) { recommended(id: $id) { internalScore } }", id=graph.sold.course_id)
    assert told.get("data") is None
    assert [error["message"] for error in told["errors"]] == ['Cannot query field "internalScore" on type "Course".']


async def test_refusals_reach_the_gateways_client_with_their_codes(graph: Graph) -> None:
    told = await graph.ask(None, "{ orders(first: 1) { nodes { id } } }")
    assert [error["extensions"]["code"] for error in told["errors"]] == ["UNAUTHENTICATED"]


async def test_the_hub_serves_entities_to_its_gateway_alone(graph: Graph) -> None:
    query = "query($of: [_Any!]!) { _entities(representations: $of) { __typename } }"
    async with httpx.AsyncClient(trust_env=False) as client:
        for asked in (query, "{ _service { sdl } }"):
            of = [{"__typename": "Course", "id": graph.sold.course_id}]
            body = {"query": asked, "variables": {"of": of}}
            told = (await client.post(f"{graph.hubs[0].origin}/graphql", json=body)).json()
            assert [error["extensions"]["code"] for error in told["errors"]] == ["FORBIDDEN"]


async def test_the_callers_token_goes_to_the_hub_and_to_nobody_else(graph: Graph) -> None:
    graph.told_partner.clear()
    await graph.ask("learner", "{ orders(first: 5) { nodes { course { shelfMark } } } }")
    assert graph.told_partner
    for headers in graph.told_partner:
        assert not {"authorization", "hub-gateway-signature", "cookie"} & headers.keys()
        assert graph.tokens["learner"] not in str(headers)


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_events_reach_a_client_joined_with_a_partners_fields(graph: Graph, transport: str) -> None:
    """From the past and live, in order, without a word about the transport in the gateway's configuration."""
    document = (
        'subscription { events(after: "", kinds: [ENTITLEMENT_GRANTED]) {'
        " kind course { title shelfMark } entitlement { id seat } } }"
    )
    async with Client(graph.hubs[0].origin, graph.tokens["seller"]) as seller:
        live = await put_on_sale(seller, f"Live by {transport}")
    command = ("node", "follow.mjs", transport, graph.url, graph.tokens["seller"], document)
    async with running(*command, cwd=graph.peers) as client:
        first = await heard(client)
        assert first["course"] == {"title": "Double Entry in a Weekend", "shelfMark": "DOUBLE-ENTRY"}
        assert first["entitlement"] == {"id": graph.entitlement, "seat": f"seat of {graph.entitlement}"}
        await graph.buy("learner", live, f"live by {transport}")
        while (event := await heard(client))["course"]["title"] != f"Live by {transport}":
            pass  # those of the tests before
        assert event["course"]["shelfMark"] == "LIVE-BY"


async def heard(client: Process) -> dict[str, Any]:
    assert client.stdout is not None
    line = await asyncio.wait_for(client.stdout.readline(), HEARD_WITHIN_S)
    told = json.loads(line)
    assert "errors" not in told, told
    event: dict[str, Any] = told["data"]["events"]
    return event


async def test_a_gateway_may_sign_as_hive_does_by_itself(graph: Graph, tmp_path: Path) -> None:
    house = House(tmp_path / "hub")
    hub = await house.serve(HUB_ENTITIES="hive", HUB_GATEWAY_SECRET=SECRET)
    try:
        token = await house.token("partner", platform="lumen")
        async with Client(hub.origin, token) as seller:
            sold = await put_on_sale(seller, "Signed by Hive")
        (installed(EXAMPLE) / "stock.config.mjs").write_text(STOCK)
        async with (
            partner_up([]) as partner,
            gateway_up(tmp_path, hub.origin, partner, "stock.config.mjs", STOCK_SECRET=SECRET) as url,
        ):
            other = Graph(url, [hub], [], graph.peers, {}, sold, "", [])
            told = await other.ask(None, "query($id: ID!) { recommended(id: $id) { title } }", id=sold.course_id)
        assert told == {"data": {"recommended": {"title": "Signed by Hive"}}}
    finally:
        await house.aclose()


async def test_two_processes_are_one_subgraph(graph: Graph) -> None:
    """All that came before went to the one or the other; events of either reach the client; one is enough."""
    assert min(graph.turns) > 0
    async with Client(graph.hubs[1].origin, graph.tokens["seller"]) as seller:
        live = await put_on_sale(seller, "Sold at the second")
    document = 'subscription { events(after: "", kinds: [ENTITLEMENT_GRANTED]) { course { shelfMark } } }'
    for number in (0, 1):
        command = ("node", "follow.mjs", "sse", graph.url, graph.tokens["seller"], document)
        async with running(*command, cwd=graph.peers) as follower:
            await graph.buy(("learner", "other")[number], live, f"at hub {number}", hub=number)
            while await heard(follower) != {"course": {"shelfMark": "SOLD-AT"}}:
                pass
    await graph.hubs[0].kill()
    told = await graph.ask("other", "{ orders(first: 1) { nodes { course { shelfMark } } } }")
    assert told == {"data": {"orders": {"nodes": [{"course": {"shelfMark": "SOLD-AT"}}]}}}


@asynccontextmanager
async def balanced(hubs: list[Serving]) -> AsyncIterator[tuple[str, list[int]]]:
    """An address that gives each connection to the next hub that lives; and how many each got."""
    turns = [0] * len(hubs)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        alive = [number for number, hub in enumerate(hubs) if hub.code is None]
        number = min(alive, key=lambda number: turns[number])
        turns[number] += 1
        there, back = await asyncio.open_connection("127.0.0.1", int(hubs[number].origin.rpartition(":")[2]))
        await asyncio.gather(piped(reader, back), piped(there, writer))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", turns
    finally:
        server.close()


async def piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    writer.close()
