"""kill -9 while rights are settled one by one: each is settled once and ended once, and none goes by a batch too."""

from pathlib import Path

import pytest

from tests.entry.hubs import CHECKOUT
from tests.entry.plays.rights import ended
from tests.entry.plays.scene import Scene
from tests.entry.plays.scenes import SCENES
from tests.entry.plays.stage import AFTER_LEASES_S, Stage
from tests.entry.plays.wallets import linked, wallet_of
from tests.entry.test_killed import database_of, die_at, live_on, staged

POINTS = [
    "close_batch: before commit",
    "close_batch: after commit",
    "keep_signed: before commit",
    "keep_signed: after commit",
    "chain.send: before send",
    "chain.send: after answer",
    "settle_transaction: before commit",
    "settle_transaction: after commit",
]


async def settled(stage: Stage, name: str) -> None:
    """Bought for a wallet, settled, and ended again."""
    async with stage.learner() as learner:
        asked = stage.listings[name].bought(name) | {"walletId": await linked(learner, wallet_of(name))}
        bought = await learner.mutate(CHECKOUT, asked)
    await ended(stage, bought["order"]["id"], name)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_killed_around_each_step_of_a_settlement_and_then_restarted(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for point in POINTS:
        monkeypatch.setitem(SCENES, point.partition(":")[0], Scene(settled))
    async with (
        database_of(engine) as database,
        staged(tmp_path / "data", database, POINTS, HUB_CHAIN_INSTANT="true") as stage,
    ):
        for point in POINTS:
            await die_at(stage, point)
        await live_on(stage, POINTS, ahead_s=AFTER_LEASES_S)
        assert await stage.house.rows("SELECT is_settlement, count, state FROM anchor_batch") == [
            (1, 1, "FINALIZED")
        ] * len(POINTS)
        told = await stage.house.rows(
            "SELECT name, count(DISTINCT subject), count(*) FROM chain_event"
            " WHERE name IN ('Settled', 'OrderRevoked', 'Anchored') GROUP BY name"
        )
        assert sorted(told) == [("OrderRevoked", len(POINTS), len(POINTS)), ("Settled", len(POINTS), len(POINTS))]
