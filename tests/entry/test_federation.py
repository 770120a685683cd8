"""The gateway's door: who may ask for `_entities` and `_service`, and that a signature gives nothing beyond that."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from hub.domain.people import ANONYMOUS
from hub.entry.app import create_app
from hub.entry.gateway import (
    SIGNED_WITHIN_S,
    Gateway,
    canonical,
    is_signed_by_hive,
    is_signed_with_time,
    signature_of,
    signed_bytes,
)
from hub.entry.settings import Settings, read_settings
from schema import schema
from tests.entry.toys import ToyHub, client_of
from tests.world import SetClock

SECRET, OLD = "new-secret-of-the-gateway-".ljust(40, "x"), "old-secret-of-the-gateway-".ljust(40, "x")
NOW_S = 1_767_225_600
ASKS = {"_service": "{ _service { sdl } }", "_entities": "{ _entities(representations: []) { __typename } }"}
BOTH = {"_service", "_entities"}


def settings_of(entities: str, **more: str) -> Settings:
    is_signed = entities in ("signed", "hive")
    secret = {"HUB_GATEWAY_SECRET": f"{SECRET},{OLD}"} if is_signed else {}
    return read_settings({"HUB_ENTITIES": entities, **secret, **more})


async def ask(settings: Settings, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    toys = ToyHub(clock=SetClock(NOW_S * 1_000_000))
    async with client_of(create_app(toys.hub, settings, schema=schema)) as opened:
        answer = await opened.post(
            "/graphql", content=json.dumps(body), headers={"content-type": "application/json"} | headers
        )
    told: dict[str, Any] = answer.json()
    return told


async def served(settings: Settings, secret: str | None = None) -> set[str]:
    """Which of both fields a request is served, signed if there is a secret; the other is FORBIDDEN."""
    found = set()
    for name, query in ASKS.items():
        signed = signed_bytes(None, b"", json.dumps({"query": query}).encode())
        headers = {"Hub-Gateway-Signature": signature_of(secret.encode(), signed, NOW_S)} if secret else {}
        answer = await ask(settings, {"query": query}, **headers)
        if "errors" not in answer:
            found.add(name)
        else:
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    return found


async def test_off_serves_neither_field_to_anybody() -> None:
    assert await served(settings_of("off")) == set()


async def test_open_serves_both_and_the_schema_to_who_may_introspect_alone() -> None:
    assert await served(settings_of("open")) == BOTH
    assert await served(settings_of("open", HUB_INTROSPECTION="operator")) == {"_entities"}
    answer = await ask(settings_of("open"), {"query": ASKS["_service"]})
    assert answer == {"data": {"_service": {"sdl": schema.as_str()}}}


async def test_the_default_is_open_in_development_and_off_in_production() -> None:
    assert await served(read_settings({})) == BOTH
    assert await served(read_settings({"HUB_MODE": "production"})) == set()


async def test_signed_serves_both_to_who_holds_a_secret_whatever_the_policy_of_introspection() -> None:
    assert await served(settings_of("signed")) == {"_service"}
    settings = settings_of("signed", HUB_INTROSPECTION="false")
    assert await served(settings) == set()
    assert await served(settings, SECRET) == BOTH
    assert await served(settings, OLD) == BOTH
    assert await served(settings, SECRET.upper()) == set()


async def test_hive_serves_both_to_its_own_signature() -> None:
    settings = settings_of("hive", HUB_INTROSPECTION="false")
    assert await served(settings, SECRET) == set()
    for query in ASKS.values():
        text = json.dumps({"query": query}, separators=(",", ":"))
        signature = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256")).decode()
        assert "errors" not in await ask(settings, {"query": query, "extensions": {"hmac-signature": signature}})
        for wrong in ("", signature[:-2], signature.lower(), 7, None, [signature]):
            answer = await ask(settings, {"query": query, "extensions": {"hmac-signature": wrong}})
            assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN", wrong


async def test_bytes_that_are_no_text_are_signed_as_they_are() -> None:
    """Neither the header nor the query string need be UTF-8 for the answer to be no."""
    settings, toys = settings_of("signed", HUB_INTROSPECTION="false"), ToyHub(clock=SetClock(NOW_S * 1_000_000))
    signed = signature_of(SECRET.encode(), b"\xff\n\xfe\n{}", NOW_S)
    for signature, fields in ((signed, BOTH), ("\xff", set())):

        async def receive() -> Message:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        headers = [(b"authorization", b"\xff"), (b"hub-gateway-signature", signature.encode("latin-1"))]
        request = Request({"type": "http", "method": "POST", "query_string": b"\xfe", "headers": headers}, receive)
        assert await Gateway(settings, toys.clock).fields(request, Asked("", None, {}), ANONYMOUS) == fields


# ---- the two signatures ------------------------------------------------------------------------------------------

SIGNED = signed_bytes("Bearer token", b"a=1", b'{"query":"{ x }"}')
SECRETS = [SECRET.encode(), OLD.encode()]


def test_the_signed_text_is_what_the_guide_says() -> None:
    text = f"{NOW_S}\nBearer token\na=1\n".encode() + b'{"query":"{ x }"}'
    digest = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert signature_of(SECRET.encode(), SIGNED, NOW_S) == f"t={NOW_S},v1={digest}"


@pytest.mark.parametrize("late_s", [0, SIGNED_WITHIN_S, -SIGNED_WITHIN_S])
def test_a_signature_counts_within_its_window(late_s: int) -> None:
    assert is_signed_with_time(SECRETS, signature_of(SECRETS[0], SIGNED, NOW_S), SIGNED, NOW_S + late_s)


@pytest.mark.parametrize("late_s", [SIGNED_WITHIN_S + 1, -SIGNED_WITHIN_S - 1, 10**9])
def test_a_signature_that_is_replayed_later_does_not_count(late_s: int) -> None:
    assert not is_signed_with_time(SECRETS, signature_of(SECRETS[0], SIGNED, NOW_S), SIGNED, NOW_S + late_s)


def test_what_was_signed_cannot_be_changed() -> None:
    header = signature_of(SECRETS[0], SIGNED, NOW_S)
    for signed in (
        signed_bytes("Bearer other", b"a=1", b'{"query":"{ x }"}'),
        signed_bytes(None, b"a=1", b'{"query":"{ x }"}'),
        signed_bytes("Bearer token", b"a=2", b'{"query":"{ x }"}'),
        signed_bytes("Bearer token", b"a=1", b'{"query":"{ y }"}'),
        signed_bytes("Bearer token", b"a=1", b""),
    ):
        assert not is_signed_with_time(SECRETS, header, signed, NOW_S)
    later = header.replace(str(NOW_S), str(NOW_S + 1))
    assert not is_signed_with_time(SECRETS, later, SIGNED, NOW_S + 1)
    assert not is_signed_with_time([b"another secret"], header, SIGNED, NOW_S)


@pytest.mark.parametrize(
    "header", [None, "", "t=,v1=", f"t={NOW_S}", f"t={NOW_S},v1=", f"t={NOW_S},v1={'0' * 64}", "t=１,v1=" + "0" * 64,
               f"t={'9' * 40},v1={'0' * 64}", "\ud800", "v1=" + "0" * 64]
)  # fmt: skip
def test_a_header_that_is_no_signature_does_not_count(header: str | None) -> None:
    assert not is_signed_with_time(SECRETS, header, SIGNED, NOW_S)


@dataclass(frozen=True, slots=True)
class Asked:
    query: str
    variables: dict[str, Any] | None
    extensions: dict[str, Any]


# Made by npm `@graphql-mesh/hmac-upstream-signature` 2.1.0, the library behind Hive's `hmacSignature`.
MADE_BY_HIVE: list[tuple[str, dict[str, Any] | None, str]] = [
    ("{viewer{kind}}", None, "tloQCbZEJS94c9/h2zY2Zxd0iB1qBcZQwDc1x6D8bmc="),
    (
        "query($of:[_Any!]!){_entities(representations:$of){...on Course{id title}}}",
        {"of": [{"__typename": "Course", "id": "crs_1"}, {"id": "x", "__typename": "User"}]},
        "btjIqEbOQJMSyesN9F/5xJazXETgy0X+gfgFo0RuSpA=",
    ),
    (
        "query($b:String$a:[Int]){echo(text:$b)}",
        {
            "b": '知识 "quoted" \u2028 \u0007 \x7f / \\ 😀',
            "a": [3, 1, None, 9007199254740991],
            "é": {},
            "Z": True,
        },
        "8ryczaU3IdDfmwHZ9gMviku6TFv+ppjGd77G8oPAtss=",
    ),
]


@pytest.mark.parametrize(("query", "variables", "signature"), MADE_BY_HIVE)
def test_signatures_of_hives_own_library_count(query: str, variables: dict[str, Any] | None, signature: str) -> None:
    extensions = {"hmac-signature": signature}
    assert is_signed_by_hive(SECRETS, Asked(query, variables, extensions))
    assert not is_signed_by_hive(SECRETS, Asked(f"{query} ", variables, extensions))
    assert not is_signed_by_hive(SECRETS, Asked(query, {"other": 1}, extensions))
    assert not is_signed_by_hive([b"another secret"], Asked(query, variables, extensions))


def test_names_are_sorted_at_every_depth() -> None:
    assert canonical({"b": [{"d": 1, "c": None}], "a": "知识\n"}) == '{"a":"知识\\n","b":[{"c":null,"d":1}]}'.encode()


# ---- what it opens -----------------------------------------------------------------------------------------------


async def test_a_signature_changes_nothing_of_who_asks() -> None:
    """The door looks at the request; rows look at the viewer, which is the Authorization's."""
    body = {"query": "{ viewer { kind } }"}
    signature = signature_of(SECRET.encode(), signed_bytes(None, b"", json.dumps(body).encode()), NOW_S)
    answer = await ask(settings_of("signed"), body, **{"Hub-Gateway-Signature": signature})
    assert answer == {"data": {"viewer": {"kind": "ANONYMOUS"}}}
