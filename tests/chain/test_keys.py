"""The keys that act on chain: made once, before the chain, seen by nobody else, and never the published ones."""

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eth_account import Account

from hub.chain.keys import ALLOC_WEI, WELL_KNOWN, KeyFault, Outside, load, prepare_embedded
from hub.domain.records import KeyRole
from tests.chain.keyring import account_of

MNEMONIC = "test " * 11 + "junk"


def test_first_start_makes_keys_and_a_genesis_that_funds_them(tmp_path: Path) -> None:
    keys = prepare_embedded(tmp_path, draw=drawing())

    roles = ["deployer", "gateway", "pauser", "revoker", "seller", "signer"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genesis.json", "keys"]
    assert sorted(path.stem for path in (tmp_path / "keys").glob("*.key")) == sorted(keys.held) == roles
    assert {mode(path) for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert len({key.address for key in keys.held.values()}) == 6
    assert account_of(keys.deployer).key == bytes([1]) * 32
    assert account_of(keys.gateway).key == bytes([2]) * 32
    assert json.loads((tmp_path / "genesis.json").read_text()) == {
        "chainId": 2**40 + 0x0707070707070707 % 2**51,
        "alloc": {key.address: str(ALLOC_WEI) for role, key in keys.held.items() if role != "signer"},
    }


def test_later_start_changes_nothing(tmp_path: Path) -> None:
    first = prepare_embedded(tmp_path)
    before = (tmp_path / "genesis.json").read_bytes()

    again = prepare_embedded(tmp_path)

    assert again == first
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

    assert account_of(keys.deployer).key == bytes([1]) * 32


def test_starts_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: prepare_embedded(tmp_path), range(8)))

    assert len({tuple(key.address for key in ring.held.values()) for ring in keys}) == 1
    assert keys[0].gateway.address in json.loads((tmp_path / "genesis.json").read_text())["alloc"]
    assert len(list((tmp_path / "keys").iterdir())) == 6


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


@pytest.mark.parametrize("role", ["gateway", "revoker", "seller", "pauser", "signer", "former"])
def test_the_owners_key_is_no_other_roles_too(tmp_path: Path, role: str) -> None:
    prepare_embedded(tmp_path)
    put(tmp_path / "keys" / f"{role}.key", (tmp_path / "keys" / "deployer.key").read_text())

    with pytest.raises(KeyFault, match=f"deployer and {role} are the same account"):
        load(tmp_path)


def test_one_key_may_do_what_several_are_for_but_not_sign_results_too(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    folder = tmp_path / "keys"
    for role in ("revoker", "seller", "pauser"):
        (folder / f"{role}.key").unlink()
        (folder / f"{role}.key").symlink_to("gateway.key")

    keys = load(tmp_path)

    assert len({key.address for key in keys.held.values()}) == 3  # deployer, signer, and the one for all the rest
    put(folder / "signer.key", (folder / "gateway.key").read_text())
    with pytest.raises(KeyFault, match="gateway and signer are the same account"):
        load(tmp_path)


def test_folder_of_an_earlier_release_gets_the_keys_that_it_lacks(tmp_path: Path) -> None:
    first = prepare_embedded(tmp_path)
    for role in ("revoker", "seller", "pauser", "signer"):
        (tmp_path / "keys" / f"{role}.key").unlink()

    again = prepare_embedded(tmp_path)

    assert (again.deployer, again.gateway) == (first.deployer, first.gateway)
    assert len({key.address for key in [*again.held.values(), *first.held.values()]}) == 10


def test_who_brings_keys_needs_three_and_may_have_a_revoker_of_its_own_or_not(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    for role in ("seller", "pauser", "signer"):
        (tmp_path / "keys" / f"{role}.key").unlink()
    assert sorted(load(tmp_path).held) == ["deployer", "gateway", "revoker"]
    (tmp_path / "keys" / "revoker.key").unlink()
    with pytest.raises(KeyFault, match=r"revoker\.key is missing: .* or link it to gateway\.key"):
        load(tmp_path)


def test_keystore_opens_with_its_password_alone(tmp_path: Path) -> None:
    prepare_embedded(tmp_path)
    (tmp_path / "keys" / "gateway.key").unlink()
    keystore = Account.encrypt(bytes([5]) * 32, "open sesame", kdf="pbkdf2", iterations=1_000)
    put(tmp_path / "keys" / "gateway.json", json.dumps(keystore))

    keys = load(tmp_path, Outside({KeyRole.GATEWAY: "open sesame"}))

    assert account_of(keys.gateway).key == bytes([5]) * 32
    with pytest.raises(KeyFault, match="needs its password"):
        load(tmp_path, Outside({KeyRole.GATEWAY: "wrong"}))


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

    assert bytes(account_of(keys.gateway).key).hex() not in repr(keys)


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
