"""A chain in memory that grows, forks and goes back as a test says: the `ChainLog` port over a tree of blocks.

Between any two calls a block may come or go (`then`), as on a real node that is asked several times.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from hub.domain.chain_log import BEFORE_FIRST, Block, ChainEvent, Cost, Heads
from hub.ports import ChainUnavailable
from hub.store.transactions import running_unit

CONTRACT = "0x" + "c0" * 20
GAS, GAS_PRICE_WEI = 47_625, 10**9


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction: its hash, and the one event that it makes."""

    hash: str
    name: str
    subject: str
    args: Mapping[str, str]
    address: str = CONTRACT


def anchoring(root: bytes, by: str = "us", address: str = CONTRACT) -> Sent:
    return Sent(f"0xanchor-{by}-{root.hex()[:8]}", "Anchored", f"0x{root.hex()}", {"count": "1"}, address)


def revoking(root: bytes, word: int, mask: int, by: str = "others") -> Sent:
    args = {"word": str(word), "mask": str(mask)}
    return Sent(f"0xrevoke-{by}-{root.hex()[:8]}-{mask:x}", "Revoked", f"0x{root.hex()}", args)


def revoking_root(root: bytes) -> Sent:
    return Sent(f"0xrevoke-root-{root.hex()[:8]}", "RootRevoked", f"0x{root.hex()}", {})


@dataclass
class Forks:
    """The canonical branch is `chain`, genesis first. `confirmations` and `final_depth` are the operator's and the
    chain's rules; `limit` is how many logs a range may have."""

    chain_id: int = 7
    confirmations: int = 3
    final_depth: int = 14
    limit: int = 10_000
    chain: list[tuple[Block, tuple[Sent, ...]]] = field(default_factory=list)
    then: "deque[Callable[[], None] | None]" = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    hidden: int = 0  # newest blocks that the node does not show: it lags
    _names: "count[int]" = field(default_factory=count)
    _final: int = 0

    def __post_init__(self) -> None:
        self.mine()

    # ---- what happens on it ------------------------------------------------------------------------------------------

    def mine(self, *sent: Sent, blocks: int = 1) -> None:
        """Blocks on top, the transactions in the first of them."""
        for number in range(len(self.chain), len(self.chain) + blocks):
            parent = self.chain[-1][0].hash if self.chain else BEFORE_FIRST
            block = Block(self.chain_id, number, f"0x{self.chain_id}-{number}-{next(self._names)}", parent, number)
            self.chain.append((block, sent))
            sent = ()
        self._final = max(self._final, len(self.chain) - 1 - self.final_depth, 0)

    def reorg(self, depth: int, *branch: tuple[Sent, ...]) -> list[Sent]:
        """The newest blocks are replaced by these; gives the transactions that were in them."""
        gone = [sent for _, block in self.chain[len(self.chain) - depth :] for sent in block]
        del self.chain[len(self.chain) - depth :]
        for sent in branch:
            self.mine(*sent)
        return gone

    @property
    def sent(self) -> list[tuple[int, Sent]]:
        """Every transaction with its block's number."""
        return [(block.number, sent) for block, every in self.chain for sent in every]

    # ---- the port ----------------------------------------------------------------------------------------------------

    def _asked(self, name: str) -> None:
        assert running_unit.get() is None
        self.asked.append(name)
        if self.then and (happens := self.then.popleft()) is not None:
            happens()

    @property
    def _shown(self) -> list[tuple[Block, tuple[Sent, ...]]]:
        return self.chain[: len(self.chain) - self.hidden]

    async def heads(self) -> Heads:
        self._asked("heads")
        head = self._shown[-1][0].number
        return Heads(head, max(head - self.confirmations + 1, min(self._final, head), 0), min(self._final, head))

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        self._asked("blocks")
        return [self._shown[number][0] if number < len(self._shown) else None for number in numbers]

    async def logs_of(self, blocks: Sequence[Block], contracts: Mapping[str, str]) -> list[ChainEvent]:
        self._asked("logs_of")
        events = []
        for wanted in blocks:
            found = next((found for found in self._shown if found[0].hash == wanted.hash), None)
            if found is None:
                raise ChainUnavailable("unknown block")
            events += self._events([found], contracts)
        return events

    async def logs_between(self, first: int, last: int, contracts: Mapping[str, str]) -> list[ChainEvent]:
        self._asked("logs_between")
        assert last <= self._final, "a range near the head could straddle a reorganisation"
        return self._events(self._shown[first : last + 1], contracts)

    async def costs(self, hashes: Sequence[str]) -> dict[str, Cost]:
        self._asked("costs")
        return {hash_: Cost(GAS, GAS_PRICE_WEI) for hash_ in hashes}

    def _events(
        self, blocks: Sequence[tuple[Block, tuple[Sent, ...]]], contracts: Mapping[str, str]
    ) -> list[ChainEvent]:
        return [
            ChainEvent(
                self.chain_id, block.number, block.hash, index, sent.hash, sent.address, sent.name, sent.subject,
                sent.args,
            )
            for block, every in blocks
            for index, sent in enumerate(every)
            if sent.address in contracts
        ]  # fmt: skip
