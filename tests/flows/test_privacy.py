"""Who somebody is stands in no event and no task, and nobody's stream names another party: seen after a whole sale."""

import json
from typing import Any

import pytest

from hub.domain.people import Viewer
from hub.flows import entitlements, notices, people
from hub.store.tasks import Tasks
from tests.flows.benches import Bench
from tests.flows.scripted import ACTION, DECLINED, ScriptedPlatform, charged, delivery
from tests.world import learner, operator, partner

NAME, MAIL = "Wang Mei", "mei@example.org"


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What any task was given, whenever: its row is gone with its end."""
    kept: list[str] = []
    for verb in ("add", "lease", "retry", "put_back", "die"):
        monkeypatch.setattr(Tasks, verb, spied(getattr(Tasks, verb), kept))
    return kept


def spied(method: Any, kept: list[str]) -> Any:
    def call(self: Tasks, *arguments: Any) -> Any:
        kept.append(repr(arguments))
        return method(self, *arguments)

    return call


async def member(bench: Bench, viewer: Viewer, slug: str, external_id: str) -> str:
    """The platform's own record of the buyer, linked; its name for them."""
    platform = await bench.world.platform(slug)
    assert viewer.user_id is not None
    token = bench.tokens.issue_user_token(viewer.user_id, bench.clock.now_us(), 60)
    answer = await people.link_identity(bench.hub, partner(platform), external_id=external_id, user_token=token)
    assert answer.value is not None, answer.refusal
    return answer.value.pairwise_id


async def sold(bench: Bench) -> tuple[Viewer, str, str, str]:
    """Declined, then paid by notice, anchored, opened on both platforms, ended by staff: the buyer, the platforms'
    names for them, and the order's id."""
    course = await bench.world.course()
    listing = await bench.world.listing(course=course)
    await bench.world.listing(course=course, platform=await bench.world.platform("bo"))
    await bench.world.listing(platform=await bench.world.platform("shu"))
    for slug in ("xue", "bo", "shu"):
        bench.platforms[slug] = ScriptedPlatform(slug)
    viewer = learner(await people.development_user(bench.hub, f"{NAME} <{MAIL}>"))
    names = [await member(bench, viewer, slug, f"m-of-{slug}") for slug in ("xue", "bo")]
    order = await bench.order(viewer, listing)
    bench.channel.then("create", DECLINED, ACTION)
    await bench.pay(viewer, order, key="pay-1")
    await bench.pay(viewer, order, key="pay-2")
    [_, attempt] = await bench.attempts(order.id)
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
    await bench.record()
    right = await bench.one("SELECT id FROM entitlement")
    answer = await entitlements.revoke(
        bench.hub, operator(), entitlement_id=right, reason="a mistake", idempotency_key="end"
    )
    assert answer.refusal is None
    await bench.record()
    return viewer, *names, order.id


async def bodies(bench: Bench) -> dict[str, str]:
    """All that each stream's rows hold, by stream."""
    await bench.store.stamp()
    rows = await bench.rows(
        "SELECT stream, id, subject, kind, body, from_state, to_state, cause FROM event ORDER BY position"
    )
    told: dict[str, str] = {}
    for stream, *columns in rows:
        told[stream] = told.get(stream, "") + json.dumps(columns, ensure_ascii=False)
    return told


async def test_no_event_and_no_task_says_who_the_buyer_is(bench: Bench, tasks: list[str]) -> None:
    viewer, _, _, order_id = await sold(bench)
    written = [*(await bodies(bench)).values(), *tasks]
    assert any(order_id in text for text in written)
    for text in written:
        for personal in (NAME, MAIL, "Wang", "mei@"):
            assert personal not in text
    assert len(tasks) >= 6
    for text in tasks:
        assert str(viewer.user_id) not in text
        assert "m-of-" not in text


async def test_each_stream_of_a_sale_knows_the_buyer_by_its_own_name_alone(bench: Bench) -> None:
    viewer, at_seller, at_honourer, order_id = await sold(bench)
    buyer = str(viewer.user_id)
    seller, honourer = (await bench.world.platform("xue")).id, (await bench.world.platform("bo")).id
    told = await bodies(bench)
    assert set(told) == {"hub", buyer, seller, honourer}
    number = await bench.one("SELECT number FROM order_")
    everybody = {
        "the hub's": buyer, "the seller's": at_seller, "the honourer's": at_honourer, "its member": "m-of-xue",
        "their member": "m-of-bo", "the order": order_id, "its number": number,
    }  # fmt: skip
    known = {stream: {what for what, name in everybody.items() if name in text} for stream, text in told.items()}
    assert known[buyer] == {"the hub's", "the order", "its number"}
    assert known[seller] == {"the seller's", "its member", "the order", "its number"}
    assert known[honourer] == {"the honourer's", "their member"}
    assert known["hub"] == {"the hub's", "its member", "their member", "the order", "its number"}
