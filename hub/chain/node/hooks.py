"""Methods that tamper with the chain, for tests alone: they exist only where HUB_CHAIN_TEST_HOOKS is 1.

A hub that follows this chain must take each of them but `evm_mine` for what it is: history that changed below finality.
"""

from collections.abc import Callable
from itertools import count
from typing import Final

from hub.chain.node.admission import Candidate
from hub.chain.node.backend import Backend
from hub.chain.node.errors import invalid
from hub.chain.node.formats import Json, quantity, read_data, read_list, read_quantity

MINED_MAX: Final = 1_000  # empty blocks by one call


class Hooks:
    """`on_rewind` is told the height above which all blocks are gone, before any come instead."""

    def __init__(self, backend: Backend, *, on_rewind: Callable[[int], None]) -> None:
        self._backend = backend
        self._on_rewind = on_rewind
        self._numbers = count(1)
        self._snapshots: dict[int, tuple[int, bytes]] = {}

    def table(self) -> dict[str, Callable[..., Json]]:
        """The methods by their names."""
        return {
            "evm_mine": self._mine,
            "evm_snapshot": self._snapshot,
            "evm_revert": self._revert,
            "hub_reorg": self._reorg,
        }

    def _mine(self, blocks: Json = "0x1") -> Json:
        """Mines so many empty blocks."""
        wanted = _read_number(blocks, "count")
        if wanted > MINED_MAX:
            raise invalid(f"at most {MINED_MAX} blocks at once")
        miner = self._backend.miner
        for _ in range(wanted):
            miner.command(lambda: miner.mine_one(())).result()
        return "0x0"

    def _snapshot(self) -> Json:
        """The number by which `evm_revert` comes back to this head."""
        number, head = next(self._numbers), self._backend.head
        self._snapshots[number] = (head.block_number, bytes(head.hash))
        return quantity(number)

    def _revert(self, snapshot: Json) -> Json:
        """Forgets all blocks since; false for a snapshot that was used, or whose block is gone. Later ones go too."""
        number = read_quantity(snapshot, "snapshot")
        taken = self._snapshots.get(number)
        self._snapshots = {n: kept for n, kept in self._snapshots.items() if n < number}
        if taken is None or self._backend.find_header(taken[1]) is None:
            return False
        self._replace_above(taken[0], [])
        return True

    def _reorg(self, depth: Json, sends: Json = ()) -> Json:
        """Mines `depth` other blocks in place of the newest; `sends` are [raw transaction, index of its block] each.

        What was in the old blocks is forgotten, not put in a queue: who wants it in the new chain sends it again.
        """
        wanted = _read_number(depth, "depth")
        height = self._backend.head.block_number - wanted
        if wanted < 1 or height < 0:
            raise invalid("depth must be at least 1, and leave the first block alone")
        blocks: list[list[Candidate]] = [[] for _ in range(wanted)]
        for pair in read_list(sends, "sends"):
            if len(said := read_list(pair, "a send")) != 2:
                raise invalid("a send is a raw transaction and the index of its block")
            raw, place = said
            index = _read_number(place, "the block's index")
            if index >= wanted:
                raise invalid(f"the block's index must be less than {wanted}")
            blocks[index].append(self._backend.admit(read_data(raw, "the raw transaction")))
        self._replace_above(height, blocks)
        return None

    def _replace_above(self, height: int, blocks: list[list[Candidate]]) -> None:
        miner = self._backend.miner

        def act() -> int:
            miner.revert_to(height)
            self._on_rewind(height)
            for candidates in blocks:
                miner.mine_one(candidates)
            return height

        miner.command(act).result()


def _read_number(value: Json, name: str) -> int:
    """A count as a quantity, or as a JSON number, which test tools prefer."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return read_quantity(value, name)
