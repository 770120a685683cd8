"""The sandbox adapter's own rules: whose answer is believed, and what each word of the provider means."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from hub.channels.connecting import ChannelSettingRefused, Surroundings
from hub.channels.exchange import ANSWER_LIMIT
from hub.channels.sandbox import SandboxChannel
from hub.channels.sandbox_words import notice_of, verified_at
from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import Outcome, Stage
from hub.ports import NoticeRefused, RawNotice
from tests.channels.benches import NOW_US, Clock, attempt
from tests.sandbox.conftest import NOON

INTENT: dict[str, Any] = {
    "id": "pi_1",
    "object": "payment_intent",
    "livemode": False,
    "reference": "TB-7-1",
    "amount": 1250,
    "amount_received": 0,
    "currency": "USD",
    "status": "requires_action",
    "status_at": NOON,
    "last_payment_error": None,
    "latest_charge": None,
    "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "http://pay.test/1", "return_url": None}},
    "cancellation_reason": None,
    "expires_at": NOON + 1800,
}
PAID = INTENT | {"status": "succeeded", "amount_received": 1250, "latest_charge": "ch_1", "next_action": None}


def signed(body: bytes, secret: str, at: int = NOON) -> str:
    digest = hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def answer(
    status: int, content: Any, *, secret: str = "answers", headers: dict[str, str] | None = None
) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.Response(status, content=body, headers={"Sandbox-Signature": signed(body, secret), **(headers or {})})


def channel_over(transport: httpx.AsyncBaseTransport) -> SandboxChannel:
    return SandboxChannel(
        base_url="http://provider.test",
        api_key="sk_1",
        answer_secret="answers",
        notice_secrets=("new", "old"),
        notice_url="https://hub.test/channels/sandbox/notices",
        client=httpx.AsyncClient(transport=transport),
        clock=Clock(),
    )


def channel_hearing(response: httpx.Response) -> SandboxChannel:
    return channel_over(httpx.MockTransport(lambda _: response))


def error(code: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": "", **more}}


async def test_create_sends_our_reference_as_key_and_nothing_that_depends_on_now() -> None:
    seen: list[httpx.Request] = []

    def provider(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(200, INTENT)

    channel = channel_over(httpx.MockTransport(provider))
    await channel.create(attempt(method="pm_card_visa", return_url="https://shop.test/"))
    await channel.create(
        attempt(method="pm_card_visa", return_url="https://shop.test/", calls=2, sent_at_us=NOW_US + 9)
    )

    assert seen[0].headers["Idempotency-Key"] == "TB-7-1"
    assert seen[0].headers["Authorization"] == "Bearer sk_1"
    assert json.loads(seen[0].content) == {
        "reference": "TB-7-1",
        "amount": 1250,
        "currency": "USD",
        "description": "Order TB-7-1",
        "metadata": {"order": "TB-7", "order_id": "ord_1", "payment_attempt_id": "att_1"},
        "capture_method": "automatic",
        "expires_in_s": 1800,
        "payment_method": "pm_card_visa",
        "return_url": "https://shop.test/",
        "notice_url": "https://hub.test/channels/sandbox/notices",
    }
    assert seen[1].content == seen[0].content


@pytest.mark.parametrize(
    ("content", "outcome", "stage", "code", "decline"),
    [
        (INTENT, Outcome.ACTION, Stage.NONE, None, None),
        (PAID, Outcome.DONE, Stage.CHARGED, None, None),
        (INTENT | {"status": "canceled", "cancellation_reason": "requested"}, Outcome.DONE, Stage.VOIDED, None, None),
        (INTENT | {"status": "canceled", "cancellation_reason": "expired"}, Outcome.DONE, Stage.EXPIRED, None, None),
        (
            INTENT
            | {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "decline_code": "insufficient_funds"},
            },
            Outcome.DECLINED,
            Stage.NONE,
            "insufficient_funds",
            "soft",
        ),
        (
            INTENT
            | {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "authentication_failed", "decline_code": None},
            },
            Outcome.DECLINED,
            Stage.NONE,
            "authentication_failed",
            "soft",
        ),
    ],
)
async def test_each_status_of_a_payment_has_its_meaning(
    content: dict[str, Any], outcome: Outcome, stage: Stage, code: str | None, decline: str | None
) -> None:
    listed = {"object": "list", "reference": "TB-7-1", "data": [content]}

    created = await channel_hearing(answer(200, content)).create(attempt())
    found = await channel_hearing(answer(200, listed)).query(attempt())

    for result in (created, found):
        assert (result.outcome, result.stage, result.code, result.decline) == (outcome, stage, code, decline)
        assert result.channel_ref == "pi_1"


@pytest.mark.parametrize(
    ("status", "code", "create", "void", "query"),
    [
        (400, "amount_too_small", Outcome.REJECTED, Outcome.REJECTED, Outcome.REJECTED),
        (401, "api_key_invalid", Outcome.REJECTED, Outcome.REJECTED, Outcome.REJECTED),
        (403, "forbidden", Outcome.REJECTED, Outcome.REJECTED, Outcome.REJECTED),
        (404, "route_missing", Outcome.REJECTED, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (409, "idempotency_key_in_use", Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (409, "reference_in_use", Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (418, "teapot", Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (422, "invalid", Outcome.REJECTED, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (429, "rate_limited", Outcome.NOT_SENT, Outcome.NOT_SENT, Outcome.NOT_SENT),
        (500, "internal", Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (503, "unavailable", Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.UNKNOWN),
    ],
)
async def test_each_refusal_has_its_outcome_by_flow(
    status: int, code: str, create: Outcome, void: Outcome, query: Outcome
) -> None:
    channel = channel_hearing(answer(status, error(code)))

    results = [await channel.create(attempt()), await channel.void(attempt()), await channel.query(attempt())]

    assert [result.outcome for result in results] == [create, void, query]
    assert {(result.stage, result.code) for result in results} == {(Stage.NONE, code)}


async def test_decline_by_402_is_a_decline() -> None:
    declined = INTENT | {
        "status": "requires_payment_method",
        "last_payment_error": {"code": "x", "decline_code": "stolen_card"},
    }

    result = await channel_hearing(answer(402, error("card_declined", payment_intent=declined))).create(attempt())

    assert (result.outcome, result.code, result.decline) == (Outcome.DECLINED, "stolen_card", "hard")


@pytest.mark.parametrize(
    ("header", "after_ms"), [({"Retry-After": "7"}, 7000), ({}, 1000), ({"Retry-After": "-1"}, 1000)]
)
async def test_rate_limit_says_when_to_come_back(header: dict[str, str], after_ms: int) -> None:
    result = await channel_hearing(answer(429, error("rate_limited"), headers=header)).create(attempt())

    assert (result.outcome, result.retry_after_ms) == (Outcome.NOT_SENT, after_ms)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, json=PAID),
        answer(200, PAID, secret="forged"),
        answer(200, PAID, headers={"Sandbox-Signature": "v1=0"}),
        httpx.Response(400, json=error("amount_too_small")),
        httpx.Response(502, html="<h1>Bad Gateway</h1>"),
        answer(200, b"<h1>ok</h1>"),
        answer(200, b"[]"),
        answer(200, b""),
        answer(200, PAID | {"reference": "TB-7-2"}),
        answer(200, PAID | {"livemode": True}),
        answer(200, PAID | {"amount_received": 12.5}),
        answer(200, PAID | {"currency": "XXX"}),
        answer(200, PAID | {"status": "someday"}),
        answer(200, {name: value for name, value in PAID.items() if name != "latest_charge"}),
        answer(200, b" " * (ANSWER_LIMIT + 1)),
    ],
)
async def test_answer_that_is_forged_foreign_or_unreadable_is_unknown(response: httpx.Response) -> None:
    result = await channel_hearing(response).create(attempt())

    assert (result.outcome, result.stage, result.amount, result.channel_ref) == (
        Outcome.UNKNOWN,
        Stage.NONE,
        None,
        None,
    )


async def test_empty_list_for_another_reference_is_not_never_seen() -> None:
    other = {"object": "list", "reference": "TB-7-2", "data": []}

    result = await channel_hearing(answer(200, other)).query(attempt())

    assert (result.outcome, result.stage) == (Outcome.UNKNOWN, Stage.NONE)


async def test_amount_is_what_was_received_once_it_was() -> None:
    result = await channel_hearing(answer(200, PAID | {"amount_received": 1300})).create(attempt())

    assert (result.stage, result.amount) == (Stage.CHARGED, Money(1300, "USD"))


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (httpx.ConnectError(""), Outcome.NOT_SENT),
        (httpx.ConnectTimeout(""), Outcome.NOT_SENT),
        (httpx.PoolTimeout(""), Outcome.NOT_SENT),
        (httpx.ReadError(""), Outcome.UNKNOWN),
        (httpx.ReadTimeout(""), Outcome.UNKNOWN),
        (httpx.WriteError(""), Outcome.UNKNOWN),
        (httpx.WriteTimeout(""), Outcome.UNKNOWN),
        (httpx.RemoteProtocolError(""), Outcome.UNKNOWN),
        (httpx.DecodingError(""), Outcome.UNKNOWN),
    ],
)
async def test_each_transport_failure_has_its_outcome(failure: Exception, outcome: Outcome) -> None:
    def provider(_: httpx.Request) -> httpx.Response:
        raise failure

    result = await channel_over(httpx.MockTransport(provider)).create(attempt())

    assert (result.outcome, result.stage, result.code) == (outcome, Stage.NONE, type(failure).__name__)


@pytest.mark.parametrize("cut_at", [0, 10, 60])
async def test_answer_cut_anywhere_on_a_real_socket_is_unknown(cut_at: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"{" * 400
    async with cutting_server(whole, cut_at) as url, httpx.AsyncClient(trust_env=False, verify=False) as client:
        channel = SandboxChannel(
            base_url=url,
            api_key="sk_1",
            answer_secret="answers",
            notice_secrets=("new",),
            notice_url=None,
            client=client,
            clock=Clock(),
        )
        result = await channel.create(attempt())

    assert result.outcome is Outcome.UNKNOWN


@asynccontextmanager
async def cutting_server(whole: bytes, cut_at: int) -> AsyncIterator[str]:
    async def answer_in_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(whole[:cut_at])
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer_in_part, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def event(**fields: Any) -> bytes:
    made = {"id": "evt_1", "type": "payment.succeeded", "created": NOON, "data": {"object": PAID}}
    return json.dumps(made | fields).encode()


def notice(body: bytes, header: str) -> RawNotice:
    return RawNotice({"sandbox-signature": header}, body)


def test_either_of_two_live_secrets_verifies_and_no_third() -> None:
    channel = channel_hearing(answer(200, {}))

    for secret in ("new", "old"):
        assert channel.verify_notice(notice(event(), signed(event(), secret)), NOW_US).event_id == "evt_1"
    for secret in ("answers", "", "newer"):
        with pytest.raises(NoticeRefused):
            channel.verify_notice(notice(event(), signed(event(), secret)), NOW_US)


def test_one_right_v1_among_several_is_enough_and_v0_is_none() -> None:
    right = signed(event(), "new")

    assert verified_at(right.replace("v1=", f"v1={'0' * 64},v1="), event(), ("new",)) == NOW_US
    assert verified_at(right.replace("v1=", "v0="), event(), ("new",)) is None
    assert verified_at(right + f",t={NOON}", event(), ("new",)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        event(id=""),
        event(id=7),
        event(type=None),
        event(data={"object": {"object": "refund"}}),
        event(data={"object": PAID | {"reference": None}}),
        event(data={"object": PAID | {"livemode": True}}),
    ],
)
def test_signed_nonsense_is_refused(body: bytes) -> None:
    channel = channel_hearing(answer(200, {}))

    with pytest.raises(NoticeRefused):
        channel.verify_notice(notice(body, signed(body, "new")), NOW_US)


def test_digest_is_over_the_meaning_and_not_the_spelling() -> None:
    reordered = json.dumps(json.loads(event()) | {"pending_webhooks": 3}, indent=2, sort_keys=True).encode()
    other = event(data={"object": PAID | {"amount_received": 1300}})

    digests = [notice_of(body, NOW_US).digest for body in (event(), reordered, other)]

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("secrets", ["", ",", "new,", "new, ", ",new", "new,,old"])
def test_a_list_of_secrets_with_an_empty_one_is_refused_and_not_shown(secrets: str) -> None:
    given = {"base_url": "http://provider.test", "api_key": "sk_1", "answer_secret": "a", "notice_secret": secrets}
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer(200, {})))
    with pytest.raises(ChannelSettingRefused) as refused:
        SandboxChannel.connected(given, Surroundings(client, Clock(), lambda: b"", None))
    assert (refused.value.setting, "new" in str(refused.value)) == ("notice_secret", False)


@pytest.mark.parametrize("fields", [{"answer_secret": ""}, {"notice_secrets": ()}, {"notice_secrets": ("new", "")}])
def test_channel_without_a_secret_does_not_start(fields: dict[str, Any]) -> None:
    wired: dict[str, Any] = {
        "base_url": "http://provider.test",
        "api_key": "sk_1",
        "answer_secret": "answers",
        "notice_secrets": ("new",),
        "notice_url": None,
        "client": httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer(200, {}))),
        "clock": Clock(),
    }

    with pytest.raises(ValueError, match="needs its answer secret"):
        SandboxChannel(**(wired | fields))


DISPUTE: dict[str, Any] = {
    "id": "dp_1",
    "object": "dispute",
    "livemode": False,
    "payment_reference": "TB-7-1",
    "amount": 1250,
    "currency": "USD",
    "status": "needs_response",
    "status_at": NOON,
    "reason": "fraudulent",
    "evidence_due_by": NOON + 60,
    "fee": 1500,
}


def test_notice_of_a_dispute_says_all_of_it_and_nothing_of_the_payment() -> None:
    told = notice_of(event(type="dispute.created", data={"object": DISPUTE}), NOW_US)

    assert told.dispute == DisputeWord(
        channel_ref="dp_1",
        state=DisputeState.NEEDS_RESPONSE,
        amount=Money(1250, "USD"),
        reason="fraudulent",
        evidence_due_at_us=NOW_US + 60_000_000,
        fee=Money(1500, "USD"),
    )
    assert (told.attempt_key, told.refund_key) == ("TB-7-1", None)
    assert (told.result.outcome, told.result.stage, told.result.amount) == (Outcome.DONE, Stage.NONE, None)
    assert told.result.provider_at_us == NOW_US


@pytest.mark.parametrize("state", list(DisputeState))
def test_each_status_of_a_dispute_has_its_state(state: DisputeState) -> None:
    early = DISPUTE | {"status": state.lower(), "evidence_due_by": None, "fee": 0}

    word = notice_of(event(data={"object": early}), NOW_US).dispute

    assert word is not None
    assert (word.state, word.evidence_due_at_us, word.fee) == (state, None, None)


@pytest.mark.parametrize("spoilt", [{"status": "angry"}, {"amount": "1250"}, {"livemode": True}, {"id": None}])
def test_dispute_that_makes_no_sense_is_refused(spoilt: dict[str, Any]) -> None:
    with pytest.raises(NoticeRefused):
        notice_of(event(data={"object": DISPUTE | spoilt}), NOW_US)
