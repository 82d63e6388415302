// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A guard for a Safe, of transactions and of modules, that lets nothing pass.
contract RefusingGuard {
    function supportsInterface(bytes4) external pure returns (bool) {
        return true;
    }

    fallback() external {
        revert("guarded");
    }
}
