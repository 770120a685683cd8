"""kill -9 at every fail-point of the sale, restart, and the same end: one charge, one right, one leaf, each event once.

Dying processes follow each other on one data folder, so each also takes up what the last one left. At the end a hub
that lives lets every play come to its end. The default run dies once per class of step, on SQLite; `chaos` dies at
every point, on both engines, and at random times.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from hub.entry.demo_client import Client, DemoFailed
from hub.entry.failpoints import CALLS, EXIT_CODE
from tests.entry.hubs import LIST, House, put_on_sale, until
from tests.entry.plays.chain import change_back, go_on_reading
from tests.entry.plays.scene import Scene, sale
from tests.entry.plays.scenes import SCENES, points, written_units
from tests.entry.plays.stage import AFTER_A_DAY_S, AFTER_LEASES_S, AFTER_PAUSES_S, DEAD, HONOURER, Play, Stage, named
from tests.servers import open_postgres

DIES_WITHIN_S = 90.0  # on PostgreSQL it may first have to wait for a lease of the process that died before it
# One kill per class of step: sending, answer, commit, what follows a commit, and the chain's own sending.
IN_THE_DEFAULT_RUN = (
    "channel.create: before send",
    "channel.create: after answer",
    "record_result: before commit",
    "record_result: after commit",
    "chain.send: before send",
)


def test_every_unit_and_every_call_has_its_fail_points_and_a_way_to_them() -> None:
    calls = {f"{kind}.{method}" for kind, methods in CALLS.items() for method in methods}
    assert written_units() | calls == set(SCENES)


# ---- dying and living on ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def staged(data: Path, database: str | None, points: list[str], **environ: str) -> AsyncIterator[Stage]:
    """A folder with a listing for every point, each honoured by the second platform too. The node is ours."""
    house = House(data, database, environ=environ)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        await stack.enter_async_context(house.node_kept())
        hub = await house.serve()
        learner, seller, honourer, operator = await asyncio.gather(
            house.token("learner"), house.token("partner", platform="lumen"),
            house.token("partner", platform=HONOURER), house.token("operator"),
        )  # fmt: skip
        stage = Stage(house, hub, learner, seller, operator)
        async with Client(hub.origin, seller) as selling, Client(hub.origin, honourer) as honouring:
            for number, point in enumerate(points):
                sold = await put_on_sale(selling, f"sold-{number}")
                await house.sandbox().publish(HONOURER, f"opened-{number}")
                await honouring.mutate(LIST, {"externalId": f"opened-{number}", "courseId": sold.course_id})
                stage.listings[named(point)] = sold
        yield stage


async def die_at(stage: Stage, point: str) -> None:
    """Get a process to the point, where it must end; whoever served before is killed where it stands."""
    scene, name = SCENES[point.partition(":")[0]], named(point)
    if scene.before is not None:
        if stage.hub.code is not None:
            stage.hub = await stage.house.serve(ahead_s=stage.ahead_s)
        await scene.before(stage, name)
    await stage.hub.kill()
    if scene.command is not None:
        code, said = await stage.house.command(*scene.command(stage, name), failpoint=point)
        assert code == EXIT_CODE, f"{point}: {said}"
        return
    ahead_s = stage.ahead_s + scene.ahead_s
    if scene.ahead_s == AFTER_LEASES_S:
        stage.ahead_s = ahead_s
    stage.hub = await stage.house.serve(failpoint=point, is_waited_for=False, ahead_s=ahead_s, spoil=scene.spoil)
    playing = asyncio.create_task(_play_to_death(stage, scene, name))
    try:
        assert await stage.hub.ended(DIES_WITHIN_S) == EXIT_CODE, f"{point}: {stage.hub.said[-2000:]}"
    except TimeoutError:
        met = await playing if playing.done() else "nothing"
        raise AssertionError(f"{point} was not reached; its client met {met}: {stage.hub.said[-3000:]}") from None
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


async def _play_to_death(stage: Stage, scene: Scene, name: str) -> str:
    """Play for as long as the hub lives; what the client met. Whether the hub died is judged by its exit code."""
    try:
        await stage.hub.wait_until_serving()
        if scene.fault is not None:
            peer, operation, fault, value = scene.fault
            await stage.sandbox.arm(operation, fault, peer=peer, value=value)
        await scene.play(stage, name)
    except (*DEAD, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return "its end"


async def live_on(stage: Stage, points: list[str], *, ahead_s: float) -> None:
    """A hub that lives, after every lease, brings each play to its end; then everything is looked at."""
    stage.house.disarm()
    await go_on_reading(stage)
    await change_back(stage)
    stage.ahead_s += ahead_s
    stage.hub = await stage.house.serve(ahead_s=stage.ahead_s)
    stage.is_last = True

    async def finish(point: str) -> None:
        scene, name = SCENES[point.partition(":")[0]], named(point)
        if scene.command is None:
            await asyncio.wait_for(_until_done(stage, scene.play, name), 100)
        else:
            code, said = await stage.house.command(*scene.command(stage, name))
            assert code == 0 or (scene.may_be_done and code == 1), said

    # Commands first: one of them erases the learner of all plays, wallets and all.
    for is_command in (True, False):
        some = [point for point in points if (SCENES[point.partition(":")[0]].command is not None) is is_command]
        await _each(some, finish)
    await come_to_rest(stage)
    await assert_once_each(stage)


async def _each(names: list[str], finish: Callable[[str], Awaitable[None]]) -> None:
    """Eight at once: all of them together would wait longer for a hub than each has time. Tells of all that failed."""
    hands = asyncio.Semaphore(8)
    failed: dict[str, str] = {}

    async def one(name: str) -> None:
        async with hands:
            try:
                await finish(name)
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"

    await asyncio.gather(*map(one, names))
    assert failed == {}, "\n".join(f"{name}: {why}" for name, why in failed.items())


async def _until_done(stage: Stage, play: Play, name: str) -> None:
    """As a client does: IN_PROGRESS is tried again, with the same key."""
    while True:
        try:
            return await play(stage, name)
        except DemoFailed as error:
            if "IN_PROGRESS" not in str(error):
                raise
            await asyncio.sleep(0.5)


# What may wait at the end: notices of payments that nobody knows, and looks at attempts that have ended meanwhile, by
# the buyer's own next try say; such a look finds that there is nothing left to do.
LEFT = (
    "SELECT kind, key, attempts, run_at_us, last_error FROM task WHERE kind <> 'apply_notice' AND NOT "
    "(kind = 'resolve_attempt' AND key IN (SELECT id FROM payment_attempt WHERE state IN ('CHARGED', 'VOIDED')))"
)


async def come_to_rest(stage: Stage) -> None:
    """Until no task waits that has something to do."""
    await stage.house.change("DELETE FROM task WHERE kind = 'nobodys'")
    await stage.house.change("DELETE FROM dead_task WHERE kind = 'nobodys'")

    async def is_at_rest() -> bool:
        left = await stage.house.rows(LEFT)
        unanchored = await stage.house.rows("SELECT id FROM anchor_batch WHERE state <> 'FINALIZED'")
        return not left and not unanchored

    try:
        await until(is_at_rest, within_s=90)
    except AssertionError:
        raise AssertionError(f"left: {await stage.house.rows(LEFT)}") from None


async def assert_once_each(stage: Stage) -> None:
    """One charge and one right per paid order, one standing leaf, no gap between nonces, each event once."""
    await stage.house.verified()  # rights, leaves, proofs, books, log
    movements = stage.house.movements()
    paid = await stage.house.rows(
        "SELECT number FROM order_ WHERE total_minor > 0 AND (paid_at_us > 0 OR refunded_minor > 0)"
    )
    charged = [reference.rpartition("-")[0] for reference, status in movements if status == "succeeded"]
    assert sorted(charged) == sorted(number for (number,) in paid)
    signed = await stage.house.rows("SELECT sender, nonce, state FROM chain_transaction ORDER BY nonce")
    for line in {sender for sender, _, _ in signed}:  # each key has nonces of its own
        nonces = [nonce for sender, nonce, _ in signed if sender == line]
        assert nonces == list(range(len(nonces)))
    assert {state for _, _, state in signed} <= {"CONFIRMED"}
    what = "SELECT position, stream, subject, subject_version, kind FROM"
    events = await stage.house.rows(f"{what} event UNION ALL {what} event_archive")
    assert sorted(event[0] for event in events) == list(range(1, len(events) + 1))
    assert len({event[1:] for event in events}) == len(events)
    assert await stage.house.rows(LEFT) == []
    assert await stage.house.rows("SELECT kind FROM dead_task") == []


@pytest.mark.timeout(300)
async def test_killed_once_per_class_of_step_and_then_restarted(tmp_path: Path) -> None:
    async with staged(tmp_path / "data", None, list(IN_THE_DEFAULT_RUN)) as stage:
        for point in IN_THE_DEFAULT_RUN:
            await die_at(stage, point)
        await live_on(stage, list(IN_THE_DEFAULT_RUN), ahead_s=AFTER_PAUSES_S)
        paid = await stage.house.rows("SELECT status, count(*) FROM order_ GROUP BY status")
        assert paid == [("PAID", len(IN_THE_DEFAULT_RUN))]


# ---- everything, and at random ---------------------------------------------------------------------------------------


@asynccontextmanager
async def database_of(engine: str) -> AsyncIterator[str | None]:
    """A durable database of the engine; None: SQLite in the folder."""
    if engine == "sqlite":
        yield None
        return
    with open_postgres(durable=True) as server, server.database() as dsn:
        yield dsn


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize("is_late", [False, True], ids=["today", "a day later"])
async def test_killed_at_every_point_and_then_restarted(engine: str, is_late: bool, tmp_path: Path) -> None:
    scenes = {point: SCENES[point.partition(":")[0]] for point in points(engine)}
    chosen = [point for point, scene in scenes.items() if (scene.ahead_s == AFTER_A_DAY_S) is is_late]
    chosen.sort(key=lambda point: scenes[point].ahead_s)  # the clock does not go back
    async with database_of(engine) as database, staged(tmp_path / "data", database, chosen) as stage:
        for point in chosen:
            await die_at(stage, point)
            print(f"died at {point}")  # noqa: T201  # which one it was, should the next not be reached
        await live_on(stage, chosen, ahead_s=AFTER_A_DAY_S + 7200 if is_late else AFTER_PAUSES_S)


SALES = 150  # at most: each is put on sale before the first death


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_killed_at_random_times_and_then_restarted(engine: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("HUB_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
    print(f"HUB_TEST_SEED={seed}")  # noqa: T201  # the seed is for whoever reads a failure
    chance = random.Random(seed)
    names = [f"sale {number}" for number in range(SALES)]
    async with database_of(engine) as database, staged(tmp_path / "data", database, names) as stage:
        begun: list[str] = []

        async def buy_on() -> None:
            for name in names[len(begun) :]:
                begun.append(name)
                try:
                    await sale(stage, named(name))
                except (*DEAD, AssertionError):
                    return

        deadline = time.monotonic() + 30
        deaths = 0
        while time.monotonic() < deadline and len(begun) < SALES:
            buying = [asyncio.create_task(buy_on()) for _ in range(4)]
            await asyncio.sleep(chance.uniform(0.05, 2.0))
            stage.hub.send(signal.SIGKILL)
            await stage.hub.ended()
            await asyncio.gather(*buying)
            deaths += 1
            stage.hub = await stage.house.serve()
        await stage.hub.kill()
        print(f"{deaths} deaths over {len(begun)} sales")  # noqa: T201  # the seed is for whoever reads a failure
        stage.hub = await stage.house.serve(ahead_s=AFTER_PAUSES_S)
        stage.is_last = True
        await _each(begun, lambda name: _until_done(stage, sale, named(name)))
        await come_to_rest(stage)
        await assert_once_each(stage)
