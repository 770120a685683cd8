"""Running code without a transaction: `eth_call`, and how much gas a transaction would need."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, cast

from eth.abc import AtomicDatabaseAPI, BlockHeaderAPI, ComputationAPI, SignedTransactionAPI
from eth.exceptions import OutOfGas, Revert
from eth.vm.forks.prague.constants import PER_EMPTY_ACCOUNT_BASE_COST, SET_CODE_TRANSACTION_TYPE
from eth.vm.forks.prague.transactions import Authorization, PragueTransactionBuilder
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address, Hash32
from eth_utils.exceptions import ValidationError

from hub.chain.node.admission import least_gas
from hub.chain.node.errors import REVERTED, RpcError, refused
from hub.chain.node.machine import CALL_DEADLINE_S, DeadlineExceeded, leashed_state

ESTIMATE_TOLERANCE: Final = 0.005  # of the answer; stock's is 21,000 gas whatever the size
ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")  # Error(string)
PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
REASON_MAX_CHARS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Call:
    """What `eth_call` and `eth_estimateGas` are asked to run; `to` empty creates a contract."""

    sender: Address
    to: Address
    value: int
    data: bytes
    gas: int
    access_list: tuple[tuple[Address, tuple[int, ...]], ...] = ()
    authorizations: tuple[Authorization, ...] = ()  # of EIP-7702


@dataclass(frozen=True, slots=True)
class Ground:
    """On which state, in which block, calls run: the header is that block's, with the time the caller shall see."""

    database: AtomicDatabaseAPI
    header: BlockHeaderAPI
    previous_hashes: Iterable[Hash32]
    chain_id: int


def run_call(call: Call, ground: Ground) -> bytes:
    """The output. Raises RpcError: code 3 with the data for a revert, -32000 for every other failure."""
    computation, _ = _run(call, ground, time.monotonic() + CALL_DEADLINE_S)
    if computation.is_error:
        raise _failure(computation)
    return bytes(computation.output)


def estimate_gas(call: Call, ground: Ground) -> int:
    """The least gas limit, within 0.5 %, with which the call succeeds; `call.gas` is the most. Raises as `run_call`."""
    deadline = time.monotonic() + CALL_DEADLINE_S
    computation, used = _run(call, ground, deadline)
    if computation.is_error:
        if isinstance(computation.error, OutOfGas):
            raise refused(f"gas required exceeds allowance ({call.gas})")
        raise _failure(computation)
    if _succeeds(call, ground, used, deadline):
        return used
    short, enough = used, call.gas  # a callee asked for more than it used: 63/64 rule, or a look at gas left
    while enough - short > enough * ESTIMATE_TOLERANCE:
        middle = (short + enough) // 2
        if _succeeds(call, ground, middle, deadline):
            enough = middle
        else:
            short = middle
    return enough


def _succeeds(call: Call, ground: Ground, gas: int, deadline: float) -> bool:
    try:
        computation, _ = _run(replace(call, gas=gas), ground, deadline)
    except RpcError as error:
        if isinstance(error.__cause__, DeadlineExceeded):
            raise
        return False
    return bool(computation.is_success)


def _run(call: Call, ground: Ground, deadline: float) -> tuple[ComputationAPI, int]:
    """The computation, and the gas that its transaction must bring: used before refunds, or the floor of its data."""
    state = leashed_state(
        ground.database,
        ground.header.copy(base_fee_per_gas=0),
        chain_id=ground.chain_id,
        previous_hashes=ground.previous_hashes,
        deadline=deadline,
    )
    transaction = _spoofed(call, ground.chain_id, state.get_nonce(call.sender))
    least = least_gas(transaction)
    if call.gas < least:
        raise refused(f"intrinsic gas too low: have {call.gas}, want {least}")
    if state.get_balance(call.sender) < call.value:
        raise refused("insufficient funds for transfer")
    try:
        computation = state.apply_transaction(transaction)
    except DeadlineExceeded as error:
        raise refused(f"execution aborted (timeout = {CALL_DEADLINE_S:.0f}s)") from error
    except ValidationError as error:
        raise refused(f"the call cannot be run: {error}") from error
    return computation, max(call.gas - computation.get_gas_remaining(), least)


def _spoofed(call: Call, chain_id: int, nonce: int) -> SignedTransactionAPI:
    plain = PragueTransactionBuilder.new_unsigned_dynamic_fee_transaction(
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=0,
        gas=call.gas,
        to=call.to,
        value=call.value,
        data=call.data,
        access_list=call.access_list,
    )
    spoofed = SpoofTransaction(plain, from_=call.sender)
    if call.authorizations:  # after its constructor, which writes the type of `plain` over any other
        spoofed.overrides.update(
            type_id=SET_CODE_TRANSACTION_TYPE,
            authorization_list=call.authorizations,
            intrinsic_gas=plain.intrinsic_gas + PER_EMPTY_ACCOUNT_BASE_COST * len(call.authorizations),
        )
    return cast(SignedTransactionAPI, spoofed)  # by its attributes, not its type


def _failure(computation: ComputationAPI) -> RpcError:
    if not isinstance(computation.error, Revert):
        return refused(f"{computation.error.__class__.__name__}: {computation.error}"[:REASON_MAX_CHARS])
    output = bytes(computation.output)
    reason = _reason(output)
    message = "execution reverted" + (f": {reason}" if reason else "")
    return RpcError(REVERTED, message, "0x" + output.hex())


def _reason(output: bytes) -> str | None:
    """The text of `Error(string)` or the number of `Panic(uint256)`; None for anything else."""
    selector, body = output[:4], output[4:]
    if selector == PANIC_SELECTOR and len(body) == 32:
        return f"panic code 0x{int.from_bytes(body):02x}"
    if selector != ERROR_SELECTOR or len(body) < 64 or int.from_bytes(body[:32]) != 32:
        return None
    length = int.from_bytes(body[32:64])
    text = body[64 : 64 + length]
    if len(text) != length:
        return None
    return text.decode("utf-8", "replace")[:REASON_MAX_CHARS]
