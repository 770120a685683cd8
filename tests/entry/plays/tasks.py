"""What the hub does by itself: tasks, its log, and whether it is ready."""

from collections.abc import Callable
from importlib import import_module

import httpx

from tests.entry.hubs import until
from tests.entry.plays.catalogue import catalogue_file
from tests.entry.plays.purchases import undecided
from tests.entry.plays.scene import Scene, sale, waiting
from tests.entry.plays.stage import HONOURER, Stage


async def asked_if_ready(stage: Stage, name: str) -> None:
    """A balancer's look."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as balancer:
        assert (await balancer.get(f"{stage.hub.origin}/readyz")).status_code == 200


async def abandoned(stage: Stage, name: str) -> None:
    """Before any death: a task of a kind that no release knows, at its last try."""
    await stage.house.change(
        "INSERT INTO task (kind, key, body, attempts, run_at_us) "
        f"VALUES ('nobodys', '{name}', CAST('{{}}' AS TEXT), 29, 0)"
    )


async def left_alone(stage: Stage, name: str) -> None:
    """Likewise, and no process lives that could take it up before the one that dies over it."""
    await stage.hub.kill()
    await abandoned(stage, name)


async def many_listings(stage: Stage, name: str) -> None:
    """Before any death: more events than the hub's own consumers leave unread behind them, and nobody to read them."""
    await stage.hub.kill()
    path = catalogue_file(stage, name, rows=600)
    code, said = await stage.house.command("import", str(path), "--platform", "bulk", "--format", "udemy")
    assert code == 0, said


def renew_often() -> None:
    import_module("hub.entry.worker").__dict__["LEASE_US"] = 150_000


async def _buried(stage: Stage, name: str) -> None:
    await abandoned(stage, name)

    async def is_dead() -> bool:
        rows = await stage.house.rows(f"SELECT id FROM dead_task WHERE key = '{name}'")
        return len(rows) > 0

    await until(is_dead, what="a dead task")
    [(dead_id,)] = await stage.house.rows(f"SELECT id FROM dead_task WHERE key = '{name}'")
    stage.house.data.with_name(f"dead-{name}").write_text(str(dead_id))


def _settle(word: str) -> Callable[[Stage, str], list[str]]:
    return lambda stage, name: ["tasks", word, stage.house.data.with_name(f"dead-{name}").read_text()]


async def old(stage: Stage, name: str) -> None:
    """A sale that the hub's own consumers have passed, and a first event that is as old as time."""
    await sale(stage, name)
    await stage.house.change("UPDATE event SET occurred_at_us = 1 WHERE position = (SELECT oldest FROM log_head)")


TASKS: dict[str, Scene] = {
    "claim": Scene(),
    "finish": Scene(),
    "retry": Scene(undecided),
    "renew": Scene(spoil=renew_often, fault=(HONOURER, "grant", "latency_ms", 1_000)),
    "bury": Scene(waiting, before=left_alone),
    "reclaim": Scene(waiting, engines=frozenset({"sqlite"})),  # on PostgreSQL leases run out
    "revive": Scene(before=_buried, command=_settle("retry"), may_be_done=True),
    "drop": Scene(before=_buried, command=_settle("drop"), may_be_done=True),
    "move_on": Scene(waiting, before=many_listings),
    "write_and_undo": Scene(asked_if_ready),
}  # fmt: skip
LOG: dict[str, Scene] = {
    "prune": Scene(before=old, command=lambda _, name: ["log", "prune"]),
}  # fmt: skip
