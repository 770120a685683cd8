"""The chain's side of a hub, before anything is started."""

import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.backends.native.main import NativeECCBackend
from eth_keys.datatypes import PrivateKey

from hub.chain import keys
from hub.domain.records import KeyRole
from hub.entry.chain import chain_side
from hub.entry.settings import read_settings
from tests.entry.toys import settings_of


async def test_a_hub_that_sells_on_a_chain_of_others_needs_a_sellers_key(tmp_path: Path) -> None:
    keys.prepare_embedded(tmp_path)
    of_others = {"data": str(tmp_path), "chain_url": "http://127.0.0.1:1"}
    sells = read_settings({"HUB_CHANNEL_STABLECOIN_TOKEN": "0x" + "ab" * 20}, of_others)
    await chain_side(sells).aclose()
    (tmp_path / "keys" / "seller.key").unlink()
    await chain_side(settings_of(**of_others)).aclose()
    with pytest.raises(keys.KeyFault, match=r"seller\.key is missing: .* this hub sells on chain"):
        chain_side(sells)


async def test_a_hub_that_settles_at_once_on_a_chain_of_others_needs_a_signers_key(tmp_path: Path) -> None:
    keys.prepare_embedded(tmp_path)
    settles = settings_of(data=str(tmp_path), chain_url="http://127.0.0.1:1", chain_instant="true")
    await chain_side(settles).aclose()
    (tmp_path / "keys" / "signer.key").unlink()
    with pytest.raises(keys.KeyFault, match=r"signer\.key is missing: .* HUB_CHAIN_INSTANT"):
        chain_side(settles)


async def test_a_former_gateways_keystore_may_have_a_password_of_its_own(tmp_path: Path) -> None:
    keys.prepare_embedded(tmp_path)
    folder = tmp_path / keys.FOLDER
    former, present = Account.create(), Account.create()
    for name, account, password in (("former", former, "before"), ("gateway", present, "now")):
        keystore = Account.encrypt(account.key, password, kdf="pbkdf2", iterations=2)
        (folder / f"{name}.json").write_text(json.dumps(keystore))
        (folder / f"{name}.json").chmod(0o600)
    (folder / "gateway.key").unlink()
    given = {"HUB_CHAIN_GATEWAY_PASSWORD": "now", "HUB_CHAIN_FORMER_PASSWORD": "before"}
    side = chain_side(read_settings(given, {"data": str(tmp_path), "chain_url": "http://127.0.0.1:1"}))
    held = side.keys.of(KeyRole.FORMER)
    assert held is not None
    assert held.address == former.address
    await side.aclose()


async def test_without_coincurve_the_hub_says_so_and_signs_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(data=str(tmp_path))
    await chain_side(settings).aclose()
    assert caplog.messages == []

    monkeypatch.setattr(keys, "get_backend", NativeECCBackend)
    await chain_side(settings).aclose()
    assert [text.split(",")[0] for text in caplog.messages] == ["chain signatures: pure Python"]

    key, digest = PrivateKey(bytes([7]) * 32), bytes(range(32))
    slow, fast = (backend.ecdsa_sign(digest, key) for backend in (NativeECCBackend(), CoinCurveECCBackend()))
    assert slow.to_bytes() == fast.to_bytes()
