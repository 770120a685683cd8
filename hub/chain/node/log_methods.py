"""The JSON-RPC methods about logs, and the filters that report blocks and logs as they come."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hub.chain.node.backend import Backend
from hub.chain.node.database import LogQuery
from hub.chain.node.errors import invalid
from hub.chain.node.filters import Filters
from hub.chain.node.formats import Json, data, log_json, quantity, read_block_name, read_data, read_list, read_quantity

ADDRESSES_MAX: Final = 1_000  # in one log query
TOPICS_MAX: Final = 4  # the EVM has no LOG5
TOPIC_CHOICES_MAX: Final = 1_000  # for one position of a log query
HEIGHT_MAX: Final = 2**63 - 1  # SQLite's largest integer


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a caller asks of logs; a bound that is None is the head, wherever that is when the question is answered."""

    first_block: int | None
    last_block: int | None
    block_hash: bytes | None
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...], ...]


class LogMethods:
    """`eth_getLogs` and the filters' methods. They may be called from many threads at once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._filters: Filters[Criteria] = Filters(time.monotonic)

    def table(self) -> dict[str, Callable[..., Json]]:
        """The methods by their names."""
        return {
            "eth_getLogs": self._logs,
            "eth_newFilter": self._new_filter,
            "eth_newBlockFilter": self._new_block_filter,
            "eth_getFilterChanges": self._filter_changes,
            "eth_getFilterLogs": self._filter_logs,
            "eth_uninstallFilter": lambda number: self._filters.uninstall(read_quantity(number, "filter")),
        }

    def rewind(self, height: int) -> None:
        """Blocks above `height` are gone: every filter will report those that come instead."""
        self._filters.rewind(height)

    def _logs(self, criteria: Json) -> Json:
        return self._found(_read_criteria(criteria))

    def _new_filter(self, criteria: Json) -> Json:
        asked = _read_criteria(criteria)
        if asked.block_hash is not None:
            raise invalid("a filter follows the chain: blockHash is for eth_getLogs")
        return quantity(self._filters.install(asked, self._backend.head.block_number + 1))

    def _new_block_filter(self) -> Json:
        return quantity(self._filters.install(None, self._backend.head.block_number + 1))

    def _filter_changes(self, number: Json) -> Json:
        asked, blocks = self._filters.advance(read_quantity(number, "filter"), self._backend.head.block_number)
        if asked is None:
            return [data(self._backend.header(height).hash) for height in blocks]
        first = max(blocks.start, asked.first_block or 0)
        last = blocks.stop - 1 if asked.last_block is None else min(blocks.stop - 1, asked.last_block)
        if first > last:
            return []
        return [log_json(row) for row in self._backend.logs(_query(asked, first, last))]

    def _filter_logs(self, number: Json) -> Json:
        return self._found(self._filters.asked(read_quantity(number, "filter")))

    def _found(self, asked: Criteria) -> Json:
        if asked.block_hash is not None:
            self._backend.header(asked.block_hash)  # an unknown block is an error here, not an empty answer
        head = self._backend.head.block_number
        first = head if asked.first_block is None else asked.first_block
        last = head if asked.last_block is None else asked.last_block
        return [log_json(row) for row in self._backend.logs(_query(asked, first, last))]


def _query(asked: Criteria, first: int, last: int) -> LogQuery:
    return LogQuery(first, last, asked.block_hash, asked.addresses, asked.topics)


# reading; each raises RpcError -32602 naming the field


def _read_criteria(value: Json) -> Criteria:
    if not isinstance(value, Mapping):
        raise invalid("the filter must be an object")
    topics = read_list(value.get("topics") or (), "topics")
    if len(topics) > TOPICS_MAX:
        raise invalid(f"at most {TOPICS_MAX} topics")
    asked = Criteria(
        first_block=_read_height(value.get("fromBlock")),
        last_block=_read_height(value.get("toBlock")),
        block_hash=None if value.get("blockHash") is None else read_data(value["blockHash"], "blockHash", 32),
        addresses=_read_choices(value.get("address"), "address", 20, ADDRESSES_MAX),
        topics=tuple(_read_choices(topic, "topic", 32, TOPIC_CHOICES_MAX) for topic in topics),
    )
    if asked.block_hash is not None and (value.get("fromBlock") is not None or value.get("toBlock") is not None):
        raise invalid("blockHash excludes fromBlock and toBlock")
    if asked.first_block is not None and asked.last_block is not None and asked.first_block > asked.last_block:
        raise invalid("fromBlock is after toBlock")
    return asked


def _read_height(value: Json) -> int | None:
    name = read_block_name(value)
    if isinstance(name, bytes):
        raise invalid("a range is told by numbers: blockHash stands alone")
    return None if name is None else min(name, HEIGHT_MAX)


def _read_choices(value: Json, name: str, size: int, limit: int) -> tuple[bytes, ...]:
    """One value or a list of alternatives; nothing means any."""
    if value is None:
        return ()
    choices = [value] if isinstance(value, str) else read_list(value, name)
    if len(choices) > limit:
        raise invalid(f"at most {limit} alternatives for {name}")
    return tuple(read_data(choice, name, size) for choice in choices)
