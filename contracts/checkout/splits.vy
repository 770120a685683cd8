# pragma version 0.4.3
"""
@title Splits: who gets what of a price, named by the hash of the parts, so that it never changes under its name
@license Apache-2.0
"""

from . import permissions

uses: permissions


event SplitSet:
    splitId: indexed(bytes32)
    parts: DynArray[Part, MAX_PAYEES]


# One payee's part in basis points. A split is 1 to 16 of them, 10,000 basis points together.
struct Part:
    payee: address
    bps: uint16


# Dividing writes a word per payee.
MAX_PAYEES: constant(uint256) = 16
FULL_BPS: constant(uint256) = 10_000

# `sweep` looks at each split, so there is a bound; a version of an agreement has one.
MAX_SPLITS: constant(uint256) = 1_024


# @notice Whether a split is set: it stays so.
isSplit: public(HashMap[bytes32, bool])

ids: DynArray[bytes32, MAX_SPLITS]


@external
def setSplit(splitId: bytes32, parts: DynArray[Part, MAX_PAYEES]):
    """
    @notice Records who gets what of a price, for good. Repeating it changes nothing.
    @dev SELLER only.
    @param splitId `keccak256(abi.encode(parts))`, so that a mistake in the parts is found here.
    @param parts Payees, not zero, with at least one basis point each, 10,000 together.
    """
    permissions._demand_role(permissions.SELLER)
    assert splitId == keccak256(abi_encode(parts)), "id"
    total: uint256 = 0
    for part: Part in parts:
        assert part.payee != empty(address), "payee"
        assert part.bps != 0, "bps"
        total += convert(part.bps, uint256)
    assert total == FULL_BPS, "bps"
    if not self.isSplit[splitId]:
        assert len(self.ids) < MAX_SPLITS, "splits"
        self.ids.append(splitId)
        self.isSplit[splitId] = True
        log SplitSet(splitId=splitId, parts=parts)
