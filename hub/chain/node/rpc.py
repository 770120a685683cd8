"""The JSON-RPC methods: each reads its parameters, asks the backend, and answers in the shapes of `formats`."""

import inspect
from collections.abc import Callable, Sequence
from typing import Final

from eth.abc import BlockHeaderAPI

from hub.chain.node.backend import CALL_GAS_CAP, Backend
from hub.chain.node.errors import METHOD_NOT_FOUND, RpcError, invalid
from hub.chain.node.formats import (
    Json,
    block_json,
    data,
    effective_gas_price,
    quantity,
    read_address,
    read_block_name,
    read_call,
    read_data,
    read_list,
    read_quantity,
    receipt_json,
    transaction_json,
)
from hub.chain.node.hooks import Hooks
from hub.chain.node.log_methods import LogMethods
from hub.chain.node.machine import base_fee

CLIENT_VERSION: Final = "tongbao-node/py-evm/prague"
PRIORITY_FEE_WEI: Final = 1_000_000_000  # what clients offer by habit; nobody competes here
FEE_BLOCKS_MAX: Final = 1_024  # go-ethereum's limit of eth_feeHistory
PERCENTILES_MAX: Final = 100


class Methods:
    """Everything that is answered from committed state. `answer` may be called from many threads at once.

    `eth_sendRawTransaction` is not here: it waits for the writer, which is the server's affair.
    """

    def __init__(self, backend: Backend, *, has_test_hooks: bool) -> None:
        self._backend = backend
        logs = LogMethods(backend)
        hooks = Hooks(backend, on_rewind=logs.rewind).table() if has_test_hooks else {}
        self._table = self._readers() | logs.table() | hooks
        self._signatures = {name: inspect.signature(method) for name, method in self._table.items()}

    def answer(self, method: str, params: Sequence[Json]) -> Json:
        """The result. Raises RpcError, -32601 for a method that does not exist."""
        signature = self._signatures.get(method)
        if signature is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {method[:100]} does not exist/is not available")
        try:
            bound = signature.bind(*params)
        except TypeError as error:
            raise invalid(f"{method}: {error}") from error
        return self._table[method](*bound.args)

    def _readers(self) -> dict[str, Callable[..., Json]]:
        return {
            "web3_clientVersion": lambda: CLIENT_VERSION,
            "net_version": lambda: str(self._backend.chain_id),
            "net_listening": lambda: True,
            "eth_chainId": lambda: quantity(self._backend.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": self._no_accounts,
            "eth_blockNumber": lambda: quantity(self._backend.head.block_number),
            "eth_getBlockByNumber": self._block,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBlockTransactionCountByNumber": self._transaction_count,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionCount": self._nonce,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_gasPrice": self._gas_price,
            "eth_maxPriorityFeePerGas": lambda: quantity(PRIORITY_FEE_WEI),
            "eth_feeHistory": self._fee_history,
        }

    @staticmethod
    def _no_accounts() -> Json:
        return []  # no key is kept here, so none can be asked to sign

    # blocks

    def _block(self, name: Json, is_full: Json = False) -> Json:
        return self._block_or_null(self._backend.find_header(read_block_name(name)), is_full)

    def _block_by_hash(self, block_hash: Json, is_full: Json = False) -> Json:
        return self._block_or_null(self._backend.find_header(read_data(block_hash, "block hash", 32)), is_full)

    def _block_or_null(self, header: BlockHeaderAPI | None, is_full: Json) -> Json:
        if header is None:
            return None
        pairs = self._backend.transactions_of(header)
        size = self._backend.block_size(header, [transaction for _, transaction in pairs])
        shown: list[Json] = [
            transaction_json(transaction, row.hash, row.sender, (header, row.idx)) if is_full else data(row.hash)
            for row, transaction in pairs
        ]
        return block_json(header, shown, size)

    def _transaction_count(self, name: Json) -> Json:
        header = self._backend.find_header(read_block_name(name))
        if header is None:
            return None
        return quantity(len(self._backend.database.transactions(header.block_number)))

    def _block_receipts(self, name: Json) -> Json:
        header = self._backend.find_header(read_block_name(name))
        if header is None:
            return None
        return [
            receipt_json(row, transaction, self._backend.receipt(row, header), header)
            for row, transaction in self._backend.transactions_of(header)
        ]

    # transactions

    def _transaction(self, tx_hash: Json) -> Json:
        octets = read_data(tx_hash, "transaction hash", 32)
        mined = self._backend.transaction(octets)
        if mined is not None:
            row, transaction, header = mined
            return transaction_json(transaction, row.hash, row.sender, (header, row.idx))
        queued = self._backend.pool.find(octets)
        if queued is None:
            return None
        return transaction_json(queued.transaction, queued.hash, queued.sender, None)

    def _receipt(self, tx_hash: Json) -> Json:
        mined = self._backend.transaction(read_data(tx_hash, "transaction hash", 32))
        if mined is None:
            return None
        row, transaction, header = mined
        return receipt_json(row, transaction, self._backend.receipt(row, header), header)

    # accounts

    def _nonce(self, account: Json, name: Json = "latest") -> Json:
        who = read_address(account, "address")
        nonce = self._backend.account(read_block_name(name)).get_nonce(who)
        return quantity(self._backend.pool.next_nonce(who, nonce) if name == "pending" else nonce)

    def _balance(self, account: Json, name: Json = "latest") -> Json:
        who = read_address(account, "address")
        return quantity(self._backend.account(read_block_name(name)).get_balance(who))

    def _code(self, account: Json, name: Json = "latest") -> Json:
        who = read_address(account, "address")
        return data(self._backend.account(read_block_name(name)).get_code(who))

    def _storage(self, account: Json, slot: Json, name: Json = "latest") -> Json:
        who = read_address(account, "address")
        position = _read_slot(slot)
        return data(self._backend.account(read_block_name(name)).get_storage(who, position).to_bytes(32))

    # running code

    def _call(self, call: Json, name: Json = "latest") -> Json:
        return data(self._backend.call(read_call(call, gas_cap=CALL_GAS_CAP), read_block_name(name)))

    def _estimate(self, call: Json, name: Json = "latest") -> Json:
        asked = read_call(call, gas_cap=self._backend.tx_gas_cap)
        return quantity(self._backend.estimate(asked, read_block_name(name)))

    # fees

    def _gas_price(self) -> Json:
        return quantity(self._backend.next_base_fee(self._backend.head) + PRIORITY_FEE_WEI)

    def _fee_history(self, count: Json, newest: Json, percentiles: Json = None) -> Json:
        wanted = int(count) if isinstance(count, int) else read_quantity(count, "blockCount")
        shares = _read_percentiles(percentiles)
        last = self._backend.header(read_block_name(newest))
        wanted = min(max(wanted, 1), FEE_BLOCKS_MAX, last.block_number + 1)
        first = last.block_number - wanted + 1
        headers = [self._backend.header(number) for number in range(first, last.block_number + 1)]
        history: dict[str, Json] = {
            "oldestBlock": quantity(first),
            "baseFeePerGas": [
                quantity(fee) for fee in (*(base_fee(header) for header in headers), self._backend.next_base_fee(last))
            ],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        }
        if shares is not None:
            history["reward"] = [self._tips(header, shares) for header in headers]
        return history

    def _tips(self, header: BlockHeaderAPI, shares: Sequence[float]) -> list[Json]:
        """The priority fee at each percentile of the block's gas, in wei."""
        tips = sorted(
            (effective_gas_price(transaction, header) - base_fee(header), row.gas_used)
            for row, transaction in self._backend.transactions_of(header)
        )
        return [quantity(_tip_at(tips, header.gas_used * share / 100)) for share in shares]


def _read_slot(value: Json) -> int:
    """A storage slot: a quantity, or 32 bytes as most clients send it."""
    if isinstance(value, str) and len(value) == 66:
        return int.from_bytes(read_data(value, "slot", 32))
    return read_quantity(value, "slot")


def _read_percentiles(value: Json) -> list[float] | None:
    if value is None:
        return None
    said = read_list(value, "percentiles")
    shares = [float(share) for share in said if isinstance(share, int | float)]
    if len(shares) < len(said) or len(shares) > PERCENTILES_MAX:
        raise invalid(f"percentiles must be at most {PERCENTILES_MAX} numbers")
    if shares != sorted(shares) or any(not 0 <= share <= 100 for share in shares):
        raise invalid("percentiles must rise from 0 to 100")
    return shares


def _tip_at(tips: Sequence[tuple[int, int]], gas: float) -> int:
    passed = 0
    for tip, used in tips:
        passed += used
        if passed >= gas:
            return tip
    return 0
