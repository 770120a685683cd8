"""API keys: what one key may make of another, rotation, the end of keys, and who hears of it in the audit log."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.catalogue import Platform
from hub.domain.keys import MAX_LIVE_KEYS, ApiKey
from hub.domain.people import LEARNER_SCOPES, OPERATOR_SCOPES, PARTNER_SCOPES, Viewer, ViewerKind
from hub.domain.refusals import InvalidInput, NotFound, StateConflict
from hub.flows import keys
from hub.flows.issuers import put_issuer
from hub.security.tokens import matches, parse_api_key
from tests.flows.benches import Bench
from tests.partners import Partner
from tests.world import SECOND_US, operator, partner

DAY_S = 24 * 3600
SHOP = frozenset({"orders:read", "keys:write"})
# What says nothing about the database is asked on the embedded one alone.
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


async def made(bench: Bench, viewer: Viewer, name: str = "shop", **more: Any) -> keys.IssuedKey:
    """A key that nothing speaks against."""
    answer = await keys.create_key(bench.hub, viewer, **{"name": name, "scopes": SHOP} | more)
    assert answer.value is not None, answer.refusal
    return answer.value


async def stored(bench: Bench, key_id: str) -> ApiKey:
    async with bench.store.reading() as rx:
        key = await rx.keys.by_id(key_id)
    assert key is not None
    return key


def asking(key: ApiKey) -> Viewer:
    """Whoever has this key."""
    return Viewer(key.kind, None, key.platform_id, key.scopes, key.expires_at_us, key.id)


async def log(bench: Bench) -> list[tuple[str, str, str]]:
    rows = await bench.rows("SELECT actor, action, subject_id FROM audit_entry ORDER BY created_at_us, id")
    return [(str(actor), str(action), str(subject)) for actor, action, subject in rows]


async def test_key_is_stored_by_its_hash_and_shown_once(bench: Bench) -> None:
    platform = await bench.world.platform()
    issued = await made(bench, partner(platform), " shop ")
    key = await stored(bench, issued.id)
    parsed = parse_api_key(issued.text)
    assert parsed is not None
    assert parsed[0] == key.id == issued.id
    assert matches(parsed[1], key.secret_hash)
    assert (key.name, key.scopes, key.platform_id, key.kind) == ("shop", SHOP, platform.id, ViewerKind.PLATFORM)
    assert (key.is_development, key.expires_at_us, key.last_used_at_us) == (True, None, None)
    everything = str(await bench.rows("SELECT * FROM api_key")) + str(await bench.rows("SELECT * FROM audit_entry"))
    assert parsed[1] not in everything
    assert issued.text not in repr(issued)


@EMBEDDED
async def test_no_key_makes_more_than_it_has(bench: Bench) -> None:
    platform, other = await bench.world.platform(), await bench.world.platform("kan")
    weak = replace(partner(platform), scopes=frozenset({"keys:write", "orders:read"}))
    for viewer, scopes, where in (
        (weak, {"catalog:write"}, "scopes"),
        (weak, {"operations:write"}, "scopes"),
        (partner(platform), {"orders:write"}, "scopes"),  # a learner's, which no platform's key ever holds
        (operator(), {"nonsense"}, "scopes"),
        (weak, set(), "scopes"),
    ):
        answer = await keys.create_key(bench.hub, viewer, name="x", scopes=frozenset(scopes))
        assert isinstance(answer.refusal, InvalidInput), scopes
        assert answer.refusal.field == where
    foreign = await keys.create_key(bench.hub, weak, name="x", scopes=SHOP, platform_id=other.id)
    assert foreign.refusal == NotFound("platformId")
    nowhere = "plt_00000000000000000000000000"
    assert (
        await keys.create_key(bench.hub, operator(), name="x", scopes=SHOP, platform_id=nowhere)
    ).refusal == NotFound("platformId")
    assert await bench.one("SELECT count(*) FROM api_key") == 0
    assert await log(bench) == []


@EMBEDDED
async def test_operators_make_keys_of_platforms_and_their_own(bench: Bench) -> None:
    platform = await bench.world.platform()
    theirs = (await made(bench, operator(), "shop", platform_id=platform.id)).key
    own = (await made(bench, operator(), "shop", scopes=frozenset({"operations:read", "orders:write"}))).key
    assert (theirs.kind, theirs.platform_id) == (ViewerKind.PLATFORM, platform.id)
    assert (own.kind, own.platform_id) == (ViewerKind.OPERATOR, None)
    learners_own = await keys.create_key(
        bench.hub, operator(), name="y", scopes=frozenset({"orders:write"}), platform_id=platform.id
    )
    assert isinstance(learners_own.refusal, InvalidInput)


@EMBEDDED
async def test_a_key_ends_no_later_than_its_maker(bench: Bench) -> None:
    platform, now_us = await bench.world.platform(), bench.clock.now_us()
    short = (await made(bench, partner(platform), "short", expires_at_us=now_us + 100)).key
    child = await made(bench, asking(short), "child")
    assert child.key.expires_at_us == now_us + 100
    later = await keys.create_key(bench.hub, asking(short), name="x", scopes=SHOP, expires_at_us=now_us + 101)
    assert isinstance(later.refusal, InvalidInput)
    past = await keys.create_key(bench.hub, partner(platform), name="x", scopes=SHOP, expires_at_us=now_us)
    assert isinstance(past.refusal, InvalidInput)
    forever = await made(bench, partner(platform), "forever")
    turned = await keys.rotate_key(bench.hub, asking(short), key_id=forever.id, grace_s=0)
    assert turned.value is not None
    assert turned.value.key.expires_at_us == now_us + 100


@EMBEDDED
@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b", "a\nb", "a\ud800"])
async def test_a_key_has_a_name(bench: Bench, name: str) -> None:
    platform = await bench.world.platform()
    answer = await keys.create_key(bench.hub, partner(platform), name=name, scopes=SHOP)
    assert isinstance(answer.refusal, InvalidInput)
    assert answer.refusal.field == "name"


async def test_a_name_is_one_live_keys_however_many_want_it_at_once(bench: Bench) -> None:
    platform, rival = await bench.world.platform(), bench.rival()
    answers = await asyncio.gather(*[
        keys.create_key((rival if i % 2 else bench).hub, partner(platform), name="shop", scopes=SHOP) for i in range(8)
    ])  # fmt: skip
    assert [answer.value is not None for answer in answers].count(True) == 1
    assert {type(answer.refusal) for answer in answers} == {type(None), InvalidInput}
    assert await bench.one("SELECT count(*) FROM api_key") == 1
    await made(bench, partner(await bench.world.platform("kan")), "shop")  # another holder's names are its own


async def test_rotation_has_two_live_keys_until_the_grace_is_over(bench: Bench) -> None:
    platform = await bench.world.platform()
    old = await made(bench, partner(platform))
    answer = await keys.rotate_key(bench.hub, partner(platform), key_id=old.id, grace_s=DAY_S)
    assert answer.value is not None
    new = answer.value
    assert new.text != old.text
    bench.clock.pass_us(DAY_S * SECOND_US - 1)
    live = [(await stored(bench, id_)).is_live(bench.clock.now_us()) for id_ in (old.id, new.id)]
    assert live == [True, True]
    third = await keys.rotate_key(bench.hub, partner(platform), key_id=new.id, grace_s=0)
    assert isinstance(third.refusal, InvalidInput)
    assert "two keys of this name" in third.refusal.message
    bench.clock.pass_us(1)
    assert not (await stored(bench, old.id)).is_live(bench.clock.now_us())
    fourth = await keys.rotate_key(bench.hub, partner(platform), key_id=new.id, grace_s=0)
    assert fourth.value is not None
    assert (await stored(bench, fourth.value.id)).slot == old.key.slot
    assert not (await stored(bench, new.id)).is_live(bench.clock.now_us())
    assert (await keys.rotate_key(bench.hub, partner(platform), key_id=old.id, grace_s=0)).refusal == StateConflict(
        "REVOKED", "apiKeyRotate"
    )


async def test_of_many_rotations_at_once_one_makes_the_second_key(bench: Bench) -> None:
    platform, rival = await bench.world.platform(), bench.rival()
    old = await made(bench, partner(platform))
    answers = await asyncio.gather(*[
        keys.rotate_key((rival if i % 2 else bench).hub, partner(platform), key_id=old.id, grace_s=60)
        for i in range(8)
    ])  # fmt: skip
    assert [answer.value is not None for answer in answers].count(True) == 1
    assert await bench.one("SELECT count(*) FROM api_key WHERE revoked_at_us IS NULL") == 2


@EMBEDDED
async def test_a_weaker_key_does_not_get_a_stronger_one_by_rotating_it(bench: Bench) -> None:
    platform = await bench.world.platform()
    strong = await made(bench, partner(platform), "strong", scopes=PARTNER_SCOPES)
    weak = (await made(bench, partner(platform), "weak", scopes=SHOP)).key
    answer = await keys.rotate_key(bench.hub, asking(weak), key_id=strong.id, grace_s=0)
    assert isinstance(answer.refusal, InvalidInput)
    assert (await stored(bench, strong.id)).expires_at_us is None


@EMBEDDED
async def test_another_platforms_and_the_operators_keys_are_not_there(bench: Bench) -> None:
    platform, other = await bench.world.platform(), await bench.world.platform("kan")
    foreign = (await made(bench, partner(other))).id
    staff = (await made(bench, operator(), scopes=frozenset({"operations:read"}))).id
    for key_id in (foreign, staff, "key_00000000000000000000000000"):
        viewer = replace(partner(platform), scopes=OPERATOR_SCOPES)
        rotated = await keys.rotate_key(bench.hub, viewer, key_id=key_id, grace_s=0)
        revoked = await keys.revoke_key(bench.hub, viewer, key_id=key_id)
        assert rotated.refusal == revoked.refusal == NotFound("id")
    assert await bench.one("SELECT count(*) FROM api_key WHERE revoked_at_us IS NOT NULL") == 0


async def test_a_key_revoked_a_moment_ago_makes_no_other(bench: Bench) -> None:
    """A viewer is remembered for seconds: the unit asks the table itself."""
    platform = await bench.world.platform()
    stolen = asking((await made(bench, partner(platform))).key)
    other = await made(bench, partner(platform), "other")
    assert stolen.key_id is not None
    assert (await keys.revoke_key(bench.hub, partner(platform), key_id=stolen.key_id)).value is not None
    made_by_it = await keys.create_key(bench.hub, stolen, name="back door", scopes=SHOP)
    turned = await keys.rotate_key(bench.hub, stolen, key_id=other.id, grace_s=0)
    assert made_by_it.refusal == turned.refusal == StateConflict("REVOKED", "making keys")
    assert await bench.one("SELECT count(*) FROM api_key") == 2


async def test_revoking_again_is_the_same_and_the_name_is_free(bench: Bench) -> None:
    platform = await bench.world.platform()
    key = await made(bench, partner(platform))
    first = await keys.revoke_key(bench.hub, partner(platform), key_id=key.id)
    bench.clock.pass_us(5)
    again = await keys.revoke_key(bench.hub, partner(platform), key_id=key.id)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert again.value == first.value == replace(key.key, revoked_at_us=bench.clock.now_us() - 5)
    assert (await made(bench, partner(platform))).id != key.id


async def test_every_change_of_a_key_is_in_the_audit_log(bench: Bench) -> None:
    platform = await bench.world.platform()
    root = (await made(bench, operator(), "root", scopes=OPERATOR_SCOPES)).key
    key = await made(bench, asking(root), platform_id=platform.id)
    bench.clock.pass_us(1)
    turned = await keys.rotate_key(bench.hub, asking(root), key_id=key.id, grace_s=60)
    assert turned.value is not None
    bench.clock.pass_us(1)
    await keys.revoke_key(bench.hub, asking(key.key), key_id=key.id)
    await keys.revoke_key(bench.hub, asking(key.key), key_id=key.id)
    assert sorted(await log(bench)) == sorted([
        ("command", "apiKeyCreate", root.id), (root.id, "apiKeyCreate", key.id), (root.id, "apiKeyRotate", key.id),
        (key.id, "apiKeyRevoke", key.id),
    ])  # fmt: skip
    [(detail,)] = await bench.rows("SELECT detail FROM audit_entry WHERE action = 'apiKeyRotate'")
    ends_at_us = bench.clock.now_us() - 1 + 60 * SECOND_US
    assert json.loads(detail) == {"name": "shop", "newKey": turned.value.id, "oldEndsAtUs": ends_at_us}


@EMBEDDED
async def test_a_machine_makes_a_bounded_number_of_keys(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LIVE_KEYS == 50
    monkeypatch.setattr("hub.flows.keys.MAX_LIVE_KEYS", 3)
    platform: Platform = await bench.world.platform()
    first = (await made(bench, partner(platform), "1")).key
    for name in ("2", "3"):
        await made(bench, asking(first), name)
    answer = await keys.create_key(bench.hub, asking(first), name="4", scopes=SHOP)
    assert isinstance(answer.refusal, InvalidInput)


@EMBEDDED
async def test_a_learner_makes_no_key_of_what_operators_may_too(bench: Bench) -> None:
    assert LEARNER_SCOPES <= OPERATOR_SCOPES
    learner = await bench.world.learner()
    answer = await keys.create_key(bench.hub, learner, name="x", scopes=frozenset({"orders:write"}))
    assert isinstance(answer.refusal, InvalidInput)


@EMBEDDED
async def test_a_key_that_was_revoked_a_moment_ago_makes_no_issuer_trusted(bench: Bench) -> None:
    platform = await bench.world.platform()
    staff = await made(bench, operator(), scopes=OPERATOR_SCOPES)
    remembered = asking(staff.key)
    await keys.revoke_key(bench.hub, operator(), key_id=staff.id)
    draw = bench.world.draw()
    mine = Partner(platform.id, id=draw.id("iss")).trusted()
    answer = await bench.store.write(put_issuer, remembered, mine, draw)
    assert answer.refusal == StateConflict("REVOKED", "trusting an issuer")
    assert await bench.one("SELECT count(*) FROM trusted_issuer") == 0
