"""EntitlementHub's functions as bytes, in the hub's own words; and what a node says that a contract answered."""

from typing import Final, cast

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from contracts import Artifact, abi
from hub.domain.contracts import ENTITLEMENT_HUB
from hub.ports import AnchorState, ChainUnavailable, LeafClaim, Settlement

KIND_ORDERS: Final = 1  # of an anchored root: its leaves are orders
MAX_PROOF: Final = 32  # siblings; the contract's calldata holds no more


def entitlement_hub() -> Artifact:
    """The committed artifact."""
    return abi.compiled(ENTITLEMENT_HUB)


def creation(owner: str, gateway: str) -> bytes:
    """The creation code with its arguments: `owner` sets roles, `gateway` anchors."""
    return abi.creation(ENTITLEMENT_HUB, owner, gateway)


def creation_address(sender: str, nonce: int) -> str:
    """Where the contract lies that `sender` creates with this nonce, checksummed."""
    octets = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    number = octets if len(octets) == 1 and nonce < 0x80 else bytes([0x80 + len(octets)]) + octets  # RLP
    body = b"\x94" + to_canonical_address(sender) + number
    return to_checksum_address(keccak(bytes([0xC0 + len(body)]) + body)[12:])


def anchor(root: bytes, count: int, data_hash: bytes) -> bytes:
    """`anchor` of a batch of orders."""
    return abi.call(ENTITLEMENT_HUB, "anchor", root, count, data_hash, KIND_ORDERS)


def revoke(root: bytes, word: int, mask: int) -> bytes:
    """`revoke` of up to 256 leaves of one word."""
    return abi.call(ENTITLEMENT_HUB, "revoke", root, word, mask)


def revoke_order(order_key: bytes) -> bytes:
    """`revokeOrder` of an order that was settled by itself."""
    return abi.call(ENTITLEMENT_HUB, "revokeOrder", order_key)


def settled(order_key: bytes) -> bytes:
    """`settled`; read the answer with `settlement_in`."""
    return abi.call(ENTITLEMENT_HUB, "settled", order_key)


def set_role(account: str, roles: int) -> bytes:
    """`setRole`: replaces all roles of an account."""
    return abi.call(ENTITLEMENT_HUB, "setRole", account, roles)


def set_successor(contract: str) -> bytes:
    """`setSuccessor`: the old one names the new one."""
    return abi.call(ENTITLEMENT_HUB, "setSuccessor", contract)


def roles(account: str) -> bytes:
    """`roles` of an account; read the answer with `number_in`."""
    return abi.call(ENTITLEMENT_HUB, "roles", account)


def anchored(root: bytes) -> bytes:
    """`anchored`; read the answer with `anchor_in`."""
    return abi.call(ENTITLEMENT_HUB, "anchored", root)


def revoked(root: bytes, index: int) -> bytes:
    """The revocation word that holds the leaf's bit; read the answer with `number_in`."""
    return abi.call(ENTITLEMENT_HUB, "revoked", int.from_bytes(root[:20]), index >> 8)


def verify(claim: LeafClaim) -> bytes | None:
    """`verify`; read the answer with `truth_in`. None: the contract could not hold such a leaf, so it is no right."""
    return _about_leaf("verify", claim)


def claim(claim: LeafClaim) -> bytes | None:
    """`claim`, which anybody may send and its holder receives by. None as for `verify`."""
    return _about_leaf("claim", claim)


def _about_leaf(name: str, claim: LeafClaim) -> bytes | None:
    if len(claim.proof) > MAX_PROOF:
        return None
    try:
        return abi.call(
            ENTITLEMENT_HUB,
            name,
            claim.root,
            claim.index,
            claim.order_key,
            claim.to,
            claim.token_id,
            claim.expiry,
            claim.commitment,
            claim.proof,
        )
    except EncodingError:
        return None


def is_valid_signature(digest: bytes, signature: bytes) -> bytes:
    """EIP-1271's question to a contract wallet."""
    return bytes.fromhex("1626ba7e") + encode(("bytes32", "bytes"), (digest, signature))


SIGNATURE_IS_VALID: Final = "0x1626ba7e" + "00" * 28  # its yes; every other answer is a no


def anchor_in(answer: object) -> tuple[AnchorState, bool]:
    """What `anchored` answered: the state, and whether the whole root is revoked."""
    count, kind, at, is_revoked = cast(tuple[int, int, int, bool], said(ENTITLEMENT_HUB, "anchored", answer))
    return AnchorState(count=count, kind=kind, anchored_at=at), is_revoked


def settlement_in(answer: object) -> Settlement:
    """What `settled` answered."""
    at, _, is_revoked = cast(tuple[int, bool, bool], said(ENTITLEMENT_HUB, "settled", answer))
    return Settlement(at=at, is_revoked=is_revoked)


def number_in(name: str, answer: object) -> int:
    """What the function called `name` answered: one number."""
    number = said(ENTITLEMENT_HUB, name, answer)
    assert isinstance(number, int)
    return number


def truth_in(name: str, answer: object) -> bool:
    """What the function called `name` answered: yes or no."""
    truth = said(ENTITLEMENT_HUB, name, answer)
    assert isinstance(truth, bool)
    return truth


def said(contract: str, function: str, answer: object) -> object:
    """What a node says that a view answered. Raises ChainUnavailable for what is no answer at all."""
    if not isinstance(answer, str):
        raise ChainUnavailable(f"the node answered {function} with something else than bytes")
    try:
        return abi.answer(contract, function, bytes.fromhex(answer.removeprefix("0x")))
    except ValueError as error:  # an account without code answers nothing
        raise ChainUnavailable(f"the node answered {function} with {len(answer)} characters that do not fit") from error
