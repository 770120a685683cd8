"""The newest log of a contract about one subject, where a node gives the logs of few blocks at a time."""

from typing import Final, Protocol

from hub.chain.answers import granted, member_of, number_in, octets_in
from hub.chain.rpc import Answer, Json, NodeSaidNo, Question
from hub.ports import ChainUnavailable

RANGES_AT_ONCE: Final = 10  # of logs in one batch: providers count what is in a batch, and take few

Log = tuple[list[bytes], bytes]  # topics and data


class Node(Protocol):
    async def look_up(self, *questions: Question) -> list[Answer]: ...


async def newest_log(node: Node, contract: str, from_block: int, topics: list[bytes]) -> Log | None:
    """From the newest block backwards, by ranges that are halved while the node finds them too long; None: none."""
    (head,) = await node.look_up(Question("eth_blockNumber"))
    last = number_in(head)
    span, at_once = last - from_block + 1, 1
    while last >= from_block:
        lasts = range(last, max(last - span * at_once, from_block - 1), -span)
        ranges = [(max(end - span + 1, from_block), end) for end in lasts]
        for (first, end), answer in zip(ranges, await _asked(node, contract, topics, ranges), strict=True):
            if isinstance(answer, NodeSaidNo):
                if span == 1 or not answer.is_too_much:
                    raise ChainUnavailable(f"the node gives no logs of block {end}: {answer}") from answer
                span = (span + 1) // 2
                break
            if (log := _last_of(answer)) is not None:
                return log
            last, at_once = first - 1, RANGES_AT_ONCE
    return None


async def _asked(node: Node, contract: str, topics: list[bytes], ranges: list[tuple[int, int]]) -> list[Answer]:
    told: list[Json] = ["0x" + topic.hex() for topic in topics]
    criteria = [
        {"address": contract, "fromBlock": hex(first), "toBlock": hex(last), "topics": told} for first, last in ranges
    ]
    return await node.look_up(*(Question("eth_getLogs", (one,)) for one in criteria))


def _last_of(logs: Json) -> Log | None:
    if not isinstance(logs, list):
        raise ChainUnavailable("the node answered with something else than logs")
    if not logs:
        return None
    topics = granted(member_of(logs[-1], "topics"))
    if not isinstance(topics, list):
        raise ChainUnavailable("the node gave a log without topics")
    return [octets_in(topic) for topic in topics], octets_in(member_of(logs[-1], "data"))
