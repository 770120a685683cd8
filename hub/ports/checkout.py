"""Buying for a stablecoin: the splitter contract, and a channel that sells by it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from hub.domain.checkout import Part, Sale, Terms
from hub.domain.payments import PaymentAttempt
from hub.domain.records import KeyRole
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
class Movement:
    """A purchase or a refund as the splitter told it, in a final block."""

    place: str  # transaction and log: unique
    at_us: int  # of its block
    order_key: bytes
    token: bytes
    price: int  # units of the token
    is_refund: bool
    raw: str  # the event's arguments, as JSON


class Obstacle(StrEnum):
    """Why the contracts would refuse a purchase now: the first that they would find. The value is its code."""

    PAUSED = "paused"  # splitter or EntitlementHub: until an operator lets them go on
    TOKEN = "token_not_taken"  # off the splitter's list
    OFFER = "offer_not_open_yet"
    ORDER = "order_key_taken"  # settled, or called off: it never can be bought


@dataclass(frozen=True, slots=True)
class SplitterCall:
    """A call of the splitter by the hub's key for such calls. `purpose` names it for ever: it is carried out once."""

    purpose: str
    data: bytes
    by: KeyRole = KeyRole.SELLER


class Checkout(Protocol):
    """CheckoutSplitter on the hub's chain, and the one token that this hub sells for. Every method may raise
    ChainUnavailable, and every method may be repeated; all but `carry_out` only read."""

    @property
    def splitter(self) -> str:
        """The contract's address, checksummed. Raises ChainUnavailable before it is deployed."""

    @property
    def former(self) -> "Sequence[Checkout]":
        """The hub's splitters before this one. Nothing is put on sale there; what was bought there is asked of them."""

    async def place(self) -> CheckoutPlace:
        """Known once the contracts are deployed."""

    async def open_among(self, offer_ids: Collection[bytes]) -> set[bytes]:
        """Those of the offers that can be bought, pauses aside."""

    async def set_among(self, split_ids: Collection[bytes]) -> set[bytes]:
        """Those of the splits that the contract knows."""

    async def obstacle(self, offer_id: bytes, order_key: bytes) -> Obstacle | None:
        """What stands in the way of this purchase; None: nothing does."""

    async def permit_nonce(self, payer: bytes) -> int:
        """The nonce that the payer's next EIP-2612 permit has to name."""

    async def standing(self, order_key: bytes) -> PurchaseStanding:
        """What became of an order key."""

    async def paid(self, order_key: bytes) -> Paid | None:
        """What was paid under an order key; None: nothing."""

    async def movements(self, from_us: int, until_us: int, *, is_over: bool) -> Sequence[Movement]:
        """Purchases and refunds of the blocks dated from the one moment to before the other, in the chain's order.
        ChainUnavailable too while not all of these are final, unless `is_over`: no block of that time will come."""

    async def terms(self, offer_id: bytes) -> tuple[Terms, tuple[Part, ...]] | None:
        """What an offer's name stands for, and the parts of its split, as they were told when they were set."""

    async def carry_out(self, call: SplitterCall) -> ChainReceipt | None:
        """The call of its role's key: signed once, committed, then sent until a block holds it. None: come back, it may
        still take effect. Raises ChainRefused where the contract says no, or SigningRefused, and nothing is signed; a
        receipt that is not ok is of a block so deep that it stays."""


@runtime_checkable
class SellsOnChain(Protocol):
    """A channel whose contract has to know what is on sale before it can be bought."""

    code: str
    checkout: Checkout

    async def differences(
        self,
        counter: Checkout,
        sales: Sequence[Sale],
        told_open: Collection[bytes],
        attempts: Sequence[PaymentAttempt],
    ) -> Sequence[Sequence[SplitterCall]]:
        """The calls that put `sales` on sale at `counter`, the channel's own or a former one, and take everything else
        off, in steps: one comes after the other. None is left: what is on sale is what should be. Raises
        ChainUnavailable.

        `told_open` are the offers that the chain's log tells are open. One of them stays while an order key of
        `attempts` commits to it. A sale that the channel cannot make is left out.
        """
