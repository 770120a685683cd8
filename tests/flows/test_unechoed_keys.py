"""Disputes of a provider that does not echo our key, such as Stripe: found by the charge that they are about."""

import hashlib
from dataclasses import replace

from hub.domain.disputes import DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import Notice, Outcome, PaymentAttempt, Stage
from hub.flows import notices
from hub.ports import RawNotice
from tests.flows.benches import Bench
from tests.flows.scripted import NOTICES, PENDING, charged, delivery, result
from tests.world import SECOND_US

WORD = DisputeWord("dp_1", DisputeState.NEEDS_RESPONSE, Money(9900, "CNY"), "fraudulent", None)


def unechoed(charge: str | None, event_id: str = "evt-dp") -> RawNotice:
    """A notice about a dispute that names the charge alone."""
    told = replace(result(Outcome.DONE), stage=Stage.NONE, movement_ref=charge)
    digest = hashlib.sha256(repr((event_id, charge)).encode()).digest()
    NOTICES[digest] = Notice(event_id, "", told, digest, "dispute", dispute=WORD)
    return RawNotice({}, digest)


def foreign_refund(charge: str, event_id: str = "evt-re", name: str = "re_1") -> RawNotice:
    """A notice about a refund that was made in the provider's dashboard: it names the charge and itself."""
    told = result(Outcome.DONE, Stage.REFUNDED, Money(500, "CNY"), movement_ref=charge)
    digest = hashlib.sha256(repr((event_id, charge)).encode()).digest()
    NOTICES[digest] = Notice(event_id, "", told, digest, "refund.created", refund_key=name)
    return RawNotice({}, digest)


def paid(attempt: PaymentAttempt) -> RawNotice:
    return delivery("evt-paid", attempt.key, replace(charged(attempt), movement_ref="ch_1"))


async def inbox(bench: Bench) -> list[tuple[str, str]]:
    return [(event, state) for event, state in await bench.rows("SELECT event_id, state FROM notice_inbox ORDER BY 1")]


async def test_dispute_is_found_by_the_charge_that_we_booked(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    await notices.receive(bench.hub, "sandbox", paid(attempt))
    for _ in range(2):
        assert (await notices.receive(bench.hub, "sandbox", unechoed("ch_1"))).status == 200

    assert await bench.rows("SELECT attempt_id, state FROM dispute") == [(attempt.id, "NEEDS_RESPONSE")]
    assert await inbox(bench) == [("evt-dp", "APPLIED"), ("evt-paid", "APPLIED")]


async def test_dispute_before_its_charge_waits_for_it(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    await notices.receive(bench.hub, "sandbox", unechoed("ch_1"))
    assert await inbox(bench) == [("evt-dp", "WAITING")]

    await notices.receive(bench.hub, "sandbox", paid(attempt))
    bench.clock.pass_us(10 * SECOND_US)
    await bench.work()

    assert await bench.rows("SELECT attempt_id, state FROM dispute") == [(attempt.id, "NEEDS_RESPONSE")]
    assert await inbox(bench) == [("evt-dp", "APPLIED"), ("evt-paid", "APPLIED")]


async def test_dispute_of_a_charge_that_is_not_ours_is_kept_and_never_applied(bench: Bench) -> None:
    await bench.waiting(told=PENDING)
    await notices.receive(bench.hub, "sandbox", unechoed("ch_of_others"))
    await notices.receive(bench.hub, "sandbox", unechoed(None, "evt-none"))
    bench.clock.pass_us(10 * SECOND_US)
    await bench.work()

    assert await bench.rows("SELECT id FROM dispute") == []
    assert await inbox(bench) == [("evt-dp", "WAITING"), ("evt-none", "WAITING")]


async def test_what_was_never_ours_is_ignored_after_a_day_and_says_why(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    bench.channel.then("query", *[PENDING] * 60)
    await notices.receive(bench.hub, "sandbox", unechoed("ch_of_others"))
    await notices.receive(bench.hub, "sandbox", foreign_refund("ch_of_others"))
    await notices.receive(bench.hub, "sandbox", delivery("evt-named", "TB-of-others-1", charged(attempt)))
    for _ in range(24):
        assert dict(await inbox(bench)) == dict.fromkeys(("evt-dp", "evt-re", "evt-named"), "WAITING")
        bench.clock.pass_us(3600 * SECOND_US)
        await bench.work()
    bench.clock.pass_us(3600 * SECOND_US)
    await bench.work()
    assert await inbox(bench) == [("evt-dp", "IGNORED"), ("evt-named", "WAITING"), ("evt-re", "IGNORED")]
    async with bench.store.reading() as rx:
        why = {one.event_id: one.reason for one in await rx.notices.listed(None, 9)}
    assert why["evt-named"] is None
    assert str(why["evt-dp"]).startswith("it names no payment of this hub")
    assert await bench.rows("SELECT key FROM task WHERE kind = 'apply_notice'") == [
        (one,) for (one,) in await bench.rows("SELECT id FROM notice_inbox WHERE event_id = 'evt-named'")
    ]
    assert await notices.take_up(bench.hub) == 0
    assert await bench.break_kinds() == []


async def test_what_was_ignored_is_taken_up_once_its_charge_is_known(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    bench.channel.then("query", *[PENDING] * 60)
    await notices.receive(bench.hub, "sandbox", unechoed("ch_1"))
    await notices.receive(bench.hub, "sandbox", foreign_refund("ch_1"))
    for hours in (25, 1):
        bench.clock.pass_us(hours * 3600 * SECOND_US)
        await bench.work()
    assert await inbox(bench) == [("evt-dp", "IGNORED"), ("evt-re", "IGNORED")]
    await notices.receive(bench.hub, "sandbox", paid(attempt))
    assert [await notices.take_up(bench.hub) for _ in range(2)] == [2, 0]
    assert await bench.rows("SELECT attempt_id, state FROM dispute") == [(attempt.id, "NEEDS_RESPONSE")]
    assert await bench.break_kinds() == ["MISSING_LOCALLY"]
    assert {state for _, state in await inbox(bench)} == {"APPLIED"}


async def test_refund_made_in_the_dashboard_is_shown_at_once_and_once(bench: Bench) -> None:
    _, attempt = await bench.waiting(told=PENDING)
    await notices.receive(bench.hub, "sandbox", paid(attempt))
    for event in ("evt-created", "evt-updated", "evt-updated"):
        assert (await notices.receive(bench.hub, "sandbox", foreign_refund("ch_1", event))).status == 200
    [found] = await bench.breaks()
    assert (found.kind, found.subject_id, found.order_id) == ("MISSING_LOCALLY", "sandbox/re_1", attempt.order_id)
    assert found.detail == f"sandbox gives 500 CNY of {attempt.key} back, as re_1, which nobody here has asked for"
    assert await bench.rows("SELECT channel, reference, attempt_id, amount_minor FROM foreign_refund") == [
        ("sandbox", "re_1", attempt.id, 500)
    ]
