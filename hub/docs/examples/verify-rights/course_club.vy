# pragma version 0.4.3
# pragma evm-version prague
"""
@title CourseClub: a contract of a partner's own, open to whoever holds the right to a course
@license Apache-2.0
@notice It asks the hub's contract at every visit, since a right can end: 10,612 gas with a proof under 256 orders.
"""

interface EntitlementHub:
    def hasAccess(to: address, tokenId: uint256) -> bool: view
    def verify(
        root: bytes32, index: uint32, orderKey: bytes32, to: address, tokenId: uint256, expiry: uint64,
        commitment: bytes32, proof: DynArray[bytes32, 32],
    ) -> bool: view

event Entered:
    visitor: indexed(address)

HUB: immutable(EntitlementHub)
COURSE: public(immutable(uint256))


@deploy
def __init__(hub: address, course: uint256):
    HUB = EntitlementHub(hub)
    COURSE = course


@external
def enter():
    """
    @notice For a wallet that has claimed its token: no proof is needed.
    """
    assert staticcall HUB.hasAccess(msg.sender, COURSE), "no right"
    log Entered(visitor=msg.sender)


@external
def enterWithProof(
    root: bytes32, index: uint32, orderKey: bytes32, expiry: uint64, commitment: bytes32, proof: DynArray[bytes32, 32]
):
    """
    @notice For a wallet that has claimed nothing: the bundle's fields. The holder is the caller, so that nobody enters
            with a bundle that they saw in somebody else's transaction; a right without holder does not open.
    """
    assert staticcall HUB.verify(root, index, orderKey, msg.sender, COURSE, expiry, commitment, proof), "no right"
    log Entered(visitor=msg.sender)
