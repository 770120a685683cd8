"""GraphiQL's page and bundle as a browser, a proxy and a lawyer see them; a real browser is tested beside."""

import gzip
import hashlib
import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from graphql import (
    NoDeprecatedCustomRule,
    OperationDefinitionNode,
    build_schema,
    get_variable_values,
    parse,
    specified_rules,
    validate,
)
from starlette.applications import Starlette

from hub.entry.graphiql import graphiql_routes
from hub.entry.sign_in import SignIn, may_offer, own_names

WEB = files("hub.web") / "graphiql"
ASSETS = sorted(file.name for file in (WEB / "bundle" / "assets").iterdir())

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:"
)
MIB = 1024 * 1024


def client() -> httpx.AsyncClient:
    app = Starlette(routes=list(graphiql_routes()))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub.test")


async def test_page_names_only_files_that_are_served() -> None:
    async with client() as hub:
        page = await hub.get("/graphiql")
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assets = [address for address in linked if address != "data:,"]
        statuses = [(await hub.get(page.url.join(address))).status_code for address in assets]
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(assets) == 2
    assert statuses == [200, 200]


async def test_page_names_no_foreign_origin_and_no_inline_script() -> None:
    async with client() as hub:
        page = (await hub.get("/graphiql")).text
    assert "//" not in page
    assert '<link rel="icon" href="data:,">' in page
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    assert "<style" not in page


@pytest.mark.parametrize("path", ["/graphiql", "/graphiql/LICENSES.txt", f"/graphiql/assets/{ASSETS[0][:-3]}"])
async def test_every_answer_carries_the_policy(path: str) -> None:
    async with client() as hub:
        answer = await hub.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_page_is_asked_for_each_time_and_sent_only_when_changed() -> None:
    async with client() as hub:
        first = await hub.get("/graphiql")
        again = await hub.get("/graphiql", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        other = await hub.get("/graphiql", headers={"If-None-Match": '"other"'})
    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (other.status_code, other.content) == (200, first.content)


async def test_asset_never_changes_under_its_name() -> None:
    async with client() as hub:
        asset = await hub.get(f"/graphiql/assets/{ASSETS[0][:-3]}")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert all(re.fullmatch(r"[\w.-]+-[A-Z0-9]{8}\.(js|css)\.gz", name) for name in ASSETS)


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, GZIP;q=0.5", "gzip"),
        ("*", "gzip"),
        ("", None),
        ("identity", None),
        ("gzip;q=0, *", None),
        ("gzip;q=maybe", None),
    ],
)
async def test_asset_is_compressed_for_those_who_take_it(accepted: str, sent: str | None) -> None:
    name = next(name for name in ASSETS if name.startswith("main-") and name.endswith(".js.gz"))
    packed = (WEB / "bundle" / "assets" / name).read_bytes()
    async with client() as hub:
        request = hub.build_request("GET", f"/graphiql/assets/{name[:-3]}", headers={"Accept-Encoding": accepted})
        answer = await hub.send(request, stream=True)
        body = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == sent
    assert body == (packed if sent else gzip.decompress(packed))
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", ["nothing.js", "..%2Findex.html", "%2e%2e/index.html", f"{ASSETS[0]}"])
async def test_unknown_asset_is_not_found(name: str) -> None:
    async with client() as hub:
        answer = await hub.get(f"/graphiql/assets/{name}")
    assert answer.status_code == 404


async def test_page_is_only_read() -> None:
    async with client() as hub:
        assert (await hub.head("/graphiql")).content == b""
        assert (await hub.post("/graphiql")).status_code == 405


def test_bundle_is_built_from_the_sources_beside_it() -> None:
    lines = (WEB / "bundle" / "SOURCES.sha256").read_text("utf-8").splitlines()
    recorded = {path: digest for digest, path in (line.split("  ") for line in lines)}
    present = {path: hashlib.sha256(WEB.joinpath(path).read_bytes()).hexdigest() for path in recorded}
    assert {"package-lock.json", "src/main.jsx", "src/tour/1-me.graphql", "build.mjs"} < recorded.keys()
    assert recorded == present, "run hub/web/graphiql/build.sh"


def test_bundle_is_small_and_holds_no_source_maps() -> None:
    packed = {name: (WEB / "bundle" / "assets" / name).read_bytes() for name in ASSETS}
    assert sum(map(len, packed.values())) < 2.4 * MIB
    assert not [name for name, content in packed.items() if b"sourceMappingURL" in gzip.decompress(content)]


def test_lock_names_no_registry() -> None:
    text = (WEB / "package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]
    assert '"resolved"' not in text
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []


def test_licence_of_every_locked_and_bundled_package_is_there() -> None:
    text = (WEB / "bundle" / "LICENSES.txt").read_text("utf-8")
    named = set(re.findall(r"^(\S+) (\S+) \((?:0BSD|Apache-2\.0|BSD-2-Clause|MIT)\)$", text, re.MULTILINE))
    packages = json.loads((WEB / "package-lock.json").read_text("utf-8"))["packages"]
    locked = {(path.rpartition("node_modules/")[2], entry["version"]) for path, entry in packages.items() if path}
    assert named <= locked
    assert {"graphiql", "monaco-editor", "monaco-graphql", "graphql-ws", "react", "prettier"} <= {n for n, _ in named}
    assert len(named) > 80
    assert text.count("Permission is hereby granted, free of charge") > 30
    assert text.count("SIL OPEN FONT LICENSE Version 1.1") == 2


def test_every_tab_of_the_tour_fits_the_schema_and_its_variables() -> None:
    schema = build_schema((Path(__file__).parents[2] / "schema" / "schema.graphql").read_text("utf-8"))
    tabs = sorted(file.name for file in (WEB / "src" / "tour").iterdir() if file.name.endswith(".graphql"))
    assert [name.removesuffix(".graphql") for name in tabs] == [
        "1-me", "2-catalogue", "3-buy", "4-follow", "5-proof", "6-may-open", "7-chain",
    ]  # fmt: skip
    for name in tabs:
        document = parse((WEB / "src" / "tour" / name).read_text("utf-8"))
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        assert validate(schema, document, [*specified_rules, NoDeprecatedCustomRule]) == [], name
        variables = WEB / "src" / "tour" / name.replace(".graphql", ".json")
        given = json.loads(variables.read_text("utf-8")) if variables.is_file() else {}
        values = get_variable_values(schema, operation.variable_definitions or (), given)
        assert not isinstance(values, list), (name, values)
        assert given.keys() == {each.variable.name.value for each in operation.variable_definitions or ()}


# ---- signing in ------------------------------------------------------------------------------------------------------


async def mint(kind: str) -> str:
    return f"token of a {kind}"


def signing_in(sign_in: SignIn | None) -> httpx.AsyncClient:
    app = Starlette(routes=list(graphiql_routes(sign_in)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


DEMO = SignIn(("learner", "operator"), mint, own_names(8000))


async def test_the_demo_signs_in_as_whom_it_offers() -> None:
    async with signing_in(DEMO) as hub:
        offered = await hub.get("/graphiql/sign-in")
        taken = await hub.post("/graphiql/sign-in", json={"kind": "learner"})
        other = await hub.post("/graphiql/sign-in", json={"kind": "emperor"})
    assert offered.json() == {"kinds": ["learner", "operator"]}
    assert taken.json() == {"token": "token of a learner"}
    assert taken.headers["cache-control"] == "no-store"
    assert other.status_code == 403


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Host": "rebound.example:8000"}, b'{"kind":"learner"}'),  # a foreign name that was given our address
        ({"Origin": "http://localhost:3000"}, b'{"kind":"learner"}'),  # a page that may call the API, and no more
        ({"Origin": "null"}, b'{"kind":"learner"}'),
        ({"Content-Type": "text/plain"}, b'{"kind":"learner"}'),  # what a page of another origin may send unasked
        ({}, b"{"),
        ({}, b'["learner"]'),
        ({}, b'{"kind":["learner"]}'),
    ],
)
async def test_nobody_else_gets_a_token(headers: dict[str, str], body: bytes) -> None:
    async with signing_in(DEMO) as hub:
        sent = {"Content-Type": "application/json"} | headers
        answer = await hub.post("/graphiql/sign-in", content=body, headers=sent)
    assert (answer.status_code, "token" in answer.json()) == (403, False)


async def test_a_hub_that_serves_offers_nobody() -> None:
    async with signing_in(None) as hub:
        assert (await hub.get("/graphiql/sign-in")).json() == {"kinds": []}
        assert (await hub.post("/graphiql/sign-in", json={"kind": "learner"})).status_code == 403


@pytest.mark.parametrize(
    ("host", "offers"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("hub.lan", False)],
)
def test_only_an_address_of_this_machine_alone_offers(host: str, offers: bool) -> None:
    assert may_offer(host) is offers


def test_git_ignores_nothing_of_the_bundle() -> None:
    paths = [str(WEB / "bundle" / "assets" / name) for name in ASSETS]
    try:
        ignored = subprocess.run(["git", "check-ignore", *paths], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.stdout == ""
