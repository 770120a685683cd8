"""The one writer: takes the transactions that wait, makes a block of them, commits it, and only then says so."""

import _thread
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI
from eth.consensus.context import ConsensusContext
from eth.constants import ZERO_HASH32
from eth.db.chain import ChainDB
from eth.db.schema import SchemaV1
from eth.rlp.sedes import chain_gaps
from eth.vm.chain_context import ChainContext
from eth_typing import BlockNumber
from eth_utils.exceptions import ValidationError
from rlp import encode  # type: ignore[import-untyped]  # the package ships no types

from hub.chain.node.admission import Candidate, check_purse
from hub.chain.node.database import Buffer, Database, LogRow, TxRow
from hub.chain.node.errors import INTERNAL_ERROR, RpcError, refused
from hub.chain.node.machine import BLOCK_GAS_LIMIT, NodeVM, base_fee
from hub.chain.node.pool import Pool

GROUP_MAX: Final = 64  # transactions in a block: one commit for all that wait, without keeping the first of them long


@dataclass(slots=True)
class Submission:
    """A candidate and who waits for its hash; nobody (None) when it comes from the queue."""

    candidate: Candidate
    answer: "Future[bytes] | None"


@dataclass(frozen=True, slots=True)
class Command:
    """Something else that only the writer may do: the test hooks."""

    act: Callable[[], int]
    answer: "Future[int]"


@dataclass(slots=True)
class Draft:
    """The block in the making."""

    vm: NodeVM
    header: BlockHeaderAPI
    mined: list[Submission] = field(default_factory=list)
    receipts: list[ReceiptAPI] = field(default_factory=list)
    refusals: list[tuple[Submission, RpcError]] = field(default_factory=list)
    queued: list[Submission] = field(default_factory=list)
    later: list[Submission] = field(default_factory=list)


class Miner:
    """Owns the head of the chain. `submit` may be called from any thread; everything else happens on the writer's."""

    def __init__(
        self,
        database: Database,
        pool: Pool,
        *,
        chain_id: int,
        clock: Callable[[], float],
        draw: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._pool = pool
        self._context = ChainContext(chain_id)
        self._clock = clock
        self._draw = draw
        self._buffer = Buffer(database)
        self._chain = ChainDB(self._buffer)
        self._inbox: queue.SimpleQueue[Submission | Command | None] = queue.SimpleQueue()
        self._later: deque[Submission] = deque()
        self._thread = threading.Thread(target=self._run, name="writer")
        self.head: BlockHeaderAPI = ChainDB(database).get_canonical_head()

    def start(self) -> None:
        """Begins to take submissions."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes the block at hand and ends; later submissions are never answered."""
        self._inbox.put(None)
        self._thread.join()

    def submit(self, candidate: Candidate) -> "Future[bytes]":
        """The hash once the transaction is on disk, or queued for its nonce; or an RpcError."""
        answer: Future[bytes] = Future()
        answer.set_running_or_notify_cancel()  # a caller that goes away takes nothing back
        self._inbox.put(Submission(candidate, answer))
        return answer

    def command(self, act: Callable[[], int]) -> "Future[int]":
        """Lets the writer do `act` between two blocks."""
        answer: Future[int] = Future()
        answer.set_running_or_notify_cancel()
        self._inbox.put(Command(act, answer))
        return answer

    # the writer's thread

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            _report(error)
            _thread.interrupt_main(signal.SIGTERM)  # a node without writer answers nobody: end, and be started again
        finally:
            self._database.close()

    def _work(self) -> None:
        while True:
            group, after = self._gather()
            if group:
                self._mine(group)
            if isinstance(after, Command):
                self._obey(after)
            elif after is None and not group:
                return

    def _gather(self) -> "tuple[list[Submission], Command | Submission | None]":
        """All that waits, up to a group, and what came behind it: a command, or None to stop."""
        group: list[Submission] = []
        while self._later and len(group) < GROUP_MAX:
            group.append(self._later.popleft())
        while len(group) < GROUP_MAX:
            try:
                item = self._inbox.get(block=not group)
            except queue.Empty:
                break
            if not isinstance(item, Submission):
                if item is None and group:
                    self._inbox.put(None)  # comes again when these are mined
                return group, item
            group.append(item)
        return group, group[-1]

    def _obey(self, command: Command) -> None:
        try:
            command.answer.set_result(command.act())
        except Exception as error:
            self._buffer.clear()
            command.answer.set_exception(error)

    def _mine(self, group: Sequence[Submission]) -> None:
        try:
            draft, block = self._build(group)
        except Exception as error:
            self._buffer.clear()
            if len(group) > 1:
                for submission in group:  # one of them is bad: it must not take the others along
                    self._mine([submission])
            else:
                self._turn_away(group[0], _why(error))
            return
        if block is not None:
            self.head = block.header
        self._settle(draft)

    def _build(self, group: Sequence[Submission]) -> "tuple[Draft, BlockAPI | None]":
        draft = self._draft()
        waiting = deque(_in_nonce_order(group))
        held_back: set[bytes] = set()
        while waiting:
            submission = waiting.popleft()
            sender = submission.candidate.sender
            if sender in held_back or len(draft.mined) == GROUP_MAX or not self._has_room(draft, submission):
                held_back.add(sender)
                draft.later.append(submission)
                continue
            try:
                if not self._take(draft, submission):
                    continue
            except RpcError as error:
                draft.refusals.append((submission, error))
                continue
            due = self._pool.due(sender, submission.candidate.transaction.nonce + 1)
            if due is not None:
                waiting.appendleft(Submission(due, None))
        if not draft.mined:
            self._buffer.clear()
            return draft, None
        return draft, self._seal(draft)

    def _draft(self) -> Draft:
        header = NodeVM.create_header_from_parent(
            self.head,
            timestamp=max(int(self._clock()), self.head.timestamp),
            gas_limit=BLOCK_GAS_LIMIT,
            mix_hash=self._draw(32),
            parent_beacon_block_root=ZERO_HASH32,
        )
        vm = NodeVM(header, self._chain, self._context, ConsensusContext(self._buffer))
        vm.block_preprocessing(vm.get_block())
        return Draft(vm, header)

    @staticmethod
    def _has_room(draft: Draft, submission: Submission) -> bool:
        return draft.header.gas_used + submission.candidate.transaction.gas <= draft.header.gas_limit

    def _take(self, draft: Draft, submission: Submission) -> bool:
        """Runs it if its turn has come, else queues it. Raises RpcError when it never can."""
        candidate = submission.candidate
        transaction, state = candidate.transaction, draft.vm.state
        if self._database.transaction(candidate.hash) or any(m.candidate.hash == candidate.hash for m in draft.mined):
            raise refused("already known")
        nonce = state.get_nonce(candidate.sender)
        if transaction.nonce < nonce:
            raise refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
        check_purse(transaction, candidate.sender, state)
        if transaction.nonce > nonce:
            self._pool.queue(candidate)
            draft.queued.append(submission)
            return False
        asked = base_fee(draft.header)
        if transaction.max_fee_per_gas < asked:
            raise refused(f"max fee per gas less than block base fee: {transaction.max_fee_per_gas} < {asked}")
        receipt, _ = draft.vm.apply_transaction(draft.header, transaction)
        draft.header = draft.vm.add_receipt_to_header(draft.header, receipt)
        draft.mined.append(submission)
        draft.receipts.append(receipt)
        return True

    def _seal(self, draft: Draft) -> BlockAPI:
        vm = draft.vm
        transactions = [submission.candidate.transaction for submission in draft.mined]
        filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), draft.header, transactions, draft.receipts)
        block = vm.mine_block(vm.block_postprocessing(filled)).block
        self._chain.persist_block(block)
        txs, logs = _rows(draft, block)
        self._database.commit(self._buffer, txs, logs)
        return block

    def _settle(self, draft: Draft) -> None:
        """Everything is on disk: tells those who wait."""
        for submission in draft.mined:
            self._pool.settle(submission.candidate.sender, submission.candidate.transaction.nonce)
        for submission in (*draft.mined, *draft.queued):
            if submission.answer is not None:
                submission.answer.set_result(submission.candidate.hash)
        for submission, error in draft.refusals:
            self._turn_away(submission, error)
        self._later.extend(draft.later)

    def _turn_away(self, submission: Submission, error: RpcError) -> None:
        if submission.answer is not None:
            submission.answer.set_exception(error)
        else:  # it waited for its nonce, and can no longer be paid: nobody is there to be told
            self._pool.settle(submission.candidate.sender, submission.candidate.transaction.nonce)

    # the test hooks, run by `command`

    def mine_one(self, candidates: Sequence[Candidate]) -> int:
        """Mines a block of just these transactions; its number. Raises RpcError, mining none, if one cannot be."""
        draft = self._draft()
        for candidate in candidates:
            if not self._take(draft, Submission(candidate, None)):
                self._pool.settle(candidate.sender, candidate.transaction.nonce)
                raise refused(f"nonce too high: tx nonce {candidate.transaction.nonce}")
        self.head = self._seal(draft).header
        self._settle(draft)
        return int(self.head.block_number)

    def revert_to(self, height: int) -> int:
        """Forgets all blocks above `height`, which py-evm's gap bookkeeping must forget too; the new height."""
        chain, buffer = self._chain, self._buffer
        for number in range(height + 1, self.head.block_number + 1):
            header = chain.get_canonical_block_header_by_number(BlockNumber(number))
            for tx_hash in chain.get_block_transaction_hashes(header):
                del buffer[SchemaV1.make_transaction_hash_to_block_lookup_key(tx_hash)]
            del buffer[SchemaV1.make_block_number_to_hash_lookup_key(BlockNumber(number))]
        head = chain.get_canonical_block_header_by_number(BlockNumber(height))
        buffer[SchemaV1.make_canonical_head_hash_lookup_key()] = head.hash
        gaps = encode(((), height + 1), sedes=chain_gaps)
        buffer[SchemaV1.make_header_chain_gaps_lookup_key()] = gaps
        buffer[SchemaV1.make_chain_gaps_lookup_key()] = gaps
        self._database.forget_above(height, buffer)
        self.head = head
        return height


def _in_nonce_order(group: Sequence[Submission]) -> list[Submission]:
    """Each sender's transactions by nonce, in the places that this sender's have in the line."""
    by_sender: dict[bytes, list[Submission]] = {}
    for submission in group:
        by_sender.setdefault(submission.candidate.sender, []).append(submission)
    lines = {
        sender: iter(sorted(theirs, key=lambda s: s.candidate.transaction.nonce))
        for sender, theirs in by_sender.items()
    }
    return [next(lines[submission.candidate.sender]) for submission in group]


def _rows(draft: Draft, block: BlockAPI) -> tuple[list[TxRow], list[LogRow]]:
    txs: list[TxRow] = []
    logs: list[LogRow] = []
    gas_before = 0
    for idx, (submission, receipt) in enumerate(zip(draft.mined, draft.receipts, strict=True)):
        candidate = submission.candidate
        txs.append(TxRow(candidate.hash, block.number, idx, candidate.sender, receipt.gas_used - gas_before, len(logs)))
        gas_before = receipt.gas_used
        for log in receipt.logs:
            topics = tuple(topic.to_bytes(32, "big") for topic in log.topics)
            logs.append(LogRow(block.number, len(logs), idx, candidate.hash, log.address, topics, log.data, block.hash))
    return txs, logs


def _why(error: Exception) -> RpcError:
    """What the sender is told of a transaction that broke its block."""
    if isinstance(error, ValidationError):
        return refused(f"invalid transaction: {error}")
    _report(error)
    return RpcError(INTERNAL_ERROR, "the transaction could not be mined")


def _report(error: Exception) -> None:
    """To the log of whoever started the node; the caller of the RPC is told no inner detail."""
    sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.flush()
