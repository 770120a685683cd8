"""What the chain has told: blocks by their hashes, events of known contracts in them, and how far both may be trusted.

A block is SEEN, then CONFIRMED (so deep that sales may count on it), then FINAL. A chain may take back what is not
final; what is kept of it here follows from the chain alone, so that two readers keep the same.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from hub.domain.contracts import NOBODY

# What stands before a chain's first block: the hash that its first block names as its parent's.
BEFORE_FIRST = "0x" + "00" * 32


class Depth(IntEnum):
    """How far a block may be trusted."""

    SEEN = 1
    CONFIRMED = 2
    FINAL = 3


class Finality(StrEnum):
    """The same as others are told it; PENDING is in no block."""

    PENDING = "PENDING"
    SEEN = "SEEN"
    CONFIRMED = "CONFIRMED"
    FINAL = "FINAL"


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, as much of it as matters. Hashes are 0x and 64 lower-case digits."""

    chain_id: int
    number: int
    hash: str
    parent_hash: str
    mined_at_us: int  # by the block's own clock


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """One log of a known contract. `args` are plain JSON values: numbers as decimal text, bytes as 0x and digits.

    `subject` is what the event is about, its first indexed argument: a root, an order key, an account; '' for none.
    A log that the contract's ABI does not know has its first topic for a name.
    """

    chain_id: int
    block_number: int
    block_hash: str
    log_index: int
    transaction_hash: str
    address: str
    name: str
    subject: str
    args: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its place: the same transaction in another block is another event."""
        return f"{self.block_hash}:{self.log_index}"

    @property
    def place(self) -> tuple[int, int]:
        """Orders events of one chain."""
        return self.block_number, self.log_index

    @property
    def told(self) -> str:
        """`args` as the one JSON text that is stored."""
        return json.dumps(self.args, sort_keys=True, separators=(",", ":"))


REVOKING = ("Revoked", "RootRevoked", "OrderRevoked")


def revokes(event: ChainEvent, index: int) -> bool:
    """Whether a REVOKING event ends the leaf at this place under its root; a settled order has one leaf alone."""
    if event.name in ("RootRevoked", "OrderRevoked"):
        return True
    return int(event.args["word"]) == index >> 8 and bool(int(event.args["mask"]) >> (index & 255) & 1)


@dataclass(frozen=True, slots=True)
class Heads:
    """What a node says of its chain: its newest block, the newest that counts as confirmed, and as final."""

    number: int
    confirmed: int
    final: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a transaction in a block has cost."""

    gas_used: int
    gas_price_wei: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a chain is read: block `number`, whose hash was `hash`. Everything up to `final_number` stands for good.

    `head_number` is the node's newest at the last move. While `halt_reason` stands nothing is read.
    """

    chain_id: int
    number: int
    hash: str
    head_number: int
    confirmed_number: int
    final_number: int
    final_hash: str
    halted_at_us: int | None
    halt_reason: str | None
    version: int
    moved_at_us: int

    def depth(self, number: int) -> Depth:
        """How far a block of that number, which has been read, may be trusted."""
        if number <= self.final_number:
            return Depth.FINAL
        return Depth.CONFIRMED if number <= self.confirmed_number else Depth.SEEN


# ---- what a contract's own events say of it --------------------------------------------------------------------------

STANDING = ("RoleSet", "OwnerProposed", "OwnerChanged", "Paused", "Unpaused", "SuccessorSet")


@dataclass(slots=True)
class ContractStanding:
    """Who may do what with a contract, and whether it is paused."""

    owner: str | None = None
    proposed_owner: str | None = None
    successor: str | None = None
    is_paused: bool = False
    roles: dict[str, int] = field(default_factory=dict)  # role bits by account


def standings(events: Iterable[ChainEvent]) -> dict[str, ContractStanding]:
    """By address; the events of one chain, in its order."""
    found: dict[str, ContractStanding] = {}
    for event in events:
        contract = found.setdefault(event.address, ContractStanding())
        match event.name:
            case "RoleSet":
                contract.roles[event.args["account"]] = int(event.args["roles"])
            case "OwnerProposed":
                contract.proposed_owner = _somebody(event.args["proposed"])
            case "OwnerChanged":
                contract.owner, contract.proposed_owner = _somebody(event.args["owner"]), None
            case "SuccessorSet":
                contract.successor = _somebody(event.args["successor"])
            case "Paused" | "Unpaused":
                contract.is_paused = event.name == "Paused"
    return found


def _somebody(address: str) -> str | None:
    return None if address == NOBODY else address
