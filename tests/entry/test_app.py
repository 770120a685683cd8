"""What stands around every answer, and the addresses for machines."""

import asyncio
import io
import json
import logging

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hub.entry.app import create_app
from hub.entry.logs import JsonLines, configure, request_id
from hub.store.transactions import Store, Tx
from tests.entry.toys import SCHEMA, SECRET, ToyHub, app_of, asked, client, client_of, settings_of
from tests.world import World

HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


def shown(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers.get(name, "") for name in HEADERS}


async def test_every_answer_carries_the_security_headers() -> None:
    async with client() as hub:
        answers = [
            await asked(hub, "{ viewer }"),
            await hub.post("/graphql", content=b"x" * 2_000_000, headers={"content-type": "application/json"}),
            await hub.get("/nowhere"),
            await hub.get("/healthz"),
            await asked(hub, "{ viewer }", authorization="Bearer x"),
        ]
    assert [answer.status_code for answer in answers] == [200, 413, 404, 200, 401]
    assert [shown(answer) for answer in answers] == [HEADERS] * 5
    assert len({answer.headers["x-request-id"] for answer in answers}) == 5


async def test_graphiql_keeps_its_own_policy_and_caching() -> None:
    async with client() as hub:
        page = await hub.get("/graphiql")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-cache"
    assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_fault_in_a_route_is_a_masked_500_with_its_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> PlainTextResponse:
        raise RuntimeError(SECRET)

    app = create_app(ToyHub().hub, settings_of(), schema=SCHEMA, extra_routes=[Route("/broken", broken)])
    async with client_of(app) as hub:
        answer = await hub.get("/broken")
    assert answer.status_code == 500
    assert answer.json() == {
        "errors": [
            {
                "message": "internal error",
                "extensions": {"code": "INTERNAL", "requestId": answer.headers["x-request-id"]},
            }
        ]
    }
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [SECRET]
    assert app.state.metrics.value("hub_http_requests_total", route="other", status="500") == 1


async def test_pages_of_allowed_origins_may_call_and_others_may_not() -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with client(allowed_origins="https://shop.example") as hub:
        ours = await hub.options("/graphql", headers=preflight | {"origin": "https://shop.example"})
        theirs = await hub.options("/graphql", headers=preflight | {"origin": "https://evil.example"})
    async with client() as hub:
        unset = await asked(hub, "{ viewer }", origin="https://shop.example")
    assert ours.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-credentials" not in ours.headers
    assert "access-control-allow-origin" not in theirs.headers
    assert "access-control-allow-origin" not in unset.headers


# ---- for machines ------------------------------------------------------------------------------------------------


async def test_hub_lives_without_a_database_and_is_ready_with_one(store: Store) -> None:
    async with client(ToyHub(store=None)) as hub:
        without = [(await hub.get(path)).status_code for path in ("/healthz", "/readyz")]
    async with client(ToyHub(store=store)) as hub:
        with_it = [(await hub.get(path)).status_code for path in ("/healthz", "/readyz")]
    assert (without, with_it) == ([200, 503], [200, 200])


@pytest.mark.parametrize("problem", ["no", "fault", "silence"])
async def test_hub_is_not_ready_when_its_probe_says_so(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe() -> bool:
        if problem == "fault":
            raise RuntimeError(SECRET)
        if problem == "silence":
            await asyncio.Event().wait()
        return False

    monkeypatch.setattr("hub.entry.app.READY_WITHIN_S", 0.05)
    async with client_of(create_app(ToyHub().hub, settings_of(), schema=SCHEMA, is_ready=probe)) as hub:
        answer = await hub.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reason": "database"})


async def test_draining_hub_is_not_ready_but_answers_and_ends_its_connections(store: Store) -> None:
    app = app_of(ToyHub(store=store))
    async with client_of(app) as hub:
        before = await asked(hub, "{ viewer }")
        app.state.is_draining = True
        ready, answer = await hub.get("/readyz"), await asked(hub, "{ viewer }")
    assert "connection" not in before.headers
    assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


async def test_key_of_receipts_is_published_and_nothing_secret_with_it() -> None:
    async with client() as hub:
        answer = await hub.get("/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.json() == ToyHub().receipts.jwks()
    assert "d" not in answer.json()["keys"][0]


async def test_metrics_tell_of_requests_store_tasks_and_log(store: Store) -> None:
    world = World(store)
    await world.order()
    await store.write(_add_tasks, world)
    toys = ToyHub(store=store)
    toys.clock.pass_us(10_000_000)
    async with client(toys) as hub:
        await asked(hub, "{ viewer }")
        await asked(hub, "{ nope }")
        await asked(hub, "{ item { broken } }")
        await asked(hub, "{ viewer }", authorization="Bearer x")
        await hub.get("/some/guess?token=7f3a")
        answer = await hub.get("/metrics")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        'hub_http_requests_total{route="/graphql",status="200"} 3',
        'hub_http_requests_total{route="/graphql",status="401"} 1',
        'hub_http_requests_total{route="other",status="404"} 1',
        'hub_graphql_operations_total{outcome="ok",transport="http"} 1',
        'hub_graphql_operations_total{outcome="errors",transport="http"} 1',
        'hub_graphql_operations_total{outcome="refused",transport="http"} 2',
        "hub_unauthenticated_total 1",
        "hub_streams 0",
        "hub_sockets 0",
        "hub_store_queued 0",
        'hub_tasks{kind="toy"} 2',
        'hub_task_oldest_seconds{kind="toy"} 9',
        "hub_log_unstamped 0",
    ):
        assert line in lines
    assert any(line.startswith("hub_store_units ") for line in lines)
    assert any(line.startswith("hub_log_head ") for line in lines)
    assert "7f3a" not in answer.text
    assert "guess" not in answer.text


async def _add_tasks(tx: Tx, world: World) -> None:
    for key, second in (("a", 1), ("b", 5)):
        tx.tasks.add("toy", key, {}, world.clock.now_us() + second * 1_000_000)


# ---- lines of the log --------------------------------------------------------------------------------------------


async def test_each_request_is_one_line_of_json_without_its_query_token_or_body() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure(stream=stream)
    try:
        async with client() as hub:
            answer = await hub.get(
                "/graphql", params={"query": '{ echo(text: "body 7f3a") }'}, headers={"authorization": "Bearer key7f3a"}
            )
    finally:
        root.handlers[:], root.level = before, level
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    answered = [line for line in lines if line["message"] == "answered"]
    assert "7f3a" not in stream.getvalue()
    assert len(answered) == 1
    assert {name: answered[0][name] for name in ("level", "logger", "requestId", "method", "route", "status")} == {
        "level": "info",
        "logger": "hub.entry.app",
        "requestId": answer.headers["x-request-id"],
        "method": "GET",
        "route": "/graphql",
        "status": 401,
    }


def test_line_of_a_fault_holds_its_trace_and_its_request() -> None:
    outside = request_id.set("00ff")
    try:
        raise RuntimeError("why")
    except RuntimeError as fault:
        error = (RuntimeError, fault, fault.__traceback__)
        record = logging.LogRecord("hub.x", logging.ERROR, "f", 1, "what %s", ("now",), error)
        line = json.loads(JsonLines().format(record))
    finally:
        request_id.reset(outside)
    assert (line["level"], line["logger"], line["message"], line["requestId"]) == ("error", "hub.x", "what now", "00ff")
    assert line["error"].endswith("RuntimeError: why")
