# pragma version 0.4.3
"""
@title Revocations: one bit an order, set and never cleared, found by a tag alone, whether or not its root is known
@license Apache-2.0
"""


# The word, beyond those of all indices, that says of a tag that its whole root is revoked.
WHOLE_ROOT: constant(uint256) = 2 ** 24

# A tag is the first 160 bits of 256.
TAG_SHIFT: constant(uint256) = 96


# @notice Revoked orders: 256 a word, `word` = index >> 8. `tag` = the first 160 bits of the root; for an order settled
#         directly those of `keccak256(orderKey)`, index 0, since a buyer may choose the key and a hash not.
revoked: public(HashMap[uint160, HashMap[uint256, uint256]])


@internal
@view
def _is_revoked(tag: uint160, index: uint256) -> bool:
    """
    @dev By its own bit or with its whole root.
    """
    return (self.revoked[tag][index >> 8] >> (index & 255)) & 1 != 0 or self.revoked[tag][WHOLE_ROOT] != 0


@internal
@pure
def _tag(root: bytes32) -> uint160:
    """
    @dev The first 160 bits of a root or of a hashed orderKey. A plain orderKey would not do: a buyer may choose one
         whose revocation ends a right under a root, or another order's.
    """
    return convert(convert(root, uint256) >> TAG_SHIFT, uint160)
