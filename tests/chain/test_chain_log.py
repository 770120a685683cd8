"""What the hub takes a node's word for when it reads the chain, and what it does not: a node in memory that says it."""

from collections.abc import Callable
from typing import Any

import pytest

from hub.chain.blocks import JsonRpcChainLog
from hub.chain.rpc import Answer, NodeSaidNo, Question
from hub.ports import ChainUnavailable

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
        (-32603, "internal error"),
        (-32601, "the method eth_getLogs does not exist"),
        (429, "Too Many Requests"),
    ],
)
async def test_any_other_refusal_is_the_callers_after_one_question(code: int, words: str) -> None:
    node = Node(lambda first, last: NodeSaidNo(code, words))
    with pytest.raises(ChainUnavailable, match=f"the node cannot now: {words}"):
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
