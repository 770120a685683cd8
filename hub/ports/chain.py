"""The chain as the gateway uses it: transactions signed and sent, roots and leaves looked up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hub.domain.records import KeyRole


class ChainUnavailable(Exception):
    """The node did not answer, or not sensibly: nothing is known. Retry."""


class FeeTooLow(ChainUnavailable):
    """The node takes this transaction for more money only, as long as gas costs what it costs now."""


class ChainRefused(Exception):
    """The node or the contract said no. Final for this transaction; the reason is its own."""


class SigningRefused(ChainRefused):
    """Nothing is signed: there is no key for it, or who holds the key will not. The reason is the operator's alone."""


class NonceTaken(ChainRefused):
    """Another transaction of this sender is in a block under this nonce: this one can never be."""


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Signed and not yet sent: committed before it is sent."""

    hash: str
    raw: str
    nonce: int
    sender: str


@dataclass(frozen=True, slots=True)
class ChainReceipt:
    """What became of a transaction that is in a block. `confirmations` counts its own block as one."""

    hash: str
    is_ok: bool
    block_number: int
    block_hash: str
    gas_used: int
    gas_price_wei: int
    confirmations: int


@dataclass(frozen=True, slots=True)
class AnchorState:
    """What the contract holds under a root; count 0: nothing."""

    count: int
    kind: int
    anchored_at: int  # seconds since 1970, of the block


@dataclass(frozen=True, slots=True)
class LeafClaim:
    """The arguments of the contract's `verify`, in its order. `contract` is the EntitlementHub that holds the root, be
    it an older one; '' for the present one."""

    root: bytes
    index: int
    order_key: bytes
    to: str
    token_id: int
    expiry: int
    commitment: bytes
    proof: tuple[bytes, ...]
    contract: str = ""


@dataclass(frozen=True, slots=True)
class SettledRight:
    """A right that is on chain by itself. `expiry` in Unix seconds, `to` an address."""

    to: str
    token_id: int
    expiry: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Settlement:
    """`at` in Unix seconds; 0: not settled."""

    at: int
    is_revoked: bool


class Chain(Protocol):
    """Any EVM node by URL. Every method may raise ChainUnavailable, and every method may be repeated."""

    @property
    def chain_id(self) -> int:
        """Known once `connect` has returned."""

    @property
    def contract(self) -> str:
        """Address of the EntitlementHub, checksummed; known once `connect` or `deploy` has returned."""

    @property
    def sender(self) -> str:
        """The gateway's address: it signs anchors."""

    @property
    def senders(self) -> Mapping[str, str]:
        """Of each account that the hub has a key of, its roles: names with + between them."""

    def address_of(self, role: KeyRole) -> str:
        """The account that acts in this role. Raises SigningRefused for one without a key."""

    async def connect(self) -> None:
        """Check the chain id and that the recorded contract has code. Idempotent."""

    async def mined_nonce(self, sender: str, depth: int = 1) -> int:
        """How many transactions of this account are in blocks at least so deep, the newest being 1: with that, the
        nonce that the next block needs."""

    async def now_s(self) -> int:
        """What a contract would see as the time if it were called now, in Unix seconds: by the newest block, and by the
        one to come where the node tells of it, as on a chain that makes a block only when it is sent something."""

    async def sign_anchor(self, root: bytes, count: int, data_hash: bytes, nonce: int) -> SignedTransaction:
        """`anchor(root, count, dataHash, 1)`, signed with the gateway's key. Nothing is sent."""

    async def sign_revoke(self, contract: str, root: bytes, word: int, mask: int, nonce: int) -> SignedTransaction:
        """`revoke(root, word, mask)` to the EntitlementHub that holds the root, be it an older one; signed with the
        revoker's key. Nothing is sent."""

    async def sign_settlement(
        self, order_key: bytes, right: SettledRight, deadline: int, nonce: int
    ) -> SignedTransaction:
        """`settle` of this right under this key, at the present EntitlementHub: its PaymentResult signed by the
        signer's key, the transaction by the gateway's. `deadline` is in Unix seconds, a day ahead at most. Nothing is
        sent. Raises ChainRefused "… settled" for a key that is settled or revoked already."""

    async def sign_revoke_order(self, contract: str, order_key: bytes, nonce: int) -> SignedTransaction:
        """`revokeOrder` at the EntitlementHub that it was settled in, with the revoker's key. Nothing is sent."""

    async def settlement(self, order_key: bytes, contract: str = "") -> Settlement:
        """What that EntitlementHub, by default the present one, knows of an order key."""

    async def sign_call(self, to: str, data: bytes, nonce: int, by: KeyRole = KeyRole.GATEWAY) -> SignedTransaction:
        """Any call, signed with the key of that role. Nothing is sent. Raises SigningRefused."""

    async def sign_replacement(self, raw: str, sender: str) -> SignedTransaction:
        """The same call under the same nonce for an eighth more a gas, or for today's fee if that is more. Raises
        ChainUnavailable when that is above the ceiling. Nothing is sent."""

    async def sign_nothing(self, nonce: int, sender: str) -> SignedTransaction:
        """A transfer of nothing from this account to itself, to fill a nonce that nothing else will. Nothing is sent.
        Raises ChainUnavailable for an account that is none of the hub's any more, as does `sign_replacement`."""

    async def balance_wei(self, account: str) -> int:
        """What an account can spend on gas."""

    async def gas_price_wei(self) -> int:
        """What a unit of gas costs now, with its tip."""

    async def send(self, transaction: SignedTransaction) -> None:
        """Hand the raw bytes to the node. "Already known" and "nonce too low with this hash mined" are success. Raises
        NonceTaken when the nonce is another transaction's, FeeTooLow when the node wants more for it, and ChainRefused
        when no block can ever take this one."""

    async def receipt(self, hash_: str) -> ChainReceipt | None:
        """None: in no block."""

    async def anchored(self, root: bytes, contract: str = "") -> AnchorState:
        """The word for a root of that EntitlementHub, of the present one by default."""

    async def is_revoked(self, root: bytes, index: int, contract: str = "") -> bool:
        """The revocation bit of a leaf, or of its whole root, in that EntitlementHub."""

    async def verify(self, claim: LeafClaim) -> bool:
        """The `verify` of the claim's EntitlementHub, by eth_call."""

    async def verify_many(self, claims: tuple[LeafClaim, ...]) -> tuple[bool, ...]:
        """The same for many, in few round trips; answers in the order of the claims."""

    def claim_call(self, claim: LeafClaim) -> str | None:
        """What anybody may send to the contract so that the leaf's wallet gets its token: 0x and hexadecimal digits.
        Asks nobody. None for a leaf that the contract could not hold."""

    async def approves(self, account: str, digest: bytes, signature: bytes) -> bool:
        """Whether a contract wallet says that it signed these 32 bytes (EIP-1271). False for an account without code,
        and for code that says anything else, or nothing."""

    async def aclose(self) -> None:
        """Close connections."""
