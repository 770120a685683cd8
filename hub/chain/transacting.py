"""The owner's few transactions, which no table keeps: sent, and waited for until a block holds them."""

import asyncio
from typing import Final

from hub.chain.client import JsonRpcChain
from hub.ports import ChainReceipt, ChainRefused, ChainUnavailable, SignedTransaction

MINED_WITHIN_S: Final = 180.0  # fifteen blocks of a chain with a block each 12 s
ASK_EVERY_S: Final = 0.25


async def mined(chain: JsonRpcChain, transaction: SignedTransaction) -> ChainReceipt:
    """Raises ChainUnavailable (run it again: a waiting one is repeated, not doubled) or ChainRefused."""
    await chain.send(transaction)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + MINED_WITHIN_S
    while (receipt := await chain.receipt(transaction.hash)) is None:
        if loop.time() > deadline:
            raise ChainUnavailable(f"{transaction.hash} is not in a block after {MINED_WITHIN_S:.0f} s: run it again")
        await asyncio.sleep(ASK_EVERY_S)
    if not receipt.is_ok:
        raise ChainRefused(f"{transaction.hash} failed in block {receipt.block_number}")
    return receipt
