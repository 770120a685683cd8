"""Handing a right on: one live holder whatever happens at once, and tokens that agree with the books."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.catalogue import Listing
from hub.domain.entitlements import GrantSource, GrantState
from hub.domain.orders import FulfilmentStatus
from hub.domain.people import Viewer
from hub.domain.refusals import IdentityTaken, InvalidInput, NotFound, StateConflict
from hub.domain.requests import Answer
from hub.flows import entitlements, people, transfers
from hub.flows.transfers import Recipient
from tests.flows.benches import Bench
from tests.flows.test_claims import NOBODY, rights
from tests.flows.test_wallets import linked
from tests.wallets import account
from tests.world import SECOND_US, operator, partner


async def on_sale(bench: Bench, *, is_transferable: bool = True) -> Listing:
    listing = await bench.world.listing()
    answer = await transfers.set_policy(
        bench.hub, operator(), course_id=listing.course_id, is_transferable=is_transferable
    )
    assert answer.refusal is None
    return listing


async def right_of(bench: Bench, viewer: Viewer, listing: Listing) -> str | None:
    assert viewer.user_id is not None
    async with bench.store.reading() as rx:
        right = await rx.entitlements.of(viewer.user_id, listing.course_id)
    return None if right is None else right.id


async def handed(bench: Bench, giver: Viewer, listing: Listing, number: int, key: str = "t-1") -> Answer[Any]:
    """To whoever has linked the wallet of that number."""
    right = await right_of(bench, giver, listing)
    assert right is not None
    return await transfers.transfer(
        bench.hub, giver, entitlement_id=right, to=Recipient(account(number).address), idempotency_key=key
    )


async def holders(bench: Bench, listing: Listing, *viewers: Viewer) -> list[bool]:
    """Who has access now, by the domain's own rule over the grants."""
    return [
        any(grant.is_open(bench.clock.now_us()) for grant in await bench.grants(str(viewer.user_id), listing.course_id))
        for viewer in viewers
    ]


async def sold(bench: Bench, *, is_transferable: bool = True) -> tuple[Listing, Viewer, Viewer]:
    """A right of the first of two people, each with the wallet of their number: 1 and 2."""
    listing = await on_sale(bench, is_transferable=is_transferable)
    mine, theirs = await bench.world.learner(), await bench.world.learner()
    await linked(bench, mine, 1)
    await linked(bench, theirs, 2)
    assert (await bench.buy(mine, listing)).refusal is None
    return listing, mine, theirs


async def test_right_goes_to_the_other_person_with_its_term(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    await bench.record()
    answer = await handed(bench, mine, listing, 2)
    assert (answer.refusal, answer.is_replay) == (None, False)
    assert await holders(bench, listing, mine, theirs) == [False, True]
    [former], [given] = [await bench.grants(str(one.user_id), listing.course_id) for one in (mine, theirs)]
    assert (former.state, given.state) == (GrantState.TRANSFERRED, GrantState.ACTIVE)
    assert given.source is GrantSource.TRANSFER
    assert (given.starts_at_us, given.ends_at_us) == (former.starts_at_us, former.ends_at_us)
    assert await rights(bench) == [(NOBODY, True), (account(2).address, False)]
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    former_root, _ = bench.chain.roots
    assert bench.chain.revoked == {(former_root, 0)}
    [order] = await bench.rows("SELECT fulfilment_status FROM order_")
    assert order == (FulfilmentStatus.FULFILLED,)
    assert await bench.rows("SELECT key FROM task WHERE kind = 'revoke_leaf'") == []
    standing = await bench.rows("SELECT attempt_id IS NOT NULL, token_id <> '0' FROM leaf WHERE is_superseded = 0")
    assert sorted(map(tuple, standing)) == [(False, True), (True, False)], "the payment stays recorded, once"


async def test_there_and_back_again_leaves_one_live_holder(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    for key, giver, number in (("t-1", mine, 2), ("t-2", theirs, 1), ("t-3", mine, 2)):
        assert (await handed(bench, giver, listing, number, key)).refusal is None
        assert sorted(await holders(bench, listing, mine, theirs)) == [False, True]
    assert await holders(bench, listing, mine, theirs) == [False, True]
    assert [leaf for leaf in await rights(bench) if not leaf[1]] == [(account(2).address, False)]
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    live = await bench.rows("SELECT index_ FROM leaf WHERE token_id <> '0' AND is_superseded = 0")
    dead = await bench.rows("SELECT index_ FROM leaf WHERE token_id <> '0' AND is_superseded = 1")
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, index) for (index,) in dead}
    assert len(live) == 1


async def test_same_key_again_hands_nothing_on_twice(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    await handed(bench, mine, listing, 2)
    again = await handed(bench, mine, listing, 2)
    assert (again.refusal, again.is_replay) == (None, True)
    assert await holders(bench, listing, mine, theirs) == [False, True]
    refused = await handed(bench, mine, listing, 2, "t-2")
    assert refused.refusal == StateConflict("ENDED", "entitlementTransfer")


async def test_to_oneself_is_refused(bench: Bench) -> None:
    listing, mine, _ = await sold(bench)
    answer = await handed(bench, mine, listing, 1)
    assert isinstance(answer.refusal, InvalidInput)
    assert await holders(bench, listing, mine) == [True]
    assert await rights(bench) == [(NOBODY, False)]


async def test_course_whose_rights_may_not_be_handed_on(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench, is_transferable=False)
    answer = await handed(bench, mine, listing, 2)
    assert answer.refusal == StateConflict("NOT_TRANSFERABLE", "entitlementTransfer")
    assert await holders(bench, listing, mine, theirs) == [True, False]


async def test_recipient_or_right_that_is_not_there(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    assert (await handed(bench, mine, listing, 7)).refusal == NotFound("to")
    right = await right_of(bench, mine, listing)
    assert right is not None
    stolen = await transfers.transfer(
        bench.hub, theirs, entitlement_id=right, to=Recipient(account(2).address), idempotency_key="t-9"
    )
    assert stolen.refusal == NotFound("entitlementId")
    nobody = Recipient(None, listing.platform_id, "m-none")
    answer = await transfers.transfer(bench.hub, mine, entitlement_id=right, to=nobody, idempotency_key="t-8")
    assert answer.refusal == NotFound("to")
    assert await holders(bench, listing, mine, theirs) == [True, False]


async def test_member_of_a_platform_gets_it_without_holder(bench: Bench) -> None:
    listing, mine, _ = await sold(bench)
    platform = await bench.world.platform()
    user = await bench.world.user()
    await bench.world.member(platform, user, "m-7")
    right = await right_of(bench, mine, listing)
    assert right is not None
    to = Recipient(None, platform.id, "m-7")
    answer = await transfers.transfer(bench.hub, mine, entitlement_id=right, to=to, idempotency_key="t-1")
    assert answer.refusal is None
    assert [grant.state for grant in await bench.grants(user.id, listing.course_id)] == [GrantState.ACTIVE]
    assert await rights(bench) == [(NOBODY, True), (NOBODY, False)]


async def gift(bench: Bench, giver: Viewer, listing: Listing, to: Recipient, key: str = "g-1") -> Answer[Any]:
    right = await right_of(bench, giver, listing)
    assert right is not None
    return await transfers.transfer(bench.hub, giver, entitlement_id=right, to=to, idempotency_key=key)


async def test_gift_waits_for_somebody_whom_the_hub_did_not_know(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    platform = await bench.world.platform("kan")
    to = Recipient(None, platform.id, "m-new", may_be_new=True)
    assert (await gift(bench, mine, listing, to)).refusal is None
    [(waiting, state)] = await bench.rows("SELECT u.id, u.state FROM user_ u JOIN member m ON m.user_id = u.id")
    assert state == "PROVISIONAL"
    assert [grant.state for grant in await bench.grants(waiting, listing.course_id)] == [GrantState.ACTIVE]
    assert await holders(bench, listing, mine) == [False]
    upserted = await people.upsert_member(bench.hub, partner(platform), external_id="m-new")
    assert (upserted.is_replay, upserted.value and upserted.value.user_id) == (True, waiting)
    token = bench.tokens.issue_user_token(str(theirs.user_id), bench.clock.now_us(), 60)
    linked_ = await people.link_identity(bench.hub, partner(platform), external_id="m-new", user_token=token)
    assert (linked_.refusal, linked_.value and linked_.value.user_id) == (None, theirs.user_id)
    assert await holders(bench, listing, mine, theirs) == [False, True]
    assert [grant.state for grant in await bench.grants(waiting, listing.course_id)] == [GrantState.TRANSFERRED]
    assert [leaf for leaf in await rights(bench) if not leaf[1]] == [(NOBODY, False)]


async def test_gift_to_an_account_that_was_removed_or_is_no_name_goes_nowhere(bench: Bench) -> None:
    listing, mine, _ = await sold(bench)
    platform = await bench.world.platform("kan")
    await people.upsert_member(bench.hub, partner(platform), external_id="m-gone")
    await people.remove_member(bench.hub, partner(platform), external_id="m-gone")
    gone = Recipient(None, platform.id, "m-gone", may_be_new=True)
    assert (await gift(bench, mine, listing, gone)).refusal == NotFound("to")
    blank = await gift(bench, mine, listing, replace(gone, external_id=" "), "g-2")
    assert isinstance(blank.refusal, InvalidInput)
    assert blank.refusal.path == ("input", "to", "member", "externalId")
    assert await holders(bench, listing, mine) == [True]


async def test_right_that_has_ended_makes_nobody_known(bench: Bench) -> None:
    listing, mine, _ = await sold(bench)
    await handed(bench, mine, listing, 2)
    platform = await bench.world.platform("kan")
    answer = await gift(bench, mine, listing, Recipient(None, platform.id, "m-new", may_be_new=True))
    assert answer.refusal == StateConflict("ENDED", "entitlementTransfer")
    assert await bench.one("SELECT count(*) FROM member") == 0


async def test_suspended_gift_keeps_its_account_where_it_is(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    platform = await bench.world.platform("kan")
    await gift(bench, mine, listing, Recipient(None, platform.id, "m-new", may_be_new=True))

    async def suspend(tx: Any) -> None:
        from sqlalchemy import text

        await tx.run(text("UPDATE grant_ SET state = 'SUSPENDED', suspended_by = 'dsp_1' WHERE source = 'TRANSFER'"))

    await bench.store.write(suspend)
    token = bench.tokens.issue_user_token(str(theirs.user_id), bench.clock.now_us(), 60)
    answer = await people.link_identity(bench.hub, partner(platform), external_id="m-new", user_token=token)
    assert answer.refusal == IdentityTaken()


async def test_expired_right_is_not_handed_on(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    ended = bench.clock.now_us() - 1

    async def expire(tx: Any) -> None:
        from sqlalchemy import text

        await tx.run(text(f"UPDATE grant_ SET ends_at_us = {ended}, starts_at_us = 0"))

    await bench.store.write(expire)
    answer = await handed(bench, mine, listing, 2)
    assert isinstance(answer.refusal, StateConflict)
    assert await holders(bench, listing, mine, theirs) == [False, False]
    assert await rights(bench) == [(NOBODY, False)]


async def test_what_ends_the_order_ends_the_right_wherever_it_went(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    await handed(bench, mine, listing, 2)
    right = await right_of(bench, theirs, listing)
    assert right is not None
    await entitlements.revoke(bench.hub, operator(), entitlement_id=right, reason="x", idempotency_key="k")
    assert await holders(bench, listing, mine, theirs) == [False, False]
    [(status,)] = await bench.rows("SELECT fulfilment_status FROM order_")
    assert status == FulfilmentStatus.REVOKED
    await bench.record()
    bench.clock.pass_us(2 * SECOND_US)
    await bench.work()
    places = await bench.rows("SELECT index_ FROM leaf WHERE token_id <> '0'")
    [root] = bench.chain.roots
    assert bench.chain.revoked == {(root, index) for (index,) in places}


async def test_transfers_and_an_end_at_once_leave_at_most_one_holder(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    third = await bench.world.learner()
    await linked(bench, third, 3)
    right = await right_of(bench, mine, listing)
    assert right is not None

    async def hand(number: int) -> Answer[Any]:
        return await transfers.transfer(
            bench.rival(f"p-{number}").hub, mine, entitlement_id=right, to=Recipient(account(number).address),
            idempotency_key=f"t-{number}",
        )  # fmt: skip

    ending = entitlements.revoke(
        bench.rival("staff").hub, operator(), entitlement_id=right, reason="x", idempotency_key="k"
    )
    await asyncio.gather(hand(2), hand(3), ending)
    assert sum(await holders(bench, listing, mine, theirs, third)) <= 1
    live = await bench.one("SELECT count(*) FROM grant_ WHERE state = 'ACTIVE'")
    standing = await bench.one("SELECT count(*) FROM leaf WHERE token_id <> '0' AND is_superseded = 0")
    assert (live <= 1, standing) == (True, 1)


async def test_database_keeps_a_second_live_holder_out(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    [grant] = await bench.grants(str(mine.user_id), listing.course_id)

    async def double(tx: Any) -> bool:
        right = await tx.entitlements.touch(bench.world.right(str(theirs.user_id), listing.course_id))
        second = replace(grant, id="grt_2", entitlement_id=right.id, source=GrantSource.TRANSFER)
        return bool(await tx.entitlements.add_grant(second))

    assert await bench.store.write(double) is False


@pytest.mark.parametrize("is_maker", [True, False])
async def test_platform_that_the_course_came_from_says_whether(bench: Bench, is_maker: bool) -> None:
    listing = await bench.world.listing()
    platform = await bench.world.platform("xue" if is_maker else "bo")
    answer = await transfers.set_policy(bench.hub, partner(platform), course_id=listing.course_id, is_transferable=True)
    assert answer.refusal == (None if is_maker else NotFound("courseId"))
    async with bench.store.reading() as rx:
        assert await rx.catalogue.is_transferable(listing.course_id) is is_maker
