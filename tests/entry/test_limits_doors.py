"""The same limits behind every door: POST, GET, WebSocket and event streams, queries and subscriptions."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.entry import bounds, limits, pricing
from hub.entry.limits import Documents, checked
from schema import schema
from tests.entry.test_graphql_ws import begin, got, operation, send, socket_of
from tests.entry.toys import ToyHub, app_of, asked, client_of

DEAR = "{ item { items(first: 100) { items(first: 100) { items(first: 100) { name } } } } }"
DEEP = "subscription { " + "forever { " * 13 + "a" + " }" * 14
GUIDE = Path(__file__).parents[2] / "hub" / "docs" / "graphql-guide.md"


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


async def test_what_is_too_dear_runs_by_no_door() -> None:
    app = app_of(ToyHub())
    async with client_of(app) as client:
        assert code_of(await asked(client, DEAR)) == "COST_LIMIT_EXCEEDED"
        assert code_of(await client.get("/graphql", params={"query": DEAR})) == "COST_LIMIT_EXCEEDED"
        stream = await client.post(
            "/graphql", json={"query": DEAR}, headers={"accept": "text/event-stream"}
        )  # fmt: skip
        assert "COST_LIMIT_EXCEEDED" in stream.text
    async with socket_of(app=app) as ws:
        await begin(ws)
        await send(ws, operation("1", DEAR), operation("2", DEEP))
        told = [await got(ws) for _ in range(2)]
    assert {(frame["type"], frame["payload"][0]["extensions"]["code"]) for frame in told} == {
        ("error", "COST_LIMIT_EXCEEDED")
    }
    assert app.state.metrics.value("hub_graphql_refusals_total", reason="cost") == 4


async def test_subscriptions_draw_and_are_throttled_for_their_id_alone() -> None:
    app = app_of(ToyHub(), cost_maximum="12000", cost_restore="1")
    items = "query ($n: Int!) { item { items(first: $n) { items(first: $n) { number } } } }"
    async with socket_of(app=app) as ws:
        await begin(ws)
        await send(ws, operation("forever", "subscription { forever }"))
        assert (await got(ws))["type"] == "next"
        codes: list[Any] = []
        while len(codes) < 3:
            await send(ws, operation(f"{len(codes)}", items, variables={"n": 100}))
            frame = await got(ws)
            codes.append(frame["payload"][0]["extensions"] if frame["type"] == "error" else frame["type"])
            if frame["type"] == "next":
                assert (await got(ws))["type"] == "complete"
        await send(ws, operation("small", "{ viewer }"))
        assert (await got(ws))["payload"] == {"data": {"viewer": "ANONYMOUS"}}
    assert codes[0] == "next"  # 10,102 of 12,000
    assert {told["code"] for told in codes[1:]} == {"THROTTLED"}
    assert all(told["retryAfterMs"] > 1000 for told in codes[1:])


@pytest.mark.parametrize(
    "words",
    [
        f"| document | {limits.MAX_DOCUMENT // 1024} KiB, {bounds.MAX_TOKENS} tokens |",
        f"| variables | {limits.MAX_VARIABLE_BYTES // 1024} KiB as JSON, {bounds.MAX_VARIABLES} of them |",
        f"fields in each other | {bounds.MAX_DEPTH} |",
        f"selections in each other, fragments and all | {bounds.MAX_NESTING} |",
        f"fields, once fragments are put in | {bounds.MAX_FIELDS} |",
        f"| cost | {pricing.MAX_COST // 1000} 000 | aliases, once fragments are put in | {bounds.MAX_ALIASES} |",
        f"| page | {pricing.MAX_PAGE} rows | one response key written in one place | {bounds.MAX_SAME_KEY} |",
        f"| {bounds.MAX_ROOTS} | directives | {bounds.MAX_DIRECTIVES}, ",
        f"directives | {bounds.MAX_DIRECTIVES}, {bounds.MAX_DIRECTIVES_HERE} in one place |",
        f"| mutations | {bounds.MAX_MUTATIONS} |",
        f"{bounds.MAX_FRAGMENTS}, {bounds.MAX_SPREADS}, {bounds.MAX_OPERATIONS} |",
        f"| execution of a query | {limits.EXECUTION_S:g} s |",
        f"{bounds.MAX_ENTRIES} fields, {bounds.MAX_ITEMS} items |",
        f"Validation names the first {limits.MAX_COMPLAINTS} mistakes",
        f"A document that is refused costs {limits.REFUSED_COST};",
    ],
)
def test_the_guide_tells_the_limits_that_hold(words: str) -> None:
    assert words in GUIDE.read_text()


def test_the_guide_s_example_costs_what_it_says() -> None:
    (block,) = re.findall(r"```graphql\n(query Catalogue.*?)```", GUIDE.read_text(), re.DOTALL)
    (cost,) = re.findall(r"# 1 \+ .* = (\d+)", block)
    assert checked(Documents(schema._schema), block, {"n": 20}).measured.cost(None, {"n": 20}) == int(cost)
