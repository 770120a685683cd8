"""The keys that act on chain: made once, before the chain, seen by nobody else, and never the published ones."""

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eth_account import Account

from hub.chain.keys import ALLOC_WEI, WELL_KNOWN, KeyFault, load, prepare_embedded

MNEMONIC = "test " * 11 + "junk"


def test_first_start_makes_keys_and_a_genesis_that_funds_them(tmp_path: Path) -> None:
    keys = prepare_embedded(tmp_path, draw=drawing())

    assert keys.deployer.key == bytes([1]) * 32
    assert keys.gateway.key == bytes([2]) * 32
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deployer.key", "gateway.key", "genesis.json", "keys"]
    assert [mode(path) for path in sorted((tmp_path / "keys").iterdir())] == [0o600, 0o600]
    assert json.loads((tmp_path / "genesis.json").read_text()) == {
        "chainId": 2**40 + 0x0303030303030303 % 2**51,
        "alloc": {keys.deployer.address: str(ALLOC_WEI), keys.gateway.address: str(ALLOC_WEI)},
    }


def test_later_start_changes_nothing(tmp_path: Path) -> None:
    first = prepare_embedded(tmp_path)
    before = (tmp_path / "genesis.json").read_bytes()

    again = prepare_embedded(tmp_path)

    assert (again.deployer.key, again.gateway.key) == (first.deployer.key, first.gateway.key)
    assert (tmp_path / "genesis.json").read_bytes() == before


def test_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    draw = drawing()

    def cut(count: int) -> bytes:
        drawn = draw(count)
        if drawn[0] == 2:
            raise KeyboardInterrupt
        return drawn

    with pytest.raises(KeyboardInterrupt):
        prepare_embedded(tmp_path, draw=cut)
    assert not (tmp_path / "genesis.json").exists()  # the keys come before it

    keys = prepare_embedded(tmp_path)

    assert keys.deployer.key == bytes([1]) * 32


def test_starts_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: prepare_embedded(tmp_path), range(8)))

    assert len({bytes(pair.deployer.key) + bytes(pair.gateway.key) for pair in keys}) == 1
    assert keys[0].gateway.address in json.loads((tmp_path / "genesis.json").read_text())["alloc"]
    assert len(list((tmp_path / "keys").iterdir())) == 2


def test_lost_key_of_a_living_chain_is_told_and_not_replaced(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    lost = tmp_path / "keys" / "gateway.key"
    lost.unlink()

    with pytest.raises(KeyFault, match=r"gateway\.key is missing"):
        prepare_embedded(tmp_path)

    assert not lost.exists()


def test_published_development_keys_are_refused(tmp_path: Path) -> None:
    Account.enable_unaudited_hdwallet_features()
    published = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(10)]
    prepare_embedded(tmp_path)

    assert {account.address for account in published} == WELL_KNOWN
    put(tmp_path / "keys" / "gateway.key", published[7].key.hex())
    with pytest.raises(KeyFault, match="published development key") as caught:
        load(tmp_path)
    assert published[7].key.hex() not in str(caught.value)


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    (tmp_path / "keys" / "deployer.key").chmod(0o640)

    with pytest.raises(KeyFault, match="chmod 600"):
        load(tmp_path)


def test_one_key_for_both_roles_is_refused(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    put(tmp_path / "keys" / "gateway.key", (tmp_path / "keys" / "deployer.key").read_text())

    with pytest.raises(KeyFault, match="the same account"):
        load(tmp_path)


def test_keystore_opens_with_its_password_alone(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    (tmp_path / "keys" / "gateway.key").unlink()
    keystore = Account.encrypt(bytes([5]) * 32, "open sesame", kdf="pbkdf2", iterations=1_000)
    put(tmp_path / "keys" / "gateway.json", json.dumps(keystore))

    keys = load(tmp_path, passwords={"gateway": "open sesame"})

    assert keys.gateway.key == bytes([5]) * 32
    with pytest.raises(KeyFault, match="needs its password"):
        load(tmp_path, passwords={"gateway": "wrong"})


@pytest.mark.parametrize("text", ["", "0x", "0x" + "0" * 64, "not a key at all", "0x" + "f" * 63])
def test_unreadable_key_is_told_without_its_text(tmp_path: Path, text: str) -> None:
    prepare_embedded(tmp_path)
    put(tmp_path / "keys" / "deployer.key", text)

    with pytest.raises(KeyFault, match="no key that can be read") as caught:
        load(tmp_path)

    assert caught.value.__cause__ is None
    assert text[2:] == "" or text[2:] not in str(caught.value)


def test_no_key_shows_in_print(tmp_path: Path) -> None:
    keys = prepare_embedded(tmp_path)

    assert bytes(keys.gateway.key).hex() not in repr(keys)


def drawing() -> Callable[[int], bytes]:
    """Chance that draws 01…, then 02…, and so on."""
    drawn = iter(range(1, 100))
    return lambda count: bytes([next(drawn)]) * count


def put(path: Path, text: str) -> None:
    """A file as its owner leaves it."""
    path.write_text(text)
    path.chmod(0o600)


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)
