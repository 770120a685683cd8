"""The vault: what it seals opens here and in its place only, and twice the same gives the same bytes."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.anchors import order_key
from hub.ports import Vault
from hub.security.keys import Key
from hub.security.vault import MAX_SALT, KeyVault

KEY = Key(b"m" * 32, is_development=True)
VAULT = KeyVault(KEY)
SALTS = st.binary(min_size=1, max_size=64)


@given(SALTS, st.text())
def test_a_sealed_salt_opens_under_its_context(salt: bytes, context: str) -> None:
    assert VAULT.open(VAULT.seal(salt, context), context) == salt


@given(SALTS, st.text())
def test_a_unit_that_runs_again_writes_the_same_bytes(salt: bytes, context: str) -> None:
    assert KeyVault(KEY).seal(salt, context) == VAULT.seal(salt, context)


@given(SALTS, st.text(), SALTS, st.text())
def test_another_salt_or_context_has_another_nonce(salt: bytes, context: str, other: bytes, elsewhere: str) -> None:
    is_same = (salt, context) == (other, elsewhere)
    assert (VAULT.seal(salt, context)[1:13] == VAULT.seal(other, elsewhere)[1:13]) is is_same


def test_context_and_salt_do_not_run_into_each_other() -> None:
    assert VAULT.seal(b"bc", "a")[1:13] != VAULT.seal(b"c", "ab")[1:13]


@given(SALTS, st.data())
def test_an_altered_row_is_refused(salt: bytes, data: st.DataObject) -> None:
    sealed = bytearray(VAULT.seal(salt, "ord_1"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="sealed salt"):
        VAULT.open(bytes(sealed), "ord_1")


def test_a_moved_row_is_refused() -> None:
    with pytest.raises(ValueError, match="altered, moved, or sealed under another key"):
        VAULT.open(VAULT.seal(bytes(32), "ord_1"), "ord_2")


def test_another_hub_opens_nothing() -> None:
    with pytest.raises(ValueError, match="altered, moved, or sealed under another key"):
        KeyVault(Key(b"n" * 32, is_development=True)).open(VAULT.seal(bytes(32), "ord_1"), "ord_1")


@given(st.binary(max_size=40))
def test_what_was_never_sealed_is_refused(rubbish: bytes) -> None:
    with pytest.raises(ValueError, match="sealed salt"):
        VAULT.open(rubbish, "ord_1")


@pytest.mark.parametrize("length", [0, MAX_SALT + 1])
def test_a_salt_beyond_the_limits_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 1024 bytes"):
        VAULT.seal(bytes(length), "ord_1")


def test_a_sealed_salt_shows_nothing_of_it() -> None:
    salt = b"a salt that nobody may see: 1234"
    sealed = VAULT.seal(salt, "ord_1")
    assert len(sealed) == 1 + 12 + 32 + 16
    assert salt[:4] not in sealed


def test_yesterday_s_rows_open_tomorrow() -> None:
    # Fixed when the layout was: if this fails, every salt sealed so far is lost.
    sealed = bytes.fromhex(
        "01d9b44c72ea10cd4f70bdbe0894570c1a979c77b58023961dc6da8f9a7c96a4"
        "3becf059d3842fa806a46763db0fc6f0607dd108d5bff821f129da04e4"
    )
    assert VAULT.open(sealed, "ord_1") == bytes(range(32))


def test_an_order_key_is_the_domain_s_under_the_merchant_s_own_secret() -> None:
    assert VAULT.order_key("mer_1", "TB1") == order_key(KEY.derive("merchant", "mer_1"), "TB1")
    assert VAULT.order_key("mer_1", "TB1") != VAULT.order_key("mer_2", "TB1")


def test_each_platform_has_a_key_of_its_own() -> None:
    assert VAULT.platform_key("plt_1") == VAULT.platform_key("plt_1")
    assert len({VAULT.platform_key("plt_1"), VAULT.platform_key("plt_2"), KEY.derive("merchant", "plt_1")}) == 3


def test_keccak_is_ethereum_s() -> None:
    assert VAULT.keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_a_data_folder_keeps_its_vault(tmp_path: Path) -> None:
    first: Vault = KeyVault.in_folder(tmp_path, is_production=True, draw_seed=lambda: b"1" * 32)
    again = KeyVault.in_folder(tmp_path, is_production=True, draw_seed=lambda: b"2" * 32)
    assert again.open(first.seal(b"salt", "ord_1"), "ord_1") == b"salt"


def test_the_vault_needs_no_web3() -> None:
    program = "import sys, hub.security.vault as v; v.keccak(b''); print(sorted({'web3', 'eth'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
