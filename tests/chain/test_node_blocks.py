"""What the node's writer promises: what waits, what goes into a block, what is refused."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_utils import ValidationError
from rlp import decode, encode

from hub.chain.node import pool
from hub.chain.node.errors import RpcError
from hub.chain.node.machine import NodeVM
from tests.chain.inside import ALICE, NOTHING, Chain
from tests.chain.nodes import CHAIN_ID, LOGGER, SENDERS, Node, signed

BEACON_ROOTS = "0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"  # EIP-4788
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"  # EIP-2935
BURNER = bytes.fromhex("fe")  # takes all gas at once


def test_system_contracts_stand_from_the_first_block_on(chain: Chain) -> None:
    for address in (HISTORY, BEACON_ROOTS):
        assert chain.rpc("eth_getCode", address, "0x0").startswith("0x3373fffffffffffffffffffffffffffffffffffffffe")
        assert chain.rpc("eth_getTransactionCount", address) == "0x1"


def test_system_contract_tells_old_block_hashes(chain: Chain) -> None:
    chain.rpc("evm_mine", "0x3")
    second = chain.rpc("eth_getBlockByNumber", "0x2")
    assert chain.rpc("eth_call", {"to": HISTORY, "data": "0x" + (2).to_bytes(32).hex()}) == second["hash"]
    assert second["mixHash"] != chain.rpc("eth_getBlockByNumber", "0x3")["mixHash"]


def test_all_that_waits_goes_into_one_block_and_log_numbers_run_through_it(chain: Chain) -> None:
    contract = chain.deploy(LOGGER)
    raws = [signed(sender, 0, to=contract, data=bytes(64)) for sender in SENDERS[1:9]]
    hashes = ["0x" + sent.result(30).hex() for sent in chain.held(raws)]
    assert chain.rpc("eth_blockNumber") == "0x2"
    receipts = [chain.rpc("eth_getTransactionReceipt", sent) for sent in hashes]
    logs = [log for receipt in receipts for log in receipt["logs"]]
    assert [int(log["logIndex"], 16) for log in logs] == list(range(8))
    assert [int(log["transactionIndex"], 16) for log in logs] == list(range(8))
    assert logs == chain.rpc("eth_getLogs", {"blockHash": receipts[0]["blockHash"]})
    assert logs == chain.rpc("eth_getLogs", {"fromBlock": "0x2", "toBlock": "latest"})
    cumulative = [int(receipt["cumulativeGasUsed"], 16) for receipt in receipts]
    assert cumulative[-1] == sum(int(receipt["gasUsed"], 16) for receipt in receipts)


def test_a_refused_transaction_takes_nobody_along(chain: Chain) -> None:
    poor = signed(SENDERS[1], 0, value=10**30)
    good = [signed(sender, 0) for sender in SENDERS[2:5]]
    first, *others = chain.held([poor, *good])
    with pytest.raises(RpcError, match="insufficient funds"):
        first.result(30)
    receipts = [chain.rpc("eth_getTransactionReceipt", "0x" + sent.result(30).hex()) for sent in others]
    assert [receipt["blockNumber"] for receipt in receipts] == ["0x1"] * 3


@pytest.mark.parametrize(
    ("fault", "code", "message", "reported"),
    [
        (ZeroDivisionError("broken"), -32603, "the transaction could not be mined", True),
        (ValidationError("odd"), -32000, "invalid transaction: odd", False),
    ],
)
def test_a_transaction_that_breaks_the_machine_is_dropped_alone(
    chain: Chain,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: Exception,
    code: int,
    message: str,
    reported: bool,
) -> None:
    stock = NodeVM.apply_transaction

    def apply(self: NodeVM, header: Any, transaction: Any) -> Any:
        if transaction.value == 13:
            raise fault
        return stock(self, header, transaction)

    monkeypatch.setattr(NodeVM, "apply_transaction", apply)
    raws = [signed(SENDERS[1], 0), signed(SENDERS[2], 0, value=13), signed(SENDERS[3], 0)]
    one, bad, other = chain.held(raws)
    with pytest.raises(RpcError) as caught:
        bad.result(30)
    assert (caught.value.code, caught.value.message) == (code, message)
    assert {len(sent.result(30)) for sent in (one, other)} == {32}
    assert ("ZeroDivisionError: broken" in capfd.readouterr().err) == reported
    assert chain.rpc("eth_blockNumber") == "0x2"


def test_what_does_not_fit_the_blocks_gas_waits_for_the_next(chain: Chain) -> None:
    contract = chain.deploy(BURNER)
    raws = [signed(sender, 0, to=contract, gas=8_000_000) for sender in SENDERS[1:6]]
    receipts = [chain.rpc("eth_getTransactionReceipt", "0x" + sent.result(30).hex()) for sent in chain.held(raws)]
    assert [receipt["blockNumber"] for receipt in receipts] == ["0x2"] * 3 + ["0x3"] * 2
    assert {receipt["gasUsed"] for receipt in receipts} == {hex(8_000_000)}


def test_shuffled_nonces_are_all_mined(chain: Chain) -> None:
    nonces = list(range(30))
    random.Random(3).shuffle(nonces)
    for nonce in nonces:
        chain.send(signed(ALICE, nonce))
    assert chain.rpc("eth_getTransactionCount", ALICE.address) == hex(30)
    assert chain.rpc("eth_getTransactionCount", ALICE.address, "pending") == hex(30)


def test_shuffled_nonces_from_many_connections_are_all_mined(node: Node) -> None:
    sender, nonces = SENDERS[14], list(range(30))
    random.Random(4).shuffle(nonces)
    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(lambda nonce: node.send(signed(sender, nonce)), nonces))
    receipts = [node.rpc("eth_getTransactionReceipt", tx_hash) for tx_hash in sent]
    assert {receipt["status"] for receipt in receipts} == {"0x1"}
    assert (len({receipt["transactionHash"] for receipt in receipts}), node.nonce(sender)) == (30, 30)


def test_a_queue_is_bounded_and_a_better_offer_replaces(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "QUEUED_PER_SENDER_MAX", 3)
    old = chain.send(signed(ALICE, 2))
    new = chain.send(signed(ALICE, 2, maxFeePerGas=20 * 10**9, maxPriorityFeePerGas=2 * 10**9))
    assert chain.rpc("eth_getTransactionByHash", old) is None
    for nonce in (3, 4):
        chain.send(signed(ALICE, nonce))
    with pytest.raises(RpcError, match="too many queued"):
        chain.send(signed(ALICE, 5))
    chain.send(signed(ALICE, 0))
    chain.send(signed(ALICE, 1))
    assert chain.rpc("eth_getTransactionReceipt", new)["status"] == "0x1"
    assert chain.rpc("eth_getTransactionCount", ALICE.address) == hex(5)


def test_a_full_disk_loses_nothing_that_was_answered(chain: Chain) -> None:
    def allow_pages(count: int) -> None:
        statement = f"PRAGMA max_page_count = {count}"
        connection = chain.backend.database
        chain.backend.miner.command(lambda: int(connection.connection.execute(statement).fetchone()[0])).result(30)

    kept = chain.send(signed(ALICE, 0))
    allow_pages(1)  # SQLite takes it as: no page more than there is
    big = signed(ALICE, 1, to=None, data=b"\x00" * 40_000, gas=2_000_000)
    with pytest.raises(RpcError, match="could not be mined"):
        chain.send(big)
    assert chain.rpc("eth_blockNumber") == "0x1"
    allow_pages(10**6)
    assert chain.mined(big)["blockNumber"] == "0x2"
    assert chain.rpc("eth_getTransactionReceipt", kept)["blockNumber"] == "0x1"


def test_a_caller_that_went_away_does_not_stop_the_writer(chain: Chain) -> None:
    gone = chain.submit(signed(ALICE, 0))
    gone.cancel()
    assert chain.mined(signed(ALICE, 1))["status"] == "0x1"
    assert chain.rpc("eth_getTransactionCount", ALICE.address) == "0x2"


def test_mutilated_bytes_are_refused_and_never_a_fault(chain: Chain) -> None:
    dice = random.Random(5)
    permitted = SENDERS[2].sign_authorization({"chainId": CHAIN_ID, "address": SENDERS[3].address, "nonce": 0})
    whole = [
        signed(SENDERS[1], 0),
        signed(SENDERS[1], 0, gasPrice=10**9),
        signed(SENDERS[1], 0, to=None, data=b"a"),
        signed(
            SENDERS[1], 0, gasPrice=10**9, type=1, accessList=[{"address": ALICE.address, "storageKeys": [NOTHING]}]
        ),
        signed(SENDERS[1], 0, authorizationList=[permitted]),
    ]
    sender, taken = bytes.fromhex(SENDERS[1].address[2:]), 0
    for _ in range(1_000):
        sound = bytes.fromhex(dice.choice(whole)[2:])
        raw = bytearray(sound)
        place = dice.randrange(len(raw))
        raw[place : place + dice.randrange(2)] = dice.randbytes(dice.randrange(3))
        try:
            candidate = chain.backend.admit(bytes(raw))
        except RpcError:
            continue
        assert (candidate.sender == sender) == (raw == sound)  # whatever still decodes was signed by somebody else
        taken += 1
    assert taken > 0
    assert chain.rpc("eth_blockNumber") == "0x0"


def test_a_delegation_needs_an_authorization_and_somebody_to_call(chain: Chain) -> None:
    permitted = SENDERS[2].sign_authorization({"chainId": CHAIN_ID, "address": SENDERS[3].address, "nonce": 0})
    fields = decode(bytes.fromhex(signed(SENDERS[1], 0, authorizationList=[permitted])[4:]))
    for place, nothing, reason in (
        (9, [], "authorization_list cannot empty"),
        (5, b"", "not a valid canonical address"),
    ):
        changed = [nothing if i == place else field for i, field in enumerate(fields)]
        with pytest.raises(RpcError, match=f"invalid transaction: .*{reason}"):
            chain.backend.admit(b"\4" + encode(changed))
