"""`hub key`: how the first key of a production hub comes to be, and how one is ended without any."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hub.domain.people import OPERATOR_SCOPES, ViewerKind
from hub.entry.cli import main
from hub.entry.commands import opened
from hub.entry.settings import read_settings
from hub.entry.viewers import Viewers
from resolvers.errors import GatekeepingError


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Command":
    monkeypatch.setenv("HUB_MODE", "production")
    return Command(tmp_path, capsys)


class Command:
    """`hub key …` on a production folder: exit code, what it printed, what it complained about."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data, self._capsys = data, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["key", *arguments, "--data", str(self.data)])
        told = self._capsys.readouterr()
        return int(str(ended.value.code)), told.out, told.err


async def viewers_of(data: Path, *texts: str) -> list[Any]:
    """Who each key is on that folder, or why it is nobody."""
    settings = read_settings({"HUB_MODE": "production"}, {"data": str(data)})
    async with opened(settings) as (hub, _):
        found: list[Any] = []
        for text in texts:
            try:
                found.append(await Viewers(hub).viewer(f"Bearer {text.strip()}"))
            except GatekeepingError as refused:
                found.append(str(refused))
        return found


def test_first_keys_of_production_are_made_listed_and_revoked(command: Command) -> None:
    code, operator, _ = command("create", "--as", "operator", "--name", "root")
    assert (code, operator[:9]) == (0, "hub_live_")
    code, partner, _ = command(
        "create", "--as", "partner", "--platform", "xue", "--name", "shop", "--scopes", "orders:read,keys:write",
        "--days", "30",
    )  # fmt: skip
    assert code == 0
    staff, seller = asyncio.run(viewers_of(command.data, operator, partner))
    assert (staff.kind, staff.scopes, staff.expires_at_us) == (ViewerKind.OPERATOR, OPERATOR_SCOPES, None)
    assert (seller.kind, seller.scopes) == (ViewerKind.PLATFORM, {"orders:read", "keys:write"})
    assert seller.expires_at_us is not None
    code, listed, _ = command("list")
    assert code == 0
    assert [line.split()[2:] for line in listed.splitlines()[1:]] == [["live", "shop"], ["live", "root"]]
    assert operator.strip().rpartition("_")[2] not in listed
    id_ = listed.splitlines()[1].split()[0]
    assert command("revoke", id_) == (0, f"hub: key {id_} is revoked\n", "")
    assert command("revoke", id_) == (0, f"hub: key {id_} was revoked before\n", "")
    assert asyncio.run(viewers_of(command.data, partner)) == ["this API key was revoked"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--as", "partner", "--name", "x"], "--platform SLUG goes with --as partner"),
        (["--as", "operator", "--name", "x", "--platform", "xue"], "--platform SLUG goes with --as partner"),
        (["--as", "operator", "--name", " "], "name has 1 to 100"),
        (["--as", "operator", "--name", "x", "--days", "0"], "--days is a whole number"),
        (["--as", "partner", "--platform", "xue", "--name", "x", "--scopes", "operations:write"], "cannot give"),
    ],
)
def test_a_key_that_cannot_be_is_complained_about(command: Command, arguments: list[str], complaint: str) -> None:
    code, out, err = command("create", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err


def test_an_unknown_key_is_not_revoked(command: Command) -> None:
    assert command("revoke", "key_nobody")[0] == 2
