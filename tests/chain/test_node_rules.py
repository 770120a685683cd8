"""What the node changes round py-evm, each row of the patch table, and what its writer and readers promise."""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eth_utils import ValidationError
from rlp import decode, encode  # type: ignore[import-untyped]  # rlp ships no types for what is used here

from hub.chain.node import calls, database, pool
from hub.chain.node.backend import Backend
from hub.chain.node.errors import RpcError
from hub.chain.node.machine import NodeVM
from hub.chain.node.rpc import Methods
from tests.chain.nodes import (
    CHAIN_ID,
    CONTEXT,
    ENDLESS,
    LOGGER,
    SENDERS,
    TWO_COUNTERS,
    Node,
    Refused,
    creation,
    deploy,
    running,
    signed,
    words,
    write_genesis,
)

ALICE = SENDERS[0]
NOW = 1_900_000_000
NOTHING = "0x" + "00" * 32
BEACON_ROOTS = "0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"  # EIP-4788
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"  # EIP-2935
BURNER = bytes.fromhex("fe")  # takes all gas at once
THRIFTY = bytes.fromhex("5a620186a011600a57005b5f5ffd")  # reverts unless 100,000 gas are left when it starts
CLEARS_TWO = bytes.fromhex("3615805f5560015500")  # slots 0 and 1 are 1 after a call without data, 0 after one with it
CALLS_ITSELF_TWICE = bytes.fromhex("5f5f5f5f5f305af1" + "5f5f5f5f5f305af1" + "00")  # no jump in it


class Clock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Chain:
    """The backend in this process, for what needs a hand on the clock or inside."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        write_genesis(folder)
        self.backend = Backend(folder, clock=self.clock, draw=random.Random(7).randbytes)
        self.methods = Methods(self.backend, has_test_hooks=True)

    def rpc(self, method: str, *params: Any) -> Any:
        return self.methods.answer(method, params)

    def send(self, raw: str) -> str:
        return "0x" + self.submit(raw).result(30).hex()

    def submit(self, raw: str) -> Any:
        return self.backend.submit(self.backend.admit(bytes.fromhex(raw[2:])))

    def mined(self, raw: str) -> Any:
        return self.rpc("eth_getTransactionReceipt", self.send(raw))

    def deploy(self, runtime: bytes) -> str:
        nonce = int(self.rpc("eth_getTransactionCount", ALICE.address), 16)
        raw = signed(ALICE, nonce, to=None, data=creation(runtime), gas=1_000_000)
        address: str = self.mined(raw)["contractAddress"]
        return address

    def held(self, raws: list[str]) -> list[Any]:
        """Sends all of them so that they wait together when the writer looks."""
        gate = threading.Event()
        self.backend.miner.command(lambda: int(gate.wait(30)))
        futures = [self.submit(raw) for raw in raws]
        gate.set()
        return futures


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path)
    yield chain
    chain.backend.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("chain"), HUB_CHAIN_TEST_HOOKS="1") as node:
        yield node


# time


def test_many_blocks_in_a_second_share_its_timestamp_and_never_run_ahead(chain: Chain) -> None:
    times = []
    for nonce in range(12):
        if nonce == 6:
            chain.clock.now += 2.9
        if nonce == 9:
            chain.clock.now -= 60  # a corrected clock takes nothing back
        block = chain.rpc("eth_getBlockByHash", chain.mined(signed(ALICE, nonce))["blockHash"])
        times.append(int(block["timestamp"], 16) - NOW)
    assert times == [0] * 6 + [2] * 6


def test_two_hundred_transactions_leave_the_head_within_a_second_of_the_clock(node: Node) -> None:
    sender, first = SENDERS[9], node.nonce(SENDERS[9])
    for nonce in range(first, first + 200):
        node.send(signed(sender, nonce))
    head = node.rpc("eth_getBlockByNumber", "latest", False)
    assert int(head["number"], 16) >= 200
    assert int(head["timestamp"], 16) <= time.time() + 1


# calls


def test_call_sees_the_given_block_with_free_gas_and_any_sender(chain: Chain) -> None:
    contract = chain.deploy(CONTEXT)
    chain.clock.now += 100
    chain.rpc("evm_mine")
    chain.clock.now += 100
    parent, head = (chain.rpc("eth_getBlockByNumber", number) for number in ("0x1", "0x2"))
    call = {"to": contract, "from": contract, "gasPrice": "0x77"}
    expected = [2, NOW + 100, 0, 0, int(contract, 16), int(head["parentHash"], 16)]
    assert words(chain.rpc("eth_call", call, "0x2")) == expected
    assert words(chain.rpc("eth_call", call, {"blockHash": head["hash"]})) == expected
    assert words(chain.rpc("eth_call", call, "latest")) == [2, NOW + 200, *expected[2:]]  # rights expire in time
    assert words(chain.rpc("eth_call", call, "0x1"))[5] == int(parent["parentHash"], 16)


def test_call_changes_nothing(chain: Chain) -> None:
    contract = chain.deploy(TWO_COUNTERS)
    assert chain.rpc("eth_call", {"to": contract, "data": "0x01"}) == "0x"
    assert words(chain.rpc("eth_call", {"to": contract})) == [0, 0]
    assert chain.rpc("eth_blockNumber") == "0x1"


def test_endless_call_ends_by_its_deadline_and_the_next_is_answered_at_once(node: Node) -> None:
    contract, other = deploy(node, ENDLESS), deploy(node, TWO_COUNTERS)
    said: list[Refused] = []

    def run() -> None:
        try:
            node.rpc("eth_call", {"to": contract}, "latest")
        except Refused as error:
            said.append(error)

    endless = threading.Thread(target=run)
    endless.start()
    answered = 0
    while endless.is_alive():
        assert words(node.rpc("eth_call", {"to": other}, "latest")) == [0, 0]
        answered += 1
    endless.join()
    assert [(error.code, error.message) for error in said] == [(-32000, "execution aborted (timeout = 5s)")]
    assert answered >= 5
    assert words(node.rpc("eth_call", {"to": other}, "latest")) == [0, 0]


@pytest.mark.parametrize("runtime", [ENDLESS, CALLS_ITSELF_TWICE])
def test_loops_and_recursion_both_meet_the_deadline(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, runtime: bytes
) -> None:
    contract = chain.deploy(runtime)
    monkeypatch.setattr(calls, "CALL_DEADLINE_S", 0.1)
    for method in ("eth_call", "eth_estimateGas"):
        with pytest.raises(RpcError, match="execution aborted"):
            chain.rpc(method, {"to": contract})


def test_inside_a_transaction_no_deadline_breaks_determinism(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = chain.deploy(ENDLESS)
    monkeypatch.setattr(calls, "CALL_DEADLINE_S", 0.0)
    receipt = chain.mined(signed(ALICE, 1, to=contract, gas=200_000))
    assert (receipt["status"], receipt["gasUsed"]) == ("0x0", hex(200_000))


@pytest.mark.parametrize(
    ("built_in", "octets", "too_little"),
    [
        (8, bytes(11 * 192), 150_000),
        (9, (300_000).to_bytes(4) + bytes(209), 150_000),
        (14, bytes(101 * 288), 320_000),
        (15, bytes(6 * 384), 150_000),
    ],
)
def test_slow_built_in_contracts_meet_the_deadline_before_they_begin(
    chain: Chain, built_in: int, octets: bytes, too_little: int
) -> None:
    call = {"to": "0x" + built_in.to_bytes(20).hex(), "data": "0x" + octets.hex(), "gas": hex(6_000_000)}
    began = time.monotonic()
    with pytest.raises(RpcError, match="execution aborted"):
        chain.rpc("eth_call", call)
    assert time.monotonic() - began < calls.CALL_DEADLINE_S
    with pytest.raises(RpcError, match="OutOfGas"):
        chain.rpc("eth_call", call | {"gas": hex(too_little)})  # what it cannot pay for it does not begin


def test_a_refund_is_capped_by_the_gas_used_and_never_takes_it_below_the_floor_of_the_data(chain: Chain) -> None:
    contract = chain.deploy(CLEARS_TWO)
    chain.mined(signed(ALICE, 1, to=contract, gas=100_000))
    before = int(chain.rpc("eth_getBalance", ALICE.address), 16)
    receipt = chain.mined(signed(ALICE, 2, to=contract, data=b"\1" * 1_000, gas=100_000))
    paid = before - int(chain.rpc("eth_getBalance", ALICE.address), 16)
    assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(61_000))
    assert paid == 61_000 * int(receipt["effectiveGasPrice"], 16)


# estimates


def test_estimate_is_the_least_gas_that_works(chain: Chain) -> None:
    contract = chain.deploy(TWO_COUNTERS)
    least = int(chain.rpc("eth_estimateGas", {"to": contract, "data": "0x01", "from": ALICE.address}), 16)
    short = chain.mined(signed(ALICE, 1, to=contract, data=b"\x01", gas=least - 1))
    enough = chain.mined(signed(ALICE, 2, to=contract, data=b"\x01", gas=least))
    assert (short["status"], enough["status"], int(enough["gasUsed"], 16)) == ("0x0", "0x1", least)


def test_estimate_searches_where_a_contract_looks_at_the_gas_left(chain: Chain) -> None:
    contract = chain.deploy(THRIFTY)
    found = int(chain.rpc("eth_estimateGas", {"to": contract}), 16)
    assert 121_000 <= found <= 121_000 * 1.006
    assert chain.mined(signed(ALICE, 1, to=contract, gas=found))["status"] == "0x1"


def test_estimate_of_data_is_its_floor_and_of_a_transfer_21000(chain: Chain) -> None:
    assert chain.rpc("eth_estimateGas", {"to": ALICE.address}) == hex(21_000)
    assert chain.rpc("eth_estimateGas", {"to": ALICE.address, "data": "0x" + "01" * 1_000}) == hex(61_000)
    with pytest.raises(RpcError, match="gas required exceeds allowance"):
        chain.rpc("eth_estimateGas", {"to": chain.deploy(ENDLESS), "gas": hex(100_000)})
    with pytest.raises(RpcError, match="insufficient funds for transfer"):
        chain.rpc("eth_estimateGas", {"to": ALICE.address, "from": "0x" + "99" * 20, "value": "0x1"})


def test_a_delegated_account_is_called_and_estimated_as_its_transaction_will_run(chain: Chain) -> None:
    contract, bob = chain.deploy(TWO_COUNTERS), SENDERS[1]
    signature = bob.sign_authorization({"chainId": CHAIN_ID, "address": contract, "nonce": 0})
    told = {
        "address": contract,
        **{name: hex(number) for name, number in (("chainId", CHAIN_ID), ("nonce", 0))},
        **{name: hex(number) for name, number in (("r", signature.r), ("s", signature.s))},
        "yParity": hex(signature.y_parity),
    }
    call = {"from": SENDERS[2].address, "to": bob.address, "authorizationList": [told], "fromAWallet": "its own note"}
    assert words(chain.rpc("eth_call", call)) == [0, 0]
    assert chain.rpc("eth_call", {**call, "authorizationList": []}) == "0x"
    least = int(chain.rpc("eth_estimateGas", {**call, "data": "0x01"}), 16)
    fields = {"to": bob.address, "data": b"\1", "authorizationList": [signature]}
    receipt = chain.mined(signed(SENDERS[2], 0, gas=least, **fields))
    assert (receipt["status"], int(receipt["gasUsed"], 16)) == ("0x1", least - 12_500)  # bob had an account already
    [kept] = chain.rpc("eth_getTransactionByHash", receipt["transactionHash"])["authorizationList"]
    assert kept == told
    assert chain.rpc("eth_getCode", bob.address) == "0xef0100" + contract[2:].lower()


# blocks


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


# reads


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


# hooks


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
