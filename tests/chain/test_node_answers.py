"""What the node answers: shapes, absences, refusals, and the edges of its HTTP."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils import to_checksum_address
from web3 import AsyncHTTPProvider, AsyncWeb3

from tests.chain.nodes import (
    CHAIN_ID,
    ETHER,
    GWEI,
    LOGGER,
    REVERTS_WITH_INPUT,
    SENDERS,
    Node,
    Refused,
    creation,
    deploy,
    running,
    signed,
    words,
)

ALICE, BOB, CAROL, DAVE, ERIN = SENDERS[:5]
SHOP = "https://shop.example"
NOWHERE = "0x" + "00" * 32
HEADERS = {"Content-Type": "application/json"}
METHODS = frozenset(
    {
        *("web3_clientVersion", "net_version", "net_listening", "eth_chainId", "eth_syncing", "eth_accounts"),
        *("eth_blockNumber", "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getBlockTransactionCountByNumber"),
        *("eth_getBlockReceipts", "eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getTransactionCount"),
        *("eth_getBalance", "eth_getCode", "eth_getStorageAt", "eth_call", "eth_estimateGas", "eth_gasPrice"),
        *("eth_maxPriorityFeePerGas", "eth_feeHistory", "eth_sendRawTransaction", "eth_getLogs", "eth_newFilter"),
        *("eth_newBlockFilter", "eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"),
    }
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    origins = ("--origin", SHOP, "--origin", "http://localhost:3000")
    with running(tmp_path_factory.mktemp("chain"), *origins, HUB_CHAIN_TEST_HOOKS="0") as node:
        yield node


def refusal(node: Node, method: str, *params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        node.rpc(method, *params)
    return caught.value


# transactions


def test_receipt_block_and_transaction_agree(node: Node) -> None:
    raw = signed(BOB, 0, value=7)
    receipt = node.mined(raw)
    block = node.rpc("eth_getBlockByHash", receipt["blockHash"], True)
    transaction = node.rpc("eth_getTransactionByHash", receipt["transactionHash"])
    assert block["transactions"] == [transaction]
    assert block == node.rpc("eth_getBlockByNumber", receipt["blockNumber"], True)
    assert node.rpc("eth_getBlockReceipts", receipt["blockNumber"]) == [receipt]
    assert node.rpc("eth_getBlockTransactionCountByNumber", receipt["blockNumber"]) == "0x1"
    assert (transaction["from"], transaction["value"], transaction["nonce"]) == (BOB.address, "0x7", "0x0")
    assert transaction["v"] == transaction["yParity"]
    assert (receipt["status"], receipt["gasUsed"], receipt["contractAddress"]) == ("0x1", "0x5208", None)
    assert receipt["effectiveGasPrice"] == transaction["gasPrice"]
    assert int(receipt["effectiveGasPrice"], 16) == int(block["baseFeePerGas"], 16) + GWEI


def test_every_type_of_transaction_is_mined(node: Node) -> None:
    nonce = node.nonce(BOB)
    legacy = signed(BOB, nonce, gasPrice=3 * GWEI)
    access = signed(
        BOB, nonce + 1, gasPrice=3 * GWEI, type=1, accessList=[{"address": ALICE.address, "storageKeys": [NOWHERE]}]
    )
    dynamic = signed(BOB, nonce + 2)
    receipts = [node.mined(raw) for raw in (legacy, access, dynamic)]
    assert [receipt["type"] for receipt in receipts] == ["0x0", "0x1", "0x2"]
    assert [receipt["gasUsed"] for receipt in receipts] == [hex(21_000), hex(21_000 + 2_400 + 1_900), hex(21_000)]
    old, listed, _ = (node.rpc("eth_getTransactionByHash", receipt["transactionHash"]) for receipt in receipts)
    assert int(old["v"], 16) == 35 + 2 * CHAIN_ID + int(old["yParity"], 16)
    assert listed["accessList"] == [{"address": ALICE.address, "storageKeys": [NOWHERE]}]


def test_sent_again_it_is_already_known(node: Node) -> None:
    raw = signed(CAROL, node.nonce(CAROL))
    node.send(raw)
    assert refusal(node, "eth_sendRawTransaction", raw).message == "already known"


def test_unknown_things_are_null_and_unknown_blocks_refuse_calls(node: Node) -> None:
    assert node.rpc("eth_getTransactionByHash", NOWHERE) is None
    assert node.rpc("eth_getTransactionReceipt", NOWHERE) is None
    assert node.rpc("eth_getBlockByHash", NOWHERE, False) is None
    assert node.rpc("eth_getBlockByNumber", "0xffffff", False) is None
    assert node.rpc("eth_getBlockReceipts", "0xffffff") is None
    for method, params in (
        ("eth_call", ({"to": ALICE.address}, "0xffffff")),
        ("eth_getBalance", (ALICE.address, "0xffffff")),
        ("eth_getLogs", ({"blockHash": NOWHERE},)),
    ):
        assert refusal(node, method, *params).code == -32000


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"gas": 20_999}, "intrinsic gas too low"),
        ({"gas": 60_000, "data": b"\x01" * 1_000}, "intrinsic gas too low: have 60000, want 61000"),
        ({"gas": 8_000_001}, "transaction gas limit too high"),
        ({"gas": 16_777_217}, "transaction gas limit too high"),
        ({"maxFeePerGas": GWEI, "maxPriorityFeePerGas": 2 * GWEI}, "max priority fee per gas higher than max fee"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "max fee per gas less than block base fee"),
        ({"to": None, "data": b"\x00" * 49_153, "gas": 8_000_000}, "max initcode size exceeded"),
        ({"to": None, "data": b"\x00" * 320, "gas": 54_299}, "intrinsic gas too low: have 54299, want 54300"),
        ({"chainId": CHAIN_ID + 1}, "invalid chain id for signer"),
        ({"value": 2_000_000 * ETHER}, "insufficient funds for gas * price + value"),
    ],
)
def test_what_cannot_be_mined_is_refused_and_takes_no_nonce(node: Node, fields: dict[str, Any], reason: str) -> None:
    height, nonce = node.rpc("eth_blockNumber"), node.nonce(DAVE)
    said = refusal(node, "eth_sendRawTransaction", signed(DAVE, nonce, **fields))
    assert (said.code, said.message.startswith(reason)) == (-32000, True), said.message
    assert (node.rpc("eth_blockNumber"), node.nonce(DAVE)) == (height, nonce)


def test_gas_exactly_at_the_floor_of_the_data_is_used_up_and_not_more(node: Node) -> None:
    receipt = node.mined(signed(CAROL, node.nonce(CAROL), gas=61_000, data=b"\x01" * 1_000))
    assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(61_000))


def test_low_nonce_and_blob_and_garbage_are_refused(node: Node) -> None:
    node.send(signed(ERIN, node.nonce(ERIN)))
    assert refusal(node, "eth_sendRawTransaction", signed(ERIN, 0, value=1)).message.startswith("nonce too low")
    assert refusal(node, "eth_sendRawTransaction", "0x03" + "c0").message == "blob transactions are not supported"
    for garbage in ("0x", "0x00", "0x02", "0x02c0", "0xc0", "0x7f01", "0x05c0", signed(ERIN, 9)[:-2] + "zz"):
        assert refusal(node, "eth_sendRawTransaction", garbage).code == -32602
    broken = signed(ERIN, node.nonce(ERIN))
    unsigned = broken[:-128] + "00" * 64  # r and s of nothing
    assert refusal(node, "eth_sendRawTransaction", unsigned).code in (-32602, -32000)


def test_later_nonces_wait_and_are_mined_with_the_missing_one(node: Node) -> None:
    nonce = node.nonce(ALICE)
    later = [node.send(signed(ALICE, nonce + offset)) for offset in (2, 1)]
    assert node.rpc("eth_getTransactionReceipt", later[0]) is None
    assert node.rpc("eth_getTransactionByHash", later[0])["blockHash"] is None
    assert int(node.rpc("eth_getTransactionCount", ALICE.address, "pending"), 16) == nonce
    assert refusal(node, "eth_sendRawTransaction", signed(ALICE, nonce + 2)).message == "already known"
    assert refusal(node, "eth_sendRawTransaction", signed(ALICE, nonce + 2, value=1)).message == (
        "replacement transaction underpriced"
    )
    node.send(signed(ALICE, nonce))
    assert node.nonce(ALICE) == nonce + 3
    assert all(node.rpc("eth_getTransactionReceipt", sent)["status"] == "0x1" for sent in later)


# reverts


def test_revert_gives_code_3_reason_and_data_on_call_and_estimate(node: Node) -> None:
    contract = deploy(node, REVERTS_WITH_INPUT)
    text = b"NOT_YOURS"
    reason = bytes.fromhex("08c379a0") + (32).to_bytes(32) + len(text).to_bytes(32) + text.ljust(32, b"\0")
    panic = bytes.fromhex("4e487b71") + (0x11).to_bytes(32)
    for octets, message in (
        (reason, "execution reverted: NOT_YOURS"),
        (panic, "execution reverted: panic code 0x11"),
        (b"", "execution reverted"),
        (reason[:50], "execution reverted"),
    ):
        for method in ("eth_call", "eth_estimateGas"):
            said = refusal(node, method, {"to": contract, "input": "0x" + octets.hex()})
            assert (said.code, said.message, said.data) == (3, message, "0x" + octets.hex())


def test_a_reverted_transaction_is_mined_with_status_0(node: Node) -> None:
    contract = deploy(node, REVERTS_WITH_INPUT)
    receipt = node.mined(signed(SENDERS[0], node.nonce(SENDERS[0]), to=contract, value=1))
    assert (receipt["status"], receipt["logs"]) == ("0x0", [])
    assert node.rpc("eth_getBalance", contract, "latest") == "0x0"


# logs


def test_logs_are_found_by_block_hash_range_address_and_topics(node: Node) -> None:
    first, second = deploy(node, LOGGER), deploy(node, LOGGER)
    sender = SENDERS[5]
    receipts = [
        node.mined(signed(sender, i, to=contract, data=topic.to_bytes(32) + other.to_bytes(32)))
        for i, (contract, topic, other) in enumerate(((first, 1, 10), (second, 1, 20), (first, 2, 30)))
    ]
    start = receipts[0]["blockNumber"]
    written = [log for receipt in receipts for log in receipt["logs"]]

    def found(**criteria: Any) -> list[int]:
        logs = node.rpc("eth_getLogs", {"fromBlock": start, **criteria})
        assert all(log in written for log in logs)
        return [int(log["topics"][1], 16) for log in logs]

    word = {number: "0x" + number.to_bytes(32).hex() for number in (1, 2, 10, 20, 30)}
    assert found() == [10, 20, 30]
    assert found(address=first) == [10, 30]
    assert found(address=[first, second]) == [10, 20, 30]
    assert found(topics=[word[1]]) == [10, 20]
    assert found(topics=[[word[1], word[2]]], address=first) == [10, 30]
    assert found(topics=[None, word[20]]) == [20]
    assert found(topics=[None, None, word[20]]) == []
    assert found(toBlock=receipts[1]["blockNumber"]) == [10, 20]
    assert [log["logIndex"] for log in node.rpc("eth_getLogs", {"blockHash": receipts[2]["blockHash"]})] == ["0x0"]


def test_filters_tell_each_log_and_each_block_once(node: Node) -> None:
    contract, sender = deploy(node, LOGGER), SENDERS[6]
    logs, blocks = node.rpc("eth_newFilter", {"address": contract}), node.rpc("eth_newBlockFilter")
    receipt = node.mined(signed(sender, 0, to=contract, data=bytes(64)))
    assert node.rpc("eth_getFilterChanges", logs) == receipt["logs"]
    assert node.rpc("eth_getFilterChanges", logs) == []
    assert node.rpc("eth_getFilterLogs", logs) == receipt["logs"]  # without a range it means the newest block
    assert node.rpc("eth_getFilterChanges", blocks) == [receipt["blockHash"]]
    assert node.rpc("eth_uninstallFilter", logs) is True
    assert node.rpc("eth_uninstallFilter", logs) is False
    assert refusal(node, "eth_getFilterChanges", logs).message == "filter not found"


# everything else that clients ask


def test_constant_answers(node: Node) -> None:
    assert node.rpc("net_version") == str(CHAIN_ID)
    assert node.rpc("net_listening") is True
    assert node.rpc("eth_syncing") is False
    assert node.rpc("eth_accounts") == []
    assert node.rpc("web3_clientVersion").startswith("tongbao-node/")


def test_all_tags_name_the_head(node: Node) -> None:
    head = node.rpc("eth_getBlockByNumber", "latest", False)
    for tag in ("safe", "finalized", "pending"):
        assert node.rpc("eth_getBlockByNumber", tag, False) == head
    assert node.rpc("eth_getBlockByNumber", "earliest", False)["number"] == "0x0"
    assert node.rpc("eth_getBalance", ALICE.address, {"blockHash": head["hash"]}) == node.rpc(
        "eth_getBalance", ALICE.address, {"blockNumber": head["number"]}
    )


def test_fee_history_ends_with_the_fee_of_the_next_block(node: Node) -> None:
    node.send(signed(BOB, node.nonce(BOB), maxPriorityFeePerGas=3))
    history = node.rpc("eth_feeHistory", "0x2", "latest", [0, 100])
    head = node.rpc("eth_getBlockByNumber", "latest", False)
    assert history["baseFeePerGas"][1] == head["baseFeePerGas"]
    assert (len(history["baseFeePerGas"]), len(history["gasUsedRatio"])) == (3, 2)
    assert history["reward"][1] == ["0x3", "0x3"]
    node.send(signed(BOB, node.nonce(BOB)))
    assert node.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"] == history["baseFeePerGas"][2]


def test_storage_and_code_are_read_by_slot_and_block(node: Node) -> None:
    contract = deploy(node, LOGGER)
    assert node.rpc("eth_getCode", contract, "latest") == "0x" + LOGGER.hex()
    assert node.rpc("eth_getCode", contract, "0x0") == "0x"
    assert node.rpc("eth_getStorageAt", contract, "0x0", "latest") == NOWHERE
    assert node.rpc("eth_getStorageAt", contract, NOWHERE, "latest") == NOWHERE


@pytest.mark.parametrize(
    "method",
    ["eth_sendTransaction", "eth_sign", "personal_sign", "personal_unlockAccount", "evm_mine", "evm_snapshot", "nope"],
)
def test_no_method_signs_or_tampers(node: Node, method: str) -> None:
    assert refusal(node, method).code == -32601


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_accounts", (1,)),
        ("eth_getBalance", ()),
        ("eth_getBalance", ("0x12", "latest")),
        ("eth_getBalance", (ALICE.address, "newest")),
        ("eth_getBalance", (ALICE.address, "0x01")),
        ("eth_getTransactionReceipt", ("0x12",)),
        ("eth_getBlockByNumber", (7, False)),
        ("eth_call", ("x", "latest")),
        ("eth_call", ({"to": ALICE.address, "data": "0x1"}, "latest")),
        ("eth_call", ({"to": ALICE.address, "blobVersionedHashes": [NOWHERE]}, "latest")),
        ("eth_estimateGas", ({"to": ALICE.address, "authorizationList": [{"nonce": "0x0"}]},)),
        ("eth_call", ({"to": ALICE.address}, "latest", {})),
        ("eth_getLogs", ({"topics": [NOWHERE] * 5},)),
        ("eth_getLogs", ({"fromBlock": "0x5", "toBlock": "0x4"},)),
        ("eth_getLogs", ({"blockHash": NOWHERE, "fromBlock": "0x1"},)),
        ("eth_sendRawTransaction", ()),
    ],
)
def test_unreadable_parameters_are_named(node: Node, method: str, params: tuple[Any, ...]) -> None:
    assert refusal(node, method, *params).code == -32602


async def test_web3_sends_and_reads_receipt_log_and_batch(node: Node) -> None:
    sender = SENDERS[8]
    contract = to_checksum_address(deploy(node, LOGGER))
    web3 = AsyncWeb3(AsyncHTTPProvider(f"http://127.0.0.1:{node.ready['port']}"))
    try:
        call = {"from": sender.address, "to": contract, "data": "0x" + "01" * 64}
        fields = {
            "nonce": await web3.eth.get_transaction_count(sender.address, "pending"),
            "gas": await web3.eth.estimate_gas(call),
            "maxPriorityFeePerGas": await web3.eth.max_priority_fee,
            "maxFeePerGas": 2 * await web3.eth.gas_price,
        }
        raw = signed(sender, to=contract, data=b"\x01" * 64, **fields)
        sent = await web3.eth.send_raw_transaction(raw)
        receipt = await web3.eth.wait_for_transaction_receipt(sent)
        assert (receipt["status"], receipt["gasUsed"]) == (1, fields["gas"])
        assert await web3.eth.get_logs({"blockHash": receipt["blockHash"]}) == receipt["logs"]
        async with web3.batch_requests() as batch:
            batch.add(web3.eth.get_block("earliest"))
            batch.add(web3.eth.get_transaction_receipt(sent))
            first, again = await batch.async_execute()
        assert (first["number"], again) == (0, receipt)
    finally:
        await web3.provider.disconnect()


def test_it_has_exactly_the_agreed_methods(node: Node) -> None:
    others = ("eth_signTypedData_v4", "eth_getProof", "eth_newPendingTransactionFilter", "debug_traceCall", "hub_reorg")
    nonsense = [{"nobody": "takes this"}] * 5
    requests = [
        {"jsonrpc": "2.0", "id": name, "method": name, "params": nonsense} for name in (*sorted(METHODS), *others)
    ]
    missing = {answer["id"] for answer in node.post(requests) if answer["error"]["code"] == -32601}
    assert missing == set(others)


def test_a_wallet_that_adds_the_network_and_sends_gets_what_it_asks(node: Node) -> None:
    """MetaMask's questions, in its order and with its parameters."""
    wallet, friend = SENDERS[9], SENDERS[10].address
    me = wallet.address.lower()
    assert node.rpc("eth_chainId") == hex(CHAIN_ID)
    assert node.rpc("net_version") == str(CHAIN_ID)
    head = node.rpc("eth_getBlockByNumber", node.rpc("eth_blockNumber"), False)
    assert int(head["baseFeePerGas"], 16) > 0  # else it would send legacy transactions
    assert node.rpc("eth_getBalance", me, head["number"]) == hex(1_000_000 * ETHER)
    assert node.rpc("eth_getCode", friend.lower(), "latest") == "0x"  # no contract: a plain transfer
    history = node.rpc("eth_feeHistory", "0x5", "latest", [10, 20, 30])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1 == len(history["reward"]) + 1
    assert int(node.rpc("eth_gasPrice"), 16) > int(history["baseFeePerGas"][-1], 16)
    draft = {"from": me, "to": friend.lower(), "value": "0x5", "data": "0x", "type": "0x2", "estimateUsed": "0x0"}
    gas = node.rpc("eth_estimateGas", draft)
    assert gas == hex(21_000)
    assert node.rpc("eth_call", {"to": friend.lower(), "data": "0x70a08231" + "00" * 32}, "latest") == "0x"
    nonce = int(node.rpc("eth_getTransactionCount", me, "pending"), 16)
    sent = node.send(signed(wallet, nonce, to=friend, value=5, gas=int(gas, 16)))
    receipt = node.rpc("eth_getTransactionReceipt", sent)
    assert (receipt["status"], receipt["gasUsed"]) == ("0x1", gas)
    assert node.rpc("eth_getBlockByHash", receipt["blockHash"], False)["timestamp"] >= head["timestamp"]
    assert node.rpc("eth_getTransactionByHash", sent)["from"].lower() == me
    assert node.rpc("eth_getTransactionCount", me, receipt["blockNumber"]) == hex(nonce + 1)


# HTTP


def test_a_batch_keeps_the_order_of_its_sends(node: Node) -> None:
    sender = SENDERS[7]
    sends = [
        {"jsonrpc": "2.0", "id": i, "method": "eth_sendRawTransaction", "params": [signed(sender, i)]}
        for i in range(20)
    ]
    answers = node.post([*sends, {"jsonrpc": "2.0", "id": "read", "method": "eth_chainId"}, 5])
    assert [answer["id"] for answer in answers] == [*range(20), "read", None]
    assert all("result" in answer for answer in answers[:21])
    assert answers[21]["error"]["code"] == -32600
    assert node.nonce(sender) == 20


@pytest.mark.parametrize(
    ("body", "code"),
    [("{", -32700), ("[]", -32600), ('{"jsonrpc": "2.0", "method": "eth_chainId"}', -32600), ("7", -32600)],
)
def test_what_is_no_request_is_told_so(node: Node, body: str, code: int) -> None:
    status, text = node.http("POST", body.encode(), **HEADERS)
    assert (status, json.loads(text)["error"]["code"]) == (200, code)


def test_only_posts_of_bounded_size_to_a_loopback_name_are_read(node: Node) -> None:
    ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    assert node.http("GET")[0] == 405
    assert node.http("OPTIONS", Origin="https://evil.example")[0] == 405
    for host in ("evil.example", f"evil.example:{node.ready['port']}", "127.0.0.1.evil.example", ""):
        assert node.http("POST", ask, Host=host)[0] == 403
    for host in ("localhost", "127.0.0.1", f"localhost:{node.ready['port']}", "[::1]:1"):
        assert node.http("POST", ask, Host=host)[0] == 200
    assert node.http("POST", b"[" + b" " * (5 * 1024 * 1024))[0] == 413


def test_a_body_that_a_page_could_send_unasked_is_refused(node: Node) -> None:
    ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert node.http_whole("POST", ask, {"Content-Type": kind})[0] == 415
    assert node.http_whole("POST", ask, {})[0] == 415
    assert node.http_whole("POST", ask, {"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200


def test_only_pages_of_listed_origins_may_read_answers(node: Node) -> None:
    ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in (
        (SHOP, SHOP),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:3001", None),
        ("https://evil.example", None),
        ("null", None),
    ):
        status, _, headers = node.http_whole("OPTIONS", b"", {"Origin": origin, **asking})
        assert (status, headers.get("access-control-allow-origin")) == (204 if allowed else 405, allowed)
        assert headers.get("access-control-allow-headers") == ("content-type" if allowed else None)
        status, _, headers = node.http_whole("POST", ask, {"Origin": origin, **HEADERS})
        assert (status, headers.get("access-control-allow-origin")) == (200, allowed)
    assert node.http_whole("OPTIONS", b"", {"Origin": SHOP, "Host": "evil.example", **asking})[0] == 403
    assert "access-control-allow-origin" not in node.http_whole("POST", ask, HEADERS)[2]


def test_it_listens_on_one_address_only(node: Node) -> None:
    with socket.socket() as other:
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", node.ready["port"])) != 0


def test_creation_needs_no_recipient_and_words_round_trip(node: Node) -> None:
    returned = node.rpc("eth_call", {"data": "0x" + creation(LOGGER).hex()}, "latest")
    assert returned == "0x" + LOGGER.hex()
    assert words("0x" + (5).to_bytes(32).hex()) == [5]
