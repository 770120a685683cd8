"""What the hub takes a node's word for when it reads the chain, and what it does not: a node in memory that says it."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_utils.crypto import keccak

from contracts import abi
from hub.chain import logs
from hub.chain.blocks import JsonRpcChainLog
from hub.chain.rpc import Answer, NodeSaidNo, Question
from hub.domain.chain_log import Heads
from hub.ports import ChainUnavailable
from tests.chain.test_checkout import Tagged

CONTRACT = "0x" + "00" * 19 + "01"
NAMES = {CONTRACT: "entitlement_hub"}


class Node:
    """Holds one log in every block up to `head`, and answers the questions for logs that `refuses` lets through."""

    chain_id = 5

    def __init__(self, refuses: Callable[[int, int], NodeSaidNo | None] = lambda first, last: None) -> None:
        self.head, self.refuses = 99, refuses
        self.asked: list[tuple[int, int]] = []

    async def look_up(self, *questions: Question) -> list[Answer]:
        return [self._answer(question.method, question.params[0]) for question in questions]

    def _answer(self, method: str, of: Any) -> Answer:
        if method == "eth_getBlockByNumber":
            number = int(of, 16)
            return None if number > self.head else _block(number)
        first, last = int(of["fromBlock"], 16), int(of["toBlock"], 16)
        self.asked.append((first, last))
        return self.refuses(first, last) or [_log(number) for number in range(first, min(last, self.head) + 1)]


def _block(number: int) -> Answer:
    return {"number": hex(number), "hash": hex(number), "parentHash": hex(number - 1), "timestamp": "0x1"}


def _log(number: int) -> Answer:
    return {
        "address": CONTRACT, "topics": ["0x" + "00" * 32], "data": "0x", "removed": False, "logIndex": "0x0",
        "blockNumber": hex(number), "blockHash": hex(number), "transactionHash": "0xab",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32005, "query timeout: narrow its range"),
        (-32602, "range 1000000 exceeds limit of 10000"),
        (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32000, "block range is larger than max block range, block range = 5120, max block range = 5000"),
        (-32600, "You can make eth_getLogs requests with up to a 500 block range."),
    ],
)
async def test_range_that_a_node_finds_too_long_is_halved_until_it_is_granted(code: int, words: str) -> None:
    node = Node(lambda first, last: NodeSaidNo(code, words) if last - first >= 3 else None)
    events = await JsonRpcChainLog(node, 1).logs_between(10, 21, NAMES)
    assert [event.block_number for event in events] == list(range(10, 22))
    assert node.asked == [(10, 21), (10, 15), (10, 12), (13, 15), (16, 21), (16, 18), (19, 21)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32005, "daily request count exceeded, request rate limited"),
        (-32000, "missing trie node"),
        (4444, "pruned history unavailable"),
        (-32000, "old data not available due to pruning: requested block 10"),
        (-32000, "Receipt not available for From block 10."),
        (-32603, "internal error"),
        (-32601, "the method eth_getLogs does not exist"),
        (429, "Too Many Requests"),
    ],
)
async def test_any_other_refusal_is_the_callers_after_one_question(code: int, words: str) -> None:
    node = Node(lambda first, last: NodeSaidNo(code, words))
    with pytest.raises(ChainUnavailable, match=f"no logs of blocks 10 to 99: {words}"):
        await JsonRpcChainLog(node, 1).logs_between(10, 99, NAMES)
    assert len(node.asked) == 1


async def test_single_block_that_is_too_much_is_the_callers() -> None:
    node = Node(lambda first, last: NodeSaidNo(-32005, "query returned more than 10000 results"))
    with pytest.raises(ChainUnavailable, match="more than 10000"):
        await JsonRpcChainLog(node, 1).logs_between(10, 11, NAMES)
    assert node.asked == [(10, 11), (10, 10)]


async def test_node_that_lags_behind_the_range_gives_no_logs_of_it() -> None:
    with pytest.raises(ChainUnavailable, match="does not have block 100"):
        await JsonRpcChainLog(Node(), 1).logs_between(10, 100, NAMES)


class Refusing(Tagged):
    """Says in an error that it knows no such tag, as others do by null."""

    def answer(self, question: Question) -> Answer:
        return super().answer(question) or NodeSaidNo(-32602, "invalid block tag")


@pytest.mark.parametrize("kind", [Tagged, Refusing])
@pytest.mark.parametrize(
    ("confirmations", "tags", "confirmed", "final"),
    [
        (12, {"safe": 70, "finalized": 40}, 89, 40),
        (80, {"safe": 70, "finalized": 40}, 40, 40),  # what is final is confirmed
        ("safe", {"safe": 70, "finalized": 40}, 70, 40),
        ("safe", {"finalized": 40}, 40, 40),
        ("safe", {"safe": 70}, 70, 36),
        ("safe", {}, 36, 36),
        (12, {}, 89, 36),
        ("safe", {"safe": 101, "finalized": 101}, 100, 100),  # answered a block later than `latest`
        ("safe", {"latest": 63}, 0, 0),
        (12, {"latest": 10}, 0, 0),
    ],
)
async def test_heads_are_those_that_the_node_names_and_64_deep_where_it_names_none(
    kind: type[Tagged], confirmations: int | str, tags: dict[str, int], confirmed: int, final: int
) -> None:
    found = await JsonRpcChainLog(kind(**tags), confirmations).heads()
    assert found == Heads(tags.get("latest", 100), confirmed, final)


async def test_node_without_a_newest_block_tells_no_heads() -> None:
    node = Tagged()
    del node.numbers["latest"]
    with pytest.raises(ChainUnavailable, match="the newest block"):
        await JsonRpcChainLog(node, "safe").heads()


ALICE = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
TO = bytes(12) + bytes.fromhex(ALICE[2:])
CLAIMED = keccak(text="Claimed(bytes32,uint32,address,uint256,uint64)")
FOUND = {"root": "0x" + "07" * 32, "index": "5", "to": ALICE, "tokenId": str(2**255), "expiry": str(2**56 - 1)}


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)


def test_log_of_plain_words_is_told_as_the_decoder_of_every_type_tells_it() -> None:
    topics, data = [CLAIMED, b"\7" * 32, TO, words(2**255)], words(5, 2**56 - 1)
    found = logs.told("entitlement_hub", topics, data)
    assert (found.name, found.subject, found.args) == ("Claimed", FOUND["root"], FOUND)
    event = abi.event("entitlement_hub", "Claimed")
    slowly = [str(value) for value in abi.logged(event, topics, data)[1:]]
    assert slowly == [FOUND["index"], ALICE.lower(), FOUND["tokenId"], FOUND["expiry"]]


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([CLAIMED, b"\7" * 32, TO, words(1)], words(2**32, 1)),  # no uint32
        ([CLAIMED, b"\7" * 32, b"\1" + TO[1:], words(1)], words(1, 1)),  # no address
        ([CLAIMED, b"\7" * 32, TO, words(1)], words(1, 1)[:-1]),
        ([CLAIMED, b"\7" * 32, TO], words(1, 1)),
        ([CLAIMED, b"\7" * 31, TO, words(1)], words(1, 1)),
        ([b"\1" * 32, b"\7" * 32, TO, words(1)], words(1, 1)),  # no event of ours
    ],
)
def test_log_that_does_not_fit_is_told_raw(topics: list[bytes], data: bytes) -> None:
    found = logs.told("entitlement_hub", topics, data)
    assert (found.name, found.subject) == ("0x" + topics[0].hex(), "0x" + topics[1].hex())
    assert found.args == {"topics": ["0x" + topic.hex() for topic in topics], "data": "0x" + data.hex()}
