"""Members and their links: one row per external id, and nothing is moved without proof."""

import asyncio

from hub.domain.people import UserState
from hub.domain.refusals import IdentityTaken, InvalidInput, NotFound, ProvisionalUser
from hub.flows import people
from tests.flows.benches import Bench
from tests.world import learner, operator, partner


async def test_member_put_by_two_processes_at_once_is_one_member(bench: Bench) -> None:
    platform, rival = await bench.world.platform(), bench.rival()
    for n in range(5):
        made = await asyncio.gather(*[
            people.upsert_member((rival if i % 2 else bench).hub, partner(platform), external_id=f"m-{n}")
            for i in range(8)
        ])  # fmt: skip
        stored = await bench.one(f"SELECT id FROM member WHERE external_id = 'm-{n}'")
        assert {answer.value and answer.value.id for answer in made} == {stored}
        assert [answer.is_replay for answer in made].count(False) == 1
    assert await bench.one("SELECT count(*) FROM user_") == 5


async def test_token_of_another_or_no_user_links_nothing(bench: Bench) -> None:
    platform = await bench.world.platform()
    provisional = await bench.world.user(state=UserState.PROVISIONAL)
    token = bench.tokens.issue_user_token(provisional.id, bench.clock.now_us(), 60)
    answer = await people.link_identity(bench.hub, partner(platform), external_id="m-1", user_token=token)
    assert answer.refusal == ProvisionalUser()
    user = await bench.world.user()
    token = bench.tokens.issue_user_token(user.id, bench.clock.now_us(), 60)
    bench.clock.pass_us(60_000_000)
    for wrong in (token, token[:-2], "", "hub_live_x"):
        answer = await people.link_identity(bench.hub, partner(platform), external_id="m-1", user_token=wrong)
        assert isinstance(answer.refusal, InvalidInput)
        assert wrong == "" or wrong not in answer.refusal.message
    assert await bench.one("SELECT count(*) FROM member") == 0


async def test_member_of_somebody_else_is_not_taken_over(bench: Bench) -> None:
    platform = await bench.world.platform()
    owner, other = await bench.world.user(), await bench.world.user()
    await bench.world.member(platform, owner, "m-1")
    token = bench.tokens.issue_user_token(other.id, bench.clock.now_us(), 60)
    answer = await people.link_identity(bench.hub, partner(platform), external_id="m-1", user_token=token)
    assert answer.refusal == IdentityTaken()
    assert await bench.rows("SELECT user_id FROM member") == [(owner.id,)]


async def test_linking_again_changes_nothing(bench: Bench) -> None:
    platform, user = await bench.world.platform(), await bench.world.user()
    token = bench.tokens.issue_user_token(user.id, bench.clock.now_us(), 60)
    first, again = [
        await people.link_identity(bench.hub, partner(platform), external_id="m-1", user_token=token) for _ in range(2)
    ]
    assert (again.value, again.is_replay) == (first.value, True)
    assert (await bench.events(platform.id)).count("MEMBER_LINKED") == 2  # made, then linked
    assert learner(user).user_id == user.id


async def test_external_id_of_a_member_has_limits_and_a_platform(bench: Bench) -> None:
    platform = await bench.world.platform()
    for external_id in ("", "  ", "x" * 201, "a\x00b", "a\ud800b"):
        answer = await people.upsert_member(bench.hub, partner(platform), external_id=external_id)
        assert isinstance(answer.refusal, InvalidInput), repr(external_id)
    for owner in (None, "plt_00000000000000000000000000"):
        answer = await people.upsert_member(bench.hub, operator(), external_id="m-1", platform_id=owner)
        assert answer.refusal == NotFound("platformId")
    assert await bench.one("SELECT count(*) FROM member") == 0


async def test_development_user_of_a_name_is_one(bench: Bench) -> None:
    ada, again, bob = [await people.development_user(bench.hub, name) for name in ("ada", "ada", "bob")]
    assert ada == again
    assert ada.id != bob.id
