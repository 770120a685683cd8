"""The node's test hooks: snapshots, reorganisations, and filters over both."""

from typing import Any

import pytest

from hub.chain.node.errors import RpcError
from tests.chain.inside import ALICE, Chain
from tests.chain.nodes import LOGGER, SENDERS, signed


def test_a_reverted_snapshot_leaves_no_trace_and_the_chain_goes_on(chain: Chain) -> None:
    contract = chain.deploy(LOGGER)
    snapshot, head = chain.rpc("evm_snapshot"), chain.rpc("eth_getBlockByNumber", "latest")
    raw = signed(ALICE, 1, to=contract, data=bytes(64), value=0)
    gone = [chain.mined(raw), chain.mined(signed(ALICE, 2))]
    assert chain.rpc("evm_revert", snapshot) is True
    assert chain.rpc("eth_getBlockByNumber", "latest") == head
    for receipt in gone:
        assert chain.rpc("eth_getTransactionReceipt", receipt["transactionHash"]) is None
        assert chain.rpc("eth_getBlockByHash", receipt["blockHash"]) is None
    assert chain.rpc("eth_getLogs", {"fromBlock": "0x0"}) == []
    again = chain.mined(raw)
    assert (again["transactionHash"], again["blockNumber"]) == (gone[0]["transactionHash"], "0x2")
    assert chain.rpc("eth_getBlockByNumber", "0x2")["parentHash"] == head["hash"]
    chain.rpc("evm_mine")
    assert chain.rpc("eth_blockNumber") == "0x3"


def test_a_snapshot_serves_once_and_takes_the_later_ones_along(chain: Chain) -> None:
    first, second = chain.rpc("evm_snapshot"), chain.rpc("evm_snapshot")
    chain.rpc("evm_mine")
    third = chain.rpc("evm_snapshot")
    assert len({first, second, third}) == 3
    assert chain.rpc("evm_revert", second) is True
    assert [chain.rpc("evm_revert", gone) for gone in (second, third, "0x63")] == [False] * 3
    assert chain.rpc("eth_blockNumber") == "0x0"
    assert chain.rpc("evm_revert", first) is True


def test_a_reorg_drops_receipts_and_logs_and_what_was_dropped_can_be_sent_again(chain: Chain) -> None:
    contract = chain.deploy(LOGGER)
    raws = [signed(ALICE, nonce, to=contract, data=nonce.to_bytes(32) + bytes(32)) for nonce in (1, 2, 3)]
    old = [chain.mined(raw) for raw in raws]
    snapshot = chain.rpc("evm_snapshot")
    assert chain.rpc("hub_reorg", 2) is None
    kept, *gone = old
    assert chain.rpc("eth_blockNumber") == "0x4"
    assert chain.rpc("eth_getTransactionReceipt", kept["transactionHash"]) == kept
    for receipt in gone:
        assert chain.rpc("eth_getTransactionReceipt", receipt["transactionHash"]) is None
        assert chain.rpc("eth_getTransactionByHash", receipt["transactionHash"]) is None
        assert chain.rpc("eth_getBlockByHash", receipt["blockHash"]) is None
        with pytest.raises(RpcError, match="header not found"):
            chain.rpc("eth_getLogs", {"blockHash": receipt["blockHash"]})
    assert chain.rpc("eth_getLogs", {"fromBlock": "0x0"}) == kept["logs"]
    assert chain.rpc("eth_getTransactionCount", ALICE.address) == "0x2"
    again = [chain.mined(raw) for raw in raws[1:]]
    assert [receipt["transactionHash"] for receipt in again] == [receipt["transactionHash"] for receipt in gone]
    assert [receipt["blockNumber"] for receipt in again] == ["0x5", "0x6"]
    blocks = [chain.rpc("eth_getBlockByNumber", hex(number)) for number in range(7)]
    assert [block["parentHash"] for block in blocks[1:]] == [block["hash"] for block in blocks[:-1]]
    assert {receipt["blockHash"] for receipt in gone} & {block["hash"] for block in blocks} == set()
    assert chain.rpc("evm_revert", snapshot) is False  # its block is not in this chain


def test_a_reorg_puts_given_transactions_into_the_blocks_that_are_named(chain: Chain) -> None:
    old = [chain.mined(signed(ALICE, nonce)) for nonce in (0, 1)]
    same, other = signed(ALICE, 0), signed(ALICE, 1, value=5)
    chain.rpc("hub_reorg", "0x2", [[same, 0], [other, "0x1"], [signed(SENDERS[1], 0), 1]])
    moved = chain.rpc("eth_getTransactionReceipt", old[0]["transactionHash"])
    assert (moved["blockNumber"], moved["blockHash"] == old[0]["blockHash"]) == ("0x1", False)
    assert chain.rpc("eth_getTransactionReceipt", old[1]["transactionHash"]) is None
    assert chain.rpc("eth_getBlockTransactionCountByNumber", "0x2") == "0x2"
    assert chain.rpc("eth_getTransactionCount", ALICE.address) == "0x2"


@pytest.mark.parametrize(
    ("depth", "sends", "reason"),
    [
        (0, [], "depth must be"),
        (2, [], "depth must be"),
        ("x", [], "must be a hex quantity"),
        (1, [["0x00", 1]], "must be less than 1"),
        (1, [["0x00"]], "a send is"),
        (1, [[signed(ALICE, 7), 0]], "nonce too high"),
    ],
)
def test_a_reorg_that_cannot_be_is_refused_and_the_chain_goes_on(
    chain: Chain, depth: Any, sends: list[Any], reason: str
) -> None:
    chain.rpc("evm_mine")
    with pytest.raises(RpcError, match=reason):
        chain.rpc("hub_reorg", depth, sends)
    chain.rpc("evm_mine")
    assert chain.mined(signed(ALICE, 0))["status"] == "0x1"
    assert chain.rpc("eth_getTransactionCount", ALICE.address) == "0x1"


def test_filters_report_the_blocks_and_logs_that_came_instead(chain: Chain) -> None:
    contract = chain.deploy(LOGGER)
    raw = signed(ALICE, 1, to=contract, data=bytes(64))
    blocks, logs = chain.rpc("eth_newBlockFilter"), chain.rpc("eth_newFilter", {"address": contract})
    old = chain.mined(raw)
    assert chain.rpc("eth_getFilterChanges", blocks) == [old["blockHash"]]
    assert chain.rpc("eth_getFilterChanges", logs) == old["logs"]
    chain.rpc("hub_reorg", 1, [[raw, 0]])
    new = chain.rpc("eth_getTransactionReceipt", old["transactionHash"])
    assert new["blockHash"] != old["blockHash"]
    assert chain.rpc("eth_getFilterChanges", blocks) == [new["blockHash"]]
    assert chain.rpc("eth_getFilterChanges", logs) == new["logs"]
    assert chain.rpc("eth_getFilterChanges", logs) == []


def test_a_filters_open_end_is_the_head_whenever_it_is_asked(chain: Chain) -> None:
    contract = chain.deploy(LOGGER)
    receipts = [chain.mined(signed(ALICE, 1, to=contract, data=bytes(64)))]
    since = chain.rpc("eth_newFilter", {"fromBlock": "0x1"})
    until = chain.rpc("eth_newFilter", {"fromBlock": "0x1", "toBlock": "0x3"})
    newest = chain.rpc("eth_newFilter", {})
    receipts += [chain.mined(signed(ALICE, nonce, to=contract, data=bytes(64))) for nonce in (2, 3)]
    written = [log for receipt in receipts for log in receipt["logs"]]
    assert chain.rpc("eth_getFilterLogs", since) == written
    assert chain.rpc("eth_getFilterLogs", until) == written[:2]
    assert chain.rpc("eth_getFilterLogs", newest) == written[2:]
    assert chain.rpc("eth_getFilterChanges", since) == written[1:]
    assert chain.rpc("eth_getFilterChanges", until) == written[1:2]
    assert chain.rpc("eth_getFilterChanges", newest) == written[1:]
    with pytest.raises(RpcError, match="a filter follows the chain"):
        chain.rpc("eth_newFilter", {"blockHash": receipts[0]["blockHash"]})
