"""Books, and what goes back."""

from dataclasses import replace

import pytest

from hub.domain.disputes import AnswerKind, AnswerState, DisputeAnswer, DisputeState, DisputeWord
from hub.domain.disputes import fact_of as dispute_fact_of
from hub.domain.ledger import ReferenceTaken, Reservation, ReservationEnded, ReservationState, mirrored
from hub.domain.payments import AttemptState, Fact, FactKind, Source
from hub.domain.reconciliation import Break, BreakKind, BreakState
from hub.domain.refunds import LateMoney, Refundable, RefundFact, RefundFactKind, RefundState
from hub.store.disputes import Disputes
from hub.store.facts import Heard
from hub.store.ledger import Balance, Ledger
from hub.store.reconciliation import Breaks
from hub.store.refunds import Refunds
from hub.store.tasks import OpenEnd
from hub.store.transactions import Store, Tx
from tests.store.verbs.calls import left_out
from tests.world import START_US, World


async def test_ledger(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()

    async def unit(tx: Tx) -> None:
        entry = world.entry(order)
        await tx.ledger.post(entry)
        assert await tx.ledger.entries_of(order.id) == [entry.id]
        expected = [
            Balance("channel:sandbox:clearing/CNY", 9900, 0),
            Balance(f"order:{order.id}:escrow/CNY", 0, 9900),
        ]
        assert await tx.ledger.balances() == expected
        assert await tx.ledger.folded() == expected
        assert await tx.ledger.references_of(order.id) == [entry.reference]
        assert await tx.ledger.postings_of(order.id) == list(entry.postings)
        assert await tx.ledger.postings_under(entry.reference) == entry.postings
        promised = Reservation(
            "rsv_1", "refund/1", "refund", order.id, mirrored(entry.postings), ReservationState.PENDING, START_US, None
        )
        await tx.ledger.reserve(promised)
        with pytest.raises(ReferenceTaken):
            await tx.ledger.reserve(replace(promised, id="rsv_2"))
        assert await tx.ledger.reserved_of(order.id) == list(promised.postings)
        ended = await tx.ledger.end("refund/1", ReservationState.POSTED, START_US + 1)
        assert ended == replace(promised, state=ReservationState.POSTED, ended_at_us=START_US + 1)
        for reference in ("refund/1", "refund/2"):
            with pytest.raises(ReservationEnded, match=reference):
                await tx.ledger.end(reference, ReservationState.VOIDED, START_US)
        assert await tx.ledger.reserved_of(order.id) == []
        assert await tx.ledger.reservation("refund/1") == ended
        assert await tx.ledger.reservation("refund/2") is None
        assert await tx.ledger.reservations("", 9) == [ended]

    await store.write(unit)
    assert left_out(Ledger, called) == set()


async def test_disputes(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order, state=AttemptState.CHARGED)
    first = world.dispute(attempt)
    word = DisputeWord("dp_1", DisputeState.NEEDS_RESPONSE, order.total, "fraudulent", START_US + 9, order.total)
    fact = dispute_fact_of("sandbox", word, Source.NOTICE, START_US, START_US + 1)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        assert await tx.disputes.insert(first)
        assert not await tx.disputes.insert(replace(first, id="dsp_2"))
        assert await tx.disputes.by_id(first.id) == await tx.disputes.by_ref("sandbox", "dp_1") == first
        assert await tx.disputes.by_ref("other", "dp_1") is None
        assert await tx.disputes.open_of(order.id) is None
        answer = DisputeAnswer(AnswerKind.EVIDENCE, AnswerState.SUBMITTED, "a receipt")
        opened = replace(first, state=DisputeState.UNDER_REVIEW, fee=order.total, answer=answer, answers=1)
        assert await tx.disputes.update(opened) == replace(opened, version=2) == await tx.disputes.by_id(first.id)
        assert await tx.disputes.open_ends(["answer_dispute"]) == [OpenEnd(opened.answer_key, "SUBMITTED", False)]
        tx.tasks.add("answer_dispute", opened.answer_key, {}, START_US)
        await tx.flush()
        assert await tx.disputes.open_ends(["answer_dispute"]) == [OpenEnd(opened.answer_key, "SUBMITTED", True)]
        assert await tx.disputes.of_order(order.id) == [await tx.disputes.open_of(order.id)]
        assert await tx.disputes.of_orders([order.id]) == await tx.disputes.of_order(order.id)
        assert await tx.disputes.add_fact(first.id, fact)
        assert not await tx.disputes.add_fact(first.id, fact)
        assert await tx.disputes.facts_of([first.id]) == [(first.id, fact)]

    await store.write(unit)
    assert left_out(Disputes, called) == set()


async def test_refunds(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order, state=AttemptState.CHARGED)
    took = Fact("sandbox", "CAPTURED/1", Source.ANSWER, FactKind.CAPTURED, START_US, order.total)
    first = world.refund(attempt, 900)
    told = RefundFact("sandbox", "SUCCEEDED/1", Source.QUERY, RefundFactKind.SUCCEEDED, START_US, first.amount)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        assert await tx.refunds.charges(order.id) == []
        await tx.payments.add_fact(attempt.id, took)
        charge = Refundable(attempt.id, attempt.key, "sandbox", order.total, 0, 0, 0)
        assert await tx.refunds.charges(order.id) == [charge]
        assert await tx.refunds.charges_of([order.id, "ord_other"]) == [(order.id, charge)]
        await tx.refunds.insert(first)
        assert await tx.refunds.charges(order.id) == [replace(charge, reserved_minor=900, refunds=1)]
        assert await tx.refunds.by_id(first.id) == first
        assert await tx.refunds.open_ends(["resolve_refund"]) == [OpenEnd(first.key, first.state, False)]
        assert await tx.refunds.by_key("sandbox", first.key) == first
        assert await tx.refunds.by_key("other", first.key) is None
        assert await tx.refunds.with_attempt(first.id) == (first, attempt)
        foreign = ("sandbox", "re_1", attempt.id, order.total, START_US)
        assert [await tx.refunds.add_foreign(*foreign) for _ in range(2)] == [True, False]
        assert await tx.refunds.of_order(order.id) == await tx.refunds.page("", 9) == [first]
        later = replace(told, provider_at_us=START_US + 5)
        heard = [await tx.refunds.add_fact(first.id, fact) for fact in (told, told, later)]
        assert heard == [Heard.NEW, Heard.SAME, Heard.SAME]
        other = replace(told, amount=replace(first.amount, amount_minor=901))
        assert await tx.refunds.add_fact(first.id, other) is Heard.CONTRADICTED
        assert await tx.refunds.facts_of([first.id]) == [(first.id, later)]
        done = await tx.refunds.update(replace(first, state=RefundState.SUCCEEDED))
        assert (done.version, done.state) == (2, "SUCCEEDED")
        assert await tx.refunds.charges(order.id) == [replace(charge, refunded_minor=900, refunds=1)]
        assert await tx.refunds.open_ends(["resolve_refund"]) == []
        assert await tx.refunds.seller_of(order.merchant_id) == order.platform_id
        assert await tx.refunds.seller_of("mer_none") is None
        assert await tx.refunds.late_money(order.merchant_id) is LateMoney.REFUND
        for wish in (LateMoney.REOPEN, LateMoney.REFUND, LateMoney.REOPEN):
            await tx.refunds.set_late_money(order.merchant_id, wish, START_US)
            assert await tx.refunds.late_money(order.merchant_id) is wish

    await store.write(unit)
    assert left_out(Refunds, called) == set()


async def test_breaks(store: Store, called: set[str]) -> None:
    late = Break("brk_1", BreakKind.LATE_PAYMENT, "pat_1", None, BreakState.OPEN, "9900 CNY too late", START_US)

    async def unit(tx: Tx) -> None:
        assert await tx.breaks.open(late)
        assert not await tx.breaks.open(replace(late, id="brk_2"))
        assert await tx.breaks.listed() == [late]

    await store.write(unit)
    assert left_out(Breaks, called) == set()
