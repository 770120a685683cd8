"""What a merchant says to a dispute: evidence, or that they give in. Written down before the channel is told, once."""

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hub.domain.disputes import AnswerKind, AnswerState, Dispute, DisputeAnswer, DisputeWord
from hub.domain.ids import Draw, fingerprint
from hub.domain.payments import Outcome, PaymentAttempt, Result, Source, Stage, next_query_after_s
from hub.domain.people import Viewer, ViewerKind
from hub.domain.refusals import AnswerRefused, DisputeElsewhere, NotFound, Refusal, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit, disputes
from hub.flows.asking import asked
from hub.flows.keys import key_ended
from hub.flows.tasks import holds, take_over
from hub.ports import AnswersDisputes, DisputeReply, Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

SEND = "answer_dispute"
FIRST_LOOK_US = 2 * 1_000_000  # when an answer that nobody confirmed is sent again for the first time
OPERATIONS = {AnswerKind.EVIDENCE: "disputeSubmitEvidence", AnswerKind.ACCEPT: "disputeAccept"}


async def submit_evidence(
    hub: Hub, viewer: Viewer, *, dispute_id: str, evidence: str, idempotency_key: str
) -> Answer[Dispute]:
    """Send the merchant's evidence. The dispute says how far that is."""
    return await _answer(hub, viewer, dispute_id, DisputeAnswer(AnswerKind.EVIDENCE, _NEW, evidence), idempotency_key)


async def accept(hub: Hub, viewer: Viewer, *, dispute_id: str, idempotency_key: str) -> Answer[Dispute]:
    """Give in: the money is the payer's."""
    return await _answer(hub, viewer, dispute_id, DisputeAnswer(AnswerKind.ACCEPT, _NEW, None), idempotency_key)


_NEW = AnswerState.SUBMITTED


async def _answer(
    hub: Hub, viewer: Viewer, dispute_id: str, said: DisputeAnswer, idempotency_key: str
) -> Answer[Dispute]:
    operation = OPERATIONS[said.kind]
    told = fingerprint(operation, {"disputeId": dispute_id, "evidence": said.evidence})
    key = RequestKey(viewer.principal, operation, idempotency_key, told)
    able = frozenset(code for code, channel in hub.channels.items() if isinstance(channel, AnswersDisputes))
    opened = await hub.store.write(open_dispute_answer, viewer, dispute_id, said, able, key, hub.draw())
    if opened.attempt is None or opened.dispute is None:
        return Answer(opened.dispute, opened.refusal, opened.is_replay)
    reply = await _send(hub, opened.attempt, opened.dispute)
    dispute, refusal = await hub.store.write(
        record_dispute_answer, opened.dispute, reply, key, None, hub.draw(), hub.vault
    )
    return Answer(dispute, refusal)


@dataclass(frozen=True, slots=True)
class Opened:
    """What the first unit came to: an answer to send (`attempt` is set), one from before, or a refusal."""

    dispute: Dispute | None = None
    attempt: PaymentAttempt | None = None
    refusal: Refusal | None = None
    is_replay: bool = False


async def open_dispute_answer(
    tx: "Tx",
    viewer: Viewer,
    dispute_id: str,
    said: DisputeAnswer,
    able: frozenset[str],
    key: RequestKey,
    draw: Draw,
) -> Opened:
    """The answer, SUBMITTED, before any call; `able` are the channels that can be answered."""
    if ended := await key_ended(tx, viewer, key.operation, draw.now_us):
        return Opened(refusal=ended)
    seen = await tx.requests.begin(key, dispute_id, draw)
    dispute = await _held(tx, dispute_id)
    order = None if dispute is None else await tx.orders.lock(dispute.order_id)
    is_theirs = viewer.kind is ViewerKind.OPERATOR or (order is not None and order.platform_id == viewer.platform_id)
    if dispute is None or order is None or not is_theirs:
        await tx.requests.finish(key, NotFound("disputeId"))
        return Opened(refusal=NotFound("disputeId"), is_replay=seen is not None)
    if seen is not None:
        is_resumed = seen.is_dead and dispute.answer is not None and dispute.answer.state is AnswerState.SUBMITTED
        attempt = await tx.payments.by_id(dispute.attempt_id) if is_resumed else None
        if is_resumed:
            await take_over(tx, SEND, dispute.answer_key, _task_of(dispute), draw)
        return Opened(dispute, attempt, seen.refusal, is_replay=not is_resumed)
    refusal: Refusal | None = None
    if not dispute.needs_answer:
        refusal = StateConflict(dispute.state, key.operation)
    elif dispute.channel not in able:
        refusal = DisputeElsewhere(dispute.channel, dispute.channel_ref)
    if refusal is not None:
        await tx.requests.finish(key, refusal)
        return Opened(dispute, refusal=refusal)
    dispute = await tx.disputes.update(replace(dispute, answer=said, answers=dispute.answers + 1))
    tx.tasks.lease(SEND, dispute.answer_key, _task_of(dispute), draw)
    await audit.note_staff(tx, viewer, key.operation, dispute.id, draw, platform_id=order.platform_id)
    return Opened(dispute, await tx.payments.by_id(dispute.attempt_id))


def _task_of(dispute: Dispute) -> dict[str, object]:
    return {"dispute": dispute.id, "number": dispute.answers}


async def _held(tx: "Tx", dispute_id: str) -> Dispute | None:
    """The dispute under its order's lock: read again, as it may have changed before that."""
    dispute = await tx.disputes.by_id(dispute_id)
    if dispute is None:
        return None
    await tx.orders.lock(dispute.order_id)
    return await tx.disputes.by_id(dispute_id)


async def _send(hub: Hub, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
    """One call through the channel's breaker; whatever goes wrong in it, nobody knows whether the answer was taken."""
    channel, said = hub.channels.get(dispute.channel), dispute.answer
    assert said is not None, dispute.id
    if not isinstance(channel, AnswersDisputes):
        nothing = hashlib.sha256(b"").digest()
        code = "channel_not_configured"
        return DisputeReply(Result(Outcome.UNKNOWN, Stage.NONE, nothing, hub.clock.now_us(), code=code))
    word: DisputeWord | None = None

    async def told() -> Result:
        nonlocal word
        if said.kind is AnswerKind.ACCEPT:
            reply = await channel.accept_dispute(attempt, dispute)
        else:
            reply = await channel.submit_evidence(attempt, dispute, said.evidence or "")
        word = reply.word
        return reply.result

    result = await asked(hub, dispute.channel, "answer_dispute", told)
    return DisputeReply(result, word)


_NOT_TAKEN = frozenset({Outcome.DECLINED, Outcome.REJECTED})


async def record_dispute_answer(
    tx: "Tx",
    known: Dispute,
    reply: DisputeReply,
    key: RequestKey | None,
    task: "LeasedTask | None",
    draw: Draw,
    vault: Vault,
) -> tuple[Dispute, Refusal | None]:
    """Taken, refused, or to be sent again by the Task. What the channel says of the dispute itself is a fact. A refusal
    counts only from who still has the Task: others have sent the same since, and it may have been taken."""
    dispute = await _held(tx, known.id)
    assert dispute is not None, known.id
    said, outcome = dispute.answer, reply.result.outcome
    refusal: Refusal | None = None
    if dispute.answers == known.answers and said is not None and said.state is AnswerState.SUBMITTED:
        if outcome is Outcome.DONE:
            said = replace(said, state=AnswerState.TAKEN, evidence=None)
        elif outcome in _NOT_TAKEN and await holds(tx, SEND, dispute.answer_key, task, draw):
            said = replace(said, state=AnswerState.REFUSED, evidence=None, code=reply.result.code)
            refusal = AnswerRefused(dispute.channel, reply.result.code)
        if said != dispute.answer:
            dispute = await tx.disputes.update(replace(dispute, answer=said))
            await tx.tasks.drop(SEND, dispute.answer_key)
            if said.state is AnswerState.TAKEN:
                await disputes.forget_deadline(tx, dispute)
        elif key is not None:
            await tx.tasks.put_back(SEND, dispute.answer_key, _task_of(dispute), draw.now_us + FIRST_LOOK_US, draw)
    if reply.word is not None:
        dispute = await disputes.apply_word(
            tx, dispute.attempt_id, reply.word, Source.ANSWER, reply.result, draw, vault
        )
    if key is not None:
        await tx.requests.finish(key, refusal)
    return dispute, refusal


async def send_again(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of an answer that nobody has confirmed: the same again, under the same key. When to try next (µs)."""
    async with hub.store.reading() as rx:
        dispute = await rx.disputes.by_id(task.body["dispute"])
        attempt = None if dispute is None else await rx.payments.by_id(dispute.attempt_id)
    if dispute is None or attempt is None or not _is_waiting(dispute, task.body["number"]):
        return None
    reply = await _send(hub, attempt, dispute)
    told, _ = await hub.store.write(record_dispute_answer, dispute, reply, None, task, hub.draw(), hub.vault)
    if not _is_waiting(told, task.body["number"]):
        return None
    return hub.clock.now_us() + next_query_after_s(max(task.attempts - 1, 0)) * 1_000_000


def _is_waiting(dispute: Dispute, number: int) -> bool:
    said = dispute.answer
    return dispute.answers == number and said is not None and said.state is AnswerState.SUBMITTED
