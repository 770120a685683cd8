"""GraphiQL in a real browser without internet access: it obeys its policy, runs everything, signs in by a link."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL

from hub.entry.graphiql import graphiql_routes
from hub.entry.sign_in import SignIn, own_names
from tests.entry.chromium import CTRL, Page, chromium

pytestmark = pytest.mark.browser


@strawberry.type
class Query:
    @strawberry.field
    def greeting(self, name: str) -> str:
        return f"Welcome, {name}"

    @strawberry.field
    def authorization(self, info: strawberry.Info) -> str | None:
        header: str | None = info.context["request"].headers.get("authorization")
        return header


@strawberry.type
class Mutation:
    @strawberry.mutation
    def add(self, a: int, b: int) -> int:
        return a + b


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, info: strawberry.Info, count: int) -> AsyncGenerator[str, None]:
        for number in range(1, count + 1):
            yield f"{number} of {count} for {info.context['connection_params'].get('Authorization', 'anybody')}"


async def token(kind: str) -> str:
    return f"the-{kind}s"


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The page beside a small schema on a free port of this machine; gives the origin."""
    graphql = GraphQL(
        strawberry.Schema(Query, Mutation, Subscription),
        graphql_ide=None,
        subscription_protocols=("graphql-transport-ws",),
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        demo = SignIn(("learner", "operator"), token, own_names(listener.getsockname()[1]))
        routes = [*graphiql_routes(demo), Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)]
        config = uvicorn.Config(Starlette(routes=routes), ws="websockets-sansio", lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"  # who comes too early waits in the socket's queue
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def opened(folder: Path, fragment: str = "") -> AsyncIterator[Page]:
    """GraphiQL, ready to be typed into; what it shows at the end is kept as a picture in `folder`."""
    async with served() as origin, chromium(folder) as browser:
        page = await browser.open(f"{origin}/graphiql{fragment}")
        await page.wait_for("document.querySelector('.graphiql-query-editor .view-line')")
        try:
            yield page
        finally:
            (folder / "graphiql.png").write_bytes(await page.screenshot())


async def run(page: Page, name: str, document: str) -> None:
    """Types the document over the present one, and presses the button once GraphiQL has read its name."""
    await page.click(".graphiql-query-editor .view-line")
    await page.press("a", "KeyA", 65, CTRL)
    await page.type(document)
    await page.wait_for(f"document.querySelector('.graphiql-tab-active .graphiql-tab-button').textContent === '{name}'")
    await page.click(".graphiql-execute-button")


async def answered(page: Page, data: object) -> None:
    """Waits until the answer's `data`, as the right half shows it, is `data`."""
    text = f"JSON.stringify(JSON.parse({model('response.json')} || '{{}}').data)"
    await page.wait_for(f"{text} === {json.dumps(json.dumps(data, separators=(',', ':')))}")


def model(file: str) -> str:
    """The whole text of one of GraphiQL's editors, as JavaScript; on the screen Monaco draws visible lines only."""
    return f"__MONACO.editor.getModels().find(m => m.uri.path.endsWith('{file}')).getValue()"


async def test_query_mutation_and_subscription_run_with_no_network_but_the_hub(tmp_path: Path) -> None:
    async with opened(tmp_path) as page:
        await run(page, "Hello", 'query Hello { greeting(name: "Li") }')
        await answered(page, {"greeting": "Welcome, Li"})
        await run(page, "Sum", "mutation Sum { add(a: 2, b: 40) }")
        await answered(page, {"add": 42})
        await run(page, "Clock", "subscription Clock { ticks(count: 3) }")
        await answered(page, {"ticks": "3 of 3 for anybody"})
        host = await page.evaluate("location.host")
    addresses = [urlsplit(address) for address in page.requests]
    assert page.complaints == []
    assert {address.netloc for address in addresses} == {host}
    assert {address.scheme for address in addresses} == {"http", "ws"}


async def test_editor_knows_the_schema_and_prettifies(tmp_path: Path) -> None:
    async with opened(tmp_path) as page:
        await page.click("[aria-label='Show Documentation Explorer']")
        await page.wait_for("document.querySelector('.graphiql-doc-explorer')?.textContent.includes('Subscription')")
        await run(page, "Wrong", "query Wrong { greetings }")
        marked = "__MONACO.editor.getModelMarkers({}).map(marker => marker.message).join()"
        await page.wait_for(f"{marked}.includes('Cannot query field \"greetings\"')")  # the worker says so
        await run(page, "Long", 'query Long { greeting(name:"Li"), authorization }')
        await page.click("[aria-label^='Prettify']")
        pretty = 'query Long {\n  greeting(name: "Li")\n  authorization\n}\n'
        await page.wait_for(f"{model('operation.graphql')} === {json.dumps(pretty)}")
    assert [request for request in page.requests if "/assets/graphql.worker-" in request]
    assert page.complaints == []


async def test_link_with_a_token_signs_in_and_leaves_no_trace_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path, "#token=one.secret_a-c") as page:
        await run(page, "Who", "query Who { authorization }")
        await answered(page, {"authorization": "Bearer one.secret_a-c"})
        await run(page, "Clock", "subscription Clock { ticks(count: 2) }")
        await answered(page, {"ticks": "2 of 2 for Bearer one.secret_a-c"})
        await page.goto(f"{await page.evaluate('location.href')}#token=another-secret")
        await page.wait_for(f"JSON.parse({model('request-headers.json')}).Authorization === 'Bearer another-secret'")
        await run(page, "Again", "query Again { authorization }")
        await answered(page, {"authorization": "Bearer another-secret"})
        address = await page.evaluate("location.href")
        await page.wait_for("localStorage['graphiql:tabState'].includes('Again')")
        stored = await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert address.endswith("/graphiql")
    assert "secret" not in stored
    assert not [request for request in page.requests if "token" in request]
    assert page.complaints == []


TABS = "[...document.querySelectorAll('.graphiql-tab-button')].map(tab => tab.textContent).join()"


async def test_the_tour_stands_in_tabs_and_one_click_signs_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as page:
        await page.wait_for(f"{TABS} === 'Me,Catalogue,Buy,Follow,Proof,MayOpen,Chain'")
        await page.wait_for("document.querySelectorAll('.sign-in button').length === 2")
        await page.click(".sign-in button:last-of-type")
        await page.wait_for(f"{model('request-headers.json')}.includes('Bearer the-operators')")
        await page.click(".graphiql-tab:nth-of-type(3) .graphiql-tab-button")
        await page.wait_for(f"{model('variables.json')}.includes('expectedAmount')")
        await page.wait_for(f"{model('request-headers.json')}.includes('Bearer the-operators')")
        await run(page, "Who", "query Who { authorization }")
        await answered(page, {"authorization": "Bearer the-operators"})
    assert page.complaints == []


async def test_history_brings_a_document_back_and_keeps_no_token(tmp_path: Path) -> None:
    async with opened(tmp_path, "#token=one.secret_a-c") as page:
        await run(page, "Who", "query Who { authorization }")
        await answered(page, {"authorization": "Bearer one.secret_a-c"})
        await page.wait_for("(localStorage['graphiql:queries'] ?? '').includes('query Who')")
        await page.goto(f"{await page.evaluate('location.href')}#token=another-secret")
        await page.wait_for(f"{model('request-headers.json')}.includes('Bearer another-secret')")
        await run(page, "Other", "query Other { __typename }")
        await answered(page, {"__typename": "Query"})
        await page.click("[aria-label='Show History']")
        await page.wait_for("document.querySelectorAll('.graphiql-history-item').length === 2")
        await page.click(".graphiql-history-item:last-of-type .graphiql-history-item-label")
        await page.wait_for(f"{model('operation.graphql')}.includes('query Who')")
        await page.wait_for("document.querySelector('.graphiql-tab-active .graphiql-tab-button').textContent === 'Who'")
        await page.click(".graphiql-execute-button")
        await answered(page, {"authorization": "Bearer another-secret"})
        stored = await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "query Who" in stored
    assert "secret" not in stored
    assert page.complaints == []
