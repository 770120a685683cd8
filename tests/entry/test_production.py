"""HUB_MODE=production: no sandbox peer, no channel of the sandbox, no development token."""

import asyncio
from pathlib import Path

import pytest

from hub.entry import running as module
from hub.entry.cli import main
from hub.entry.running import running
from hub.entry.settings import SettingRefused, read_settings


async def test_hub_in_production_has_no_sandbox_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_chain(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "keep_bringing_up", no_chain)
    settings = read_settings({"HUB_MODE": "production"}, {"data": str(tmp_path)})
    async with running(settings, is_server=False) as alive:
        assert (alive.sandbox, dict(alive.hub.channels), dict(alive.hub.platforms)) == (None, {}, {})
    assert not (tmp_path / module.SANDBOX_FOLDER).exists()


async def test_production_with_the_sandbox_channel_does_not_start(tmp_path: Path) -> None:
    environ = {"HUB_MODE": "production", "HUB_CHANNEL_SANDBOX_KEY": "k"}
    settings = read_settings(environ, {"data": str(tmp_path)})
    with pytest.raises(SettingRefused, match="moves no real money"):
        async with running(settings, is_server=False):
            pass
    assert not settings.sqlite_path or not settings.sqlite_path.exists()


async def test_production_with_a_providers_test_keys_does_not_start(tmp_path: Path) -> None:
    keys = {"HUB_CHANNEL_STRIPE_SECRET_KEY": "sk_test_1", "HUB_CHANNEL_STRIPE_WEBHOOK_SECRET": "whsec_1"}
    settings = read_settings({"HUB_MODE": "production", **keys}, {"data": str(tmp_path)})
    with pytest.raises(SettingRefused, match=r"HUB_CHANNEL_STRIPE_\*: .*test mode"):
        async with running(settings, is_server=False):
            pass


def test_production_mints_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUB_MODE", "production")
    with pytest.raises(SystemExit):
        main(["token", "--as", "operator", "--data", str(tmp_path)])
    told = capsys.readouterr()
    assert told.out == ""
    assert "is for HUB_MODE=development alone" in told.err
    assert list(tmp_path.iterdir()) == []
