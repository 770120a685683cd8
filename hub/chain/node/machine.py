"""This chain's rules: Prague by py-evm, with what a lone producer of blocks needs changed, and a leash for calls."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, cast

from eth.abc import (
    AtomicDatabaseAPI,
    BlockAPI,
    BlockHeaderAPI,
    ComputationAPI,
    MessageAPI,
    OpcodeAPI,
    SignedTransactionAPI,
    StateAPI,
    TransactionContextAPI,
)
from eth.vm import opcode_values
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState, PragueTransactionExecutor
from eth_typing import Address, Hash32

BLOCK_GAS_LIMIT: Final = 30_000_000
CALL_DEADLINE_S: Final = 5.0  # 30 M gas of a tight loop would burn a thread for 16 s


class DeadlineExceeded(Exception):
    """A call ran longer than its leash; not an EVM error, so no contract can catch it."""


class NodeExecutor(PragueTransactionExecutor):
    """Runs transactions that were checked at the door (`admission`): the signature is not recovered again."""

    def validate_transaction(self, transaction: SignedTransactionAPI) -> None:
        """What depends on the state alone."""
        self.vm_state.validate_transaction(transaction)


class NodeState(PragueState):
    """The state of a chain whose genesis already holds the system contracts."""

    transaction_executor_class = NodeExecutor

    def set_system_contracts(self) -> None:
        """Nothing: stock looks both accounts up each time a state is opened."""


class NodeVM(PragueVM):
    """Prague, made for blocks that the hub's own transactions ask for rather than a slot clock."""

    _state_class = NodeState

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        """Allows the parent's timestamp: many blocks a second must not push the chain's time ahead of the clock."""
        if header.timestamp == parent_header.timestamp:
            header = header.copy(timestamp=parent_header.timestamp + 1)
        super().validate_header(header, parent_header)

    @classmethod
    def finalize_gas_used(cls, transaction: SignedTransactionAPI, computation: ComputationAPI) -> int:
        """What the sender paid for. Stock caps the refund by gas to which EIP-7623's floor was added already."""
        consumed = transaction.gas - computation.get_gas_remaining()
        refund = cls.calculate_net_gas_refund(consumed, computation.get_gas_refund())
        return int(consumed - refund + computation.data_floor_gas)

    def block_postprocessing(self, block: BlockAPI) -> BlockAPI:
        """No deposit, withdrawal or consolidation contract exists here, so the header's empty requests hash stands."""
        return block


class LeashedComputation(PragueComputation):
    """Execution for calls and estimates only: jumps, inner calls and slow built-in contracts look at the clock.

    Inside a transaction that would break determinism, so blocks are made by `NodeVM` without it.
    """

    @classmethod
    def apply_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """As stock; recursion without a single jump is caught here."""
        _look_at_the_clock(state)
        return super().apply_message(state, message, transaction_context, parent_computation)


class LeashedState(NodeState):
    """A throw-away state that knows until when it may be worked on (`time.monotonic` seconds)."""

    computation_class = LeashedComputation
    deadline: float = 0.0


class LeashedVM(NodeVM):
    """The rules under which calls and estimates run."""

    _state_class = LeashedState


def _look_at_the_clock(state: StateAPI, ahead_s: float = 0.0) -> None:
    if isinstance(state, LeashedState) and time.monotonic() + ahead_s > state.deadline:
        raise DeadlineExceeded


def _leashed(opcode: OpcodeAPI) -> OpcodeAPI:
    def run(computation: ComputationAPI) -> None:
        _look_at_the_clock(computation.state)
        opcode(computation=computation)

    return cast(OpcodeAPI, run)  # all that the loop asks of an opcode is that it can be called


LeashedComputation.opcodes = PragueComputation.opcodes | {
    value: _leashed(PragueComputation.opcodes[value]) for value in (opcode_values.JUMP, opcode_values.JUMPI)
}


@dataclass(frozen=True, slots=True)
class SlowPrecompile:
    """A built-in contract that py-evm computes in Python, far slower than its price supposes."""

    units: Callable[[bytes], int]  # of work, in its input
    gas: int  # of a unit, at least: what it cannot pay it does not compute
    seconds: float  # for a unit, at least


SLOW_PRECOMPILES: Final = {
    8: SlowPrecompile(lambda data: len(data) // 192, gas=34_000, seconds=0.5),  # pairings of bn128
    9: SlowPrecompile(lambda data: int.from_bytes(data[:4]), gas=1, seconds=0.000_02),  # rounds of BLAKE2
    12: SlowPrecompile(lambda data: len(data) // 160, gas=6_000, seconds=0.01),  # multiplications in G1 of BLS12-381
    14: SlowPrecompile(lambda data: len(data) // 288, gas=11_000, seconds=0.05),  # in its G2
    15: SlowPrecompile(lambda data: len(data) // 384, gas=32_600, seconds=1.0),  # and its pairings
}


def _leashed_precompile(number: int) -> Callable[[ComputationAPI], object]:
    stock = PragueComputation.get_precompiles()[Address(number.to_bytes(20))]
    slow = SLOW_PRECOMPILES[number]

    def run(computation: ComputationAPI) -> object:
        units, state = slow.units(computation.msg.data_as_bytes), computation.state
        if isinstance(state, LeashedState) and computation.get_gas_remaining() >= units * slow.gas:
            _look_at_the_clock(state, ahead_s=units * slow.seconds)
        return stock(computation)

    return run


LeashedComputation._precompiles = PragueComputation.get_precompiles() | {
    Address(number.to_bytes(20)): _leashed_precompile(number) for number in SLOW_PRECOMPILES
}


def leashed_state(
    database: AtomicDatabaseAPI,
    header: BlockHeaderAPI,
    *,
    chain_id: int,
    previous_hashes: Iterable[Hash32],
    deadline: float,
) -> LeashedState:
    """A state to call in, in the context of `header`, abandoned at `deadline` (`time.monotonic` seconds)."""
    state = LeashedVM.build_state(database, header, ChainContext(chain_id), previous_hashes)
    assert isinstance(state, LeashedState)
    state.deadline = deadline
    return state


def base_fee(header: BlockHeaderAPI) -> int:
    """What a unit of gas costs in that block, in wei; py-evm's type allows for blocks from before there was one."""
    assert header.base_fee_per_gas is not None
    return header.base_fee_per_gas
