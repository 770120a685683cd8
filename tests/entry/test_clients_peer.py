"""Front ends' clients and tools, unmodified, against a whole hub: Apollo Client, urql, Relay, graphql-codegen."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hub.entry.demo_client import Client
from tests.entry.hubs import House, Sold, put_on_sale
from tests.entry.npm import installed

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "tests/peers/clients"
WITHIN_S = 90.0
COURSES = ("Anchors", "Books", "Cursors", "Deposits", "Escrow")
# Told of an order that is followed from its making on, and paid for meanwhile: the past with what the order is by then.
SALE = ["ORDER_CREATED AWAITING_PAYMENT", "ORDER_PAID PAID", "ENTITLEMENT_GRANTED PAID"]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@dataclass(slots=True)
class Shop:
    """A hub in mode `apq` with five courses on sale."""

    house: House
    url: str
    sold: list[Sold]

    async def asked_by(self, script: Path, user: str) -> Any:
        """What a client of npm, as this learner, wrote as JSON."""
        listings = [json.dumps({"id": sold.listing_id, "price": _as_text(sold)}) for sold in self.sold]
        token = await self.house.token("learner", user=user)
        return json.loads(await ran("node", script.name, self.url, token, *listings, cwd=script.parent))


def _as_text(sold: Sold) -> dict[str, str]:
    return {"amountMinor": str(sold.price_minor), "currency": sold.currency}


@pytest.fixture(scope="module")
def peers() -> Path:
    return installed(PEERS)


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


async def test_urql_pages_buys_and_follows_by_three_transports(shop: Shop, peers: Path) -> None:
    told = await shop.asked_by(peers / "urql.mjs", "urql")
    assert told["paged"] == [["Anchors", "Books"], ["Cursors", "Deposits"], ["Escrow"]]
    assert told["sent"] == ["hash", "text", "hash", "hash"]
    assert told["bought"] == {"status": "PAID", "isSame": True, "replayed": [False, True]}
    assert told["byWebSocket"] == told["bySse"] == told["byFetch"] == SALE
    assert told["mine"] == ["PAID"] * 4
    assert told["refused"] == ["BAD_USER_INPUT"]
