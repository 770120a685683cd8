"""What wallets hold, as tests of claims, settlements and tokens ask and tell it."""

from eth_abi import encode
from eth_utils import keccak

from hub.domain import anchors
from hub.domain.anchors import NO_END, Proof
from tests.contracts.evm import (
    JUDGE,
    NOBODY,
    NOW,
    STRANGER,
    TOKEN,
    Hub,
    anchored,
    event,
    right,
)

ALICE, BOB = keccak(b"alice")[:20], keccak(b"bob")[:20]
NOTHING = ((0, 0, 0, False),)  # what `held` tells of a wallet without a right


def minted(to: bytes, operator: bytes = STRANGER.address, token_id: int = TOKEN) -> tuple[tuple[bytes, ...], bytes]:
    """The log of a mint."""
    return event("TransferSingle", operator, NOBODY, to), encode(["uint256", "uint256"], [token_id, 1])


def burned(of: bytes, operator: bytes = STRANGER.address, token_id: int = TOKEN) -> tuple[tuple[bytes, ...], bytes]:
    """The log of a burn."""
    return event("TransferSingle", operator, of, NOBODY), encode(["uint256", "uint256"], [token_id, 1])


def of(hub: Hub, to: bytes = ALICE, token_id: int = TOKEN) -> tuple[object, ...]:
    """Access, end and balance of a wallet."""
    return tuple(hub.ask(name, to, token_id)[0] for name in ("hasAccess", "expiresAt", "balanceOf"))


def three(hub: Hub) -> tuple[Proof, Proof, Proof]:
    """Rights of one wallet to one course: for a minute, for an hour, without end."""
    leaves = [right(n, to=ALICE, expiry=expiry) for n, expiry in enumerate((NOW + 60, NOW + 3_600, NO_END))]
    tree = anchored(hub, leaves)
    return tree.proof(0), tree.proof(1), tree.proof(2)


def revoked(hub: Hub, proof: Proof) -> None:
    hub.send(JUDGE, "revoke", proof.root, *anchors.revocation_bit(proof.index))


def purchase(number: int = 1, to: bytes = ALICE, token_id: int = TOKEN, expiry: int = NO_END) -> tuple[object, ...]:
    """The arguments of `grantPurchase`."""
    leaf = right(number)
    return leaf.order_key, to, token_id, expiry, leaf.commitment


def order_tag(order_key: bytes) -> int:
    """The key of a settled order's revocation word."""
    return int.from_bytes(keccak(order_key)[:20])
