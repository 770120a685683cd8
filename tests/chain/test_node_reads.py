"""What the node's readers promise beside its writer, and what they may cost."""

import sqlite3
import threading
from typing import Any

import pytest

from hub.chain.node import database
from hub.chain.node.errors import RpcError
from tests.chain.inside import ALICE, NOTHING, Chain
from tests.chain.nodes import LOGGER, SENDERS, TWO_COUNTERS, Node, deploy, signed, words


def test_reads_beside_a_writer_are_never_torn(node: Node) -> None:
    contract, writers = deploy(node, TWO_COUNTERS), SENDERS[10:13]

    def write(sender: Any) -> None:
        for nonce in range(15):
            node.send(signed(sender, nonce, to=contract, data=b"\x01"))

    threads = [threading.Thread(target=write, args=(sender,)) for sender in writers]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        first, second = words(node.rpc("eth_call", {"to": contract}, "latest"))
        assert first == second
        seen.append(first)
        block = node.rpc("eth_getBlockByNumber", "latest", True)
        assert len(node.rpc("eth_getBlockReceipts", block["number"])) == len(block["transactions"])
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert words(node.rpc("eth_call", {"to": contract}, "latest")) == [45, 45]


def test_a_receipt_takes_as_many_statements_at_any_height(chain: Chain) -> None:
    def statements(tx_hash: str) -> list[str]:
        ran: list[str] = []
        chain.backend.database._cache.clear()
        chain.backend.database.connection.set_trace_callback(ran.append)
        assert chain.rpc("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
        chain.backend.database.connection.set_trace_callback(None)
        return ran

    first = chain.send(signed(ALICE, 0))
    low = statements(first)
    chain.rpc("evm_mine", hex(100))
    last = chain.send(signed(ALICE, 1))
    assert len(statements(last)) <= len(low) <= 6
    assert len(statements(first)) <= len(low)


def test_receipts_and_logs_take_as_many_steps_under_thirty_thousand_logs(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of SQLite's machine, which do not depend on how busy ours is."""
    monkeypatch.setattr(database, "QUERY_LOOK_STEPS", 1)
    contract = chain.deploy(LOGGER)
    receipt = chain.mined(signed(ALICE, 1, to=contract, data=bytes(64)))
    tx_hash, ranges = receipt["transactionHash"], {"fromBlock": "0x2", "toBlock": "0x2"}
    questions = (
        ("eth_getLogs", {"blockHash": receipt["blockHash"]}),
        ("eth_getLogs", ranges),
        ("eth_getLogs", ranges | {"address": contract}),
        ("eth_getLogs", ranges | {"address": contract, "topics": [NOTHING]}),
        ("eth_getLogs", {"fromBlock": "0x0", "address": contract, "topics": [NOTHING, NOTHING]}),
        ("eth_getTransactionReceipt", tx_hash),
    )

    def steps(method: str, params: Any) -> int:
        counted = 0

        def look() -> float:
            nonlocal counted
            counted += 1
            return 0.0

        kept = chain.backend.database
        kept._cache.clear()
        monkeypatch.setattr(kept, "_clock", look)
        if method != "eth_getLogs":
            kept.connection.set_progress_handler(lambda: int(look()), 1)
        answer = chain.rpc(method, params)
        kept.connection.set_progress_handler(None, 0)
        assert answer in (receipt, receipt["logs"])
        return counted

    low = [steps(*question) for question in questions]
    insert_logs(chain, [(3 + i // 9, i % 9, b"b%d" % (i // 9), bytes([i % 7]) * 20) for i in range(30_000)])
    high = [steps(*question) for question in questions]
    assert min(low) > 10
    assert all(after <= before + 2 for before, after in zip(low, high, strict=True)), (low, high)


def test_a_search_that_takes_too_long_is_ended(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    insert_logs(chain, [(i, 0, b"b", b"a" * 20) for i in range(5_000)])
    monkeypatch.setattr(database, "QUERY_LOOK_STEPS", 1_000)
    monkeypatch.setattr(database, "QUERY_WITHIN_S", -1.0)
    search = {"fromBlock": "0x0", "toBlock": "0xffff", "topics": [None, NOTHING]}
    with pytest.raises(RpcError, match="query timeout") as caught:
        chain.rpc("eth_getLogs", search)
    assert caught.value.code == -32005
    monkeypatch.undo()
    assert chain.rpc("eth_getLogs", search) == []


def insert_logs(chain: Chain, places: list[tuple[int, int, bytes, bytes]]) -> None:
    """Logs without topics as if they had been mined: block, index, hash of the block, address."""
    rows = [(block, idx, 0, b"h", address, None, None, None, None, b"", mined) for block, idx, mined, address in places]
    with sqlite3.connect(chain.backend.database._path) as connection:
        connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()


@pytest.mark.parametrize(
    "criteria",
    [
        "block_hash = x'00'",
        "block BETWEEN 5 AND 9",
        "block BETWEEN 5 AND 9 AND address IN (x'00')",
        "block BETWEEN 5 AND 9 AND t0 IN (x'00')",
        "block BETWEEN 5 AND 9 AND address IN (x'00') AND t0 IN (x'00')",
    ],
)
def test_every_log_query_uses_an_index(chain: Chain, criteria: str) -> None:
    plan = chain.backend.database.connection.execute(
        f"EXPLAIN QUERY PLAN SELECT * FROM log WHERE {criteria} ORDER BY block, idx LIMIT 9"
    ).fetchall()
    assert not any("SCAN" in row[3] for row in plan), plan


def test_too_many_logs_are_refused_with_the_agreed_code(chain: Chain) -> None:
    insert_logs(chain, [(1, i, b"b", b"a" * 20) for i in range(10_001)])
    chain.rpc("evm_mine")
    with pytest.raises(RpcError) as caught:
        chain.rpc("eth_getLogs", {"fromBlock": "0x1", "toBlock": "latest"})
    assert caught.value.code == -32005
