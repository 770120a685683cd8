"""What is anchored on chain: leaves, the Merkle tree over a batch, and the proof that one order lies under a root.

Bytes in, bytes out. `keccak` (Keccak-256, not the standard library's SHA3-256) is handed in as the last argument, so
that this module needs nothing but the standard library. The layouts are those of the contract EntitlementHub and of
OpenZeppelin's StandardMerkleTree; changing one of them makes every root anchored so far unprovable.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Keccak = Callable[[bytes], bytes]

NO_END = 2**56 - 1  # expiry of a right without end; the contract keeps expiries in 56 bits
NO_HOLDER = bytes(20)  # `to` of a right without wallet, and of a leaf that is recorded only
MAX_LEAVES = 1_024  # orders of one batch: where the gas of an order stops mattering (about 50)
MAX_PROOF = 32  # siblings; the contract's bound, and enough for every uint32 index
MAX_EXACT_INTEGER = 2**53 - 1  # beyond it a JavaScript verifier reads another number than we wrote

ORDER_KEY_TAG = b"tongbao.order-key.v1\x00"
COURSE_TAG = b"tongbao.course.v1\x00"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One order's end as the chain will hold it; its index is its place in the batch.

    `order_key` and `commitment` have 32 bytes, `to` 20 (an EVM address, NO_HOLDER for none); `expiry` is the first Unix
    second at which the right no longer stands, NO_END for never. `token_id` 0 grants nothing and demands no holder and
    expiry 0. Raises ValueError for anything else.
    """

    order_key: bytes
    to: bytes
    token_id: int
    expiry: int
    commitment: bytes

    def __post_init__(self) -> None:
        _demand(len(self.order_key) == 32, "order_key must have 32 bytes")
        _demand(len(self.to) == 20, "to must have 20 bytes")
        _demand(0 <= self.token_id < 2**256, "token_id must fit into 256 bits")
        _demand(0 <= self.expiry <= NO_END, "expiry must fit into 56 bits")
        _demand(len(self.commitment) == 32, "commitment must have 32 bytes")
        grants_nothing = self.to == NO_HOLDER and self.expiry == 0
        _demand(self.is_right or grants_nothing, "a leaf without token_id has neither holder nor expiry")

    @property
    def is_right(self) -> bool:
        """Whether this leaf grants something; the contract's `verify` is false for one that is recorded only."""
        return self.token_id != 0


@dataclass(frozen=True, slots=True)
class Proof:
    """That one leaf lies at `index` under `root`: the arguments of the contract's `verify` and `claim`, in their order.

    `proof` holds the siblings from the leaf upwards, none for a batch of one. Raises ValueError where a length or range
    is wrong, so `verify` itself never raises.
    """

    root: bytes
    index: int
    order_key: bytes
    to: bytes
    token_id: int
    expiry: int
    commitment: bytes
    proof: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _demand(len(self.root) == 32, "root must have 32 bytes")
        _demand(0 <= self.index < 2**32, "index must fit into 32 bits")
        _demand(len(self.proof) <= MAX_PROOF, "a proof has at most 32 siblings")
        _demand(all(len(sibling) == 32 for sibling in self.proof), "each sibling must have 32 bytes")
        _ = self.leaf  # checks the rest

    @property
    def leaf(self) -> Leaf:
        return Leaf(self.order_key, self.to, self.token_id, self.expiry, self.commitment)


@dataclass(frozen=True, slots=True)
class Tree:
    """A batch under its root. `nodes` is OpenZeppelin's array: root first, leaves last and backwards."""

    leaves: tuple[Leaf, ...]
    nodes: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        return self.nodes[0]

    def proof(self, index: int) -> Proof:
        """The proof of the leaf at `index`; IndexError outside the batch."""
        if not 0 <= index < len(self.leaves):
            raise IndexError(f"no leaf {index} in a batch of {len(self.leaves)}")
        leaf = self.leaves[index]
        siblings = []
        node = len(self.nodes) - 1 - index
        while node > 0:
            siblings.append(self.nodes[node + 1 if node % 2 else node - 1])
            node = (node - 1) // 2
        return Proof(
            self.root, index, leaf.order_key, leaf.to, leaf.token_id, leaf.expiry, leaf.commitment, tuple(siblings)
        )


def plant(leaves: Sequence[Leaf], keccak: Keccak) -> Tree:
    """The tree over 1 to MAX_LEAVES leaves, ValueError for none or more.

    A leaf's index is its place in `leaves`, and the tree keeps that order: the same leaves in the same order always
    give the same root. OpenZeppelin's JavaScript gives the same tree with `{sortLeaves: false}`; its Solidity verifier
    and our contract take either.
    """
    _demand(0 < len(leaves) <= MAX_LEAVES, f"a batch has 1 to {MAX_LEAVES} leaves")
    nodes = [b""] * (2 * len(leaves) - 1)
    for index, leaf in enumerate(leaves):
        nodes[len(nodes) - 1 - index] = leaf_hash(index, leaf, keccak)
    for node in range(len(leaves) - 2, -1, -1):
        nodes[node] = _pair(nodes[2 * node + 1], nodes[2 * node + 2], keccak)
    return Tree(tuple(leaves), tuple(nodes))


def verify(proof: Proof, keccak: Keccak) -> bool:
    """Whether the proof leads to its own root. Offline: says nothing about anchoring, revocation or the time."""
    node = leaf_hash(proof.index, proof.leaf, keccak)
    for sibling in proof.proof:
        node = _pair(node, sibling, keccak)
    return node == proof.root


def leaf_hash(index: int, leaf: Leaf, keccak: Keccak) -> bytes:
    """keccak(keccak(abi.encode(index, orderKey, to, tokenId, expiry, commitment))).

    Hashed twice so that no inner node can pass for a leaf; the index is inside, so no leaf dodges its revocation bit.
    """
    words = (_word(index), leaf.order_key, leaf.to.rjust(32, b"\0"), _word(leaf.token_id), _word(leaf.expiry))
    return keccak(keccak(b"".join(words) + leaf.commitment))


def commitment(version: int, request_hash: bytes, result_hash: bytes, salt: bytes, keccak: Keccak) -> bytes:
    """keccak(abi.encode(version, requestHash, resultHash, salt)): binds request and result, and hides both by the salt.

    Hashes and salt have 32 bytes each; the salt must be random, one per order. ValueError otherwise.
    """
    for name, value in (("request_hash", request_hash), ("result_hash", result_hash), ("salt", salt)):
        _demand(len(value) == 32, f"{name} must have 32 bytes")
    return keccak(_word(version) + request_hash + result_hash + salt)


def order_key(merchant_secret: bytes, order_number: str) -> bytes:
    """The 32 bytes that stand for an order on chain: not to be enumerated without the secret (at least 32 bytes)."""
    _demand(len(merchant_secret) >= 32, "a merchant's secret has at least 32 bytes")
    return hmac.digest(merchant_secret, ORDER_KEY_TAG + order_number.encode(), hashlib.sha256)


def token_id(course_id: str, kind: int, version: int, keccak: Keccak) -> int:
    """The token of a canonical Course: 96 bits of its hash, 120 zero bits, kind (8 bits, from 1), version (32 bits).

    Kind starts at 1, so no token is 0, which means "grants nothing". ValueError outside the ranges.
    """
    _demand(0 < kind < 2**8, "kind must be 1 to 255")
    _demand(0 <= version < 2**32, "version must fit into 32 bits")
    course = int.from_bytes(keccak(COURSE_TAG + course_id.encode())[:12], "big")
    return course << 160 | kind << 32 | version


def tag(root: bytes) -> int:
    """The first 160 bits of a root: the key of its revocation words in the contract."""
    return int.from_bytes(root[:20], "big")


def revocation_bit(index: int) -> tuple[int, int]:
    """Word and mask that the contract's `revoke` takes for the leaf at `index`; masks of one word may be or-ed."""
    return index >> 8, 1 << (index & 255)


def content_hash(content: Mapping[str, object], keccak: Keccak) -> bytes:
    """The hash of a PaymentRequest's or PaymentResult's content, over its canonical JSON."""
    return keccak(canonical(content))


def canonical(content: Mapping[str, object]) -> bytes:
    """The one JSON text of `content`: RFC 8785 for what it may hold, so verifiers in any language get the same bytes.

    It may hold None, booleans, integers of at most 53 bits, strings, lists, tuples, and dicts with ASCII string keys.
    Anything else raises ValueError, floats above all: they have no text on which two languages agree.
    """
    _demand_exact(content)
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _demand_exact(value: object) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            _demand(abs(value) <= MAX_EXACT_INTEGER, f"{value} has more than 53 bits")
        case list() | tuple():
            for element in value:
                _demand_exact(element)
        case dict():
            for key, element in value.items():
                _demand(isinstance(key, str) and key.isascii(), f"key {key!r} is not an ASCII string")
                _demand_exact(element)
        case _:
            raise ValueError(f"{type(value).__name__} has no canonical JSON")


def _pair(left: bytes, right: bytes, keccak: Keccak) -> bytes:
    return keccak(left + right if left < right else right + left)  # sorted, so a proof needs no directions


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _demand(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
