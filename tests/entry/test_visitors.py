"""Who gets GraphiQL's page where it is for some kinds of viewers."""

import base64

import httpx
import pytest

from tests.entry.toys import ToyHub, client


def basic(password: str, name: str = "me") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def pages(authorization: str | None, **flags: str) -> list[httpx.Response]:
    toys = ToyHub()
    if authorization is not None:
        authorization = authorization.replace("TOKEN", toys.token())
        if authorization.startswith("Basic "):
            authorization = basic(authorization.removeprefix("Basic "))
    headers = {"authorization": authorization} if authorization is not None else {}
    async with client(toys, **flags) as hub:
        return [await hub.get(path, headers=headers) for path in ("/graphiql", "/graphiql/LICENSES.txt")]


@pytest.mark.parametrize("authorization", ["Bearer TOKEN", "Basic TOKEN"])
async def test_viewer_of_a_kind_that_is_named_gets_the_page_by_bearer_and_by_basic(authorization: str) -> None:
    assert [page.status_code for page in await pages(authorization, graphiql="user")] == [200, 200]


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic x", "Basic ", "Digest x", ""])
async def test_browser_without_a_credential_that_is_taken_is_asked_for_one(authorization: str | None) -> None:
    for page in await pages(authorization, graphiql="user"):
        assert page.status_code == 401
        assert page.headers["www-authenticate"] == 'Basic realm="GraphiQL", charset="UTF-8"'
        assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("header", ["Basic !!!", "Basic /w==", "Basic"])
async def test_basic_that_is_none_is_asked_for_again(header: str) -> None:
    async with client(graphiql="user") as hub:
        assert (await hub.get("/graphiql", headers={"authorization": header})).status_code == 401


async def test_viewer_of_another_kind_is_refused() -> None:
    assert [page.status_code for page in await pages("Bearer TOKEN", graphiql="operator")] == [403, 403]


async def test_page_for_everybody_asks_for_nothing_and_one_for_nobody_is_not_there() -> None:
    assert [page.status_code for page in await pages("Bearer x", graphiql="true")] == [200, 200]
    assert [page.status_code for page in await pages(None, graphiql="false")] == [404, 404]


async def test_basic_is_no_credential_of_graphql_itself() -> None:
    """A browser sends it by itself to every address nearby: nothing may be done in a person's name by that."""
    toys = ToyHub()
    async with client(toys, graphiql="user") as hub:
        answer = await hub.post(
            "/graphql", json={"query": "{ viewer }"}, headers={"authorization": basic(toys.token())}
        )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
