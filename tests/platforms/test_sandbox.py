"""The sandbox platform's adapter: which answers it believes, and what each refusal means."""

import json
from typing import Any

import httpx
import pytest

from hub.domain.money import Money
from hub.platforms.sandbox import SandboxPlatform
from hub.ports import Access, AccessRequest, CatalogueEntry, Conflict, RateLimited, Rejected, Transient

REQUEST = AccessRequest(pairwise_id="pw_1", member_external_id=None, external_id="small-proofs", key="k1")
OPEN = {"platform": "folio", "member": "pw_1", "course": "small-proofs", "state": "open"}


def platform_hearing(status: int, content: Any, headers: dict[str, str] | None = None) -> SandboxPlatform:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body, headers=headers))
    client = httpx.AsyncClient(transport=transport)
    return SandboxPlatform(slug="folio", base_url="http://folio.test/v1", api_key="pk", client=client)


async def test_grant_makes_the_member_and_sends_our_key() -> None:
    seen: list[tuple[str, Any, str | None]] = []

    def folio(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, json.loads(request.content), request.headers.get("Idempotency-Key")))
        return httpx.Response(200, json=OPEN)

    client = httpx.AsyncClient(transport=httpx.MockTransport(folio))
    await SandboxPlatform(slug="folio", base_url="http://folio.test/v1", api_key="pk", client=client).grant_access(
        REQUEST
    )

    assert seen == [
        ("/v1/members", {"member": "pw_1"}, None),
        ("/v1/access", {"member": "pw_1", "course": "small-proofs"}, "k1"),
    ]


@pytest.mark.parametrize("fields", [{"platform": "lumen"}, {"member": "pw_2"}, {"course": "another"}])
async def test_answer_about_another_is_conflict_and_never_success(fields: dict[str, str]) -> None:
    platform = platform_hearing(200, OPEN | fields)

    for call in (platform.grant_access, platform.revoke_access, platform.verify_access, platform.launch_url):
        with pytest.raises(Conflict):
            await call(REQUEST)


async def test_write_that_the_platform_took_and_did_not_do_is_conflict() -> None:
    with pytest.raises(Conflict):
        await platform_hearing(200, OPEN | {"state": "closed"}).grant_access(REQUEST)
    with pytest.raises(Conflict):
        await platform_hearing(200, OPEN).revoke_access(REQUEST)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "parameter_invalid", Rejected),
        (401, "api_key_invalid", Rejected),
        (403, "access_closed", Rejected),
        (404, "course_unknown", Rejected),
        (409, "idempotency_key_reused", Rejected),
        (409, "idempotency_key_in_use", Transient),
        (408, "slow", Transient),
        (429, "busy", RateLimited),
        (500, "internal", Transient),
        (503, "unavailable", Transient),
    ],
)
async def test_each_refusal_has_its_error(status: int, code: str, error: type[Exception]) -> None:
    platform = platform_hearing(status, {"error": {"code": code}})

    with pytest.raises(error):
        await platform.verify_access(REQUEST)
    with pytest.raises(error):
        await platform.grant_access(REQUEST)


@pytest.mark.parametrize(
    ("headers", "after_ms"), [({"Retry-After": "3"}, 3000), ({}, 1000), ({"Retry-After": "x"}, 1000)]
)
async def test_rate_limit_says_when_to_come_back(headers: dict[str, str], after_ms: int) -> None:
    with pytest.raises(RateLimited) as raised:
        await platform_hearing(429, b"", headers).verify_access(REQUEST)

    assert raised.value.after_ms == after_ms


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"<html>", Transient),
        (b"[]", Rejected),
        (b"{}", Conflict),
        (OPEN | {"state": "ajar"}, Rejected),
        (OPEN | {"state": ["open"]}, Rejected),
    ],
)
async def test_unreadable_answer_is_no_access(content: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await platform_hearing(200, content).verify_access(REQUEST)


async def test_state_is_read_as_told() -> None:
    assert await platform_hearing(200, OPEN).verify_access(REQUEST) is Access.OPEN
    assert await platform_hearing(200, OPEN | {"state": "closed"}).verify_access(REQUEST) is Access.CLOSED


LISTING = {"external_id": "x", "title": "X", "kind": "ebook", "url": "http://folio.test/x", "price": None}


async def test_listing_keeps_an_unknown_price_unknown_and_a_free_one_free() -> None:
    free = LISTING | {"price": {"amount_minor": 0, "currency": "USD"}}

    page = await platform_hearing(200, {"data": [LISTING, free], "next_cursor": "7"}).list_catalogue(None, 2)

    assert page.cursor == "7"
    assert page.entries == (
        CatalogueEntry("x", "X", "EBOOK", None, "http://folio.test/x"),
        CatalogueEntry("x", "X", "EBOOK", Money(0, "USD"), "http://folio.test/x"),
    )


@pytest.mark.parametrize(
    "listing",
    [
        LISTING | {"title": None},
        LISTING | {"price": {"amount_minor": 1.5, "currency": "USD"}},
        LISTING | {"price": {"amount_minor": -1, "currency": "USD"}},
        LISTING | {"price": {"amount_minor": 1, "currency": "XXX"}},
        {},
    ],
)
async def test_listing_we_cannot_read_is_rejected(listing: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        await platform_hearing(200, {"data": [listing], "next_cursor": None}).list_catalogue(None, 1)


@pytest.mark.parametrize("url", [None, "javascript:alert(1)", "/relative"])
async def test_launch_without_a_web_address_is_rejected(url: str | None) -> None:
    with pytest.raises(Rejected):
        await platform_hearing(200, OPEN | {"url": url}).launch_url(REQUEST)
