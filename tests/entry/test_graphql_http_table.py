"""Each row of chapter 04's table for GET and POST and both media types, and that nothing that comes gets a 5xx."""

import asyncio
import json
from collections.abc import Callable, MutableMapping
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from hub.entry.asked import MAX_DEPTH, MAX_PARTS, NotARequest, parts_of_url, read_json
from hub.entry.graphql_http import GRAPHQL_JSON, JSON
from tests.entry.toys import ToyHub, app_of, client

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
DATA = {"viewer": "ANONYMOUS"}


async def sent(hub: httpx.AsyncClient, method: str, accept: str, **parts: Any) -> httpx.Response:
    if method == "POST":
        return await hub.post("/graphql", json=parts, headers={"accept": accept})
    params = {name: part if isinstance(part, str) else json.dumps(part) for name, part in parts.items()}
    return await hub.get("/graphql", params=params, headers={"accept": accept})


each_way = pytest.mark.parametrize("method", ["GET", "POST"])
each_type = pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])


@each_way
@each_type
async def test_answer_comes_in_the_media_type_that_is_named(method: str, accept: str) -> None:
    async with client() as hub:
        answer = await sent(hub, method, accept, query="{ viewer }")
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{accept}; charset=utf-8")
    assert answer.json() == {"data": DATA}
    assert answer.headers["cache-control"] == "private, no-store"


@each_way
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        (f"{GRAPHQL_JSON};q=0.8, {JSON}", JSON),
        (f"{GRAPHQL_JSON}, {JSON};q=0.8", GRAPHQL_JSON),
    ],
)
async def test_weights_are_honoured_and_a_wildcard_means_the_older_type(
    method: str, accept: str, media_type: str
) -> None:
    async with client() as hub:
        answer = await sent(hub, method, accept, query="{ viewer }")
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"


@each_way
async def test_nothing_acceptable_is_406_with_a_graphql_error(method: str) -> None:
    async with client() as hub:
        answer = await sent(hub, method, "image/png", query="{ viewer }")
    assert answer.status_code == 406
    assert list(answer.json()) == ["errors"]


@each_way
@each_type
@pytest.mark.parametrize(
    "parts",
    [
        {"query": "{"},
        {"query": "{ nope }"},
        {"query": "query A { viewer }", "operationName": "B"},
        {"query": "query A { viewer } query B { viewer }"},
        {"query": "query ($n: Int!) { echo(text: \"a\", times: $n) }", "variables": {"n": "many"}},
        {"query": "query ($n: Int!) { echo(text: \"a\", times: $n) }", "variables": {"n": 10**30}},
        {"query": "query ($n: Int!) { echo(text: \"a\", times: $n) }"},
    ],
    ids=["syntax", "validation", "operation", "operations", "coercion", "huge number", "missing variable"],
)  # fmt: skip
async def test_request_error_has_no_data_and_400_under_the_newer_type_alone(
    method: str, accept: str, parts: dict[str, Any]
) -> None:
    async with client() as hub:
        answer = await sent(hub, method, accept, **parts)
    assert answer.status_code == (400 if accept == GRAPHQL_JSON else 200)
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"
    assert list(answer.json()) == ["errors"]
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["BAD_USER_INPUT"]


@each_way
@each_type
async def test_several_operations_need_a_name_and_the_named_one_runs(method: str, accept: str) -> None:
    query = 'query A { echo(text: "a") } query B { echo(text: "b") }'
    async with client() as hub:
        unnamed = await sent(hub, method, accept, query=query)
        empty = await sent(hub, method, accept, query=query, operationName="")
        named = await sent(hub, method, accept, query=query, operationName="B")
    message = "Must provide operation name if query contains multiple operations."
    assert [answer.json()["errors"][0]["message"] for answer in (unnamed, empty)] == [message] * 2
    assert named.json() == {"data": {"echo": "b"}}


@each_way
@each_type
async def test_error_with_a_path_is_200_with_the_rest_of_the_data(method: str, accept: str) -> None:
    async with client() as hub:
        answer = await sent(hub, method, accept, query="{ item { name broken } }")
    assert (answer.status_code, answer.json()["data"]) == (200, {"item": {"name": "root", "broken": None}})
    assert answer.json()["errors"][0]["path"] == ["item", "broken"]


@each_type
async def test_mutation_is_405_by_get_and_done_by_post_alone(accept: str) -> None:
    toys = ToyHub()
    async with client(toys) as hub:
        by_get = await sent(hub, "GET", accept, query="mutation { buy(number: 7) }")
        assert (by_get.status_code, by_get.headers["allow"], toys.bought) == (405, "POST", [])
        by_post = await sent(hub, "POST", accept, query="mutation { buy(number: 7) }")
    assert (by_post.json(), toys.bought) == ({"data": {"buy": 7}}, [7])


@each_way
@each_type
async def test_subscription_without_a_stream_to_take_it_is_406(method: str, accept: str) -> None:
    async with client() as hub:
        answer = await sent(hub, method, accept, query="subscription { count(to: 2) }")
    assert (answer.status_code, list(answer.json())) == (406, ["errors"])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "PROPFIND"])
@each_type
async def test_other_method_is_405_and_told_which(method: str, accept: str) -> None:
    async with client() as hub:
        answer = await hub.request(method, "/graphql", json={"query": "{ viewer }"}, headers={"accept": accept})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"


@each_type
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_body_that_a_foreign_page_could_send_is_415(accept: str, content_type: str) -> None:
    toys, headers = ToyHub(), {"content-type": content_type, "accept": accept}
    async with client(toys) as hub:
        answer = await hub.post("/graphql", content=b'{"query":"mutation{buy(number:7)}"}', headers=headers)
    assert (answer.status_code, list(answer.json()), toys.bought) == (415, ["errors"], [])


@each_type
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"a"', b"[{\"query\":\"{viewer}\"},{\"query\":\"{viewer}\"}]", b'{"query":"\xff"}', b'{"a":' * 70,
     b'{"query":"{viewer}","variables":{"a":1e999}}', b'{"variables":' + b"[" * 65 + b"]" * 65 + b"}"],
    ids=["empty", "list", "text", "batch", "bad UTF-8", "broken", "number", "deep"],
)  # fmt: skip
async def test_body_that_is_no_request_is_400_with_a_graphql_error(accept: str, body: bytes) -> None:
    async with client() as hub:
        answer = await hub.post("/graphql", content=body, headers={"content-type": JSON, "accept": accept})
    assert (answer.status_code, list(answer.json())) == (400, ["errors"])
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"


@each_type
async def test_body_that_is_too_long_is_413_with_a_graphql_error(accept: str) -> None:
    async with client() as hub:
        answer = await hub.post(
            "/graphql", content=b" " * (1024 * 1024 + 1), headers={"content-type": JSON, "accept": accept}
        )  # fmt: skip
    assert (answer.status_code, list(answer.json())) == (413, ["errors"])
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"


async def test_compressed_body_is_415() -> None:
    async with client() as hub:
        headers = {"content-type": JSON, "content-encoding": "gzip"}
        answer = await hub.post("/graphql", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, list(answer.json())) == (415, ["errors"])


@pytest.mark.parametrize(
    "query_string",
    ["query=%7Bviewer%7D&query=%7Bviewer%7D", "query=%FF", "query=%C3%28", "&".join(f"a{i}=1" for i in range(21)),
     "query=%7Bviewer%7D&variables=%5B%5D", "query=%7Bviewer%7D&extensions=%7B", "", "query="],
)  # fmt: skip
async def test_url_that_is_no_request_is_400(query_string: str) -> None:
    async with client() as hub:
        answer = await hub.get(f"/graphql?{query_string}")
    assert (answer.status_code, list(answer.json())) == (400, ["errors"])


@pytest.mark.parametrize("accept", [BROWSER, "text/html"])
async def test_browser_is_sent_to_the_ide_by_get_alone(accept: str) -> None:
    async with client() as hub:
        by_get = await sent(hub, "GET", accept, query="{ viewer }")
        by_post = await sent(hub, "POST", f"{accept}, */*", query="{ viewer }")
    assert (by_get.status_code, by_get.headers["location"]) == (303, "/graphiql")
    assert by_post.status_code == 200


# ---- what is read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_json_is_read_to_so_deep_and_no_deeper(opening: str, closing: str) -> None:
    levels = 2 if "[{" in opening else 1
    within, beyond = MAX_DEPTH // levels, MAX_DEPTH // levels + 1
    assert read_json(opening * within + "1" + closing * within, "it")
    with pytest.raises(NotARequest, match="nested more than 64 deep"):
        read_json(opening * beyond + "1" + closing * beyond, "it")


def test_json_of_many_parts_is_refused_before_it_is_read() -> None:
    assert len(read_json("[" + "1," * (MAX_PARTS - 1) + "1]", "it")) == MAX_PARTS
    with pytest.raises(NotARequest, match="more than 65536 parts"):
        read_json("[" + "1," * MAX_PARTS + "1]", "it")


def test_text_of_many_brackets_is_not_taken_for_depth() -> None:
    assert read_json(orjson.dumps({"query": "{[" * 1000}), "it") == {"query": "{[" * 1000}


@given(st.binary(max_size=200))
def test_url_is_read_or_refused(query_string: bytes) -> None:
    try:
        assert isinstance(parts_of_url(query_string), dict)
    except NotARequest:
        pass


# ---- whatever comes ----------------------------------------------------------------------------------------------

QUERIES = (
    "{ viewer }", "{ item { name } }", "mutation { buy(number: 1) }", "subscription { count(to: 1) }",
    'query ($a: Int) { echo(text: "a", times: $a) }', "query A { viewer } query B { viewer }", "{", "\x00", "\ud800",
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(QUERIES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
almost = st.fixed_dictionaries(
    {},
    optional={
        "query": st.sampled_from(QUERIES) | anything,
        "variables": st.dictionaries(st.sampled_from("ab"), anything) | anything,
        "operationName": st.sampled_from(["A", "", "\x00"]) | anything,
        "documentId": st.sampled_from(["a", "sha256:a"]) | anything,
        "extensions": st.fixed_dictionaries({"persistedQuery": anything}) | anything,
    },
)
bodies = st.binary(max_size=64) | (almost | anything).map(lambda value: json.dumps(value).encode())
media = st.sampled_from([JSON, GRAPHQL_JSON, "*/*", "text/event-stream", "multipart/mixed", "text/html;q=x", "a/b;;q"])
header = st.binary(max_size=24).filter(lambda value: not set(value) & {0, 10, 13}) | media.map(str.encode)
headers = st.lists(
    st.tuples(
        st.sampled_from([b"accept", b"content-type", b"authorization", b"idempotency-key", b"content-encoding",
                         b"content-length", b"cookie", b"origin", b"if-none-match", b"x-forwarded-for"]),
        header,
    ),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module", params=["open", "apq", "trusted"])
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that puts one raw request to a hub: status, media type and body of the answer."""
    flags = {"documents": request.param}
    if request.param == "trusted":
        manifest = tmp_path_factory.mktemp("trusted") / "persisted.json"
        manifest.write_text('{"a": "query A { viewer }"}')
        flags |= {"documents_manifest": str(manifest), "documents_cache": "A:60"}
    app = app_of(ToyHub(), **flags)
    with asyncio.Runner() as runner:
        yield lambda *parts: runner.run(_answered(app, *parts))


async def _answered(
    app: Starlette, method: str, query_string: bytes, raw: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, str, bytes]:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": "/graphql", "raw_path": b"/graphql", "query_string": query_string, "root_path": "", "headers": raw,
        "client": ("192.0.2.1", 1), "server": ("hub.test", 80), "app": app,
    }  # fmt: skip
    came: list[MutableMapping[str, Any]] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        came.append(message)

    await app(scope, receive, send)
    named = dict(came[0]["headers"])
    return came[0]["status"], named.get(b"content-type", b"").decode(), b"".join(m.get("body", b"") for m in came)


@given(
    method=st.sampled_from(["POST", "GET", "HEAD", "PUT", "OPTIONS", "\x7f"]),
    query_string=st.binary(max_size=40) | st.sampled_from([b"query=%7Bviewer%7D", b"documentId=a"]),
    raw=headers,
    body=bodies,
    is_json=st.booleans(),
)
@example(method="POST", query_string=b"", raw=[], body=b"[" * 5000, is_json=True)
@example(method="POST", query_string=b"", raw=[], body=b'{"query":"\\ud800"}', is_json=True)
@example(method="GET", query_string=b"query=%ff%00", raw=[], body=b"", is_json=False)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_comes_is_answered_by_a_server_error(
    ask: Callable[..., tuple[int, str, bytes]],
    method: str,
    query_string: bytes,
    raw: list[tuple[bytes, bytes]],
    body: bytes,
    is_json: bool,
) -> None:
    if is_json:
        raw = [(name, value) for name, value in raw if name != b"content-type"] + [(b"content-type", JSON.encode())]
    status, media_type, answer = ask(method, query_string, raw, body)
    assert status < 500
    if answer and media_type.startswith(("application/json", GRAPHQL_JSON)):
        told = orjson.loads(answer)
        assert set(told) & {"data", "errors"}
        assert "INTERNAL" not in [error["extensions"]["code"] for error in told.get("errors", [])]
    else:
        assert status in (204, 303) or method == "HEAD" or media_type.startswith(("text/event-stream", "multipart/"))
