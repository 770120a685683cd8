"""T on the platforms: one right, one entry on each access list, whatever is lost on the way."""

from collections import deque

import pytest

from hub.domain.catalogue import Listing
from hub.domain.people import Viewer
from hub.flows import access, entitlements
from hub.ports import Cap, Conflict, NotSupported, RateLimited, Rejected, Transient
from tests.flows.benches import Bench
from tests.flows.scripted import ScriptedPlatform
from tests.world import SECOND_US, operator


async def bought(bench: Bench) -> tuple[Viewer, Listing, Listing]:
    """A course bought on `xue`, with an honoured listing on `bo`, and none on `shu`."""
    course, viewer = await bench.world.course(), await bench.world.learner()
    here = await bench.world.listing(course=course)
    there = await bench.world.listing(course=course, platform=await bench.world.platform("bo"))
    await bench.world.listing(platform=await bench.world.platform("shu"))
    for slug in ("xue", "bo", "shu"):
        bench.platforms.setdefault(slug, ScriptedPlatform(slug))
    await bench.buy(viewer, here)
    await bench.store.stamp()
    assert await access.gather(bench.hub) == 1
    return viewer, here, there


async def told(bench: Bench) -> list[tuple[str, str]]:
    """(platform, state) as we know the access lists."""
    rows = await bench.rows(
        "SELECT p.slug, a.state FROM platform_access a JOIN platform p ON p.id = a.platform_id ORDER BY p.slug"
    )
    return [(slug, state) for slug, state in rows]


async def test_right_is_opened_where_it_was_bought_and_where_it_is_honoured_alone(bench: Bench) -> None:
    _, here, there = await bought(bench)
    await bench.work()
    assert await told(bench) == [("bo", "OPEN"), ("xue", "OPEN")]
    opened = {slug: platform.opened for slug, platform in bench.platforms.items()}
    assert opened == {"xue": {here.external_id}, "bo": {there.external_id}, "shu": set()}
    assert bench.platforms["shu"].calls == []


async def test_gathering_again_makes_no_second_task(bench: Bench) -> None:
    await bought(bench)
    assert await access.gather(bench.hub) == 0
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'platform_access'") == [("platform_access",)] * 2


@pytest.mark.parametrize(("is_lossy", "grants"), [(True, 1), (False, 2)], ids=["done and lost", "not done"])
async def test_lost_answer_gives_one_access(bench: Bench, is_lossy: bool, grants: int) -> None:
    bench.platforms["bo"] = ScriptedPlatform("bo", faults=deque([Transient("cut")]), is_lossy=is_lossy)
    await bought(bench)
    await bench.work()
    assert await told(bench) == [("bo", "UNKNOWN"), ("xue", "OPEN")]
    bench.clock.pass_us(4 * SECOND_US)
    await bench.work()
    assert await told(bench) == [("bo", "OPEN"), ("xue", "OPEN")]
    assert bench.platforms["bo"].calls.count("grant") == grants


async def test_lost_answer_of_a_platform_that_cannot_verify_is_a_visible_state(bench: Bench) -> None:
    only_grants = frozenset({Cap.GRANT})
    bench.platforms["bo"] = ScriptedPlatform("bo", only_grants, faults=deque([Transient("cut")]), is_lossy=True)
    await bought(bench)
    await bench.work()
    bench.clock.pass_us(4 * SECOND_US)
    await bench.work()
    assert await told(bench) == [("bo", "UNVERIFIED"), ("xue", "OPEN")]
    assert len(bench.platforms["bo"].opened) == 1


@pytest.mark.parametrize(
    ("fault", "state"),
    [(Rejected("no"), "REFUSED"), (Conflict("another course"), "REFUSED"), (NotSupported("no"), "UNSUPPORTED")],
)
async def test_no_of_a_platform_is_kept_and_the_other_opens(bench: Bench, fault: Exception, state: str) -> None:
    bench.platforms["bo"] = ScriptedPlatform("bo", faults=deque([fault]))
    await bought(bench)
    await bench.work()
    assert await told(bench) == [("bo", state), ("xue", "OPEN")]
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'platform_access'") == []


async def test_rate_limit_is_kept_to(bench: Bench) -> None:
    bench.platforms["bo"] = ScriptedPlatform("bo", faults=deque([RateLimited(30_000)]))
    await bought(bench)
    await bench.work()
    bench.clock.pass_us(29 * SECOND_US)
    await bench.work()
    assert bench.platforms["bo"].calls.count("grant") == 1
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await told(bench) == [("bo", "OPEN"), ("xue", "OPEN")]


async def test_right_that_ended_before_its_task_ran_is_never_opened(bench: Bench) -> None:
    await bought(bench)
    entitlement_id = await bench.one("SELECT id FROM entitlement")
    await entitlements.revoke(
        bench.hub, operator(), entitlement_id=entitlement_id, reason="fraud", idempotency_key="revoke-1"
    )
    await bench.store.stamp()
    await access.gather(bench.hub)
    await bench.work()
    assert await told(bench) == [("bo", "CLOSED"), ("xue", "CLOSED")]
    assert bench.platforms["bo"].calls.count("grant") == 0


async def test_right_that_ends_while_it_is_being_opened_is_closed_at_last(bench: Bench) -> None:
    await bought(bench)
    entitlement_id = await bench.one("SELECT id FROM entitlement")

    async def revoked() -> None:
        await entitlements.revoke(
            bench.hub, operator(), entitlement_id=entitlement_id, reason="fraud", idempotency_key="revoke-1"
        )
        await bench.store.stamp()
        await access.gather(bench.hub)
        await bench.rival().work()

    bench.platforms["bo"].meanwhile = revoked
    await bench.work()
    assert bench.platforms["bo"].opened == set()
    assert await told(bench) == [("bo", "CLOSED"), ("xue", "CLOSED")]


async def test_revoking_twice_is_refused_and_under_one_key_replayed(bench: Bench) -> None:
    await bought(bench)
    entitlement_id = await bench.one("SELECT id FROM entitlement")

    async def revoke(key: str, id_: str = entitlement_id) -> tuple[str, bool]:
        answer = await entitlements.revoke(
            bench.hub, operator(), entitlement_id=id_, reason="fraud", idempotency_key=key
        )
        return type(answer.refusal).__name__, answer.is_replay

    assert await revoke("k") == ("NoneType", False)
    assert await revoke("k") == ("NoneType", True)
    assert await revoke("other") == ("StateConflict", False)
    assert await revoke("third", "ent_00000000000000000000000000") == ("NotFound", False)
    assert (await bench.events()).count("ENTITLEMENT_REVOKED") == 1


async def test_right_may_be_bought_again_after_its_end(bench: Bench) -> None:
    viewer, here, _ = await bought(bench)
    entitlement_id = await bench.one("SELECT id FROM entitlement")
    await entitlements.revoke(
        bench.hub, operator(), entitlement_id=entitlement_id, reason="error", idempotency_key="revoke-1"
    )
    await bench.buy(viewer, here, key="again")
    await bench.store.stamp()
    await access.gather(bench.hub)
    await bench.work()
    assert await told(bench) == [("bo", "OPEN"), ("xue", "OPEN")]
    assert await bench.rows("SELECT state FROM grant_ ORDER BY state") == [("ACTIVE",), ("REVOKED",)]


async def test_platform_hears_of_the_right_under_its_own_names_only(bench: Bench) -> None:
    viewer, here, there = await bought(bench)
    platform = await bench.world.platform("bo")
    async with bench.store.reading() as rx:
        [event] = await rx.events.read(platform.id, 0, 10)
        name = await rx.people.pairwise_of(str(viewer.user_id), platform.id)
    assert event.kind == "ENTITLEMENT_GRANTED"
    assert (event.body["external_id"], event.body["listing_id"], event.body["buyer"], event.body["order_id"]) == (
        there.external_id, there.id, name, None,
    )  # fmt: skip
    assert str(viewer.user_id) not in repr(event.body)
    assert here.id not in repr(event.body)
