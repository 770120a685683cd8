"""A unit may run again: with the same arguments against the same state it writes the same rows."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from hub.store.metadata import metadata
from tests.flows import test_story
from tests.flows.benches import Bench

# Numbers that a database counts on even when a transaction is rolled back; nothing refers to them across tables.
COUNTED = {"event": "seq", "task": "id", "channel_fact": "id", "dead_task": "id"}

STORY = [told for name, told in inspect.getmembers(test_story, inspect.iscoroutinefunction) if name.startswith("test_")]


class Rehearsal(Exception):
    """Carries what a unit wrote out of its transaction, which it ends."""

    def __init__(self, rows: dict[str, list[tuple[Any, ...]]], value: Any) -> None:
        super().__init__("rolled back")
        self.rows, self.value = rows, value


class TwiceStore:
    """Runs each unit twice for show and once for good, and compares all tables."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.units: set[str] = set()

    async def write(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        first, second = [await self._rehearsed(unit, *args, **kwargs) for _ in range(2)]
        assert first == second, f"{unit.__name__} wrote other rows the second time"
        self.units.add(unit.__name__)
        return await self._store.write(unit, *args, **kwargs)

    async def _rehearsed(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        async def rehearse(tx: Any) -> None:
            value = await unit(tx, *args, **kwargs)
            await tx.flush()
            raise Rehearsal({name: await _rows(tx, name) for name in metadata.tables}, value)

        try:
            await self._store.write(rehearse)
        except Rehearsal as rehearsal:
            return rehearsal.rows, repr(rehearsal.value)
        except Exception as error:
            return repr(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def _rows(tx: Any, name: str) -> list[tuple[Any, ...]]:
    columns = [column for column in metadata.tables[name].c if column.name != COUNTED.get(name)]
    found: list[tuple[Any, ...]] = await tx.many(select(*columns), lambda *values: values)
    return sorted(found, key=repr)


@pytest.mark.parametrize("told", STORY, ids=lambda told: told.__name__.removeprefix("test_"))
async def test_units_of_the_story_write_the_same_rows_when_run_again(
    bench: Bench, told: Callable[[Bench], Awaitable[None]]
) -> None:
    bench.store = TwiceStore(bench.store)
    await told(bench)
    assert bench.store.units
