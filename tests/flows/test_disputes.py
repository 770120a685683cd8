"""Disputes: held, released or lost once, the right suspended, back or revoked; in whatever order the words come."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from hub.domain.catalogue import Listing
from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.orders import FulfilmentStatus, Order
from hub.domain.payments import PaymentAttempt
from hub.domain.people import Viewer
from hub.flows import access, disputes, entitlements, notices
from hub.ports import RawNotice
from tests.flows.benches import Bench
from tests.flows.scripted import PENDING, ScriptedPlatform, charged, contested, delivery
from tests.world import SECOND_US, START_US, operator

S = DisputeState
DAY_US = 24 * 3600 * SECOND_US


def word(state: DisputeState, amount_minor: int = 9900, **more: object) -> DisputeWord:
    told = {"channel_ref": "dp_1", "reason": "fraudulent", "evidence_due_at_us": None, "fee": None} | more
    return DisputeWord(state=state, amount=Money(amount_minor, "CNY"), **told)  # type: ignore[arg-type]  # fields are given by name


async def bought(
    bench: Bench, viewer: Viewer | None = None, listing: Listing | None = None
) -> tuple[Order, PaymentAttempt]:
    """A course that was paid, with a platform that honours it."""
    bench.platforms.setdefault("xue", ScriptedPlatform("xue"))
    order, attempt = await bench.waiting(viewer, listing, told=PENDING)
    await notices.receive(bench.hub, "sandbox", paid(attempt))
    return await bench.order_now(order.id), attempt


def paid(attempt: PaymentAttempt) -> RawNotice:
    return delivery(f"evt-paid {attempt.key}", attempt.key, charged(attempt))


async def tell(bench: Bench, attempt: PaymentAttempt, told: DisputeWord, at_us: int | None = None) -> None:
    ack = await notices.receive(bench.hub, "sandbox", contested(attempt, told, at_us))
    assert ack.status == 200


async def right(bench: Bench, order: Order) -> tuple[list[str], str]:
    """(states of the grants, state of the entitlement)"""
    grants = [grant.state.value for grant in await bench.grants(order.user_id, order.course_id)]
    return grants, str(await bench.one(f"SELECT state FROM entitlement WHERE user_id = '{order.user_id}'"))


async def dispute_row(bench: Bench) -> tuple[str, int, int, int]:
    [row] = await bench.rows("SELECT state, held_minor, deducted_minor, excess_minor FROM dispute")
    return (row[0], row[1], row[2], row[3])


async def books(bench: Bench, order: Order) -> dict[str, int]:
    """Credits less debits of all that a dispute moves, without what is empty."""
    await bench.assert_books_fold()
    dispute_id = await bench.one("SELECT id FROM dispute")
    accounts = {
        "clearing": "channel:sandbox:clearing", "escrow": f"order:{order.id}:escrow",
        "dispute": f"dispute:{dispute_id}", "suspense": "suspense:sandbox", "cost": "cost:channel:sandbox",
    }  # fmt: skip
    found = {name: await bench.balance(address) for name, address in accounts.items()}
    return {name: amount for name, amount in found.items() if amount}


async def reservations(bench: Bench) -> list[str]:
    return [state for (state,) in await bench.rows("SELECT state FROM reservation ORDER BY state")]


# ---- one dispute, told in order --------------------------------------------------------------------------------------


async def test_a_warning_moves_no_money_and_suspends_nothing(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.EARLY_WARNING))
    assert await dispute_row(bench) == ("EARLY_WARNING", 0, 0, 0)
    assert await right(bench, order) == (["ACTIVE"], "ACTIVE")
    assert await books(bench, order) == {"clearing": -9900, "escrow": 9900}


async def test_an_open_dispute_holds_the_money_and_suspends_the_right(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    assert await dispute_row(bench) == ("NEEDS_RESPONSE", 9900, 0, 0)
    assert await right(bench, order) == (["SUSPENDED"], "SUSPENDED")
    assert await books(bench, order) == {"escrow": 9900, "dispute": -9900}
    assert await reservations(bench) == ["PENDING"]
    assert await bench.one("SELECT count(*) FROM task WHERE kind = 'revoke_leaf'") == 0
    assert (await bench.order_now(order.id)).fulfilment_status is FulfilmentStatus.FULFILLED


async def test_a_right_that_comes_after_its_dispute_is_held_back_all_the_same(bench: Bench) -> None:
    """Of two parts the first is disputed before the second pays the order."""
    order, attempt = await bench.waiting(told=PENDING)
    for number, amount_minor in enumerate((4900, 5000)):
        part = charged(attempt, amount=Money(amount_minor, "CNY"), movement_ref=f"ch_{number}")
        await notices.receive(bench.hub, "sandbox", delivery(f"evt-part {number}", attempt.key, part))
        if not number:
            await tell(bench, attempt, word(S.NEEDS_RESPONSE, 4900))
    assert (await bench.order_now(order.id)).status == "PAID"
    assert await right(bench, order) == (["SUSPENDED"], "SUSPENDED")
    await tell(bench, attempt, word(S.WON, 4900))
    assert await right(bench, order) == (["ACTIVE"], "ACTIVE")


@pytest.mark.parametrize("end", [S.WON, S.PREVENTED])
async def test_a_dispute_that_ends_well_releases_the_money_and_the_right_stands_again(
    bench: Bench, end: DisputeState
) -> None:
    order, attempt = await bought(bench)
    for state in (S.NEEDS_RESPONSE, S.UNDER_REVIEW, end):
        await tell(bench, attempt, word(state))
    assert await dispute_row(bench) == (end.value, 0, 0, 0)
    assert await right(bench, order) == (["ACTIVE"], "ACTIVE")
    assert await books(bench, order) == {"clearing": -9900, "escrow": 9900}
    assert await reservations(bench) == ["VOIDED"]
    told = [kind for kind in await bench.events(order.user_id) if kind.startswith("ENTITLEMENT")]
    assert told == ["ENTITLEMENT_GRANTED", "ENTITLEMENT_SUSPENDED", "ENTITLEMENT_RESUMED"]


@pytest.mark.parametrize("end", [S.LOST, S.ACCEPTED])
async def test_a_lost_dispute_is_deducted_once_and_ends_the_right(bench: Bench, end: DisputeState) -> None:
    order, attempt = await bought(bench)
    for state in (S.NEEDS_RESPONSE, end, end, S.NEEDS_RESPONSE, S.EARLY_WARNING):
        await tell(bench, attempt, word(state))
    assert await dispute_row(bench) == (end.value, 0, 9900, 0)
    assert await right(bench, order) == (["REVOKED"], "ENDED")
    assert await books(bench, order) == {}
    assert await reservations(bench) == ["POSTED"]
    assert await bench.one("SELECT count(*) FROM task WHERE kind = 'revoke_leaf'") == 1
    assert (await bench.order_now(order.id)).fulfilment_status is FulfilmentStatus.REVOKED


async def test_the_fee_is_booked_apart_and_corrected_by_a_new_entry(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, fee=Money(1500, "CNY")))
    await tell(bench, attempt, word(S.UNDER_REVIEW, fee=Money(1500, "CNY")))
    assert await books(bench, order) == {"clearing": 1500, "escrow": 9900, "dispute": -9900, "cost": -1500}
    await tell(bench, attempt, word(S.WON, fee=Money(1600, "CNY")))
    assert await books(bench, order) == {"clearing": -8300, "escrow": 9900, "cost": -1600}


# ---- in any order ----------------------------------------------------------------------------------------------------

WORDS = [
    (word(S.EARLY_WARNING), 5), (word(S.NEEDS_RESPONSE, evidence_due_at_us=START_US + 7 * DAY_US), 1),
    (word(S.UNDER_REVIEW), None), (word(S.WON), 3), (word(S.LOST, fee=Money(1500, "CNY")), 4),
]  # fmt: skip


def orders_of_arrival(is_embedded: bool) -> list[Sequence[int]]:
    every = list(permutations(range(len(WORDS))))
    return every if is_embedded else every[::17]


async def test_any_order_of_arrival_doubled_ends_the_same(bench: Bench) -> None:
    """All 120 orders, each word told twice: one projection, the same balances, one grant."""
    seen = set()
    for arrival in orders_of_arrival(bench.is_embedded)[:: 3 if bench.is_embedded else 1]:
        viewer, listing = await bench.world.learner(), await bench.world.listing()
        order, attempt = await bought(bench, viewer, listing)
        for index in [*arrival, *arrival]:
            told, at = WORDS[index]
            ref = f"dp {attempt.key}"
            told = DisputeWord(ref, told.state, told.amount, told.reason, told.evidence_due_at_us, told.fee)
            await tell(bench, attempt, told, None if at is None else START_US + at)
        [row] = await bench.rows(
            "SELECT id, state, held_minor, deducted_minor, excess_minor, evidence_due_at_us - "
            f"{START_US}, fee_minor, reservation FROM dispute WHERE order_id = '{order.id}'"
        )
        grants = tuple(grant.state for grant in await bench.grants(order.user_id, order.course_id))
        escrow = await bench.balance(f"order:{order.id}:escrow")
        held = await bench.balance(f"dispute:{row[0]}")
        fulfilled = (await bench.order_now(order.id)).fulfilment_status
        pending = await bench.one(
            f"SELECT count(*) FROM reservation WHERE order_id = '{order.id}' AND state = 'PENDING'"
        )
        seen.add((*row[1:], grants, escrow, held, fulfilled, pending))
    assert seen == {("LOST", 0, 9900, 0, 7 * DAY_US, 1500, None, ("REVOKED",), 0, 0, "REVOKED", 0)}
    assert await bench.break_kinds() == []
    await bench.assert_books_fold()


async def test_a_dispute_told_before_its_charge_waits_for_it(bench: Bench) -> None:
    order, attempt = await bench.waiting(told=PENDING)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    assert await bench.rows("SELECT state FROM notice_inbox") == [("WAITING",)]
    await notices.receive(bench.hub, "sandbox", paid(attempt))
    bench.clock.pass_us(SECOND_US)
    await bench.work()
    assert await right(bench, order) == (["SUSPENDED"], "SUSPENDED")
    assert {state for (state,) in await bench.rows("SELECT state FROM notice_inbox")} == {"APPLIED"}


async def test_a_loss_that_the_bank_takes_back_restores_money_and_right_with_a_new_leaf(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await bench.record()
    await tell(bench, attempt, word(S.LOST), START_US + 1)
    bench.clock.pass_us(SECOND_US)
    await bench.record()
    assert len(bench.chain.revoked) == 1
    await tell(bench, attempt, word(S.WON), START_US + 2)
    assert await dispute_row(bench) == ("WON", 0, 0, 0)
    assert await right(bench, order) == (["ACTIVE"], "ACTIVE")
    assert await books(bench, order) == {"clearing": -9900, "escrow": 9900}
    bench.clock.pass_us(10 * SECOND_US)
    await bench.record()
    leaves = await bench.rows("SELECT is_superseded FROM leaf WHERE token_id <> '0' ORDER BY is_superseded")
    assert leaves == [(0,), (1,)]
    assert len(bench.chain.revoked) == 1


# ---- more than one thing at once -------------------------------------------------------------------------------------


async def test_two_disputes_of_one_charge_take_no_more_than_it_had(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.LOST, 6000))
    await tell(bench, attempt, word(S.LOST, 6000, channel_ref="dp_2"))
    rows = await bench.rows("SELECT deducted_minor, excess_minor FROM dispute ORDER BY channel_ref")
    assert rows == [(6000, 0), (3900, 2100)]
    assert await bench.balance(f"order:{order.id}:escrow") == 0
    assert await bench.balance("suspense:sandbox") == -2100
    assert await bench.break_kinds() == ["DUPLICATE"]
    await bench.assert_books_fold()


async def test_a_right_stands_again_once_no_dispute_holds_it_back(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, 5000))
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, 4900, channel_ref="dp_2"))
    await tell(bench, attempt, word(S.WON, 5000))
    assert await right(bench, order) == (["SUSPENDED"], "SUSPENDED")
    await tell(bench, attempt, word(S.WON, 4900, channel_ref="dp_2"))
    assert await right(bench, order) == (["ACTIVE"], "ACTIVE")


async def test_losing_one_of_two_grants_keeps_access_and_losing_the_last_ends_it(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    bench.platforms["xue"] = ScriptedPlatform("xue")
    both = [await bench.order(viewer, listing, key=f"order-{n}") for n in (1, 2)]  # before either is paid
    attempts = []
    for order in both:
        bench.channel.then("create", PENDING)
        answer = await bench.pay(viewer, order, key=f"pay {order.id}")
        assert answer.value is not None
        attempts.append(answer.value)
    for attempt in attempts:
        await notices.receive(bench.hub, "sandbox", paid(attempt))
    await tell(bench, attempts[0], word(S.LOST))
    assert await right(bench, both[0]) == (["REVOKED", "ACTIVE"], "ACTIVE")
    await bench.store.stamp()
    await access.gather(bench.hub)
    await bench.work()
    assert bench.platforms["xue"].opened == {listing.external_id}
    await tell(bench, attempts[1], word(S.LOST, channel_ref="dp_2"))
    assert await right(bench, both[0]) == (["REVOKED", "REVOKED"], "ENDED")
    await bench.store.stamp()
    await access.gather(bench.hub)
    await bench.work()
    assert bench.platforms["xue"].opened == set()


async def test_what_staff_have_ended_no_won_dispute_brings_back(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    entitlement_id = await bench.one("SELECT id FROM entitlement")
    await entitlements.revoke(
        bench.hub, operator(), entitlement_id=entitlement_id, reason="fraud", idempotency_key="revoke-1"
    )
    await tell(bench, attempt, word(S.WON))
    assert await right(bench, order) == (["REVOKED"], "ENDED")


async def test_one_state_told_with_two_amounts_opens_a_break(bench: Bench) -> None:
    _, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, 9900), START_US + 1)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, 5000), START_US + 2)
    assert await dispute_row(bench) == ("NEEDS_RESPONSE", 5000, 0, 0)
    assert await bench.break_kinds() == ["AMOUNT"]


# ---- platforms, and the deadline -------------------------------------------------------------------------------------


async def test_platforms_close_on_suspension_and_open_again(bench: Bench) -> None:
    _, attempt = await bought(bench)

    async def opened() -> bool:
        await bench.store.stamp()
        await access.gather(bench.hub)
        await bench.work()
        return bool(bench.platforms["xue"].opened)

    assert await opened()
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    assert not await opened()
    await tell(bench, attempt, word(S.WON))
    assert await opened()


async def test_the_deadline_for_evidence_is_warned_of_before_and_after_it(bench: Bench) -> None:
    _, attempt = await bought(bench)
    due_us = START_US + 7 * DAY_US
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, evidence_due_at_us=due_us))
    platform = (await bench.world.platform("xue")).id

    async def due() -> int:
        await bench.work()
        return (await bench.events(platform)).count("DISPUTE_DUE")

    assert await due() == 0
    bench.clock.pass_us(5 * DAY_US)
    assert [await due(), await due()] == [1, 1]
    bench.clock.pass_us(2 * DAY_US)
    assert [await due(), await due()] == [2, 2]
    assert await bench.rows("SELECT kind FROM task WHERE kind = 'dispute_due'") == []


async def test_a_dispute_that_was_answered_in_time_is_not_warned_of(bench: Bench) -> None:
    _, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE, evidence_due_at_us=START_US + 7 * DAY_US))
    await tell(bench, attempt, word(S.UNDER_REVIEW))
    bench.clock.pass_us(8 * DAY_US)
    await bench.work()
    assert "DISPUTE_DUE" not in await bench.events()
    assert await bench.rows(f"SELECT kind FROM task WHERE kind = '{disputes.DUE}'") == []


async def test_the_buyer_hears_of_the_right_and_not_of_the_dispute(bench: Bench) -> None:
    order, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    await tell(bench, attempt, word(S.LOST))
    assert [kind for kind in await bench.events(order.user_id) if kind.startswith("DISPUTE")] == []
    seller = await bench.events(order.platform_id)
    assert [kind for kind in seller if kind.startswith("DISPUTE")] == ["DISPUTE_OPENED", "DISPUTE_CHANGED"]
