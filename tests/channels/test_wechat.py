"""The WeChat Pay adapter against a provider of ours: what it asks, whom it believes, what each word means to it."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from hub.channels import wechat_gateway
from hub.channels.exchange import exchange
from hub.channels.wechat import WeChatChannel
from hub.domain.money import Money
from hub.domain.payments import Outcome, PaymentAttempt, Result, Stage
from hub.ports import NoticeRefused, RawNotice
from tests.channels.bench_wechat import wechat_channel
from tests.channels.benches import NOW_US, Clock, attempt, refund_of
from tests.channels.wechat_peer import (
    APPID,
    CERTIFICATE,
    MCHID,
    MERCHANT,
    NEXT_API_V3_KEY,
    NEXT_CERTIFICATE,
    NEXT_PUBLIC_KEY_ID,
    PUBLIC_KEY_ID,
    WeChatPeer,
    key,
    wechat_listening,
)
from tests.sandbox.conftest import Merchant, merchant_listening

ASKED = attempt(channel="wechat", amount=Money(1250, "CNY"))
UNKNOWN = (Outcome.UNKNOWN, Stage.NONE)
CHARGED = (Outcome.DONE, Stage.CHARGED)
Connect = Callable[..., WeChatChannel]


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    async with merchant_listening() as listening:
        yield listening


@pytest.fixture
async def peer() -> AsyncIterator[WeChatPeer]:
    async with wechat_listening(lambda: NOW_US / 10**6) as listening:
        yield listening


@pytest.fixture
async def connected(peer: WeChatPeer, merchant: Merchant) -> AsyncIterator[Connect]:
    """An adapter of other settings over the peer, closed at the end."""
    made: list[WeChatChannel] = []

    def connect(*, clock: Clock | None = None, **settings: Any) -> WeChatChannel:
        made.append(wechat_channel(peer, clock=clock, notice_url=merchant.url, **settings))
        return made[-1]

    yield connect
    for channel in made:
        await channel.aclose()


@pytest.fixture
def channel(connected: Connect) -> WeChatChannel:
    return connected()


def said(result: Result) -> tuple[Outcome, Stage]:
    return result.outcome, result.stage


async def charged(channel: WeChatChannel, peer: WeChatPeer) -> PaymentAttempt:
    assert (await channel.create(ASKED)).outcome is Outcome.ACTION
    await peer.buyer_pays(ASKED.key)
    return ASKED


# ---- what it asks ------------------------------------------------------------------------------------------------


async def test_order_is_what_the_documentation_wants_and_the_same_each_time(
    peer: WeChatPeer, merchant: Merchant, connected: Connect
) -> None:
    channel = connected(clock=Clock(NOW_US + 7_000_000))

    await channel.create(ASKED)
    await channel.create(replace(ASKED, calls=2, sent_at_us=NOW_US + 60_000_000))

    (_, headers, body), (_, _, again) = peer.seen
    assert body == again
    assert json.loads(body) == {
        "appid": APPID,
        "mchid": MCHID,
        "description": "Order TB-7-1",
        "out_trade_no": "TB-7-1",
        "time_expire": "2026-09-21T22:43:20+08:00",
        "notify_url": merchant.url,
        "amount": {"total": 1250, "currency": "CNY"},
    }
    assert headers["authorization"].startswith(f'WECHATPAY2-SHA256-RSA2048 mchid="{MCHID}",nonce_str="')
    assert f'timestamp="{NOW_US // 10**6 + 7}"' in headers["authorization"]
    assert (headers["wechatpay-serial"], headers["content-type"]) == (PUBLIC_KEY_ID, "application/json")


async def test_native_shows_a_qr_code(channel: WeChatChannel) -> None:
    result = await channel.create(replace(ASKED, method="native"))

    assert result.next_action is not None
    assert result.next_action.data is not None
    assert result.next_action.data.startswith("weixin://wxpay/bizpayurl?pr=")
    assert result.next_action.expires_at_us == ASKED.expires_at_us


@pytest.mark.parametrize(
    ("method", "setting", "told"),
    [
        ("h5:203.0.113.7", None, "203.0.113.7"),
        ("h5", "2001:db8::7", "2001:db8::7"),
        ("h5:2001:db8::1", "::1", "2001:db8::1"),
    ],
)
async def test_h5_names_the_payer_and_comes_back(
    peer: WeChatPeer, connected: Connect, method: str, setting: str | None, told: str
) -> None:
    channel = connected(**({"payer_client_ip": setting} if setting else {}))

    result = await channel.create(replace(ASKED, method=method, return_url="https://shop.test/?a=b&c"))

    assert json.loads(peer.seen[0][2])["scene_info"] == {"payer_client_ip": told, "h5_info": {"type": "Wap"}}
    assert result.next_action is not None
    assert (result.next_action.kind, result.next_action.expires_at_us) == ("redirect", NOW_US + 300_000_000)
    assert result.next_action.url is not None
    assert result.next_action.url.endswith("&package=1&redirect_url=https%3A%2F%2Fshop.test%2F%3Fa%3Db%26c")


async def test_jsapi_gives_the_parameters_signed_by_the_merchant(peer: WeChatPeer, channel: WeChatChannel) -> None:
    result = await channel.create(replace(ASKED, method="jsapi:oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"))

    assert json.loads(peer.seen[0][2])["payer"] == {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
    assert result.next_action is not None
    assert result.next_action.kind == "client_secret"
    told = json.loads(result.next_action.data or "")
    assert told.keys() == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert (told["appId"], told["timeStamp"], told["signType"]) == (APPID, str(NOW_US // 10**6), "RSA")
    text = f"{told['appId']}\n{told['timeStamp']}\n{told['nonceStr']}\n{told['package']}\n".encode()
    assert key(MERCHANT).has_signed(text, told["paySign"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "app"}, "method_unknown"),
        ({"method": "native:x"}, "method_unknown"),
        ({"method": "jsapi"}, "method_unknown"),
        ({"method": "../refund"}, "method_unknown"),
        ({"method": "h5"}, "h5_without_payer_client_ip"),
        ({"method": "h5:not-an-address"}, "h5_payer_client_ip_malformed"),
        ({"amount": Money(0, "CNY")}, "amount_not_taken"),
        ({"amount": Money(1250, "USD")}, "amount_not_taken"),
        ({"amount": Money(1250, "JPY")}, "amount_not_taken"),
        ({"amount": Money(1250, "KWD")}, "amount_not_taken"),
    ],
)
async def test_what_cannot_be_asked_is_rejected_before_any_call(
    peer: WeChatPeer, channel: WeChatChannel, fields: dict[str, Any], code: str
) -> None:
    result = await channel.create(replace(ASKED, **fields))

    assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), code)
    assert peer.seen == []


async def test_refund_names_whole_and_part_and_cuts_the_reason_between_characters(
    peer: WeChatPeer, channel: WeChatChannel
) -> None:
    await charged(channel, peer)

    await channel.refund(ASKED, refund_of(ASKED, 30, reason="退" * 40))

    asked = json.loads(peer.seen[-1][2])
    assert asked.pop("notify_url").startswith("http://127.0.0.1:")
    assert asked == {
        "out_trade_no": "TB-7-1",
        "out_refund_no": "TB-7-1-R1",
        "amount": {"refund": 30, "total": 1250, "currency": "CNY"},
        "reason": "退" * 26,
    }


# ---- whom it believes --------------------------------------------------------------------------------------------

FAULTS = [
    "drop_after",
    "truncated",
    "html",
    "unsigned",
    "bad_signature",
    "stale",
    "early",
    "probe",
    "foreign_serial",
    "error_500",
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_lost_or_not_provably_wechats_is_unknown_and_the_query_settles_it(
    peer: WeChatPeer, channel: WeChatChannel, fault: str
) -> None:
    peer.faults = [("create", fault), ("query", fault)]

    results = [await channel.create(ASKED), await channel.query(ASKED)]
    settled = await channel.query(ASKED)

    assert [(said(result), result.amount, result.next_action) for result in results] == [(UNKNOWN, None, None)] * 2
    assert said(settled) == (Outcome.PENDING, Stage.NONE)
    assert [flow for flow, _, _ in peer.seen].count("create") == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_lost_refund_is_given_once(peer: WeChatPeer, channel: WeChatChannel, fault: str) -> None:
    await charged(channel, peer)
    peer.faults = [("refund", fault), ("query_refund", fault)]
    back = refund_of(ASKED, 30)

    results = [await channel.refund(ASKED, back), await channel.query_refund(ASKED, back)]
    found = await channel.query_refund(ASKED, back)
    again = await channel.refund(ASKED, back)

    assert [said(result) for result in results] == [UNKNOWN] * 2
    assert (said(found), found.amount) == ((Outcome.DONE, Stage.REFUNDED), Money(30, "CNY"))
    assert again.movement_ref == found.movement_ref
    assert len(peer.refunds) == 1


@pytest.mark.parametrize("fault", ["unsigned", "bad_signature", "error_500", "drop_after"])
async def test_close_that_is_not_provable_is_no_end(peer: WeChatPeer, channel: WeChatChannel, fault: str) -> None:
    await channel.create(ASKED)
    peer.faults = [("void", fault)]

    assert said(await channel.void(ASKED)) == UNKNOWN
    assert said(await channel.void(ASKED)) == (Outcome.DONE, Stage.VOIDED)


async def test_answer_slower_than_our_patience_is_unknown_and_the_notice_tells_first(
    peer: WeChatPeer, channel: WeChatChannel, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wechat_gateway, "exchange", partial(exchange, timeouts=httpx.Timeout(5, read=0.05)))
    peer.faults = [("create", "hold")]

    lost = await channel.create(ASKED)
    await peer.buyer_pays(ASKED.key)
    peer.held.set()

    assert (said(lost), lost.code) == (UNKNOWN, "ReadTimeout")
    notice = channel.verify_notice(RawNotice(*(await merchant.got(1))[0]), NOW_US)
    assert said(notice.result) == CHARGED


@pytest.mark.parametrize(
    ("status", "code", "create", "void", "query", "refund", "query_refund"),
    [
        (400, "PARAM_ERROR", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (401, "SIGN_ERROR", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (403, "NO_AUTH", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (404, "MCH_NOT_EXISTS", "REJECTED", "UNKNOWN", "UNKNOWN", "REJECTED", "UNKNOWN"),
        (404, "ORDER_NOT_EXIST", "REJECTED", "DONE", "DONE", "REJECTED", "UNKNOWN"),
        (404, "ORDERNOTEXIST", "REJECTED", "DONE", "DONE", "REJECTED", "UNKNOWN"),
        (404, "RESOURCE_NOT_EXISTS", "REJECTED", "UNKNOWN", "UNKNOWN", "REJECTED", "DONE"),
        (422, "PARAM_ERROR", "REJECTED", "UNKNOWN", "UNKNOWN", "REJECTED", "UNKNOWN"),
        (429, "FREQUENCY_LIMITED", "NOT_SENT", "NOT_SENT", "NOT_SENT", "NOT_SENT", "NOT_SENT"),
        (400, "ORDERPAID", "UNKNOWN", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (403, "ORDERPAID", "UNKNOWN", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (400, "ORDER_CLOSED", "UNKNOWN", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (400, "OUT_TRADE_NO_USED", "UNKNOWN", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (403, "OUT_TRADE_NO_USED", "UNKNOWN", "REJECTED", "REJECTED", "REJECTED", "REJECTED"),
        (403, "NOT_ENOUGH", "REJECTED", "REJECTED", "REJECTED", "DECLINED", "REJECTED"),
        (403, "USER_ACCOUNT_ABNORMAL", "REJECTED", "REJECTED", "REJECTED", "DECLINED", "REJECTED"),
        (202, "USERPAYING", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        (302, "FOUND", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        (409, "CONFLICT", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        (418, "TEAPOT", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        (500, "SYSTEM_ERROR", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        (502, "BANK_ERROR", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
    ],
)
@pytest.mark.parametrize("is_signed", [True, False])
async def test_each_refusal_has_its_outcome_by_flow_signed_or_not(
    peer: WeChatPeer,
    is_signed: bool,
    status: int,
    code: str,
    create: str,
    void: str,
    query: str,
    refund: str,
    query_refund: str,
) -> None:
    body = json.dumps({"code": code, "message": "made up"}).encode()
    answer = httpx.Response(status, content=body, headers=peer.signature_headers(body) if is_signed else {})
    channel = wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))
    back = refund_of(ASKED, 30)

    results = {
        "create": await channel.create(ASKED),
        "void": await channel.void(ASKED),
        "query": await channel.query(ASKED),
        "refund": await channel.refund(ASKED, back),
        "query_refund": await channel.query_refund(ASKED, back),
    }

    assert {flow: result.outcome for flow, result in results.items()} == {
        "create": create,
        "void": void,
        "query": query,
        "refund": refund,
        "query_refund": query_refund,
    }
    assert {result.stage for result in results.values()} == {Stage.NONE}
    if is_signed or status >= 400:
        assert {result.code for result in results.values()} == {code}


@pytest.mark.parametrize("body", [b"<h1>Forbidden</h1>", b"", b"[]", b'{"message":"no code"}', b'{"code":403}'])
async def test_refusal_that_is_not_wechats_own_is_unknown(peer: WeChatPeer, body: bytes) -> None:
    answer = httpx.Response(403, content=body)
    channel = wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))

    result = await channel.create(ASKED)

    assert (said(result), result.code) == (UNKNOWN, "unreadable_403")


async def test_refusal_with_a_wrong_signature_is_unknown(peer: WeChatPeer) -> None:
    body = b'{"code":"PARAM_ERROR","message":"made up"}'
    answer = httpx.Response(400, content=body, headers=peer.signature_headers(b"another body"))
    channel = wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))

    result = await channel.create(ASKED)

    assert (said(result), result.code) == (UNKNOWN, "signature_wrong_400")


async def test_foreign_trade_is_not_ours_and_another_total_is_told_as_it_is(
    peer: WeChatPeer, channel: WeChatChannel
) -> None:
    await charged(channel, peer)
    peer.faults = [("query", "foreign_mchid"), ("query", "tampered_total")]

    foreign, other = await channel.query(ASKED), await channel.query(ASKED)

    assert (said(foreign), foreign.amount) == (UNKNOWN, None)
    assert (said(other), other.amount) == (CHARGED, Money(1, "CNY"))


# ---- what it means -----------------------------------------------------------------------------------------------


async def test_what_the_buyer_was_shown_stays_while_nobody_has_paid(peer: WeChatPeer, channel: WeChatChannel) -> None:
    shown = (await channel.create(ASKED)).next_action
    waiting = await channel.query(replace(ASKED, next_action=shown))
    peer.trades[ASKED.key] |= {"trade_state": "USERPAYING"}
    paying = await channel.query(replace(ASKED, next_action=shown))

    assert (said(waiting), waiting.next_action) == ((Outcome.ACTION, Stage.NONE), shown)
    assert said(paying) == (Outcome.PENDING, Stage.NONE)


async def test_coupon_leaves_the_order_paid_by_its_total(peer: WeChatPeer, channel: WeChatChannel) -> None:
    peer.gives_coupon = 250

    result = await channel.query(await charged(channel, peer))

    assert peer.trades[ASKED.key]["amount"]["payer_total"] == 1000
    assert (said(result), result.amount) == (CHARGED, Money(1250, "CNY"))


async def test_trade_in_state_refund_after_a_part_is_no_full_refund(peer: WeChatPeer, channel: WeChatChannel) -> None:
    await charged(channel, peer)
    await channel.refund(ASKED, refund_of(ASKED, 30))

    trade = await channel.query(ASKED)
    rest = await channel.query_refund(ASKED, refund_of(ASKED, 1220, 2))

    assert peer.trades[ASKED.key]["trade_state"] == "REFUND"
    assert (said(trade), trade.amount) == (CHARGED, Money(1250, "CNY"))
    assert said(rest) == (Outcome.DONE, Stage.NONE)


@pytest.mark.parametrize(
    ("ends_as", "known", "code"),
    [
        ("SUCCESS", (Outcome.DONE, Stage.REFUNDED), None),
        ("ABNORMAL", (Outcome.PENDING, Stage.NONE), "ABNORMAL"),
        ("CLOSED", (Outcome.DECLINED, Stage.NONE), "CLOSED"),
    ],
)
async def test_refund_is_pending_until_it_ends(
    peer: WeChatPeer,
    channel: WeChatChannel,
    merchant: Merchant,
    ends_as: str,
    known: tuple[Outcome, Stage],
    code: str | None,
) -> None:
    await charged(channel, peer)
    peer.refunds_end_as = None
    back = refund_of(ASKED, 30)

    first = await channel.refund(ASKED, back)
    await peer.end_refund(back.key, ends_as)
    found = await channel.query_refund(ASKED, back)
    notice = channel.verify_notice(RawNotice(*(await merchant.got(2))[1]), NOW_US)

    assert (said(first), first.movement_ref) == ((Outcome.PENDING, Stage.NONE), found.movement_ref)
    assert (said(found), found.code) == (known, code)
    assert (notice.refund_key, notice.attempt_key, notice.kind) == ("TB-7-1-R1", "TB-7-1", f"REFUND.{ends_as}")
    assert (said(notice.result), notice.result.code, notice.result.provider_at_us) == (
        known,
        code,
        found.provider_at_us,
    )


async def test_nothing_is_held_so_nothing_is_captured(peer: WeChatPeer, channel: WeChatChannel) -> None:
    result = await channel.capture(ASKED, ASKED.amount)

    assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), "capture_unsupported")
    assert peer.seen == []


# ---- rotation, clocks, checks ------------------------------------------------------------------------------------


async def test_keys_change_in_mid_flight_and_nothing_is_lost(
    peer: WeChatPeer, connected: Connect, merchant: Merchant
) -> None:
    def keys_of(*serials: str) -> str:
        return ",".join(f"{serial}={key(serial).shown}" for serial in serials)

    both = connected(platform_keys=keys_of(CERTIFICATE, NEXT_CERTIFICATE))
    old = connected(platform_keys=keys_of(CERTIFICATE), api_v3_key="0" * 32)
    await both.create(ASKED)
    new = connected(platform_keys=keys_of(NEXT_CERTIFICATE), api_v3_key=NEXT_API_V3_KEY)
    before = RawNotice(*peer.notice("TRANSACTION.SUCCESS", {}))
    peer.signs_with = NEXT_CERTIFICATE
    signed_anew = RawNotice(*peer.notice("TRANSACTION.SUCCESS", {}))
    peer.seals_with = NEXT_API_V3_KEY
    await peer.buyer_pays(ASKED.key)
    raw = RawNotice(*(await merchant.got(1))[0])

    assert said(both.verify_notice(raw, NOW_US).result) == CHARGED
    assert said(new.verify_notice(raw, NOW_US).result) == CHARGED
    for gone, why in [(before, "a key that we do not have"), (signed_anew, "none of this merchant's")]:
        with pytest.raises(NoticeRefused, match=why):
            new.verify_notice(gone, NOW_US)
    assert said(await both.query(ASKED)) == CHARGED
    assert (await old.query(ASKED)).code == "signature_serial_200"
    with pytest.raises(NoticeRefused, match="a key that we do not have"):
        old.verify_notice(raw, NOW_US)


async def test_from_certificates_to_a_public_key_and_to_the_next(peer: WeChatPeer, connected: Connect) -> None:
    def keys_of(*serials: str) -> str:
        return ",".join(f"{serial}={key(serial).shown}" for serial in serials)

    for serials, asked_for in [
        ((CERTIFICATE,), None),
        ((CERTIFICATE, PUBLIC_KEY_ID), PUBLIC_KEY_ID),
        ((NEXT_PUBLIC_KEY_ID, PUBLIC_KEY_ID), NEXT_PUBLIC_KEY_ID),
    ]:
        channel = connected(platform_keys=keys_of(*serials))
        assert (await channel.create(ASKED)).outcome is Outcome.ACTION
        assert peer.seen[-1][1].get("wechatpay-serial") == asked_for


@pytest.mark.parametrize(
    ("off_s", "known"), [(-299, Outcome.ACTION), (299, Outcome.ACTION), (-301, Outcome.UNKNOWN), (301, Outcome.UNKNOWN)]
)
async def test_our_clock_may_be_five_minutes_off(
    peer: WeChatPeer, connected: Connect, off_s: int, known: Outcome
) -> None:
    channel = connected(clock=Clock(NOW_US + off_s * 10**6))

    assert (await channel.create(ASKED)).outcome is known
    clock = {finding.name: finding for finding in await channel.check()}["clock"]
    assert (clock.is_good, clock.detail) == (known is Outcome.ACTION, f"its clock and ours are {abs(off_s)} s apart")


@pytest.mark.parametrize(
    ("settings", "bad"),
    [
        ({}, []),
        ({"serial_no": "00" * 20}, ["credentials", "api_v3_key"]),
        ({"api_v3_key": "0" * 32}, ["api_v3_key"]),
        ({"platform_keys": f"{NEXT_PUBLIC_KEY_ID}={key(PUBLIC_KEY_ID).shown}"}, ["keys"]),
    ],
)
async def test_check_says_which_setting_is_wrong(
    peer: WeChatPeer, connected: Connect, settings: dict[str, str], bad: list[str]
) -> None:
    found = await connected(**settings).check()

    assert [finding.name for finding in found] == ["reach", "credentials", "keys", "clock", "api_v3_key"]
    assert [finding.name for finding in found if not finding.is_good] == bad


async def test_check_names_a_certificate_that_is_to_come(peer: WeChatPeer, connected: Connect) -> None:
    channel = connected(platform_keys=f"{CERTIFICATE}={key(CERTIFICATE).shown}")

    assert (await channel.check())[-1].detail.endswith(f"platform_keys lacks {NEXT_CERTIFICATE}")
