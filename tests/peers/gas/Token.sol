// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

/// What Unlock stands behind: its own code takes no first call.
contract Proxy is ERC1967Proxy {
    constructor(address code, bytes memory first) ERC1967Proxy(code, first) {}
}

/// What a course costs as a plain token. It asks nobody for a role and guards against nothing: cheaper than it could be.
contract Token is ERC1155 {
    constructor() ERC1155("") {}

    function mint(address to, uint256 id) external {
        _mint(to, id, 1, "");
    }

    function mintEach(address[] calldata to, uint256 id) external {
        for (uint256 i = 0; i < to.length; ++i) _mint(to[i], id, 1, "");
    }
}
