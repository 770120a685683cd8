"""差异: a Break is opened once per subject and kind, told to the hub's own stream, and waits for a person."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.domain.chain_log import ChainEvent
from hub.domain.events import HUB_STREAM, Audience, BreakOpened, Change
from hub.domain.ids import Draw
from hub.domain.payments import PaymentAttempt
from hub.domain.reconciliation import Break, BreakKind, BreakState

if TYPE_CHECKING:
    from hub.store.transactions import Tx

_HUB_ALONE = (Audience(HUB_STREAM, "", "", "", sees_order=True),)


async def open_break(tx: "Tx", kind: BreakKind, subject_id: str, order_id: str | None, detail: str, draw: Draw) -> None:
    """Open it unless it is open already. `detail` says in words what differs, without personal data."""
    new = Break(draw.id("brk", kind, subject_id), kind, subject_id, order_id, BreakState.OPEN, detail, draw.now_us)
    if await tx.breaks.open(new):
        event = BreakOpened(new.id, kind, subject_id, order_id, detail)
        tx.events.append(_Opened(new.id), event, _HUB_ALONE, draw, Change("", BreakState.OPEN, detail))


async def tell_of_lost_purchase(tx: "Tx", attempt: PaymentAttempt, draw: Draw) -> None:
    """The Break of an attempt that has ended without money, if the chain holds the purchase that it waited for."""
    if attempt.channel_ref is None or not await tx.chain_log.about(attempt.channel_ref, "Settled"):
        return
    detail = f"the chain holds purchase {attempt.channel_ref}, and {attempt.key} ended {attempt.state} all the same"
    await open_break(tx, BreakKind.CHAIN, attempt.id, attempt.order_id, detail, draw)


@dataclass(frozen=True, slots=True)
class _Opened:
    id: str
    version: int = 1


async def tell_of_event(tx: "Tx", event: ChainEvent, what: str, draw: Draw) -> None:
    """The Break of what a contract tells and nobody here has done."""
    subject = f"{event.transaction_hash}:{event.name}"
    detail = f"{what}: {event.name} of {event.subject} by contract {event.address}"
    await open_break(tx, BreakKind.CHAIN, subject, None, detail, draw)
