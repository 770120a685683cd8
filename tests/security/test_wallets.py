"""Who signed a text: the account that did, and nobody for bytes that are no signature of one."""

from hypothesis import given
from hypothesis import strategies as st

from hub.security.wallets import HALF_ORDER, digest_of, signer_of
from tests.wallets import account, signed

TEXT = "a text\nof two lines"
SIGNED = signed(TEXT)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_the_signer_is_recovered() -> None:
    assert signer_of(TEXT, SIGNED) == account().address
    assert signer_of(TEXT, signed(TEXT, 2)) == account(2).address
    assert signer_of(TEXT + "!", SIGNED) not in (account().address, None)


def test_digest_is_that_of_eip_191() -> None:
    assert digest_of("hello").hex() == "50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750"


def test_the_twin_with_the_other_s_is_none() -> None:
    s = int.from_bytes(SIGNED[32:64])
    twin = SIGNED[:32] + (ORDER - s).to_bytes(32) + bytes([55 - SIGNED[64]])
    assert s <= HALF_ORDER < ORDER - s
    assert signer_of(TEXT, twin) is None


def test_other_lengths_and_marks_are_none() -> None:
    for wrong in (b"", SIGNED[:-1], SIGNED + b"\0", SIGNED[:64] + b"\0", SIGNED[:64] + b"\x1d", b"\0" * 64 + b"\x1b"):
        assert signer_of(TEXT, wrong) is None


@given(st.binary(min_size=60, max_size=70))
def test_no_bytes_whatever_are_the_wallets_or_make_it_fall(signature: bytes) -> None:
    assert signer_of(TEXT, signature) != account().address
