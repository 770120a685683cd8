"""Transactions that are known and not mined: those on their way to a block, and those whose turn has not come."""

import threading
from typing import Final

from eth_typing import Address

from hub.chain.node.admission import Candidate
from hub.chain.node.errors import refused

QUEUED_PER_SENDER_MAX: Final = 1_000
QUEUED_MAX: Final = 10_000  # of all senders; memory is all that holds them
REPLACEMENT_PERCENT: Final = 110  # what a replacement must offer at least, as in go-ethereum


class Pool:
    """Queued by (sender, nonce), in memory only: the one acknowledgement of this node that a crash can undo."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: dict[Address, dict[int, Candidate]] = {}
        self._by_hash: dict[bytes, Candidate] = {}

    def queue(self, candidate: Candidate) -> None:
        """Keeps it until its nonce is due. Raises RpcError when it is known, underpriced or too many."""
        nonce = candidate.transaction.nonce
        with self._lock:
            known = self._by_hash.get(candidate.hash)
            if known is candidate:
                return  # the same submission once more, after a block that failed
            if known is not None:
                raise refused("already known")
            waiting = self._queued.setdefault(candidate.sender, {})
            if nonce in waiting:
                self._check_price(candidate, waiting[nonce])
                del self._by_hash[waiting[nonce].hash]
            elif len(waiting) >= QUEUED_PER_SENDER_MAX or len(self._by_hash) >= QUEUED_MAX:
                raise refused(f"too many queued transactions: at most {QUEUED_PER_SENDER_MAX} of a sender")
            waiting[nonce] = candidate
            self._by_hash[candidate.hash] = candidate

    def due(self, sender: Address, nonce: int) -> Candidate | None:
        """The queued one with exactly this nonce; it stays queued until `settle`."""
        with self._lock:
            return self._queued.get(sender, {}).get(nonce)

    def settle(self, sender: Address, nonce: int) -> None:
        """That nonce is used up, or its transaction turned out bad: whatever waited for it goes."""
        with self._lock:
            waiting = self._queued.get(sender, {})
            gone = waiting.pop(nonce, None)
            if gone is not None:
                del self._by_hash[gone.hash]
            if not waiting:
                self._queued.pop(sender, None)

    def next_nonce(self, sender: Address, mined: int) -> int:
        """The nonce after everything mined (`mined` is the state's nonce) and everything queued without a gap."""
        with self._lock:
            waiting = self._queued.get(sender, {})
            while mined in waiting:
                mined += 1
            return mined

    def find(self, tx_hash: bytes) -> Candidate | None:
        """The queued transaction of that hash."""
        with self._lock:
            return self._by_hash.get(tx_hash)

    @staticmethod
    def _check_price(new: Candidate, old: Candidate) -> None:
        offers = (
            (new.transaction.max_fee_per_gas, old.transaction.max_fee_per_gas),
            (new.transaction.max_priority_fee_per_gas, old.transaction.max_priority_fee_per_gas),
        )
        if any(offered * 100 < standing * REPLACEMENT_PERCENT for offered, standing in offers):
            raise refused("replacement transaction underpriced")
