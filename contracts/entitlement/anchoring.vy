# pragma version 0.4.3
"""
@title Anchoring: batches of orders as Merkle roots, and whether a leaf under one is a right that stands
@license Apache-2.0
@dev A leaf is `keccak256(keccak256(abi.encode(uint256 index, bytes32 orderKey, address to, uint256 tokenId, uint64
     expiry, bytes32 commitment)))`, as in OpenZeppelin's StandardMerkleTree; pairs are hashed sorted.
"""

from . import permissions
from . import revocations

uses: permissions
uses: revocations


event Requested:
    orderKey: indexed(bytes32)
    commitment: bytes32

event Anchored:
    root: indexed(bytes32)
    count: uint32
    dataHash: bytes32
    kind: uint8

event Revoked:
    root: indexed(bytes32)
    word: uint256
    mask: uint256

event RootRevoked:
    root: indexed(bytes32)


# What `anchored` tells of a root; `count` 0 means that the root is unknown. `at` is the Unix second of the block.
struct Anchor:
    count: uint32
    kind: uint8
    at: uint64
    isRevoked: bool


# The one kind of root whose leaves are orders and can be rights; others are recorded only.
KIND_ORDERS: public(constant(uint8)) = 1

# 32 siblings reach every index of 32 bits.
MAX_PROOF: constant(uint256) = 32

# An expiry has 56 bits, the highest meaning "no end".
NO_END: public(constant(uint64)) = 2 ** 56 - 1

# The word kept per root: count 32 bits, kind 8, time 64, revoked 1. Vyper does not pack, hence by hand.
COUNT_MASK: constant(uint256) = 2 ** 32 - 1
KIND_SHIFT: constant(uint256) = 32
KIND_MASK: constant(uint256) = 2 ** 8 - 1
TIME_SHIFT: constant(uint256) = 40
TIME_MASK: constant(uint256) = 2 ** 64 - 1
REVOKED_ROOT: constant(uint256) = 1 << 104


# @notice The commitment of a request that was recorded ahead of its result; zero for none.
requested: public(HashMap[bytes32, bytes32])

anchors: HashMap[bytes32, uint256]


@external
def anchor(root: bytes32, count: uint32, dataHash: bytes32, kind: uint8):
    """
    @notice Records a batch for ever. Its cost does not depend on the number of orders.
    @dev GATEWAY only, not while paused. The root is its own key, so the same batch cannot be recorded twice.
    @param root The Merkle root, not zero.
    @param count Number of leaves, not zero; `verify` refuses any index from there on.
    @param dataHash Hash of the encrypted file of leaves, so that a copy can be recognised; zero for none.
    @param kind 1 orders, 2 requests recorded ahead of their results, 3 heads of the event log; not zero.
    """
    word: uint256 = permissions.words[msg.sender]
    assert word & permissions.GATEWAY != 0, "role"
    assert word & permissions.PAUSED == 0, "paused"
    assert root != empty(bytes32), "root"
    assert count != 0, "count"
    assert kind != 0, "kind"
    assert self.anchors[root] == 0, "anchored"
    self.anchors[root] = (
        convert(count, uint256) | (convert(kind, uint256) << KIND_SHIFT) | (block.timestamp << TIME_SHIFT)
    )
    log Anchored(root=root, count=count, dataHash=dataHash, kind=kind)


@external
def recordRequest(orderKey: bytes32, commitment: bytes32):
    """
    @notice Records once that an order's payment was asked for, ahead of its result. Optional: leaves bind requests too.
    @dev GATEWAY only, not while paused.
    @param orderKey What stands for the order, not zero.
    @param commitment Salted hash of the request, not zero.
    """
    permissions._demand_role(permissions.GATEWAY)
    assert orderKey != empty(bytes32), "orderKey"
    assert commitment != empty(bytes32), "commitment"
    assert self.requested[orderKey] == empty(bytes32), "requested"
    self.requested[orderKey] = commitment
    log Requested(orderKey=orderKey, commitment=commitment)


@external
def revoke(root: bytes32, word: uint256, mask: uint256):
    """
    @notice Ends up to 256 rights of one batch for ever, claimed or not. Repeating it changes nothing.
    @dev REVOKER only, also while paused. The root need not be anchored yet: a bad batch can be stopped on its way.
    @param root The batch.
    @param word Index of the orders divided by 256.
    @param mask One bit an order: bit `index & 255`; at least one.
    """
    assert permissions.words[msg.sender] & permissions.REVOKER != 0, "role"
    assert mask != 0, "mask"
    assert word < revocations.WHOLE_ROOT, "word"
    tag: uint160 = revocations._tag(root)
    revocations.revoked[tag][word] |= mask
    log Revoked(root=root, word=word, mask=mask)


@external
def revokeRoot(root: bytes32):
    """
    @notice Ends every right of one batch for ever, claimed or not: the answer to a stolen gateway key. Repeating it
            changes nothing.
    @dev REVOKER only, also while paused. Bits are kept by the first 160 bits of a root, so leave alone a root that
         begins like an honest one: whoever anchored it knows no leaf under it, and revoking it would end the other's.
    @param root An anchored batch.
    """
    assert permissions.words[msg.sender] & permissions.REVOKER != 0, "role"
    word: uint256 = self.anchors[root]
    assert word != 0, "unknown"
    self.anchors[root] = word | REVOKED_ROOT
    tag: uint160 = revocations._tag(root)
    revocations.revoked[tag][revocations.WHOLE_ROOT] = 1
    log RootRevoked(root=root)


@external
@view
def verify(
    root: bytes32,
    index: uint32,
    orderKey: bytes32,
    to: address,
    tokenId: uint256,
    expiry: uint64,
    commitment: bytes32,
    proof: DynArray[bytes32, MAX_PROOF],
) -> bool:
    """
    @notice Whether this leaf is a right that stands now: anchored as an order, neither revoked nor expired.
    @dev Never reverts for a wrong leaf or proof, only for malformed calldata (a proof of more than 32 siblings). A leaf
         with `to` zero is a right without holder and verifies; whose it is shows who can open its commitment.
    @param root The batch.
    @param index The leaf's place in the batch, below the anchored count.
    @param orderKey What stands for the order.
    @param to The holder, zero for none.
    @param tokenId The course. Zero is an order that grants nothing: recorded, but no right, so the answer is false.
    @param expiry First Unix second at which the right no longer stands; 2**56 - 1 for no end; above, no right.
    @param commitment Salted hash that binds payment request and result.
    @param proof Siblings from the leaf upwards.
    @return Whether the right stands.
    """
    return self._stands(root, index, orderKey, to, tokenId, expiry, commitment, proof)


@external
@view
def anchored(root: bytes32) -> Anchor:
    """
    @notice What is recorded of a batch.
    @param root The batch.
    @return Count (0 for an unknown root), kind, time in Unix seconds, and whether the whole batch is revoked.
    """
    word: uint256 = self.anchors[root]
    return Anchor(
        count=convert(word & COUNT_MASK, uint32),
        kind=convert((word >> KIND_SHIFT) & KIND_MASK, uint8),
        at=convert((word >> TIME_SHIFT) & TIME_MASK, uint64),
        isRevoked=word & REVOKED_ROOT != 0,
    )


@internal
@view
def _stands(
    root: bytes32,
    index: uint32,
    orderKey: bytes32,
    to: address,
    tokenId: uint256,
    expiry: uint64,
    commitment: bytes32,
    proof: DynArray[bytes32, MAX_PROOF],
) -> bool:
    """
    @dev What `verify` answers.
    """
    if tokenId == 0 or convert(expiry, uint256) <= block.timestamp or expiry > NO_END:
        return False
    word: uint256 = self.anchors[root]
    place: uint256 = convert(index, uint256)
    if place >= word & COUNT_MASK:
        return False
    if (word >> KIND_SHIFT) & KIND_MASK != convert(KIND_ORDERS, uint256) or word & REVOKED_ROOT != 0:
        return False
    if (revocations.revoked[revocations._tag(root)][place >> 8] >> (place & 255)) & 1 != 0:
        return False
    node: bytes32 = keccak256(keccak256(abi_encode(index, orderKey, to, tokenId, expiry, commitment)))
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(concat(node, sibling))
        else:
            node = keccak256(concat(sibling, node))
    return node == root
