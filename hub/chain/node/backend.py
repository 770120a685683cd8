"""The chain as its readers see it: blocks, transactions, receipts, accounts and logs, and the door to the writer."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Final

import rlp  # type: ignore[import-untyped]  # the package ships no types
from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.db.account import AccountDB
from eth.db.chain import ChainDB
from eth.exceptions import HeaderNotFound
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_typing import BlockNumber, Hash32
from trie.hexary import HexaryTrie

from hub.chain.node.admission import Candidate, admit
from hub.chain.node.calls import Call, Ground, estimate_gas, run_call
from hub.chain.node.database import FILE_NAME, Database, LogQuery, LogRow, QueryTooSlow, TxRow
from hub.chain.node.errors import LIMIT_EXCEEDED, RpcError, refused
from hub.chain.node.genesis import open_genesis
from hub.chain.node.machine import BLOCK_GAS_LIMIT, NodeVM
from hub.chain.node.miner import Miner
from hub.chain.node.pool import Pool

TX_GAS_CAP: Final = 8_000_000  # by default; a loop of 16 M gas would hold the writer for as long as 16 s
LOGS_MAX: Final = 10_000  # rows in one answer, as hosted nodes have it
HASHES_BACK: Final = 256  # how far BLOCKHASH looks
CALL_GAS_CAP: Final = BLOCK_GAS_LIMIT  # a call can do what a whole block can


class Backend:
    """One open chain. Reads from any thread; a name of a block is its number, its hash, or None for the head."""

    def __init__(
        self,
        folder: Path,
        *,
        tx_gas_cap: int = TX_GAS_CAP,
        clock: Callable[[], float] = time.time,
        draw: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Opens the chain in `folder`, writing block 0 from its genesis.json if new. Raises GenesisError."""
        self.database = Database(folder / FILE_NAME)
        self.genesis, genesis_header = open_genesis(self.database, folder, clock=clock, draw=draw)
        self.genesis_hash = bytes(genesis_header.hash)
        self.chain_id = self.genesis.chain_id
        self.tx_gas_cap = tx_gas_cap
        self.pool = Pool()
        self.miner = Miner(self.database, self.pool, chain_id=self.chain_id, clock=clock, draw=draw)
        self._chain = ChainDB(self.database)
        self._clock = clock
        self.miner.start()

    def close(self) -> None:
        """Finishes the block at hand and lets go of the file."""
        self.miner.stop()
        self.database.close()

    # transactions in

    def admit(self, raw: bytes) -> Candidate:
        """Checks raw bytes without state. Raises RpcError."""
        return admit(raw, chain_id=self.chain_id, gas_cap=self.tx_gas_cap)

    def submit(self, candidate: Candidate) -> "Future[bytes]":
        """Its hash, once it is on disk or queued for its nonce; the future raises RpcError."""
        return self.miner.submit(candidate)

    # blocks

    @property
    def head(self) -> BlockHeaderAPI:
        """The newest block that is on disk."""
        return self.miner.head

    def find_header(self, name: int | bytes | None) -> BlockHeaderAPI | None:
        """The header of that block, None if there is none."""
        head = self.head
        if name is None:
            return head
        if isinstance(name, int):
            return self._canonical(name, head)
        try:
            header = self._chain.get_block_header_by_hash(Hash32(name))
        except HeaderNotFound:
            return None
        canonical = self._canonical(header.block_number, head)
        return header if canonical is not None and canonical.hash == name else None

    def header(self, name: int | bytes | None) -> BlockHeaderAPI:
        """As `find_header`; raises RpcError where there is none."""
        header = self.find_header(name)
        if header is None:
            raise refused("header not found")
        return header

    def _canonical(self, number: int, head: BlockHeaderAPI) -> BlockHeaderAPI | None:
        if number > head.block_number:
            return None
        try:
            return self._chain.get_canonical_block_header_by_number(BlockNumber(number))
        except HeaderNotFound:
            return None

    def next_base_fee(self, header: BlockHeaderAPI) -> int:
        """What the block after `header` asks for a unit of gas, in wei."""
        return calculate_expected_base_fee_per_gas(header)

    def block_size(self, header: BlockHeaderAPI, transactions: Sequence[SignedTransactionAPI]) -> int:
        """The length of the block's encoding in bytes."""
        return len(rlp.encode(NodeVM.get_block_class()(header, transactions, [], [])))

    # transactions

    def transactions_of(self, header: BlockHeaderAPI) -> list[tuple[TxRow, SignedTransactionAPI]]:
        """The transactions of a block, in order."""
        return [(row, self._transaction(row, header)) for row in self.database.transactions(header.block_number)]

    def transaction(self, tx_hash: bytes) -> tuple[TxRow, SignedTransactionAPI, BlockHeaderAPI] | None:
        """A mined transaction, where it lies and in what block."""
        row = self.database.transaction(tx_hash)
        header = None if row is None else self.find_header(row.block)
        if row is None or header is None:
            return None
        return row, self._transaction(row, header), header

    def receipt(self, row: TxRow, header: BlockHeaderAPI) -> ReceiptAPI:
        """The receipt of a mined transaction: one look-up in its block's own small trie."""
        encoded = HexaryTrie(self.database, header.receipt_root)[rlp.encode(row.idx)]
        return NodeVM.get_receipt_builder().decode(encoded)

    def _transaction(self, row: TxRow, header: BlockHeaderAPI) -> SignedTransactionAPI:
        encoded = HexaryTrie(self.database, header.transaction_root)[rlp.encode(row.idx)]
        return PragueTransactionBuilder.decode(encoded)

    # accounts

    def account(self, name: int | bytes | None) -> AccountDB:
        """All accounts as they were after that block. Raises RpcError for an unknown block."""
        return AccountDB(self.database, self.header(name).state_root)

    # running code

    def call(self, call: Call, name: int | bytes | None) -> bytes:
        """The output of a call after that block. Raises RpcError."""
        return run_call(call, self._ground(name))

    def estimate(self, call: Call, name: int | bytes | None) -> int:
        """The gas that a transaction would need. Raises RpcError."""
        return estimate_gas(call, self._ground(name))

    def _ground(self, name: int | bytes | None) -> Ground:
        """The block as it is; but at the head the time is now, or rights would never expire on a quiet chain."""
        header = self.header(name)
        ground = header
        if name is None:
            ground = header.copy(timestamp=max(header.timestamp, int(self._clock())))
        return Ground(self.database, ground, self._hashes_before(header), self.chain_id)

    def _hashes_before(self, header: BlockHeaderAPI) -> Iterator[Hash32]:
        return islice(NodeVM.get_prev_hashes(header.parent_hash, self._chain) or (), HASHES_BACK)

    # logs

    def logs(self, query: LogQuery) -> list[LogRow]:
        """The logs that match, in order. Raises RpcError -32005 when they are too many, or too hard to find."""
        try:
            rows = self.database.logs(query, LOGS_MAX + 1)
        except QueryTooSlow as error:
            raise RpcError(LIMIT_EXCEEDED, "query timeout: narrow its range") from error
        if len(rows) > LOGS_MAX:
            raise RpcError(LIMIT_EXCEEDED, f"query returned more than {LOGS_MAX} results")
        return rows
