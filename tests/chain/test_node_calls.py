"""What the node changes round py-evm: time, calls and estimates."""

import threading
import time

import pytest

from hub.chain.client import TELL_TIME
from hub.chain.node import calls
from hub.chain.node.errors import RpcError
from tests.chain.inside import ALICE, NOW, Chain
from tests.chain.nodes import CHAIN_ID, CONTEXT, ENDLESS, SENDERS, TWO_COUNTERS, Node, Refused, deploy, signed, words

THRIFTY = bytes.fromhex("5a620186a011600a57005b5f5ffd")  # reverts unless 100,000 gas are left when it starts
CLEARS_TWO = bytes.fromhex("3615805f5560015500")  # slots 0 and 1 are 1 after a call without data, 0 after one with it
CALLS_ITSELF_TWICE = bytes.fromhex("5f5f5f5f5f305af1" + "5f5f5f5f5f305af1" + "00")  # no jump in it


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


def test_a_chain_that_has_rested_for_days_tells_the_time_that_its_next_block_will_have(chain: Chain) -> None:
    chain.clock.now += 3 * 86_400
    assert words(chain.rpc("eth_call", {"data": TELL_TIME}, "pending")) == [NOW + 3 * 86_400]


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
