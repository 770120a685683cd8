"""What a raw transaction must be before it may wait for a block: the duties of a pool, which py-evm does not have."""

from dataclasses import dataclass
from typing import Final

import rlp  # type: ignore[import-untyped]  # the package ships no types
from eth.abc import SignedTransactionAPI, StateAPI
from eth.constants import CREATE_CONTRACT_ADDRESS, GAS_TX, SECPK1_N
from eth.exceptions import UnrecognizedTransactionType
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.prague.constants import (
    DELEGATION_DESIGNATION_PREFIX,
    STANDARD_TOKEN_COST,
    TOTAL_COST_FLOOR_PER_TOKEN,
)
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.forks.shanghai.constants import INITCODE_WORD_COST, MAX_INITCODE_SIZE
from eth_keys.exceptions import BadSignature
from eth_typing import Address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from hub.chain.node.errors import invalid, refused

RAW_MAX_BYTES: Final = 131_072  # go-ethereum's limit for a transaction in its pool
GAS_MAX: Final = 16_777_216  # EIP-7825: newer chains take no more, so nothing that works here may need it
NONCE_MAX: Final = 2**64 - 2  # EIP-2681


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transaction that is well-formed, signed for this chain and paid for in gas; its turn is the writer's matter."""

    transaction: SignedTransactionAPI
    hash: bytes
    sender: Address


def admit(raw: bytes, *, chain_id: int, gas_cap: int) -> Candidate:
    """Decodes and checks all that needs no state. Raises RpcError."""
    transaction = decode(raw)
    _check_form(transaction, chain_id)
    _check_gas(transaction, min(gas_cap, GAS_MAX))
    return Candidate(transaction, keccak(raw), _sender(transaction))


def decode(raw: bytes) -> SignedTransactionAPI:
    """The transaction in these bytes, legacy or typed. Raises RpcError."""
    if not raw or len(raw) > RAW_MAX_BYTES:
        raise invalid(f"a raw transaction has 1 to {RAW_MAX_BYTES} bytes, not {len(raw)}")
    if raw[0] == BLOB_TX_TYPE:
        raise refused("blob transactions are not supported")
    try:
        return PragueTransactionBuilder.decode(raw)
    except (rlp.exceptions.RLPException, ValidationError, UnrecognizedTransactionType, ValueError, TypeError) as error:
        raise invalid(f"cannot decode the transaction: {error.__class__.__name__}") from error


def least_gas(transaction: SignedTransactionAPI) -> int:
    """The gas limit below which a transaction cannot be mined: intrinsic cost, or EIP-7623's floor for its data."""
    zeros = transaction.data.count(0)
    tokens = zeros + STANDARD_TOKEN_COST * (len(transaction.data) - zeros)
    initcode_words = -(-len(transaction.data) // 32) if transaction.to == CREATE_CONTRACT_ADDRESS else 0
    return int(
        max(
            transaction.intrinsic_gas + INITCODE_WORD_COST * initcode_words,
            GAS_TX + TOTAL_COST_FLOOR_PER_TOKEN * tokens,
        )
    )


def check_purse(transaction: SignedTransactionAPI, sender: Address, state: StateAPI) -> None:
    """The sender is no contract and could pay the most that this transaction may cost. Raises RpcError."""
    code = state.get_code(sender)
    if code and not code.startswith(DELEGATION_DESIGNATION_PREFIX):
        raise refused("sender not an eoa")  # EIP-3607
    cost = transaction.value + transaction.gas * transaction.max_fee_per_gas
    balance = state.get_balance(sender)
    if balance < cost:
        raise refused(f"insufficient funds for gas * price + value: have {balance}, want {cost}")


def _check_form(transaction: SignedTransactionAPI, chain_id: int) -> None:
    if transaction.chain_id is None:
        raise refused("only replay-protected (EIP-155) transactions are taken")
    if transaction.chain_id != chain_id:
        raise refused(f"invalid chain id for signer: have {transaction.chain_id}, want {chain_id}")
    if transaction.nonce > NONCE_MAX:
        raise refused("nonce has max value")
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise refused("max priority fee per gas higher than max fee per gas")
    if transaction.to == CREATE_CONTRACT_ADDRESS and len(transaction.data) > MAX_INITCODE_SIZE:
        raise refused(f"max initcode size exceeded: code size {len(transaction.data)}, limit {MAX_INITCODE_SIZE}")


def _check_gas(transaction: SignedTransactionAPI, gas_cap: int) -> None:
    if transaction.gas > gas_cap:
        raise refused(f"transaction gas limit too high (cap: {gas_cap}, tx: {transaction.gas})")
    least = least_gas(transaction)
    if transaction.gas < least:
        raise refused(f"intrinsic gas too low: have {transaction.gas}, want {least}")


def _sender(transaction: SignedTransactionAPI) -> Address:
    if transaction.s > SECPK1_N // 2:
        raise refused("invalid sender: the signature's s is too high")  # EIP-2
    try:
        transaction.validate()
    except ValidationError as error:
        raise refused(f"invalid transaction: {error}") from error
    try:
        return transaction.sender
    except (ValidationError, BadSignature) as error:
        raise refused(f"invalid sender: {error}") from error
