"""What WeChat Pay posts: whose word it must be, what it may be about, and what the settings have to hold for that."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hub.channels.connecting import ChannelSettingRefused, Surroundings
from hub.channels.sandbox import SandboxChannel
from hub.channels.wechat import WeChatChannel
from hub.channels.wechat_wire import merchant_of
from hub.domain.money import Money
from hub.domain.payments import Outcome, Stage
from hub.entry.app import create_app
from hub.ports import NoticeIgnored, NoticeProbed, NoticeRefused, RawNotice
from tests.channels.bench_wechat import wechat_channel, wechat_settings
from tests.channels.benches import NOW_US, Clock
from tests.channels.wechat_peer import (
    API_V3_KEY,
    APPID,
    CERTIFICATE,
    MCHID,
    NEXT_CERTIFICATE,
    PUBLIC_KEY_ID,
    STRANGER,
    WeChatPeer,
    key,
    sealed,
)
from tests.entry.toys import SCHEMA, ToyHub, client_of, settings_of

TRADE: dict[str, Any] = {
    "appid": APPID,
    "mchid": MCHID,
    "out_trade_no": "TB-7-1",
    "transaction_id": "4200002026092100000000000001",
    "trade_type": "NATIVE",
    "trade_state": "SUCCESS",
    "success_time": "2026-09-21T22:13:20+08:00",
    "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    "amount": {"total": 1250, "payer_total": 1000, "currency": "CNY", "payer_currency": "CNY"},
}
REFUND: dict[str, Any] = {
    "mchid": MCHID,
    "out_trade_no": "TB-7-1",
    "transaction_id": "4200002026092100000000000001",
    "out_refund_no": "TB-7-1-R1",
    "refund_id": "50300002026092100000000000001",
    "refund_status": "SUCCESS",
    "success_time": "2026-09-21T22:13:20+08:00",
    "user_received_account": "支付用户零钱",
    "amount": {"total": 1250, "refund": 30, "payer_total": 1000, "payer_refund": 24},
}


@pytest.fixture
def peer() -> WeChatPeer:
    return WeChatPeer(lambda: NOW_US / 10**6, url="http://127.0.0.1:9")


@pytest.fixture
def channel(peer: WeChatPeer) -> WeChatChannel:
    return wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))))


def raw(headers_and_body: tuple[dict[str, str], bytes]) -> RawNotice:
    return RawNotice(*headers_and_body)


def respelt(
    peer: WeChatPeer, notice: tuple[dict[str, str], bytes], change: Callable[[dict[str, Any]], Any]
) -> RawNotice:
    """The notice with its JSON changed, and signed as it is now."""
    event = json.loads(notice[1])
    change(event)
    body = json.dumps(event).encode()
    return RawNotice(peer.signature_headers(body), body)


def test_paid_trade_is_told_by_its_total(peer: WeChatPeer, channel: WeChatChannel) -> None:
    notice = channel.verify_notice(raw(peer.notice("TRANSACTION.SUCCESS", TRADE, event_id="EV-1")), NOW_US)

    assert (notice.event_id, notice.attempt_key, notice.refund_key) == ("EV-1", "TB-7-1", None)
    assert (notice.result.outcome, notice.result.stage) == (Outcome.DONE, Stage.CHARGED)
    assert (notice.result.amount, notice.result.provider_at_us) == (Money(1250, "CNY"), NOW_US)
    assert notice.result.movement_ref == notice.result.channel_ref == TRADE["transaction_id"]


def test_refund_is_told_under_its_own_key(peer: WeChatPeer, channel: WeChatChannel) -> None:
    notice = channel.verify_notice(raw(peer.notice("REFUND.SUCCESS", REFUND, associated_data="refund")), NOW_US)

    assert (notice.attempt_key, notice.refund_key) == ("TB-7-1", "TB-7-1-R1")
    assert (notice.result.stage, notice.result.amount) == (Stage.REFUNDED, Money(30, "CNY"))
    assert notice.result.movement_ref == REFUND["refund_id"]


@pytest.mark.parametrize("associated_data", ["transaction", "", None])
def test_associated_data_may_be_empty_or_missing(
    peer: WeChatPeer, channel: WeChatChannel, associated_data: str | None
) -> None:
    made = peer.notice("TRANSACTION.SUCCESS", TRADE, associated_data=associated_data)

    assert channel.verify_notice(raw(made), NOW_US).attempt_key == "TB-7-1"


@pytest.mark.parametrize(
    "change",
    [
        lambda resource: resource.update(associated_data="refund"),
        lambda resource: resource.pop("associated_data"),
        lambda resource: resource.update(nonce="000000000000"),
        lambda resource: resource.update(nonce="0"),
        lambda resource: resource.update(ciphertext=resource["ciphertext"][:-8] + "AAAAAAA="),
        lambda resource: resource.update(ciphertext="!"),
        lambda resource: resource.update(ciphertext=""),
        lambda resource: resource.update(algorithm="AEAD_SM4_GCM"),
        lambda resource: resource.update(ciphertext=sealed(b"{}", "another merchant's key of 32 byt", "0" * 12, "")),
        lambda resource: resource.update(ciphertext=sealed(b"[]", API_V3_KEY, resource["nonce"], "transaction")),
        lambda resource: resource.update(ciphertext=sealed(b"<h1>", API_V3_KEY, resource["nonce"], "transaction")),
    ],
)
def test_signed_notice_whose_seal_is_not_for_us_is_refused(
    peer: WeChatPeer, channel: WeChatChannel, change: Callable[[dict[str, Any]], Any]
) -> None:
    notice = respelt(peer, peer.notice("TRANSACTION.SUCCESS", TRADE), lambda event: change(event["resource"]))

    with pytest.raises(NoticeRefused, match="none of this merchant's"):
        channel.verify_notice(notice, NOW_US)


@pytest.mark.parametrize(
    ("event_type", "resource"),
    [
        ("TRANSACTION.SUCCESS", TRADE | {"mchid": "1900000002"}),
        ("TRANSACTION.SUCCESS", TRADE | {"appid": "wx0000000000000000"}),
        ("TRANSACTION.SUCCESS", {"sp_mchid": MCHID, "sub_mchid": MCHID, "out_trade_no": "TB-7-1"}),
        ("REFUND.SUCCESS", REFUND | {"mchid": "1900000002"}),
        ("TRANSACTION.SUCCESS", TRADE | {"trade_state": "SOMEDAY"}),
        ("TRANSACTION.SUCCESS", TRADE | {"amount": {"total": 12.5, "currency": "CNY"}}),
        ("TRANSACTION.SUCCESS", TRADE | {"amount": {"total": "1250", "currency": "CNY"}}),
        ("TRANSACTION.SUCCESS", TRADE | {"amount": {"total": True, "currency": "CNY"}}),
        ("TRANSACTION.SUCCESS", TRADE | {"amount": {"total": -1, "currency": "CNY"}}),
        ("TRANSACTION.SUCCESS", TRADE | {"amount": {"total": 1250, "currency": "XXX"}}),
        ("TRANSACTION.SUCCESS", TRADE | {"success_time": "2026-09-21T22:13:20"}),
        ("TRANSACTION.SUCCESS", TRADE | {"transaction_id": None}),
        ("TRANSACTION.SUCCESS", TRADE | {"out_trade_no": 7}),
        ("REFUND.SUCCESS", TRADE),
        ("TRANSACTION.SUCCESS", REFUND),
    ],
)
def test_signed_notice_of_somebody_else_or_of_nonsense_is_refused(
    peer: WeChatPeer, channel: WeChatChannel, event_type: str, resource: dict[str, Any]
) -> None:
    with pytest.raises(NoticeRefused):
        channel.verify_notice(raw(peer.notice(event_type, resource)), NOW_US)


@pytest.mark.parametrize("event_type", ["PAYSCORE.USER_PAID", "COMPLAINT.CREATE", ""])
def test_notice_of_another_product_is_taken_and_forgotten(
    peer: WeChatPeer, channel: WeChatChannel, event_type: str
) -> None:
    with pytest.raises(NoticeIgnored):
        channel.verify_notice(raw(peer.notice(event_type, {"mchid": MCHID})), NOW_US)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 100_000, b'{"id":"1","resource":7}', b'{"resource":{}}'])
def test_signed_nonsense_is_refused(peer: WeChatPeer, channel: WeChatChannel, body: bytes) -> None:
    with pytest.raises(NoticeRefused):
        channel.verify_notice(RawNotice(peer.signature_headers(body), body), NOW_US)


@pytest.mark.parametrize("name", ["", "i" * 256, 7, None])
def test_event_needs_an_id(peer: WeChatPeer, channel: WeChatChannel, name: Any) -> None:
    notice = respelt(peer, peer.notice("TRANSACTION.SUCCESS", TRADE), lambda event: event.update(id=name))

    with pytest.raises(NoticeRefused):
        channel.verify_notice(notice, NOW_US)


def test_sent_again_it_is_signed_and_sealed_anew_and_means_the_same(peer: WeChatPeer, channel: WeChatChannel) -> None:
    first = channel.verify_notice(raw(peer.notice("TRANSACTION.SUCCESS", TRADE, event_id="EV-1")), NOW_US)
    peer.seen.append(("create", {}, b""))  # another nonce
    peer.signs_with = PUBLIC_KEY_ID
    shuffled = dict(reversed(TRADE.items()))
    again = peer.notice("TRANSACTION.SUCCESS", shuffled, event_id="EV-1", associated_data="")
    other = peer.notice("TRANSACTION.SUCCESS", TRADE | {"bank_type": "ICBC"}, event_id="EV-1")

    assert channel.verify_notice(raw(again), NOW_US).digest == first.digest
    assert channel.verify_notice(raw(other), NOW_US).digest != first.digest


# ---- signatures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [CERTIFICATE, NEXT_CERTIFICATE, PUBLIC_KEY_ID])
@pytest.mark.parametrize("off_s", [-299, 299])
def test_each_key_that_we_have_verifies_within_five_minutes(
    peer: WeChatPeer, channel: WeChatChannel, by: str, off_s: int
) -> None:
    made = peer.notice("TRANSACTION.SUCCESS", TRADE, by=by, at_s=NOW_US // 10**6 + off_s)

    assert channel.verify_notice(raw(made), NOW_US).attempt_key == "TB-7-1"


@pytest.mark.parametrize(
    ("header", "value", "why"),
    [
        ("wechatpay-serial", None, "missing"),
        ("wechatpay-signature", None, "missing"),
        ("wechatpay-nonce", None, "missing"),
        ("wechatpay-timestamp", None, "missing"),
        ("wechatpay-timestamp", str(NOW_US // 10**6 - 301), "outside the window"),
        ("wechatpay-timestamp", str(NOW_US // 10**6 + 301), "outside the window"),
        ("wechatpay-timestamp", str(NOW_US // 10**6 + 1), "wrong"),
        ("wechatpay-timestamp", "1e9", "outside the window"),
        ("wechatpay-timestamp", "-1", "outside the window"),
        ("wechatpay-serial", STRANGER, "a key that we do not have"),
        ("wechatpay-serial", NEXT_CERTIFICATE, "wrong"),
        ("wechatpay-serial", CERTIFICATE.lower(), "a key that we do not have"),
        ("wechatpay-signature", "AAAA", "wrong"),
        ("wechatpay-signature", "not base64", "wrong"),
        ("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3", "another kind"),
        ("wechatpay-nonce", "", "wrong"),
    ],
)
def test_each_header_is_looked_at(
    peer: WeChatPeer, channel: WeChatChannel, header: str, value: str | None, why: str
) -> None:
    headers, body = peer.notice("TRANSACTION.SUCCESS", TRADE)
    spoilt = {name: given for name, given in headers.items() if name != header} | (
        {header: value} if value is not None else {}
    )

    with pytest.raises(NoticeRefused, match=why) as refused:
        channel.verify_notice(RawNotice(spoilt, body), NOW_US)
    assert not isinstance(refused.value, NoticeProbed)


def test_signature_type_may_be_missing(peer: WeChatPeer, channel: WeChatChannel) -> None:
    headers, body = peer.notice("TRANSACTION.SUCCESS", TRADE)
    del headers["wechatpay-signature-type"]

    assert channel.verify_notice(RawNotice(headers, body), NOW_US).attempt_key == "TB-7-1"


def test_probe_is_refused_by_its_own_name(peer: WeChatPeer, channel: WeChatChannel) -> None:
    headers, body = peer.notice("TRANSACTION.SUCCESS", TRADE)
    headers["wechatpay-signature"] = "WECHATPAY/SIGNTEST/" + headers["wechatpay-signature"]

    with pytest.raises(NoticeProbed):
        channel.verify_notice(RawNotice(headers, body), NOW_US)


def test_another_channels_notice_is_refused(channel: WeChatChannel) -> None:
    with pytest.raises(NoticeRefused, match="missing"):
        channel.verify_notice(RawNotice({"sandbox-signature": "t=1790000000,v1=00"}, b"{}"), NOW_US)


def test_yes_is_204_and_no_is_json(channel: WeChatChannel) -> None:
    yes, no = channel.ack(accepted=True), channel.ack(accepted=False)

    assert (yes.status, yes.body) == (204, b"")
    assert (no.status, no.media_type, json.loads(no.body)["code"]) == (503, "application/json", "FAIL")


@pytest.mark.parametrize(
    ("code", "signature", "outcome", "alarms"),
    [
        ("wechat", "WECHATPAY/SIGNTEST/AAAA", "probe", 0),
        ("wechat", "AAAA", "refused", 1),
        ("sandbox", None, "refused", 1),
    ],
)
async def test_probe_gets_its_no_quietly_and_what_is_forged_or_another_channels_does_not(
    peer: WeChatPeer,
    channel: WeChatChannel,
    caplog: pytest.LogCaptureFixture,
    code: str,
    signature: str | None,
    outcome: str,
    alarms: int,
) -> None:
    headers, body = peer.notice("TRANSACTION.SUCCESS", TRADE)
    app = create_app(ToyHub(channels={"wechat": channel, "sandbox": sandbox()}).hub, settings_of(), schema=SCHEMA)

    async with client_of(app) as hub:
        spoilt = headers | ({"wechatpay-signature": signature} if signature else {})
        answer = await hub.post(f"/channels/{code}/notices", content=body, headers=spoilt)

    assert answer.status_code == 400
    assert app.state.metrics.value("hub_notices_total", channel=code, outcome=outcome) == 1
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == alarms


def sandbox() -> SandboxChannel:
    nobody = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    settings = dict.fromkeys(("base_url", "api_key", "answer_secret", "notice_secret"), "x")
    return SandboxChannel.connected(settings, Surroundings(nobody, Clock(), lambda: b"0" * 32, None))


# ---- settings ----------------------------------------------------------------------------------------------------


def connect(settings: dict[str, str], notice_url: str | None = "https://hub.test/n") -> WeChatChannel:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    return WeChatChannel.connected(settings, Surroundings(client, Clock(), lambda: b"0" * 32, notice_url))


def refusals() -> Iterator[tuple[str, dict[str, str]]]:
    good = wechat_settings("https://api.example.test")
    for name in ("mchid", "appid", "serial_no", "private_key", "api_v3_key", "platform_keys"):
        yield name, {given: value for given, value in good.items() if given != name}
    certificate, public = key(CERTIFICATE).shown, key(PUBLIC_KEY_ID).shown
    wrong = [
        ("colour", "blue"),
        ("private_key", "/nowhere/secret-name.pem"),
        ("private_key", certificate),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
        ("api_v3_key", API_V3_KEY[:-1]),
        ("api_v3_key", API_V3_KEY + "0"),
        ("api_v3_key", f"{API_V3_KEY},"),
        ("api_v3_key", "密" * 32),
        ("platform_keys", certificate.partition("=")[0]),
        ("platform_keys", f"{STRANGER}={certificate}"),
        ("platform_keys", f"{CERTIFICATE}={public}"),
        ("platform_keys", f"{PUBLIC_KEY_ID}={certificate}"),
        ("platform_keys", f"{CERTIFICATE}={certificate},{CERTIFICATE}={certificate}"),
        ("platform_keys", f"{CERTIFICATE}={certificate},"),
        ("platform_keys", f"{CERTIFICATE}=/nowhere/secret-name.pem"),
        ("gateway_url", "http://api.mch.weixin.qq.com"),
        ("gateway_url", "https://proxy.test/wechat"),
        ("gateway_url", "api.mch.weixin.qq.com"),
        ("gateway_url", "https://["),
        ("payer_client_ip", "somewhere"),
    ]
    for name, value in wrong:
        yield name, good | {name: value}


@pytest.mark.parametrize("n", range(26))
def test_channel_does_not_start_with_a_setting_that_cannot_work(n: int) -> None:
    cases = list(refusals())
    assert len(cases) == 26
    name, settings = cases[n]

    with pytest.raises(ChannelSettingRefused) as refused:
        connect(settings)

    assert refused.value.setting == name
    told = str(refused.value)
    assert "secret-name" not in told
    assert not any(value in told for value in settings.values() if len(value) > 20)


def test_channel_does_not_start_without_an_address_for_notices() -> None:
    settings = wechat_settings("https://api.example.test")

    with pytest.raises(ChannelSettingRefused, match="set HUB_PUBLIC_URL"):
        connect(settings, notice_url=None)
    connect(settings | {"notice_url": "https://elsewhere.test/n"}, notice_url=None)


def test_keys_may_be_files_and_newlines_may_be_written_out(tmp_path: Any) -> None:
    settings = wechat_settings("https://api.example.test")
    merchant, platform = tmp_path / "merchant.pem", tmp_path / "platform.pem"
    merchant.write_text(settings["private_key"])
    platform.write_text(key(CERTIFICATE).shown)
    by_file = settings | {"private_key": str(merchant), "platform_keys": f"{CERTIFICATE}={platform}"}
    in_a_line = settings | {"private_key": settings["private_key"].replace("\n", "\\n")}

    signatures = {merchant_of(one).signature("a", "b") for one in (settings, by_file, in_a_line)}

    assert len(signatures) == 1


def test_no_key_shows_in_a_trace() -> None:
    told = repr(merchant_of(wechat_settings("https://api.example.test")))

    assert API_V3_KEY not in told
    assert "key" not in told.replace("platform_keys", "")
