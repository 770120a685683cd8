"""The JSON-RPC methods: each reads its parameters, asks the backend, and answers in the shapes of `formats`."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from eth.abc import BlockHeaderAPI

from hub.chain.node.backend import CALL_GAS_CAP, Backend
from hub.chain.node.database import LogQuery
from hub.chain.node.errors import METHOD_NOT_FOUND, RpcError, invalid
from hub.chain.node.filters import Filters
from hub.chain.node.formats import (
    TAGS_OF_HEAD,
    Json,
    block_json,
    data,
    effective_gas_price,
    log_json,
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
from hub.chain.node.machine import base_fee

CLIENT_VERSION: Final = "tongbao-node/py-evm/prague"
PRIORITY_FEE_WEI: Final = 1_000_000_000  # what clients offer by habit; nobody competes here
FEE_BLOCKS_MAX: Final = 1_024  # go-ethereum's limit of eth_feeHistory
PERCENTILES_MAX: Final = 100
ADDRESSES_MAX: Final = 1_000  # in one log query
TOPIC_CHOICES_MAX: Final = 1_000  # for one position of a log query
MINED_MAX: Final = 1_000  # empty blocks by one call of the test hook
TOPICS_MAX: Final = 4  # the EVM has no LOG5


class Methods:
    """Everything that is answered from committed state. `answer` may be called from many threads at once.

    `eth_sendRawTransaction` is not here: it waits for the writer, which is the server's affair.
    """

    def __init__(self, backend: Backend, *, has_test_hooks: bool) -> None:
        self._backend = backend
        self._filters = Filters(time.monotonic)
        self._table = self._readers() | (self._hooks() if has_test_hooks else {})
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
            "eth_getLogs": self._logs,
            "eth_newFilter": self._new_filter,
            "eth_newBlockFilter": self._new_block_filter,
            "eth_getFilterChanges": self._filter_changes,
            "eth_getFilterLogs": self._filter_logs,
            "eth_uninstallFilter": lambda number: self._filters.uninstall(read_quantity(number, "filter")),
        }

    def _hooks(self) -> dict[str, Callable[..., Json]]:
        return {"evm_mine": self._mine, "evm_snapshot": self._snapshot, "evm_revert": self._revert}

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

    # logs and filters

    def _logs(self, criteria: Json) -> Json:
        return [log_json(row) for row in self._backend.logs(self._read_query(criteria))]

    def _new_filter(self, criteria: Json) -> Json:
        return quantity(self._filters.install(self._read_query(criteria), self._backend.head.block_number + 1))

    def _new_block_filter(self) -> Json:
        return quantity(self._filters.install(None, self._backend.head.block_number + 1))

    def _filter_changes(self, number: Json) -> Json:
        query, blocks = self._filters.advance(read_quantity(number, "filter"), self._backend.head.block_number)
        if not blocks:
            return []
        if query is None:
            return [data(self._backend.header(height).hash) for height in blocks]
        fresh = replace(query, first_block=max(query.first_block, blocks[0]), last_block=blocks[-1])
        return [log_json(row) for row in self._backend.logs(fresh)]

    def _filter_logs(self, number: Json) -> Json:
        return [log_json(row) for row in self._backend.logs(self._filters.query(read_quantity(number, "filter")))]

    def _read_query(self, criteria: Json) -> LogQuery:
        if not isinstance(criteria, Mapping):
            raise invalid("the filter must be an object")
        addresses = _read_choices(criteria.get("address"), "address", 20, ADDRESSES_MAX)
        topics = read_list(criteria.get("topics") or (), "topics")
        if len(topics) > TOPICS_MAX:
            raise invalid(f"at most {TOPICS_MAX} topics")
        query = LogQuery(
            first_block=0,
            last_block=0,
            addresses=addresses,
            topics=tuple(_read_choices(topic, "topic", 32, TOPIC_CHOICES_MAX) for topic in topics),
        )
        if criteria.get("blockHash") is not None:
            if criteria.get("fromBlock") is not None or criteria.get("toBlock") is not None:
                raise invalid("blockHash excludes fromBlock and toBlock")
            header = self._backend.header(read_data(criteria["blockHash"], "blockHash", 32))
            return replace(query, block_hash=bytes(header.hash))
        first, last = self._read_height(criteria.get("fromBlock")), self._read_height(criteria.get("toBlock"))
        if first > last and criteria.get("toBlock") not in (None, *TAGS_OF_HEAD):
            raise invalid("fromBlock is after toBlock")
        return replace(query, first_block=first, last_block=last)

    def _read_height(self, value: Json) -> int:
        name = read_block_name(value)
        if isinstance(name, int):
            return min(name, 2**63 - 1)  # SQLite's largest integer
        return int(self._backend.header(name).block_number)

    # test hooks

    def _mine(self, count: Json = "0x1") -> Json:
        blocks = read_quantity(count, "count")
        if blocks > MINED_MAX:
            raise invalid(f"at most {MINED_MAX} blocks at once")
        for _ in range(blocks):
            self._backend.miner.command(self._backend.miner.mine_empty).result()
        return "0x0"

    def _snapshot(self) -> Json:
        return quantity(self._backend.head.block_number)

    def _revert(self, snapshot: Json) -> Json:
        height = read_quantity(snapshot, "snapshot")
        if height > self._backend.head.block_number:
            return False
        self._backend.miner.command(lambda: self._backend.miner.revert_to(height)).result()
        return True


def _read_slot(value: Json) -> int:
    """A storage slot: a quantity, or 32 bytes as most clients send it."""
    if isinstance(value, str) and len(value) == 66:
        return int.from_bytes(read_data(value, "slot", 32))
    return read_quantity(value, "slot")


def _read_choices(value: Json, name: str, size: int, limit: int) -> tuple[bytes, ...]:
    """One value or a list of alternatives; nothing means any."""
    if value is None:
        return ()
    choices = [value] if isinstance(value, str) else read_list(value, name)
    if len(choices) > limit:
        raise invalid(f"at most {limit} alternatives for {name}")
    return tuple(read_data(choice, name, size) for choice in choices)


def _read_percentiles(value: Json) -> list[float] | None:
    if value is None:
        return None
    shares = [float(share) for share in read_list(value, "percentiles") if isinstance(share, int | float)]
    if len(shares) > PERCENTILES_MAX or shares != sorted(shares) or any(not 0 <= share <= 100 for share in shares):
        raise invalid("percentiles must rise from 0 to 100")
    return shares


def _tip_at(tips: Sequence[tuple[int, int]], gas: float) -> int:
    passed = 0
    for tip, used in tips:
        passed += used
        if passed >= gas:
            return tip
    return 0
