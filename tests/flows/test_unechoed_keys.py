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
