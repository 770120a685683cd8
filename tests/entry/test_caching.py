"""Answers that anybody may keep: only to a GET of a trusted query that the operator named, and only a stranger's."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from hub.entry.caching import etag_of, is_known
from hub.entry.graphql_http import GRAPHQL_JSON
from hub.entry.manifests import trusted_documents
from hub.entry.settings import SettingRefused
from tests.entry.toys import ToyHub, client

TEXTS = {
    "echo": "query Echo($text: String!) { echo(text: $text) }",
    "who": "query Who { viewer }",
    "broken": "query Broken { item { name broken } }",
    "two": 'query Short { echo(text: "a") } query Long { echo(text: "b") }',
    "private": "query Private { viewer }",
    "buy": "mutation Buy { buy(number: 7) }",
}
CACHE = "Echo:60,Who:300,Broken:60,Short:9"
PRIVATE = "private, no-store"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "persisted.json"
    file.write_text(json.dumps(TEXTS))
    return file


@asynccontextmanager
async def trusted(manifest: Path, toys: ToyHub | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with client(
        toys, documents="trusted", documents_manifest=str(manifest), documents_cache=CACHE
    ) as hub:  # fmt: skip
        yield hub


async def got(hub: httpx.AsyncClient, id_: str, params: dict[str, str] | None = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await hub.get("/graphql", params={"documentId": id_, **(params or {})}, headers=named)


async def test_named_query_may_be_kept_by_anybody_and_is_not_sent_twice(manifest: Path) -> None:
    variables = {"variables": '{"text":"a"}'}
    async with trusted(manifest) as hub:
        first = await got(hub, "echo", variables)
        again = await got(hub, "echo", variables, if_none_match=first.headers["etag"])
        other = await got(hub, "echo", {"variables": '{"text":"b"}'}, if_none_match=first.headers["etag"])
    assert first.json() == {"data": {"echo": "a"}}
    assert first.headers["cache-control"] == "public, max-age=60"
    assert first.headers["vary"] == "Accept, Authorization, Origin"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["cache-control"] == "public, max-age=60"
    assert (other.status_code, other.json()) == (200, {"data": {"echo": "b"}})


async def test_hash_as_apollo_and_urql_send_it_is_kept_alike(manifest: Path) -> None:
    hash_ = hashlib.sha256(TEXTS["who"].encode()).hexdigest()
    extensions = json.dumps({"persistedQuery": {"version": 1, "sha256Hash": hash_}})
    async with trusted(manifest) as hub:
        answer = await hub.get("/graphql", params={"extensions": extensions})
    assert answer.headers["cache-control"] == "public, max-age=300"


async def test_each_media_type_has_a_tag_of_its_own(manifest: Path) -> None:
    async with trusted(manifest) as hub:
        tags = {(await got(hub, "who", accept=accept)).headers["etag"] for accept in ("*/*", GRAPHQL_JSON)}
    assert len(tags) == 2


async def test_head_has_the_headers_of_get(manifest: Path) -> None:
    async with trusted(manifest) as hub:
        get = await got(hub, "who")
        head = await hub.head("/graphql", params={"documentId": "who"})
    assert head.content == b""
    assert [head.headers[name] for name in ("etag", "cache-control", "vary")] == [
        get.headers[name] for name in ("etag", "cache-control", "vary")
    ]


async def test_what_a_signed_in_viewer_sees_is_theirs_alone(manifest: Path) -> None:
    toys = ToyHub()
    async with trusted(manifest, toys) as hub:
        answer = await got(hub, "who", authorization=f"Bearer {toys.token()}")
    assert answer.json()["data"]["viewer"] != "ANONYMOUS"
    assert (answer.headers["cache-control"], "etag" in answer.headers) == (PRIVATE, False)


async def test_only_the_operation_that_is_named_may_be_kept(manifest: Path) -> None:
    async with trusted(manifest) as hub:
        answers = [
            await got(hub, "two", {"operationName": "Short"}),
            await got(hub, "two", {"operationName": "Long"}),
            await got(hub, "two"),
            await got(hub, "private"),
        ]
    assert [answer.headers["cache-control"] for answer in answers] == ["public, max-age=9", PRIVATE, PRIVATE, PRIVATE]


@pytest.mark.parametrize(
    ("id_", "params"),
    [
        ("broken", {}),
        ("echo", {}),
        ("echo", {"variables": '{"text":7}'}),
        ("who", {"operationName": "Nobody"}),
        ("unknown", {}),
        ("buy", {}),
    ],
)
async def test_answer_with_an_error_is_kept_by_nobody(manifest: Path, id_: str, params: dict[str, str]) -> None:
    async with trusted(manifest) as hub:
        answer = await got(hub, id_, params)
    assert "errors" in answer.json()
    assert (answer.headers["cache-control"], "etag" in answer.headers) == (PRIVATE, False)


async def test_answer_to_a_post_is_kept_by_nobody(manifest: Path) -> None:
    async with trusted(manifest) as hub:
        answer = await hub.post("/graphql", json={"documentId": "who"})
    assert answer.json() == {"data": {"viewer": "ANONYMOUS"}}
    assert answer.headers["cache-control"] == PRIVATE


async def test_nothing_is_kept_of_documents_that_anybody_may_send() -> None:
    hash_ = hashlib.sha256(TEXTS["who"].encode()).hexdigest()
    async with client(documents="apq") as hub:
        params = {"query": TEXTS["who"], "extensions": json.dumps({"persistedQuery": {"sha256Hash": hash_}})}
        answer = await hub.get("/graphql", params=params)
    assert answer.headers["cache-control"] == PRIVATE


@pytest.mark.parametrize("name", ["Buy", "Nobody"])
def test_name_that_no_trusted_query_has_is_refused_at_start(manifest: Path, name: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        trusted_documents([manifest], [(name, 60)])
    assert str(refused.value) == f"HUB_DOCUMENTS_CACHE: no trusted document has a query called {name!r}"


def test_tag_is_of_all_bytes_and_of_their_parts() -> None:
    assert etag_of(b"ab", b"c") != etag_of(b"a", b"bc") != etag_of(b"abc")
    assert etag_of(b"a") == etag_of(b"a")


@pytest.mark.parametrize(
    ("header", "is_there"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False), ("", False)],
)
def test_tag_is_known_by_strong_weak_or_any(header: str, is_there: bool) -> None:
    assert is_known('"a"', header) is is_there


async def test_answer_that_a_proxy_keeps_is_kept_for_each_origin_apart(manifest: Path) -> None:
    """Else a page would get the answer that was made for a caller without an origin, and its browser would hide it."""
    flags = {"documents": "trusted", "documents_manifest": str(manifest), "documents_cache": CACHE}
    async with client(**flags, allowed_origins="https://shop.example") as hub:
        page = await got(hub, "who", origin="https://shop.example")
        other = await got(hub, "who", origin="https://evil.example")
        nobody = await got(hub, "who")
        preflight = await hub.options(
            "/graphql",
            headers={
                "origin": "https://shop.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,idempotency-key,if-none-match",
            },
        )
    assert ["origin" in answer.headers["vary"].lower() for answer in (page, other, nobody)] == [True] * 3
    assert [answer.headers.get("access-control-allow-origin") for answer in (page, other, nobody)] == [
        "https://shop.example", None, None,
    ]  # fmt: skip
    assert preflight.status_code == 200
