"""Server CPU of one paid order by GraphQL `checkout` over HTTP, and where it goes.

The server is a real `hub serve` with the sandbox, whose card `pm_card_visa` is charged at once; recording on chain is
put off. Beside it: a bare Starlette handler that runs the same SQL with the parameters of one sale in one transaction.
The parts come from a second server, which samples its own stacks by CPU time.
"""

import asyncio
import json
import os
import pickle
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from hub.security.tokens import UserTokens
from tests.bench.checkout import taken_down
from tests.bench.figures import Figure, interleaved
from tests.bench.served import Served, served
from tests.bench.shop import CHANNEL, PRICE, Shop, open_shop

ROUNDS, ORDERS, WARM = 5, 100, 10
QUICK_ROUNDS, QUICK_ORDERS, QUICK_WARM = 1, 6, 2
CALLERS = 4
SETTLED_S = 2.0  # after a round: notices and tasks that it left come to rest, and count with it
ANSWERED_WITHIN_S = 60.0
TOKEN_S = 3600
LATER = {"CHAIN_BATCH_MS": "86400000"}  # no anchor while the clock runs
BARE, SAMPLED = ("-m", "tests.bench.bare_server"), ("-m", "tests.bench.sampled_server")
DOCUMENT = """
mutation($input: CheckoutInput!) { checkout(input: $input) {
  order { id number status } paymentAttempt { id state } userErrors { message } } }
"""
VIEWER = "query { viewer { kind } }"

Buyers = Iterator[tuple[str, str]]  # (user, token) of people who have bought nothing yet


async def run(*, quick: bool) -> AsyncIterator[Figure]:
    rounds, orders, warm = (QUICK_ROUNDS, QUICK_ORDERS, QUICK_WARM) if quick else (ROUNDS, ORDERS, WARM)
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        shop, buyers = await stocked(data, 2 * warm + (rounds + 1) * orders)
        script = await scripted(shop, Path(folder), rounds * orders)
        async with (
            served(data, **LATER) as hub,
            served(Path(folder) / "bare", program=(*BARE, str(script)), **LATER) as bare,
        ):
            if not quick:
                await hub.until_it_anchors()
            await bought(hub, shop, buyers, warm)
            yield await interleaved(
                "checkout_http",
                lambda: bought(hub, shop, buyers, orders),
                lambda: asked(bare, orders),
                unit="ms server CPU an order",
                rounds=rounds,
                orders_a_round=orders,
                callers=CALLERS,
                process="hub, worker and sandbox peers in one; what a sale leaves to do is counted with it",
                against="a Starlette handler with the same SQL in one transaction",
            )
        async with served(data, program=SAMPLED, **LATER) as hub:
            await bought(hub, shop, buyers, warm)
            yield await parts(hub, shop, buyers, orders)


# ---- both sides --------------------------------------------------------------------------------------------------


async def bought(hub: Served, shop: Shop, buyers: Buyers, orders: int) -> float:
    """CPU of the server in ms for one paid order. The tokens have been seen before the clock starts."""
    async with httpx.AsyncClient(base_url=hub.url, trust_env=False, verify=False, timeout=ANSWERED_WITHIN_S) as client:
        waiting = [next(buyers) for _ in range(orders)]
        for _, token in waiting:
            assert (await graphql(client, token, VIEWER, {}))["viewer"]["kind"] == "USER"

        async def caller(queue: Iterator[tuple[str, str]]) -> None:
            for user, token in queue:
                await buy(client, shop, user, token)

        before = hub.cpu_s
        queue = iter(waiting)
        await asyncio.gather(*(caller(queue) for _ in range(CALLERS)))
        await asyncio.sleep(SETTLED_S)
        return (hub.cpu_s - before) * 1000 / orders


async def buy(client: httpx.AsyncClient, shop: Shop, user: str, token: str) -> None:
    """One paid order by one request."""
    told = {
        "listingId": shop.listing_id,
        "channel": CHANNEL,
        "expectedAmount": {"amountMinor": str(PRICE.amount_minor), "currency": PRICE.currency},
        "idempotencyKey": f"bench of {user}",
        "method": "pm_card_visa",
    }
    payload = (await graphql(client, token, DOCUMENT, {"input": told}))["checkout"]
    assert payload["userErrors"] == [], payload
    assert payload["paymentAttempt"]["state"] == "CHARGED", payload


async def graphql(client: httpx.AsyncClient, token: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    body = {"query": query, "variables": variables}
    answer = await client.post("/graphql", json=body, headers={"Authorization": f"Bearer {token}"})
    told: dict[str, Any] = answer.json()
    assert "errors" not in told, told
    data: dict[str, Any] = told["data"]
    return data


async def asked(bare: Served, orders: int) -> float:
    """The same of the bare handler."""
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False, verify=False, timeout=ANSWERED_WITHIN_S) as client:

        async def caller(queue: Iterator[int]) -> None:
            for number in queue:
                answer = await client.post("/buy", json={"key": f"bench {number}"})
                assert answer.status_code == 200, answer.text

        before = bare.cpu_s
        queue = iter(range(orders))
        await asyncio.gather(*(caller(queue) for _ in range(CALLERS)))
        return (bare.cpu_s - before) * 1000 / orders


# ---- what they begin with ----------------------------------------------------------------------------------------


async def stocked(data: Path, buyers: int) -> tuple[Shop, Buyers]:
    """A data folder whose database is a shop, and its buyers with their tokens."""
    shop = await open_shop(f"sqlite:///{data}/hub.sqlite3", buyers)
    tokens = UserTokens.in_folder(data, is_production=False, draw_seed=lambda: secrets.token_bytes(32))
    now_us = time.time_ns() // 1000
    users = [buyer.user_id or "" for buyer in shop.buyers]
    return shop, iter([(user, tokens.issue_user_token(user, now_us, TOKEN_S)) for user in users])


async def scripted(shop: Shop, folder: Path, orders: int) -> Path:
    """What the bare handler says to its own copy of the database, an order a request."""
    units = await taken_down(Shop(shop.url, shop.listing_id, shop.buyers[:orders]))
    each = len(units) // orders
    said: Sequence[Any] = [
        [(s.sql, s.parameters, s.is_many) for unit in units[each * i : each * (i + 1)] for s in unit.statements]
        for i in range(orders)
    ]
    path = folder / "script.pickle"
    path.write_bytes(pickle.dumps({"database": str(shop.copied("bare.sqlite3").path), "orders": said}))
    return path


# ---- where it goes -----------------------------------------------------------------------------------------------


async def parts(hub: Served, shop: Shop, buyers: Buyers, orders: int) -> Figure:
    """The same orders on a server that samples itself; its parts add up to its whole."""
    told = hub.data / "samples.json"
    os.kill(hub.pid, signal.SIGUSR1)  # begin
    whole = await bought(hub, shop, buyers, orders)
    os.kill(hub.pid, signal.SIGUSR2)  # tell
    while not told.exists():  # noqa: ASYNC110  # another process writes it, whole
        await asyncio.sleep(0.01)
    cpu = json.loads(told.read_bytes())
    return Figure(
        "checkout_http_parts", whole, None, "ms server CPU an order, sampled",
        detail={part: f"{seconds * 1000 / orders:.2f} ms" for part, seconds in cpu.items()},
    )  # fmt: skip
