// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1155} from "@openzeppelin/contracts/token/ERC1155/IERC1155.sol";
import {IERC1155MetadataURI} from "@openzeppelin/contracts/token/ERC1155/extensions/IERC1155MetadataURI.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ERC165Checker} from "@openzeppelin/contracts/utils/introspection/ERC165Checker.sol";

/// A wallet that holds tokens as OpenZeppelin's do, and what OpenZeppelin says of proofs, signatures and interfaces.
contract Judge is ERC1155Holder {
    function verify(
        bytes32 root,
        uint256 index,
        bytes32 orderKey,
        address to,
        uint256 tokenId,
        uint64 expiry,
        bytes32 commitment,
        bytes32[] calldata proof
    ) external pure returns (bool) {
        bytes32 inner = keccak256(abi.encode(index, orderKey, to, tokenId, expiry, commitment));
        return MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(inner)));
    }

    function signer(bytes32 digest, bytes calldata signature) external pure returns (address) {
        return ECDSA.recover(digest, signature);
    }

    function isToken(address hub) external view returns (bool) {
        bytes4[] memory ids = new bytes4[](2);
        (ids[0], ids[1]) = (type(IERC1155).interfaceId, type(IERC1155MetadataURI).interfaceId);
        return ERC165Checker.supportsAllInterfaces(hub, ids);
    }
}
