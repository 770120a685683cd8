"""What CheckoutSplitter told of money in a span of time: found by the dates of final blocks, read by ranges."""

from typing import Final

from hub.chain.blocks import JsonRpcChainLog
from hub.domain.contracts import CHECKOUT_SPLITTER
from hub.ports import ChainUnavailable, Movement

RANGE: Final = 2_000  # blocks of one question: what common providers take
MOVING: Final = {"Purchased": False, "Refunded": True}  # whether it gives back, by event


async def movements(
    log: JsonRpcChainLog, splitter: str, from_block: int, from_us: int, until_us: int, *, is_over: bool
) -> list[Movement]:
    """See `hub.ports.Checkout`."""
    final = (await log.heads()).final
    if not is_over and await _dated(log, final) < until_us:
        raise ChainUnavailable("blocks of that time are not final yet")
    first = await _first_since(log, from_block, final, from_us)
    end = await _first_since(log, first, final, until_us)
    told = [
        event
        for start in range(first, end, RANGE)
        for event in await log.logs_between(start, min(start + RANGE, end) - 1, {splitter: CHECKOUT_SPLITTER})
        if event.name in MOVING
    ]
    dates = {number: await _dated(log, number) for number in sorted({event.block_number for event in told})}
    return [
        Movement(
            place=f"{event.transaction_hash}:{event.log_index}",
            at_us=dates[event.block_number],
            order_key=bytes.fromhex(event.subject[2:]),
            token=bytes.fromhex(event.args["token"][2:]),
            price=int(event.args["price"]),
            is_refund=MOVING[event.name],
            raw=event.told,
        )
        for event in told
    ]


async def _first_since(log: JsonRpcChainLog, low: int, high: int, at_us: int) -> int:
    """The first block from `low` on that is dated then or later; one above `high` where none is. Dates never fall."""
    high += 1
    while low < high:
        middle = (low + high) // 2
        if await _dated(log, middle) < at_us:
            low = middle + 1
        else:
            high = middle
    return low


async def _dated(log: JsonRpcChainLog, number: int) -> int:
    [block] = await log.blocks([number])
    if block is None:
        raise ChainUnavailable(f"the node does not have block {number}, which is final")
    return block.mined_at_us
