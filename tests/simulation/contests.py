"""Disputes that are answered: a merchant sends evidence or gives in, and a provider takes that once, if in time."""

from functools import partial
from typing import TYPE_CHECKING

from hub.domain.disputes import Dispute, DisputeState
from hub.domain.payments import Outcome, PaymentAttempt
from hub.flows import dispute_answers
from hub.ports import DisputeReply
from tests.simulation.providers import HOUR_S, Contested, Provider, drawn
from tests.world import operator

if TYPE_CHECKING:
    from hub.ports import Hub

EVIDENCE = "they watched every lecture"
# What a merchant does who is asked to respond.
MERCHANTS = {"sends evidence": 30, "gives in": 30, "says both at once": 15, "says nothing": 25}


class AnsweredProvider(Provider):
    """A provider whose disputes can be answered by its API: a port `AnswersDisputes` besides."""

    async def submit_evidence(self, attempt: PaymentAttempt, dispute: Dispute, evidence: str) -> DisputeReply:
        self.town.expect(evidence == EVIDENCE, "disputes", f"{dispute.id} is answered by {evidence!r}")
        return await self._answered(attempt, dispute, DisputeState.UNDER_REVIEW)

    async def accept_dispute(self, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
        return await self._answered(attempt, dispute, DisputeState.ACCEPTED)

    async def _answered(self, attempt: PaymentAttempt, dispute: Dispute, wish: DisputeState) -> DisputeReply:
        contested, key = self.contested[dispute.channel_ref], dispute.answer_key
        result = await self._call("answer_dispute", attempt, key, partial(self._answer, contested, key, wish))
        if result.outcome is not Outcome.DONE:
            return DisputeReply(result)
        if not contested.answers[key]:
            return DisputeReply(self._result(Outcome.REJECTED, code="too_late"))
        says_more = self.town.chance("says more", key).random() < 0.5
        return DisputeReply(result, self._word(contested) if says_more else None)

    def _answer(self, contested: Contested, key: str, wish: DisputeState) -> None:
        """Once per key, and only while a response is awaited."""
        if key in contested.answers:
            return
        contested.answers[key] = contested.state is DisputeState.NEEDS_RESPONSE
        if contested.answers[key]:
            contested.state = wish
            self._tell_of_dispute(contested)

    def _asks_merchant(self, contested: Contested) -> None:
        self.town.spawn(self._merchant(contested))

    async def _merchant(self, contested: Contested) -> None:
        chance = self.town.chance("merchant", contested.reference)
        does = drawn(chance, MERCHANTS)
        self.met[f"merchant {does}"] += 1
        await self.town.sleep(chance.uniform(30, 3 * HOUR_S))
        order_id = self.town.books.order_named(contested.payment.key.rpartition("-")[0])
        found = self.town.books.disputes(order_id or "")
        mine = next((one for one in found if one.channel_ref == contested.reference), None)
        if mine is None or order_id is None:
            return
        calls = []
        if does in ("sends evidence", "says both at once"):
            calls.append(partial(_sends, dispute_id=mine.id))
        if does in ("gives in", "says both at once"):
            calls.append(partial(_gives_in, dispute_id=mine.id))
        await self.town.together(*(self.town.asked(chance, call) for call in calls))


async def _sends(hub: "Hub", dispute_id: str) -> object:
    return await dispute_answers.submit_evidence(
        hub, operator(), dispute_id=dispute_id, evidence=EVIDENCE, idempotency_key=f"evidence {dispute_id}"
    )


async def _gives_in(hub: "Hub", dispute_id: str) -> object:
    return await dispute_answers.accept(hub, operator(), dispute_id=dispute_id, idempotency_key=f"accept {dispute_id}")
