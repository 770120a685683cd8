"""A payment provider in process with books of its own: what it took is what the hub must find out, whatever was lost.

And `Fuse`: a process that dies at the n-th step, wherever that is.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hub.domain.money import Money
from hub.domain.payments import Outcome, PaymentAttempt, Result, Stage
from hub.ports import RawNotice
from hub.store.transactions import Store
from tests.flows.scripted import ScriptedChannel, delivery, result


class Died(BaseException):
    """The process is gone: no `except Exception` may hold it up."""


@dataclass
class Fuse:
    """Counts the steps of a process and ends it at one of them; 0 never does."""

    at: int = 0
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Died(self.steps)


class MortalStore:
    """A store whose caller may die before a unit has begun or right after its commit."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self._store, self._fuse = store, fuse

    async def write(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        self._fuse.step()
        value = await self._store.write(unit, *args, **kwargs)
        self._fuse.step()
        return value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class Payment:
    """One payment as the provider knows it."""

    key: str
    amount: Money
    state: str = "OPEN"  # OPEN, AUTHORIZED, TAKEN, DECLINED, VOIDED
    at_us: int = 0


@dataclass
class Provider(ScriptedChannel):
    """Idempotent by key. `decide` says what a new payment becomes; `fault` what happens to a call, '' for nothing."""

    payments: dict[str, Payment] = field(default_factory=dict)
    decide: Callable[[], str] = lambda: "TAKEN"
    fault: Callable[[], str] = lambda: ""
    fuse: Fuse = field(default_factory=Fuse)
    notices: list[RawNotice] = field(default_factory=list)
    is_dated: bool = True
    _time: int = 1_767_225_600_000_000

    async def create(self, attempt: PaymentAttempt) -> Result:
        return await self._call("create", attempt, lambda: self._create(attempt))

    async def query(self, attempt: PaymentAttempt) -> Result:
        return await self._call("query", attempt, lambda: None)

    async def void(self, attempt: PaymentAttempt) -> Result:
        return await self._call("void", attempt, lambda: self._void(attempt.key))

    async def _call(self, method: str, attempt: PaymentAttempt, act: Callable[[], None]) -> Result:
        self.fuse.step()
        fault = self.fault()
        answer = await self._do(method, attempt, result(Outcome.PENDING))  # for its books of calls
        if fault == "refused":
            answer = result(Outcome.NOT_SENT)
        elif fault == "lost before":
            answer = result(Outcome.UNKNOWN)
        else:
            act()
            answer = result(Outcome.UNKNOWN) if fault == "lost after" else self._says(attempt.key)
        self.fuse.step()
        return answer

    def _create(self, attempt: PaymentAttempt) -> None:
        if attempt.key not in self.payments:
            self.payments[attempt.key] = Payment(attempt.key, attempt.amount)
            self.move(attempt.key, self.decide())

    def _void(self, key: str) -> None:
        if key in self.payments and self.payments[key].state in ("OPEN", "AUTHORIZED"):
            self.move(key, "VOIDED")

    def move(self, key: str, state: str) -> None:
        """The buyer or the bank acts; a notice of it is on its way."""
        self._time += 1_000_000
        self.payments[key].state, self.payments[key].at_us = state, self._time
        if state != "OPEN":
            self.notices.append(delivery(f"{self.code} {key} {self._time}", key, self._says(key)))

    def _says(self, key: str) -> Result:
        payment = self.payments.get(key)
        if payment is None:
            return result(Outcome.DONE, Stage.NONE)
        told = {
            "OPEN": result(Outcome.ACTION),
            "AUTHORIZED": result(Outcome.DONE, Stage.AUTHORIZED, payment.amount),
            "TAKEN": result(Outcome.DONE, Stage.CHARGED, payment.amount),
            "DECLINED": result(Outcome.DECLINED, code="card_declined"),
            "VOIDED": result(Outcome.DONE, Stage.VOIDED),
        }[payment.state]
        return replace(told, provider_at_us=payment.at_us if self.is_dated else None)

    def taken_minor(self, order_number: str) -> int:
        """What it took for one order in all."""
        return sum(
            payment.amount.amount_minor
            for payment in self.payments.values()
            if payment.state == "TAKEN" and payment.key.startswith(f"{order_number}-")
        )


def chosen(chance: random.Random, **weights: int) -> Callable[[], str]:
    """One of the names by weight, at each call; underscores are blanks, `none` is nothing."""
    names = ["" if name == "none" else name.replace("_", " ") for name in weights]
    return lambda: chance.choices(names, list(weights.values()))[0]
