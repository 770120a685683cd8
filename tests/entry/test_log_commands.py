"""`hub log prune` and `hub log archive`, as an operator has them; killed pruning is a play in `plays`."""

import json

import pytest

from hub.entry.commands import print_archive, prune_log
from hub.entry.settings import Settings, read_settings
from hub.store.database import open_store
from hub.store.transactions import Store, Tx
from tests.store.test_log_retention import read_all, tell
from tests.world import World


@pytest.fixture
def settings(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data = str(tmp_path_factory.mktemp("data"))
    return read_settings({"HUB_DATA": data, "HUB_DATABASE": store_url, "HUB_LOG_RETENTION_DAYS": "30"})


async def test_pruning_says_what_it_moved_and_who_holds_back_more(
    settings: Settings, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The world's time is the first of January 2026, which is older than 30 days on any clock."""
    store = await open_store(store_url)
    await tell(store, World(store), 2, ("hub", "plt_1"))
    await read_all(store)
    await move(store, "webhook:whe_1", 0, 2)
    await store.aclose()
    assert await prune_log(settings) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hub: 3 events moved to the archive; the log begins at 4",
        "hub: webhook:whe_1 holds back event 4 of plt_1, from 2026-01-01, and all after it",
    ]
    assert await print_archive(settings, after=1, limit=10) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["position"], event["stream"]) for event in shown] == [(2, "plt_1"), (3, "hub")]


async def move(store: Store, name: str, held: int, position: int) -> None:
    async def unit(tx: Tx) -> None:
        await tx.events.move(name, held, position, "plt_1")

    await store.write(unit)
