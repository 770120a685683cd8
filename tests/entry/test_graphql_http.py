"""GraphQL over HTTP: which media type, which status, and that a refused request has done nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from hub.entry.graphql_http import GRAPHQL_JSON, JSON, negotiated
from tests.entry.toys import SECRET, ToyHub, asked, client

BUY = "mutation { buy(number: 7) }"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def got(toys: ToyHub | None = None, *, accept: str | None = None, **params: str) -> httpx.Response:
    async with client(toys) as hub:
        return await hub.get("/graphql", params=params, headers={"accept": accept} if accept else {})


async def posted(body: bytes, content_type: str | None = JSON, toys: ToyHub | None = None) -> httpx.Response:
    async with client(toys) as hub:
        headers = {"content-type": content_type} if content_type else {}
        return await hub.post("/graphql", content=body, headers=headers)


def codes(answer: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, {JSON}", GRAPHQL_JSON),
        (f"{JSON}, {GRAPHQL_JSON}", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, {JSON};q=0.9, */*;q=0.1", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0.5, {JSON};q=0.9", JSON),
        (f"{GRAPHQL_JSON};q=0.5, */*", JSON),
        (f"{GRAPHQL_JSON};q=0, */*", JSON),
        (f"{JSON};q=0, */*", GRAPHQL_JSON),
        ("APPLICATION/JSON", JSON),
        ("text/plain", None),
        ("*/*;q=0", None),
        (f"{JSON};q=nonsense", None),
    ],
)
def test_media_type_is_the_one_that_is_preferred(accept: str | None, media_type: str | None) -> None:
    assert negotiated(accept) == media_type


async def test_answer_carries_the_media_type_in_utf8() -> None:
    async with client() as hub:
        answer = await asked(hub, '{ echo(text: "知识") }', accept=GRAPHQL_JSON)
    assert answer.headers["content-type"] == f"{GRAPHQL_JSON}; charset=utf-8"
    assert answer.content == '{"data":{"echo":"知识"}}'.encode()


async def test_nothing_acceptable_is_406() -> None:
    answer = await got(accept="text/plain", query="{ viewer }")
    assert answer.status_code == 406
    assert "data" not in answer.json()


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{", None),
        ("{ nope }", None),
        ("query A { viewer } query B { viewer }", "unknown operation"),
        ("query ($times: Int!) { echo(text: \"a\", times: $times) }", {"times": "many"}),
        ("query ($times: Int!) { echo(text: \"a\", times: $times) }", None),
    ],
    ids=["syntax", "validation", "operation", "coercion", "missing variable"],
)  # fmt: skip
async def test_request_error_has_no_data_and_the_status_of_its_media_type(query: str, variables: object) -> None:
    body = {"query": query, "variables": variables}
    if variables == "unknown operation":
        body = {"query": query, "operationName": "C"}
    async with client() as hub:
        new = await hub.post("/graphql", json=body, headers={"accept": GRAPHQL_JSON})
        old = await hub.post("/graphql", json=body, headers={"accept": JSON})
    assert (new.status_code, old.status_code) == (400, 200)
    assert "data" not in new.json()
    assert "data" not in old.json()
    assert codes(new) == codes(old) == ["BAD_USER_INPUT"]


async def test_error_in_a_field_is_200_with_the_other_fields() -> None:
    async with client() as hub:
        answer = await asked(hub, "{ item { name forbidden } }", accept=GRAPHQL_JSON)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"item": {"name": "root", "forbidden": None}}
    assert answer.json()["errors"][0]["path"] == ["item", "forbidden"]
    assert codes(answer) == ["FORBIDDEN"]


async def test_mutation_by_post_is_done_and_by_get_405_and_not_done() -> None:
    toys = ToyHub()
    refused = await got(toys, query=BUY)
    assert (refused.status_code, refused.headers["allow"], toys.bought) == (405, "POST", [])
    async with client(toys) as hub:
        done = await asked(hub, BUY)
    assert (done.json(), toys.bought) == ({"data": {"buy": 7}}, [7])


async def test_subscription_without_a_stream_is_406() -> None:
    async with client() as hub:
        by_post = await asked(hub, "subscription { count(to: 2) }")
    by_get = await got(query="subscription { count(to: 2) }")
    assert (by_post.status_code, by_get.status_code) == (406, 406)


async def test_query_by_get_reads_its_variables() -> None:
    query = "query Q($text: String!) { echo(text: $text) }"
    answer = await got(query=query, variables='{"text":"a"}', operationName="Q")
    assert answer.json() == {"data": {"echo": "a"}}


@pytest.mark.parametrize("variables", ["{", "[1]", '"a"', "\xff"])
async def test_variables_by_get_that_are_no_object_are_400(variables: str) -> None:
    assert (await got(query="{ viewer }", variables=variables)).status_code == 400


async def test_get_that_is_switched_off_is_405_and_post_still_works() -> None:
    async with client(get="false") as hub:
        refused = await hub.get("/graphql", params={"query": "{ viewer }"})
        answer = await asked(hub, "{ viewer }")
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert answer.json() == {"data": {"viewer": "ANONYMOUS"}}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_method_is_405_and_names_ours(method: str) -> None:
    async with client() as hub:
        answer = await hub.request(method, "/graphql", json={"query": "{ viewer }"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


async def test_options_names_the_methods_and_head_answers_without_a_body() -> None:
    async with client() as hub:
        options = await hub.options("/graphql")
        head = await hub.head("/graphql", params={"query": "{ viewer }"})
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/plain; application/json",
        "application/json; charset=utf-16",
    ],
)
async def test_other_body_than_json_in_utf8_is_415_and_does_nothing(content_type: str | None) -> None:
    toys = ToyHub()
    answer = await posted(orjson.dumps({"query": BUY}), content_type, toys)
    assert (answer.status_code, toys.bought) == (415, [])


@pytest.mark.parametrize("content_type", ["Application/JSON", 'application/json; charset="UTF-8"'])
async def test_json_is_known_however_it_is_spelled(content_type: str) -> None:
    assert (await posted(b'{"query":"{viewer}"}', content_type)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"1",
        b'"{ viewer }"',
        b"[]",
        b'[{"query":"{viewer}"}]',
        b"{}",
        b'{"query":null}',
        b'{"query":{}}',
        b'{"query":"{viewer}","variables":[]}',
        b'{"query":"{viewer}","variables":"{}"}',
        b'{"query":"{viewer}","operationName":1}',
        b'{"query":"{viewer}","extensions":[]}',
        b'{"query":"\xff\xfe"}',
        b'{"query":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 5_000,
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_body_that_is_no_request_is_400(body: bytes) -> None:
    answer = await posted(body)
    assert answer.status_code == 400
    assert "data" not in answer.json()


async def test_half_a_character_in_a_document_is_a_request_error() -> None:
    answer = await posted(rb'{"query":"{ echo(text: \"\\ud800\") }"}')
    assert (answer.status_code, codes(answer)) == (200, ["BAD_USER_INPUT"])


async def test_empty_query_is_400() -> None:
    assert (await posted(b'{"query":""}')).status_code == 400


async def test_body_beyond_a_mebibyte_is_413_however_it_says_its_length() -> None:
    def chunks() -> list[bytes]:
        return [b" " * 65536] * 17

    async def streamed() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    async with client() as hub:
        told = await hub.post("/graphql", content=b"".join(chunks()), headers={"content-type": JSON})
        untold = await hub.post("/graphql", content=streamed(), headers={"content-type": JSON})
    assert (told.status_code, untold.status_code) == (413, 413)


async def test_browser_is_sent_to_graphiql_and_wildcards_are_not() -> None:
    browser = await got(accept=BROWSER)
    wildcard = await got(accept="*/*", query="{ viewer }")
    assert (browser.status_code, browser.headers["location"]) == (303, "/graphiql")
    assert (wildcard.status_code, wildcard.json()) == (200, {"data": {"viewer": "ANONYMOUS"}})


async def test_browser_is_not_sent_to_a_graphiql_that_is_off() -> None:
    async with client(graphiql="false") as hub:
        answer = await hub.get("/graphql", params={"query": "{ viewer }"}, headers={"accept": BROWSER})
        page = await hub.get("/graphiql")
    assert (answer.status_code, page.status_code) == (200, 404)


async def test_unexpected_error_is_masked_and_its_trace_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with client() as hub:
        answer = await asked(hub, "{ item { broken } }")
    own_id = answer.headers["x-request-id"]
    assert answer.json()["errors"] == [
        {
            "message": "internal error",
            "extensions": {"code": "INTERNAL", "requestId": own_id},
            "locations": [{"line": 1, "column": 10}],
            "path": ["item", "broken"],
        }
    ]
    assert SECRET not in answer.text
    masked = [record for record in caplog.records if record.name == "hub.entry.masking"]
    assert [record.levelno for record in masked] == [logging.ERROR]
    assert masked[0].exc_info
    assert str(masked[0].exc_info[1]) == SECRET


async def test_production_suggests_no_names() -> None:
    async with client() as hub:
        development = await asked(hub, "{ viewr }")
    async with client(mode="production") as hub:
        production = await asked(hub, "{ viewr }")
    assert "Did you mean 'viewer'?" in development.text
    assert production.json()["errors"][0]["message"] == "Cannot query field 'viewr' on type 'Query'."


async def test_each_operation_knows_the_request_id_that_its_answer_carries() -> None:
    async with client() as hub:
        first, second = await asked(hub, "{ requestId }"), await asked(hub, "{ requestId }")
    assert first.json()["data"]["requestId"] == first.headers["x-request-id"]
    assert second.json()["data"]["requestId"] == second.headers["x-request-id"]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_body_that_does_not_come_is_408_and_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.entry.graphql_http.BODY_WITHIN_S", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"query":'
        await asyncio.Event().wait()

    async with client() as hub:
        answer = await hub.post("/graphql", content=trickle(), headers={"content-type": JSON})
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert codes(answer) == ["BAD_USER_INPUT"]
