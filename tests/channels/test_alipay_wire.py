"""Alipay's wire: amounts and times exactly or not at all, the text that was signed as it came, keys in every dress."""

import base64
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.channels.alipay_wire import (
    Nonsense,
    fen,
    is_signed,
    key_of,
    moment_text,
    moment_us,
    positive_fen,
    private_key_in,
    public_keys_in,
    reference_of,
    said_in,
    signed,
)
from hub.channels.connecting import ChannelSettingRefused
from hub.domain.money import decimal_text
from tests.channels.alipay_peer import ALIPAY, APP, NEXT_ALIPAY, has_signed, key, pem, public_pem, sign, text_of

METHOD = "alipay.trade.query"


# ---- amounts, times, references --------------------------------------------------------------------------------------


@given(st.integers(0, 10_000_000_000))
def test_05_19_every_amount_of_fen_comes_back_from_yuan_exactly(amount: int) -> None:
    assert positive_fen(decimal_text(amount, 2)) == amount
    assert fen(f"-{decimal_text(amount, 2)}") == -amount


@given(st.text(st.sampled_from("0123456789.-+eE, 元９٣\n"), max_size=12))
def test_05_19_any_notation_is_exact_or_refused(text: str) -> None:
    try:
        amount = fen(text)
    except Nonsense:
        return
    sign_, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    yuan, _, decimals = digits.partition(".")
    assert decimal_text(abs(amount), 2) == f"{yuan}.{decimals.ljust(2, '0')}"
    assert (amount < 0) == (sign_ == "-" and amount != 0)


@pytest.mark.parametrize(
    ("text", "amount"), [("9.90", 990), ("9.9", 990), ("10", 1000), ("0.01", 1), ("0.00", 0), ("100000000.00", 10**10)]
)
def test_05_19_yuan_in_the_notations_that_alipay_has(text: str, amount: int) -> None:
    assert positive_fen(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("1e2", "９.90", " 9.90", "9.90 ", "9.90\n", "9.", ".90", "9.905", "09.90", "+9.90", "9,90", "1,000.00", ""),
        *("-9.90", "-0.00", "٣.00", "9.90元", "¥9.90", "NaN", "inf", 9.9, 9, None, True, "9" * 13),
    ],
)
def test_05_19_every_other_notation_is_refused(text: object) -> None:
    with pytest.raises(Nonsense):
        positive_fen(text)


@given(st.integers(946_684_800, 4_102_444_799))
def test_times_are_chinas(at_s: int) -> None:
    at_us = at_s * 1_000_000
    moment = datetime.fromtimestamp(at_s, ZoneInfo("Asia/Shanghai"))

    assert moment_us(moment.strftime("%Y-%m-%d %H:%M:%S")) == at_us
    assert moment_text(at_us) == moment.strftime("%Y-%m-%d %H:%M:%S")


def test_a_time_may_have_thousandths() -> None:
    noon = int(datetime(2026, 9, 21, 4, tzinfo=UTC).timestamp())

    assert moment_us("2026-09-21 12:00:00.007") == noon * 1_000_000 + 7_000


@pytest.mark.parametrize(
    "text",
    ["2026-02-30 00:00:00", "2026-09-21T12:00:00", "2026-09-21", "２026-09-21 12:00:00", "", None, 1_790_000_000],
)
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(Nonsense):
        moment_us(text)


def test_our_reference_is_written_with_underscores_and_read_back() -> None:
    assert reference_of("TB-7XK2-1") == "TB_7XK2_1"
    assert key_of("TB_7XK2_1") == "TB-7XK2-1"
    assert [reference_of(key_) for key_ in ("TB_7-1", "TB 7", "", "订单", "x" * 65)] == [None] * 5


# ---- signatures ------------------------------------------------------------------------------------------------------


def test_what_we_sign_other_code_verifies() -> None:
    fields = {"method": METHOD, "biz_content": '{"subject":"课程 &=+%"}', "app_id": "1", "sign_type": "RSA2"}

    made = signed(fields, private_key_in(pem(APP), "private_key"))

    assert has_signed(text_of(fields), made.pop("sign"), APP)
    assert made == fields


def test_the_signed_text_is_cut_out_as_it_came() -> None:
    inner = '{ "code" : "10000","msg":"课程 \\u8bfe","url":"https:\\/\\/a","n":{"sign":"no","b":"}\\"],\\\\"} }'

    said = said_in(f'\r\n{{"alipay_trade_query_response" : {inner} , "sign" :"s"}}\n'.encode(), METHOD)

    assert said.text == inner.encode()
    assert said.content == json.loads(inner)
    assert said.sign == "s"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
CONTENTS = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(CONTENTS, st.sampled_from([None, 2]))
def test_any_content_is_cut_out_byte_for_byte(inside: object, indent: int | None) -> None:
    text = json.dumps({"code": "10000", "inside": inside}, ensure_ascii=False, indent=indent).encode()

    said = said_in(b'{"alipay_trade_query_response":' + text + b',"alipay_cert_sn":"1","sign":"s"}', METHOD)

    assert said.text == text


def test_of_several_signatures_the_last_counts_wherever_they_stand() -> None:
    said = said_in(b'{"sign":"1","alipay_trade_query_response":{"sign":"2"},"sign":"3"}', METHOD)

    assert said.sign == "3"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html></html>",
        b'{"alipay_trade_query_response":{"code":"10000"',
        b'{"alipay_trade_query_response":{"code":"10000"}}x',
        b'{"alipay_trade_query_response":"10000","sign":"s"}',
        b'{"alipay_trade_close_response":{"code":"10000"},"sign":"s"}',
        b'{"alipay_trade_query_response":{"code":"1"},"alipay_trade_query_response":{"code":"2"},"sign":"s"}',
        b'{"alipay_trade_query_response":{"code":"\xff"},"sign":"s"}',
        b'{"alipay_trade_query_response":' + b"[" * 100_000,
        b'{"alipay_trade_query_response":{"n":' + b"9" * 5_000 + b"}}",
        b"{1:2}",
    ],
)
def test_a_body_that_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(Nonsense):
        said_in(body, METHOD)


def test_05_5_an_answer_of_any_depth_is_refused_and_crashes_nothing() -> None:
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)  # libraries for the chain raise it
    try:
        for opening in (b"[", b'{"a":'):
            with pytest.raises(Nonsense):
                said_in(b'{"alipay_trade_query_response":' + opening * 50_000, METHOD)
    finally:
        sys.setrecursionlimit(usual)


def test_only_rsa2_of_a_key_that_we_have_is_a_signature() -> None:
    keys = public_keys_in(f"{public_pem(ALIPAY)},{public_pem(NEXT_ALIPAY)}", "alipay_public_key")

    assert is_signed(b"text", sign(b"text", ALIPAY), keys)
    assert is_signed(b"text", sign(b"text", NEXT_ALIPAY), keys)
    assert not is_signed(b"text", sign(b"text", NEXT_ALIPAY), keys[:1])
    assert not is_signed(b"text.", sign(b"text", ALIPAY), keys)
    for other in (sign(b"text", ALIPAY, "RSA"), sign(b"text", ALIPAY, "MD5"), "", "!", None, 7, "QUJD", "签名"):
        assert not is_signed(b"text", other, keys)


# ---- keys ------------------------------------------------------------------------------------------------------------


def bare(armoured: str) -> str:
    return "".join(line for line in armoured.splitlines() if not line.startswith("-----"))


def test_a_private_key_is_taken_in_every_dress_that_alipays_tools_give_it(tmp_path: Path) -> None:
    pkcs1 = key(APP).export_key(pkcs=1).decode()
    file = tmp_path / "app.pem"
    file.write_text(pem(APP))

    numbers = {
        private_key_in(dress, "private_key").private_numbers()
        for dress in (pem(APP), pem(APP).replace("\n", "\\n"), bare(pem(APP)), pkcs1, bare(pkcs1), str(file))
    }

    assert len(numbers) == 1


def test_public_keys_are_taken_with_and_without_armour_and_two_at_once() -> None:
    assert public_keys_in(bare(public_pem(ALIPAY)), "k") == public_keys_in(public_pem(ALIPAY), "k")
    assert len(public_keys_in(f"{bare(public_pem(ALIPAY))}, {public_pem(NEXT_ALIPAY)}", "k")) == 2


def der(made: RSAPrivateKey | EllipticCurvePrivateKey) -> str:
    return base64.b64encode(made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()


NO_PRIVATE_KEYS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "words": lambda: "hunter2-not-a-key",
    "no such file": lambda: "/nowhere/key.pem",
    "a public key": lambda: public_pem(ALIPAY),
    "base64 of nothing": lambda: "QUJDRA==",
    "characters": lambda: "秘密",
    "too short a key": lambda: der(generate_private_key(65537, 1024)),
    "a key of another kind": lambda: der(generate_ec_key(SECP256R1())),
}


@pytest.mark.parametrize("what", NO_PRIVATE_KEYS)
def test_what_is_no_private_key_is_refused_without_being_repeated(what: str) -> None:
    value = NO_PRIVATE_KEYS[what]()

    with pytest.raises(ChannelSettingRefused) as refused:
        private_key_in(value, "private_key")

    assert refused.value.setting == "private_key"
    assert not value or value not in str(refused.value)


@pytest.mark.parametrize("what", ["nothing", "words", "a private key", "one and nothing"])
def test_what_is_no_public_key_is_refused_without_being_repeated(what: str) -> None:
    value = {
        "nothing": "",
        "words": "hunter2-not-a-key",
        "a private key": pem(APP),
        "one and nothing": f"{public_pem(ALIPAY)},",
    }[what]

    with pytest.raises(ChannelSettingRefused) as refused:
        public_keys_in(value, "alipay_public_key")

    assert "hunter2" not in str(refused.value)
    assert "BEGIN" not in str(refused.value)
