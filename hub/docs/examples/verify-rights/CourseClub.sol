// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

interface EntitlementHub {
    function hasAccess(address to, uint256 tokenId) external view returns (bool);
    function verify(
        bytes32 root, uint32 index, bytes32 orderKey, address to, uint256 tokenId, uint64 expiry, bytes32 commitment,
        bytes32[] calldata proof
    ) external view returns (bool);
}

/// A contract of a partner's own, open to whoever holds the right to a course. It asks the hub's contract at every
/// visit, since a right can end.
contract CourseClub {
    EntitlementHub immutable HUB;
    uint256 public immutable COURSE;

    event Entered(address indexed visitor);

    constructor(EntitlementHub hub, uint256 course) {
        HUB = hub;
        COURSE = course;
    }

    /// For a wallet that has claimed its token: no proof is needed.
    function enter() external {
        require(HUB.hasAccess(msg.sender, COURSE), "no right");
        emit Entered(msg.sender);
    }

    /// For a wallet that has claimed nothing: the bundle's fields. The holder is the caller, so that nobody enters with a
    /// bundle that they saw in somebody else's transaction; a right without holder does not open.
    function enterWithProof(
        bytes32 root, uint32 index, bytes32 orderKey, uint64 expiry, bytes32 commitment, bytes32[] calldata proof
    ) external {
        require(HUB.verify(root, index, orderKey, msg.sender, COURSE, expiry, commitment, proof), "no right");
        emit Entered(msg.sender);
    }
}
