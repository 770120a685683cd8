"""Buying for a stablecoin: the splitter contract, and a channel that sells by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hub.domain.checkout import Part, Sale, Terms
from hub.ports.chain import ChainReceipt


@dataclass(frozen=True, slots=True)
class CheckoutPlace:
    """Where a stablecoin purchase happens. Addresses have 20 bytes."""

    chain_id: int
    splitter: bytes
    token: bytes
    token_name: str
    token_version: str
    decimals: int
    # Whether the token signs as EIP-712 has it under this name and version: else there are neither permits nor
    # authorizations, only approvals.
    has_signatures: bool


@dataclass(frozen=True, slots=True)
class PurchaseStanding:
    """What the contracts hold under an order key, in the newest block and in the newest confirmed one."""

    bought_at: int | None  # seconds since 1970, of its block
    is_confirmed: bool
    is_refunded: bool
    is_refund_confirmed: bool
    confirmed_at: int  # seconds since 1970, of the newest confirmed block: what was not bought then never will be


@dataclass(frozen=True, slots=True)
class Paid:
    """A purchase as the splitter told it."""

    offer_id: bytes
    payer: bytes
    token: bytes
    price: int  # units of the token


@dataclass(frozen=True, slots=True)
class SplitterCall:
    """A call of the splitter by the hub's gateway. `purpose` names it for ever: it is carried out once."""

    purpose: str
    data: bytes


class Checkout(Protocol):
    """CheckoutSplitter on the hub's chain, and the one token that this hub sells for. Every method may raise
    ChainUnavailable, and every method may be repeated; all but `carry_out` only read."""

    async def place(self) -> CheckoutPlace:
        """Known once the contracts are deployed."""

    async def is_open(self, offer_id: bytes) -> bool:
        """Whether an offer can be bought."""

    async def permit_nonce(self, payer: bytes) -> int:
        """The nonce that the payer's next EIP-2612 permit has to name."""

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        """What became of an order key."""

    async def paid(self, order_key: bytes) -> Paid | None:
        """What was paid under an order key; None: nothing."""

    async def terms(self, offer_id: bytes) -> tuple[Terms, tuple[Part, ...]] | None:
        """What an offer's name stands for, and the parts of its split, as they were told when they were set."""

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        """The gateway's call: signed once, committed, then sent until a block holds it. None: come back, it may still
        take effect. Raises ChainRefused where the contract says no and nothing is signed; a receipt that is not ok is
        of a block so deep that it stays."""


@runtime_checkable
class SellsOnChain(Protocol):
    """A channel whose contract has to know what is on sale before it can be bought."""

    checkout: Checkout

    async def missing(self, sales: Sequence[Sale]) -> Sequence[SplitterCall]:
        """The calls without which these could not be bought, in their order. Raises ChainUnavailable. A sale that the
        channel cannot make is left out."""
