"""Documents by their hash and trusted ones: what runs, what is kept, and that nothing else runs by any door."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import GraphQLError
from websockets.asyncio.client import ClientConnection

from hub.domain.people import ANONYMOUS, OPERATOR_SCOPES, Viewer, ViewerKind
from hub.entry import documents
from hub.entry.asked import TAKEN, Asked, asked_of
from hub.entry.documents import Persisted, StoredDocuments
from hub.entry.graphql_http import GRAPHQL_JSON, JSON
from hub.entry.manifests import Trusted, TrustedDocuments, trusted_documents
from hub.entry.settings import SettingRefused
from hub.entry.viewers import Viewers
from schema import schema
from tests.entry.test_graphql_ws import begin, got, send, socket_of
from tests.entry.toys import SCHEMA, ToyHub, app_of, client

VIEWER = "query Who { viewer }"
ECHO = "query Echo($text: String!) { echo(text: $text) }"
BUY = "mutation Buy { buy(number: 7) }"
COUNT = "subscription Count { count(to: 2) }"
OPERATOR = Viewer(ViewerKind.OPERATOR, scopes=OPERATOR_SCOPES)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(hash_: str, query: str | None = None, **more: Any) -> dict[str, Any]:
    """A request as Apollo Client and urql write it."""
    asked = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_}}, **more}
    return asked if query is None else {"query": query, **asked}


async def post(hub: httpx.AsyncClient, body: Mapping[str, Any], **headers: str) -> httpx.Response:
    return await hub.post("/graphql", json=body, headers=headers)


async def get(hub: httpx.AsyncClient, body: Mapping[str, Any], **headers: str) -> httpx.Response:
    params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    return await hub.get("/graphql", params=params, headers=headers)


def codes(answer: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


def manifest(folder: Path, *texts: str) -> str:
    file = folder / "persisted.json"
    file.write_text(json.dumps({sha256(text): text for text in texts}))
    return str(file)


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says `Bearer operator` is one."""
    known = Viewers.viewer

    async def viewer(self: Viewers, authorization: str | None) -> Viewer:
        return OPERATOR if authorization == "Bearer operator" else await known(self, authorization)

    monkeypatch.setattr(Viewers, "viewer", viewer)


# ---- automatic persisted queries ---------------------------------------------------------------------------------


async def test_document_that_ran_with_its_hash_runs_by_the_hash_alone_by_post_and_get() -> None:
    async with client(documents="apq") as hub:
        unknown = await post(hub, persisted(sha256(ECHO), variables={"text": "a"}))
        first = await post(hub, persisted(sha256(ECHO), ECHO, variables={"text": "b"}))
        by_post = await post(hub, persisted(sha256(ECHO), variables={"text": "c"}))
        by_get = await get(hub, persisted(sha256(ECHO), variables={"text": "d"}))
        by_id = await get(hub, {"documentId": f"sha256:{sha256(ECHO)}", "variables": {"text": "e"}})
    error = unknown.json()["errors"][0]
    assert (error["message"], error["extensions"]["code"]) == ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    assert [answer.json() for answer in (first, by_post, by_get, by_id)] == [{"data": {"echo": t}} for t in "bcde"]


async def test_document_is_registered_by_get_too() -> None:
    async with client(documents="apq") as hub:
        await get(hub, persisted(sha256(VIEWER), VIEWER))
        answer = await post(hub, persisted(sha256(VIEWER)))
    assert answer.json() == {"data": {"viewer": "ANONYMOUS"}}


async def test_hash_of_another_text_is_refused_and_nothing_kept() -> None:
    async with client(documents="apq") as hub:
        wrong = await post(hub, persisted(sha256(ECHO), VIEWER))
        after = [await post(hub, persisted(sha256(text))) for text in (ECHO, VIEWER)]
    assert codes(wrong) == ["BAD_USER_INPUT"]
    assert "data" not in wrong.json()
    assert [codes(answer) for answer in after] == [["PERSISTED_QUERY_NOT_FOUND"]] * 2


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ nope }",
        "{ item " + "{ items " * 12 + "{ name }" + " }" * 13,
        "{ item { items(first: 101) { name } } }",
        "query A { viewer } query B { viewer }",
        "{ viewer }".ljust(32 * 1024 + 1),
    ],
    ids=["syntax", "validation", "depth", "page", "several operations", "length"],
)
async def test_document_that_is_refused_is_not_kept(query: str) -> None:
    async with client(documents="apq") as hub:
        refused = await post(hub, persisted(sha256(query), query))
        again = await post(hub, persisted(sha256(query)))
    assert "data" not in refused.json()
    assert codes(again) == ["PERSISTED_QUERY_NOT_FOUND"]


async def test_mutation_by_hash_is_done_by_post_and_refused_by_get() -> None:
    toys = ToyHub()
    async with client(toys, documents="apq") as hub:
        await post(hub, persisted(sha256(BUY), BUY))
        by_get = await get(hub, persisted(sha256(BUY)))
        by_post = await post(hub, persisted(sha256(BUY)))
    assert (by_get.status_code, by_post.json(), toys.bought) == (405, {"data": {"buy": 7}}, [7, 7])


async def test_text_without_a_hash_runs_as_ever() -> None:
    async with client(documents="apq") as hub:
        assert (await post(hub, {"query": VIEWER})).json() == {"data": {"viewer": "ANONYMOUS"}}


async def test_hub_that_stores_nothing_says_so_in_the_words_that_clients_know() -> None:
    async with client() as hub:
        alone = await post(hub, persisted(sha256(VIEWER)))
        with_text = await post(hub, persisted(sha256(VIEWER), VIEWER))
    error = alone.json()["errors"][0]
    assert (error["message"], error["extensions"]["code"]) == (
        "PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED",
    )  # fmt: skip
    assert with_text.json() == {"data": {"viewer": "ANONYMOUS"}}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_unknown_hash_is_a_request_error_in_the_media_type_that_was_asked_for(accept: str) -> None:
    async with client(documents="apq") as hub:
        answers = [await send(hub, persisted(sha256(VIEWER)), accept=accept) for send in (post, get)]
    assert [answer.status_code for answer in answers] == [400 if accept == GRAPHQL_JSON else 200] * 2
    assert [answer.headers["cache-control"] for answer in answers] == ["private, no-store"] * 2


@pytest.mark.parametrize(
    "extension",
    [[], "x", {}, {"sha256Hash": 1}, {"version": 2, "sha256Hash": "a"}, {"version": 1, "sha256Hash": "a" * 513}],
)
async def test_persisted_query_that_is_none_is_400(extension: object) -> None:
    async with client(documents="apq") as hub:
        answer = await post(hub, {"query": VIEWER, "extensions": {"persistedQuery": extension}})
    assert answer.status_code == 400


async def test_two_ids_of_two_documents_are_400() -> None:
    async with client(documents="apq") as hub:
        answer = await post(hub, persisted(sha256(VIEWER), documentId=f"sha256:{sha256(ECHO)}"))
    assert answer.status_code == 400


def test_store_is_bounded_in_number_and_in_text() -> None:
    many, long = Persisted(), Persisted()
    for i in range(documents.MAX_STORED + 5):
        many.keep(str(i), "{ a }")
    for i in range(40):
        long.keep(str(i), "#" * 32 * 1024)
    assert len(many) == documents.MAX_STORED
    assert (many.find("4"), many.find("5")) == (None, "{ a }")
    assert len(long) == documents.MAX_STORED_TEXT // (32 * 1024)


def test_document_that_is_used_stays_when_others_come() -> None:
    store = Persisted()
    store.keep("used", "{ a }")
    for i in range(documents.MAX_STORED * 2):
        store.keep(str(i), "{ b }")
        store.find("used")
    assert store.find("used") == "{ a }"


async def test_client_cannot_put_our_own_word_among_its_extensions() -> None:
    forged = persisted(sha256(VIEWER), VIEWER)
    forged["extensions"][TAKEN] = {"sha256": sha256(ECHO), "text": ECHO}
    async with client(documents="apq") as hub:
        await post(hub, forged)
        assert codes(await post(hub, persisted(sha256(ECHO)))) == ["PERSISTED_QUERY_NOT_FOUND"]


# ---- over WebSocket ----------------------------------------------------------------------------------------------


async def test_document_by_hash_is_the_same_store_over_websocket() -> None:
    async with socket_of(app=app_of(ToyHub(), documents="apq")) as socket:
        await begin(socket)
        unknown = await told(socket, "1", persisted(sha256(VIEWER)))
        first = await told(socket, "2", persisted(sha256(VIEWER), VIEWER))
        again = await told(socket, "3", persisted(sha256(VIEWER), query=""))
    assert unknown == [("error", "PERSISTED_QUERY_NOT_FOUND")]
    assert first == again == [("next", {"viewer": "ANONYMOUS"}), ("complete", None)]


async def test_several_operations_need_a_name_over_websocket_too() -> None:
    query = 'query A { echo(text: "a") } query B { echo(text: "b") }'
    async with socket_of() as socket:
        await begin(socket)
        unnamed = await told(socket, "1", {"query": query})
        named = await told(socket, "2", {"query": query, "operationName": "B"})
    assert unnamed == [("error", "BAD_USER_INPUT")]
    assert named == [("next", {"echo": "b"}), ("complete", None)]


async def test_trusted_hub_runs_no_other_document_over_websocket(tmp_path: Path) -> None:
    app = app_of(ToyHub(), documents="trusted", documents_manifest=manifest(tmp_path, COUNT))
    async with socket_of(app=app) as socket:
        await begin(socket)
        free = await told(socket, "1", {"query": COUNT})
        unknown = await told(socket, "2", persisted(sha256(VIEWER), VIEWER))
        trusted = await told(socket, "3", persisted(sha256(COUNT)))
    assert free == [("error", "PERSISTED_QUERY_ID_REQUIRED")]
    assert unknown == [("error", "PERSISTED_QUERY_NOT_IN_LIST")]
    assert trusted == [("next", {"count": 1}), ("next", {"count": 2}), ("complete", None)]


@pytest.mark.parametrize("stream", ["text/event-stream", 'multipart/mixed;subscriptionSpec="1.0"'])
async def test_trusted_hub_streams_no_other_document_over_http(tmp_path: Path, stream: str) -> None:
    async with client(documents="trusted", documents_manifest=manifest(tmp_path, COUNT)) as hub:
        free = [await send_by(hub, {"query": COUNT}, accept=stream) for send_by in (post, get)]
        unknown = [await send_by(hub, persisted(sha256(BUY), BUY), accept=stream) for send_by in (post, get)]
        trusted = [await send_by(hub, persisted(sha256(COUNT)), accept=stream) for send_by in (post, get)]
    assert ["PERSISTED_QUERY_ID_REQUIRED" in answer.text for answer in free] == [True, True]
    assert ["PERSISTED_QUERY_NOT_IN_LIST" in answer.text for answer in unknown] == [True, True]
    assert ['{"count":2}' in answer.text for answer in trusted] == [True, True]
    assert not any('"data"' in answer.text for answer in (*free, *unknown))


async def told(socket: ClientConnection, id_: str, payload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What came for one operation: data, or the code of its error."""
    await send(socket, {"id": id_, "type": "subscribe", "payload": payload})
    found: list[tuple[str, Any]] = []
    while not found or found[-1][0] == "next":
        frame = await got(socket)
        assert frame["id"] == id_
        if frame["type"] == "next":
            found.append(("next", frame["payload"]["data"]))
        else:
            code = frame["payload"][0]["extensions"]["code"] if frame["type"] == "error" else None
            found.append((frame["type"], code))
    return found


# ---- trusted documents -------------------------------------------------------------------------------------------


async def test_trusted_hub_runs_what_its_manifest_holds_by_either_name(tmp_path: Path) -> None:
    async with client(documents="trusted", documents_manifest=manifest(tmp_path, VIEWER, ECHO)) as hub:
        answers = [
            await post(hub, persisted(sha256(VIEWER))),
            await get(hub, persisted(sha256(VIEWER))),
            await post(hub, {"documentId": sha256(VIEWER)}),
            await get(hub, {"documentId": f"sha256:{sha256(VIEWER)}"}),
            await post(hub, persisted(sha256(VIEWER), VIEWER)),
        ]
    assert [answer.json() for answer in answers] == [{"data": {"viewer": "ANONYMOUS"}}] * 5


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": BUY}, "PERSISTED_QUERY_ID_REQUIRED"),
        ({"query": VIEWER}, "PERSISTED_QUERY_ID_REQUIRED"),  # a trusted text, but free
        (persisted(sha256(BUY)), "PERSISTED_QUERY_NOT_IN_LIST"),
        (persisted(sha256(BUY), BUY), "PERSISTED_QUERY_NOT_IN_LIST"),
        (persisted(sha256(VIEWER), BUY), "BAD_USER_INPUT"),
        ({"query": "{ __schema { types { name } } }"}, "PERSISTED_QUERY_ID_REQUIRED"),
    ],
)
async def test_trusted_hub_runs_nothing_else_for_anybody_but_operators(
    tmp_path: Path, body: dict[str, Any], code: str
) -> None:
    toys = ToyHub()
    async with client(toys, documents="trusted", documents_manifest=manifest(tmp_path, VIEWER)) as hub:
        stranger, learner = await post(hub, body), await post(hub, body, authorization=f"Bearer {toys.token()}")
        by_get = await get(hub, body)
    assert [codes(answer) for answer in (stranger, learner, by_get)] == [[code]] * 3
    assert toys.bought == []


@pytest.mark.usefixtures("operators")
async def test_operator_sends_any_document_and_introspects_where_documents_are_trusted(tmp_path: Path) -> None:
    flags = {"documents": "trusted", "documents_manifest": manifest(tmp_path, VIEWER)}
    async with client(**flags) as hub:
        free = await post(hub, {"query": "{ viewer }"}, authorization="Bearer operator")
        schema = await post(hub, {"query": "{ __schema { __typename } }"}, authorization="Bearer operator")
        trusted = await post(hub, persisted(sha256(VIEWER)), authorization="Bearer operator")
        unknown = await post(hub, persisted(sha256(BUY)), authorization="Bearer operator")
    assert free.json() == trusted.json() == {"data": {"viewer": "OPERATOR"}}
    assert schema.json() == {"data": {"__schema": {"__typename": "__Schema"}}}
    assert codes(unknown) == ["PERSISTED_QUERY_NOT_IN_LIST"]


async def test_trusted_introspection_is_refused_to_those_who_may_not_introspect(tmp_path: Path) -> None:
    query = "{ __schema { __typename } }"
    async with client(documents="trusted", documents_manifest=manifest(tmp_path, query)) as hub:
        assert codes(await post(hub, persisted(sha256(query)))) == ["FORBIDDEN"]


@pytest.mark.usefixtures("operators")
async def test_introspection_is_for_the_kinds_that_are_named() -> None:
    query, toys = {"query": "{ __schema { __typename } }"}, ToyHub()
    async with client(toys, introspection="operator,user") as hub:
        stranger = await post(hub, query)
        learner = await post(hub, query, authorization=f"Bearer {toys.token()}")
        operator = await post(hub, query, authorization="Bearer operator")
    assert codes(stranger) == ["FORBIDDEN"]
    assert learner.json() == operator.json() == {"data": {"__schema": {"__typename": "__Schema"}}}


def test_every_way_to_ask_is_refused_or_trusted() -> None:
    """The rule itself, over all combinations of query, id and viewer: a stranger never gets a text of their own."""
    stored = StoredDocuments("trusted", TrustedDocuments({"k": Trusted(VIEWER, {})}))
    taken = []
    for query in (None, VIEWER, BUY):
        for id_ in (None, "k", "x"):
            if query is None and id_ is None:
                continue
            try:
                taken.append((query, id_, stored.take(Asked(query, id_, None, None, None), ANONYMOUS).text))
            except GraphQLError:
                pass
    assert taken == [(None, "k", VIEWER), (VIEWER, "k", VIEWER)]


# ---- manifests ---------------------------------------------------------------------------------------------------

# Written by relay-compiler 21.0.1, graphql-codegen's client-preset 6.2.0 and Apollo's generate-persisted-query-manifest
# 1.4.0 from the committed SDL, and from one query of the first courses.
MANIFESTS = Path(__file__).parent / "manifests"


@pytest.mark.parametrize(
    ("tool", "ids"),
    [
        ("relay", ["441f39f97bf87b66f85ec3e2c4688ee0"]),  # MD5 by default
        ("codegen", ["sha256:19c39761b44f405be7c8255abd3bb0979cfb563709eca5d522730d997f81c27b"]),
        ("apollo", ["7dd261bccf8736166024bc938c05499e86500b4fe99a60d268d8543524bf49b1"]),
    ],
)
def test_manifest_of_each_tool_is_read_and_its_document_found_as_its_client_names_it(
    tool: str, ids: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    stored = StoredDocuments("trusted", trusted_documents([MANIFESTS / f"{tool}.json"], schema=schema._schema))
    by_id = [stored.take(asked_of({"documentId": id_}), ANONYMOUS).text for id_ in ids]
    text = by_id[0]
    by_hash = [
        stored.take(asked_of(body), ANONYMOUS).text
        for body in (persisted(sha256(text)), {"documentId": f"sha256:{sha256(text)}"}, {"documentId": sha256(text)})
    ]
    assert {*by_id, *by_hash} == {text}
    assert "courses(first: $first)" in text
    assert caplog.records == []  # it fits the schema


def test_manifests_of_several_apps_are_one_list(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps({"e": ECHO}))
    files = [*sorted(MANIFESTS.glob("*.json")), tmp_path / "own.json"]
    assert len(trusted_documents(files)) == 4


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        ("{", "is not JSON"),
        ("[]", "is neither an object from id to text nor version 1 of apollo-persisted-query-manifest"),
        ('{"format":"apollo-persisted-query-manifest","version":2}', "nor version 1"),
        ('{"a":1}', "a document has an id of 1 to 512 characters, and a text"),
        ('{"":"{ viewer }"}', "a document has an id"),
        ('{"format":"apollo-persisted-query-manifest","version":1,"operations":[1]}', "a document has an id"),
        ('{"a":"{"}', "document 'a' is not GraphQL: Syntax Error"),
    ],
)
def test_file_that_is_no_manifest_is_refused_by_name(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "m.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingRefused) as refused:
        trusted_documents([file])
    assert refused.value.name == "HUB_DOCUMENTS_MANIFEST"
    assert str(file) in str(refused.value)
    assert why in str(refused.value)


def test_one_id_of_two_documents_is_refused(tmp_path: Path) -> None:
    for name, text in (("a", VIEWER), ("b", ECHO)):
        (tmp_path / name).write_text(json.dumps({"same": text}))
    with pytest.raises(SettingRefused, match="id 'same' stands for two documents"):
        trusted_documents([tmp_path / "a", tmp_path / "b"])


def test_document_that_no_longer_fits_the_schema_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "m.json"
    file.write_text(json.dumps({"old": "query Old { gone }", "new": VIEWER}))
    assert len(trusted_documents([file], schema=SCHEMA._schema)) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"trusted document 'old' of {file} does not fit the schema: Cannot query field 'gone' on type 'Query'."
    ]


def test_request_has_its_parts_of_the_right_types() -> None:
    parts = {"documentId": "sha256:ab", "query": "", "operationName": ""}
    assert asked_of(parts) == Asked(None, "ab", None, None, None)
