"""How the node writes blocks, transactions, receipts and logs as JSON, and reads quantities, bytes and block names."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from eth._utils.address import generate_contract_address
from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import Authorization
from eth_typing import Address
from eth_utils.address import to_checksum_address

from hub.chain.node.calls import Call
from hub.chain.node.database import LogRow, TxRow
from hub.chain.node.errors import invalid
from hub.chain.node.machine import base_fee

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
DATA: Final = re.compile(r"0x([0-9a-fA-F]{2})*")
TAGS_OF_HEAD: Final = frozenset({"latest", "safe", "finalized", "pending"})  # one producer, no reorg: all one block
LEGACY: Final = 0
ACCESS_LIST: Final = 1
SET_CODE: Final = 4
EIP155_OFFSET: Final = 35
BLOOM_BYTES: Final = 256
BLOB_KEYS: Final = ("blobs", "blobVersionedHashes", "maxFeePerBlobGas")
AUTHORIZATION_NUMBERS: Final = (
    ("chain_id", "chainId"),
    ("nonce", "nonce"),
    ("y_parity", "yParity"),
    ("r", "r"),
    ("s", "s"),
)

# writing


def quantity(number: int) -> str:
    """Hex without leading zeros."""
    return hex(number)


def data(octets: bytes) -> str:
    """Hex of even length."""
    return "0x" + octets.hex()


def address(octets: bytes) -> str:
    """Hex with EIP-55's capitals."""
    return to_checksum_address(octets)


def block_json(header: BlockHeaderAPI, transactions: Sequence[Json], size: int) -> Json:
    """A block with its transactions, whole or as hashes; `size` is that of its encoding in bytes."""
    assert isinstance(header, PragueBlockHeader)
    return {
        "number": quantity(header.block_number),
        "hash": data(header.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce),
        "mixHash": data(header.mix_hash),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": data(header.bloom.to_bytes(BLOOM_BYTES)),
        "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipt_root),
        "miner": address(header.coinbase),
        "difficulty": quantity(header.difficulty),
        "extraData": data(header.extra_data),
        "size": quantity(size),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "baseFeePerGas": quantity(base_fee(header)),
        "withdrawalsRoot": data(header.withdrawals_root or b""),
        "withdrawals": [],
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root or b""),
        "requestsHash": data(header.requests_hash),
        "uncles": [],
        "transactions": transactions,
    }


def transaction_json(
    transaction: SignedTransactionAPI, tx_hash: bytes, sender: bytes, place: tuple[BlockHeaderAPI, int] | None
) -> Json:
    """A transaction; `place` is its block's header and its index there, None while it is queued."""
    kind, chain_id = transaction.type_id or LEGACY, transaction.chain_id or 0
    header, idx = place if place is not None else (None, None)
    fields: dict[str, Json] = {
        "hash": data(tx_hash),
        "type": quantity(kind),
        "from": address(sender),
        "to": _address_or_null(transaction.to),
        "nonce": quantity(transaction.nonce),
        "gas": quantity(transaction.gas),
        "value": quantity(transaction.value),
        "input": data(transaction.data),
        "chainId": quantity(chain_id),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
        "v": quantity(transaction.y_parity + (0 if kind else EIP155_OFFSET + 2 * chain_id)),
        "yParity": quantity(transaction.y_parity),
        "blockHash": None if header is None else data(header.hash),
        "blockNumber": None if header is None else quantity(header.block_number),
        "transactionIndex": None if idx is None else quantity(idx),
        "gasPrice": quantity(
            transaction.max_fee_per_gas if header is None else effective_gas_price(transaction, header)
        ),
    }
    if kind != LEGACY:
        fields["accessList"] = [
            {"address": address(account), "storageKeys": [data(slot.to_bytes(32)) for slot in slots]}
            for account, slots in transaction.access_list
        ]
    if kind > ACCESS_LIST:
        fields["maxFeePerGas"] = quantity(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee_per_gas)
    if kind == SET_CODE:
        fields["authorizationList"] = [
            {
                "chainId": quantity(a.chain_id),
                "address": address(a.address),
                "nonce": quantity(a.nonce),
                "yParity": quantity(a.y_parity),
                "r": quantity(a.r),
                "s": quantity(a.s),
            }
            for a in transaction.authorization_list
        ]
    return fields


def receipt_json(row: TxRow, transaction: SignedTransactionAPI, receipt: ReceiptAPI, header: BlockHeaderAPI) -> Json:
    """A receipt; contractAddress is null unless a contract was asked for, and given even if its creation failed."""
    is_creation = transaction.to == CREATE_CONTRACT_ADDRESS
    created = (
        generate_contract_address(Address(row.sender), transaction.nonce) if is_creation else CREATE_CONTRACT_ADDRESS
    )
    return {
        "transactionHash": data(row.hash),
        "transactionIndex": quantity(row.idx),
        "blockHash": data(header.hash),
        "blockNumber": quantity(row.block),
        "from": address(row.sender),
        "to": _address_or_null(transaction.to),
        "type": quantity(transaction.type_id or LEGACY),
        "status": quantity(1 if receipt.state_root == b"\x01" else 0),
        "gasUsed": quantity(row.gas_used),
        "cumulativeGasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": quantity(effective_gas_price(transaction, header)),
        "contractAddress": _address_or_null(created),
        "logsBloom": data(receipt.bloom.to_bytes(BLOOM_BYTES)),
        "logs": [
            log_json(
                LogRow(
                    block=row.block,
                    idx=row.first_log + i,
                    tx_idx=row.idx,
                    tx_hash=row.hash,
                    address=log.address,
                    topics=tuple(topic.to_bytes(32) for topic in log.topics),
                    data=log.data,
                    block_hash=header.hash,
                )
            )
            for i, log in enumerate(receipt.logs)
        ],
    }


def log_json(row: LogRow) -> Json:
    """A log of a mined block."""
    return {
        "address": address(row.address),
        "topics": [data(topic) for topic in row.topics],
        "data": data(row.data),
        "blockNumber": quantity(row.block),
        "blockHash": data(row.block_hash),
        "transactionHash": data(row.tx_hash),
        "transactionIndex": quantity(row.tx_idx),
        "logIndex": quantity(row.idx),
        "removed": False,
    }


def effective_gas_price(transaction: SignedTransactionAPI, header: BlockHeaderAPI) -> int:
    """What a unit of gas cost in that block, in wei."""
    return int(min(transaction.max_fee_per_gas, base_fee(header) + transaction.max_priority_fee_per_gas))


def _address_or_null(octets: bytes) -> str | None:
    return address(octets) if octets else None


# reading; each raises RpcError -32602 naming the field


def read_quantity(value: Json, name: str) -> int:
    """A number in hex without leading zeros."""
    if not isinstance(value, str) or not QUANTITY.fullmatch(value):
        raise invalid(f"{name} must be a hex quantity such as 0x1f")
    return int(value, 16)


def read_data(value: Json, name: str, size: int | None = None) -> bytes:
    """Octets in hex; exactly `size` of them if given."""
    if not isinstance(value, str) or not DATA.fullmatch(value):
        raise invalid(f"{name} must be hex data of even length")
    octets = bytes.fromhex(value[2:])
    if size is not None and len(octets) != size:
        raise invalid(f"{name} must have {size} bytes, not {len(octets)}")
    return octets


def read_address(value: Json, name: str) -> Address:
    """An account, in whatever capitals."""
    return Address(read_data(value, name, 20))


def read_block_name(value: Json) -> int | bytes | None:
    """A block's number or hash; None is the head. Tags and EIP-1898 objects are understood."""
    if value is None or (isinstance(value, str) and value in TAGS_OF_HEAD):
        return None
    if value == "earliest":
        return 0
    if isinstance(value, Mapping):
        if "blockHash" in value:
            return read_data(value["blockHash"], "blockHash", 32)
        return read_quantity(value.get("blockNumber"), "blockNumber")
    return read_quantity(value, "block")


def read_call(value: Json, *, gas_cap: int) -> Call:
    """The first parameter of `eth_call` and `eth_estimateGas`; gas is at most `gas_cap`.

    Fees and the nonce are ignored, and so is what wallets add for themselves: they send their whole draft.
    """
    if not isinstance(value, Mapping):
        raise invalid("the call must be an object")
    if any(value.get(key) is not None for key in BLOB_KEYS):
        raise invalid("blob transactions are not supported")
    given = {key: item for key, item in value.items() if item is not None}
    octets = [read_data(given[key], key) for key in ("input", "data") if key in given]
    if len(octets) == 2 and octets[0] != octets[1]:
        raise invalid("data and input differ")
    return Call(
        sender=read_address(given["from"], "from") if "from" in given else Address(bytes(20)),
        to=read_address(given["to"], "to") if "to" in given else CREATE_CONTRACT_ADDRESS,
        value=read_quantity(given.get("value", "0x0"), "value"),
        data=octets[0] if octets else b"",
        gas=min(read_quantity(given["gas"], "gas"), gas_cap) if "gas" in given else gas_cap,
        access_list=_read_access_list(given.get("accessList", ())),
        authorizations=_read_authorizations(given.get("authorizationList", ())),
    )


def _read_access_list(value: Json) -> tuple[tuple[Address, tuple[int, ...]], ...]:
    entries = []
    for entry in read_list(value, "accessList"):
        if not isinstance(entry, Mapping):
            raise invalid("accessList must hold objects")
        slots = read_list(entry.get("storageKeys", ()), "storageKeys")
        keys = tuple(int.from_bytes(read_data(slot, "storageKeys", 32)) for slot in slots)
        entries.append((read_address(entry.get("address"), "address"), keys))
    return tuple(entries)


def _read_authorizations(value: Json) -> tuple[Authorization, ...]:
    entries = []
    for entry in read_list(value, "authorizationList"):
        if not isinstance(entry, Mapping):
            raise invalid("authorizationList must hold objects")
        numbers = {field: read_quantity(entry.get(name), name) for field, name in AUTHORIZATION_NUMBERS}
        entries.append(Authorization(address=read_address(entry.get("address"), "address"), **numbers))
    return tuple(entries)


def read_list(value: Json, name: str) -> Sequence[Json]:
    """A JSON array."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise invalid(f"{name} must be an array")
    return value
