"""Anvil drops a transaction of a hub that sells, or leaves it out for too little money: it is mined once even so."""

from typing import Any

import pytest

from hub.flows.sending import OUTBID_AFTER_US
from tests.chain.nodes import GWEI
from tests.chain.test_reorgs import GATEWAY, OnChain, anvil_bench

__all__ = ["anvil_bench"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def test_dropped_transaction_is_sent_again_byte_for_byte_and_mined_once(anvil_bench: OnChain) -> None:
    bench, node = anvil_bench, anvil_bench.node
    node.rpc("evm_setAutomine", False)
    nonce = node.nonce(GATEWAY)
    order_id = await bench.sold("key-1")
    [sent] = await signed_by_us(bench)
    for _ in range(3):
        assert pooled(bench) == [sent[0]]
        node.rpc("anvil_dropTransaction", sent[0])
        assert pooled(bench) == []
        await pass_time(bench, 16_000_000)
    assert pooled(bench) == [sent[0]]
    assert await signed_by_us(bench) == [sent], "nothing was signed anew"

    await assert_recorded_once(bench, order_id, sent[0], nonce)


async def test_transaction_that_pays_too_little_is_outbid_and_mined_once(anvil_bench: OnChain) -> None:
    bench, node = anvil_bench, anvil_bench.node
    node.rpc("evm_setAutomine", False)
    nonce = node.nonce(GATEWAY)
    order_id = await bench.sold("key-1")
    [(cheap, _)] = await signed_by_us(bench)
    paid = fee_of(bench, cheap)
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(2 * paid))
    bench.mine(1)
    assert node.rpc("eth_getTransactionReceipt", cheap) is None
    assert pooled(bench) == [], "anvil keeps nothing for cheaper times"
    await pass_time(bench, OUTBID_AFTER_US // 2)
    assert pooled(bench) == []
    await pass_time(bench, OUTBID_AFTER_US)
    [dear] = pooled(bench)
    assert dear != cheap
    assert fee_of(bench, dear) >= 2 * paid

    await assert_recorded_once(bench, order_id, dear, nonce)
    assert node.rpc("eth_getTransactionReceipt", cheap) is None


async def assert_recorded_once(bench: OnChain, order_id: str, hash_: str, nonce: int) -> None:
    """That transaction is the only one of the gateway's, and its root the only one on chain."""
    bench.mine(1)
    assert bench.node.rpc("eth_getTransactionReceipt", hash_)["status"] == "0x1"
    bench.node.rpc("evm_setAutomine", True)
    await bench.finished()
    assert await bench.status(order_id) == "FINALIZED"
    assert bench.node.nonce(GATEWAY) == nonce + 1
    assert await bench.rows("SELECT name, transaction_hash FROM chain_event WHERE name = 'Anchored'") == [
        ("Anchored", hash_)
    ]
    assert await bench.break_kinds() == []
    assert await bench.rows("SELECT kind FROM task") == []


async def signed_by_us(bench: OnChain) -> list[tuple[Any, ...]]:
    return await bench.rows("SELECT hash, raw FROM chain_transaction WHERE purpose LIKE 'anchor:%'")


def pooled(bench: OnChain) -> list[str]:
    """The hashes that wait for a block."""
    waiting = bench.node.rpc("txpool_content")
    return [one["hash"] for kind in ("pending", "queued") for of in waiting[kind].values() for one in of.values()]


def fee_of(bench: OnChain, hash_: str) -> int:
    fee = int(bench.node.rpc("eth_getTransactionByHash", hash_)["maxFeePerGas"], 16)
    assert fee > GWEI
    return fee


async def pass_time(bench: OnChain, microseconds: int) -> None:
    bench.clock.pass_us(microseconds)
    await bench.work()
