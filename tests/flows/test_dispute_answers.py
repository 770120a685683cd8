"""Answers to disputes: written down first, sent until somebody knows, taken once."""

from dataclasses import dataclass, field, replace

from hub.domain.breakers import OPEN_AFTER, OPEN_FIRST_US
from hub.domain.disputes import AnswerState, Dispute, DisputeState
from hub.domain.payments import Outcome, PaymentAttempt
from hub.domain.people import Viewer
from hub.domain.requests import Answer
from hub.flows import dispute_answers
from hub.ports import DisputeReply
from tests.flows.benches import Bench, disturbed, taken_up
from tests.flows.scripted import UNKNOWN, ScriptedChannel, result
from tests.flows.test_disputes import bought, tell, word
from tests.world import SECOND_US, operator, partner

S = DisputeState
TAKEN = result(Outcome.DONE)


@dataclass
class AnsweringChannel(ScriptedChannel):
    """One that can be answered; `replies` are given one by one, then it takes everything."""

    replies: list[DisputeReply] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)  # (answer key, evidence)

    async def submit_evidence(self, attempt: PaymentAttempt, dispute: Dispute, evidence: str) -> DisputeReply:
        self.said.append((dispute.answer_key, evidence))
        told = DisputeReply(TAKEN, word(S.UNDER_REVIEW, channel_ref=dispute.channel_ref))
        return self.replies.pop(0) if self.replies else told

    async def accept_dispute(self, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
        self.said.append((dispute.answer_key, "accept"))
        return DisputeReply(TAKEN, word(S.ACCEPTED, channel_ref=dispute.channel_ref))


async def disputed(bench: Bench, *replies: DisputeReply) -> tuple[AnsweringChannel, str, Viewer]:
    """A dispute that needs a response, and its seller."""
    channel = AnsweringChannel(replies=list(replies))
    bench.channel = channel
    _, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    return channel, await bench.one("SELECT id FROM dispute"), partner(await bench.world.platform("xue"))


async def submit(bench: Bench, viewer: Viewer, dispute_id: str, key: str = "key-1") -> Answer[Dispute]:
    return await dispute_answers.submit_evidence(
        bench.hub, viewer, dispute_id=dispute_id, evidence="they opened it daily", idempotency_key=key
    )


async def test_a_key_that_was_revoked_a_moment_ago_answers_no_dispute(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench)
    gone = replace(seller, key_id="key_00000000000000000000000000")
    told = [
        await submit(bench, gone, id_),
        await dispute_answers.accept(bench.hub, gone, dispute_id=id_, idempotency_key="key-2"),
    ]
    assert [one.refusal and one.refusal.code for one in told] == ["STATE_CONFLICT"] * 2
    assert channel.said == []


async def test_evidence_is_sent_once_and_forgotten_when_it_is_taken(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench)
    first, again = await submit(bench, seller, id_), await submit(bench, seller, id_)
    assert first.value is not None
    assert (first.value.state, first.value.answer and first.value.answer.state) == (S.UNDER_REVIEW, AnswerState.TAKEN)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert channel.said == [(f"{id_}-1", "they opened it daily")]
    assert await bench.rows("SELECT answer, answer_evidence FROM dispute") == [("EVIDENCE", None)]
    assert await bench.rows(f"SELECT key FROM task WHERE kind = '{dispute_answers.SEND}'") == []


async def test_giving_in_deducts_the_money_and_ends_the_right(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench)
    answer = await dispute_answers.accept(bench.hub, seller, dispute_id=id_, idempotency_key="key-1")
    assert answer.value is not None
    assert (answer.value.state, answer.value.deducted_minor) == (S.ACCEPTED, 9900)
    assert channel.said == [(f"{id_}-1", "accept")]
    assert await bench.rows("SELECT state FROM entitlement") == [("ENDED",)]


async def test_a_lost_reply_is_asked_for_again_under_the_same_key(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench, DisputeReply(UNKNOWN), DisputeReply(UNKNOWN))
    answer = await submit(bench, seller, id_)
    assert answer.value is not None
    assert answer.value.answer is not None
    assert answer.value.answer.state is AnswerState.SUBMITTED
    second = await submit(bench, seller, id_, key="key-2")
    assert type(second.refusal).__name__ == "StateConflict"
    for seconds in (2, 60):
        bench.clock.pass_us(seconds * SECOND_US)
        await bench.work()
    assert channel.said == [(f"{id_}-1", "they opened it daily")] * 3
    assert await bench.rows("SELECT state, answer_state FROM dispute") == [("UNDER_REVIEW", "TAKEN")]
    assert await bench.rows(f"SELECT key FROM task WHERE kind = '{dispute_answers.SEND}'") == []


async def test_an_answer_that_the_channel_refuses_may_be_given_anew_under_another_key(bench: Bench) -> None:
    no = DisputeReply(result(Outcome.REJECTED, code="too_vague"))
    channel, id_, seller = await disputed(bench, no)
    answer, again = await submit(bench, seller, id_), await submit(bench, seller, id_)
    for told in (answer, again):
        assert type(told.refusal).__name__ == "AnswerRefused"
    assert await bench.rows("SELECT answer_state, answer_code FROM dispute") == [("REFUSED", "too_vague")]
    assert (await submit(bench, seller, id_, key="key-2")).refusal is None
    assert [key for key, _ in channel.said] == [f"{id_}-1", f"{id_}-2"]


async def test_a_late_refusal_does_not_end_an_answer_that_others_have_sent_since(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench, DisputeReply(result(Outcome.REJECTED)), DisputeReply(UNKNOWN))
    others_go_on = taken_up(bench.rival(), 60 * SECOND_US)
    slow = disturbed(bench, dispute_answers.record_dispute_answer, before=others_go_on)
    assert (await submit(slow, seller, id_)).refusal is None
    assert await bench.rows("SELECT answer_state FROM dispute") == [("SUBMITTED",)]
    bench.clock.pass_us(60 * SECOND_US)
    await bench.work()
    assert await bench.rows("SELECT state, answer_state FROM dispute") == [("UNDER_REVIEW", "TAKEN")]
    assert len(channel.said) == 3


async def test_a_channel_that_takes_no_answers_is_said_to_and_nothing_is_sent(bench: Bench) -> None:
    _, attempt = await bought(bench)
    await tell(bench, attempt, word(S.NEEDS_RESPONSE))
    answer = await submit(bench, operator(), await bench.one("SELECT id FROM dispute"))
    assert type(answer.refusal).__name__ == "DisputeElsewhere"
    assert await bench.rows("SELECT answer, answers FROM dispute") == [(None, 0)]


async def test_nobody_answers_for_another_platform_and_nobody_after_the_end(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench)
    stranger = partner(await bench.world.platform("shu"))
    assert type((await submit(bench, stranger, id_)).refusal).__name__ == "NotFound"
    assert type((await submit(bench, seller, f"dsp_{'0' * 26}", key="key-0")).refusal).__name__ == "NotFound"
    await submit(bench, seller, id_)
    assert type((await submit(bench, seller, id_, key="key-2")).refusal).__name__ == "StateConflict"
    assert len(channel.said) == 1


async def test_an_answer_whose_process_died_is_sent_again_by_the_task(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench, DisputeReply(UNKNOWN))

    async def die(*_: object) -> DisputeReply:
        raise KeyboardInterrupt

    channel.submit_evidence = die  # type: ignore[method-assign]  # the process dies over the call
    try:
        await submit(bench, seller, id_)
    except KeyboardInterrupt:
        pass
    del channel.submit_evidence
    bench.clock.pass_us(60 * SECOND_US)
    channel.replies.clear()
    await bench.work()
    assert await bench.rows("SELECT state, answer_state FROM dispute") == [("UNDER_REVIEW", "TAKEN")]
    answer = await submit(bench, seller, id_)
    assert answer.value is not None
    assert len(channel.said) == 1


async def test_an_answer_waits_where_the_channel_takes_none_at_the_moment(bench: Bench) -> None:
    channel, id_, seller = await disputed(bench)
    hub = bench.hub
    for _ in range(OPEN_AFTER):
        admitted = hub.breakers.admit("sandbox", "answer_dispute", bench.clock.now_us())
        hub.breakers.of("sandbox", "answer_dispute").record(admitted, Outcome.UNKNOWN, bench.clock.now_us())

    answer = await dispute_answers.accept(hub, seller, dispute_id=id_, idempotency_key="key-1")
    assert answer.value is not None
    assert (answer.value.state, answer.value.answer and answer.value.answer.state) == (
        S.NEEDS_RESPONSE, AnswerState.SUBMITTED,
    )  # fmt: skip
    assert channel.said == []
    bench.clock.pass_us(OPEN_FIRST_US)
    await bench.work()
    assert [said for _, said in channel.said] == ["accept"]
    assert await bench.rows("SELECT state, answer_state FROM dispute") == [("ACCEPTED", "TAKEN")]
