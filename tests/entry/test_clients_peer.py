"""Front ends' clients and tools, unmodified, against a whole hub: Apollo Client, urql, Relay, graphql-codegen."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from hub.entry.demo_client import Client
from tests.entry.hubs import LIST, House, Sold, put_on_sale
from tests.entry.npm import installed

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "tests/peers/clients"
WITHIN_S = 90.0
COURSES = ("Anchors", "Books", "Cursors", "Deposits", "Escrow")
# Told of an order that is followed from its making on, and paid for meanwhile: the past with what the order is by then.
SALE = ["ORDER_CREATED AWAITING_PAYMENT", "ORDER_PAID PAID", "ENTITLEMENT_GRANTED PAID"]
# Titles and kinds of two courses as an app has them: with the first part, whose kinds are deferred, and at the end.
DEFERRED = [[[title, None] for title in COURSES[:2]], [[title, "COURSE"] for title in COURSES[:2]]]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@dataclass(slots=True)
class Shop:
    """A hub in mode `apq` with five courses on sale."""

    house: House
    url: str
    sold: list[Sold]

    async def asked_by(self, script: Path, user: str) -> Any:
        """What a client of npm, as this learner, wrote as JSON."""
        token = await self.house.token("learner", user=user)
        listings = [as_json(sold) for sold in self.sold]
        return json.loads(await ran("node", script.name, self.url, token, *listings, cwd=script.parent))


def as_json(sold: Sold) -> str:
    """As the scripts take it; money as GraphQL clients have it, a string."""
    price = {"amountMinor": str(sold.price_minor), "currency": sold.currency}
    return json.dumps({"id": sold.listing_id, "price": price})


@pytest.fixture(scope="module")
def peers() -> Path:
    return installed(PEERS)


@pytest.fixture
def app(peers: Path, tmp_path: Path) -> Path:
    """A folder for tools to write into: the sources of the two small apps, the committed SDL, and all packages."""
    for source in PEERS.glob("*.*"):
        if source.name not in ("package.json", "package-lock.json"):
            shutil.copy(source, tmp_path)
    shutil.copy(ROOT / "schema/schema.graphql", tmp_path)
    (tmp_path / "node_modules").symlink_to(peers / "node_modules")
    return tmp_path


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    house = House(tmp_path_factory.mktemp("clients") / "hub")
    try:
        hub = await house.serve(HUB_DOCUMENTS="apq")
        async with Client(hub.origin, await house.token("partner", platform="lumen")) as seller:
            sold = [await put_on_sale(seller, title) for title in COURSES]
        yield Shop(house, f"{hub.origin}/graphql", sold)
    finally:
        await house.aclose()


async def ran(*command: str, cwd: Path) -> str:
    """What the command wrote; AssertionError with its complaints if it failed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        written, complaints = await asyncio.wait_for(process.communicate(), WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, f"{written.decode()}\n{complaints.decode()}"
    return written.decode()


async def test_apollo_client_pages_buys_and_follows_by_every_link(shop: Shop, peers: Path) -> None:
    told = await shop.asked_by(peers / "apollo.mjs", "apollo")
    assert told["paged"] == {"shown": [2, 4, 5], "titles": list(COURSES)}
    assert told["sent"] == ["hash", "text", "hash", "hash"]  # one document: registered once, its hash from then on
    assert told["bought"] == {
        "status": "PAID",
        "isSame": True,
        "replayed": [False, True],
        "refused": [
            {
                "__typename": "PriceChangedError",
                "code": "PRICE_CHANGED",
                "message": told["bought"]["refused"][0]["message"],
                "current": {"__typename": "Money", "amountMinor": "4900"},
            }
        ],
    }
    assert told["byWebSocket"] == SALE
    assert told["byMultipart"] == SALE
    assert told["byHeader"] == {"status": "PAID", "replayed": False}
    assert told["mine"] == ["PAID"] * 4
    assert told["refused"] == ["BAD_USER_INPUT"]
    assert told["deferred"] == [{"types": ["multipart/mixed"], "shown": DEFERRED}] * 2  # both ways of writing parts


async def test_urql_pages_buys_and_follows_by_three_transports(shop: Shop, peers: Path) -> None:
    told = await shop.asked_by(peers / "urql.mjs", "urql")
    assert told["paged"] == [["Anchors", "Books"], ["Cursors", "Deposits"], ["Escrow"]]
    assert told["sent"] == ["hash", "text", "hash", "hash"]
    assert told["bought"] == {"status": "PAID", "isSame": True, "replayed": [False, True]}
    assert told["byWebSocket"] == told["bySse"] == told["byFetch"] == SALE
    assert (told["mine"], told["sentForMine"]) == (["PAID"] * 4, ["GET"])
    assert told["refused"] == ["BAD_USER_INPUT"]
    assert told["deferred"] == DEFERRED


async def test_relays_compiler_and_store_find_their_conventions_and_send_ids_alone(app: Path) -> None:
    """Compiled over the committed SDL; the ids that the compiler writes are the only documents that the hub takes."""
    manifest = await compiled_by_relay(app)
    house = House(app / "hub")
    try:
        hub = await house.serve(HUB_DOCUMENTS="trusted", HUB_DOCUMENTS_MANIFEST=str(manifest))
        sold = await stocked(house, hub.origin)
        shop = Shop(house, f"{hub.origin}/graphql", [sold["Anchors"]])
        told = await shop.asked_by(app / "relay_run.cjs", "relay")
        text = await asked(hub.origin, query="{ courses(first: 1) { nodes { id } } }")
    finally:
        await house.aclose()
    assert told == {
        "courses": {"sizes": [2, 4, 5], "titles": list(COURSES)},
        "listings": 1,
        "userErrors": [],
        "kinds": [
            "ORDER_CREATED", "PAYMENT_ATTEMPT_CHANGED", "PAYMENT_ATTEMPT_CHANGED", "ORDER_PAID", "Anchors"
        ],
        "orders": ["PAID 4900"],
        "isNormalized": True,
    }  # fmt: skip
    assert text["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_ID_REQUIRED"


async def test_graphql_codegen_types_an_app_over_the_sdl_and_its_manifest_is_taken(app: Path) -> None:
    shutil.copy(PEERS / "package.json", app)  # modules are ECMAScript's; relay-compiler's are not
    await ran("node", "node_modules/.bin/graphql-codegen", "--config", "codegen.json", cwd=app)
    await ran("node", "node_modules/.bin/tsc", "-p", ".", cwd=app)  # it demands each error that typed.ts expects
    manifest = app / "gql/persisted-documents.json"
    [check] = [id_ for id_, text in json.loads(manifest.read_text()).items() if text.startswith("query Check(")]
    house = House(app / "hub")
    try:
        hub = await house.serve(HUB_DOCUMENTS="trusted", HUB_DOCUMENTS_MANIFEST=str(manifest))
        sold = await stocked(house, hub.origin)
        partner = await house.token("partner", platform="lumen")
        variables = {"course": sold["Books"].course_id, "input": {"member": {"externalId": "nobody"}}}
        told = await asked(hub.origin, partner, documentId=check, variables=variables)
    finally:
        await house.aclose()
    assert told["data"] == {"verifyEntitlement": {"isEntitled": False, "reason": "UNKNOWN_MEMBER"}}


async def compiled_by_relay(app: Path) -> Path:
    """The manifest of the documents of relay_app.js."""
    manifest = app / "persisted.json"
    manifest.write_text("{}")  # the compiler demands both
    (app / "__generated__").mkdir()
    await ran("node", "node_modules/.bin/relay-compiler", "relay.config.json", cwd=app)
    return manifest


async def stocked(house: House, origin: str) -> dict[str, Sold]:
    """The courses, put on sale by an operator: nobody else's own documents run in mode `trusted`."""
    await house.token("partner", platform="lumen")
    async with Client(origin, await house.token("operator")) as operator:
        found = await operator.query('{ platform(slug: "lumen") { id } }', {})
        more = {"platformId": found["platform"]["id"], "price": {"amountMinor": 4900, "currency": "USD"}}
        sold = {}
        for title in COURSES:
            listed = (await operator.mutate(LIST, {"externalId": title, "title": title, **more}))["listing"]
            sold[title] = Sold(listed["id"], listed["course"]["id"], 4900)
        return sold


async def asked(origin: str, token: str | None = None, **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return dict((await client.post(f"{origin}/graphql", json=body, headers=headers)).json())
