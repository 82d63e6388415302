// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Calls somebody else while it is being paused, and remembers how that went. `run` makes it call without being paused,
/// so that it can hold a role itself. Anyone may call anything.
contract ReentrantTarget {
    bool public paused;
    address public callee;
    bytes public callData;
    uint256 public depth;
    uint256 public successes;
    bytes public lastReturned;

    function setCall(address callee_, bytes calldata callData_) external {
        (callee, callData) = (callee_, callData_);
    }

    function pause() external {
        if (depth < 2) run();
        paused = true;
    }

    function unpause() external {
        paused = false;
    }

    function run() public {
        if (callee == address(0)) return;
        depth += 1;
        (bool success, bytes memory returned) = callee.call(callData);
        depth -= 1;
        if (success) successes += 1;
        lastReturned = returned;
    }
}
