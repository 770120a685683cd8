"""The chain as it is read: blocks, and what contracts told in them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hub.domain.chain_log import Block, ChainEvent, Cost, Heads


class ChainLog(Protocol):
    """Blocks and events of the hub's chain, as its node tells them. Every method may raise ChainUnavailable, as when
    the node contradicts itself, and every method may be repeated. `contracts` are names by address."""

    async def heads(self) -> Heads:
        """The newest block, the newest that counts as confirmed by the operator's rule, the newest that is final."""

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """The blocks of the node's chain at these heights, None for one that it does not have."""

    async def logs_of(self, blocks: Sequence[Block], contracts: Mapping[str, str]) -> list[ChainEvent]:
        """Events of very these blocks, by their hashes; a node that has dropped one of them is unavailable."""

    async def logs_between(self, first: int, last: int, contracts: Mapping[str, str]) -> list[ChainEvent]:
        """Events of a range of blocks, both ends included, in the order of the chain. For final blocks alone: a range
        near the head may straddle a reorganisation."""

    async def costs(self, hashes: Sequence[str]) -> dict[str, Cost]:
        """What transactions that are in blocks have cost."""
