"""What a hub that runs does to its process."""

import gc
from typing import Any, cast

import pytest

from hub.entry import running
from hub.entry.running import Running, serve_hub
from tests.entry.toys import ToyHub, settings_of


class IdleWorker:
    def stop(self) -> None:
        pass


async def test_a_full_collection_passes_by_what_stands_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema alone is a hundred thousand objects, and the loop stands still while they are looked through."""
    looked_through = []

    async def served(*_: Any, **__: Any) -> None:
        looked_through.append(len(gc.get_objects()))

    async def ready(_url: str) -> None:
        pass

    monkeypatch.setattr(running, "serve", served)
    hub = Running(
        ToyHub().hub, settings_of(), chain=cast("Any", None), sandbox=None, worker=cast("Any", IdleWorker()),
        listener=None, metrics_listener=None, origin=None,
    )  # fmt: skip
    assert len(gc.get_objects()) > 100_000
    try:
        await serve_hub(hub, on_ready=ready)
    finally:
        gc.unfreeze()
    assert looked_through[0] < 10_000
