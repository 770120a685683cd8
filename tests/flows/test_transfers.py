"""Handing a right on: one live holder whatever happens at once, and tokens that agree with the books."""

import asyncio
from contextvars import Context
from dataclasses import replace
from typing import Any

import pytest

from hub.domain.catalogue import Listing, Platform
from hub.domain.contracts import NOBODY
from hub.domain.entitlements import GrantSource, GrantState
from hub.domain.orders import FulfilmentStatus
from hub.domain.people import Viewer
from hub.domain.refusals import InvalidInput, NotFound, StateConflict
from hub.domain.requests import Answer
from hub.flows import entitlements, handing, people, transfers
from hub.flows.transfers import Recipient
from hub.ports import ChainUnavailable
from tests.flows.benches import Bench
from tests.flows.test_claims import rights
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
    await bench.record()
    former_root, *_ = bench.chain.roots
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
    most = 0
    for _ in range(12):
        await bench.record()
        bench.clock.pass_us(2 * SECOND_US)
        most = max(most, len(await on_chain(bench)))
    assert most == 1, "never two at a time"
    live = await bench.rows("SELECT id FROM leaf WHERE token_id <> '0' AND is_superseded = 0")
    assert await on_chain(bench) == live
    assert len(bench.chain.revoked) == 3
    assert await bench.rows("SELECT kind FROM task") == []


async def on_chain(bench: Bench) -> list[Any]:
    """The leaves by which somebody has the right there."""
    placed = await bench.rows(
        "SELECT l.id, b.root, l.index_ FROM leaf l JOIN anchor_batch b ON b.id = l.batch_id WHERE l.token_id <> '0'"
    )
    chain = bench.chain
    return [(id_,) for id_, root, index in placed if root in chain.roots and (root, index) not in chain.revoked]


async def test_new_holder_waits_on_chain_for_the_end_of_the_former_one(bench: Bench) -> None:
    """However long that takes, as where the revoker has no gas: one account anchors, another revokes."""
    listing, mine, _ = await sold(bench)
    await bench.record()
    former = await on_chain(bench)
    assert (await handed(bench, mine, listing, 2)).refusal is None
    revokes = bench.chain.sign_revoke
    bench.chain.sign_revoke = away  # type: ignore[method-assign]  # of this account alone
    for _ in range(3):
        await bench.record()
        bench.clock.pass_us(2 * SECOND_US)
    assert await on_chain(bench) == former
    assert len(bench.chain.roots) == 2, "the batcher goes on: what the payment said is recorded anew"
    bench.chain.sign_revoke = revokes  # type: ignore[method-assign]  # as it was
    for _ in range(4):
        await bench.record()
        bench.clock.pass_us(2 * SECOND_US)
    [now] = await on_chain(bench)
    assert [now] != former
    assert await bench.rows("SELECT id FROM leaf WHERE token_id <> '0' AND is_superseded = 0") == [now]


async def away(*_: Any) -> Any:
    raise ChainUnavailable("no gas")


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
    linked_ = await link(bench, platform, theirs)
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


async def test_suspended_gift_goes_along_and_is_held_back_by_the_same_dispute(bench: Bench) -> None:
    listing, mine, theirs = await sold(bench)
    platform = await bench.world.platform("kan")
    await gift(bench, mine, listing, Recipient(None, platform.id, "m-new", may_be_new=True))
    [(order_id,)] = await bench.rows("SELECT id FROM order_")

    async def move(tx: Any, moves: Any) -> None:
        order = await tx.orders.lock(order_id)
        audiences = await entitlements.audiences_of(tx, order, bench.vault)
        await moves(tx, order, "dsp_1", audiences, bench.world.draw())

    await bench.store.write(move, entitlements.suspend_grants_of)
    linked_ = await link(bench, platform, theirs)
    assert (linked_.refusal, linked_.value and linked_.value.user_id) == (None, theirs.user_id)
    right = await right_of(bench, theirs, listing)
    assert await bench.rows(f"SELECT state FROM entitlement WHERE id = '{right}'") == [("SUSPENDED",)]
    [given] = await bench.grants(str(theirs.user_id), listing.course_id)
    assert (given.state, given.suspended_by) == (GrantState.SUSPENDED, {"dsp_1"})
    await bench.store.stamp()
    told = f"SELECT kind, to_state FROM event WHERE stream = 'hub' AND subject = '{right}' ORDER BY seq"
    assert await bench.rows(told) == [("ENTITLEMENT_SUSPENDED", "SUSPENDED")], "no platform opens the course for it"
    await bench.store.write(move, entitlements.resume_grants_of)
    assert await holders(bench, listing, mine, theirs) == [False, True]
    assert await bench.rows(f"SELECT state FROM entitlement WHERE id = '{right}'") == [("ACTIVE",)]


async def test_account_that_is_linked_while_a_gift_comes_takes_it_along(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is second sees what the first has done: no gift stays with a user that nobody can become."""
    listing, mine, theirs = await sold(bench)
    platform = await bench.world.platform("kan")
    await people.upsert_member(bench.hub, partner(platform), external_id="m-new")
    linking: list[asyncio.Task[Answer[Any]]] = []

    async def overtaken(*call: Any) -> Any:
        if not bench.is_embedded:  # which runs one unit after the other
            linking.append(asyncio.create_task(link(bench.rival(), platform, theirs), context=Context()))
            await asyncio.wait(linking, timeout=0.3)  # it waits for the gift; it would be done by now if it did not
        return await handing.taken_up(*call)

    monkeypatch.setattr(transfers, "taken_up", overtaken)
    assert (await gift(bench, mine, listing, Recipient(None, platform.id, "m-new"))).refusal is None
    linked_ = await (linking[0] if linking else link(bench, platform, theirs))
    assert linked_.refusal is None
    assert await holders(bench, listing, mine, theirs) == [False, True]


async def link(bench: Bench, platform: Platform, whose: Viewer) -> Answer[Any]:
    token = bench.tokens.issue_user_token(str(whose.user_id), bench.clock.now_us(), 60)
    return await people.link_identity(bench.hub, partner(platform), external_id="m-new", user_token=token)


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
    for _ in range(6):
        await bench.record()
        bench.clock.pass_us(2 * SECOND_US)
    assert len(bench.chain.revoked) == await bench.one("SELECT count(*) FROM leaf WHERE token_id <> '0'")
    assert await on_chain(bench) == []


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
