"""Where a contract's logs begin, on nodes that keep everything and on those that have forgotten what is old."""

from collections.abc import Callable
from typing import Any

import pytest

from hub.chain.deployment import first_block
from hub.chain.rpc import Answer, NodeSaidNo, Question
from hub.ports import ChainRefused, ChainUnavailable

ADDRESS, HEAD, MADE_IN = "0x" + "c0" * 20, 1_000, 618


class Node:
    """At block HEAD, with a contract since MADE_IN; `forgotten` is what it says of states before the newest 128."""

    chain_id = 7

    def __init__(self, forgotten: Answer = "0x") -> None:
        self.forgotten = forgotten
        self.asked: list[int] = []

    async def look_up(self, question: Question) -> list[Answer]:
        if question.method == "eth_blockNumber":
            return [hex(HEAD)]
        address, number = question.params
        assert address == ADDRESS
        self.asked.append(int(str(number), 16))
        if self.forgotten != "0x" and self.asked[-1] <= HEAD - 128:
            return [self.forgotten]
        return ["0x60" if self.asked[-1] >= MADE_IN else "0x"]


def on(node: Any) -> Any:
    return node


async def test_a_node_that_keeps_everything_tells_it_in_few_questions() -> None:
    node = Node()
    assert await first_block(on(node), ADDRESS) == MADE_IN
    assert len(node.asked) == 10


@pytest.mark.parametrize(
    "said",
    [
        NodeSaidNo(
            -32000, "missing trie node 3b70737ce08bd905749df6103fbc21548427951dcf373c32aaaa9cffa1aa034a (path )"
        ),
        NodeSaidNo(-32000, "historical state 0x3b70737c is not available"),
        NodeSaidNo(-32000, "old data not available due to pruning: requested block 499"),
        NodeSaidNo(-32603, "state at block #499 is pruned"),
        NodeSaidNo(-32002, "No state available for block 499"),
        None,  # an answer, and no error
    ],
    ids=["hashed states", "paths", "pruned history", "pruned state", "no state", "null"],
)
async def test_a_node_that_has_forgotten_is_not_believed_and_the_operator_is_asked(said: Answer) -> None:
    with pytest.raises(ChainRefused, match=r"keeps no old states .* `hub contracts deploy --from-block NUMBER`"):
        await first_block(on(Node(said)), ADDRESS)
    node = Node(said)
    assert await first_block(on(node), ADDRESS, MADE_IN) == MADE_IN
    assert node.asked == []


@pytest.mark.parametrize("told", [-1, HEAD + 1])
async def test_a_block_that_is_not_there_is_refused(told: int) -> None:
    with pytest.raises(ChainRefused, match=f"has blocks 0 to 1000, and no block {told}"):
        await first_block(on(Node()), ADDRESS, told)


@pytest.mark.parametrize("answer", [NodeSaidNo(-32005, "too many requests"), None, "soon"])
async def test_a_node_that_does_not_tell_its_newest_block_is_asked_again(answer: Answer) -> None:
    node = Node()
    node.look_up = says(answer)  # type: ignore[method-assign]  # this test's own fault in its place
    with pytest.raises(ChainUnavailable):
        await first_block(on(node), ADDRESS)


def says(answer: Answer) -> Callable[..., Any]:
    async def look_up(*_: Question) -> list[Answer]:
        return [answer]

    return look_up
