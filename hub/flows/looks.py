"""The promise to look once more at what a purchase on chain has come to, when its block must be final (final_looks.py).

Its channel reads the node itself, and may be ahead of whoever reads the chain's log, or that may have halted: a block
that goes before it was read takes no event with it, so nothing would tell that the money went too.
"""

from typing import TYPE_CHECKING

from hub.domain import checkout
from hub.domain.ids import Draw
from hub.domain.payments import PaymentAttempt
from hub.domain.refunds import Refund

if TYPE_CHECKING:
    from hub.store.transactions import Tx

LOOK = "look_when_final"  # the key of such a Task is the attempt's id, or the refund's
# By then the log tells of nearly all of them. And so far the clocks of blocks and of this hub may be apart.
AFTER_US = 15 * 60 * 1_000_000


def promise(tx: "Tx", attempt: PaymentAttempt, refund: Refund | None, draw: Draw) -> None:
    """In the unit that takes the attempt for charged, or its refund for given back."""
    if attempt.channel == checkout.CHANNEL:
        # By the later of two clocks: the purchase is dated by its block's.
        since_us = max(draw.now_us, attempt.heard_at_us or 0)
        body = {"attempt": attempt.id, "refund": refund and refund.id, "since_us": since_us}
        tx.tasks.add(LOOK, refund.id if refund else attempt.id, body, draw.now_us + AFTER_US)
