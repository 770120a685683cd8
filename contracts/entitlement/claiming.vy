# pragma version 0.4.3
"""
@title Claiming: a right that is recorded, by a leaf or a settlement, made the one that its wallet holds
@license Apache-2.0
"""

from . import anchoring
from . import holdings
from . import permissions
from . import revocations
from . import settling

uses: anchoring
uses: holdings
uses: permissions
uses: revocations
uses: settling


# The right under a root, or of a settlement (`root` is then the orderKey, `index` 0), is what the wallet holds now.
event Claimed:
    root: indexed(bytes32)
    index: uint32
    to: indexed(address)
    tokenId: indexed(uint256)
    expiry: uint64


@external
@nonreentrant
def claim(
    root: bytes32,
    index: uint32,
    orderKey: bytes32,
    to: address,
    tokenId: uint256,
    expiry: uint64,
    commitment: bytes32,
    proof: DynArray[bytes32, anchoring.MAX_PROOF],
):
    """
    @notice Makes the right of a leaf the one that its wallet holds, and mints the token. Anyone may send it; only the
            wallet in the leaf receives. Repeating it changes nothing, nor does a claim that ends no later than what
            the wallet holds; when that is revoked, the shorter one can be claimed again.
    @dev Not while paused. Reverts "to" for a right without holder and "right" for what `verify` denies.
    @param root The batch; all others as in `verify`.
    @param index The leaf's place.
    @param orderKey What stands for the order.
    @param to The holder, not zero.
    @param tokenId The course.
    @param expiry The right's end.
    @param commitment The leaf's commitment.
    @param proof Siblings from the leaf upwards.
    """
    assert not permissions.paused, "paused"
    assert to != empty(address), "to"
    assert anchoring._stands(root, index, orderKey, to, tokenId, expiry, commitment, proof), "right"
    was: uint256 = holdings.words[to][tokenId]
    if holdings._outlasts(expiry, was):
        log Claimed(root=root, index=index, to=to, tokenId=tokenId, expiry=expiry)
        holdings._hold(to, tokenId, was, root, index, expiry)


@external
@nonreentrant
def claimSettled(orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64):
    """
    @notice Makes the right of a settled order the one that its wallet holds again, after a longer one was revoked.
            Anyone may send it. Changes nothing while what the wallet holds ends no earlier.
    @dev Not while paused. Reverts "right" for another right than the order's, for a revoked and for an expired one.
    @param orderKey The settled order.
    @param to As settled.
    @param tokenId As settled.
    @param expiry As settled.
    """
    assert not permissions.paused, "paused"
    digest: uint256 = settling.settlements[orderKey] & settling.DIGEST_MASK
    assert digest == settling._digest(to, tokenId, expiry), "right"
    assert convert(expiry, uint256) > block.timestamp, "right"
    assert not revocations._is_revoked(revocations._tag(keccak256(orderKey)), 0), "right"
    was: uint256 = holdings.words[to][tokenId]
    if holdings._outlasts(expiry, was):
        log Claimed(root=orderKey, index=0, to=to, tokenId=tokenId, expiry=expiry)
        holdings._hold(to, tokenId, was, keccak256(orderKey), 0, expiry)
