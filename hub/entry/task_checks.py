"""What `hub verify` looks at of Tasks: whatever is open, of money or for the chain, has one that sees to it."""

from hub.entry.checks import Check
from hub.flows import attempt_facts, dispute_answers, refund_facts
from hub.ports import Hub
from hub.store.transactions import Rx


async def open_ends(hub: Hub, rx: Rx) -> Check:
    """What was begun at a channel or for the chain, and has no end, is asked about, or done, by a Task: nothing but a
    notice would ever end it otherwise."""
    check = Check("open payments, refunds, answers and batches have a Task")
    for found in (
        await rx.payments.open_ends([attempt_facts.RESOLVE, attempt_facts.VOID]),
        await rx.refunds.open_ends([refund_facts.RESOLVE]),
        await rx.disputes.open_ends([dispute_answers.SEND]),
        await rx.anchors.open_ends(["anchor_batch"]),
    ):
        for one in found:
            check.expect(one.is_seen_to, f"{one.name} is {one.state}, and no Task sees to it")
    return check
