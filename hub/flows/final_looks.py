"""One look at each purchase on chain that was taken for paid, and each refund taken for given back, when its block must
be final: whether the chain's log tells of it. From then on the log's reader tells should that go; what it never read
has gone without a word (looks.py).
"""

from typing import TYPE_CHECKING

from hub.domain.chain_log import Cursor
from hub.domain.ids import Draw
from hub.flows import purchase_effects
from hub.flows.looks import AFTER_US
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Rx, Tx

LOOK_AGAIN_US = 60_000_000


async def look(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one purchase or refund. Returns when to look again (µs): its block, or its reading, is not final."""
    async with hub.store.reading() as rx:
        attempt = await rx.payments.by_id(task.body["attempt"])
        key = None if attempt is None else attempt.channel_ref
        if key is None or await _is_told(rx, key, task):
            return None
        cursor = await rx.chain_log.cursor(hub.chain.chain_id)
        watched = await rx.chain_log.watched(hub.chain.chain_id)
        contracts = await rx.anchors.contracts(hub.chain.chain_id)
    is_whole = all(watched.get(known.address, 0) is None for known in contracts)
    is_reading = cursor is not None and cursor.halt_reason is None
    if cursor is None or not is_reading or not is_whole or not await _is_past(hub, cursor, task.body["since_us"]):
        return hub.clock.now_us() + LOOK_AGAIN_US
    await hub.store.write(find_gone, task, key, hub.draw(), hub.vault)
    return None


async def _is_past(hub: Hub, cursor: Cursor, since_us: int) -> bool:
    """Whether all blocks of that time are read as final: a later one is, or there is none that is not."""
    heads = await hub.chain_log.heads()
    if heads.number == cursor.final_number:
        return True
    [final] = await hub.chain_log.blocks([max(cursor.final_number, 0)])
    return final is not None and final.mined_at_us >= since_us + AFTER_US


async def find_gone(tx: "Tx", task: "LeasedTask", key: str, draw: Draw, vault: Vault) -> None:
    """What the chain does not tell of has gone, unless it was read at this very moment."""
    await tx.chain_log.hold()
    attempt = await tx.payments.by_id(task.body["attempt"])
    if attempt is None or await _is_told(tx, key, task):
        return
    if task.body["refund"] is None:
        await purchase_effects.purchase_gone(tx, attempt, key, draw, vault)
    else:
        await purchase_effects.refund_gone(tx, attempt, key, draw)


async def _is_told(rx: "Rx", key: str, task: "LeasedTask") -> bool:
    return bool(await rx.chain_log.about(key, "Settled" if task.body["refund"] is None else "Refunded"))
