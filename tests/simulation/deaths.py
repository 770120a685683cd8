"""Processes that die over a piece of work, or stand still, mostly until its lease has ended and others take it up.

It may happen before and after every commit, and so at each await of a flow: what is between two commits is a call.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hub.store.tasks import LEASE_US

if TYPE_CHECKING:
    from hub.store.transactions import Rx, Store
    from tests.simulation.town import Town

LEASE_S = LEASE_US / 1_000_000
TROUBLED_OF_1000 = 120  # pieces of work that are due to meet one of these
HOW = {"dies": 60, "stands still": 40}
MOST_STEPS = 8  # of which the fatal one is drawn: work of fewer goes well
STILL_S = (1.0, 6 * LEASE_S)


class Died(BaseException):
    """The process is gone: no `except Exception` may hold it up."""


class MortalStore:
    """A store in the hands of one piece of work, which ends, or stands still, at its n-th step."""

    def __init__(self, town: "Town", store: "Store", chance: random.Random) -> None:
        self._town, self._store, self._chance = town, store, chance
        self._how = chance.choices(list(HOW), list(HOW.values()))[0]
        self._left = chance.randint(1, MOST_STEPS)

    async def write(self, unit: Callable[..., Any], *arguments: Any) -> Any:
        await self._step()
        value = await self._store.write(unit, *arguments)
        await self._step()
        return value

    @asynccontextmanager
    async def reading(self) -> "AsyncIterator[Rx]":
        await self._step()
        async with self._store.reading() as rx:
            yield rx

    async def _step(self) -> None:
        self._left -= 1
        if self._left or self._town.is_safe:
            return
        self._town.met[f"process {self._how}"] += 1
        if self._how == "dies":
            raise Died
        await self._town.sleep(self._chance.uniform(*STILL_S))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
