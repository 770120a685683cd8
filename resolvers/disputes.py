"""Disputes from the outside: for operators, and for the platform whose order is contested."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.disputes import MAX_EVIDENCE, Dispute
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.requests import Answer
from hub.flows import dispute_answers
from resolvers.context import Info
from resolvers.inputs import DisputeStateFilter, chosen, id_of, key, storable
from resolvers.lookahead import nested_list
from resolvers.orders import IdempotencyKey
from resolvers.paging import After, Before, First, Last, Page
from resolvers.payloads import Payload, told
from resolvers.reading import listed_page, one, told_of

if TYPE_CHECKING:
    from hub.store.reads import Row


@strawberry.input(description="Which disputes: all that are given must hold.")
class DisputeFilter:
    state: DisputeStateFilter | None = strawberry.field(default=None, description="What their state is.")


DisputeId = Annotated[strawberry.ID, strawberry.argument(description="The dispute's id.")]


async def dispute(info: Info, id: DisputeId) -> "Row | None":
    """One dispute; null alike for unknown and not yours."""
    return await one(info, "Dispute", "dispute", id)


async def all_disputes(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    where: Annotated[DisputeFilter | None, strawberry.argument(description="Which disputes.")] = None,
) -> Page:
    """The disputes that you may see, the newest first."""
    filters = {}
    if where is not None and where.state is not None:
        filters["state"] = chosen(where.state, "state")
    listed = nested_list("disputes", info.context.viewer)
    return await listed_page(info, "dispute", listed, first, after, last, before, filters)


# ---- mutations ------------------------------------------------------------------------------------------------------


async def dispute_submit_evidence(
    info: Info,
    dispute_id: DisputeId,
    evidence: Annotated[
        str,
        strawberry.argument(
            description="Why the charge was right, for the payer's bank: 1 to 20000 characters. It is handed on as it "
            "is, and forgotten once the channel has it."
        ),
    ],
    idempotency_key: IdempotencyKey,
) -> Payload:
    """Send evidence, once: what the channel has taken cannot be changed."""

    async def flow() -> Answer[Dispute]:
        if not evidence.strip():
            raise Refused(InvalidInput("evidence", "evidence is empty: say why the charge was right"))
        return await dispute_answers.submit_evidence(
            info.context.hub,
            info.context.viewer,
            dispute_id=id_of("Dispute", dispute_id, "disputeId"),
            evidence=storable(evidence, "evidence", MAX_EVIDENCE),
            idempotency_key=key(idempotency_key),
        )

    return await _payload(info, await told(flow))


async def dispute_accept(info: Info, dispute_id: DisputeId, idempotency_key: IdempotencyKey) -> Payload:
    """Give in: the money is the payer's, for good."""

    async def flow() -> Answer[Dispute]:
        return await dispute_answers.accept(
            info.context.hub,
            info.context.viewer,
            dispute_id=id_of("Dispute", dispute_id, "disputeId"),
            idempotency_key=key(idempotency_key),
        )

    return await _payload(info, await told(flow))


async def _payload(info: Info, answer: Answer[Dispute]) -> Payload:
    return Payload({"dispute": await told_of(info, "dispute", answer)}, answer.refusal, answer.is_replay)
