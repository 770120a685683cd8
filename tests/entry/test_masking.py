"""What a client is told of an error, by each way that an answer can leave."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NewType

import pytest
import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from hub.entry.app import create_app
from hub.entry.masking import told
from tests.entry.test_graphql_ws import begin, got, operation, send, socket_of
from tests.entry.toys import SECRET, ToyHub, client_of, settings_of

Even = NewType("Even", int)


def _even(value: object) -> int:
    if value == 13:
        raise RuntimeError(SECRET)
    if not isinstance(value, int) or value % 2:
        raise ValueError("Even is an even number")
    return value


@strawberry.type
class Query:
    @strawberry.field
    def half(self, number: Even) -> int:
        return number // 2

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError(SECRET)


EVEN = strawberry.scalar(name="Even", serialize=int, parse_value=_even)
SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(scalar_map={Even: EVEN}))
Ask = Callable[..., Awaitable[list[dict[str, Any]]]]
WAYS = ("POST", "GET", "WebSocket")


@asynccontextmanager
async def asking(way: str, mode: str = "development") -> AsyncIterator[Ask]:
    """A function that asks by this way and gives the errors that came back."""
    app = create_app(ToyHub().hub, settings_of(mode=mode, get="true"), schema=SCHEMA)
    if way == "WebSocket":
        async with socket_of(app=app) as ws:
            await begin(ws)

            async def by_socket(query: str, **variables: object) -> list[dict[str, Any]]:
                await send(ws, operation("1", query, variables=variables))
                payload = (await got(ws))["payload"]
                errors: list[dict[str, Any]] = payload["errors"] if isinstance(payload, dict) else payload
                return errors

            yield by_socket
        return
    async with client_of(app) as hub:

        async def by_http(query: str, **variables: object) -> list[dict[str, Any]]:
            if way == "GET":
                params = {"query": query, "variables": json.dumps(variables)}
                answer = await hub.get("/graphql", params=params)
            else:
                answer = await hub.post("/graphql", json={"query": query, "variables": variables})
            errors: list[dict[str, Any]] = answer.json()["errors"]
            return errors

        yield by_http


@pytest.mark.parametrize("way", WAYS)
async def test_fault_is_masked_by_every_way(way: str) -> None:
    async with asking(way) as ask:
        errors = await ask("{ broken }")
    assert [(error["message"], error["extensions"]["code"]) for error in errors] == [("internal error", "INTERNAL")]
    assert SECRET not in json.dumps(errors)


@pytest.mark.parametrize("way", WAYS)
async def test_fault_in_reading_a_value_is_masked_and_what_a_scalar_says_is_told(way: str) -> None:
    query = "query ($n: Even!) { half(number: $n) }"
    async with asking(way) as ask:
        fault, refusal = await ask(query, n=13), await ask(query, n=3)
        fault += await ask("{ half(number: 13) }")
    assert [(error["message"], error["extensions"]["code"]) for error in fault] == [("internal error", "INTERNAL")] * 2
    assert SECRET not in json.dumps(fault)
    assert "Even is an even number" in refusal[0]["message"]
    assert refusal[0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("query", ["{ brken }", "{ half(numbr: 2) }", "query ($n: Evn) { half(number: $n) }"])
async def test_production_suggests_no_names_by_any_way(way: str, query: str) -> None:
    async with asking(way) as ask:
        development = await ask(query)
    async with asking(way, "production") as ask:
        production = await ask(query)
    assert any("Did you mean" in error["message"] for error in development)
    assert not any("Did you mean" in error["message"] for error in production)


def test_error_always_has_a_code_and_a_request_id() -> None:
    assert told(GraphQLError("wrong"), "7f", is_production=True) == {
        "message": "wrong", "extensions": {"code": "BAD_USER_INPUT", "requestId": "7f"}
    }  # fmt: skip
    with_path = told(GraphQLError(SECRET, path=["a", 0]), "7f", is_production=True)
    assert with_path == {
        "message": "internal error", "extensions": {"code": "INTERNAL", "requestId": "7f"}, "path": ["a", 0]
    }  # fmt: skip
