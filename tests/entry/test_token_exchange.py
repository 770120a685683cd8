"""POST /oauth/token: what it takes and says as OAuth has it, and that a learner buys with what comes out of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette

from hub.domain.issuers import EXCHANGE_SCOPES
from hub.entry import token_exchange
from hub.entry.app import create_app
from hub.entry.settings import Settings, read_settings
from hub.entry.token_exchange import EXCHANGES_PER_MINUTE, MAX_FORM, REFUSALS_PER_MINUTE
from hub.store.database import open_store
from hub.store.transactions import Tx
from schema import schema
from tests.entry.toys import served
from tests.flows.benches import Bench
from tests.partners import ENDPOINT, HUB, Partner
from tests.world import World

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


@dataclass
class Door:
    """A hub's application, a partner that it trusts, and an HTTP client."""

    bench: Bench
    partner: Partner
    http: httpx.AsyncClient
    metrics: Any

    def form(self, **changes: str | None) -> dict[str, str]:
        """A whole form, with these parameters changed or (None) left out."""
        self.partner.now_us = self.bench.clock.now_us()
        whole: dict[str, str | None] = {
            "grant_type": GRANT, "client_assertion_type": BEARER, "client_assertion": self.partner.assertion(),
            "subject_token": self.partner.subject_token(), "subject_token_type": JWT,
        }  # fmt: skip
        return {name: value for name, value in (whole | changes).items() if value is not None}

    async def ask(self, **changes: str | None) -> httpx.Response:
        return await self.http.post("/oauth/token", data=self.form(**changes))

    async def graphql(self, token: str, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = await self.http.post("/graphql", json=body, headers={"authorization": f"Bearer {token}"})
        return answer.json()


def settings(**environ: str) -> Settings:
    return read_settings({"HUB_PUBLIC_URL": HUB} | environ)


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[Bench]:
    store = await open_store(sqlite_url)
    yield Bench(store, World(store))
    await store.aclose()


@pytest.fixture
async def door(bench: Bench) -> AsyncIterator[Door]:
    platform = await bench.world.platform()
    signer = Partner(platform.id, id=bench.world.draw().id("iss"))

    async def put(tx: Tx) -> None:
        assert await tx.issuers.add(signer.trusted())

    await bench.store.write(put)
    app = create_app(bench.hub, settings(), schema=schema)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HUB) as http:
        yield Door(bench, signer, http, app.state.metrics)


async def test_a_learner_signs_in_and_buys(door: Door) -> None:
    """The whole way: no development token anywhere."""
    listing = await door.bench.world.listing(price_minor=0)
    answer = await door.ask()
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told == {
        "access_token": told["access_token"], "issued_token_type": ACCESS, "token_type": "Bearer", "expires_in": 600,
        "scope": " ".join(sorted(EXCHANGE_SCOPES)),
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    viewer = await door.graphql(told["access_token"], "{ viewer { kind scopes user { state } } }")
    assert viewer["data"]["viewer"] == {"kind": "USER", "scopes": sorted(EXCHANGE_SCOPES), "user": {"state": "ACTIVE"}}
    bought = await door.graphql(
        told["access_token"],
        'mutation($l: ID!) { orderCreate(input: {listingId: $l, idempotencyKey: "k"}) { order { status buyer { id } }'
        " userErrors { code } } }",
        l=listing.id,
    )
    assert bought["data"]["orderCreate"]["order"]["status"] == "PAID"
    assert door.metrics.value("hub_token_exchanges_total", outcome="ok") == 1


async def test_a_narrower_scope_is_told_and_holds(door: Door) -> None:
    told = (await door.ask(scope="orders:read openid")).json()
    assert told["scope"] == "orders:read"
    refused = await door.graphql(told["access_token"], "{ entitlements(first: 1) { totalCount } }")
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "unsupported_grant_type"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_assertion": None}, 401, "invalid_client"), ({"client_assertion": "x"}, 401, "invalid_client"),
        ({"client_assertion_type": None}, 401, "invalid_client"), ({"client_id": "else"}, 401, "invalid_client"),
        ({"client_secret": "s3cret"}, 401, "invalid_client"), ({"subject_token": None}, 400, "invalid_request"),
        ({"subject_token": "s3cret.s3cret.s3cret"}, 400, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, 400, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, 400, "invalid_request"),
        ({"actor_token": "s3cret"}, 400, "invalid_request"), ({"scope": "operations:write"}, 400, "invalid_scope"),
        ({"resource": "https://else.example"}, 400, "invalid_target"), ({"audience": "else"}, 400, "invalid_target"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_oauths_words(
    door: Door, changes: dict[str, str | None], status: int, error: str
) -> None:
    answer = await door.ask(**changes)
    told = answer.json()
    assert (answer.status_code, told["error"]) == (status, error)
    assert set(told) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    assert "s3cret" not in answer.text
    assert await door.bench.one("SELECT count(*) FROM user_") == 0
    assert door.metrics.value("hub_token_exchanges_total", outcome=error) == 1


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "application/x-www-form-urlencoded"), (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=1"] * 40), "application/x-www-form-urlencoded"),
        (b"x" * (MAX_FORM + 1), "application/x-www-form-urlencoded"), (b"{}", "application/json"), (b"a=1", ""),
        (urlencode({"grant_type": GRANT}).encode() + b"&grant_type=x", "application/x-www-form-urlencoded"),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_form_is_a_400(door: Door, content: bytes, media_type: str) -> None:
    answer = await door.http.post("/oauth/token", content=content, headers={"content-type": media_type})
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


async def test_the_door_is_for_posts_and_for_one_proof_alone(door: Door) -> None:
    assert (await door.http.get("/oauth/token")).status_code == 405
    answer = await door.http.post("/oauth/token", data=door.form(), headers={"authorization": "Basic dTpw"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_metadata_says_where_and_how(door: Door) -> None:
    told = (await door.http.get("/.well-known/oauth-authorization-server")).json()
    assert (told["issuer"], told["token_endpoint"]) == (HUB, ENDPOINT)
    assert told["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert not {name for name in told["token_endpoint_auth_signing_alg_values_supported"] if name.startswith("HS")}


async def test_who_guesses_is_held_back_and_nobody_else(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (REFUSALS_PER_MINUTE, EXCHANGES_PER_MINUTE) == (60, 1_200)
    monkeypatch.setattr("hub.entry.token_exchange.REFUSALS_PER_MINUTE", 3)
    app = create_app(door.bench.hub, settings(HUB_TRUSTED_PROXIES="127.0.0.1"), schema=schema)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HUB) as http:
        answers = [
            await http.post("/oauth/token", data=door.form(subject_token="x"), headers={"x-forwarded-for": "192.0.2.1"})
            for _ in range(4)
        ]
        assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
        assert answers[3].json()["error"] == "temporarily_unavailable"
        assert int(answers[3].headers["retry-after"]) >= 1
        other = await http.post("/oauth/token", data=door.form(), headers={"x-forwarded-for": "192.0.2.2"})
        assert other.status_code == 200


async def test_a_database_that_is_away_is_a_503_and_no_verdict(door: Door) -> None:
    class Silent:
        def reading(self) -> object:
            from hub.store.transactions import Unavailable

            raise Unavailable("dsn with a password")

    hub = replace(door.bench.hub, store=Silent())  # type: ignore[arg-type]  # as much of a store as is asked
    app = create_app(hub, settings(), schema=schema)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HUB) as http:
        answer = await http.post("/oauth/token", data=door.form())
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert "password" not in answer.text
    assert answer.headers["retry-after"] == "1"


async def test_no_token_stands_in_the_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    form = door.form(scope="operations:write")
    await door.http.post("/oauth/token", data=form)
    good = door.form()
    answer = (await door.http.post("/oauth/token", data=good)).json()
    said = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for secret in (
        form["client_assertion"], form["subject_token"], good["client_assertion"], good["subject_token"],
        answer["access_token"],
    ):  # fmt: skip
        assert secret not in said


async def test_a_form_that_is_cut_or_does_not_come_is_no_fault_and_holds_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(token_exchange, "FORM_WITHIN_S", 0.2)
    head = b"POST /oauth/token HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    transport = door.http._transport
    assert isinstance(transport, httpx.ASGITransport)
    async with served(cast(Starlette, transport.app)) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head + b"Content-Length: 9\r\n\r\nx")
        late = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head + b"Content-Length: 9\r\n\r\nx")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            while [record.getMessage() for record in caplog.records].count("answered") < 2:  # noqa: ASYNC110  # it is the server's log
                await asyncio.sleep(0.01)
    assert late.startswith(b"HTTP/1.1 408 ")
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
