"""Alipay's notices: signed by RSA2 over values decoded once, for this app and this seller, each id once."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from hub.channels.alipay import AlipayChannel
from hub.domain.money import Money
from hub.domain.payments import Outcome, Stage
from hub.ports import Ack, NoticeRefused, RawNotice
from tests.channels.alipay_peer import ALIPAY, NEXT_ALIPAY, STRANGER, notice_body, sign, text_of
from tests.channels.bench_alipay import at
from tests.channels.benches import NOW_US

SAMPLES = Path(__file__).with_name("samples") / "alipay"
TRADE_NO = "2026092122001400000000000001"


@pytest.fixture
async def channel() -> Any:
    made = at("https://gateway.test/gateway.do")
    yield made
    await made.aclose()


def fields(name: str = "notice_paid", **changed: str) -> dict[str, str]:
    """What a recorded notice tells, without its signature."""
    told = dict(parse_qsl((SAMPLES / f"{name}.form").read_text().strip(), keep_blank_values=True))
    return {key: value for key, value in told.items() if key not in ("sign", "sign_type")} | changed


def raw(body: bytes) -> RawNotice:
    return RawNotice({"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, body)


def taken(channel: AlipayChannel, told: dict[str, str], owner: str = ALIPAY) -> Any:
    return channel.verify_notice(raw(notice_body(told, owner)), NOW_US)


def refused(channel: AlipayChannel, body: bytes) -> str:
    with pytest.raises(NoticeRefused) as why:
        channel.verify_notice(raw(body), NOW_US)
    return str(why.value)


def test_a_paid_trade_tells_amount_time_and_whose_it_is(channel: AlipayChannel) -> None:
    notice = taken(channel, fields())

    assert (notice.event_id, notice.attempt_key, notice.kind) == (
        "2026092101222221341048851400000001",
        "TB-7-1",
        "trade/TRADE_SUCCESS",
    )
    assert (notice.refund_key, notice.dispute) == (None, None)
    result = notice.result
    assert (result.outcome, result.stage, result.amount) == (Outcome.DONE, Stage.CHARGED, Money(1250, "CNY"))
    assert (result.channel_ref, result.movement_ref, result.observed_at_us) == (TRADE_NO, TRADE_NO, NOW_US)
    assert result.provider_at_us == 1_790_000_021_000_000


def test_a_closed_trade_was_voided_if_it_was_never_paid_and_refunded_else(channel: AlipayChannel) -> None:
    unpaid = taken(channel, fields("notice_closed_unpaid")).result
    paid = taken(channel, fields("notice_closed_unpaid", gmt_payment="2026-09-21 22:13:41")).result

    assert (unpaid.outcome, unpaid.stage, unpaid.movement_ref) == (Outcome.DONE, Stage.VOIDED, None)
    assert (paid.outcome, paid.stage, paid.amount) == (Outcome.DONE, Stage.REFUNDED, Money(1250, "CNY"))


def test_a_refund_is_named_and_no_amount_taken_from_a_sum(channel: AlipayChannel) -> None:
    notice = taken(channel, fields("notice_partly_refunded"))

    assert (notice.attempt_key, notice.refund_key, notice.kind) == ("TB-7-1", "TB-7-1-R1", "refund/TRADE_SUCCESS")
    assert (notice.result.outcome, notice.result.stage, notice.result.amount) == (Outcome.PENDING, Stage.NONE, None)


def test_the_same_notice_delivered_again_is_the_same_and_another_content_is_not(channel: AlipayChannel) -> None:
    first = taken(channel, fields())
    later = taken(channel, fields(notify_time="2026-09-21 22:17:42"))
    other = taken(channel, fields(total_amount="12.51"))

    assert (later.event_id, later.digest) == (first.event_id, first.digest)
    assert (other.event_id, other.digest == first.digest) == (first.event_id, False)


def test_it_is_not_dated_and_any_age_is_taken(channel: AlipayChannel) -> None:
    body = notice_body(fields(notify_time="2019-01-01 00:00:00"))

    for now_us in (0, NOW_US, NOW_US * 2):
        assert channel.verify_notice(raw(body), now_us).attempt_key == "TB-7-1"
    assert not channel.capabilities.is_dated


def test_values_are_decoded_once(channel: AlipayChannel) -> None:
    told = fields(subject="100% +%2B 课程&=", body="a%20b+c")

    assert taken(channel, told).attempt_key == "TB-7-1"


def test_empty_values_are_signed_with_the_rest(channel: AlipayChannel) -> None:
    assert taken(channel, fields(body="")).attempt_key == "TB-7-1"


@pytest.mark.parametrize("sign_type", ["RSA", "MD5"])
def test_05_12_only_rsa2_is_taken_whatever_it_claims(channel: AlipayChannel, sign_type: str) -> None:
    told = fields()

    assert "no way that is taken" in refused(channel, notice_body(told, sign_type=sign_type))
    assert "no way that is taken" in refused(channel, notice_body(told, told=sign_type))
    assert "signature is wrong" in refused(channel, notice_body(told, sign_type=sign_type, told="RSA2"))


@pytest.mark.parametrize("sign_type", ["", "rsa2", "RSA2 ", None])
def test_05_12_no_other_word_for_rsa2_is_taken(channel: AlipayChannel, sign_type: str | None) -> None:
    told = fields()
    named = {"sign": sign(text_of(told), ALIPAY)} | ({} if sign_type is None else {"sign_type": sign_type})

    assert "no way that is taken" in refused(channel, urlencode(told | named).encode())


@pytest.mark.parametrize(
    "foreign", [{"app_id": "9021000100000002"}, {"seller_id": "2088000100000002"}, {"app_id": ""}, {"seller_id": ""}]
)
def test_05_12_05_15_a_right_signature_for_another_app_or_seller_is_refused(
    channel: AlipayChannel, foreign: dict[str, str]
) -> None:
    assert "another app's or another seller's" in refused(channel, notice_body(fields(**foreign)))


@pytest.mark.parametrize("name", ["app_id", "seller_id"])
def test_05_15_a_notice_that_does_not_say_whose_it_is_is_refused(channel: AlipayChannel, name: str) -> None:
    told = {key: value for key, value in fields().items() if key != name}

    assert "another app's" in refused(channel, notice_body(told))


def test_05_10_any_changed_byte_is_refused(channel: AlipayChannel) -> None:
    body = notice_body(fields())
    assert channel.verify_notice(raw(body), NOW_US)

    for position in range(0, len(body), 7):
        changed = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
        with pytest.raises(NoticeRefused):
            channel.verify_notice(raw(changed), NOW_US)


def test_05_10_another_order_or_encoding_of_the_same_fields_is_the_same_notice(channel: AlipayChannel) -> None:
    told = fields()
    named = {"sign_type": "RSA2", "sign": sign(text_of(told), ALIPAY)}
    backwards = dict(reversed(list((told | named).items())))

    assert channel.verify_notice(raw(urlencode(backwards).encode()), NOW_US) == taken(channel, told)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"success",
        b"{}",
        b"a=1&b",
        b"\xff\xfe=1&sign_type=RSA2",
        b"%ff=1&sign_type=RSA2&sign=QUJD",
        b"sign_type=RSA2",
        b"sign_type=RSA2&sign=QUJD",
        b"&".join(b"f%d=1" % n for n in range(101)),
        b"a=" + b"1" * 1_000_000,
    ],
)
def test_05_10_garbage_is_refused(channel: AlipayChannel, body: bytes) -> None:
    assert refused(channel, body)


def test_05_10_fields_named_twice_are_refused(channel: AlipayChannel) -> None:
    body = notice_body(fields())

    for more in (b"&total_amount=12.50", b"&sign_type=RSA2", b"&sign=QUJD"):
        assert "twice" in refused(channel, body + more)
        assert "twice" in refused(channel, more[1:] + b"&" + body)


def test_05_10_added_and_missing_fields_are_refused(channel: AlipayChannel) -> None:
    told = fields()
    signature = {"sign": sign(text_of(told), ALIPAY), "sign_type": "RSA2"}

    assert "wrong" in refused(channel, urlencode(told | signature | {"more": "1"}).encode())
    assert "wrong" in refused(channel, urlencode({k: v for k, v in told.items() if k != "body"} | signature).encode())


def test_05_10_a_strangers_signature_is_refused_and_either_of_two_keys_taken(channel: AlipayChannel) -> None:
    assert "wrong" in refused(channel, notice_body(fields(), STRANGER))
    assert taken(channel, fields(), ALIPAY) == taken(channel, fields(), NEXT_ALIPAY)


@pytest.mark.parametrize(
    "changed",
    [
        {"total_amount": "1e2"},
        {"total_amount": "-12.50"},
        {"total_amount": "１2.50"},
        {"trade_status": "TRADE_DREAMT"},
        {"trade_no": "no number"},
        {"notify_id": ""},
        {"notify_id": "x" * 129},
        {"out_trade_no": ""},
        {"out_trade_no": "订单"},
        {"gmt_payment": "yesterday"},
        {"trans_currency": "USD"},
        {"out_biz_no": "x y", "refund_fee": "1.00"},
    ],
)
def test_05_19_a_signed_notice_that_makes_no_sense_is_refused(channel: AlipayChannel, changed: dict[str, str]) -> None:
    assert "no trade" in refused(channel, notice_body(fields(**changed)))


@pytest.mark.parametrize("missing", ["notify_id", "out_trade_no", "trade_status", "total_amount", "trade_no"])
def test_a_signed_notice_without_a_field_is_refused(channel: AlipayChannel, missing: str) -> None:
    told = {key: value for key, value in fields().items() if key != missing}

    assert "no trade" in refused(channel, notice_body(told))


def test_the_answer_is_exactly_one_word(channel: AlipayChannel) -> None:
    assert channel.ack(accepted=True) == Ack(200, b"success")
    assert channel.ack(accepted=False) == Ack(200, b"failure")
