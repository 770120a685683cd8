"""What `hub verify` looks at of Tasks: whatever may still change has one that sees to it."""

from hub.entry.checks import Check
from hub.flows import attempt_facts, dispute_answers, refund_facts
from hub.ports import Hub
from hub.store.transactions import Rx


async def open_ends(hub: Hub, rx: Rx) -> Check:
    """What was begun at a channel or for the chain, and has no end, is asked about, or done, by a Task: nothing else
    would ever end it but a notice."""
    check = Check("whatever is open has a Task that sees to it")
    for found in (
        await rx.payments.live([attempt_facts.RESOLVE, attempt_facts.VOID]),
        await rx.refunds.open([refund_facts.RESOLVE]),
        await rx.disputes.answering([dispute_answers.SEND]),
        await rx.anchors.placed_nowhere(["anchor_batch"]),
    ):
        for one in found:
            check.expect(one.is_seen_to, f"{one.name} is {one.state}, and no Task sees to it")
    return check
