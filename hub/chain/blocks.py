"""The ChainLog port over JSON-RPC: headers, tags, logs and costs, in batches.

Near the head logs are asked by their block's hash (EIP-234): a range could straddle a reorganisation. Ranges are asked
only below what is final, and halved when the node finds them too long.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from hub.chain import logs
from hub.chain.answers import granted, member_of, number_in, octets_in, text_in
from hub.chain.rpc import Answer, Json, NodeSaidNo, Question
from hub.domain.chain_log import Block, ChainEvent, Cost, Heads
from hub.ports import ChainUnavailable

# Where a chain has no `finalized` tag: two epochs of Ethereum, deeper than any reorganisation of a live chain so far.
FINAL_WITHOUT_TAG: Final = 64
SAFE: Final = "safe"  # instead of a number of confirmations: what the node calls safe


class Node(Protocol):
    """A node that was found to be of the right chain."""

    @property
    def chain_id(self) -> int: ...
    async def look_up(self, *questions: Question) -> list[Answer]: ...


class JsonRpcChainLog:
    """See `hub.ports.ChainLog`. `confirmations` counts a transaction's own block as one; `SAFE` asks the node."""

    def __init__(self, node: Node, confirmations: int | str) -> None:
        self._node = node
        self._confirmations = confirmations

    async def heads(self) -> Heads:
        asked = [Question("eth_getBlockByNumber", (tag, False)) for tag in ("latest", SAFE, "finalized")]
        latest, safe, finalized = await self._node.look_up(*asked)
        head = _number_of(granted(latest), "the newest block")
        # A node that knows no such tag says so in an error of its own, or null.
        final = _tagged(finalized, otherwise=max(head - FINAL_WITHOUT_TAG, 0))
        if self._confirmations == SAFE:
            confirmed = _tagged(safe, otherwise=final)
        else:
            confirmed = max(head - int(self._confirmations) + 1, 0)
        final = min(final, head)  # the three answers may be of different moments
        return Heads(head, min(max(confirmed, final), head), final)

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        asked = [Question("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
        if not asked:
            return []
        answers = [granted(answer) for answer in await self._node.look_up(*asked)]
        found = [None if answer is None else self._block(answer) for answer in answers]
        if any(block is not None and block.number != number for block, number in zip(found, numbers, strict=True)):
            raise ChainUnavailable("the node answered with another block than was asked for")
        return found

    async def logs_of(self, blocks: Sequence[Block], contracts: Mapping[str, str]) -> list[ChainEvent]:
        if not blocks:
            return []
        asked = [
            Question("eth_getLogs", ({"blockHash": block.hash, "address": sorted(contracts)},)) for block in blocks
        ]
        events: list[ChainEvent] = []
        for block, answer in zip(blocks, await self._node.look_up(*asked), strict=True):
            found = self._events(granted(answer), contracts)
            if any(event.block_hash != block.hash for event in found):
                raise ChainUnavailable("the node gave logs of another block than was asked for")
            events += found
        return events

    async def logs_between(self, first: int, last: int, contracts: Mapping[str, str]) -> list[ChainEvent]:
        criteria = {"fromBlock": hex(first), "toBlock": hex(last), "address": sorted(contracts)}
        # A node that lags behind would know no logs of a block that it does not have: it has to show that it has it.
        answer, block = await self._node.look_up(
            Question("eth_getLogs", (criteria,)), Question("eth_getBlockByNumber", (hex(last), False))
        )
        if granted(block) is None:
            raise ChainUnavailable(f"the node does not have block {last}, which is final")
        if isinstance(answer, NodeSaidNo) and answer.is_too_much and first < last:
            middle = (first + last) // 2
            lower = await self.logs_between(first, middle, contracts)
            return lower + await self.logs_between(middle + 1, last, contracts)
        if isinstance(answer, NodeSaidNo):
            raise ChainUnavailable(f"the node gives no logs of blocks {first} to {last}: {answer}") from answer
        events = self._events(answer, contracts)
        if any(not first <= event.block_number <= last for event in events):
            raise ChainUnavailable("the node gave logs of other blocks than were asked for")
        return sorted(events, key=lambda event: (event.block_number, event.log_index))

    async def costs(self, hashes: Sequence[str]) -> dict[str, Cost]:
        if not hashes:
            return {}
        asked = [Question("eth_getTransactionReceipt", (hash_,)) for hash_ in hashes]
        costs = {}
        for hash_, answer in zip(hashes, await self._node.look_up(*asked), strict=True):
            receipt = granted(answer)
            if receipt is None:
                raise ChainUnavailable(f"the node gave a log of {hash_} and has no receipt of it")
            costs[hash_] = Cost(
                number_in(member_of(receipt, "gasUsed")), number_in(member_of(receipt, "effectiveGasPrice"))
            )
        return costs

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _block(self, said: Json) -> Block:
        return Block(
            chain_id=self._node.chain_id,
            number=_number_of(said, "a block"),
            hash=text_in(member_of(said, "hash")).lower(),
            parent_hash=text_in(member_of(said, "parentHash")).lower(),
            mined_at_us=number_in(member_of(said, "timestamp")) * 1_000_000,
        )

    def _events(self, said: Answer, contracts: Mapping[str, str]) -> list[ChainEvent]:
        if not isinstance(said, list):
            raise ChainUnavailable("the node answered with something else than logs")
        names = {address.lower(): (address, name) for address, name in contracts.items()}
        events = [self._event(log, names) for log in said]
        return sorted(events, key=lambda event: event.log_index)

    def _event(self, log: Json, contracts: Mapping[str, tuple[str, str]]) -> ChainEvent:
        """`contracts`: address and name of each, by the address in small letters."""
        if member_of(log, "removed"):
            raise ChainUnavailable("the node gave a log that it calls removed")
        known = contracts.get(text_in(member_of(log, "address")).lower())
        topics = member_of(log, "topics")
        if known is None or not isinstance(topics, list):
            raise ChainUnavailable("the node gave a log of another contract, or none at all")
        address, name = known
        told = logs.told(name, [octets_in(topic) for topic in topics], octets_in(member_of(log, "data")))
        return ChainEvent(
            chain_id=self._node.chain_id,
            block_number=number_in(member_of(log, "blockNumber")),
            block_hash=text_in(member_of(log, "blockHash")).lower(),
            log_index=number_in(member_of(log, "logIndex")),
            transaction_hash=text_in(member_of(log, "transactionHash")).lower(),
            address=address,
            name=told.name,
            subject=told.subject,
            args=told.args,
        )


def _tagged(answer: Answer, otherwise: int) -> int:
    """The number of a tagged block; `otherwise` where the node knows no such tag."""
    return otherwise if isinstance(answer, NodeSaidNo) or answer is None else _number_of(answer, "a tagged block")


def _number_of(said: Json, what: str) -> int:
    if said is None:
        raise ChainUnavailable(f"the node does not know {what}")
    return number_in(member_of(said, "number"))
