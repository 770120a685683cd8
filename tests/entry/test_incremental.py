"""@defer over HTTP: which parts leave, what they say, and that nothing else than HTTP with multipart gets them."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from graphql import build_schema

from hub.entry.bounds import DEFERRED
from hub.entry.incremental import Spec, spec_wanted
from hub.entry.limits import Limits
from hub.entry.pricing import MAX_COST
from hub.entry.throttling import ASKS_FOR_COST
from schema.printing import SDL, SUBGRAPH
from tests.entry.live import live, ws_reader
from tests.entry.toys import SECRET, ToyHub, app_of, asked, client

BY_PATH = "multipart/mixed;deferSpec=20220824, application/json"
BY_ID = "multipart/mixed;incrementalSpec=v0.2, application/json"
LATE = '{ item { name ... @defer(label: "late") { number } } }'


def parts_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The parts of a whole answer, each held to its frame."""
    assert answer.headers["content-type"].startswith('multipart/mixed;boundary="graphql";')
    assert answer.headers["cache-control"] == "private, no-store, no-transform"
    opening, *pieces, closing = answer.content.split(b"--graphql")
    assert (opening, closing) == (b"", b"--\r\n")
    head = b"\r\nContent-Type: application/json; charset=utf-8\r\n\r\n"
    assert all(piece.startswith(head) and piece.endswith(b"\r\n") for piece in pieces)
    return [orjson.loads(piece.removeprefix(head)) for piece in pieces]


async def parted(query: str, accept: str = BY_PATH, **variables: Any) -> list[dict[str, Any]]:
    async with client() as hub:
        return parts_of(await asked(hub, query, variables, accept=accept))


@pytest.mark.parametrize(
    ("accept", "spec"),
    [
        (None, None),
        ("*/*", None),
        ("application/json", None),
        (BY_PATH, Spec.BY_PATH),
        ("Multipart/Mixed; deferSpec=20220824", Spec.BY_PATH),
        (BY_ID, Spec.BY_ID),
        ('multipart/mixed;incrementalSpec="v0.2"', Spec.BY_ID),
        ("application/json, text/event-stream, multipart/mixed", Spec.BY_PATH),
        ("multipart/mixed;deferSpec=20990101, application/json", None),
        ("multipart/mixed;deferSpec=20990101, multipart/mixed;incrementalSpec=v0.2", Spec.BY_ID),
        ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0, application/json", None),
        ("multipart/mixed;deferSpec=20220824;q=0, application/json", None),
    ],
)
def test_parts_are_written_as_accept_says(accept: str | None, spec: Spec | None) -> None:
    assert spec_wanted(accept) is spec


async def test_a_deferred_fragment_leaves_in_a_part_of_its_own_by_its_path() -> None:
    first, *rest = await parted(LATE)
    assert first == {"data": {"item": {"name": "root"}}, "hasNext": True}
    assert rest == [
        {"incremental": [{"data": {"number": 0}, "path": ["item"], "label": "late"}], "hasNext": False},
    ]


async def test_or_by_an_id_that_is_announced_and_completed() -> None:
    first, *rest = await parted(LATE, BY_ID)
    assert first == {
        "data": {"item": {"name": "root"}},
        "pending": [{"id": "0", "path": ["item"], "label": "late"}],
        "hasNext": True,
    }
    assert rest == [
        {"incremental": [{"data": {"number": 0}, "id": "0"}], "completed": [{"id": "0"}], "hasNext": False},
    ]


async def test_the_first_part_leaves_while_the_deferred_one_is_still_being_worked_out() -> None:
    toys = ToyHub()
    sent: list[bytes] = []
    body = orjson.dumps({"query": "{ viewer ... @defer { slow } }"})
    inbox = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if inbox:
            return inbox.pop()
        await asyncio.Event().wait()
        return None

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if b'"hasNext":true' in sent[-1]:
            assert not toys.slow_may_end.is_set()
            toys.slow_may_end.set()

    headers = [(b"accept", BY_PATH.encode()), (b"content-type", b"application/json"), (b"host", b"hub.test")]
    scope = {
        "type": "http", "method": "POST", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("hub.test", 80), "scheme": "http",
        "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    await asyncio.wait_for(app_of(toys)(scope, receive, send), 5)
    assert b'{"data":{"slow":"done"}' in b"".join(sent)


async def test_a_fault_in_a_deferred_part_is_masked_and_told_with_its_path() -> None:
    _, late = await parted("{ item { name ... @defer { broken } } }")
    [piece] = late["incremental"]
    [error] = piece["errors"]
    assert piece["data"] == {"broken": None}
    assert (error["message"], error["path"]) == ("internal error", ["item", "broken"])
    assert error["extensions"]["code"] == "INTERNAL"
    assert SECRET not in str(late)
    _, refused = await parted("{ item { ... @defer { forbidden } } }")
    assert refused["incremental"][0]["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "multipart/mixed;deferSpec=1, application/json"])
async def test_who_takes_no_parts_gets_one_answer_with_everything_in_it(accept: str) -> None:
    async with client() as hub:
        answer = await asked(hub, LATE, accept=accept)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {"data": {"item": {"name": "root", "number": 0}}}


async def test_what_is_not_deferred_is_json_and_one_part_for_who_takes_nothing_else() -> None:
    async with client() as hub:
        plain = await asked(hub, "{ item { name } }", accept=BY_PATH)
        off = await asked(hub, LATE.replace("(label", "(if: false label"), accept=BY_PATH)
        alone = await asked(hub, "{ item { name } }", accept="multipart/mixed;deferSpec=20220824")
    assert plain.json() == {"data": {"item": {"name": "root"}}}
    assert off.json() == {"data": {"item": {"name": "root", "number": 0}}}
    assert alone.content.count(b'{"data":{"item":{"name":"root"}},"hasNext":false}') == 1


async def test_by_get_and_in_a_mutation_likewise() -> None:
    async with client() as hub:
        got = await hub.get("/graphql", params={"query": LATE}, headers={"accept": BY_PATH})
        head = await hub.head("/graphql", params={"query": LATE}, headers={"accept": BY_PATH})
    assert [part["hasNext"] for part in parts_of(got)] == [True, False]
    assert head.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "query",
    [
        "subscription { ... @defer { count(to: 1) } }",
        "mutation { ... @defer { buy(number: 1) } }",
        "{ item @defer { name } }",
    ],
)
async def test_at_the_root_of_other_operations_and_on_fields_it_is_refused_before_anything_is_done(query: str) -> None:
    toys = ToyHub()
    async with client(toys) as hub:
        answer = await asked(hub, query, accept=f"{BY_PATH}, text/event-stream")
    assert b"BAD_USER_INPUT" in answer.content
    assert toys.bought == []


async def test_over_sse_it_is_refused_and_may_be_switched_off() -> None:
    query = "query ($late: Boolean!) { item { name ... @defer(if: $late) { number } } }"
    async with client() as hub:
        refused = await asked(hub, query, {"late": True}, accept="text/event-stream")
        taken = await asked(hub, query, {"late": False}, accept="text/event-stream")
    assert b'"code":"BAD_USER_INPUT"' in refused.content
    assert b'"data"' not in refused.content
    assert b'{"data":{"item":{"name":"root","number":0}}}' in taken.content


async def test_over_websocket_likewise(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with live(store_url, monkeypatch) as hub, ws_reader(hub, "{ ... @defer { viewer { kind } } }", {}) as opened:
        told = await opened.next()
    assert "BAD_USER_INPUT" in str(told)
    assert "INTERNAL" not in str(told)


async def test_limits_hold_for_what_is_deferred_and_each_part_costs() -> None:
    deep = "items(first: 100) { " * 3 + "name" + " }" * 3
    async with client() as hub:
        refused = await asked(hub, f"{{ item {{ ... @defer {{ {deep} }} }} }}", accept=BY_PATH)
        many = await asked(hub, f"{{ item {{ {'... @defer { name } ' * 51} }} }}", accept=BY_PATH)
        rows = f"{{ item {{ items(first: 100) {{ {'... @defer { name } ' * 5} }} }} }}"
        parts = await asked(hub, rows, accept=BY_PATH)
        label = await asked(hub, LATE.replace("late", "l" * 101), accept=BY_PATH)
        costs = {"extensions": {ASKS_FOR_COST: True}}
        paid = await hub.post("/graphql", json={"query": LATE, **costs}, headers={"accept": BY_PATH})
    for answer in (refused, many, parts, label):
        assert answer.json()["errors"][0]["extensions"]["code"] == "COST_LIMIT_EXCEEDED"
    assert str(MAX_COST) in refused.json()["errors"][0]["message"]
    told = parts_of(paid)[-1]["extensions"]["cost"]
    assert told["requestedQueryCost"] == told["actualQueryCost"] == 1 + DEFERRED  # the object, and a part of its own


async def test_a_query_whose_time_is_over_ends_with_errors_for_what_was_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await_parts = Limits._await_parts

    def hurried(self: Limits, kind: str, _seconds: float) -> None:
        await_parts(self, kind, self._documents.execution_s - 0.05)

    monkeypatch.setattr(Limits, "_await_parts", hurried)
    toys = ToyHub()
    for spec, place in ((BY_PATH, "incremental"), (BY_ID, "completed")):
        async with client(toys) as hub:
            _, last = parts_of(await asked(hub, "{ viewer ... @defer { slow } }", accept=spec))
        assert [error["extensions"]["code"] for error in last[place][0]["errors"]] == ["UNAVAILABLE"]
        assert last["hasNext"] is False
    assert not toys.slow_may_end.is_set()


def test_clients_are_told_of_the_directive_and_gateways_are_not() -> None:
    assert build_schema(SDL.read_text()).get_directive("defer") is not None
    assert "@defer" not in SUBGRAPH.read_text()
    assert "@stream" not in SUBGRAPH.read_text()
