"""Receipts that stand up to anybody, and cursors that open here only."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import KeySet

from hub.domain.anchors import NO_END, commitment
from hub.domain.entitlements import Opening, Receipt
from hub.ports import CursorRefused, Receipts
from hub.security.jws import SigningKey
from hub.security.keys import Key
from hub.security.signing import (
    MAX_CURSOR,
    RECEIPT_TYPE,
    Cursors,
    Keyset,
    ReceiptRefused,
    SignedReceipts,
    verify_receipt,
)

KEY = Key(b"r" * 32, is_development=True)
HUB = SignedReceipts(KEY)
OPENING = Opening(b"q" * 32, b"p" * 32, b"s" * 32)
RECEIPT = Receipt(
    order_key=b"k" * 32,
    to="0x" + "00" * 20,
    token_id=2**256 - 1,
    expiry=NO_END,
    commitment=commitment(1, b"q" * 32, b"p" * 32, b"s" * 32, keccak),
    issued_at_us=1_800_000_000_123_456,
    opening=OPENING,
)


def payload_of(jws: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(jws.split(".")[1] + "=="))
    return payload


def signed_by_the_hub(payload: dict[str, Any], typ: str = RECEIPT_TYPE) -> str:
    return SigningKey(KEY, "receipts").sign(typ, payload)


def test_a_partner_reads_what_the_hub_signed() -> None:
    assert verify_receipt(HUB.sign(RECEIPT), HUB.jwks()) == RECEIPT


def test_a_receipt_has_the_published_form() -> None:
    assert payload_of(HUB.sign(RECEIPT)) == {
        "version": 1,
        "orderKey": "0x" + "6b" * 32,
        "to": "0x" + "00" * 20,
        "tokenId": str(2**256 - 1),
        "expiry": "72057594037927935",
        "commitment": "0x" + RECEIPT.commitment.hex(),
        "issuedAt": "1800000000123456",
        "opening": {"requestHash": "0x" + "71" * 32, "resultHash": "0x" + "70" * 32, "salt": "0x" + "73" * 32},
    }


def test_any_jose_library_verifies_a_receipt_by_the_published_keys() -> None:
    published: Any = json.loads(json.dumps(HUB.jwks()))
    keys = KeySet.import_key_set(published)
    checked = joserfc_jws.deserialize_compact(HUB.sign(RECEIPT), keys, algorithms=["ES256"])
    assert checked.headers()["typ"] == "tongbao-receipt+jwt"


def test_the_published_document_holds_no_secret() -> None:
    [jwk] = HUB.jwks()["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "sig", "ES256")


def test_a_unit_that_runs_again_signs_the_same_text() -> None:
    port: Receipts = SignedReceipts(KEY)
    assert port.sign(RECEIPT) == HUB.sign(RECEIPT)


def test_the_hub_signs_no_receipt_whose_opening_is_another_s() -> None:
    with pytest.raises(ValueError, match="does not yield the commitment"):
        HUB.sign(replace(RECEIPT, opening=replace(OPENING, salt=bytes(32))))


@pytest.mark.parametrize("change", [{"to": "nobody"}, {"order_key": b"short"}, {"expiry": -1}])
def test_the_hub_signs_no_receipt_that_a_partner_would_refuse(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not the text that belongs here"):
        HUB.sign(replace(RECEIPT, **change))


@given(st.data())
def test_a_receipt_with_one_letter_changed_is_refused(data: st.DataObject) -> None:
    receipt = signed_by_the_hub(payload_of(HUB.sign(RECEIPT)))
    place = data.draw(st.integers(0, len(receipt) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda other: other != receipt[place]))
    with pytest.raises(ReceiptRefused):
        verify_receipt(receipt[:place] + letter + receipt[place + 1 :], HUB.jwks())


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": True},
        {"tokenId": 7},
        {"tokenId": "007"},
        {"orderKey": "0x" + "6B" * 32},
        {"commitment": "0x" + "00" * 32},
        {"opening": None},
        {"opening": {}},
        {"extra": 1},
    ],
)
def test_signed_text_of_another_form_is_no_receipt(change: dict[str, Any]) -> None:
    with pytest.raises(ReceiptRefused, match="no receipt of a version that is known here"):
        verify_receipt(signed_by_the_hub(payload_of(HUB.sign(RECEIPT)) | change), HUB.jwks())


def test_another_kind_of_signed_text_is_no_receipt() -> None:
    with pytest.raises(ReceiptRefused, match="not the algorithm or kind"):
        verify_receipt(signed_by_the_hub(payload_of(HUB.sign(RECEIPT)), typ="at+jwt"), HUB.jwks())


@pytest.mark.parametrize("jwks", [{}, {"keys": []}, {"keys": None}, {"keys": [None, "x", {"kid": 7}]}])
def test_an_unknown_key_is_refused(jwks: dict[str, Any]) -> None:
    with pytest.raises(ReceiptRefused, match="signed by a key that is not known here"):
        verify_receipt(HUB.sign(RECEIPT), jwks)


def test_another_hub_s_key_under_our_name_verifies_nothing() -> None:
    [ours], [theirs] = HUB.jwks()["keys"], SignedReceipts(Key(bytes(32), is_development=True)).jwks()["keys"]
    with pytest.raises(ReceiptRefused, match="the signature does not fit"):
        verify_receipt(HUB.sign(RECEIPT), {"keys": [theirs | {"kid": ours["kid"]}]})


@pytest.mark.parametrize("damage", [{"x": "AA"}, {"crv": "P-999"}, {"y": None}])
def test_a_damaged_key_verifies_nothing(damage: dict[str, Any]) -> None:
    [jwk] = HUB.jwks()["keys"]
    with pytest.raises(ReceiptRefused):
        verify_receipt(HUB.sign(RECEIPT), {"keys": [{**jwk, **damage}]})


# ---- cursors ---------------------------------------------------------------------------------------------------

CURSORS = Cursors(KEY)
STREAMS = st.text(min_size=1, max_size=60)
POSITIONS = st.integers(0, 2**63 - 1)
VALUES = st.lists(st.text(max_size=60) | st.integers() | st.booleans() | st.none(), max_size=4).map(tuple)


@given(STREAMS, POSITIONS)
def test_a_cursor_opens_to_its_position(stream: str, position: int) -> None:
    text = CURSORS.seal(stream, position)
    assert CURSORS.open(text) == (stream, position)
    assert text == Cursors(KEY).seal(stream, position)


@given(VALUES)
def test_a_keyset_opens_to_its_values(values: Keyset) -> None:
    assert CURSORS.open_keyset("orders", CURSORS.seal_keyset("orders", values)) == values


@given(STREAMS, st.lists(POSITIONS, max_size=5))
def test_cursors_that_are_sealed_together_are_those_that_are_sealed_alone(stream: str, positions: list[int]) -> None:
    assert CURSORS.seal_all(stream, positions) == [CURSORS.seal(stream, position) for position in positions]


@pytest.mark.parametrize(("stream", "position"), [("", 1), ("usr_1", -1), ("usr_1", 2**63)])
def test_what_is_no_place_in_a_log_has_no_cursor(stream: str, position: int) -> None:
    with pytest.raises(ValueError, match="a cursor has a stream"):
        CURSORS.seal(stream, position)


def test_a_cursor_of_the_first_layout_still_opens() -> None:
    first = "9IrTbstm2-GgLU-RIcDaj3YxOnVzcl8xOjQy"  # as it was given for this key before there was a second one
    assert first == CURSORS._seal("event", "v1:usr_1:42")
    assert CURSORS.open(first) == ("usr_1", 42)


def test_a_cursor_of_another_stream_is_refused_under_this_ones_name() -> None:
    (version, name, _), (*_, block) = (CURSORS.seal(stream, 42).split(".") for stream in ("usr_1", "usr_2"))
    with pytest.raises(CursorRefused):
        CURSORS.open(f"{version}.{name}.{block}")


def test_a_cursor_fits_into_a_url() -> None:
    for text in (CURSORS.seal_keyset("courses", ("通宝?/+", 7)), CURSORS.seal("通宝?/+", 7)):
        assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(st.data())
def test_an_altered_cursor_is_refused(data: st.DataObject) -> None:
    event, keyset = CURSORS.seal("usr_1", 42), CURSORS.seal_keyset("orders", ("a", 42))
    place = data.draw(st.integers(0, min(len(event), len(keyset)) - 1))
    letter = data.draw(st.characters(codec="ascii"))
    for text, opened in ((event, CURSORS.open), (keyset, lambda it: CURSORS.open_keyset("orders", it))):
        altered = text[:place] + letter + text[place + 1 :]
        if altered != text:
            with pytest.raises(CursorRefused):
                opened(altered)


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()) | st.just("\ud800"))
def test_rubbish_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorRefused):
        CURSORS.open(text)
    with pytest.raises(CursorRefused):
        CURSORS.open_keyset("orders", text)


def test_a_forged_cursor_is_refused() -> None:
    body = b"v1:hub:0"
    for mac in (b"", bytes(16), bytes(32)):
        with pytest.raises(CursorRefused):
            CURSORS.open(base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode())
    for block in ("", "00", "00" * 16, "00" * 32, CURSORS.seal("hub", 0)[-32:].upper(), "g" * 32):
        with pytest.raises(CursorRefused):
            CURSORS.open(f"v2.aHVi.{block}")


def test_a_cursor_of_another_list_or_use_or_hub_is_refused() -> None:
    event, keyset = CURSORS.seal("usr_1", 42), CURSORS.seal_keyset("orders usr_1", ("a", 42))
    for elsewhere in ("orders usr_2", "orders usr_1 ", "", "event"):
        with pytest.raises(CursorRefused):
            CURSORS.open_keyset(elsewhere, keyset)
    with pytest.raises(CursorRefused):
        CURSORS.open(keyset)
    with pytest.raises(CursorRefused):
        CURSORS.open_keyset("event", event)
    with pytest.raises(CursorRefused):
        Cursors(Key(bytes(32), is_development=True)).open(event)


def test_one_position_has_one_cursor() -> None:
    text = CURSORS._seal("event", "v1:usr_1:4")  # 26 bytes: the last letter holds two bits that no decoder needs
    assert len(text) == 35
    assert CURSORS.open(text) == ("usr_1", 4)
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=".replace(text[-1], ""):
        with pytest.raises(CursorRefused):
            CURSORS.open(text[:-1] + letter)


def test_a_cursor_of_a_later_release_is_refused() -> None:
    with pytest.raises(CursorRefused):
        CURSORS.open(CURSORS._seal("event", "v2:usr_1:42"))
    with pytest.raises(CursorRefused):
        CURSORS.open(CURSORS.seal("usr_1", 42).replace("v2.", "v3."))
    with pytest.raises(CursorRefused):
        CURSORS.open_keyset("orders", CURSORS._seal("list orders", '["v2","a"]'))


def test_a_refused_cursor_says_nothing_of_why() -> None:
    texts = set()
    for text in ("", "x", CURSORS.seal_keyset("orders", (1,)), "=" * (MAX_CURSOR + 1)):
        with pytest.raises(CursorRefused) as refused:
            CURSORS.open(text)
        assert refused.value.__cause__ is None
        texts.add(str(refused.value))
    assert texts == {"this is no cursor of this list"}


def test_limits_hold_when_sealing() -> None:
    with pytest.raises(ValueError, match="a position from 0"):
        CURSORS.seal("hub", -1)
    with pytest.raises(ValueError, match="more than 4096 characters"):
        CURSORS.seal_keyset("courses", ("x" * MAX_CURSOR,))
