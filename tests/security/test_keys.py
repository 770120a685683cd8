"""Key files: who may read them, which mode may use them, and what a broken one says."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from hub.security.keys import Key, KeyRefused, load_or_create


def seeds() -> Callable[[], bytes]:
    numbers = count(1)
    return lambda: next(numbers).to_bytes(32)


def test_first_start_makes_a_key_that_the_next_start_loads(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys" / "master.key"
    draw_seed = seeds()
    made = load_or_create(path, is_production=False, draw_seed=draw_seed)
    loaded = load_or_create(path, is_production=False, draw_seed=draw_seed)
    assert made == loaded == Key((1).to_bytes(32), is_development=True)
    assert path.read_text() == f"tongbao key v1, made in development mode\n{(1).to_bytes(32).hex()}\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]  # no draft is left


def test_only_the_owner_can_read_a_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.key"
    load_or_create(path, is_production=True, draw_seed=seeds())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_production_makes_its_own_key_and_loads_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    load_or_create(path, is_production=True, draw_seed=seeds())
    assert load_or_create(path, is_production=True, draw_seed=seeds()).is_development is False


def test_production_refuses_a_development_key_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    load_or_create(path, is_production=False, draw_seed=seeds())
    before = path.read_bytes()
    with pytest.raises(KeyRefused) as refused:
        load_or_create(path, is_production=True, draw_seed=seeds())
    assert str(refused.value) == (
        f"{path} was made in development mode and is not used in production: set HUB_DATA to a new folder, "
        "where production makes its own keys. What the old key sealed or signed stays with the old folder"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    load_or_create(path, is_production=False, draw_seed=seeds())
    path.chmod(mode)
    with pytest.raises(KeyRefused, match="run `chmod 600 "):
        load_or_create(path, is_production=False, draw_seed=seeds())


@pytest.mark.parametrize("damage", ["", "tongbao key v1, made in development mode\n", "x" * 10_000, "\xff"])
def test_a_damaged_key_is_never_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(damage)
    path.chmod(0o600)
    with pytest.raises(KeyRefused, match="restore it from your backup"):
        load_or_create(path, is_production=False, draw_seed=seeds())
    assert path.read_text() == damage


def test_a_folder_in_the_key_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "master.key").mkdir(mode=0o700)
    with pytest.raises(KeyRefused, match="cannot be made or read"):
        load_or_create(tmp_path / "master.key", is_production=False, draw_seed=seeds())


def test_starters_at_once_end_with_one_key(tmp_path: Path) -> None:
    draw_seed = seeds()

    def start(_: int) -> Key:
        return load_or_create(tmp_path / "keys" / "master.key", is_production=False, draw_seed=draw_seed)

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(start, range(32)))
    assert len(keys) == 1


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    key = load_or_create(tmp_path / "master.key", is_production=False, draw_seed=lambda: b"K" * 32)
    assert repr(key) == "Key(is_development=True)"


def test_each_purpose_and_name_has_a_key_of_its_own() -> None:
    key = Key(bytes(32), is_development=True)
    derived = {key.derive(*pair) for pair in (("seal",), ("nonce",), ("merchant", "a"), ("merchant", "b"), ("m", "a"))}
    assert len(derived) == 5
    assert {len(secret) for secret in derived} == {32}
