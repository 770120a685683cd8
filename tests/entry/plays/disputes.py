"""Disputed payments."""

from importlib import import_module
from typing import Any

from tests.entry.hubs import CHECKOUT, reached, until
from tests.entry.plays.scene import Scene
from tests.entry.plays.stage import Stage


async def contested(stage: Stage, name: str) -> None:
    """Paid by a card whose payer disputes it at once; the seller answers, and the bank looks at it."""
    async with stage.learner() as learner, stage.partner() as seller:
        asked = await learner.mutate(CHECKOUT, stage.listings[name].bought(name, method="pm_card_createDispute"))
        order_id = asked["order"]["id"]
        disputes: list[dict[str, Any]] = []

        async def is_disputed() -> bool:
            order = (await seller.query(DISPUTES_OF, {"id": order_id}))["order"]
            disputes[:] = order["disputes"] if order else []
            return bool(disputes)

        await until(is_disputed, within_s=60, what="the dispute told")
        answer = {"disputeId": disputes[0]["id"], "evidence": "they opened it daily", "idempotencyKey": name}
        await seller.mutate(SUBMIT_EVIDENCE, answer)

        async def is_taken() -> bool:
            return await is_disputed() and disputes[0]["answerState"] == "TAKEN"

        await until(is_taken, within_s=90, what="the evidence taken")
        await reached(learner, order_id, status="PAID", chainStatus="FINALIZED", within_s=60)


DISPUTES_OF = "query($id: ID!) { order(id: $id) { disputes { id state answerState } } }"
SUBMIT_EVIDENCE = """mutation($input: DisputeSubmitEvidenceInput!) {
  disputeSubmitEvidence(input: $input) { dispute { state } userErrors { message } } }"""


def warn_at_once() -> None:
    import_module("hub.flows.disputes").__dict__["WARN_BEFORE_US"] = 30 * 24 * 3600 * 1_000_000


DISPUTES: dict[str, Scene] = {
    "tell_due": Scene(contested, spoil=warn_at_once),
    "open_dispute_answer": Scene(contested),
    "record_dispute_answer": Scene(contested),
}  # fmt: skip
