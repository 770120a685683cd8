"""EntitlementHub against a model of a page: whatever is claimed, settled, revoked, burned and paused, in any order and
at any time, both say the same of access, ends and balances, and refuse the same steps.
"""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.domain import anchors
from hub.domain.anchors import NO_END, Tree
from tests.contracts.evm import (
    GUARD,
    JUDGE,
    NOBODY,
    NOW,
    STRANGER,
    TOKEN,
    Hub,
    Receipt,
    Reverted,
    anchored,
    claimed,
    event,
    fresh_hub,
    result_of,
    right,
    settled,
)

ALICE, BOB = WALLETS = tuple(keccak(name)[:20] for name in (b"alice", b"bob"))
TOKENS = (TOKEN, TOKEN + 1)
ENDS = (NOW + 10, NOW + 20, NO_END)

# Every right that a step may name: (wallet, token, end), the same in two batches and once as orders settled directly.
RIGHTS = tuple((wallet, token, end) for wallet in WALLETS for token in TOKENS for end in ENDS)
BATCHES, ORDERS = ("first", "second"), "orders"
Source = tuple[str, int]  # where a right is from, and its place in RIGHTS
Logs = tuple[tuple[tuple[bytes, ...], bytes], ...]
Verb = Literal["claim", "settle", "claimSettled", "revoke", "revokeRoot", "burnRevoked", "burnExpired", "pause", "wait"]


@dataclass
class Model:
    """What the contract promises, without bits and words."""

    now: int = NOW
    is_paused: bool = False
    settled: set[int] = field(default_factory=set)
    revoked: set[Source] = field(default_factory=set)
    held: dict[tuple[bytes, int], Source] = field(default_factory=dict)

    def stands(self, source: Source) -> bool:
        return source not in self.revoked and RIGHTS[source[1]][2] > self.now

    def take(self, source: Source) -> None:
        """The wallet holds this right from now on, unless what it holds ends no earlier and is not revoked."""
        wallet, token, end = RIGHTS[source[1]]
        now_held = self.held.get((wallet, token))
        if now_held is None or now_held in self.revoked or RIGHTS[now_held[1]][2] < end:
            self.held[wallet, token] = source

    def does(self, verb: Verb, batch: str, number: int) -> str | None:
        """Takes the step; the reason if it is refused."""
        wallet, token, _ = RIGHTS[number]
        held = self.held.get((wallet, token))
        match verb:
            case "claim" | "settle" | "claimSettled" if self.is_paused:
                return "paused"
            case "claim":
                if not self.stands((batch, number)):
                    return "right"
                self.take((batch, number))
            case "settle":
                if RIGHTS[number][2] <= self.now:
                    return "expiry"
                if number in self.settled or (ORDERS, number) in self.revoked:
                    return "settled"
                self.settled.add(number)
                self.take((ORDERS, number))
            case "claimSettled":
                if number not in self.settled or not self.stands((ORDERS, number)):
                    return "right"
                self.take((ORDERS, number))
            case "revoke":
                self.revoked.add((batch, number))
            case "revokeRoot":
                self.revoked |= {(batch, index) for index in range(len(RIGHTS))}
            case "burnRevoked":
                if held is None or held not in self.revoked:
                    return "revoked"
                del self.held[wallet, token]
            case "burnExpired":
                if held is None or RIGHTS[held[1]][2] > self.now:
                    return "expired"
                del self.held[wallet, token]
            case "pause":
                self.is_paused = not self.is_paused
            case "wait":
                self.now += 10
        return None

    def says(self, wallet: bytes, token: int) -> tuple[bool, int, int]:
        """Access, end, balance."""
        held = self.held.get((wallet, token))
        if held is None:
            return False, 0, 0
        return self.stands(held), 0 if held in self.revoked else RIGHTS[held[1]][2], 1


@dataclass
class House:
    """The contract with both batches anchored."""

    hub: Hub
    trees: dict[str, Tree]

    def does(self, verb: Verb, batch: str, number: int) -> Receipt | None:
        wallet, token, end = RIGHTS[number]
        result = result_of(number, wallet, token_id=token, expiry=end)
        match verb:
            case "claim":
                return claimed(self.hub, self.trees[batch].proof(number))
            case "settle":
                return settled(self.hub, result)
            case "claimSettled":
                return self.hub.send(STRANGER, verb, result.order_key, wallet, token, end)
            case "revoke" if batch == ORDERS:
                return self.hub.send(JUDGE, "revokeOrder", result.order_key)
            case "revoke":
                return self.hub.send(JUDGE, verb, self.trees[batch].root, *anchors.revocation_bit(number))
            case "revokeRoot":
                return self.hub.send(JUDGE, verb, self.trees[batch].root)
            case "burnRevoked" | "burnExpired":
                return self.hub.send(STRANGER, verb, wallet, token)
            case "pause":
                (is_paused,) = self.hub.ask("paused")
                return self.hub.send(GUARD, "unpause" if is_paused else "pause")
            case "wait":
                self.hub.evm.at(self.hub.evm.header.timestamp + 10)
                return None

    def says(self, wallet: bytes, token: int) -> tuple[object, ...]:
        return tuple(self.hub.ask(name, wallet, token)[0] for name in ("hasAccess", "expiresAt", "balanceOf"))


def planted() -> dict[str, Tree]:
    """Both batches."""
    leaves = {
        batch: [right(100 * number + place, to=w, token_id=t, expiry=e) for place, (w, t, e) in enumerate(RIGHTS)]
        for number, batch in enumerate(BATCHES)
    }
    return {batch: anchors.plant(rights, keccak) for batch, rights in leaves.items()}


def house() -> House:
    hub = fresh_hub()
    return House(hub, {batch: anchored(hub, tree.leaves) for batch, tree in planted().items()})


PRISTINE = house()
# As often as a life has them; what stops or ends much is rare. Few wallets and tokens at a time, so that steps meet.
VERBS = (
    *(("claim", batch) for batch in BATCHES * 4),
    *(("revoke", batch) for batch in (*BATCHES, *BATCHES, ORDERS)),
    *((verb, ORDERS) for verb in ("settle", "settle", "settle", "claimSettled", "claimSettled", "burnExpired", "wait")),
    *((verb, ORDERS) for verb in ("burnRevoked", "burnRevoked", "pause")),
    ("revokeRoot", "second"),
)
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 3)), min_size=8, max_size=16)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_any_sequence_says_what_the_model_says(steps: list[tuple[tuple[Verb, str], int]]) -> None:
    walk(steps)


@pytest.mark.chaos
@pytest.mark.timeout(600)  # a minute of an idle machine
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_many_more_sequences_say_what_the_model_says(steps: list[tuple[tuple[Verb, str], int]]) -> None:
    walk(steps)


def walk(steps: list[tuple[tuple[Verb, str], int]]) -> None:
    """Both take each step; after it the balance has changed only as the logs tell, and both say the same."""
    real, model = House(PRISTINE.hub.copy(), PRISTINE.trees), Model()
    balances: dict[tuple[bytes, int], int] = {}
    for (verb, batch), number in steps:
        reason, logs = taken(real, verb, batch, number)
        assert reason == model.does(verb, batch, number), (verb, batch, number)
        for topics, data in logs:
            if topics[0] == event("TransferSingle")[0]:
                follow(balances, topics, data)
        wallet, token, _ = RIGHTS[number]
        assert real.says(wallet, token) == model.says(wallet, token), (verb, batch, number)
        assert balances.get((wallet, token), 0) == model.says(wallet, token)[2]
    for wallet in WALLETS:
        for token in TOKENS:
            assert real.says(wallet, token) == model.says(wallet, token)


def taken(real: House, verb: Verb, batch: str, number: int) -> tuple[str | None, Logs]:
    """The reason if the contract refuses the step, and the logs."""
    try:
        receipt = real.does(verb, batch, number)
    except Reverted as refusal:
        return str(refusal), ()
    return None, () if receipt is None else receipt.logs


def follow(balances: dict[tuple[bytes, int], int], topics: tuple[bytes, ...], data: bytes) -> None:
    """What an indexer makes of one transfer."""
    sender, receiver = topics[2][12:], topics[3][12:]
    token, amount = int.from_bytes(data[:32]), int.from_bytes(data[32:])
    for wallet, change in ((sender, -amount), (receiver, amount)):
        if wallet != NOBODY:
            balances[wallet, token] = balances.get((wallet, token), 0) + change
