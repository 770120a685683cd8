"""The Alipay adapter's own rules: whose answer is believed, what each word of Alipay's means, and when a QR is dead."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from hub.channels import CHANNELS, exchange
from hub.channels.alipay import GATEWAY, AlipayChannel
from hub.channels.alipay_codes import ALWAYS, BY_CALL, BY_STATUS, meaning_of
from hub.channels.alipay_gateway import is_safe
from hub.channels.connecting import ChannelSettingRefused
from hub.domain.money import Money
from hub.domain.payments import AttemptState, Outcome, PaymentAttempt, Result, Stage
from hub.domain.refunds import RefundState
from tests.channels.alipay_peer import (
    ALIPAY,
    APP,
    NEXT_ALIPAY,
    STRANGER,
    AlipayPeer,
    alipay_listening,
    pem,
    public_pem,
)
from tests.channels.bench_alipay import NOTICE_URL, at, connected, hearing, signed
from tests.channels.benches import NOW_US, Clock, attempt, refund_of

UNKNOWN = (Outcome.UNKNOWN, Stage.NONE)
ENDS_US = NOW_US + 1_800_000_000
REFERENCE = "TB_7_1"


@dataclass
class World:
    peer: AlipayPeer
    channel: AlipayChannel
    clock: Clock


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = Clock()
    async with alipay_listening(lambda: clock.at_us / 1_000_000) as peer:
        channel = at(peer.url, clock=clock)
        yield World(peer, channel, clock)
        await channel.aclose()


def asked(**fields: Any) -> PaymentAttempt:
    return attempt(**{"channel": "alipay", "amount": Money(1250, "CNY")} | fields)


def given(created: Result | None = None, **fields: Any) -> PaymentAttempt:
    """An attempt whose buyer has been given its QR or page."""
    shown = {"state": AttemptState.ACTION, "heard_rank": 1, "next_action": created.next_action if created else None}
    return asked(**shown | fields)


def said(result: Result) -> tuple[Outcome, Stage]:
    return result.outcome, result.stage


# ---- what is asked ---------------------------------------------------------------------------------------------------


async def test_a_qr_is_asked_for_under_our_reference_with_its_end_in_chinas_time(world: World) -> None:
    result = await world.channel.create(asked())

    assert result.next_action is not None
    assert result.next_action.kind == "qr"
    assert str(result.next_action.data).startswith("https://qr.alipay.com/bax")
    assert result.next_action.expires_at_us == ENDS_US - 60_000_000
    [(call, content)], [fields] = world.peer.seen, world.peer.fields
    assert (call, content) == (
        "create",
        {
            "out_trade_no": "TB_7_1",
            "total_amount": "12.50",
            "subject": "Order TB-7",
            "body": "TB-7-1",
            "product_code": "FACE_TO_FACE_PAYMENT",
            "time_expire": "2026-09-21 22:42:20",
        },
    )
    assert fields["notify_url"] == NOTICE_URL
    assert fields["timestamp"] == "2026-09-21 22:13:20"
    assert (fields["sign_type"], fields["charset"], fields["version"]) == ("RSA2", "utf-8", "1.0")


async def test_sending_it_again_asks_for_the_same(world: World) -> None:
    await world.channel.create(asked())
    world.clock.at_us += 7_000_000
    await world.channel.create(asked(calls=2, sent_at_us=world.clock.at_us))

    assert world.peer.seen[0] == world.peer.seen[1]


@pytest.mark.parametrize(
    ("method", "api", "product"),
    [("page", "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"), ("wap", "alipay.trade.wap.pay", "QUICK_WAP_WAY")],
)
async def test_a_page_is_a_signed_address_and_nothing_is_called(
    world: World, method: str, api: str, product: str
) -> None:
    result = await world.channel.create(asked(method=method, return_url="https://shop.test/thanks?a=1&b=2"))

    assert said(result) == (Outcome.ACTION, Stage.NONE)
    assert result.next_action is not None
    assert (result.next_action.kind, result.next_action.expires_at_us) == ("redirect", ENDS_US - 60_000_000)
    assert world.peer.seen == []
    fields = dict(parse_qsl(urlsplit(str(result.next_action.url)).query))
    assert (fields["method"], fields["return_url"], fields["notify_url"]) == (
        api,
        "https://shop.test/thanks?a=1&b=2",
        NOTICE_URL,
    )
    content = json.loads(fields["biz_content"])
    assert (content["product_code"], content["time_expire"]) == (product, "2026-09-21 22:42:20")
    assert world.peer.opens(str(result.next_action.url)) == REFERENCE
    world.peer.pays(REFERENCE)
    paid = await world.channel.query(given(result))
    assert (said(paid), paid.amount) == ((Outcome.DONE, Stage.CHARGED), Money(1250, "CNY"))


async def test_the_pages_way_back_is_the_settings_where_the_attempt_has_none(world: World) -> None:
    channel = connected(world.peer.url, return_url="https://shop.test/")
    result = await channel.create(asked(method="page"))
    await channel.aclose()

    assert result.next_action is not None
    assert dict(parse_qsl(urlsplit(str(result.next_action.url)).query))["return_url"] == "https://shop.test/"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "card"}, "unknown_method"),
        ({"amount": Money(0, "CNY")}, "wrong_amount"),
        ({"amount": Money(10**10 + 1, "CNY")}, "wrong_amount"),
        ({"amount": Money(1250, "USD")}, "wrong_amount"),
        ({"key": "TB_7"}, "unwritable_key"),
    ],
)
async def test_05_19_what_cannot_be_asked_is_rejected_before_any_call(
    world: World, fields: dict[str, Any], code: str
) -> None:
    for method in ("qr", "page"):
        result = await world.channel.create(asked(**{"method": method} | fields))
        assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), code)

    assert world.peer.seen == []


async def test_nothing_is_captured_here(world: World) -> None:
    result = await world.channel.capture(asked(), Money(1250, "CNY"))

    assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), "capture_unsupported")
    assert not CHANNELS["alipay"].capabilities.can_authorize


# ---- a QR lives, and dies --------------------------------------------------------------------------------------------


async def test_a_given_qr_that_nobody_scanned_stays_as_it_is_until_its_end(world: World) -> None:
    shown = given(await world.channel.create(asked()))

    assert said(await world.channel.query(shown)) == (Outcome.ACTION, Stage.NONE)
    assert said(await world.channel.void(shown)) == (Outcome.ACTION, Stage.NONE)
    assert said(await world.channel.query(replace(shown, state=AttemptState.PENDING))) == (Outcome.PENDING, Stage.NONE)
    world.clock.at_us = ENDS_US - 1
    assert said(await world.channel.void(shown)) == (Outcome.ACTION, Stage.NONE)
    world.clock.at_us = ENDS_US
    assert said(await world.channel.void(shown)) == (Outcome.DONE, Stage.EXPIRED)
    assert said(await world.channel.query(shown)) == (Outcome.DONE, Stage.EXPIRED)


@pytest.mark.parametrize("state", [AttemptState.SUBMITTED, AttemptState.UNKNOWN])
async def test_a_qr_that_nobody_was_given_was_never_seen(world: World, state: AttemptState) -> None:
    assert said(await world.channel.query(asked(state=state))) == (Outcome.DONE, Stage.NONE)
    assert said(await world.channel.void(asked(state=state))) == (Outcome.DONE, Stage.NONE)


async def test_a_scanned_qr_may_be_scanned_again_then_it_is_paid_and_its_void_says_so(world: World) -> None:
    shown = given(await world.channel.create(asked()))
    world.peer.scans(REFERENCE)

    assert said(await world.channel.query(shown)) == (Outcome.ACTION, Stage.NONE)
    assert said(await world.channel.query(asked(state=AttemptState.UNKNOWN))) == (Outcome.PENDING, Stage.NONE)
    world.peer.pays(REFERENCE)
    for result in (await world.channel.query(shown), await world.channel.void(shown)):
        assert (said(result), result.amount) == ((Outcome.DONE, Stage.CHARGED), Money(1250, "CNY"))
        assert (result.movement_ref, result.provider_at_us) == (world.peer.trades[REFERENCE]["trade_no"], NOW_US)


async def test_a_trade_that_was_paid_and_given_back_was_not_voided(world: World) -> None:
    shown = given(await world.channel.create(asked()))
    world.peer.pays(REFERENCE)
    await world.channel.refund(shown, refund_of(shown, 1250))

    for result in (await world.channel.query(shown), await world.channel.void(shown)):
        assert (said(result), result.amount) == ((Outcome.DONE, Stage.REFUNDED), Money(1250, "CNY"))


# ---- giving back -----------------------------------------------------------------------------------------------------


async def test_a_refund_is_taken_on_and_only_the_query_says_that_it_arrived(world: World) -> None:
    shown = given(await world.channel.create(asked()))
    world.peer.pays(REFERENCE)
    world.peer.refunds_arrive = False
    back = refund_of(shown, 30)

    first, again = await world.channel.refund(shown, back), await world.channel.refund(shown, back)
    before = await world.channel.query_refund(shown, replace(back, state=RefundState.PENDING))
    world.peer.refunds_arrive = True
    after = await world.channel.query_refund(shown, replace(back, state=RefundState.PENDING))

    assert [said(result) for result in (first, again, before)] == [(Outcome.PENDING, Stage.NONE)] * 3
    assert (first.code, again.code) == ("fund_change_Y", "fund_change_N")
    assert (said(after), after.amount) == ((Outcome.DONE, Stage.REFUNDED), Money(30, "CNY"))
    assert [content["out_request_no"] for call, content in world.peer.seen if call == "refund"] == [back.key] * 2
    assert world.peer.given_back(REFERENCE) * 100 == 30


async def test_a_refund_of_another_amount_under_one_key_is_unknown_and_gives_nothing(world: World) -> None:
    shown = given(await world.channel.create(asked()))
    world.peer.pays(REFERENCE)
    await world.channel.refund(shown, refund_of(shown, 30))

    other = await world.channel.refund(shown, refund_of(shown, 31))

    assert said(other) == UNKNOWN
    assert world.peer.given_back(REFERENCE) * 100 == 30


@pytest.mark.parametrize("amount", [Money(0, "CNY"), Money(5, "USD")])
async def test_05_19_a_refund_that_cannot_be_asked_for_is_rejected_before_any_call(world: World, amount: Money) -> None:
    result = await world.channel.refund(asked(), replace(refund_of(asked(), 1), amount=amount))

    assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), "wrong_amount")
    assert world.peer.seen == []


# ---- whose answers are believed --------------------------------------------------------------------------------------

WRITES = ["create", "void", "refund"]


async def called(world: World, call: str) -> Result:
    shown = given()
    if call == "create":
        return await world.channel.create(asked())
    if call in ("refund", "query_refund"):
        return await getattr(world.channel, call)(shown, refund_of(shown, 30))  # type: ignore[no-any-return]  # called by its name
    return await getattr(world.channel, call)(shown)  # type: ignore[no-any-return]  # a method by its name


@pytest.mark.parametrize("call", [*WRITES, "query", "query_refund"])
@pytest.mark.parametrize("fault", ["bad_signature", "unsigned", "html", "truncated", "500", "502", "302", "204"])
async def test_05_5_what_alipay_has_not_signed_is_unknown(world: World, call: str, fault: str) -> None:
    await world.channel.create(asked())
    if call != "create":
        world.peer.pays(REFERENCE)
    world.peer.faults.append((call, fault))

    result = await called(world, call)

    assert said(result) == UNKNOWN
    assert result.amount is None
    assert result.code is not None
    assert world.peer.faults == []


async def test_05_5_an_amount_changed_on_the_way_is_unknown(world: World) -> None:
    await world.channel.create(asked())
    world.peer.pays(REFERENCE)
    world.peer.faults.append(("query", "tampered"))

    result = await world.channel.query(given())

    assert (said(result), result.code) == (UNKNOWN, "unsigned")


async def test_05_5_silence_is_unknown_after_our_patience(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "WHOLE_S", 0.05)
    world.peer.faults.append(("create", "delay"))

    result = await world.channel.create(asked())

    assert (said(result), result.code) == (UNKNOWN, "TimeoutError")


async def test_of_two_signatures_the_last_counts(world: World) -> None:
    world.peer.faults.append(("create", "two_signatures"))

    assert said(await world.channel.create(asked())) == (Outcome.ACTION, Stage.NONE)


@pytest.mark.parametrize(("call", "when"), [(call, when) for call in WRITES for when in ("before", "after")])
async def test_05_3_a_lost_answer_is_unknown_asking_ends_it_and_all_happens_once(
    world: World, call: str, when: str
) -> None:
    await world.channel.create(asked())
    if call == "refund":
        world.peer.pays(REFERENCE)
    else:
        world.peer.scans(REFERENCE)
    world.peer.faults.append((call, f"drop_{when}"))

    assert said(await called(world, call)) == UNKNOWN
    await called(world, call)

    shown = given()
    assert (
        said(await world.channel.query(shown))
        == {
            "create": (Outcome.ACTION, Stage.NONE),
            "void": (Outcome.DONE, Stage.VOIDED),
            "refund": (Outcome.DONE, Stage.CHARGED),
        }[call]
    )
    if call == "refund":
        found = await world.channel.query_refund(shown, refund_of(shown, 30))
        assert (said(found), found.amount) == ((Outcome.DONE, Stage.REFUNDED), Money(30, "CNY"))
    assert (len(world.peer.trades), world.peer.given_back(REFERENCE) * 100) == (1, 30 if call == "refund" else 0)


async def test_either_of_two_keys_of_alipay_verifies_and_no_third(world: World) -> None:
    for signs_with, expected in ((ALIPAY, Outcome.ACTION), (NEXT_ALIPAY, Outcome.ACTION), (STRANGER, Outcome.UNKNOWN)):
        world.peer.signs_with = signs_with
        assert (await world.channel.create(asked())).outcome is expected


TRADE = {
    "code": "10000",
    "out_trade_no": REFERENCE,
    "trade_no": "2026092122001400000000000001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "12.50",
    "send_pay_date": "2026-09-21 22:13:20",
}


def answer(content: Any, name: str = "alipay_trade_query_response") -> bytes:
    return signed(f'{{"{name}":{json.dumps(content)},"sign":""}}'.encode())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, (Outcome.DONE, Stage.CHARGED)),
        ({"total_amount": "12.5"}, (Outcome.DONE, Stage.CHARGED)),
        ({"total_amount": 12.5}, UNKNOWN),
        ({"total_amount": "1.25e1"}, UNKNOWN),
        ({"total_amount": "-12.50"}, UNKNOWN),
        ({"total_amount": " 12.50"}, UNKNOWN),
        ({"total_amount": "１2.50"}, UNKNOWN),
        ({"total_amount": "12.505"}, UNKNOWN),
        ({"total_amount": None}, UNKNOWN),
        ({"trans_currency": "CNY"}, (Outcome.DONE, Stage.CHARGED)),
        ({"trans_currency": "USD"}, UNKNOWN),
        ({"trade_status": "TRADE_DONE"}, UNKNOWN),
        ({"trade_no": "1 2"}, UNKNOWN),
        ({"trade_no": 7}, UNKNOWN),
        ({"out_trade_no": "TB_8_1"}, UNKNOWN),
        ({"send_pay_date": "yesterday"}, UNKNOWN),
        ({"code": 10000}, UNKNOWN),
        ({"code": "77777"}, UNKNOWN),
        ({"code": None}, UNKNOWN),
        ({"code": "40004", "sub_code": "ACQ.NEVER_HEARD_OF"}, UNKNOWN),
        ({"code": "40004", "sub_code": "x" * 5_000}, UNKNOWN),
    ],
)
async def test_05_19_a_signed_answer_counts_to_the_fen_or_not_at_all(
    changed: dict[str, Any], expected: tuple[Outcome, Stage]
) -> None:
    channel = hearing(200, {}, answer(TRADE | changed))

    result = await channel.query(given())
    await channel.aclose()

    assert said(result) == expected
    assert result.amount == (Money(1250, "CNY") if expected[1] is Stage.CHARGED else None)


@pytest.mark.parametrize("missing", [name for name in TRADE if name != "send_pay_date"])
async def test_a_signed_answer_without_a_field_is_unknown(missing: str) -> None:
    channel = hearing(200, {}, answer({name: value for name, value in TRADE.items() if name != missing}))

    assert said(await channel.query(given())) == UNKNOWN
    await channel.aclose()


async def test_an_answer_to_another_call_is_unknown() -> None:
    channel = hearing(200, {}, answer(TRADE, "alipay_trade_close_response"))

    assert said(await channel.query(given())) == UNKNOWN
    await channel.aclose()


# ---- the table of codes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "sub_code", "outcome"), [(*key, outcome) for key, outcome in sorted(ALWAYS.items()) if key[0] != "10003"]
)
async def test_05_5_each_code_of_the_gateway_has_its_meaning(code: str, sub_code: str, outcome: Outcome) -> None:
    content = {"code": code, "msg": "x", "sub_code": sub_code or "isv.anything"}
    channel = hearing(200, {}, answer(content, "alipay_trade_precreate_response"))

    result = await channel.create(asked())
    await channel.aclose()

    assert (result.outcome, result.stage, result.code) == (outcome, Stage.NONE, sub_code or "isv.anything")
    assert (result.retry_after_ms is not None) == (outcome is Outcome.NOT_SENT)


@pytest.mark.parametrize(("call", "sub_code", "outcome"), [(*key, outcome) for key, outcome in sorted(BY_CALL.items())])
async def test_05_5_each_business_answer_has_its_meaning(call: str, sub_code: str, outcome: Outcome) -> None:
    name = {"create": "alipay_trade_precreate_response", "refund": "alipay_trade_refund_response"}[call]
    channel = hearing(200, {}, answer({"code": "40004", "msg": "x", "sub_code": sub_code}, name))

    result = await (channel.create(asked()) if call == "create" else channel.refund(asked(), refund_of(asked(), 1)))
    await channel.aclose()

    assert (result.outcome, result.stage, result.code) == (outcome, Stage.NONE, sub_code)
    is_hard = sub_code in ("ACQ.PAYMENT_REQUEST_HAS_RISK", "ACQ.BUYER_ENABLE_STATUS_FORBID")
    assert result.decline == (None if outcome is not Outcome.DECLINED else "hard" if is_hard else "soft")


def test_waiting_is_pending_and_what_has_no_row_is_unknown() -> None:
    assert meaning_of("create", "10003", "") is Outcome.PENDING
    assert meaning_of("create", "40004", "ACQ.BRAND_NEW") is Outcome.UNKNOWN
    assert meaning_of("refund", "40004", "ACQ.PAYMENT_FAIL") is Outcome.UNKNOWN
    assert meaning_of("create", "20000", "ACQ.PAYMENT_FAIL") is Outcome.UNKNOWN
    assert meaning_of("query", "99999", "") is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503])
async def test_05_5_each_http_status_has_its_meaning_on_create(status: int) -> None:
    channel = hearing(status, {"retry-after": "7"}, b"<html></html>")

    result = await channel.create(asked())
    await channel.aclose()

    expected = BY_STATUS.get(("create", status), Outcome.UNKNOWN)
    assert (result.outcome, result.code) == (expected, f"http_{status}")
    assert expected is {429: Outcome.NOT_SENT, 301: Outcome.UNKNOWN, 409: Outcome.UNKNOWN, 418: Outcome.UNKNOWN}.get(
        status, Outcome.UNKNOWN if status >= 500 else Outcome.REJECTED
    )
    assert result.retry_after_ms == (7_000 if status == 429 else None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
async def test_05_5_an_unsigned_no_to_a_refund_is_not_believed(status: int) -> None:
    channel = hearing(status, {}, b"no")

    assert said(await channel.refund(asked(), refund_of(asked(), 1))) == UNKNOWN
    await channel.aclose()


# ---- settings, and the check -----------------------------------------------------------------------------------------


def bare(armoured: str) -> str:
    return "".join(line for line in armoured.splitlines() if not line.startswith("-----"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("app_id", "hunter2"),
        ("app_id", "２０２１000000000001"),
        ("seller_id", "seller@example.cn"),
        ("private_key", "hunter2"),
        ("alipay_public_key", "hunter2"),
        ("gateway_url", "http://openapi.alipay.com/gateway.do"),
        ("gateway_url", "hunter2"),
        ("notify_url", "hunter2"),
    ],
)
def test_a_wrong_setting_is_named_and_never_repeated(setting: str, value: str) -> None:
    with pytest.raises(ChannelSettingRefused) as refused:
        connected(**{"url": GATEWAY, setting: value} if setting != "gateway_url" else {"url": value})

    assert refused.value.setting == setting
    assert value not in str(refused.value)


def test_the_apps_own_key_is_not_taken_for_alipays() -> None:
    with pytest.raises(ChannelSettingRefused, match="the app's own"):
        connected(GATEWAY, alipay_public_key=f"{bare(public_pem(ALIPAY))},{bare(public_pem(APP))}")


@pytest.mark.parametrize("missing", ["app_id", "seller_id", "private_key", "alipay_public_key"])
def test_no_setting_that_is_needed_may_miss(missing: str) -> None:
    settings = {"app_id": "1", "seller_id": "1", "private_key": pem(APP), "alipay_public_key": public_pem(ALIPAY)}
    del settings[missing]

    with pytest.raises(ChannelSettingRefused, match=missing):
        AlipayChannel.connected(settings, None)  # type: ignore[arg-type]  # refused before it is looked at


def test_only_tls_or_this_machine_is_safe() -> None:
    assert [is_safe(url) for url in (GATEWAY, "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:1/x")] == [
        True
    ] * 4
    assert not any(
        is_safe(url) for url in ("http://a.test/", "ftp://127.0.0.1/", "https://", "//a", "", None, "http://[/")
    )


async def test_the_check_finds_each_thing_that_is_wrong(world: World) -> None:
    def bad(found: Any) -> list[str]:
        return [finding.name for finding in found if not finding.is_good]

    assert bad(await world.channel.check()) == []
    other_app = connected(world.peer.url, app_id="9021000100000009", clock=world.clock)
    found = await other_app.check()
    assert bad(found) == ["credentials", "keys"]
    assert "isv.invalid-signature" in next(finding.detail for finding in found if finding.name == "keys")
    world.peer.signs_with = STRANGER
    assert bad(await world.channel.check()) == ["credentials", "keys"]
    world.peer.signs_with = ALIPAY
    late = at(world.peer.url, clock=Clock(NOW_US + 301_000_000))
    assert bad(await late.check()) == ["clock"]
    for channel in (other_app, late):
        await channel.aclose()


async def test_calls_at_once_do_not_mix(world: World) -> None:
    keys = [f"TB-{n}-1" for n in range(20)]

    results = await asyncio.gather(*(world.channel.create(asked(key=key)) for key in keys))

    assert len({result.next_action.data for result in results if result.next_action}) == 20


async def test_a_form_is_sent_and_nothing_secret_in_its_address() -> None:
    seen: list[httpx.Request] = []

    def provider(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(500)

    channel = at(GATEWAY, client=httpx.AsyncClient(transport=httpx.MockTransport(provider)))
    await channel.create(asked())
    await channel.aclose()

    [request] = seen
    assert str(request.url) == f"{GATEWAY}?charset=utf-8"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert len(base64.b64decode(dict(parse_qsl(request.content.decode()))["sign"])) == 256
