"""What is revoked at one process ends what runs at another: a platform's stream with its key, a learner's with the
issuer through which their token came. Nobody else's ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hub.domain.exchange import ExchangeRequest
from hub.domain.issuers import IssuerState
from hub.domain.people import PARTNER_SCOPES
from hub.entry import standing
from hub.entry.app import create_app
from hub.entry.settings import read_settings
from hub.entry.viewers import KEY_CACHE_US
from hub.flows import exchange, issuers, keys
from hub.store.database import open_store
from schema import schema
from tests.entry.toys import served
from tests.flows.benches import Bench
from tests.partners import ENDPOINT, HUB, Partner
from tests.world import World, operator, partner

WITHIN_S = 20.0
FOLLOW = 'subscription { events(after: "") { kind } }'
ORDERS = "subscription ($id: ID!) { orderUpdated(orderId: $id) { status } }"


@asynccontextmanager
async def following(
    address: str, token: str, query: str, variables: dict[str, Any] | None = None
) -> AsyncIterator[ClientConnection]:
    """A socket with one subscription under way."""
    async with connect(f"ws://{address}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": query, "variables": variables}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        yield socket


async def closed(socket: ClientConnection) -> int | None:
    """The code with which it was closed."""
    await asyncio.wait_for(socket.wait_closed(), WITHIN_S)
    return socket.close_code


async def test_a_key_revoked_at_one_process_ends_its_streams_at_another(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "WATCH_S", 0.05)
    store = await open_store(sqlite_url)
    bench = Bench(store, World(store))
    platform = await bench.world.platform()
    made = [
        (await keys.create_key(bench.hub, partner(platform), name=name, scopes=PARTNER_SCOPES)).value
        for name in ("lost", "kept")
    ]
    lost, kept = made
    assert lost is not None
    assert kept is not None
    apps = [create_app(hub, read_settings({}), schema=schema) for hub in (bench.hub, bench.rival().hub)]
    async with served(apps[0]) as here, served(apps[1]) as there:
        async with following(here, lost.text, FOLLOW) as ends, following(here, kept.text, FOLLOW) as stays:
            assert (await keys.revoke_key(bench.rival().hub, operator(), key_id=lost.id)).value is not None
            bench.clock.pass_us(KEY_CACHE_US)
            assert await closed(ends) == 4403
            await stays.send(json.dumps({"type": "ping"}))
            assert json.loads(await asyncio.wait_for(stays.recv(), WITHIN_S))["type"] == "pong"
        for address in (here, there):
            async with connect(f"ws://{address}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]) as again:
                greeting = {"type": "connection_init", "payload": {"Authorization": f"Bearer {lost.text}"}}
                await again.send(json.dumps(greeting))
                assert await closed(again) == 4403
    await store.aclose()


async def test_a_paused_issuer_ends_the_streams_of_its_learners(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "WATCH_S", 0.05)
    store = await open_store(sqlite_url)
    bench = Bench(store, World(store))
    platform = await bench.world.platform()
    signer = Partner(platform.id, now_us=bench.clock.now_us())

    async def set_to(state: IssuerState) -> str:
        trusted = signer.trusted()
        answer = await issuers.upsert_issuer(
            bench.hub, operator(), platform_id=platform.id, issuer=trusted.issuer, audience=HUB,
            algorithms=trusted.algorithms, subject_claim="sub", keys=trusted.keys, client_keys=trusted.client_keys,
            scopes=trusted.scopes, state=state,
        )  # fmt: skip
        assert answer.value is not None
        return answer.value.id

    signer.id = await set_to(IssuerState.ACTIVE)
    asked = ExchangeRequest(signer.assertion(), signer.subject_token(), None)
    told = await exchange.exchange(bench.hub, asked, frozenset({ENDPOINT}))
    assert isinstance(told, exchange.Exchanged)
    user = await bench.one("SELECT id FROM user_")
    async with store.reading() as rx:
        held = await rx.people.user(user)
    order = await bench.world.order(user=held)
    async with (
        served(create_app(bench.hub, read_settings({}), schema=schema)) as address,
        following(address, told.access_token, ORDERS, {"id": order.id}) as ends,
    ):
        await set_to(IssuerState.PAUSED)
        bench.clock.pass_us(KEY_CACHE_US)
        assert await closed(ends) == 4403
    await store.aclose()
