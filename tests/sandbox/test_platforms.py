"""The two platforms: their catalogue, members and access lists, and pages that ask the hub before they open."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import httpx
import pytest
import uvicorn
from graphql import build_schema, parse, validate

from hub.sandbox.rights import CATALOGUE, QUESTION, NoAnswer, Verdict, verdict_in
from hub.sandbox.server import introduce_hub
from tests.sandbox.conftest import NOON, Clock, Sandbox


def key_of(sandbox: Sandbox, slug: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sandbox.address.platforms[slug].api_key}"}


async def call(sandbox: Sandbox, method: str, slug: str, path: str, **parts: Any) -> httpx.Response:
    headers = key_of(sandbox, slug) | parts.pop("headers", {})
    return await sandbox.client.request(
        method, sandbox.address.platforms[slug].base_url + path, headers=headers, **parts
    )


async def grant(sandbox: Sandbox, key: str = "k1", **fields: str) -> httpx.Response:
    body = {"member": "ada", "course": "double-entry"} | fields
    return await call(sandbox, "POST", "lumen", "/access", json=body, headers={"Idempotency-Key": key})


async def state(sandbox: Sandbox, **fields: str) -> str:
    named = {"member": "ada", "course": "double-entry"} | fields
    answer = await call(sandbox, "GET", "lumen", "/access", params=named)
    return str(answer.json()["state"])


async def test_catalogue_pages_are_stable_and_whole(sandbox: Sandbox) -> None:
    whole = (await call(sandbox, "GET", "lumen", "/catalog", params={"limit": 100})).json()
    first = (await call(sandbox, "GET", "lumen", "/catalog", params={"limit": 4})).json()
    second = (
        await call(sandbox, "GET", "lumen", "/catalog", params={"limit": 4, "cursor": first["next_cursor"]})
    ).json()

    assert [w["external_id"] for w in first["data"] + second["data"]] == [w["external_id"] for w in whole["data"]]
    assert (len(whole["data"]), whole["next_cursor"], second["next_cursor"]) == (6, None, None)
    assert whole["data"][0] == {
        "object": "listing",
        "platform": "lumen",
        "external_id": "double-entry",
        "kind": "course",
        "title": "Double Entry in a Weekend",
        "summary": "Every amount twice, and why it balances.",
        "author": "Ines Aldana",
        "language": "en",
        "price": {"amount_minor": 4900, "currency": "USD"},
        "url": f"{sandbox.address.base_url}/p/lumen/open/double-entry",
        "updated_at": NOON,
    }
    prices = {w["external_id"]: w["price"] for w in whole["data"]}
    assert prices["hello-lumen"] == {"amount_minor": 0, "currency": "USD"}
    assert prices["studio-visit"] is None


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": -1}, {"limit": 10**9}, {"limit": "x"}, {"cursor": "x"}])
async def test_impossible_page_is_refused(sandbox: Sandbox, params: dict[str, Any]) -> None:
    answer = await call(sandbox, "GET", "folio", "/catalog", params=params)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter_invalid")


async def test_published_work_stands_on_the_shelf_without_its_body(sandbox: Sandbox) -> None:
    work = {"kind": "ebook", "title": "New", "price_minor": 700, "currency": "EUR", "body": "paid text"}

    put = await call(sandbox, "PUT", "folio", "/catalog/new", json=work)
    renewed = await call(sandbox, "PUT", "folio", "/catalog/new", json=work | {"price_minor": 800})
    got = await call(sandbox, "GET", "folio", "/catalog/new")

    assert put.status_code == renewed.status_code == 200
    assert got.json()["price"] == {"amount_minor": 800, "currency": "EUR"}
    assert "paid text" not in got.text
    assert (await call(sandbox, "GET", "lumen", "/catalog/new")).status_code == 404


async def test_granting_twice_by_one_key_or_two_is_one_access(sandbox: Sandbox) -> None:
    await call(sandbox, "POST", "lumen", "/members", json={"member": "ada"})

    answers = [await grant(sandbox, key) for key in ("k1", "k1", "k2")]

    assert {(a.status_code, a.json()["id"], a.json()["state"]) for a in answers} == {
        (200, answers[0].json()["id"], "open")
    }
    assert (await grant(sandbox, "k1", course="merkle-trees")).json()["error"]["code"] == "idempotency_key_reused"
    assert await state(sandbox, course="merkle-trees") == "closed"


async def test_revoked_access_is_closed_and_stays_so_until_granted_anew(sandbox: Sandbox) -> None:
    await call(sandbox, "POST", "lumen", "/members", json={"member": "ada"})
    named = {"member": "ada", "course": "double-entry"}
    await grant(sandbox)

    for _ in range(2):
        answer = await call(sandbox, "POST", "lumen", "/access/revoke", json=named)
        assert (answer.status_code, answer.json()["state"]) == (200, "closed")
    assert await state(sandbox) == "closed"
    await grant(sandbox, "another")
    assert await state(sandbox) == "open"


async def test_grant_needs_a_known_member_and_course(sandbox: Sandbox) -> None:
    stranger = await grant(sandbox)
    await call(sandbox, "POST", "lumen", "/members", json={"member": "ada"})
    nothing = await grant(sandbox, course="no-such")

    assert (stranger.status_code, stranger.json()["error"]["code"]) == (404, "member_unknown")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "course_unknown")
    assert await state(sandbox) == "closed"


async def test_member_is_made_once_per_platform(sandbox: Sandbox) -> None:
    made = [
        (await call(sandbox, "POST", slug, "/members", json={"member": "ada"})).json()["is_new"]
        for slug in ("lumen", "lumen", "folio")
    ]

    assert made == [True, False, True]


async def test_lost_answer_after_a_grant_leaves_one_access(sandbox: Sandbox) -> None:
    await call(sandbox, "POST", "lumen", "/members", json={"member": "ada"})
    await sandbox.arm("lumen", "grant", "drop_after_commit")

    with pytest.raises(httpx.RemoteProtocolError):
        await grant(sandbox)

    assert await state(sandbox) == "open"
    assert (await grant(sandbox)).headers["Idempotent-Replayed"] == "true"


async def test_one_platform_down_leaves_the_other_up(sandbox: Sandbox) -> None:
    await sandbox.arm("lumen", "*", "unavailable", times=0)

    assert (await call(sandbox, "GET", "lumen", "/catalog")).status_code == 503
    assert (await call(sandbox, "GET", "folio", "/catalog")).status_code == 200
    assert (await sandbox.create()).status_code == 200


@dataclass
class Hub:
    """A hub that lists `courses` (its id by the platform's) and answers verifyEntitlement as a test has set."""

    own: dict[str, Any]
    given: dict[str, Any]
    courses: dict[str, str]
    page: int = 100
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        self.keys.append(dict(scope["headers"])[b"authorization"].decode())
        content = json.dumps({"data": self.answer(json.loads(body))}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": content})

    def answer(self, operation: dict[str, Any]) -> dict[str, Any]:
        variables = operation["variables"]
        if "verifyEntitlement" in operation["query"]:
            self.asked.append(variables)
            return {"own": self.own, "given": self.given}
        after = int(variables["after"] or 0)
        listed = list(self.courses.items())[after : after + self.page]
        nodes = [
            {"id": hub_id, "listings": [{"externalId": course, "platform": {"slug": variables["platform"]}}]}
            for course, hub_id in listed
        ]
        end = after + len(listed)
        return {
            "courses": {"nodes": nodes, "pageInfo": {"hasNextPage": end < len(self.courses), "endCursor": str(end)}}
        }


@asynccontextmanager
async def hub_answering(
    sandbox: Sandbox, own: dict[str, Any], given: dict[str, Any] | None = None, courses: dict[str, str] | None = None
) -> AsyncIterator[Hub]:
    hub = Hub(own, given or STRANGER, courses or {"small-proofs": "crs_1"})
    config = uvicorn.Config(hub, port=0, log_config=None, lifespan="off", ws="none")
    listener = config.bind_socket()
    listener.listen()  # a caller waits in the backlog until the server is up
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    await introduce_hub(sandbox.address, "folio", graphql_url=url, api_key="hub_live_folio")
    try:
        yield hub
    finally:
        server.should_exit = True
        await serving


async def open_page(sandbox: Sandbox, member: str = "ada", course: str = "small-proofs") -> httpx.Response:
    return await sandbox.client.get(f"/p/folio/open/{course}", params={"member": member})


YES = {"isEntitled": True, "reason": "ENTITLED", "entitlement": {"id": "ent_1"}}
NO = {"isEntitled": False, "reason": "NOT_OPEN", "entitlement": {"id": "ent_1"}}
STRANGER = {"isEntitled": False, "reason": "UNKNOWN_MEMBER", "entitlement": None}
ELSEWHERE = {"isEntitled": False, "reason": "NOT_HONOURED_HERE", "entitlement": None}


@pytest.mark.parametrize(("own", "given"), [(YES, STRANGER), (STRANGER, YES)])
async def test_page_opens_on_the_hubs_yes(sandbox: Sandbox, own: dict[str, Any], given: dict[str, Any]) -> None:
    async with hub_answering(sandbox, own, given) as hub:
        answer = await open_page(sandbox)

    assert answer.status_code == 200
    assert "1. There is no largest prime." in answer.text
    assert "ent_1" in answer.text
    assert hub.keys == ["Bearer hub_live_folio"] * 2
    assert hub.asked == [{"member": "ada", "course": "crs_1"}]


@pytest.mark.parametrize(("own", "said"), [(NO, "NOT_OPEN"), (STRANGER, "UNKNOWN_MEMBER")])
async def test_page_stays_closed_on_the_hubs_no(sandbox: Sandbox, own: dict[str, Any], said: str) -> None:
    async with hub_answering(sandbox, own):
        answer = await open_page(sandbox)

    assert (answer.status_code, "no largest prime" in answer.text) == (403, False)
    assert f"No right: the hub knows of no purchase that opens this for you ({said})." in answer.text


async def test_page_stays_closed_for_a_course_that_the_hub_does_not_list(sandbox: Sandbox) -> None:
    async with hub_answering(sandbox, YES, courses={"other": "crs_2"}) as hub:
        answer = await open_page(sandbox)

    assert (answer.status_code, hub.asked) == (403, [])


async def test_hubs_ids_are_learned_page_by_page_once_and_anew_when_they_changed(sandbox: Sandbox) -> None:
    courses = {f"work-{n}": f"crs_{n}" for n in range(5)} | {"small-proofs": "crs_old"}
    async with hub_answering(sandbox, YES, courses=courses) as hub:
        hub.page = 2
        await open_page(sandbox)
        await open_page(sandbox)
        assert (len(hub.keys), [asked["course"] for asked in hub.asked]) == (5, ["crs_old", "crs_old"])

        hub.own = ELSEWHERE
        hub.courses["small-proofs"] = "crs_new"
        answer = await open_page(sandbox)

    assert answer.status_code == 403
    assert [asked["course"] for asked in hub.asked[2:]] == ["crs_old", "crs_new"]


async def test_page_opens_for_nobody_while_the_hub_is_silent(sandbox: Sandbox) -> None:
    untold = await open_page(sandbox)
    await introduce_hub(sandbox.address, "folio", graphql_url="http://127.0.0.1:9/graphql", api_key="k")
    silent = await open_page(sandbox)

    for answer in (untold, silent):
        assert (answer.status_code, "no largest prime" in answer.text) == (503, False)


@pytest.mark.parametrize("is_entitled", ["true", 1, None, "yes"])
def test_only_a_plain_yes_opens(is_entitled: Any) -> None:
    assert verdict_in({"own": YES, "given": STRANGER}) == Verdict("yes", entitlement="ent_1")
    assert verdict_in({"own": YES | {"isEntitled": is_entitled}, "given": STRANGER}).word == "no"


@pytest.mark.parametrize("data", [None, [], {}, {"own": YES | {"isEntitled": False}}, {"own": None, "given": None}])
def test_answer_that_makes_no_sense_is_no_answer(data: Any) -> None:
    with pytest.raises(NoAnswer):
        verdict_in(data)


async def test_page_asks_for_a_member_and_knows_its_courses(sandbox: Sandbox) -> None:
    nobody = await sandbox.client.get("/p/folio/open/small-proofs")
    nothing = await open_page(sandbox, course="no-such")
    nowhere = await sandbox.client.get("/p/nowhere/open/x?member=a")

    assert [a.status_code for a in (nobody, nothing, nowhere)] == [400, 404, 404]


async def test_members_name_is_shown_as_text(sandbox: Sandbox) -> None:
    answer = await open_page(sandbox, member="<script>alert(1)</script>")

    assert "<script" not in answer.text


async def test_shelf_shows_what_is_sold(sandbox: Sandbox) -> None:
    answer = await sandbox.client.get("/p/lumen")

    assert answer.status_code == 200
    for shown in ("Lumen Academy", "成语十讲", "USD&nbsp;49.00", "free", "on request", "TEST mode"):
        assert shown in answer.text


async def test_launch_link_opens_once_and_not_late(sandbox: Sandbox, clock: Clock) -> None:
    named = {"member": "ada", "course": "small-proofs"}
    await call(sandbox, "POST", "folio", "/members", json={"member": "ada"})
    closed = await call(sandbox, "POST", "folio", "/access/launch", json=named)
    await call(sandbox, "POST", "folio", "/access", json=named)
    first, second = [(await call(sandbox, "POST", "folio", "/access/launch", json=named)).json() for _ in range(2)]
    async with hub_answering(sandbox, YES):
        opened = await sandbox.client.get(first["url"])
        again = await sandbox.client.get(first["url"])
        clock.now_s += 300
        late = await sandbox.client.get(second["url"])

    assert (closed.status_code, closed.json()["error"]["code"]) == (403, "access_closed")
    assert [a.status_code for a in (opened, again, late)] == [200, 410, 410]
    assert first["expires_at"] == NOON + 300


@pytest.mark.parametrize("document", [CATALOGUE, QUESTION])
def test_questions_fit_the_hubs_published_schema(document: str) -> None:
    sdl = (files("schema") / "schema.graphql").read_text()

    assert validate(build_schema(sdl, assume_valid_sdl=True), parse(document)) == []
